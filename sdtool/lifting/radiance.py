"""The scene of a NeRF lift: a radiance field, seen by volume rendering (DreamFusion; Instant-NGP)."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from sdtool.geometry.cameras import rays_on
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.scenes import CURE, Penalty, RunningBox, Scene, VanishedError
from sdtool.rendering.marching import march_visible
from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.randomness import drawn_seed
from sdtool.rendering.rays import Samples, accumulate, march, weights
from sdtool.rendering.recomputed import recomputed
from sdtool.rendering.shading import headlight, shade
from sdtool.rendering.steps import Steps, parts_within, placed
from sdtool.shapes.nerf import Background, hash_radiance

OCCUPANCY_EVERY = 16
TAIL = 0.005
"""The box leaves out so much of what is seen at either end of each axis: haze, not parts."""


class RadianceScene(Scene):
    """A radiance field and the light behind it, with the empty space that rays may skip.

    Renders "ccm", the expected canonical coordinate; "rgb", shaded as the phase says; "normal" if
    anything needs it; and "backdrop" (N, 3, size, size) in [−1, 1], what lies behind.
    """

    def __init__(self, plan: LiftPlan, phase: Phase, device: torch.device | str):
        super().__init__()
        self.plan, self.phase, self.samples = plan, phase, plan.samples
        self.options = {
            "log2_table": plan.log2_table,
            "finest": plan.finest,
            "levels": plan.levels,
        }
        self.field = hash_radiance(plan.half_extent, **self.options, device=device)
        self.background = Background(generator=torch.Generator().manual_seed(1)).to(device)
        self.empty = OccupancyGrid(32, plan.half_extent).to(device)
        self.box = RunningBox().to(device)
        self.seen: dict[str, torch.Tensor] = {}
        self.load = (0, 0)  # samples of the last render, and parts that it was made in

    @property
    def device(self) -> torch.device:
        return self.box.corners.device

    def render(self, c2w, fov, size, generator=None) -> dict[str, torch.Tensor]:
        device, count = self.device, len(c2w) * size * size
        self._look_again(generator)
        eyes, towards = self._rays(c2w, fov, size)
        samples = self._march(eyes, towards, generator)
        shading = _draw(self.phase.shading, generator)
        bare = generator is not None and not self.base_looks and self.phase.ori_every > 1
        shading = "albedo" if bare else shading
        light = None
        if shading != "albedo":
            light = _light(c2w, self.phase.light_spread, generator).to(device, non_blocking=True)
        show = partial(self._show, shading=shading, light=light, per_view=size * size, bare=bare)
        if isinstance(samples, Samples):
            image, away, hits, weight = show(samples, towards)
            points = lambda: samples.points  # noqa: E731
        else:
            image, away, hits, weight = self._in_parts(show, samples, eyes, towards)
            points = lambda: placed(samples, eyes, towards).points  # noqa: E731
        if generator is not None:
            self.seen = {}
            if away is not None:
                self.seen["orient"] = self.phase.ori_every * away / count
                if self.phase.orient_over == "hits":
                    away = self.phase.ori_every * away
                    self.seen["orient"] = away * len(c2w) / hits.clamp(min=1)
        channels = image.shape[1] - 7
        coverage, position, color, *normal = image.split([1, 3, 3] + [3] * (channels // 3), dim=1)
        if generator is not None:
            self.seen["coverage"] = coverage
            low, high = self.box.update(lambda: extent_of(points(), weight.detach()))
        else:
            low, high = self.box.corners
        ccm = 2 * (position - low * coverage) / (high - low).clamp(min=0.05) - coverage
        maps = {"ccm": ccm, "rgb": 2 * color - coverage}
        if normal:
            maps["normal"] = F.normalize(normal[0], dim=-1, eps=1e-6) * coverage
        maps = {name: torch.cat([v, 2 * coverage - 1], dim=1) for name, v in maps.items()}
        maps["backdrop"] = 2 * self.background(towards) - 1
        shape = (len(c2w), size, size)
        return {name: v.reshape(*shape, -1).movedim(-1, 1) for name, v in maps.items()}

    def _look_again(self, generator: torch.Generator | None) -> None:
        """Every few steps of training, find out where there is something."""
        budget = self.phase.samples_budget
        since = self.box.steps - (0 if budget else self.plan.skip_from)
        if generator is not None and since >= 0:
            if since % OCCUPANCY_EVERY == 0:
                self.empty.update(
                    self.field.density, drawn_seed(generator) if budget else generator
                )

    def _rays(self, c2w, fov, size) -> tuple[torch.Tensor, torch.Tensor]:
        """Origins and unit directions (R, 3) of all pixels, view by view and row by row."""
        eyes, towards = rays_on(self.device, c2w, fov, size)
        return eyes.repeat_interleave(size * size, dim=0), towards.reshape(-1, 3)

    def _march(self, eyes, towards, generator) -> Samples | Steps:
        """All samples, or with a budget those that can be seen."""
        if self.phase.samples_budget:
            return self._visible(
                eyes, towards, None if generator is None else drawn_seed(generator)
            )
        extent = self.field.half_extent
        found = march(eyes, towards, extent, self.samples, self.empty.occupied, generator)
        self.load = (len(found.ray), 1)
        return found

    def _visible(self, eyes, towards, seed, empty=None, density=None) -> Steps:
        """What can be seen of a field of this density, by default its own."""
        phase, extent = self.phase, self.field.half_extent
        return march_visible(
            eyes, towards, extent, self.samples, empty or self.empty, seed, density or self.field.density,
            transmittance=phase.least_transmittance, alpha=phase.least_alpha,
            at_once=phase.samples_budget,
        )  # fmt: skip

    def _in_parts(self, show, steps: Steps, eyes, towards) -> tuple:
        """`_show` of all rays: at once, or in parts within the budget, which are computed again in the
        backward pass."""
        borders = parts_within(steps.ray, len(eyes), self.phase.samples_budget)
        self.load = (len(steps.ray), len(borders) - 1)
        if len(borders) == 2:
            return show(placed(steps, eyes, towards), towards)
        ends = torch.searchsorted(steps.ray, torch.tensor(borders).to(steps.ray)).cpu().tolist()
        parameters, shown = list(self.field.parameters()), []
        for k, first in enumerate(borders[:-1]):
            ours, part = slice(first, borders[k + 1]), slice(ends[k], ends[k + 1])

            def run(first=first, ours=ours, part=part):
                rays = eyes[ours], towards[ours]
                samples = placed(Steps(*(column[part] for column in steps)), *rays, first)
                return show(samples, rays[1], first=first)

            shown.append(recomputed(run, parameters))
        image, away, hits, weight = zip(*shown, strict=True)
        summed = (None, None) if away[0] is None else (sum(away), sum(hits))
        return torch.cat(image), *summed, torch.cat(weight)

    def _show(
        self, samples: Samples, towards, shading, light, per_view, first=0, bare=False
    ) -> tuple:
        """Of some rays, from number `first` on: their image (R, 7 or 10), premultiplied; the sum of what
        faces away, and how many rays hit something, or None, None without normals; and weights (M,).
        bare: no normals, whatever they are for.
        """
        if not bare and (shading != "albedo" or self.phase.orient != (0.0, 0.0)):
            density, color, normal = self.field.with_normal(samples.points)
        else:
            (density, color), normal = self.field(samples.points), None
        weight, away, hits = weights(density, samples, len(towards)), None, None
        if normal is not None:
            facing = (normal * towards[samples.ray]).sum(-1)
            away = (weight.detach() * facing.clamp(min=0).square()).sum()
            hit = torch.zeros(len(towards), dtype=torch.bool, device=weight.device)
            hit[samples.ray[weight.detach() > 0]] = True
            hits = hit.sum()
        if shading != "albedo":
            color = torch.ones_like(color) if shading == "textureless" else color
            color = shade(color, normal, light[(samples.ray + first) // per_view])
        parts = [torch.ones_like(weight[:, None]), samples.points, color]
        parts += [] if normal is None else [normal]
        image = accumulate(weight, torch.cat(parts, dim=1), samples.ray, len(towards))
        return image, away, hits, weight.detach()

    def extent(self) -> torch.Tensor | None:
        return self.box.corners.sum()

    def penalties(self) -> dict[str, Penalty]:
        """Of the last step's render: "orient", visible normals that face away (Ref-NeRF, equation 11),
        over all rays or those that hit something;
        "sparse", √(coverage² + 0.01) (DreamFusion); "opaque", the entropy of the coverage."""
        coverage = self.seen["coverage"]
        inner = coverage.clamp(1e-3, 1 - 1e-3)
        entropy = -(inner * inner.log() + (1 - inner) * (1 - inner).log())
        found: dict[str, Penalty] = {}
        found |= {"sparse": (coverage.square() + 0.01).sqrt().mean(), "opaque": entropy.mean()}
        return found | {name: self.seen[name] for name in {"orient"} & set(self.seen)}


def _draw(shares: tuple[float, float, float], generator: torch.Generator | None) -> str:
    """ "albedo", "lambertian" or "textureless", with these shares; without chance the likelier of the
    first two."""
    if generator is None:
        return "albedo" if shares[0] > shares[1] else "lambertian"
    at = float(torch.rand((), generator=generator)) * sum(shares)
    if at < shares[0]:
        return "albedo"
    return "lambertian" if at < shares[0] + shares[1] else "textureless"


def _light(c2w: np.ndarray, spread: float, generator: torch.Generator | None) -> torch.Tensor:
    """(N, 3) unit directions toward the light: the headlight's, moved at random by about `spread`."""
    light = torch.from_numpy(headlight(c2w))
    if generator is None or spread == 0:
        return light
    return F.normalize(light + spread * torch.randn(light.shape, generator=generator), dim=-1)


def extent_of(points: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(2, 3) corners of the box of what is seen: samples at points (M, 3) with weights (M,)."""
    if len(weight) == 0:
        raise VanishedError(f"the density has vanished; {CURE}")
    corners = []
    for axis in range(3):
        line, order = points[:, axis].sort()
        share = weight[order].double().cumsum(0)
        ends = torch.tensor([TAIL, 1 - TAIL], dtype=torch.float64)
        ends = ends.to(share.device, non_blocking=True) * share[-1]
        corners.append(line[torch.searchsorted(share, ends).clamp(max=len(line) - 1)])
    # less than a pixel is seen: not a number, which the loop finds when it next looks
    return torch.where(weight.sum() < 1, torch.nan, torch.stack(corners, dim=1))
