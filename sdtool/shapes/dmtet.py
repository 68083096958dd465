"""DMTet: a signed distance and an offset on a tetrahedral grid, and their surface (Shen et al. 2021)."""

import torch
from torch import nn

from sdtool.shapes.grids import GridPyramid
from sdtool.shapes.tetrahedra import TetGrid


class DMTetShape(nn.Module):
    """sdf = sdf₀ + Σ grids, offset = tanh(Σ grids) · half a cell; the surface by marching tetrahedra.

    sdf0: (n, n, n) float32 signed distance at the grid's corners (z, y, x), negative inside, with
    n = resolution + 1. Positions are in ±half.
    """

    def __init__(self, sdf0: torch.Tensor, half: float):
        super().__init__()
        self.resolution = sdf0.shape[0] - 1
        self.half = half
        self.grid = TetGrid(self.resolution, half)
        n = self.resolution + 1
        levels = tuple(sorted({(n + 3) // 4, (n + 1) // 2, n}))
        self.field = GridPyramid(levels, 4, half, gains=(1.0, 0.5, 0.2)[: len(levels)])
        self.register_buffer("sdf0", sdf0.clone())

    def sdf(self) -> torch.Tensor:
        """(V,) signed distance at the grid's vertices, negative inside."""
        return (self.sdf0 + self.field.composed()[0, 0]).reshape(-1)

    def surface(self) -> tuple[torch.Tensor, torch.Tensor]:
        """v_pos (M, 3) float32 with gradients, t_pos_idx (F, 3) int32; empty if nothing is inside."""
        values = self.field.composed()[0]
        sdf = (self.sdf0 + values[0]).reshape(-1)
        cell = 2 * self.half / self.resolution
        offset = torch.tanh(values[1:].reshape(3, -1).T) * (0.5 * cell)
        return self.grid.march(sdf, offset)

    def roughness(self) -> torch.Tensor:
        """Mean squared Laplacian of the change of sdf, in units of cells: 0 for a shifted plane."""
        change = self.field.composed()[:, :1] * (self.resolution / (2 * self.half))
        total = 0.0
        for dim in (2, 3, 4):
            total = total + torch.diff(change, n=2, dim=dim).square().mean()
        return total


def normals(v_pos: torch.Tensor, t_pos_idx: torch.Tensor) -> torch.Tensor:
    """(V, 3) area-weighted unit vertex normals, differentiable."""
    faces = t_pos_idx.long()
    a, b, c = (v_pos[faces[:, k]] for k in range(3))
    weighted = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(v_pos).index_add(0, faces.T.reshape(-1), weighted.repeat(3, 1))
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-12)
