"""The samples of rays that can be seen: what is empty, hidden or next to nothing is never stored.

    steps = march_visible(origins, directions, 0.6, 512, grid, seed, field.density)
    samples = placed(steps, origins, directions)

Rays go on in rounds: each takes some occupied samples, the density is asked at them, and rays whose
light is spent end there (Instant-NGP, appendix E). Torch on any device; NVIDIA Warp where it is
installed on an accelerator, and for tests on the CPU: `sdtool.rendering.march_warp`.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch

from sdtool.rendering import march_warp
from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.randomness import begin, uniform
from sdtool.rendering.rays import AT_ONCE, OPAQUE, Course, course
from sdtool.rendering.steps import Rays, Steps, placed
from sdtool.runtime import warp_module

WINDOW = 32
"""So many samples a ray takes in its first round, twice as many in each next one if there is room."""

BACKENDS = ("torch", "warp")


class Marcher(Protocol):
    """What a backend does in a round, for the rays `alive` (A,) of a block, int64 and ascending."""

    def candidates(self, rays: Rays, alive: torch.Tensor, window: int) -> Steps:
        """The next occupied samples of each ray, at most `window`; moves `rays.following` on."""

    def seen(
        self, rays: Rays, steps: Steps, absorbed: torch.Tensor, limit: float, least: torch.Tensor
    ) -> torch.Tensor:
        """Numbers of the samples to keep: what absorbs (M,) at least `least`, after at most `limit` before
        it on its ray. Adds to `rays.carried`."""


def backend_for(device: torch.device) -> str:
    """Who marches for tensors on `device`: "warp" on an accelerator that it can use, else "torch"."""
    return "warp" if device.type != "cpu" and warp_module.runs_on(device) else "torch"


@torch.no_grad()
def march_visible(
    origins: torch.Tensor,
    directions: torch.Tensor,
    half_extent: float,
    samples: int,
    grid: OccupancyGrid,
    seed: int | None,
    density: Callable[[torch.Tensor], torch.Tensor],
    *,
    transmittance: float = 1e-4,
    alpha: float = 0.01,
    at_once: int = AT_ONCE,
    backend: str = "",
) -> Steps:
    """Stratified samples of rays, as `sdtool.rendering.rays.march`, that are occupied and can be seen.

    origins, directions: (R, 3) float32, unit directions. samples: steps in the cube's diagonal. seed: in
    [0, 2^32), or None for the steps' middles. density: points (M, 3) → absorption per world unit (M,);
    at most `at_once` points in a call.

    A sample is left out where less than `transmittance` of the light still arrives, or if it stops less
    than `alpha` of it; or less than half of what a step in the grid's cells stops on average, if that is
    even less, so that a field that is thin everywhere is not left out (nerfacc takes the whole average).
    """
    by: Marcher = march_warp if (backend or backend_for(origins.device)) == "warp" else _Torch()
    way = course(origins, directions, half_extent, samples)
    least = (0.5 * way.step * grid.density.mean()).clamp(max=-math.log1p(-alpha))
    limit = -math.log(transmittance) if transmittance > 0 else math.inf
    together, begun, parts = max(1, at_once // WINDOW), -1 if seed is None else begin(seed), []
    for first in range(0, len(origins), together):
        block = slice(first, first + together)
        near, far, count = (part[block] for part in way[:3])
        rays = Rays(
            origins[block].contiguous(),
            directions[block].contiguous(),
            Course(near.contiguous(), far.contiguous(), count.to(torch.int32), way.step),
            grid,
            torch.zeros(len(count), dtype=torch.int32, device=count.device),
            torch.zeros(len(count), dtype=torch.float64, device=count.device),
            first,
            begun,
        )
        parts += _block(by, rays, density, limit, least, at_once)
    if not parts:
        empty = origins.new_empty(0)
        return Steps(empty.to(torch.int32), empty, empty)
    return Steps(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _block(by: Marcher, rays: Rays, density, limit, least, at_once: int) -> list[Steps]:
    """What is seen of a block's rays, in order."""
    alive, parts, window = torch.nonzero(rays.way.steps > 0)[:, 0], [], WINDOW
    while len(alive):
        steps = by.candidates(rays, alive, max(1, min(window, at_once // len(alive))))
        window *= 2
        if len(steps.ray):
            points = placed(steps, rays.origins, rays.directions).points
            absorbed = (density(points) * steps.spacing).clamp(max=OPAQUE)
            kept = by.seen(rays, steps, absorbed, limit, least)
            parts.append(Steps(*(part[kept] for part in steps)))
        going = (rays.carried[alive] <= limit) & (rays.following[alive] < rays.way.steps[alive])
        alive = alive[going]
    if not parts:
        return []
    ray, depth, spacing = (torch.cat(column) for column in zip(*parts, strict=True))
    if len(parts) > 1:  # rounds after one another; within one they are in order
        order = torch.argsort(ray, stable=True)
        ray, depth, spacing = ray[order], depth[order], spacing[order]
    return [Steps(ray + rays.first, depth, spacing)]


class _Torch:
    """The marcher in torch: each ray looks at its next `window` steps, occupied or not."""

    def candidates(self, rays: Rays, alive: torch.Tensor, window: int) -> Steps:
        near, far, count, step = rays.way
        number = rays.following[alive].long()[:, None] + torch.arange(window, device=alive.device)
        rays.following[alive] += window
        row, column = torch.nonzero(number < count[alive][:, None], as_tuple=True)
        ray, number = alive[row], number[row, column]
        start = near[ray] + number * step
        spacing = (far[ray] - start).clamp(0, step)
        jitter: torch.Tensor | float = 0.5
        if rays.begun >= 0:
            jitter = uniform(rays.begun, ray + rays.first, number)
        depth = start + jitter * spacing
        points = torch.addcmul(rays.origins[ray], rays.directions[ray], depth[:, None])
        kept = torch.nonzero(rays.grid.occupied(points))[:, 0]
        return Steps(ray[kept].to(torch.int32), depth[kept], spacing[kept])

    def seen(
        self, rays: Rays, steps: Steps, absorbed: torch.Tensor, limit: float, least: torch.Tensor
    ) -> torch.Tensor:
        ray, passed = steps.ray.long(), absorbed.double()
        total = passed.cumsum(0) - passed
        count = torch.bincount(ray, minlength=len(rays.carried))
        first = (count.cumsum(0) - count)[ray]
        before = total - total[first] + rays.carried[ray]
        rays.carried.index_add_(0, ray, passed)
        return torch.nonzero((before <= limit) & (absorbed >= least))[:, 0]
