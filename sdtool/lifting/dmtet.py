"""`--rep dmtet`: a density for the coarse phase, DMTet for the geometry, then its surface is painted.

The surface alone cannot grow parts that it does not have, so the coarse phase is a short density
warm start. The paper's DMTet pipeline starts from an ellipsoid instead, as `init` can.
"""

from pathlib import Path

import torch

from sdtool.geometry.cameras import ViewRange
from sdtool.geometry.meshes import Mesh
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.initial import initial_sdf
from sdtool.lifting.lift_files import write_lift
from sdtool.lifting.painting import ColorScene, MaterialScene, PaintedScene
from sdtool.lifting.scenes import (
    DensityScene,
    Scene,
    SurfaceScene,
    VanishedError,
    density_to_sdf,
    without_crumbs,
)
from sdtool.rendering.environment import neutral_environment, read_environment
from sdtool.shapes.dmtet import DMTetShape
from sdtool.shapes.grids import grid_points
from sdtool.shapes.material import MaterialOptions


def first_scene(plan: LiftPlan, device: torch.device) -> Scene:
    """The scene of a plan's first phase: the soft blob, or the surface that it starts from."""
    if plan.phases[0].scene == "density":
        return DensityScene(plan.half_extent, plan.samples).to(device)
    sdf = initial_sdf(plan.init, plan.tet_resolution, plan.half_extent, plan.surface_points)
    return _surface(sdf, plan, device)


def next_scene(previous: DensityScene | SurfaceScene, phase: Phase, plan: LiftPlan) -> Scene:
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
        v_pos, faces = without_crumbs(v_pos, faces)
    return painted_scene(phase, v_pos, faces, plan)


def painted_scene(
    phase: Phase, v_pos: torch.Tensor, faces: torch.Tensor, plan: LiftPlan
) -> PaintedScene:
    """A mesh, v_pos (V, 3) float32 and faces (F, 3) int32, as a phase about colours begins with it."""
    if phase.scene == "color":
        scene = ColorScene(v_pos, faces, plan.half_extent, phase.color_grid).to(v_pos.device)
        scene.with_ccm = phase.guide == "color"
        return scene
    named = plan.environment
    light = neutral_environment() if named == "neutral" else read_environment(named)
    options: MaterialOptions = {
        "log2_table": plan.log2_table,
        "metallic": plan.metallic,
        "detail": plan.detail,
    }
    painted = MaterialScene(v_pos, faces, plan.half_extent, light, options)
    painted.with_ccm = phase.guide == "color"
    return painted


def _surface(sdf0: torch.Tensor, plan: LiftPlan, device: torch.device) -> SurfaceScene:
    shape = DMTetShape(sdf0.to(device), plan.half_extent, log2_table=plan.sdf_table)
    return SurfaceScene(shape).to(device)


def restored_scene(
    number: int, tensors: dict[str, torch.Tensor], plan: LiftPlan, device: torch.device
) -> Scene:
    """The scene of phase `number` with the tensors of a checkpoint."""
    kind = plan.phases[number].scene
    if kind == "density":
        scene = first_scene(plan, device)
    elif kind == "surface":
        scene = _surface(tensors["shape.sdf0"], plan, device)
    else:
        v_pos, faces = (tensors[name].to(device) for name in ("v_pos", "t_pos_idx"))
        scene = painted_scene(plan.phases[number], v_pos, faces, plan)
    scene.load_state_dict(tensors)
    return scene


@torch.no_grad()
def rough_mesh(scene: DensityScene | SurfaceScene, plan: LiftPlan, view_range: ViewRange) -> Mesh:
    """The surface of a scene that is half-made. VanishedError if there is none."""
    if isinstance(scene, DensityScene):
        scene = _surface(
            density_to_sdf(scene.shape, plan.tet_resolution), plan, scene.box.corners.device
        )
    v_pos, faces = scene.shape.surface()
    if len(faces) == 0:
        raise VanishedError("it has no surface")
    v_pos, faces = without_crumbs(v_pos, faces)
    return Mesh(v_pos.cpu().numpy(), faces.cpu().numpy())


@torch.no_grad()
def finished(scene: PaintedScene, view_range: ViewRange, out: Path) -> Mesh:
    """Write the mesh and what covers it, see `write_lift`."""
    color = scene.color_at(scene.v_pos)
    return write_lift(out, scene.v_pos, scene.t_pos_idx, color, scene.stored())


def rehearsal_scene(
    previous: Scene | None, phase: Phase, plan: LiftPlan, device: torch.device
) -> Scene:
    """A scene as heavy as `phase` may become: a ball that fills the view."""
    if phase.scene == "density":
        return DensityScene(plan.half_extent, plan.samples).to(device)
    if isinstance(previous, SurfaceScene):
        return next_scene(previous, phase, plan)
    points = grid_points(plan.tet_resolution + 1, plan.half_extent)
    return _surface(points.norm(dim=-1) - 0.8 * plan.half_extent, plan, device)
