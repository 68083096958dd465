"""Fewer faces for the same shape, by quadric error metrics (Garland and Heckbert 1997)."""

import numpy as np

from sdtool.geometry.cleaning import clean
from sdtool.geometry.meshes import Mesh


def decimate(mesh: Mesh, faces: int) -> Mesh:
    """At most about `faces` faces, without colours; the mesh itself if it has no more."""
    if len(mesh.t_pos_idx) <= faces:
        return mesh
    import fast_simplification

    v_pos, t_pos_idx = fast_simplification.simplify(
        np.ascontiguousarray(mesh.v_pos, np.float32),
        np.ascontiguousarray(mesh.t_pos_idx, np.int32),
        target_count=faces,
    )
    return clean(Mesh(v_pos.astype(np.float32), t_pos_idx.astype(np.int32)))
