"""The parts of a mesh: what hangs together, what of it is large enough to be meant."""

import numpy as np

from sdtool.geometry.meshes import Mesh, triangle_areas

CRUMB = 0.01
"""A connected part of less than this share of the largest one's area is a crumb: left over, not meant."""


def connected_parts(faces: np.ndarray, count: int) -> tuple[int, np.ndarray]:
    """How many connected parts `count` vertices make, and (count,) the part of each of them.

    Faces (F, 3) that share a vertex, by its number, are connected; an unused vertex is a part.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b, c = faces.T
    starts, ends = np.concatenate([a, b]), np.concatenate([b, c])
    graph = coo_matrix((np.ones(len(starts), bool), (starts, ends)), (count, count))
    parts, part = connected_components(graph, directed=False)
    return int(parts), part


def largest_parts(mesh: Mesh, count: int = 0, *, crumb: float = CRUMB) -> Mesh:
    """The `count` connected parts of largest area; 0: all but crumbs. The order of faces is kept.

    Faces that share a vertex, by its number, are connected. crumb: as `CRUMB`, for a mesh whose
    crumbs are of another size.
    """
    faces = mesh.t_pos_idx
    part = connected_parts(faces, len(mesh.v_pos))[1][faces[:, 0]]
    area = np.bincount(part, triangle_areas(mesh.v_pos.astype(np.float64), faces))
    if count:
        kept = np.argsort(-area, kind="stable")[:count]
    else:
        kept = np.nonzero(area >= crumb * area.max())[0]
    chosen = np.isin(part, kept)
    return mesh if chosen.all() else submesh(mesh, faces[chosen])


def submesh(mesh: Mesh, faces: np.ndarray) -> Mesh:
    """The mesh of some of its faces, without unused vertices."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return Mesh(
        mesh.v_pos[used],
        renumbered.reshape(-1, 3).astype(np.int32),
        None if mesh.v_color is None else mesh.v_color[used],
        v_normal=None if mesh.v_normal is None else mesh.v_normal[used],
    )
