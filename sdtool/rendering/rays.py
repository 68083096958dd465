"""Volume rendering with packed samples: rays through a cube, only where there may be something.

All samples of all rays stand in one list, ray after ray, so that empty space costs nothing
(Instant-NGP, appendix E). Torch on any device.

    samples = march(origins, directions, half_extent, 64, grid.occupied, generator)
    weight = weights(field.density(samples.points), samples, len(origins))
    image = accumulate(weight, color, samples.ray, len(origins))
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

NEAR = 0.01
"""No sample is nearer to an eye than this, in world units."""

OPAQUE = 50.0
"""More absorption than this in one sample counts as this: exp(−50) is nothing beside 1."""

AT_ONCE = 1 << 20
"""So many steps of rays are looked at together: what is empty is never listed whole."""


class Samples(NamedTuple):
    """M samples, sorted by ray, then by depth; constants for autograd.

    ray: (M,) int64 numbers of the rays. depth: (M,) distance from the eye, world units. spacing:
    (M,) length of the step that the sample stands for. points: (M, 3).
    """

    ray: torch.Tensor
    depth: torch.Tensor
    spacing: torch.Tensor
    points: torch.Tensor


def box_interval(
    origins: torch.Tensor, directions: torch.Tensor, half_extent: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Depths near and far (R,) at which rays enter and leave the cube [−half_extent, half_extent]³.

    origins, directions: (R, 3), unit directions. near ≥ 0.01. Rays that miss have far ≤ near.
    """
    tiny = torch.finfo(directions.dtype).tiny ** 0.5  # a quotient by it is finite
    slow = torch.where(directions < 0, -tiny, tiny)
    slope = torch.where(directions.abs() < tiny, slow, directions)
    one, other = (-half_extent - origins) / slope, (half_extent - origins) / slope
    near = torch.minimum(one, other).amax(-1).clamp(min=NEAR)
    return near, torch.maximum(one, other).amin(-1)


class Course(NamedTuple):
    """How R rays go through the cube: (R,) depths near and far, number of steps; and a step's length."""

    near: torch.Tensor
    far: torch.Tensor
    steps: torch.Tensor
    step: float


def course(
    origins: torch.Tensor, directions: torch.Tensor, half_extent: float, samples: int
) -> Course:
    """All rays take steps of one length, the cube's diagonal / samples, and a shorter last one."""
    step = 2 * 3**0.5 * half_extent / samples
    near, far = box_interval(origins, directions, half_extent)
    return Course(near, far, ((far - near) / step).clamp(min=0).ceil().long(), step)


@torch.no_grad()
def march(
    origins: torch.Tensor,
    directions: torch.Tensor,
    half_extent: float,
    samples: int,
    occupied: Callable[[torch.Tensor], torch.Tensor] | None = None,
    generator: torch.Generator | None = None,
    at_once: int = AT_ONCE,
) -> Samples:
    """Stratified samples of rays in the cube [−half_extent, half_extent]³, where `occupied` holds.

    origins, directions: (R, 3), unit directions. samples: steps in the cube's diagonal; all rays
    take steps of that one length from where they enter, and a shorter last one to where they
    leave. occupied: points (M, 3) → bool (M,). One sample a step, at random in it with a
    generator and in its middle without. at_once: steps that are looked at together, which
    changes no result. `sdtool.rendering.marching.march_visible` leaves out what is hidden, too.
    """
    way = course(origins, directions, half_extent, samples)
    together = max(1, at_once // (samples + 1))
    parts = [
        _marched(origins, directions, way, first, first + together, occupied, generator)
        for first in range(0, max(1, len(origins)), together)
    ]
    if len(parts) == 1:
        return parts[0]
    return Samples(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _marched(origins, directions, way: Course, begin: int, end: int, occupied, generator):
    """The samples of the rays `begin` to `end`."""
    count = way.steps[begin:end]
    own = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    number = torch.arange(len(own), device=own.device) - (count.cumsum(0) - count)[own]
    ray = own + begin
    start = way.near[ray] + number * way.step
    spacing = (way.far[ray] - start).clamp(0, way.step)
    jitter: torch.Tensor | float = 0.5
    if generator is not None:
        drawn = torch.rand(len(ray), generator=generator, device=generator.device)
        jitter = drawn.to(start, non_blocking=True)
    depth = start + jitter * spacing
    points = torch.addcmul(origins[ray], directions[ray], depth[:, None])
    if occupied is None:
        return Samples(ray, depth, spacing, points)
    kept = torch.nonzero(occupied(points))[:, 0]
    return Samples(ray[kept], depth[kept], spacing[kept], points[kept])


def weights(density: torch.Tensor, samples: Samples, rays: int) -> torch.Tensor:
    """Weights (M,) of the samples: w_i = T_i (1 − exp(−σ_i δ_i)), T_i = exp(−Σ_{j<i on its ray} σ_j δ_j).

    density: (M,) ≥ 0. rays: their number R. The sum runs on over all rays, in float64, and each ray
    takes off what came before its own first sample.
    """
    absorbed = (density * samples.spacing).clamp(max=OPAQUE)
    if len(absorbed) == 0:
        return absorbed
    total = absorbed.double().cumsum(0) - absorbed
    count = torch.bincount(samples.ray, minlength=rays)
    first = (count.cumsum(0) - count)[samples.ray]
    before = (total - total[first]).to(density.dtype)
    return -torch.expm1(-absorbed) * torch.exp(-before)


def accumulate(
    weight: torch.Tensor, values: torch.Tensor | None, ray: torch.Tensor, rays: int
) -> torch.Tensor:
    """(R, C) Σ weight · values over each ray's samples: premultiplied by its coverage.

    weight: (M,). values: (M, C), or None for the coverage itself (C = 1). ray: (M,) int64 below R.
    """
    part = weight[:, None] if values is None else weight[:, None] * values
    return part.new_zeros(rays, part.shape[1]).index_add(0, ray, part)


@torch.no_grad()
def surface_density(density: torch.Tensor, weight: torch.Tensor, share: float = 0.15) -> float:
    """Where to cut a surface out of a density: `share` of what the rays see is less dense than this.

    density, weight: (M,) of samples of views from all sides. 0 if they see nothing.

    It rises as edges sharpen. Measured with fields fitted to 16 views of toys, two each of five kinds:
    after 400 steps the mesh has 0.97 to 1.03 of the true volume and a Chamfer distance at most 2%
    above that of the best level; after 100, still a fog, 2 to 29% above. Open vessels fill up at
    any level: two mugs have 1.9 of their volume, and at this level 4 and 13% more distance.
    """
    order = density.argsort()
    passed = weight[order].double().cumsum(0)
    if len(passed) == 0 or passed[-1] <= 0:
        return 0.0
    return float(density[order[torch.searchsorted(passed, share * passed[-1:])[0]]])
