"""Cleaning a mesh: what draws nothing, or draws the same thing twice, goes."""

import numpy as np

from sdtool.meshes import Mesh


def clean(mesh: Mesh) -> Mesh:
    """Drop faces without area, repeated faces and unused vertices; the order of the rest is kept.

    A face is repeated if an earlier one has the same three vertices in the same sense of turning.
    An area counts as none below 1e-12 of the squared longest side: that is rounding in float32.
    """
    faces = mesh.t_pos_idx
    a, b, c = (mesh.v_pos.astype(np.float64)[faces[:, k]] for k in range(3))
    doubled_area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    low, high = mesh.bounds().astype(np.float64)
    faces = faces[doubled_area > 2e-12 * (high - low).max() ** 2]
    start = np.argmin(faces, axis=1)[:, None]  # the same turn, begun at the lowest vertex
    turned = np.take_along_axis(faces, (start + np.arange(3)) % 3, axis=1)
    _, first = np.unique(turned, axis=0, return_index=True)
    faces = faces[np.sort(first)]
    used, renumbered = np.unique(faces, return_inverse=True)
    return Mesh(
        mesh.v_pos[used],
        renumbered.reshape(-1, 3).astype(np.int32),
        None if mesh.v_color is None else mesh.v_color[used],
    )
