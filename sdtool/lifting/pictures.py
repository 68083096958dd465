"""What people look at: previews while a lift runs, the eight-view contact sheet, the turntable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sdtool.geometry.cameras import ViewRange, scale_within, turntable
from sdtool.geometry.ccm import to_canonical
from sdtool.geometry.meshes import Mesh
from sdtool.io.images import grid, map_to_rgb, repeat_pixels, write_animation, write_png
from sdtool.rendering.maps import render_maps

ELEVATION = 15.0
PREVIEW = 64  # pixels a side that a scene renders
FRAMES = 36  # of one turn
FIRST_SEEN = (10, 25)
"""Steps of the first phase after which there is a picture beside those after every fiftieth step of each."""


def is_due(done: int, steps: int, is_first: bool) -> bool:
    """Whether there is a preview after so many steps of a phase. is_first: of the first phase."""
    return done % 50 == 0 or done == steps or (is_first and done in FIRST_SEEN)


@torch.no_grad()
def preview(scene, view_range: ViewRange, path: Path, title: str) -> None:
    """A PNG of eight azimuths of whatever maps the scene renders, one row a map."""
    c2w = turntable(8, view_range, ELEVATION)
    maps = scene.render(c2w, float(np.radians(view_range.fov)), PREVIEW)
    maps.pop("backdrop", None)
    rows = [map_to_rgb(m.cpu().numpy().transpose(0, 2, 3, 1)) for m in maps.values()]
    write_png(path, grid(repeat_pixels(np.concatenate(rows), 96), 8), Title=title)


def contact_sheet(
    mesh: Mesh, view_range: ViewRange, path: Path, title: str, size: int = 160
) -> None:
    """A PNG of a mesh from azimuth 0°, 45° … 315°: shaded colour, normals, canonical coordinates.

    The cameras stand at the distance of `view_range`, or farther where a picture would cut the mesh.
    """
    canonical = to_canonical(mesh)
    c2w = _around(canonical, 8, view_range)
    maps = render_maps(
        canonical, c2w, np.radians(view_range.fov), size, ("rgb", "normal", "ccm"), 2
    )
    rows = np.concatenate([map_to_rgb(maps[name]) for name in ("rgb", "normal", "ccm")])
    write_png(path, grid(rows, 8), Title=title)


def spin(mesh: Mesh, view_range: ViewRange, path: Path, size: int = 192) -> None:
    """An animated WebP of one turn in three seconds, from as far away as `contact_sheet`."""
    canonical = to_canonical(mesh)
    c2w = _around(canonical, FRAMES, view_range)
    maps = render_maps(canonical, c2w, np.radians(view_range.fov), size, ("rgb",), 2)
    write_animation(path, map_to_rgb(maps["rgb"]), 3.0)


def _around(canonical: Mesh, count: int, view_range: ViewRange) -> np.ndarray:
    """(count, 4, 4) cameras around a canonical mesh, each of which sees all of it."""
    c2w = turntable(count, view_range, ELEVATION)
    scale = scale_within(canonical.v_pos, c2w, np.radians(view_range.fov))
    return turntable(count, replace(view_range, distance=view_range.distance / scale), ELEVATION)
