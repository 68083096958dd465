"""How thick a body is: rays from points of its surface straight inward, to where they leave it (numba).

This is the wall that a caliper would find at the point: exact for plates, boxes and shells. What is rounded
is thinner toward its sides than it is in the middle, and an edge of any angle is thin at its very end, so a
small share of the surface is always thin; `THINNEST` of it is left out of account.
"""

from dataclasses import dataclass

import numpy as np

from sdtool.geometry.closest import ClosestPoint
from sdtool.geometry.jit import njit
from sdtool.geometry.meshes import Mesh, face_normals, triangle_areas

SAMPLES = 20_000
THINNEST = 1.0  # percent of the surface that may be thinner than "the thinnest part"


@dataclass(frozen=True)
class Thickness:
    """In the mesh's units. thinnest: what `THINNEST` percent of the surface stay below. usual: the median.
    open: the share of the surface, in [0, 1], whose rays leave nowhere, because the mesh is open or inside
    out there; NaN for the lengths if that is all of it."""

    thinnest: float
    usual: float
    open: float


def thickness(mesh: Mesh, rng: np.random.Generator, samples: int = SAMPLES) -> Thickness:
    """Measure at points drawn evenly from the surface."""
    area = triangle_areas(mesh.v_pos.astype(np.float64), mesh.t_pos_idx)
    shares = np.cumsum(area)
    even = (np.arange(samples) + rng.random(samples)) / samples  # stratified
    face = np.searchsorted(shares, even * shares[-1]).clip(0, len(area) - 1)
    u, v = rng.random((2, samples))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    a, b, c = np.moveaxis(mesh.v_pos.astype(np.float64)[mesh.t_pos_idx[face]], 1, 0)
    points = a + u[:, None] * (b - a) + v[:, None] * (c - a)
    found = wall(ClosestPoint(mesh), points, -face_normals(mesh)[face].astype(np.float64))
    hit = found[np.isfinite(found)]
    if len(hit) == 0:
        return Thickness(np.nan, np.nan, 1.0)
    thin, usual = np.percentile(hit, [THINNEST, 50])
    return Thickness(float(thin), float(usual), 1 - len(hit) / samples)


def wall(grid: ClosestPoint, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(P,) float64: how far rays from points (P, 3) along unit directions (P, 3) run to the first face
    that they cross from its back; inf where there is none."""
    return _march(
        np.ascontiguousarray(points, np.float64),
        np.ascontiguousarray(directions, np.float64),
        grid.corner,
        grid.normal,
        grid.start,
        grid.listed,
        grid.origin,
        grid.cell,
        grid.cells,
        1e-9 * grid.longest,
    )


@njit(nogil=True, error_model="numpy")
def _march(points, directions, corner, normal, start, listed, origin, cell, cells, near):
    """From cell to cell along each ray (Amanatides and Woo 1987), until one holds the first crossing."""
    found = np.full(len(points), np.inf)
    here, step = np.zeros(3, np.int64), np.zeros(3, np.int64)
    until, across = (
        np.zeros(3),
        np.zeros(3),
    )  # to the next border of a cell, and between two of them
    for p in range(len(points)):
        for a in range(3):
            place = (points[p, a] - origin[a]) / cell
            here[a] = min(max(int(place), 0), cells[a] - 1)
            d = directions[p, a]
            step[a] = 1 if d > 0 else -1
            if d == 0:
                until[a], across[a] = np.inf, np.inf
            else:
                border = here[a] + 1 if d > 0 else here[a]
                until[a], across[a] = (border - place) * cell / d, cell / abs(d)
        best = np.inf
        while True:
            c = (here[0] * cells[1] + here[1]) * cells[2] + here[2]
            for entry in range(start[c], start[c + 1]):
                f = listed[entry]
                t = _crossing(points[p], directions[p], corner[f], normal[f])
                if t > -near and t < best:
                    best = t
            a = 0 if until[0] <= until[1] else 1
            a = a if until[a] <= until[2] else 2
            if best <= until[a] or until[a] == np.inf:
                break
            here[a] += step[a]
            until[a] += across[a]
            if here[a] < 0 or here[a] >= cells[a]:
                break
        found[p] = max(best, 0.0)
    return found


@njit(nogil=True, error_model="numpy")
def _crossing(p, d, t, n):
    """How far along the ray from p along d it crosses a triangle t from its back (its normal is n); inf if it
    does not (Möller and Trumbore 1997)."""
    if n[0] * d[0] + n[1] * d[1] + n[2] * d[2] <= 0:
        return np.inf
    ex, ey, ez = t[1, 0] - t[0, 0], t[1, 1] - t[0, 1], t[1, 2] - t[0, 2]
    gx, gy, gz = t[2, 0] - t[0, 0], t[2, 1] - t[0, 1], t[2, 2] - t[0, 2]
    hx, hy, hz = d[1] * gz - d[2] * gy, d[2] * gx - d[0] * gz, d[0] * gy - d[1] * gx
    determinant = ex * hx + ey * hy + ez * hz
    if determinant == 0:
        return np.inf
    sx, sy, sz = p[0] - t[0, 0], p[1] - t[0, 1], p[2] - t[0, 2]
    qx, qy, qz = sy * ez - sz * ey, sz * ex - sx * ez, sx * ey - sy * ex
    u = (sx * hx + sy * hy + sz * hz) / determinant
    v = (d[0] * qx + d[1] * qy + d[2] * qz) / determinant
    if u < -1e-9 or v < -1e-9 or u + v > 1 + 1e-9:
        return np.inf
    return (gx * qx + gy * qy + gz * qz) / determinant
