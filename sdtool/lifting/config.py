"""The phases of a lift as plain data, the presets, and settings that override them."""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from sdtool.errors import UsageError
from sdtool.sds import WEIGHTINGS


@dataclass(frozen=True)
class Phase:
    """One phase: what is optimised, for how long, and how strongly each prior pulls.

    scene: "density" (coarse), "surface" (DMTet), or with frozen geometry "color" (plain colours) or
    "material" (physically based).
    views: cameras a step, spread evenly in azimuth. size: rendered pixels a side, averaged down to
    the prior's own size. sees: what the base prior is shown: "normal", "rgb", or "normal_latent",
    normals and mask without the VAE. normal_turn: largest turn about +Y, in degrees, that each step
    gives the normals which the base sees. lambda_*: weights of
    the two score-distillation terms, as (first quarter, rest): the AGP may lead alone at first.
    scale_*: classifier-free guidance. t_high: upper end of the noise level at the phase's start and
    end, as a share of the schedule, falling linearly over the first 70%. smooth: weight of the
    scene's own regulariser. subdivide: how often a surface's grid is halved when the phase begins.
    """

    name: str
    scene: str
    steps: int
    lr: float
    views: int = 4
    size: int = 64
    sees: str = "normal"
    lambda_ori: tuple[float, float] = (1.0, 1.0)
    lambda_align: tuple[float, float] = (1.0, 1.0)
    scale_ori: float = 10.0
    scale_align: float = 10.0
    t_low: float = 0.02
    t_high: tuple[float, float] = (0.98, 0.5)
    weighting: str = "one_minus_alpha"
    smooth: float = 0.0
    subdivide: int = 0
    normal_turn: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A whole lift: its phases and the sizes of the two shape grids.

    init: what it starts from: "density", a soft blob, or what `sdtool.lifting.initial` makes a surface
    of. tet_resolution: cells a side of the tetrahedral grid. samples: along a ray of the density.
    half: half a side of the cube that holds the shape. environment: "neutral" or an .hdr file, the
    light on a material; log2_table: size of its hash grid; metallic, detail: the most metal and
    relief that it may have.
    """

    phases: tuple[Phase, ...]
    init: str = "density"
    tet_resolution: int = 48
    samples: int = 48
    half: float = 0.6
    environment: str = "neutral"
    log2_table: int = 14
    metallic: float = 1.0
    detail: float = 0.0


# Noise levels end at 0.4, not lower: the last details of so small a prior are lumps, not parts.
TINY_CPU = Plan(
    phases=(
        Phase(
            "coarse",
            "density",
            steps=400,
            lr=0.07,
            size=32,
            lambda_ori=(0.0, 0.05),
            t_high=(0.98, 0.4),
            smooth=1.0,
        ),
        Phase(
            "geometry",
            "surface",
            steps=150,
            lr=0.003,
            lambda_ori=(0.1, 0.1),
            scale_ori=7.5,
            t_high=(0.98, 0.4),
            smooth=1000.0,
        ),
        # only high noise levels know the colour of the whole; low ones keep whatever it is
        Phase(
            "color",
            "color",
            steps=200,
            lr=0.1,
            sees="rgb",
            lambda_align=(0.0, 0.0),
            scale_ori=3.0,
            t_low=0.3,
            t_high=(0.98, 0.98),
        ),
    )
)

PREVIEW = replace(
    TINY_CPU,
    phases=tuple(
        replace(phase, steps=steps)
        for phase, steps in zip(TINY_CPU.phases, (150, 20, 60), strict=True)
    ),
    tet_resolution=32,
    samples=32,
)

# Fantasia3D's phases with the AGP beside them, for Stable Diffusion 2.1. The AGP leads for a quarter of
# the coarse phase, as in the paper's own NeRF pipeline, and weighs half in the fine one.
PAPER = Plan(
    phases=(
        Phase(
            "coarse",
            "surface",
            steps=1500,
            lr=0.001,
            size=512,
            sees="normal_latent",
            lambda_ori=(0.0, 1.0),
            scale_ori=100.0,
            scale_align=50.0,
            t_high=(0.5, 0.5),
        ),
        Phase(
            "fine",
            "surface",
            steps=1500,
            lr=0.001,
            size=512,
            lambda_align=(0.5, 0.5),
            scale_ori=100.0,
            scale_align=50.0,
            t_high=(0.5, 0.5),
            weighting="sqrt_alpha",
            subdivide=1,
        ),
        Phase(
            "material",
            "material",
            steps=2000,
            lr=0.01,
            size=512,
            sees="rgb",
            lambda_align=(0.0, 0.0),
            scale_ori=100.0,
            t_high=(0.98, 0.98),
        ),
    ),
    init="ellipsoid",
    tet_resolution=64,
    log2_table=19,
    metallic=0.0,
)

APPEARANCES = {"color": ("color", {}), "pbr": ("material", {"lr": 0.01})}
CHOICES = {"sees": ("normal", "normal_latent", "rgb"), "weighting": tuple(WEIGHTINGS)}
PRESETS = {"tiny-cpu": TINY_CPU, "preview": PREVIEW, "paper": PAPER}


def plan(preset: str) -> Plan:
    """The plan of a preset's name; UsageError lists the names."""
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset!r} is not one of {', '.join(PRESETS)}")
    return PRESETS[preset]


