"""The phases of a lift as plain data, and settings that override them."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from sdtool.errors import UsageError
from sdtool.lifting import schedules
from sdtool.lifting.distillation import NAMES
from sdtool.lifting.sds import WEIGHTINGS


@dataclass(frozen=True)
class Phase:
    """One phase: what is optimised, for how long, and how strongly each prior pulls.

    lr: learning rate; lr_network: that of perceptrons, if above 0. decay: AdamW's weight decay.
    scene: "density" (coarse), "surface" (DMTet), or with frozen geometry "color" (plain colours) or
    "material" (physically based); "radiance" (NeRF); "gaussians" (splats, whose last phase is "color" too).
    views: cameras a step, spread evenly in azimuth. fov: degrees between which each view's field of view
    is drawn; 0, 0 for the AGP's own. shift: how far a camera may stray at right angles to its view, as a
    share of its distance. size: rendered pixels a side, averaged down to
    the prior's own size. guide: which prior looks at the picture: "base", or "color", a colour prior, in its
    place. color_grid: cells a side of a colour field's finest level. sees: what the prior is
    shown: "normal", "rgb", or "normal_latent", normals and mask without the VAE. normal_turn:
    largest turn, in degrees, of the normals which the base sees: of all views about +Y (turns "step"),
    or of each view about +X and then +Y ("view").
    lambda_*: weights of the two score-distillation terms, as (first quarter, rest): the AGP may lead
    alone at first. Where a lift leaves out an AGP that the phase would ask, the base's is at least 1.
    scale_*: classifier-free guidance. rescale: how far the base's guided noise is brought back to the spread
    of the unguided one. t_high: upper end of the noise level at the phase's start and
    end, as a share of the schedule, falling linearly over the share t_until of the phase. t_band: width of
    the band below it in which noise levels are drawn, never below t_low; 0 for all down to t_low.
    ori_every: the base is asked at every so many steps only, with so many times the weight, if the AGP is
    asked too. distill: how the priors' scores are distilled, a name of
    `sdtool.lifting.distillation.NAMES`. vsd_lr, vsd_rank: learning rate and rank of the adapters of
    `sdtool.lifting.vsd`. latent: side of what this phase shows the priors, less than their
    own; 0 for their own.
    smooth: weight of the scene's own smoothness. subdivide: how often a surface's grid is halved when the
    phase begins.

    For a radiance field: shading: shares of the steps that show it as albedo, Lambertian and
    textureless (DreamFusion, section 3.1). light_spread: how far the light strays at random, as a share
    of its distance. backdrop: share of the steps that show it before its own background, for a base that
    takes no coverage; the others show grey. orient, sparse, opaque: weights of its penalties
    (`RadianceScene.penalties`), orient at the phase's start and from the share orient_until on.
    orient_over: "rays", its mean over all rays; or "hits", the mean over those that hit something, times
    the views, as score distillation is summed over views. samples_budget: samples of a step that are rendered
    together; more are rendered in parts, which are computed again in the backward pass; 0 for no bound, and
    for random numbers that the step's generator draws. With a budget, samples are left out that less than the
    share least_transmittance of the light reaches, or that stop less than the share least_alpha of it.
    """

    name: str
    scene: str
    steps: int
    lr: float
    views: int = 4
    fov: tuple[float, float] = (0.0, 0.0)
    shift: float = 0.0
    size: int = 64
    lr_network: float = 0.0
    decay: float = 0.0
    sees: str = "normal"
    guide: str = "base"
    color_grid: int = 48
    lambda_ori: tuple[float, float] = (1.0, 1.0)
    lambda_align: tuple[float, float] = (1.0, 1.0)
    scale_ori: float = 10.0
    scale_align: float = 10.0
    rescale: float = 0.0
    t_low: float = 0.02
    t_high: tuple[float, float] = (0.98, 0.5)
    t_until: float = 0.7
    t_band: float = 0.0
    ori_every: int = 1
    latent: int = 0
    weighting: str = "one_minus_alpha"
    distill: str = "sds"
    vsd_lr: float = 0.001
    vsd_rank: int = 4
    smooth: float = 0.0
    subdivide: int = 0
    normal_turn: float = 0.0
    turns: str = "step"
    shading: tuple[float, float, float] = (0.0, 1.0, 0.0)
    light_spread: float = 0.0
    backdrop: float = 0.5
    orient: tuple[float, float] = (0.0, 0.0)
    orient_until: float = 1.0
    orient_over: str = "rays"
    sparse: float = 0.0
    opaque: float = 0.0
    samples_budget: int = 0
    least_transmittance: float = 1e-4
    least_alpha: float = 0.01

    def penalty(
        self, found: Mapping[str, torch.Tensor | Callable[[], torch.Tensor]], progress: float
    ) -> torch.Tensor:
        """The weighted sum of a scene's penalties, at a share of the phase.

        found: name → scalar, or a function for it, which is called if it has a weight.
        """
        weights = {
            "smooth": self.smooth,
            "orient": schedules.linear(*self.orient, end=self.orient_until)(progress),
            "sparse": self.sparse,
            "opaque": self.opaque,
        }
        parts = [
            weights[name] * (value() if callable(value) else value)
            for name, value in found.items()
            if weights[name]
        ]
        return sum(parts, torch.zeros(()))


@dataclass(frozen=True)
class LiftPlan:
    """A whole lift: its phases and the sizes of the two shape grids.

    init: what it starts from: "density", a soft blob, or what `sdtool.lifting.initial` makes a surface
    of. tet_resolution: cells a side of the tetrahedral grid. sdf_table: 0 for direct values at its
    corners, else the size of a hash grid, 2^sdf_table, that with a perceptron gives them. samples: along
    a ray of the density. half_extent: half a side of the cube that holds the shape. environment:
    "neutral" or an .hdr file, the light on a material; log2_table: size of its hash grid, or a radiance
    field's; finest: corners a side of the latter's finest level, of so many levels; metallic, detail: the
    most metal and relief that it may have. surface_points: as `sdtool.meshfiles.load_mesh` has it, of
    the file `init`. processes: 2 for small priors on a CPU of two cores or more, half of whose work a second
    process does; 1 for this process alone. passes: 1 for guided predictions in one pass of a prior that
    was distilled for it; 2 for two passes of every prior. skip_from: step from which a radiance field
    without a budget skips what is empty. calls: small priors on a CPU are "traced"
    (`sdtool.priors.traced`), or called as they are, "eager". splats: the number of Gaussians.
    """

    phases: tuple[Phase, ...]
    init: str = "density"
    tet_resolution: int = 48
    sdf_table: int = 0
    samples: int = 48
    half_extent: float = 0.6
    environment: str = "neutral"
    log2_table: int = 14
    finest: int = 4096
    levels: int = 16
    metallic: float = 1.0
    detail: float = 0.0
    surface_points: str = ""
    processes: int = 2
    passes: int = 1
    skip_from: int = 32
    calls: str = "traced"
    splats: int = 6000

    @property
    def steps(self) -> int:
        """Of all phases together."""
        return sum(phase.steps for phase in self.phases)


CHOICES = {
    "sees": ("normal", "normal_latent", "rgb"),
    "guide": ("base", "color"),
    "weighting": tuple(WEIGHTINGS),
    "distill": NAMES,
    "turns": ("step", "view"),
    "orient_over": ("rays", "hits"),
}

MAY_BE_0 = ("sdf_table", "subdivide", "latent", "skip_from", "samples_budget")
"""Whole numbers of which 0 turns something off, where the preset has it too."""

ONE_OR_TWO = ("processes", "passes")
CALLS = ("traced", "eager")

# Settings: `coarse.steps=500` changes a phase, `tet_resolution=64` the plan


def override(plan: LiftPlan, settings: Iterable[str]) -> LiftPlan:
    """The plan with settings like "coarse.steps=500" or "geometry.t_high=[0.98, 0.5]" applied.

    Values are written as in TOML; text needs no quotes. UsageError names what is unknown or wrong.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        phase, dot, name = key.strip().rpartition(".")
        if not equals:
            raise _refused(setting, "it has no value; write it like coarse.steps=500")
        if not dot:
            plan = _replaced(plan, name, text, setting)
            continue
        names = [one.name for one in plan.phases]
        if phase not in names:
            raise _refused(setting, f"{phase} is not one of {', '.join(names)}")
        phases = [
            _replaced(one, name, text, setting) if one.name == phase else one for one in plan.phases
        ]
        plan = replace(plan, phases=tuple(phases))
    return plan


