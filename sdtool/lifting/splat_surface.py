"""The mesh around splats: where their summed density is high, drawn in to them, and in their colours."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from sdtool.lifting.config import LiftPlan
from sdtool.lifting.scenes import CURE, VanishedError, implicit_to_sdf, without_crumbs
from sdtool.rendering.splatting import density_grid
from sdtool.shapes.dmtet import normals
from sdtool.shapes.grids import sample_grid
from sdtool.shapes.tetrahedra import TetGrid

NEAREST = 16
SURFACE = 0.3
"""Share of the splats' summed density at their own centres, in the middle, at which it counts as solid."""


class Splats(NamedTuple):
    """G splats on the CPU: points, normals (outward), deviations, albedo (G, 3); axes (G, 3, 3), M of
    covariances M Mᵀ; quaternions (G, 4); opacity (G,)."""

    points: torch.Tensor
    normals: torch.Tensor
    albedo: torch.Tensor
    opacity: torch.Tensor
    deviations: torch.Tensor
    quaternions: torch.Tensor
    axes: torch.Tensor


def surface_of(splats: Splats, plan: LiftPlan) -> tuple[torch.Tensor, torch.Tensor]:
    """v_pos (V, 3) and t_pos_idx (F, 3) int32 of what the splats enclose.

    They are a shell: where their summed density is high counts as solid, and what that encloses too. Its
    surface stands off from the splats by as much as the grid is coarse, and is drawn in to them.
    """
    points, opacity = splats.points, splats.opacity
    n, half = plan.tet_resolution + 1, plan.half_extent
    step = 2 * half / (n - 1)
    blur = max(0.7 * step, float(splats.deviations.amax(-1).median()))  # else a shell has holes
    density = torch.from_numpy(density_grid(points, splats.axes, opacity, half, n, blur))
    met = sample_grid(density[None, None].float(), points, half)[:, 0]
    level = SURFACE * float(met.median())
    if not level > 0:
        raise VanishedError(f"the splats have vanished; {CURE}")
    sdf = implicit_to_sdf((density / level - 1).numpy(), half)
    v_pos, faces = marched(sdf, plan)
    moved = _to_planes(v_pos, normals(v_pos, faces), points, splats.normals, opacity)
    return v_pos + moved * (3 * blur / moved.norm(dim=-1, keepdim=True)).clamp(max=1), faces


def marched(sdf: torch.Tensor, plan: LiftPlan) -> tuple[torch.Tensor, torch.Tensor]:
    """v_pos (V, 3) and t_pos_idx (F, 3) int32 of a signed distance (n, n, n), n = tet_resolution + 1."""
    grid = TetGrid(plan.tet_resolution, plan.half_extent)
    v_pos, faces = grid.march(sdf.reshape(-1), torch.zeros_like(grid.vertices))
    if len(faces) == 0:
        raise VanishedError(f"the splats have no surface; {CURE}")
    return without_crumbs(v_pos, faces)


def _to_planes(v_pos, v_normal, points, normal, opacity) -> torch.Tensor:
    """(V, 3) by what vertices v_pos (V, 3) come to lie on the planes of near splats, by least squares, along
    the mean of their normals: (G, 3), outward. A splat that looks the other way than the vertex's normal
    v_normal (V, 3), as across a thin part, has no say. Where hardly any faces it, as at a tip, it moves as
    far as most of the others."""
    distance, near = _nearest(points, v_pos, NEAREST)
    weight = torch.from_numpy(_falling(distance)).float() * opacity[near]
    weight = weight * (normal[near] * v_normal[:, None]).sum(-1).clamp(min=0)
    along = F.normalize((weight[..., None] * normal[near]).sum(1) + 1e-3 * v_normal, dim=-1)
    facing = (normal[near] * along[:, None]).sum(-1)
    away = ((points[near] - v_pos[:, None]) * normal[near]).sum(-1)
    pull, hold = (weight * facing * away).sum(1), (weight * facing.square()).sum(1)
    most, little = (pull / hold.clamp(min=1e-6)).median(), 0.05
    return ((pull + little * most) / (hold + little))[:, None] * along


def color_at(splats: Splats, v_pos: torch.Tensor) -> torch.Tensor:
    """(V, 3) sRGB-encoded colours of places (V, 3): of the nearest splats, by opacity and distance."""
    distance, near = _nearest(splats.points, v_pos, NEAREST // 2)
    weight = (splats.opacity.numpy()[near] + 1e-6) * _falling(distance)
    weight /= weight.sum(axis=1, keepdims=True)
    return torch.from_numpy((weight[..., None] * splats.albedo.numpy()[near]).sum(axis=1))


def _nearest(points: torch.Tensor, v_pos: torch.Tensor, count: int) -> tuple:
    """Distances (V, count), ascending, and numbers of the splats nearest to v_pos (V, 3)."""
    from scipy.spatial import cKDTree

    distance, near = cKDTree(points.numpy()).query(v_pos.numpy(), min(count, len(points)))
    return distance, near


def _falling(distance: np.ndarray) -> np.ndarray:
    """Weights (V, K) of the K nearest splats by their distances: a Gaussian as wide as the third is far."""
    return np.exp(-0.5 * (distance / (distance[:, 2:3] + 1e-6)).clip(max=5) ** 2)
