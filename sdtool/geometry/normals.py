"""Normals that a mesh brings along, or lacks: smooth ones at vertices, those of faces elsewhere.

`Mesh.v_normal` is zero at a vertex where every face has its own normal, as at the corners of a box.
"""

from dataclasses import replace

import numpy as np

from sdtool.geometry.meshes import Mesh, face_normals, vertex_normals

CREASE = np.cos(np.radians(30.0))
"""Faces that bend by less around a vertex are one smooth surface there (as in modellers' "auto smooth")."""


def usable_normals(normal: np.ndarray) -> np.ndarray:
    """(V, 3) float32 of unit length; zero for what has no direction, or is not finite."""
    normal = np.asarray(normal, np.float32)
    length = np.sqrt(np.einsum("vc,vc->v", normal, normal))[:, None]
    good = np.isfinite(length) & (length > 1e-6)
    return np.where(good, normal / np.where(good, length, 1), 0).astype(np.float32)


def no_normals(count: int) -> np.ndarray:
    """(count, 3) float32 zeros, in no memory: every face has its own."""
    return np.broadcast_to(np.zeros(3, np.float32), (count, 3))


def for_normals(matrices: np.ndarray) -> np.ndarray:
    """(N, 3, 3) that turn normals where `matrices` (N, 3, 3) move a surface; lengths do not stay.

    That is the transposed inverse. Cofactors are the same up to a scale, and exist for any matrix.
    """
    a, b, c = (matrices[:, k] for k in range(3))  # rows
    cofactors = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    mirrors = np.einsum("nk,nk->n", a, cofactors[:, 0]) < 0
    return np.where(mirrors[:, None, None], -cofactors, cofactors)


def creased_normals(mesh: Mesh) -> Mesh:
    """The mesh with smooth normals where its faces bend by less than `CREASE`, and none elsewhere.

    For files without normals, of formats that do not say what that means.
    """
    smooth = vertex_normals(mesh)
    faces = face_normals(mesh)
    lowest = np.ones(len(mesh.v_pos), np.float32)
    for k in range(3):
        corner = mesh.t_pos_idx[:, k]
        cosine = np.einsum("fc,fc->f", faces, smooth[corner])
        cosine[~faces.any(axis=1)] = 1  # without an area they say nothing
        np.minimum.at(lowest, corner, cosine)
    return replace(mesh, v_normal=np.where(lowest[:, None] >= CREASE, smooth, np.float32(0)))


def explicit_normals(mesh: Mesh) -> Mesh:
    """The mesh with a normal at every vertex; vertices without one are split, one for each face."""
    if mesh.v_normal is None:
        return mesh
    known = np.asarray(mesh.v_normal.any(axis=1))
    if known.all():
        return mesh
    corner = mesh.t_pos_idx.reshape(-1)
    split = np.flatnonzero(~known[corner])
    faces = corner.copy()
    faces[split] = len(mesh.v_pos) + np.arange(len(split), dtype=np.int32)
    source = np.concatenate([np.arange(len(mesh.v_pos)), corner[split]])
    normal = np.concatenate([mesh.v_normal, face_normals(mesh)[split // 3]])
    normal[~normal.any(axis=1)] = (0, 1, 0)
    return replace(
        mesh,
        v_pos=mesh.v_pos[source],
        t_pos_idx=faces.reshape(-1, 3),
        v_color=None if mesh.v_color is None else mesh.v_color[source],
        v_uv=None if mesh.v_uv is None else mesh.v_uv[source],
        v_normal=normal,
    )
