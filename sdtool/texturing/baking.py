"""From what covers a mesh to the images of one sheet."""

import numpy as np
import torch

from sdtool.exporting.texels import Texels
from sdtool.lifting.painting import MaterialScene, PaintedScene
from sdtool.texturing.pieces import Layout, Paint

AT_ONCE = 1 << 18  # points that are asked together


@torch.no_grad()
def bake_sheet(
    scene: PaintedScene, own: list[np.ndarray], layouts: list[Layout], size: int
) -> Paint:
    """The images, of `size` pixels a side, of the pieces that share a sheet.

    own: (V, 3) float32 of each piece, where it is painted; its layout says which of them its vertices are.
    Every texel asks the scene at the place of the surface that it shows.
    """
    v_pos, v_uv, faces, start = [], [], [], 0
    for places, layout in zip(own, layouts, strict=True):
        v_pos.append(places if layout.origin is None else places[layout.origin])
        v_uv.append(np.asarray(layout.v_uv, np.float32))
        faces.append(layout.faces + start)
        start += len(v_uv[-1])
    texels = Texels(np.concatenate(v_uv), np.concatenate(faces).astype(np.int32), size)
    points = texels.interpolate(np.concatenate(v_pos).astype(np.float32))
    values = [
        _asked(scene, torch.from_numpy(points[k : k + AT_ONCE]).to(scene.v_pos.device))
        for k in range(0, len(points), AT_ONCE)
    ]
    channels = np.concatenate(values) if values else np.zeros((0, 6), np.float32)
    if not isinstance(scene, MaterialScene):
        return Paint(*texels.images([channels[:, :3]]))
    return Paint(*texels.images([channels[:, :3], channels[:, 3:]]))


def _asked(scene: PaintedScene, points: torch.Tensor) -> np.ndarray:
    """(P, 3) colours, sRGB-encoded; of a material (P, 6): 1, roughness and metal behind them."""
    if not isinstance(scene, MaterialScene):
        return scene.color_at(points).cpu().numpy()
    made = scene.material(points)
    unused = torch.ones_like(made.roughness)
    parts = [made.base_color, unused, made.roughness, made.metallic]
    return torch.cat(parts, dim=1).cpu().numpy()
