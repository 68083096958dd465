"""Base colour of a mesh where a rasterisation shows it: vertex colours times textures."""

from dataclasses import dataclass

import numpy as np

from sdtool.geometry.meshes import Mesh, Texture, interpolated, linear_to_srgb, srgb_to_linear

GREY = 0.6  # the sRGB-encoded colour of what has none
_LINEAR = srgb_to_linear(np.arange(256) / 255).astype(np.float32)  # of every uint8 value


@dataclass(eq=False)
class Samples:
    """P points of a mesh: `face` (P,) that each lies on, and `weights` (P, 3) of its vertices."""

    mesh: Mesh
    face: np.ndarray
    weights: np.ndarray

    def interpolate(self, attributes: np.ndarray) -> np.ndarray:
        """Vertex attributes (V, C) float32 → (P, C) float32."""
        return interpolated(attributes, self.mesh.t_pos_idx[self.face], self.weights)


def base_color(seen: Samples) -> np.ndarray:
    """(P, 3) float32 sRGB-encoded base colour, in [0, 1], of samples of a mesh.

    As glTF asks, everything is interpolated and multiplied in linear space. Opacity is not looked at.
    """
    mesh = seen.mesh
    if mesh.v_color is None and not mesh.textures:
        return np.full((len(seen.face), 3), GREY, np.float32)
    if mesh.v_color is None:
        linear = np.ones((len(seen.face), 3), np.float32)
    else:
        linear = seen.interpolate(srgb_to_linear(mesh.v_color).astype(np.float32))
    if mesh.textures:
        assert mesh.v_uv is not None and mesh.t_texture is not None  # they come together
        uv, which = seen.interpolate(mesh.v_uv), mesh.t_texture[seen.face]
        for number, texture in enumerate(mesh.textures):
            here = which == number
            linear[here] *= sample(texture, uv[here])
    return linear_to_srgb(linear).astype(np.float32)


def sample(texture: Texture, uv: np.ndarray) -> np.ndarray:
    """Texels (P, 3) float32, linear, of `texture` at `uv` (P, 2), glTF coordinates: bilinear or nearest."""
    height, width = texture.image.shape[:2]
    uv = np.nan_to_num(uv, nan=0.0, posinf=0.0, neginf=0.0)
    x, y = uv[:, 0] * np.float32(width), uv[:, 1] * np.float32(height)
    if texture.nearest:
        column = _wrap(np.floor(x), width, texture.wrap[0])
        row = _wrap(np.floor(y), height, texture.wrap[1])
        return _LINEAR[texture.image[row, column, :3]]
    x, y = x - 0.5, y - 0.5
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
