"""`--rep dmtet`: a density for the coarse phase, DMTet for the geometry, then its surface is painted.

The surface alone cannot grow parts that it does not have, so the coarse phase is a short density
warm start. The paper's DMTet pipeline starts from an ellipsoid instead, as `init` can.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from sdtool.files import write_tensors
from sdtool.lifting.config import Phase, Plan
from sdtool.lifting.initial import initial_sdf
from sdtool.lifting.painting import ColorScene, MaterialScene, PaintedScene
from sdtool.lifting.scenes import (
    DensityScene,
    SurfaceScene,
    VanishedError,
    density_to_sdf,
    largest_component,
)
from sdtool.meshes import Mesh, face_normals
from sdtool.render.environment import neutral_environment, read_environment
from sdtool.shapes.dmtet import DMTetShape


def first_scene(plan: Plan, device: torch.device) -> nn.Module:
    """The scene of a plan's first phase: the soft blob, or the surface that it starts from."""
    if plan.phases[0].scene == "density":
        return DensityScene(plan.half, plan.samples).to(device)
    return _surface(initial_sdf(plan.init, plan.tet_resolution, plan.half), plan, device)


def next_scene(previous: nn.Module, phase: Phase, plan: Plan) -> nn.Module:
    """The scene that continues `previous` in `phase`."""
    if isinstance(previous, DensityScene):
        sdf = density_to_sdf(previous.shape, plan.tet_resolution)
        return _surface(sdf, plan, previous.box.corners.device)
    if phase.scene == "surface":
        shape = previous.shape
        for _ in range(phase.subdivide):
            shape = shape.subdivided()
        return SurfaceScene(shape).to(shape.sdf0.device)
    with torch.no_grad():
        v_pos, faces = previous.shape.surface()
        if len(faces) == 0:
            raise VanishedError(
                "the geometry phase left no surface; try another --seed with --overwrite"
            )
        v_pos, faces = largest_component(v_pos, faces)
    return _painted(phase, v_pos, faces, plan)


def _painted(phase: Phase, v_pos, faces, plan: Plan) -> PaintedScene:
    if phase.scene == "color":
        return ColorScene(v_pos, faces, plan.half).to(v_pos.device)
    named = plan.environment
    light = neutral_environment() if named == "neutral" else read_environment(named)
    options = {"log2_table": plan.log2_table, "metallic": plan.metallic, "detail": plan.detail}
    return MaterialScene(v_pos, faces, plan.half, light, options)


def _surface(sdf0: torch.Tensor, plan: Plan, device: torch.device) -> SurfaceScene:
    return SurfaceScene(DMTetShape(sdf0, plan.half)).to(device)


def restored_scene(
    number: int, tensors: dict[str, torch.Tensor], plan: Plan, device: torch.device
) -> nn.Module:
    """The scene of phase `number` with the tensors of a checkpoint."""
    kind = plan.phases[number].scene
    if kind == "density":
        scene = first_scene(plan, device)
    elif kind == "surface":
        scene = _surface(tensors["shape.sdf0"], plan, device)
    else:
        v_pos, faces = (tensors[name].to(device) for name in ("v_pos", "t_pos_idx"))
        scene = _painted(plan.phases[number], v_pos, faces, plan)
    scene.load_state_dict(tensors)
    return scene


@torch.no_grad()
def finished(scene: PaintedScene, out: Path) -> Mesh:
    """Write `shape.safetensors` and `material.safetensors`; return the coloured mesh.

    shape: v_pos (V, 3) float32, t_pos_idx (F, 3) int32. material: v_color (V, 3) float32 sRGB and
    what the scene stores, from which `sdtool.lifted` makes the material again.
    """
    color = scene.color_at(scene.v_pos)
    v_pos, faces, color = (a.cpu().numpy() for a in (scene.v_pos, scene.t_pos_idx, color))
    mesh = Mesh(v_pos, faces, color.astype(np.float32))
    if not np.isfinite(mesh.v_pos).all() or not np.isfinite(face_normals(mesh)).all():
        raise VanishedError(
            "the finished surface is not finite; try another --seed with --overwrite"
        )
    shape = {"v_pos": mesh.v_pos, "t_pos_idx": mesh.t_pos_idx}
    write_tensors(out / "shape.safetensors", shape, {})
    tensors, metadata = scene.stored()
    field = {name: value.cpu().numpy() for name, value in tensors.items()}
    write_tensors(out / "material.safetensors", {"v_color": mesh.v_color, **field}, metadata)
    return mesh
