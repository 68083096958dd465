"""Renders in the layouts of others, written from their description by our rasteriser; and OpenEXR files."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
from ccm_samples import positions
from PIL import Image
from shape_samples import box

from sdtool.geometry.cameras import orbit, orthographic_to_clip, world_to_clip
from sdtool.geometry.ccm import decode_map, to_canonical, turned_z_up
from sdtool.geometry.meshes import merge
from sdtool.rendering.maps import render_through

SIDES = (
    (0, 0),
    (90, 0),
    (180, 0),
    (270, 0),
    (45, 0),
    (315, 0),
    (135, 20),
    (225, 20),
    (180, -89.9),
    (180, 89.9),
)
"""Azimuth and elevation, as ten views may stand: the sides of a box are seen from before them."""
BACKGROUND = 1e10  # what Blender writes where nothing is
KINDS = {"<u4": 0, "<f2": 1, "<f4": 2}


def toy():
    """Two boxes in canonical space, alike in no axis and in no mirror: the lower one has all sides flat."""
    return to_canonical(merge([box([-3, -5, -2], [3, 1, 2]), box([0, 1, 0], [2, 5, 1])]))


def exr(channels, codec=3, windows=None, flags=0):
    """An OpenEXR file: name → (H, W) array; codec 0 none, 2 ZIPS, 3 ZIP."""
    names = sorted(channels)
    height, width = channels[names[0]].shape
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listed = b"".join(
        name.encode() + b"\0" + struct.pack("<iI2i", KINDS[channels[name].dtype.str], 0, 1, 1)
        for name in names
    )
    attributes = [
        ("channels", "chlist", listed + b"\0"),
        ("compression", "compression", bytes([codec])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", windows or window),
        ("lineOrder", "lineOrder", b"\0"),
    ]
    head = b"\x76\x2f\x31\x01" + struct.pack("<i", 2 | flags)
    for name, kind, value in attributes:
        head += (
            name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
        )
    head += b"\0"
    lines = 16 if codec == 3 else 1
    chunks = []
    for top in range(0, height, lines):
        rows = range(top, min(top + lines, height))
        raw = b"".join(channels[name][row].tobytes() for row in rows for name in names)
        packed = raw if codec == 0 else shrunk(raw)
        packed = packed if len(packed) < len(raw) else raw
        chunks.append(struct.pack("<2i", top, len(packed)) + packed)
    places = len(head) + 8 * len(chunks) + np.cumsum([0, *map(len, chunks[:-1])])
    return head + struct.pack(f"<{len(chunks)}Q", *places.tolist()) + b"".join(chunks)


def shrunk(raw):
    values = list(raw[0::2] + raw[1::2])
    steps = values[:1] + [(b - a + 128) % 256 for a, b in zip(values, values[1:], strict=False)]
    return zlib.compress(bytes(steps))


def sides(distance=1.5, angles=SIDES):
    azimuth, elevation = np.radians(np.array(angles)).T
    return orbit(azimuth, elevation, np.asarray(distance))


def clip(c2w, lens):
    """lens: ("ORTHO", scale), or ("PERSP", field of view in radians)."""
    return orthographic_to_clip(c2w, lens[1]) if lens[0] == "ORTHO" else world_to_clip(c2w, lens[1])


def in_blender(c2w):
    """Camera to world in a world with +Z up."""
    turned = c2w.copy()
    turned[:, :3] = turned_z_up(c2w[:, :3].transpose(0, 2, 1)).transpose(0, 2, 1)
    return turned


def write_ortho10view(folder, mesh, c2w, lens, side=64, color=(255, 128, 0)):
    """An object as bpy-renderer leaves it."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    ccm = render_through(mesh, c2w, clip(c2w, lens), side, ("ccm",), 1)["ccm"]
    value, on = decode_map(ccm)
    points = positions(value, *mesh.bounds())
    name = "ortho_scale" if lens[0] == "ORTHO" else "camera_angle_x"
    places = []
    for k, (camera, matrix) in enumerate(zip(c2w, in_blender(c2w), strict=True)):
        depth = -((points[k] - camera[:3, 3]) @ camera[:3, 2])
        depth = np.where(on[k, ..., 0] > 0.5, depth, BACKGROUND).astype("<f4")
        (folder / f"depth_{k:04d}.exr").write_bytes(exr({"R": depth, "G": depth, "B": depth}))
        picture = np.zeros((side, side, 4), np.uint8)
        picture[on[k, ..., 0] > 0.5] = (*color, 255)
        Image.fromarray(picture).save(folder / f"color_{k:04d}.webp", lossless=True)
        place = {"index": f"{k:04d}", "projection_type": lens[0], name: lens[1]}
        places.append({**place, "transform_matrix": matrix.tolist()})
    meta = {"width": side, "height": side, "locations": places}
    (folder / "meta.json").write_text(json.dumps(meta))
