"""`--rep nerf`: one radiance field from the first step to the last, at growing size; then its surface."""

from pathlib import Path

import numpy as np
import torch

from sdtool.geometry.cameras import ViewRange, orbit, rays_on
from sdtool.geometry.meshes import Mesh
from sdtool.lifting.config import LiftPlan, Phase
from sdtool.lifting.lift_files import write_lift
from sdtool.lifting.lift_materials import stored_radiance
from sdtool.lifting.radiance import RadianceScene
from sdtool.lifting.radiance_rehearsal import RehearsedScene
from sdtool.lifting.scenes import CURE, Scene, VanishedError, without_crumbs
from sdtool.rendering.rays import march, surface_density, weights
from sdtool.shapes.grids import grid_points
from sdtool.shapes.nerf import RadianceField, raw_level
from sdtool.shapes.tetrahedra import TetGrid

VIEWS, SIDE, STEPS = 16, 24, 192
"""What the density is judged by where its surface is sought: views, pixels a side, samples a ray."""


def first_scene(plan: LiftPlan, device: torch.device) -> RadianceScene:
    """A soft grey blob."""
    return RadianceScene(plan, plan.phases[0], device)


def next_scene(previous: RadianceScene, phase: Phase, plan: LiftPlan) -> RadianceScene:
    """The same field, rendered as `phase` says."""
    scene = RadianceScene(plan, phase, previous.device)
    scene.load_state_dict(previous.state_dict())
    return scene


def restored_scene(
    number: int, tensors: dict[str, torch.Tensor], plan: LiftPlan, device: torch.device
) -> RadianceScene:
    """The scene of phase `number` with the tensors of a checkpoint."""
    scene = RadianceScene(plan, plan.phases[number], device)
    scene.load_state_dict(tensors)
    return scene


def rehearsal_scene(
    previous: Scene | None, phase: Phase, plan: LiftPlan, device: torch.device
) -> RadianceScene:
    """A scene as heavy as `phase` may become."""
    return RehearsedScene(plan, phase, device)


@torch.no_grad()
def rough_mesh(scene: RadianceScene, plan: LiftPlan, view_range: ViewRange) -> Mesh:
    """The surface of a field that is half-made. VanishedError if there is none."""
    level = raw_level(seen_density(scene, view_range))
    v_pos, faces = without_crumbs(*level_set(scene, level, plan.tet_resolution))
    return Mesh(v_pos.cpu().numpy(), faces.cpu().numpy())


@torch.no_grad()
def finished(scene: RadianceScene, view_range: ViewRange, out: Path) -> Mesh:
    """Write the surface of the density, and the field that colours it; see `write_lift`."""
    level = raw_level(seen_density(scene, view_range))
    resolution = scene.plan.tet_resolution
    v_pos, faces = level_set(scene, level, resolution)
    v_pos, faces = without_crumbs(v_pos, faces)
    color = torch.cat([scene.field(part)[1] for part in v_pos.split(1 << 17)])
    stored = stored_radiance(scene.field, scene.options, level)
    return write_lift(out, v_pos, faces, color, stored)


def seen_density(scene: RadianceScene, view_range: ViewRange) -> float:
    """The density at which what is seen from all sides has its surface (`surface_density`)."""
    field = scene.field
    azimuth = np.arange(VIEWS) * (2 * np.pi / VIEWS)
    elevation = np.radians(np.resize(view_range.elevation, VIEWS))
    c2w = orbit(azimuth, elevation, np.asarray(view_range.distance))
    eyes, towards = rays_on(scene.device, c2w, float(np.radians(view_range.fov)), SIDE)
    eyes, towards = eyes.repeat_interleave(SIDE * SIDE, dim=0), towards.reshape(-1, 3)
    samples = march(eyes, towards, field.half_extent, STEPS, scene.empty.occupied)
    density = torch.cat([field.density(part) for part in samples.points.split(1 << 17)])
    weight = weights(density, samples, len(eyes))
    if not weight.sum() > 1:  # less than a pixel of all views
        raise VanishedError(f"the radiance field left nothing to see; {CURE}")
    return surface_density(density, weight)


def level_set(
    scene: RadianceScene, level: float, resolution: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """v_pos (V, 3) and t_pos_idx (F, 3) of where the raw density is `level`, by marching tetrahedra.

    What rays skip as empty is empty, and so is the surface of the cube: the mesh is closed.
    """
    field = scene.field
    outside = level - raw_grid(field, resolution + 1)
    points = grid_points(resolution + 1, field.half_extent).to(outside.device)
    skipped = ~scene.empty.occupied(points.reshape(-1, 3)).view_as(outside)
    skipped |= points.abs().amax(-1) >= field.half_extent * (1 - 1e-6)
    outside = torch.where(skipped & (outside <= 0), 1e-3, outside)
    grid = TetGrid(resolution, field.half_extent).to(outside.device)
    v_pos, faces = grid.march(outside.reshape(-1), torch.zeros_like(grid.vertices))
    if len(faces) == 0:
        raise VanishedError(f"the radiance field has no surface; {CURE}")
    return v_pos, faces


@torch.no_grad()
def raw_grid(field: RadianceField, n: int) -> torch.Tensor:
    """(n, n, n) raw density of a field at the corners (z, y, x) of a grid over ±half_extent."""
    points = grid_points(n, field.half_extent).reshape(-1, 3).to(field.field.grid.table.device)
    return torch.cat([field.raw(part) for part in points.split(1 << 17)]).view(n, n, n)
