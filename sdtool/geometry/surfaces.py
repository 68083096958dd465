"""What covers a mesh: materials as functions of the place, and as baked textures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROUGHNESS = 0.8  # of a material that does not tell


@dataclass(frozen=True, eq=False)
class Surface:
    """A material's values at P points.

    base_color: (P, 3) float32 sRGB-encoded, in [0, 1]. roughness, metallic: (P,) float32 in [0, 1].
    detail: (P, 3) float32 in the axes of the space, or None: what of it is tangent to the surface is
    added to the smooth unit normal, which it tilts.
    """

    base_color: np.ndarray
    roughness: np.ndarray
    metallic: np.ndarray
    detail: np.ndarray | None = None


Material = Callable[[np.ndarray], Surface]
"""Points (P, 3) float32, in the space of the mesh that it covers → Surface."""


def plain_surface(base_color: np.ndarray) -> Surface:
    """A rough surface without metal, of colours (P, 3)."""
    count = len(base_color)
    rough, metal = np.full(count, ROUGHNESS, np.float32), np.zeros(count, np.float32)
    return Surface(np.asarray(base_color, np.float32), rough, metal)


@dataclass(frozen=True, eq=False)
class BakedTextures:
    """Baked images, (S, S, 3) uint8 each; row 0 is at t = 0, the top.

    base_color: sRGB-encoded. metallic_roughness: green is roughness, blue is metallic, linear; red
    is 255. normal: tangent space, green points up in the image (OpenGL, glTF).
    """

    base_color: np.ndarray
    metallic_roughness: np.ndarray
    normal: np.ndarray


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh with textures. A vertex that lies on a seam is there once for each side.

    v_pos, v_normal: (V, 3) float32. v_tangent: (V, 4) float32, glTF's: xyz points toward growing s,
    w is the sign of the bitangent. v_uv: (V, 2) float32 glTF coordinates. t_pos_idx: (F, 3) int32.
    origin: (V,) int32: vertices with the same number are one point of the surface.
    """

    v_pos: np.ndarray
    v_normal: np.ndarray
    v_tangent: np.ndarray
    v_uv: np.ndarray
    t_pos_idx: np.ndarray
    origin: np.ndarray
    textures: BakedTextures