def _replaced(holder: Any, name: str, text: str, setting: str) -> Any:
    """The dataclass with the field `name` read from text, of the type that it has now."""
    known = _known(holder)
    if name not in known:
        raise _refused(setting, f"{name} is not one of {', '.join(known)}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    old = getattr(holder, name)
    wanted = old if isinstance(old, tuple) else (old,)
    given = tuple(value) if isinstance(value, list) else (value,)
    if len(given) == len(wanted) and isinstance(value, list) == isinstance(old, tuple):
        likes = (0,) if name in MAY_BE_0 else (1,) if name in ONE_OR_TWO else wanted
        kept = [_number_like(one, like) for one, like in zip(given, likes, strict=True)]
        if None not in kept:
            new = replace(holder, **{name: tuple(kept) if isinstance(old, tuple) else kept[0]})
            if wrong := _what_is_wrong(new):
                raise _refused(setting, wrong)
            return new
    least = "" if type(old) is not int or name in MAY_BE_0 else ", a whole number of 1 or more"
    raise _refused(setting, f"it should look like {json.dumps(old)}{least}")


def _refused(setting: str, why: str) -> UsageError:
    return UsageError(f"--set {setting}: {why}", f"--set {setting}")


def _what_is_wrong(holder: Any) -> str:
    """The first thing in a plan or phase that cannot work, in words; empty if there is none."""
    if isinstance(holder, LiftPlan):
        for name in ONE_OR_TWO:
            if getattr(holder, name) > 2:
                return f"{name} is 1 or 2"
        if holder.levels < 2:
            return "levels is 2 or more"
        if holder.calls not in CALLS:
            return f"calls is not one of {', '.join(CALLS)}"
        return "" if holder.half_extent > 0 else "half_extent must be above 0"
    for name, known in CHOICES.items():
        if getattr(holder, name) not in known:
            return f"{name} is not one of {', '.join(known)}"
    if not sum(holder.shading) > 0:
        return "of the three kinds of shading one must have a share above 0"
    if holder.t_band > 1:
        return "t_band is a share of the noise schedule, at most 1"
    if holder.latent % 8:
        return "latent is a multiple of 8, or 0 for the priors' own size"
    if not holder.t_low <= min(holder.t_high) <= max(holder.t_high) <= 1:
        return f"noise levels go from t_low, {holder.t_low}, up to at most 1"
    if holder.fov != (0.0, 0.0) and not 1 <= min(holder.fov) <= max(holder.fov) < 179:
        return "fov is a range of degrees from 1 to 179, or 0, 0 for the AGP's own"
    if holder.rescale > 1:
        return "rescale is a share, at most 1"
    if holder.guide == "color" and holder.sees != "rgb":
        return "a colour prior (guide) sees rgb only"
    if holder.color_grid < 8:
        return "color_grid is 8 or more"
    for name in ("least_transmittance", "least_alpha"):
        if getattr(holder, name) >= 1:
            return f"{name} is a share below 1"
    for name in ("t_until", "orient_until"):
        if not 0 < getattr(holder, name) <= 1:
            return f"{name} is a share of the phase, above 0 and at most 1"
    return ""


def _number_like(value: Any, like: Any) -> Any:
    """`value` as the type of `like`, or None if it is of another kind, negative or not finite."""
    if isinstance(like, str):
        return value if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    if isinstance(like, int):
        return value if isinstance(value, int) and value >= min(like, 1) else None
    return float(value)


def settings_of(plan: LiftPlan) -> dict[str, Any]:
    """Every setting that `override` can change, a dictionary for each phase; but the environment, which
    is an option of its own."""
    out: dict[str, Any] = {name: getattr(plan, name) for name in _known(plan)}
    out.pop("environment")
    return out | {
        one.name: {name: getattr(one, name) for name in _known(one)} for one in plan.phases
    }


def _known(holder: Any) -> list[str]:
    """The fields of a plan or phase that are settings."""
    fixed = ("name", "scene", "phases", "init", "surface_points")
    return [one.name for one in fields(holder) if one.name not in fixed]
