"""A regular tetrahedral grid (Kuhn: six tetrahedra a cell) and marching tetrahedra on it.

Edges of the grid run in seven directions, so an edge's number is arithmetic: 7 · lower vertex +
direction. That replaces the sort ("unique") of the usual implementation in every step.
"""

from itertools import permutations

import numpy as np
import torch
from torch import nn

_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


def _triangle_table() -> np.ndarray:
    """(16, 2, 3) edge numbers of the surface in a positive tetrahedron, −1 where none.

    Code bit k says that vertex k is inside. Triangles are counter-clockwise seen from outside;
    the winding is found on the unit tetrahedron instead of being written down.
    """
    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    middle = np.array([(corner[a] + corner[b]) / 2 for a, b in _EDGES])
    table = np.full((16, 2, 3), -1, np.int64)
    for code in range(1, 15):
        inside = [k for k in range(4) if code >> k & 1]
        cut = [e for e, (a, b) in enumerate(_EDGES) if (a in inside) != (b in inside)]
        if len(cut) == 4:  # a quadrilateral: walk round it over edges that share a vertex
            ring = [cut[0]]
            while len(ring) < 4:
                ring.append(
                    next(e for e in cut if e not in ring and set(_EDGES[e]) & set(_EDGES[ring[-1]]))
                )
            triangles = [(ring[0], ring[1], ring[2]), (ring[0], ring[2], ring[3])]
        else:
            triangles = [(cut[0], cut[1], cut[2])]
        outside = [k for k in range(4) if k not in inside]
        outward = corner[outside].mean(0) - corner[inside].mean(0)
        for number, (a, b, c) in enumerate(triangles):
            normal = np.cross(middle[b] - middle[a], middle[c] - middle[a])
            table[code, number] = (a, b, c) if normal @ outward > 0 else (a, c, b)
    return table


class TetGrid(nn.Module):
    """Vertices and tetrahedra over the cube [−half_extent, half_extent]³, `resolution` cells a side.

    vertices: (V, 3) float32 with V = (resolution + 1)³, in (z, y, x) order like `GridPyramid`.
    tets: (T, 4) int64 in path order (each vertex one lattice step further); odd: (T,) bool marks
    those whose path order has negative volume. All are buffers that no checkpoint holds.
    """

    vertices: torch.Tensor
    tets: torch.Tensor
    odd: torch.Tensor
    _direction: torch.Tensor
    _table: torch.Tensor
    _first: torch.Tensor
    _step: torch.Tensor
    _bit: torch.Tensor
    _block: torch.Tensor

    def __init__(self, resolution: int, half_extent: float):
        super().__init__()
        n = resolution + 1
        self.resolution, self.half_extent = resolution, half_extent
        line = torch.linspace(-half_extent, half_extent, n)
        z, y, x = torch.meshgrid(line, line, line, indexing="ij")
        vertices = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
        stride = (1, n, n * n)  # of x, y, z
        cell = torch.arange(resolution)
        base = (cell[:, None, None] * n + cell[:, None]) * n + cell
        base = base.reshape(-1, 1)
        tets, odd, direction = [], [], []
        for order in permutations(range(3)):
            path = torch.tensor([0] + [stride[axis] for axis in order]).cumsum(0)
            bits = [0, 1 << order[0], (1 << order[0]) | (1 << order[1]), 7]
            tets.append(base + path)
            sign = np.linalg.det(np.eye(3)[list(order)])
            odd.append(torch.full((len(base),), bool(sign < 0)))
            codes = torch.tensor([(bits[b] ^ bits[a]) - 1 for a, b in _EDGES])
            direction.append(codes.expand(len(base), 6))
        self._keep("vertices", vertices)
        self._keep("tets", torch.cat(tets))
        self._keep("odd", torch.cat(odd))
        self._keep("_direction", torch.cat(direction).to(torch.int8))
        self._keep("_table", torch.from_numpy(_triangle_table()))
        self._keep("_first", torch.tensor([a for a, _ in _EDGES]))
        steps = [(m & 1) + (m >> 1 & 1) * n + (m >> 2 & 1) * n * n for m in range(1, 8)]
        self._keep("_step", torch.tensor(steps))
        self._keep("_bit", torch.arange(4))
        self._keep("_block", torch.arange(6)[:, None] * resolution**3)

    def _keep(self, name: str, value: torch.Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def march(self, sdf: torch.Tensor, offset: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The zero level of `sdf` as triangles (DMTet, section 3.1).

        sdf: (V,), negative inside. offset: (V, 3) displacement of the grid's vertices. Returns
        v_pos (M, 3), differentiable in both, and t_pos_idx (F, 3) int32, outward counter-clockwise.
        Both are empty if nothing is inside.
        """
        near = self._near_surface(inside := sdf.detach() < 0)
        tets = self.tets[near]
        code = (inside[tets].long() << self._bit).sum(-1)
        cut = torch.nonzero((code > 0) & (code < 15))[:, 0]
        active, code, tets = near[cut], code[cut], tets[cut]
        edge = tets[:, self._first] * 7 + self._direction[active]  # (A, 6) numbers of all six edges
        picked = self._table[code]  # (A, 2, 3)
        triangle = edge.gather(1, picked.clamp(min=0).reshape(-1, 6)).reshape(-1, 2, 3)
        flipped = torch.where(self.odd[active][:, None, None], triangle.flip(-1), triangle)
        corners = flipped[picked[..., 0] >= 0]  # (F, 3) edge numbers
        used = torch.zeros(7 * len(sdf), dtype=torch.bool, device=sdf.device)
        used[corners.reshape(-1)] = True
        edges = torch.nonzero(used)[:, 0]
        number = torch.empty(len(used), dtype=torch.int32, device=sdf.device)
        number[edges] = torch.arange(len(edges), dtype=torch.int32, device=sdf.device)
        a = edges // 7
        b = a + self._step[edges % 7]
        moved = self.vertices + offset
        sa, sb = sdf[a][:, None], sdf[b][:, None]
        v_pos = (moved[a] * sb - moved[b] * sa) / (sb - sa)
        return v_pos, number[corners]

    def _near_surface(self, inside: torch.Tensor) -> torch.Tensor:
        """The numbers, ascending, of the tetrahedra of those cells of which some corners are inside and some
        are not; inside: (V,) bool."""
        n = self.resolution + 1
        some = every = inside.view(n, n, n)
        for axis in range(3):
            some = some.narrow(axis, 0, n - 1) | some.narrow(axis, 1, n - 1)
            every = every.narrow(axis, 0, n - 1) & every.narrow(axis, 1, n - 1)
        cells = torch.nonzero((some & ~every).reshape(-1))[:, 0]
        return (self._block + cells).reshape(-1)
