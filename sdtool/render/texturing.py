"""Base colour of a mesh at the pixels of a rasterisation: vertex colours times textures."""

import numpy as np

from sdtool.meshes import Mesh, Texture, linear_to_srgb, srgb_to_linear
from sdtool.render import kernels

GREY = 0.6  # the sRGB-encoded colour of what has none
_LINEAR = srgb_to_linear(np.arange(256) / 255).astype(np.float32)  # of every uint8 value


def base_color(mesh: Mesh, rast: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) float32 sRGB-encoded base colour, in [0, 1], of the pixels of `rast` (N, H, W, 4).

    As glTF asks, everything is interpolated and multiplied in linear space. Opacity is not looked at.
    """
    if mesh.v_color is None and not mesh.textures:
        return np.full((*rast.shape[:3], 3), GREY, np.float32)
    default = 1.0 if mesh.textures else GREY
    color = np.full_like(mesh.v_pos, default) if mesh.v_color is None else mesh.v_color
    linear = srgb_to_linear(color).astype(np.float32)
    image = kernels.interpolate(linear, mesh.t_pos_idx, rast)
    if mesh.textures:
        uv = kernels.interpolate(np.ascontiguousarray(mesh.v_uv), mesh.t_pos_idx, rast)
        face = rast[..., 3].astype(np.int64) - 1
        which = np.where(face < 0, -1, mesh.t_texture[face])
        for number, texture in enumerate(mesh.textures):
            here = which == number
            image[here] *= sample(texture, uv[here])
    return linear_to_srgb(image).astype(np.float32)


def sample(texture: Texture, uv: np.ndarray) -> np.ndarray:
    """Bilinear texels (P, 3) float32, linear, of `texture` at `uv` (P, 2), glTF coordinates."""
    height, width = texture.image.shape[:2]
    uv = np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0)
    x, y = uv[:, 0] * np.float32(width) - 0.5, uv[:, 1] * np.float32(height) - 0.5
    left, top = np.floor(x), np.floor(y)
    right_share, bottom_share = (x - left)[:, None], (y - top)[:, None]
    columns = [_wrap(left + k, width, texture.wrap[0]) for k in (0, 1)]
    rows = [_wrap(top + k, height, texture.wrap[1]) for k in (0, 1)]
    a, b, c, d = (_LINEAR[texture.image[r, k, :3]] for r in rows for k in columns)
    upper, lower = a + (b - a) * right_share, c + (d - c) * right_share
    return upper + (lower - upper) * bottom_share


def _wrap(index: np.ndarray, size: int, mode: str) -> np.ndarray:
    """Texel numbers, whole and of any size → int64 in [0, size)."""
    index = index.astype(np.float64)
    if mode == "clamp":
        return index.clip(0, size - 1).astype(np.int64)
    if mode == "mirror":
        back = index % (2 * size)
        return np.minimum(back, 2 * size - 1 - back).astype(np.int64)
    return (index % size).astype(np.int64)
