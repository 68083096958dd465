"""The frames in which a normal map is written and read."""

import numpy as np


def tangents(
    v_pos: np.ndarray, v_normal: np.ndarray, v_uv: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """(V, 4) float32 glTF tangents: xyz unit, at right angles to the normal, toward growing s.

    w is the sign with which cross(normal, xyz) points up in the image (falling t). The directions
    of the faces are laid into the plane of the vertex and averaged by their angles, as MikkTSpace
    does; vertices that are mirrored on one side must have been split.
    """
    corner = v_pos.astype(np.float64)[faces]
    uv = v_uv.astype(np.float64)[faces] * [1, -1]  # up instead of t
    (e1, e2), (d1, d2) = ((x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]) for x in (corner, uv))
    turn = np.sign(d1[:, 0] * d2[:, 1] - d2[:, 0] * d1[:, 1])
    along = (e1 * d2[:, 1:] - e2 * d1[:, 1:]) * turn[:, None]  # ∂position/∂s
    total, sign = np.zeros((len(v_pos), 3)), np.zeros(len(v_pos))
    for k in range(3):
        vertex = faces[:, k]
        angle = _angle(corner, k)
        flat = _unit(_across(along, v_normal[vertex])) * angle[:, None]
        for axis in range(3):
            total[:, axis] += np.bincount(vertex, flat[:, axis], len(v_pos))
        sign += np.bincount(vertex, turn * angle, len(v_pos))
    xyz = _unit(_across(total, v_normal))
    lost = np.linalg.norm(xyz, axis=1) < 0.5  # any direction in the plane
    least = np.eye(3)[np.argmin(np.abs(v_normal[lost]), axis=1)]
    xyz[lost] = _unit(_across(least, v_normal[lost]))
    return np.concatenate([xyz, np.where(sign < 0, -1.0, 1.0)[:, None]], axis=1).astype(np.float32)


def bitangents(v_normal: np.ndarray, v_tangent: np.ndarray) -> np.ndarray:
    """(V, 3) of normals (V, 3) and tangents (V, 4), as glTF defines them."""
    return np.cross(v_normal, v_tangent[:, :3]) * v_tangent[:, 3:]


def _across(vector: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """What of vectors (P, 3) is at right angles to unit normals (P, 3)."""
    return vector - np.einsum("pc,pc->p", vector, normal)[:, None] * normal


def _unit(vector: np.ndarray) -> np.ndarray:
    """Vectors at length 1; zero where they have none."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.where(length > 1e-20, vector / np.maximum(length, 1e-20), 0.0)


def _angle(corner: np.ndarray, k: int) -> np.ndarray:
    """(F,) angle at corner k of triangles (F, 3, 3)."""
    a = _unit(corner[:, (k + 1) % 3] - corner[:, k])
    b = _unit(corner[:, (k + 2) % 3] - corner[:, k])
    return np.arccos(np.clip(np.einsum("fc,fc->f", a, b), -1, 1))
