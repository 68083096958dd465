"""Pictures of an object from all around, as a captioner or a person looks at it."""

from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.cameras import orbit

FOV = np.radians(40.0)
MARGIN = 1.06
ELEVATIONS = (10.0, 30.0)
"""Degrees; taken in turns around the object, so that the top is seen, too (Cap3D does likewise)."""


def views_around(
    path: str | Path | None, views: int = 8, size: int = 384, supersample: int = 2
) -> np.ndarray:
    """(views, size, size, 3) uint8 sRGB pictures of an object file on white, the first from the front.

    The cameras stand evenly around the object, all at the distance from which it just fits into
    the frame. Textures and base colours are
    those of the file. ObjectError if it cannot be used.
    """
    from sdtool.geometry.ccm import to_canonical
    from sdtool.io.images import map_to_rgb, to_bytes
    from sdtool.meshfiles import load_mesh
    from sdtool.rendering.maps import render_maps

    if path is None:
        raise ObjectError("missing-file", "the listing has no file for it")
    mesh = to_canonical(load_mesh(path, textures=True))
    c2w = _cameras(mesh.v_pos, views)
    images = []
    for start in range(0, views, 2):  # a few at a time: supersampled views are large
        maps = render_maps(mesh, c2w[start : start + 2], FOV, size, ("rgb",), supersample)
        images.append(to_bytes(map_to_rgb(maps["rgb"])))
    return np.concatenate(images)


def _cameras(v_pos: np.ndarray, views: int) -> np.ndarray:
    """(views, 4, 4) cameras around positions (V, 3), which all of them see whole."""
    azimuth = np.arange(views) * (2 * np.pi / views)
    elevation = np.radians(np.resize(ELEVATIONS, views))
    distance = 0.0
    for axes in orbit(azimuth, elevation, np.asarray(1.0))[:, :3, :3]:
        x, y, toward = (v_pos @ axes).T  # seen where |x| and |y| ≤ tan(FOV / 2)·(distance − toward)
        reach = np.maximum(np.abs(x), np.abs(y)) / np.tan(FOV / 2)
        distance = max(distance, float((toward + reach).max()))
    return orbit(azimuth, elevation, np.asarray(MARGIN * distance))


def write_sheet(path: str | Path, rows: list[tuple[str, np.ndarray]], side: int = 128) -> None:
    """Write a PNG of one row of views for each object, under its caption.

    rows: (caption, (N, H, W, 3) uint8), all with the same N.
    """
    from PIL import Image, ImageDraw, ImageFont

    from sdtool.io.images import draw_label, drawn_as, write_png

    line, count = 16, max(len(images) for _, images in rows)
    sheet = Image.new("RGB", (count * side, len(rows) * (side + line)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for row, (caption, images) in enumerate(rows):
        top = row * (side + line)
        draw_label(draw, (3, top + 2), drawn_as(caption)[: count * side // 5], font)
        for column, image in enumerate(images):
            small = Image.fromarray(image).resize((side, side), Image.Resampling.BOX)
            sheet.paste(small, (column * side, top + line))
    captions = "\n".join(caption for caption, _ in rows)
    write_png(path, np.asarray(sheet, np.float32) / 255, captions=captions)
