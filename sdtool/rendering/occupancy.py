"""Where a field may have density: a coarse grid that lets rays skip empty space."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from sdtool.rendering.randomness import begin, uniform


class OccupancyGrid(nn.Module):
    """Cells of the cube [−half_extent, half_extent]³ in which there may be density.

    Instant-NGP, appendix E.2.

    resolution: cells a side. half_extent: world units. threshold: a cell is occupied if its density
    absorbs more than this over one cell's width, or if one of its 26 neighbours does. All cells
    are occupied before the first update.

    The neighbours belong to it for two reasons: one random point in a cell may miss the bit of a
    surface that is there, and a shape can grow only where it is looked at.

    Buffers: density (n, n, n) float32, a fading maximum per cell, indexed (z, y, x); cells
    (n, n, n) bool, the occupied ones.
    """

    density: torch.Tensor
    cells: torch.Tensor

    def __init__(self, resolution: int = 32, half_extent: float = 0.6, threshold: float = 0.01):
        super().__init__()
        self.half_extent, self.threshold = half_extent, threshold
        shape = (resolution,) * 3
        self.register_buffer("density", torch.zeros(shape))
        self.register_buffer("cells", torch.ones(shape, dtype=torch.bool))

    @property
    def width(self) -> float:
        """A cell's, in world units."""
        return 2 * self.half_extent / len(self.cells)

    @property
    def fraction(self) -> float:
        """The share of occupied cells, in [0, 1]."""
        return float(self.cells.float().mean())

    def occupied(self, points: torch.Tensor) -> torch.Tensor:
        """(M,) bool: are points (M, 3) in occupied cells? Outside the cube the nearest cell counts."""
        n = len(self.cells)
        place = ((points + self.half_extent) * (1 / self.width)).clamp(0, n - 1).int()
        x, y, z = place.unbind(-1)
        return self.cells.view(-1)[(z * n + y) * n + x]

    @torch.no_grad()
    def update(
        self,
        density: Callable[[torch.Tensor], torch.Tensor],
        generator: torch.Generator | int,
        decay: float = 0.95,
    ) -> None:
        """Look at the field again: a cell keeps max(decay · what it had, density at a random point in it).

        density: points (P, 3) → absorption per world unit (P,); one call with P = resolution³.
        generator: draws the points, or is a seed in [0, 2^32) from which they are made on the grid's device.
        What is not a number changes nothing.
        """
        seen = density(self._points(generator)).to(self.density).view_as(self.density)
        self.density.copy_(torch.fmax(decay * self.density, seen))
        self.cells.copy_(dilated(self.density * self.width > self.threshold))

    def _points(self, generator: torch.Generator | int) -> torch.Tensor:
        """(n³, 3) one random point in each cell."""
        n = len(self.cells)
        line = torch.arange(n, device=self.cells.device)
        z, y, x = torch.meshgrid(line, line, line, indexing="ij")
        corner = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
        if isinstance(generator, int):
            cell = torch.arange(n**3, device=line.device)[:, None]
            within = uniform(begin(generator), cell, torch.arange(3, device=line.device))
        else:
            within = torch.rand(n**3, 3, generator=generator, device=generator.device)
            within = within.to(corner.device, non_blocking=True)
        return (corner + within) * self.width - self.half_extent


def dilated(cells: torch.Tensor) -> torch.Tensor:
    """(n, n, n) bool: the cells and their 26 neighbours."""
    return F.max_pool3d(cells[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0
