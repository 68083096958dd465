"""DMTet: a signed distance and an offset on a tetrahedral grid, and their surface (Shen et al. 2021)."""

import torch
from torch import nn

from sdtool.shapes.field import CornerField
from sdtool.shapes.grids import GridPyramid
from sdtool.shapes.hashgrid import backend_for
from sdtool.shapes.tetrahedra import TetGrid


class DMTetShape(nn.Module):
    """sdf = sdf₀ + Σ grids, offset = offset₀ + tanh(Σ grids) · half a cell; its surface by marching.

    sdf0: (n, n, n) float32 signed distance at the grid's corners (z, y, x), negative inside, with
    n = resolution + 1. offset0: (n, n, n, 3) float32, zero by default. Positions are in ±half_extent.
    log2_table: 0 for grids, which are direct values; else Σ grids is a hash grid with a perceptron, as in
    Fantasia3D, of so large a table (`CornerField`). It begins within 0.001 units of 0, so that the surface
    begins as sdf₀ without being fitted to it.
    """

    sdf0: torch.Tensor
    offset0: torch.Tensor
    field: GridPyramid | CornerField

    def __init__(
        self,
        sdf0: torch.Tensor,
        half_extent: float,
        offset0: torch.Tensor | None = None,
        log2_table: int = 0,
    ):
        super().__init__()
        self.resolution = sdf0.shape[0] - 1
        self.half_extent, self.log2_table = half_extent, log2_table
        self.grid = TetGrid(self.resolution, half_extent)
        n = self.resolution + 1
        levels = tuple(sorted({(n + 3) // 4, (n + 1) // 2, n}))
        if log2_table:
            generator = torch.Generator().manual_seed(0)
            backend = backend_for(sdf0.device)
            self.field = CornerField(
                n, 4, half_extent, log2_table, backend=backend, generator=generator
            )
        else:
            self.field = GridPyramid(levels, 4, half_extent, gains=(1.0, 0.5, 0.2)[: len(levels)])
        self.register_buffer("sdf0", sdf0.clone())
        offset0 = sdf0.new_zeros(n, n, n, 3) if offset0 is None else offset0.clone()
        self.register_buffer("offset0", offset0)

    def sdf(self) -> torch.Tensor:
        """(V,) signed distance at the grid's vertices, negative inside."""
        return (self.sdf0 + self.field.composed()[0, 0]).reshape(-1)

    def surface(self, composed: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """v_pos (M, 3) float32 with gradients, t_pos_idx (F, 3) int32; empty if nothing is inside.

        composed: the field's values, if they are at hand.
        """
        sdf, offset = self._corners(composed)
        return self.grid.march(sdf.reshape(-1), offset.reshape(-1, 3))

    def _corners(self, composed: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """sdf (n, n, n) and offset (n, n, n, 3) at the grid's corners."""
        values = (self.field.composed() if composed is None else composed)[0]
        cell = 2 * self.half_extent / self.resolution
        moved = torch.tanh(values[1:].movedim(0, -1)) * (0.5 * cell)
        return self.sdf0 + values[0], self.offset0 + moved

    @torch.no_grad()
    def subdivided(self) -> "DMTetShape":
        """The same surface on a grid of twice the resolution.

        Tetrahedra of half the size lie within the old ones, and every new corner is an old one or the
        middle of an old edge, where sdf and offset are means: the surface does not move.
        """
        at = torch.arange(2 * self.resolution + 1, device=self.sdf0.device)
        low, high = at // 2, (at + 1) // 2
        ends = [torch.meshgrid(i, i, i, indexing="ij") for i in (low, high)]
        sdf, offset = ((v[ends[0]] + v[ends[1]]) / 2 for v in self._corners())
        return DMTetShape(sdf, self.half_extent, offset, self.log2_table).to(sdf.device)

    def roughness(self, composed: torch.Tensor | None = None) -> torch.Tensor:
        """Mean squared Laplacian of the change of sdf, in units of cells: 0 for a shifted plane.

        composed: the field's values, if they are at hand.
        """
        composed = self.field.composed() if composed is None else composed
        change = composed[:, :1] * (self.resolution / (2 * self.half_extent))
        z, y, x = (torch.diff(change, n=2, dim=dim).square().mean() for dim in (2, 3, 4))
        return z + y + x


def normals(v_pos: torch.Tensor, t_pos_idx: torch.Tensor) -> torch.Tensor:
    """(V, 3) area-weighted unit vertex normals, differentiable."""
    faces = t_pos_idx.long()
    a, b, c = (v_pos[faces[:, k]] for k in range(3))
    weighted = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(v_pos).index_add(0, faces.T.reshape(-1), weighted.repeat(3, 1))
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-12)
