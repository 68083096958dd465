"""Shapes with closed forms, and a ray tracer that tries every triangle, as oracle."""

import numpy as np

from sdtool.geometry.meshes import Mesh

QUAD_FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def box(low, high) -> Mesh:
    """An axis-aligned box of 8 vertices and 12 faces, counter-clockwise seen from outside."""
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1  # vertex 5 = high x, low y, high z
    sides = [(0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6)]
    faces = [(s[i], s[j], s[k]) for s in sides for i, j, k in QUAD_FACES]
    corners = np.where(bits, high, low).astype(np.float32)
    return Mesh(corners, np.array(faces, np.int32))


def quad(corners) -> Mesh:
    """Two triangles over four corners (4, 3), in order around the quad."""
    return Mesh(np.asarray(corners, np.float32), QUAD_FACES)


def icosphere(divisions: int, radius: float = 0.5) -> Mesh:
    """An icosahedron with every face cut into four `divisions` times: 20 · 4^divisions faces."""
    g = (1 + 5**0.5) / 2
    v = [(-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0), (0, -1, g), (0, 1, g)]
    v += [(0, -1, -g), (0, 1, -g), (g, 0, -1), (g, 0, 1), (-g, 0, -1), (-g, 0, 1)]
    v = np.array(v) / np.hypot(1, g)
    f = [(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4)]
    f += [(11, 10, 2), (10, 7, 6), (7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8)]
    f += [(3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1)]
    f = np.array(f)
    for _ in range(divisions):
        edges = np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), axis=1)
        edges, number = np.unique(edges, axis=0, return_inverse=True)
        ab, bc, ca = number.reshape(3, -1) + len(v)
        middle = v[edges].mean(axis=1)
        v = np.concatenate([v, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        a, b, c = f.T
        f = np.concatenate(
            [np.stack(t, 1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
        )
    return Mesh((radius * v).astype(np.float32), f.astype(np.int32))


def trace(mesh: Mesh, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest hit of rays from `origin` (3,) along `directions` (..., 3), in float64.

    Returns the distance (...,), inf where nothing is hit, and the face (...,).
    """
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]].astype(np.float64) for k in range(3))
    normal = np.cross(b - a, c - a)  # (F, 3)
    rays = directions.reshape(-1, 1, 3).astype(np.float64)  # (P, 1, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = ((a - origin) * normal).sum(-1) / (rays * normal).sum(-1)  # (P, F)
        point = origin + distance[..., None] * rays
        inside = distance > 0
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= (np.cross(q - p, point - p) * normal).sum(-1) >= 0
    distance = np.where(inside, distance, np.inf)
    shape = directions.shape[:-1]
    return distance.min(axis=1).reshape(shape), distance.argmin(axis=1).reshape(shape)
