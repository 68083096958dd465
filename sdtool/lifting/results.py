"""What every representation leaves: a mesh with vertex colours, and what covers it more finely."""

from pathlib import Path

import numpy as np
import torch

from sdtool.geometry.meshes import Mesh, face_normals
from sdtool.io.files import write_tensors
from sdtool.lifting.scenes import VanishedError


def write_result(
    out: Path,
    v_pos: torch.Tensor,
    t_pos_idx: torch.Tensor,
    v_color: torch.Tensor,
    tensors: dict[str, torch.Tensor],
    metadata: dict[str, str],
) -> Mesh:
    """Write `shape.safetensors` and `material.safetensors`; return the coloured mesh.

    shape: v_pos (V, 3) float32, t_pos_idx (F, 3) int32. material: v_color (V, 3) float32 sRGB,
    `tensors` and `metadata`, from which `sdtool.lifting.lift_files` makes the material again. VanishedError
    if the surface is empty or not finite.
    """
    v_pos, faces, color = (a.detach().cpu().numpy() for a in (v_pos, t_pos_idx, v_color))
    mesh = Mesh(v_pos, faces, color.astype(np.float32))
    finite = np.isfinite(mesh.v_pos).all() and np.isfinite(face_normals(mesh)).all()
    if len(faces) == 0 or not finite:
        what = "not finite" if len(faces) else "empty"
        raise VanishedError(f"the finished surface is {what}; try another --seed with --overwrite")
    shape = {"v_pos": mesh.v_pos, "t_pos_idx": mesh.t_pos_idx}
    write_tensors(out / "shape.safetensors", shape, {})
    field = {name: value.detach().cpu().numpy() for name, value in tensors.items()}
    write_tensors(out / "material.safetensors", {"v_color": mesh.v_color, **field}, metadata)
    return mesh
