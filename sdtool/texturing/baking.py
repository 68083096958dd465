"""From what covers a mesh to the images of one sheet."""

import numpy as np
import torch

from sdtool.exporting.texels import Texels
from sdtool.geometry.meshes import Texture
from sdtool.lifting.painting import MaterialScene, PaintedScene
from sdtool.texturing.pieces import Layout, Paint, Piece

AT_ONCE = 1 << 18  # points that are asked together


@torch.no_grad()
def bake_sheet(
    scene: PaintedScene,
    pieces: list[Piece],
    own: list[np.ndarray],
    layouts: list[Layout],
    size: int,
    cutout: Texture | None = None,
) -> Paint:
    """The images, of `size` pixels a side, of the pieces that share a sheet.

    own: (V, 3) float32 of each piece, where it is painted; its layout says which of them its vertices are.
    Every texel asks the scene at the place of the surface that it shows. cutout: an image whose alpha the
    base colour takes over, at the pieces' `v_cut`.
    """
    v_pos, v_uv, v_cut, faces, start = [], [], [], [], 0
    for piece, places, layout in zip(pieces, own, layouts, strict=True):
        rows = slice(None) if layout.origin is None else layout.origin
        v_pos.append(places[rows])
        cut = np.zeros((len(places), 2), np.float32) if piece.v_cut is None else piece.v_cut
        v_cut.append(cut[rows])
        v_uv.append(np.asarray(layout.v_uv, np.float32))
        faces.append(layout.faces + start)
        start += len(v_uv[-1])
    texels = Texels(np.concatenate(v_uv), np.concatenate(faces).astype(np.int32), size)
    points = texels.interpolate(np.concatenate(v_pos).astype(np.float32))
    values = [
        _asked(scene, torch.from_numpy(points[k : k + AT_ONCE]).to(scene.v_pos.device))
        for k in range(0, len(points), AT_ONCE)
    ]
    channels = np.concatenate(values)
    shown = [channels[:, :3]] if channels.shape[1] == 3 else [channels[:, :3], channels[:, 3:]]
    if cutout is None:
        return Paint(*texels.images(shown))
    alpha = _alpha(cutout, texels.interpolate(np.concatenate(v_cut).astype(np.float32)))
    color, *more, holes = texels.images([*shown, alpha[:, None].repeat(3, axis=1)])
    return Paint(np.concatenate([color, holes[..., :1]], axis=-1), *more)


def _asked(scene: PaintedScene, points: torch.Tensor) -> np.ndarray:
    """(P, 3) colours, sRGB-encoded; of a material (P, 6): 1, roughness and metal behind them."""
    if not isinstance(scene, MaterialScene):
        return scene.color_at(points).cpu().numpy()
    made = scene.material(points)
    unused = torch.ones_like(made.roughness)
    parts = [made.base_color, unused, made.roughness, made.metallic]
    return torch.cat(parts, dim=1).cpu().numpy()


def _alpha(texture: Texture, places: np.ndarray) -> np.ndarray:
    """(P,) float32 in [0, 1]: the alpha of an image at coordinates (P, 2), of the nearest pixel."""
    pixel = []
    for axis, (size, wrap) in enumerate(zip(texture.image.shape[1::-1], texture.wrap, strict=True)):
        place = places[:, axis].astype(np.float64)
        if wrap == "repeat":
            place = place % 1
        elif wrap == "mirror":
            place = 1 - np.abs(place % 2 - 1)
        pixel.append((place * size).clip(0, size - 1).astype(np.int64))
    return texture.image[pixel[1], pixel[0], 3] / np.float32(255)
