"""Render maps of a mesh for training data: CCM, shaded colour and world-space normal (numpy, no torch)."""

import numpy as np

from sdtool import ccm
from sdtool.cameras import world_to_clip
from sdtool.meshes import Mesh
from sdtool.render import kernels
from sdtool.render.shading import headlight, shade

MAPS = ("ccm", "rgb", "normal")


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """(V, 3) float32 area-weighted unit vertex normals (zero where no face says anything)."""
    a, b, c = (mesh.v_pos[mesh.t_pos_idx[:, k]].astype(np.float64) for k in range(3))
    weighted = np.cross(b - a, c - a)
    normal = np.stack(
        [
            np.bincount(
                mesh.t_pos_idx.ravel(), np.repeat(weighted[:, k], 3), minlength=len(mesh.v_pos)
            )
            for k in range(3)
        ],
        axis=-1,
    )
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    return (normal / np.maximum(length, 1e-30)).astype(np.float32)


def render_maps(
    mesh: Mesh, c2w: np.ndarray, fov: float, size: int, maps: tuple[str, ...], supersample: int = 4
) -> dict[str, np.ndarray]:
    """Render `maps` of a mesh in canonical space.

    c2w: (N, 4, 4). fov: radians. Returns name → (N, size, size, 4) float32 in the four-channel map
    form of `sdtool.ccm`, averaged premultiplied from `supersample`² samples a pixel.
    """
    side = size * supersample
    rast = kernels.rasterize_views(mesh.v_pos, mesh.t_pos_idx, world_to_clip(c2w, fov), side, side)
    coverage = (rast[..., 3:] > 0).astype(np.float32)
    images = {}
    if "ccm" in maps:
        low, high = mesh.bounds()
        corner = ccm.canonical_coordinates(mesh.v_pos, low, high).astype(np.float32)
        images["ccm"] = kernels.interpolate(corner, mesh.t_pos_idx, rast)
    if "rgb" in maps or "normal" in maps:
        normal = kernels.interpolate(vertex_normals(mesh), mesh.t_pos_idx, rast)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
        to_eye = c2w[:, None, None, :3, 2]
        normal = np.where((normal * to_eye).sum(-1, keepdims=True) < -0.2, -normal, normal)
    if "normal" in maps:
        images["normal"] = (normal + 1) / 2
    if "rgb" in maps:
        color = mesh.v_color if mesh.v_color is not None else np.full_like(mesh.v_pos, 0.6)
        albedo = kernels.interpolate(np.ascontiguousarray(color, np.float32), mesh.t_pos_idx, rast)
        images["rgb"] = shade(albedo, normal, headlight(c2w)[:, None, None])
    return {
        name: ccm.downsample(ccm.encode_map(images[name], coverage), supersample) for name in maps
    }
