"""STL files, binary: triangles without colours, names or units."""

import numpy as np

from sdtool.geometry.meshes import Mesh, face_normals

HEADER = 80  # bytes; they must not begin with "solid", which begins the other kind of STL
RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def stl_bytes(mesh: Mesh, title: str) -> bytes:
    """The file. v_pos is written as it is; title: what its first 80 bytes say, cut off there."""
    records = np.zeros(len(mesh.t_pos_idx), RECORD)
    records["normal"] = face_normals(mesh)
    records["corners"] = mesh.v_pos[mesh.t_pos_idx]
    head = title.encode("utf-8", "replace")[:HEADER].decode("utf-8", "ignore").encode()
    return head.ljust(HEADER) + len(records).to_bytes(4, "little") + records.tobytes()
