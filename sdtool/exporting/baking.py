"""Bake a fine mesh and its material into the textures of a mesh of fewer faces."""

import numpy as np

from sdtool.exporting.tangents import bitangents, tangents
from sdtool.exporting.texels import Texels
from sdtool.exporting.unwrapping import unwrap
from sdtool.geometry.closest import ClosestPoint
from sdtool.geometry.meshes import Mesh, face_normals, vertex_normals
from sdtool.geometry.surfaces import BakedTextures, Material, TexturedMesh

FLATTEST = 0.1  # what a baked normal keeps of the surface's own: it cannot face away


def bake(fine: Mesh, coarse: Mesh, material: Material, size: int) -> TexturedMesh:
    """`coarse` with textures of `size` pixels a side that show `fine` and its material.

    Every texel looks up the closest point of `fine`: there the material is asked, and the smooth
    normal of `fine` is taken. Both meshes lie in the material's space.
    """
    origin, v_uv, faces = unwrap(coarse, size)
    v_pos, v_normal = coarse.v_pos[origin], vertex_normals(coarse)[origin]
    v_tangent = tangents(v_pos, v_normal, v_uv, faces)
    texels = Texels(v_uv, faces, size)
    axes = (v_tangent[:, :3], bitangents(v_normal, v_tangent), v_normal)
    frame = [_unit(texels.interpolate(axis.astype(np.float32))) for axis in axes]

    closest = ClosestPoint(fine)
    face, weights = closest(texels.interpolate(v_pos), face_normals(coarse)[texels.face])
    surface = material(closest.interpolate(fine.v_pos, face, weights))
    normal = _unit(closest.interpolate(vertex_normals(fine), face, weights))
    if surface.detail is not None:
        outward = np.einsum("pc,pc->p", surface.detail, normal)[:, None]
        normal = _unit(normal + surface.detail - outward * normal)
    unused = np.ones_like(surface.roughness)
    channels = np.stack([unused, surface.roughness, surface.metallic], axis=1)
    images = texels.images([surface.base_color, channels, _in_frame(normal, frame) / 2 + 0.5])
    return TexturedMesh(v_pos, v_normal, v_tangent, v_uv, faces, origin, BakedTextures(*images))


def color_vertices(fine: Mesh, coarse: Mesh, material: Material) -> Mesh:
    """`coarse` with the material's base colour at its vertices, or `fine` where they are one."""
    if coarse is fine:
        return fine
    closest = ClosestPoint(fine)
    found = closest(coarse.v_pos, vertex_normals(coarse))
    surface = material(closest.interpolate(fine.v_pos, *found))
    return Mesh(coarse.v_pos, coarse.t_pos_idx, surface.base_color)


def _in_frame(normal: np.ndarray, frame: list[np.ndarray]) -> np.ndarray:
    """Unit normals (P, 3) as x · tangent + y · bitangent + z · normal: the unit (x, y, z).

    The three axes (P, 3), interpolated as viewers do, need not be at right angles.
    """
    t, b, n = frame
    sides = np.stack([np.cross(b, n), np.cross(n, t), np.cross(t, b)], axis=1)  # (P, axis, 3)
    volume = np.einsum("pc,pc->p", t, sides[:, 0])[:, None]
    xyz = np.einsum("pac,pc->pa", sides, normal) * np.sign(volume)
    xyz[np.abs(volume[:, 0]) < 1e-3] = (0, 0, 1)
    xyz = _unit(xyz)
    xyz[:, 2] = np.maximum(xyz[:, 2], FLATTEST)
    return _unit(xyz)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("pc,pc->p", vector, vector))[:, None]
    return vector / np.maximum(length, 1e-12)
