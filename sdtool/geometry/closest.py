"""The closest point on a mesh: exact, by a uniform grid of cells that list their faces (numba)."""

import numpy as np

from sdtool.geometry.jit import njit
from sdtool.geometry.meshes import Mesh, face_normals, interpolated

TURNED = 0.05
"""A face that looks the other way counts as farther by this share of the longest side: on a thin
part it is the other side of the sheet."""
ENTRIES = 24  # mean number of cells that list a face, at most


class ClosestPoint:
    """Finds points on `mesh`, which is searched through a grid built once."""

    def __init__(self, mesh: Mesh):
        self.faces = np.ascontiguousarray(mesh.t_pos_idx, np.int32)
        self.corner = mesh.v_pos.astype(np.float64)[self.faces]  # (F, 3, 3)
        self.normal = face_normals(mesh).astype(np.float64)
        low, high = self.corner.min(axis=1), self.corner.max(axis=1)
        self.origin, extent = low.min(axis=0), np.ptp(self.corner.reshape(-1, 3), axis=0)
        self.longest = extent.max()
        share = min(256, 2 * len(self.faces) ** (1 / 3))  # few faces: few cells
        cell = min(float(np.median((high - low).max(axis=1))), self.longest / share)
        cell = max(cell, self.longest / 256)
        while True:
            cells = np.maximum(np.ceil(extent / cell), 1).astype(np.int64)
            first, last = (
                np.minimum((corner - self.origin) / cell, cells - 1).astype(np.int64)
                for corner in (low, high)
            )
            if np.prod(last - first + 1, axis=1).sum() <= ENTRIES * len(self.faces) + 4096:
                break
            cell *= 1.5
        self.cell, self.cells = cell, cells
        self.start, self.listed = _fill(first, last, cells)

    def __call__(
        self, points: np.ndarray, normals: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """For points (P, 3): the `face` (P,) int64 and the `weights` (P, 3) float32 of its vertices.

        normals: (P, 3) directions in which the points look; faces that look the other way count as
        farther (`TURNED`).
        """
        directions = np.zeros((1, 3)) if normals is None else normals
        return _search(
            points,
            directions,
            self.corner,
            self.normal,
            self.start,
            self.listed,
            self.origin,
            self.cell,
            self.cells,
            TURNED * self.longest,
        )

    def interpolate(
        self, attributes: np.ndarray, face: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Vertex attributes (V, C) float32 at the points that were found → (P, C) float32."""
        return interpolated(attributes, self.faces[face], weights)


@njit(nogil=True)
def _fill(first, last, cells):
    """Faces by cell: those of cell c are listed[start[c]:start[c + 1]]."""
    start = np.zeros(cells[0] * cells[1] * cells[2] + 1, np.int64)
    for write in (False, True):
        if write:
            total = 0
            for c in range(len(start)):  # counts become first places
                start[c], total = total, total + start[c]
            listed = np.empty(total, np.int32)
        else:
            listed = np.empty(0, np.int32)
        for f in range(len(first)):
            for i in range(first[f, 0], last[f, 0] + 1):
                for j in range(first[f, 1], last[f, 1] + 1):
                    for k in range(first[f, 2], last[f, 2] + 1):
                        c = (i * cells[1] + j) * cells[2] + k
                        if write:
                            listed[start[c]] = f
                        start[c] += 1
    for c in range(len(start) - 1, 0, -1):  # each has run on to the next one's first place
        start[c] = start[c - 1]
    start[0] = 0
    return start, listed


@njit(nogil=True)
def _search(points, directions, corner, normal, start, listed, origin, cell, cells, turned):
    """Shell after shell of cells around each point, until none can hold anything nearer."""
    face = np.zeros(len(points), np.int64)
    weights = np.zeros((len(points), 3), np.float32)
    here = np.zeros(3, np.int64)
    inside = np.zeros(3)
    for p in range(len(points)):
        # The point's cell, and its place in units of cells
        point = (float(points[p, 0]), float(points[p, 1]), float(points[p, 2]))
        direction = directions[min(p, len(directions) - 1)]
        for a in range(3):
            inside[a] = min(max((point[a] - origin[a]) / cell, 0.0), float(cells[a]))
            here[a] = min(int(inside[a]), cells[a] - 1)
        best = np.inf
        # Shells of cells in growing Chebyshev distance; cells inside a shell have been searched
        for shell in range(cells.max() + 1):
            for i in range(max(here[0] - shell, 0), min(here[0] + shell + 1, cells[0])):
                for j in range(max(here[1] - shell, 0), min(here[1] + shell + 1, cells[1])):
                    ring = max(abs(i - here[0]), abs(j - here[1])) == shell
                    step = 1 if ring or shell == 0 else 2 * shell  # else the two ends alone
                    for k in range(here[2] - shell, here[2] + shell + 1, step):
                        if k < 0 or k >= cells[2]:
                            continue
                        # The faces of the cell: the nearest so far is kept with its barycentrics
                        c = (i * cells[1] + j) * cells[2] + k
                        for entry in range(start[c], start[c + 1]):
                            f = listed[entry]
                            u, v, distance = _closest(point, corner[f])
                            n = normal[f]
                            if n[0] * direction[0] + n[1] * direction[1] + n[2] * direction[2] < 0:
                                distance += turned
                            if distance < best:
                                best, face[p] = distance, f
                                weights[p, 0], weights[p, 1], weights[p, 2] = 1 - u - v, u, v
            bound = np.inf  # everything beyond this shell is at least so far away
            for a in range(3):
                bound = min(bound, inside[a] - (here[a] - shell), here[a] + shell + 1 - inside[a])
            if best <= bound * cell:
                break
    return face, weights


@njit(nogil=True, error_model="numpy")
def _closest(p, triangle):
    """Weights u, v of a triangle's second and third vertex at its point closest to p; the distance.

    Vertex and edge regions first, as Ericson does (Real-Time Collision Detection, 5.1.5). A
    triangle without area may give NaN, which is never nearer than anything.
    """
    # The edges, and the vectors from the three vertices to the point
    ab, ac, bc = _from(triangle, 0, 1), _from(triangle, 0, 2), _from(triangle, 1, 2)
    x, y, z = p[0] - triangle[0, 0], p[1] - triangle[0, 1], p[2] - triangle[0, 2]
    ap, bp = (x, y, z), (x - ab[0], y - ab[1], z - ab[2])
    cp = (bp[0] - bc[0], bp[1] - bc[1], bp[2] - bc[2])
    # Their products with ab and ac; va, vb, vc: barycentrics times 4 · area²
    d1, d2 = _dot(ab, ap), _dot(ac, ap)
    d3, d4, d5, d6 = _dot(ab, bp), _dot(ac, bp), _dot(ab, cp), _dot(ac, cp)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    # Which Voronoi region of the triangle: a vertex, an edge, or the face
    if d1 <= 0 and d2 <= 0:
        u, v = 0.0, 0.0
    elif d3 >= 0 and d4 <= d3:
        u, v = 1.0, 0.0
    elif d6 >= 0 and d5 <= d6:
        u, v = 0.0, 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        u, v = d1 / (d1 - d3), 0.0
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        u, v = 0.0, d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        v = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        u = 1 - v
    else:
        total = va + vb + vc
        u, v = vb / total, vc / total
    x, y, z = x - u * ab[0] - v * ac[0], y - u * ab[1] - v * ac[1], z - u * ab[2] - v * ac[2]
    return u, v, np.sqrt(x * x + y * y + z * z)


@njit(nogil=True)
def _from(triangle, i, j):
    return (
        triangle[j, 0] - triangle[i, 0],
        triangle[j, 1] - triangle[i, 1],
        triangle[j, 2] - triangle[i, 2],
    )


@njit(nogil=True)
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
