"""The coarse shape: a density pyramid, for the phase in which parts still have to appear.

A surface alone can hardly grow a leg, a density can. It starts as a soft blob.
"""

import torch
import torch.nn.functional as F
from torch import nn

from sdtool.shapes.grids import GridPyramid, grid_points, total_variation

BLOB_HEIGHT, BLOB_RADIUS = 4.0, 0.35
SHARPNESS = 8.0  # density of a raw value of 1; a surface some 0.03 thick stops a ray


class DensityShape(nn.Module):
    """density(x) = 8 · softplus(Σ grids(x) + blob(x)), in absorption per world unit, over ±half_extent."""

    blob: torch.Tensor

    def __init__(self, levels: tuple[int, ...] = (8, 16, 32, 48), half_extent: float = 0.6):
        super().__init__()
        self.field = GridPyramid(levels, 1, half_extent, gains=(1.0, 1.0, 0.7, 0.4)[: len(levels)])
        self.half_extent = half_extent
        radius = grid_points(levels[-1], half_extent).norm(dim=-1)
        blob = BLOB_HEIGHT * (1 - 2 * radius / BLOB_RADIUS).clamp(min=-1.5)
        self.register_buffer("blob", blob[None, None], persistent=False)

    def raw(self) -> torch.Tensor:
        """(1, 1, n, n, n) values before the softplus."""
        return self.field.composed() + self.blob

    def maps_grid(self, composed: torch.Tensor | None = None, slope: bool = True) -> torch.Tensor:
        """(1, 4, n, n, n): density, then its downhill direction (the outward normal, not unit).

        composed: the field's values, if they are at hand. slope: False for the density alone.
        """
        raw = self.raw() if composed is None else composed + self.blob
        density = SHARPNESS * F.softplus(raw)
        if not slope:
            return density
        padded = F.pad(density, (1, 1, 1, 1, 1, 1), mode="replicate")
        x = padded[..., 1:-1, 1:-1, :-2] - padded[..., 1:-1, 1:-1, 2:]
        y = padded[..., 1:-1, :-2, 1:-1] - padded[..., 1:-1, 2:, 1:-1]
        z = padded[..., :-2, 1:-1, 1:-1] - padded[..., 2:, 1:-1, 1:-1]
        return torch.cat([density, x, y, z], dim=1)

    @torch.no_grad()
    def bounds(self, tail: float = 0.002) -> torch.Tensor:
        """(2, 3) box that leaves out `tail` of the opacity at either end of each axis."""
        density = SHARPNESS * F.softplus(self.raw())[0, 0]
        cell = 2 * self.half_extent / (density.shape[0] - 1)
        opacity = 1 - torch.exp(-density * cell)
        opacity = torch.where(opacity > 0.15, opacity, torch.zeros_like(opacity))
        line = torch.linspace(
            -self.half_extent, self.half_extent, density.shape[0], device=density.device
        )
        corners = []
        for axes in ((0, 1), (0, 2), (1, 2)):  # the marginals along x, y, z
            share = opacity.sum(axes).cumsum(0)
            share = share / share[-1].clamp(min=1e-8)
            ends = torch.stack([(share <= tail).sum(), (share < 1 - tail).sum()])
            corners.append(line[ends.clamp(max=len(line) - 1)])
        return torch.stack(corners).T.contiguous()

    def total_variation(self, composed: torch.Tensor | None = None) -> torch.Tensor:
        """Mean squared difference of neighbouring raw values; composed: of the field, if at hand."""
        return total_variation(self.field.composed() if composed is None else composed)
