"""A smooth field as a sum of dense grids, coarse to fine: the parameters of shape and colour.

Coarse levels move large parts at once and keep the surface smooth; fine ones add detail. One
composed grid is sampled, so that a step costs little more than its finest level.
"""

import torch
import torch.nn.functional as F
from torch import nn


class GridPyramid(nn.Module):
    """Σ of trilinearly enlarged grids over the cube [−half_extent, half_extent]³.

    levels: cells a side of each level, ascending. channels: values at each point. gains: factor on
    each level (default 1): under Adam a smaller gain is a smaller step, so that fine levels add
    detail without making the field rough.
    The parameters of level l are (1, channels, n, n, n), indexed (z, y, x), zero at first.
    """

    def __init__(
        self,
        levels: tuple[int, ...],
        channels: int,
        half_extent: float,
        gains: tuple[float, ...] | None = None,
    ):
        super().__init__()
        self.levels, self.half_extent = tuple(levels), half_extent
        self.gains = gains or (1.0,) * len(levels)
        self.grids = nn.ParameterList(
            nn.Parameter(torch.zeros(1, channels, n, n, n)) for n in levels
        )

    def composed(self) -> torch.Tensor:
        """(1, channels, n, n, n) at the finest level; grid corners are the cube's corners."""
        total, *finer = (gain * grid for grid, gain in zip(self.grids, self.gains, strict=True))
        for grid in finer:
            size = grid.shape[-3:]
            total = F.interpolate(total, size, mode="trilinear", align_corners=True) + grid
        return total


def sample_grid(grid: torch.Tensor, points: torch.Tensor, half_extent: float) -> torch.Tensor:
    """Trilinear values (P, C) of grid (1, C, n, n, n) at points (P, 3).

    Outside ±half_extent they fade to zero over one cell.
    """
    at = (points / half_extent).reshape(1, 1, 1, -1, 3)
    value = F.grid_sample(grid, at, mode="bilinear", padding_mode="zeros", align_corners=True)
    return value.reshape(grid.shape[1], -1).T


def total_variation(grid: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of neighbouring values of grid (1, C, n, n, n): a scalar."""
    z, y, x = (torch.diff(grid, dim=dim).square().mean() for dim in (2, 3, 4))
    return z + y + x


def grid_points(n: int, half_extent: float) -> torch.Tensor:
    """(n, n, n, 3) float32 positions (x, y, z) of a grid's corners, indexed (z, y, x)."""
    line = torch.linspace(-half_extent, half_extent, n)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x, y, z], dim=-1)
