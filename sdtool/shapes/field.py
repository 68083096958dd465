"""A function of space: a hash grid, then a small perceptron (Instant-NGP). For density, colour, SDF."""

import torch
from torch import nn

from sdtool.shapes.grids import grid_points
from sdtool.shapes.hashgrid import HashGrid
from sdtool.shapes.mlp import MLP

BASE, FINEST, LEVELS = 16, 4096, 16


class Field(nn.Module):
    """Positions (P, 3) in the cube [−half_extent, half_extent]³ → `outputs` numbers each, near 0 at first.

    Differentiable in positions and parameters, twice: see `HashGrid`. The perceptron is torch's on
    every backend.
    """

    def __init__(
        self,
        grid: HashGrid,
        outputs: int,
        half_extent: float,
        hidden: int = 64,
        layers: int = 2,
        *,
        generator: torch.Generator,
    ):
        super().__init__()
        self.grid, self.half_extent = grid, half_extent
        self.mlp = MLP(grid.channels, outputs, hidden, layers, generator=generator)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """(P, outputs) at positions (P, 3), in world units."""
        return self.mlp(self.grid(positions / (2 * self.half_extent) + 0.5))

    def with_gradient(
        self, positions: torch.Tensor, output: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, outputs) and the gradient (P, 3) of one of them in the positions, per world unit.

        Where torch records gradients, the gradient has one itself: a loss on it trains the field.
        """
        recording = torch.is_grad_enabled()
        points = positions / (2 * self.half_extent) + 0.5
        encoded = self.grid(points)
        with torch.enable_grad():
            if not encoded.requires_grad:
                encoded = encoded.detach().requires_grad_()
            values = self.mlp(encoded)
            total = values[:, output].sum()
            (pull,) = torch.autograd.grad(total, encoded, create_graph=recording)
        gradient = self.grid.gradient(points, pull) / (2 * self.half_extent)
        return (values, gradient) if recording else (values.detach(), gradient)


class CornerField(nn.Module):
    """A `Field` at a grid's corners over ±half_extent: what a `GridPyramid` is, of a hash grid's parameters.

    n: corners a side. channels: values at each. log2_table: size of the hash grid's table. Levels and
    perceptron are Fantasia3D's: 16 levels from 16 to 4096 corners a side, whatever n is, so that the finer
    ones give each corner values of its own; two layers of 32.
    """

    corners: torch.Tensor

    def __init__(
        self,
        n: int,
        channels: int,
        half_extent: float,
        log2_table: int,
        *,
        backend: str,
        generator: torch.Generator,
    ):
        super().__init__()
        scale = (FINEST / BASE) ** (1 / (LEVELS - 1))
        grid = HashGrid(LEVELS, 2, log2_table, BASE, scale, backend=backend, generator=generator)
        self.n = n
        self.field = Field(grid, channels, half_extent, hidden=32, generator=generator)
        corners = grid_points(n, half_extent).reshape(-1, 3)
        self.register_buffer("corners", corners, persistent=False)

    def composed(self) -> torch.Tensor:
        """(1, channels, n, n, n), indexed (z, y, x); near 0 at first."""
        return self.field(self.corners).T.reshape(1, -1, self.n, self.n, self.n)
