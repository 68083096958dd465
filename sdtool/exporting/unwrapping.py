"""Texture coordinates: the surface cut into charts, laid out without overlap, by xatlas."""

import math

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, triangle_areas

CHARTS, FACES_A_CHART = 200, 200
"""There are at least so many charts, and so many more for larger meshes: xatlas' time grows with the
square of a chart's faces."""
ENLARGED = 1000.0
"""xatlas leaves out faces that are small in units, not in proportion."""
PACKED, APART = 768, 2
"""Charts are packed in steps of about 1/`PACKED` of the texture, `APART` of its pixels apart or more."""


def unwrap(mesh: Mesh, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unwrap for textures of `size` pixels a side; the same mesh gives the same result.

    Returns the new vertices, which are split along seams: `origin` (V,) int32 index into
    mesh.v_pos, `v_uv` (V, 2) float32 glTF coordinates in [0, 1], and `t_pos_idx` (F, 3) int32, the
    faces of `mesh` in their order. A chart may lie mirrored.
    """
    import xatlas

    low, high = mesh.bounds().astype(np.float64)
    v_pos = (mesh.v_pos - (low + high) / 2) * (ENLARGED / (high - low).max())
    area = triangle_areas(v_pos, mesh.t_pos_idx).sum()
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_chart_area = float(area / max(CHARTS, len(mesh.t_pos_idx) // FACES_A_CHART))
    packing.resolution = min(PACKED, size)
    packing.padding = math.ceil(1.2 * APART * packing.resolution / size)  # it takes 1.2 times that
    packing.bruteForce = True  # a seventh more of the texture is used
    atlas = xatlas.Atlas()
    atlas.add_mesh(v_pos.astype(np.float32), mesh.t_pos_idx.astype(np.uint32))
    atlas.generate(charts, packing)
    origin, t_pos_idx, uv = atlas[0]
    if atlas.atlas_count != 1 or not np.array_equal(origin[t_pos_idx], mesh.t_pos_idx):
        raise ObjectError("no-charts", "the surface cannot be unwrapped into one texture")
    return origin.astype(np.int32), uv.astype(np.float32), t_pos_idx.astype(np.int32)
