"""Toys as a lift would make them: one solid skin, blurred and uneven. What a judge learns from and is
measured on must look like what it will judge."""

from functools import lru_cache

import numpy as np
import torch

from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.jit import njit
from sdtool.geometry.meshes import Mesh
from sdtool.shapes.tetrahedra import TetGrid

CELLS, HALF = 52, 0.58  # of the grid: cells a side, and its cube ±HALF


def roughened(rng: np.random.Generator, mesh: Mesh) -> Mesh | None:
    """The skin of a canonical mesh of closed parts, stretched by up to 15% along each axis, blurred by
    0.7 to 2.4 cells, with uneven noise, and cut at a level between 0.25 and 0.5: thin parts merge,
    shrink or vanish. None if nothing is left.
    """
    stretched = mesh.with_positions(mesh.v_pos * np.exp(rng.uniform(-0.15, 0.15, 3)))
    blur = np.exp(rng.uniform(np.log(0.7), np.log(2.4)))
    noise = _blurred(rng.standard_normal((CELLS + 1,) * 3), rng.uniform(1, 3))
    uneven = np.clip(0.12 * rng.random() ** 2 / noise.std() * noise, -0.2, 0.2)
    return skin(to_canonical(stretched), blur, rng.uniform(0.25, 0.5) - uneven)


def skin(mesh: Mesh, blur: float = 0.7, level: float | np.ndarray = 0.45) -> Mesh | None:
    """The outside of the solid that `mesh` (canonical, of closed parts) fills, canonical again and
    without colours; None if that is nothing.

    What is inside is 1, blurred by `blur` cells (a standard deviation), and cut at `level`.
    """
    return _marched(_blurred(filled(mesh), blur) - level)


def solid_skin(
    rng: np.random.Generator, field: np.ndarray, grain: float, depth: float
) -> Mesh | None:
    """The outside of where a field (n, n, n) over `lattice` is above 0, uneven by up to `depth` in waves of
    some `grain` cells; canonical, or None if that is nothing."""
    noise = _blurred(rng.standard_normal(field.shape), grain)
    return _marched(field + rng.uniform(0, depth) / noise.std() * noise)


def lattice() -> np.ndarray:
    """(n, n, n, 3) places [z, y, x] of the grid's points over ±HALF."""
    line = np.linspace(-HALF, HALF, CELLS + 1)
    return np.stack(np.meshgrid(line, line, line, indexing="ij")[::-1], axis=-1)


def _marched(field: np.ndarray) -> Mesh | None:
    field[[0, -1]] = field[:, [0, -1]] = field[:, :, [0, -1]] = -0.5
    with torch.no_grad():
        sdf = torch.from_numpy(-field.astype(np.float32).ravel())
        v_pos, faces = _grid().march(sdf, torch.zeros(1))
    if len(faces) == 0:
        return None
    return to_canonical(Mesh(v_pos.numpy(), faces.numpy()))


def _blurred(field: np.ndarray, cells: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(field.astype(np.float32), cells)


def filled(mesh: Mesh) -> np.ndarray:
    """(n, n, n) bool [z, y, x] over ±HALF: what lies within the closed parts of a mesh, also where
    they overlap: its winding number is positive along two axes."""
    v_pos = mesh.v_pos.astype(np.float64) + 1.7e-6  # off the lattice
    along_z = _winding(v_pos, mesh.t_pos_idx, CELLS + 1, HALF, 2)
    along_x = _winding(v_pos, mesh.t_pos_idx, CELLS + 1, HALF, 0).transpose(1, 2, 0)
    return (along_z > 0) & (along_x > 0)


@lru_cache(1)
def _grid() -> TetGrid:
    return TetGrid(CELLS, HALF)


@njit()
def _winding(v_pos, faces, n, half_extent, axis):
    """(n, n, n) int16 [axis, axis + 2, axis + 1]: how often each point is inside, counted along `axis`."""
    found = np.zeros((n, n, n), np.int16)
    cell = 2 * half_extent / (n - 1)
    p, q = (axis + 1) % 3, (axis + 2) % 3
    for f in range(len(faces)):
        a, b, c = v_pos[faces[f, 0]], v_pos[faces[f, 1]], v_pos[faces[f, 2]]
        # the face as seen along the axis: twice its signed area, and the lattice points in its box
        area = (b[p] - a[p]) * (c[q] - a[q]) - (b[q] - a[q]) * (c[p] - a[p])
        if abs(area) < 1e-14:
            continue
        sign = -1 if area > 0 else 1  # a surface that looks along the axis is where the inside ends
        i0 = max(0, int(np.ceil((min(a[p], b[p], c[p]) + half_extent) / cell)))
        i1 = min(n - 1, int(np.floor((max(a[p], b[p], c[p]) + half_extent) / cell)))
        j0 = max(0, int(np.ceil((min(a[q], b[q], c[q]) + half_extent) / cell)))
        j1 = min(n - 1, int(np.floor((max(a[q], b[q], c[q]) + half_extent) / cell)))
        for j in range(j0, j1 + 1):
            y = j * cell - half_extent
            for i in range(i0, i1 + 1):
                x = i * cell - half_extent
                # barycentrics of the lattice line; inside, it pierces the face at this height
                u = ((b[p] - x) * (c[q] - y) - (b[q] - y) * (c[p] - x)) / area
                v = ((c[p] - x) * (a[q] - y) - (c[q] - y) * (a[p] - x)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                height = u * a[axis] + v * b[axis] + w * c[axis]
                k = max(0, int(np.ceil((height + half_extent) / cell)))
                if k < n:
                    found[k, j, i] += sign
    # from the changes at the surface to the winding number, summed along the axis
    for k in range(1, n):
        found[k] += found[k - 1]
    return found
