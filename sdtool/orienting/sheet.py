"""A contact sheet of what was found: each object's front view before and after its turn."""

from pathlib import Path
from typing import Any

import numpy as np

from sdtool.captioning.views import write_sheet
from sdtool.errors import ObjectError
from sdtool.geometry.cameras import orbit
from sdtool.geometry.ccm import to_canonical
from sdtool.io.images import map_to_rgb, to_bytes
from sdtool.meshfiles import load_mesh
from sdtool.orienting.answer import turns
from sdtool.rendering.maps import render_maps

FOV, ELEVATION, DISTANCE = 45.0, 15.0, 1.8
SIDE = 160  # pixels: two views are as wide as the words over them


def front_views(path: str, degrees: float, size: int = SIDE) -> np.ndarray:
    """(2, size, size, 3) uint8: an object file from +Z as it is, and as it is once it is turned."""
    mesh = to_canonical(load_mesh(path, textures=True))
    azimuth, elevation = np.radians([0.0, -degrees]), np.radians(ELEVATION)
    c2w = orbit(azimuth, elevation, np.asarray(DISTANCE))
    maps = render_maps(mesh, c2w, np.radians(FOV), size, ("rgb",), 2)
    return to_bytes(map_to_rgb(maps["rgb"]))


def caption_of(line: dict[str, Any], min_confidence: float) -> str:
    """What stands over a row: "turned 90°, 0.97: a"; "perhaps 90°, 0.52: a" where that is not sure."""
    word = "turned" if turns(line, min_confidence) else "perhaps" if line["degrees"] else "left at"
    return f"{word} {line['degrees']:g}°, {line['confidence']:.2f}: {line['uid']}"


def write_before_after(
    path: Path, rows: list[tuple[dict[str, Any], str]], min_confidence: float
) -> bool:
    """Write the PNG of (line, file of the object); False if no file could be read."""
    drawn = []
    for line, file in rows:
        after = line["degrees"] if turns(line, min_confidence) else 0.0
        try:
            drawn.append((caption_of(line, min_confidence), front_views(file, after)))
        except ObjectError:  # the listing's file has changed since
            continue
    if drawn:
        write_sheet(path, drawn, SIDE)
    return bool(drawn)
