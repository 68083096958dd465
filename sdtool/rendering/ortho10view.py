"""Renders as Objaverse-Ortho10View has them: depth in OpenEXR, colours in WebP, cameras in `meta.json`.

    00/00a4d2b0c4c240289ed456e87d8b9e02/meta.json          {"locations": [{"index": "0000", …}, …]}
                                        depth_0000.exr     along the view's axis, in world units
                                        color_0000.webp    RGBA

The folders are bpy-renderer's: the cameras are Blender's (OpenGL's, in a world with +Z up into which a glTF
comes with its front toward −Y). Each entry of `locations` has its `transform_matrix`, camera to world, and
`projection_type` "ORTHO" with `ortho_scale`, or "PERSP" with `camera_angle_x` in radians; where the last two
are not in the entry, they are beside `locations`.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError, UnopenedError
from sdtool.geometry.cameras import AnyRange, OrthographicRange, ViewRange, points_of_depth
from sdtool.geometry.ccm import turned_y_up
from sdtool.io.exr import read_channel
from sdtool.meshfiles.other_kinds import unreadable
from sdtool.rendering.seen import Cameras, Seen, colors_of, read_picture

META = "meta.json"
FILE = re.compile(r"meta\.json|depth_\d{4}\.exr")
EXPECTED = "meta.json, depth_0000.exr, …"
FARTHEST = 1000.0
"""Depth beyond this is background, as the dataset's own loader has it."""
CHANNELS = ("V", "Z", "R", "Y")


def cameras(folder: Path) -> Cameras:
    """Where the cameras of an object stand. ObjectError if `meta.json` does not say it."""
    meta = _meta(folder)
    places = meta["locations"]
    lenses = {_lens(folder, meta, place) for place in places}
    if len(lenses) > 1:
        said = f"{folder / META} has cameras of several projections or fields of view"
        raise ObjectError("other-cameras", f"{said}, and a shard has one")
    try:
        c2w = np.array([place["transform_matrix"] for place in places], np.float64)
    except (KeyError, ValueError, TypeError, OverflowError):
        c2w = np.zeros(0)
    if c2w.shape != (len(places), 4, 4) or not _is_rigid(c2w):
        said = f"{folder / META} has a transform_matrix that is no camera's"
        raise ObjectError("bad-camera", f"{said}: 4 × 4, a rotation and a place")
    columns = turned_y_up(c2w[:, :3].transpose(0, 2, 1)).transpose(0, 2, 1)
    c2w[:, :3] = columns
    (model, lens) = lenses.pop()
    return Cameras(model, lens, c2w.astype(np.float32))


def read(folder: Path, found: Cameras, shaded: bool) -> Seen:
    """What the cameras of an object see; with colours if `shaded`."""
    seen = Seen([], [])
    views = _views(found)
    for c2w, place in zip(found.c2w, _meta(folder)["locations"], strict=True):
        index = place["index"]
        depth = read_channel(folder / f"depth_{index}.exr", CHANNELS)
        if len(set(depth.shape)) > 1:
            said = f"{folder / f'depth_{index}.exr'} is not square, but {depth.shape}"
            raise ObjectError("other-size", said)
        there = (depth > 0) & (depth < FARTHEST)  # False of NaN
        seen.points.append(points_of_depth(np.where(there, depth, 0), c2w, views))
        seen.there.append(there)
        if shaded:
            seen.colors.append(colors_of(read_picture(folder / f"color_{index}.webp")))
    return seen


def _views(found: Cameras) -> AnyRange:
    if found.model == "orthographic":
        return OrthographicRange(scale=found.lens)
    return ViewRange(fov=found.lens)


def _meta(folder: Path) -> dict[str, Any]:
    path = folder / META
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        said = f"{path} is missing, so nobody knows where the cameras stood"
        raise UnopenedError("missing-file", said, str(path)) from None
    except PermissionError as error:
        raise unreadable(path, error) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ObjectError("bad-camera", f"{path} cannot be read ({type(error).__name__})") from None
    places = meta.get("locations") if isinstance(meta, dict) else None
    is_list = isinstance(places, list) and bool(places)
    if not is_list or not all(_is_place(place) for place in places or []):
        raise ObjectError("bad-camera", f"{path} has no list of locations, each with its index")
    return meta


def _is_place(place: Any) -> bool:
    """Whether an entry names its files; the index goes into a path, so it is digits and no more."""
    return isinstance(place, dict) and re.fullmatch(r"\d{1,9}", str(place.get("index"))) is not None


def _lens(folder: Path, meta: dict[str, Any], place: dict[str, Any]) -> tuple[str, float]:
    """Model and lens of one camera, rounded so that equal ones compare equal."""
    scale = place.get("ortho_scale") or meta.get("ortho_scale")
    angle = place.get("camera_angle_x") or meta.get("camera_angle_x")
    kind = place.get("projection_type") or meta.get("projection_type")
    kind = kind or ("ORTHO" if scale else "PERSP")
    value = {"ORTHO": scale, "PERSP": angle}.get(str(kind))
    least, most = 0.0, math.pi if kind == "PERSP" else math.inf
    if not isinstance(value, int | float) or not least < value < most:  # NaN is neither
        said = f"{folder / META} has a camera without projection_type ORTHO and ortho_scale"
        raise ObjectError("bad-camera", f"{said}, or PERSP and camera_angle_x below π")
    if kind == "ORTHO":
        return "orthographic", round(float(value), 4)
    return "perspective", round(math.degrees(value), 4)


def _is_rigid(c2w: np.ndarray) -> bool:
    """Whether matrices (N, 4, 4) are rotations and places."""
    if not np.isfinite(c2w).all():
        return False
    rotation = c2w[:, :3, :3]
    product = rotation @ rotation.transpose(0, 2, 1)
    is_turn = np.allclose(product, np.eye(3), atol=1e-3) and bool(
        (np.linalg.det(rotation) > 0).all()
    )
    return is_turn and np.allclose(c2w[:, 3], [0, 0, 0, 1], atol=1e-6)
