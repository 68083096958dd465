"""Samples of rays in few bytes, and the rays that a march works on."""

from typing import NamedTuple

import torch

from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.rays import Course, Samples


class Steps(NamedTuple):
    """M samples, sorted by ray, then by depth, in 12 bytes each.

    ray: (M,) int32 numbers of the rays. depth: (M,) float32 distance from the eye, world units.
    spacing: (M,) float32 length of the step that the sample stands for.
    """

    ray: torch.Tensor
    depth: torch.Tensor
    spacing: torch.Tensor


class Rays(NamedTuple):
    """The R rays of a block, the cube that they cross, and how far they have come.

    origins, directions: (R, 3). way: of these rays. grid: what is occupied. following: (R,) int32,
    each ray's next step. carried: (R,) float64, what has been absorbed on it so far. first: the first
    ray's number among all. begun: of `sdtool.rendering.randomness.begin`, or −1 for steps' middles.
    """

    origins: torch.Tensor
    directions: torch.Tensor
    way: Course
    grid: OccupancyGrid
    following: torch.Tensor
    carried: torch.Tensor
    first: int
    begun: int


def placed(
    steps: Steps, origins: torch.Tensor, directions: torch.Tensor, first: int = 0
) -> Samples:
    """The samples with their points. origins, directions: (R, 3) of the rays from number `first` on, from
    which the result's numbers count."""
    ray = steps.ray.long() - first
    points = torch.addcmul(origins[ray], directions[ray], steps.depth[:, None])
    return Samples(ray, steps.depth, steps.spacing, points)


def parts_within(ray: torch.Tensor, rays: int, budget: int) -> list[int]:
    """Borders 0 … rays between parts of the rays which have at most `budget` of the samples each.

    ray: (M,) numbers of the samples' rays, in order. A ray of more than the budget is a part of its own.
    """
    if len(ray) <= budget:
        return [0, rays]
    counted = torch.bincount(ray, minlength=rays).cumsum(0)
    borders = [0]
    while borders[-1] < rays:
        before = counted[borders[-1] - 1] if borders[-1] else counted[0] * 0
        border = int(torch.searchsorted(counted, before + budget, right=True))
        borders.append(min(max(border, borders[-1] + 1), rays))
    return borders
