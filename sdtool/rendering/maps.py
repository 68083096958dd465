"""Render maps of a mesh for training data: CCM, shaded colour and world-space normal (numpy, no torch)."""

import numpy as np

from sdtool.geometry import ccm
from sdtool.geometry.cameras import world_to_clip
from sdtool.geometry.meshes import Mesh, face_normals, vertex_normals
from sdtool.rendering import kernels
from sdtool.rendering.shading import headlight, shade
from sdtool.rendering.texturing import base_color
from sdtool.rendering.visible import Visible

MAPS = ("ccm", "rgb", "normal")
GRAZING = (
    0.2  # cosine with the axis of view, below which a normal says not which side of a face is seen
)


def render_maps(
    mesh: Mesh, c2w: np.ndarray, fov: float, size: int, maps: tuple[str, ...], supersample: int = 4
) -> dict[str, np.ndarray]:
    """Render `maps` of a mesh in canonical space.

    c2w: (N, 4, 4). fov: radians. Returns name → (N, size, size, 4) float32 in the four-channel map
    form of `sdtool.geometry.ccm`, averaged premultiplied from `supersample`² samples a pixel.
    """
    return render_through(mesh, c2w, world_to_clip(c2w, fov), size, maps, supersample)


def render_through(
    mesh: Mesh,
    c2w: np.ndarray,
    matrices: np.ndarray,
    size: int,
    maps: tuple[str, ...],
    supersample: int = 4,
) -> dict[str, np.ndarray]:
    """As `render_maps`, through any projection. matrices: (N, 4, 4) float32, from world to clip space."""
    images = {}
    if "ccm" in maps:
        corner = ccm.canonical_coordinates(mesh.v_pos, *mesh.bounds()).astype(np.float32)
        images["ccm"] = kernels.render_map(
            corner, mesh.v_pos, mesh.t_pos_idx, matrices, size, supersample
        )
    others = tuple(name for name in maps if name != "ccm")
    if others:
        side = size * supersample
        rast = kernels.rasterize_views(mesh.v_pos, mesh.t_pos_idx, matrices, side, side)
        images |= visible_maps(mesh, rast, c2w, matrices, others, supersample)
    return images


def visible_maps(
    mesh: Mesh,
    rast: np.ndarray,
    c2w: np.ndarray,
    matrices: np.ndarray,
    maps: tuple[str, ...],
    supersample: int,
) -> dict[str, np.ndarray]:
    """The maps ``rgb`` and ``normal`` of what `rast` (N, S, S, 4) shows: as `render_through`."""
    seen = Visible(mesh, rast)
    normal = _facing_normals(seen, c2w, matrices)
    values = {}
    if "normal" in maps:
        values["normal"] = (normal + 1) / 2
    if "rgb" in maps:
        values["rgb"] = shade(base_color(seen), normal, headlight(c2w)[seen.view])
    return {name: seen.to_maps(value, supersample) for name, value in values.items()}


def _normals(seen: Visible) -> np.ndarray:
    """(P, 3) normals, not of unit length: those of the mesh, of its faces where it has none."""
    mesh = seen.mesh
    if mesh.v_normal is None:
        return seen.interpolate(vertex_normals(mesh))
    has_own = np.asarray(mesh.v_normal.any(axis=1))
    if has_own.all():
        return seen.interpolate(mesh.v_normal)
    faces = face_normals(mesh)[seen.face]
    if not has_own.any():
        return faces
    total = np.zeros_like(faces)
    for k, corner in enumerate(mesh.t_pos_idx[seen.face].T):
        normal = np.where(has_own[corner, None], mesh.v_normal[corner], faces)
        total += normal * seen.weights[:, k : k + 1]
    return total


def _facing_normals(seen: Visible, c2w: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """(P, 3) unit normals of the visible surface; what faces away is turned to the eye.

    So it does not matter which way round a file's triangles turn, nor whether its normals point inward.
    """
    normal = _normals(seen)
    normal /= np.maximum(np.sqrt(np.einsum("pc,pc->p", normal, normal)), 1e-12)[:, None]
    cosine = np.einsum("pc,pc->p", normal, c2w[seen.view, :3, 2])
    away = cosine < -GRAZING
    grazing = np.nonzero(np.abs(cosine) <= GRAZING)[0]  # here a smooth normal may lean from the eye
    away[grazing] = _behind(seen, grazing, normal[grazing], matrices)
    return np.where(away[:, None], -normal, normal)


def _behind(
    seen: Visible, chosen: np.ndarray, normal: np.ndarray, matrices: np.ndarray
) -> np.ndarray:
    """(Q,) whether normals (Q, 3) of the chosen visible points are on the far side of their faces."""
    corners = seen.mesh.v_pos[seen.mesh.t_pos_idx[seen.face[chosen]]]  # (Q, 3, 3)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # |x y w| of the corners in clip space is negative where their order is counter-clockwise to the eye
    screen = matrices[seen.view[chosen]][:, [0, 1, 3]]
    clip = corners @ screen[:, :, :3].transpose(0, 2, 1) + screen[:, None, :, 3]
    turns = np.einsum("pc,pc->p", clip[:, 0], np.cross(clip[:, 1], clip[:, 2]))
    return np.einsum("pc,pc->p", normal, across) * turns > 0
