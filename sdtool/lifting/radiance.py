"""The scene of a NeRF lift: a radiance field, seen by volume rendering (DreamFusion; Instant-NGP)."""

import numpy as np
import torch
import torch.nn.functional as F

from sdtool.geometry.cameras import rays_on
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.scenes import CURE, Penalty, RunningBox, Scene, VanishedError
from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.rays import accumulate, march, weights
from sdtool.rendering.shading import headlight, shade
from sdtool.shapes.nerf import Background, hash_radiance

OCCUPANCY_EVERY, OCCUPANCY_FROM = 16, 32
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
        self.options = {"log2_table": plan.log2_table, "finest": plan.finest}
        self.field = hash_radiance(plan.half_extent, **self.options, device=device)
        self.background = Background(generator=torch.Generator().manual_seed(1)).to(device)
        self.empty = OccupancyGrid(32, plan.half_extent).to(device)
        self.box = RunningBox().to(device)
        self.seen: dict[str, torch.Tensor] = {}

    @property
    def device(self) -> torch.device:
        return self.box.corners.device

    def render(self, c2w, fov, size, generator=None) -> dict[str, torch.Tensor]:
        device, count = self.device, len(c2w) * size * size
        if generator is not None and self.box.steps >= OCCUPANCY_FROM:
            if self.box.steps % OCCUPANCY_EVERY == 0:
                self.empty.update(self.field.density, generator)
        eyes, towards = rays_on(device, c2w, fov, size)
        towards = towards.reshape(-1, 3)
        eyes = eyes.repeat_interleave(size * size, dim=0)
        samples = march(
            eyes, towards, self.field.half_extent, self.samples, self.empty.occupied, generator
        )
        shading = _draw(self.phase.shading, generator)
        if shading != "albedo" or self.phase.orient != (0.0, 0.0):
            density, color, normal = self.field.with_normal(samples.points)
        else:
            (density, color), normal = self.field(samples.points), None
        weight = weights(density, samples, count)
        if generator is not None:
            self.seen = {}
            if normal is not None:
                facing = (normal * towards[samples.ray]).sum(-1)
                away = (weight.detach() * facing.clamp(min=0).square()).sum()
                self.seen["orient"] = away / count
                if self.phase.orient_over == "hits":
                    hit = torch.zeros(count, dtype=torch.bool, device=device)
                    hit[samples.ray[weight.detach() > 0]] = True
                    self.seen["orient"] = away * len(c2w) / hit.sum().clamp(min=1)
        if shading != "albedo":
            light = _light(c2w, self.phase.light_spread, generator).to(device, non_blocking=True)
            color = torch.ones_like(color) if shading == "textureless" else color
            color = shade(color, normal, light[samples.ray // (size * size)])
        parts = [torch.ones_like(weight[:, None]), samples.points, color]
        parts += [] if normal is None else [normal]
        image = accumulate(weight, torch.cat(parts, dim=1), samples.ray, count)
        coverage, position, color, *normal = image.split([1, 3, 3] + [3] * (len(parts) - 3), dim=1)
        if generator is not None:
            self.seen["coverage"] = coverage
            low, high = self.box.update(lambda: _extent(samples.points, weight.detach()))
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


def _extent(points: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
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
