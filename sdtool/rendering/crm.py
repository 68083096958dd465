"""Renders as CRM's training reads them: six orthographic views of an object, and their coordinates.

    0011662ee0fc4b4481bfd28314d154c1/000.png … 005.png                 RGBA: the alpha is the mask of both
                                     xyz_new_000.png … xyz_new_005.png   RGB, grey (127) where nothing is

Front, left, below, back, right, above; the object's longest side, 1, fills the image's side. A colour of the
map is a place: red to the left of who sees the front, green toward the front, blue up, each ⌊255·(p + ½)⌋
of the position p along it, on one scale for all axes (unlike our maps, in which each axis has its own).
"""

import re
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.cameras import REFERENCE_DISTANCE, orbit, orthographic_to_clip
from sdtool.geometry.ccm import decode_map, turned_crm
from sdtool.geometry.meshes import Mesh
from sdtool.io.images import png_bytes, to_bytes
from sdtool.rendering import kernels
from sdtool.rendering.maps import render_through
from sdtool.rendering.seen import Cameras, Seen, colors_of, read_picture

FILE = re.compile(r"(xyz_new_)?00[0-5]\.png")
EXPECTED = "000.png and xyz_new_000.png to 005"
ANGLES = ((0, 0), (-90, 0), (0, -90), (180, 0), (90, 0), (0, 90))
"""Azimuth and elevation of each view, in degrees."""
SCALE = 1.0
GREY = 127
MASK = 127
"""The largest alpha where no coordinate is."""


def cameras(folder: Path | None = None) -> Cameras:
    """Where the cameras stand: of every object alike. They say no distance; it is ours."""
    azimuth, elevation = np.radians(np.array(ANGLES, np.float64)).T
    c2w = orbit(azimuth, elevation, np.asarray(REFERENCE_DISTANCE))
    c2w[:, :3, :3] = np.round(c2w[:, :3, :3])  # quarter turns, exactly
    c2w[:, :3, 3] = c2w[:, :3, 2] * REFERENCE_DISTANCE
    return Cameras("orthographic", SCALE, c2w + 0.0)  # no −0


def read(folder: Path, found: Cameras, shaded: bool) -> Seen:
    """What the cameras of an object see; with colours if `shaded`."""
    seen = Seen([], [])
    for k in range(len(found.c2w)):
        path = folder / f"xyz_new_{k:03d}.png"
        coordinates, picture = read_picture(path), read_picture(folder / f"{k:03d}.png")
        if coordinates.shape != picture.shape:
            said = f"{path} is of another size than {k:03d}.png beside it"
            raise ObjectError("other-size", said)
        place = (coordinates[..., :3] + np.float32(0.5)) / 255 - np.float32(0.5)
        seen.points.append(turned_crm(place))
        seen.there.append(picture[..., 3] > MASK)
        if shaded:
            seen.colors.append(colors_of(picture))
    return seen


def draw(mesh: Mesh, size: int, supersample: int) -> dict[str, bytes]:
    """The files of an object in canonical space, by name: six pictures and six maps of `size` pixels.

    Pictures are averaged from `supersample`² samples a pixel; maps are of the one in its centre, or,
    where that misses the object and half of the others do not, averaged too.
    """
    c2w = cameras().c2w
    through = orthographic_to_clip(c2w, SCALE)
    rgb = render_through(mesh, c2w, through, size, ("rgb",), supersample)["rgb"]
    corner = (turned_crm(mesh.v_pos) + 0.5).astype(np.float32)
    centre, mean = (
        kernels.render_map(corner, mesh.v_pos, mesh.t_pos_idx, through, size, samples)
        for samples in (1, supersample)
    )
    files: dict[str, bytes] = {}
    for k in range(len(c2w)):
        color, alpha = decode_map(rgb[k])
        picture = to_bytes(np.concatenate([color, alpha], axis=-1))
        value, on = decode_map(centre[k])
        value = np.where(on > 0.5, value, decode_map(mean[k])[0])  # at an edge past the centre
        place = np.floor(value * 255).astype(np.uint8)
        place = np.where(picture[..., 3:] > MASK, place, np.uint8(GREY))
        files |= {f"{k:03d}.png": png_bytes(picture), f"xyz_new_{k:03d}.png": png_bytes(place)}
    return files