def starting_from(plan: Plan, init: str) -> Plan:
    """The plan with another start. Where that is a surface, phases of the density work on it instead,
    at the pace of the plan's first surface phase."""
    if init == "density" and plan.phases[0].scene != "density":
        raise UsageError("--init density: this preset's phases work on surfaces only")
    surface = next(phase for phase in plan.phases if phase.scene == "surface")
    pace = {"scene": "surface", "lr": surface.lr, "smooth": surface.smooth, "size": surface.size}
    phases = [
        replace(phase, **pace) if init != "density" and phase.scene == "density" else phase
        for phase in plan.phases
    ]
    return replace(plan, init=init, phases=tuple(phases))


def painted_as(plan: Plan, appearance: str) -> Plan:
    """The plan with plain colours ("color") or a physically based material ("pbr") at its end."""
    if appearance not in APPEARANCES:
        raise UsageError(f"--appearance {appearance} is not one of {', '.join(APPEARANCES)}")
    scene, change = APPEARANCES[appearance]
    phases = [
        replace(phase, scene=scene, **change) if phase.scene in ("color", "material") else phase
        for phase in plan.phases
    ]
    return replace(plan, phases=tuple(phases))


# Settings: `coarse.steps=500` changes a phase, `tet_resolution=64` the plan


def override(plan: Plan, settings: Iterable[str]) -> Plan:
    """The plan with settings like "coarse.steps=500" or "geometry.t_high=[0.98, 0.5]" applied.

    Values are written as in TOML; text needs no quotes. UsageError names what is unknown or wrong.
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        phase, dot, name = key.strip().rpartition(".")
        if not equals:
            raise UsageError(f"--set {setting} has no value; write it like coarse.steps=500")
        if not dot:
            plan = _replaced(plan, name, text, setting)
            continue
        names = [one.name for one in plan.phases]
        if phase not in names:
            raise UsageError(f"--set {setting}: {phase} is not one of {', '.join(names)}")
        phases = [
            _replaced(one, name, text, setting) if one.name == phase else one for one in plan.phases
        ]
        plan = replace(plan, phases=tuple(phases))
    return plan


def _replaced(holder: Any, name: str, text: str, setting: str) -> Any:
    """The dataclass with the field `name` read from text, of the type that it has now."""
    known = [
        one.name for one in fields(holder) if one.name not in ("name", "scene", "phases", "init")
    ]
    if name not in known:
        raise UsageError(f"--set {setting}: {name} is not one of {', '.join(known)}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    old = getattr(holder, name)
    wanted = old if isinstance(old, tuple) else (old,)
    given = tuple(value) if isinstance(value, list) else (value,)
    if len(given) == len(wanted) and isinstance(value, list) == isinstance(old, tuple):
        kept = [_number_like(one, like) for one, like in zip(given, wanted, strict=True)]
        if None not in kept:
            new = replace(holder, **{name: tuple(kept) if isinstance(old, tuple) else kept[0]})
            if wrong := _what_is_wrong(new):
                raise UsageError(f"--set {setting}: {wrong}")
            return new
    raise UsageError(f"--set {setting}: it should look like {json.dumps(old)}")


def _what_is_wrong(holder: Any) -> str:
    """The first thing in a plan or phase that cannot work, in words; empty if there is none."""
    if isinstance(holder, Plan):
        return "" if holder.half > 0 else "half must be above 0"
    for name, known in CHOICES.items():
        if getattr(holder, name) not in known:
            return f"{name} is not one of {', '.join(known)}"
    if not holder.t_low <= min(holder.t_high) <= max(holder.t_high) <= 1:
        return f"noise levels go from t_low, {holder.t_low}, up to at most 1"
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


def as_toml(plan: Plan) -> str:
    """The plan as TOML text: a table for each phase."""
    top = [one.name for one in fields(plan) if one.name != "phases"]
    lines = [f"{name} = {json.dumps(getattr(plan, name))}" for name in top]
    for phase in plan.phases:
        lines += ["", f"[{phase.name}]"]
        names = [one.name for one in fields(phase) if one.name != "name"]
        lines += [f"{name} = {json.dumps(getattr(phase, name))}" for name in names]
    return "\n".join(lines) + "\n"
