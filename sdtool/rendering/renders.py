"""Renders that others made, read as if we had rendered: depth or coordinates and cameras → our maps.

A layout is a module of two functions: `cameras(folder)` says where the cameras of an object stand, and
`read(folder, shaded)` gives what they see. Nothing says how large an object is, so its box is that of all
points that are seen: what no camera sees does not count.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import InputError, ObjectError
from sdtool.geometry import ccm
from sdtool.geometry.cameras import AnyRange, OrthographicRange, ViewRange, rotate_y
from sdtool.io.objects import ObjectRecord
from sdtool.io.shards import write_part
from sdtool.rendering import crm, ortho10view
from sdtool.rendering.seen import Cameras, Seen
from sdtool.rendering.views import check_coverage

LAYOUTS = {"crm": crm, "ortho10view": ortho10view}
MAPS = ("ccm", "rgb")
"""What is read of others' renders."""


@dataclass(frozen=True)
class ReadSettings:
    """What all objects share: as `sdtool.rendering.views.ViewSettings` has it. views: of each object."""

    layout: str
    views: int
    size: int
    camera: AnyRange
    maps: tuple[str, ...]
    min_coverage: float


def iter_renders(source: str | Path, layout: str) -> Iterator[ObjectRecord]:
    """The objects below a folder of renders, by uid: the record's path is the folder of its files.

    A folder is an object's if a file of the layout lies in it; its name is the uid (its relative path if
    names repeat). InputError if there are none.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"{source} is no folder, and --from {layout} reads folders of renders")
    is_file = LAYOUTS[layout].FILE.fullmatch
    found = []
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(map(is_file, files)):
            found.append(Path(folder))
    if not found:
        said = f"{source} holds no renders in the layout {layout}: {LAYOUTS[layout].EXPECTED}"
        raise InputError(f"{said} in a folder of each object")
    names = Counter(path.name for path in found)
    named = [
        (path.name if names[path.name] == 1 else path.relative_to(source).as_posix(), path)
        for path in found
    ]
    for uid, path in sorted(named):
        yield ObjectRecord(uid, str(path.resolve()), path.name)


def survey(source: str | Path, layout: str) -> tuple[AnyRange, int, int]:
    """Where the cameras of a collection stand, how many each object has, and how many objects there are.

    Projection and count are those of most objects, elevations and distances the range over these.
    InputError if no object says where its cameras stand.
    """
    kinds: dict[tuple[str, float, int], list[tuple[float, float, float, float]]] = {}
    total, first = 0, ""
    for item in iter_renders(source, layout):
        total += 1
        try:
            found = LAYOUTS[layout].cameras(Path(str(item.path)))
        except ObjectError as error:
            first = first or str(error)
            continue
        kinds.setdefault((found.model, found.lens, len(found.c2w)), []).append(_range(found.c2w))
    if not kinds:
        raise InputError(f"{source}: no object says where its cameras stand; {first}")
    (model, lens, views), ranges = max(kinds.items(), key=lambda kind: len(kind[1]))
    columns = np.array(ranges)
    lowest, highest = float(columns[:, 0].min()), float(columns[:, 1].max())
    near, far = float(columns[:, 2].min()), float(columns[:, 3].max())
    distance = round((near + far) / 2, 4)
    where: dict[str, Any] = {
        "elevation": (round(lowest, 2), round(highest, 2)),
        "factor": (round(near / distance, 4), round(far / distance, 4)),
        "distance": distance,
    }
    if model == "orthographic":
        return OrthographicRange(scale=lens, **where), views, total
    return ViewRange(fov=lens, **where), views, total


def _range(c2w: np.ndarray) -> tuple[float, float, float, float]:
    """Lowest and highest elevation, in degrees, and least and largest distance of cameras (N, 4, 4)."""
    eye = c2w[:, :3, 3].astype(np.float64)
    distance = np.linalg.norm(eye, axis=1)
    elevation = np.degrees(np.arcsin(np.clip(c2w[:, 1, 2].astype(np.float64), -1, 1)))
    return elevation.min(), elevation.max(), distance.min(), distance.max()


def read_object(settings: ReadSettings, job: Any) -> None:
    """Write the maps of one object. job: as `sdtool.rendering.collection.ObjectJob`, of a folder.

    ObjectError if its files do not give the same views as those of the other objects.
    """
    layout, folder = LAYOUTS[settings.layout], Path(job.path)
    found = layout.cameras(folder)
    _check_cameras(settings, job.uid, found)
    seen = layout.read(folder, found, "rgb" in settings.maps)
    _check_size(settings, job.uid, seen)
    c2w, turn = found.c2w, partial(rotate_y, angle=np.radians(job.yaw))
    if job.yaw:
        c2w = c2w.copy()
        c2w[:, :3] = turn(c2w[:, :3].transpose(0, 2, 1)).transpose(0, 2, 1)
        seen = Seen([turn(points) for points in seen.points], seen.there, seen.colors)
    maps = {name: _MAKE[name](job.uid, seen, settings.size) for name in settings.maps}
    check_coverage(settings, job.uid, maps)
    write_part(job.part, maps, c2w)


def _check_cameras(settings: ReadSettings, uid: str, found: Cameras) -> None:
    here = settings.camera
    lens = here.scale if isinstance(here, OrthographicRange) else here.fov
    model = "orthographic" if isinstance(here, OrthographicRange) else "perspective"
    if (found.model, found.lens, len(found.c2w)) != (model, lens, settings.views):
        raise ObjectError(
            "other-cameras",
            f"{uid} has {len(found.c2w)} views of {found.said()}, and most objects have "
            f"{settings.views} of {Cameras(model, lens, found.c2w).said()}: read them apart",
        )


def _check_size(settings: ReadSettings, uid: str, seen: Seen) -> None:
    sides = {n for image in (*seen.points, *seen.colors) for n in image.shape[:2]}
    if len(sides) > 1:
        said = f"{uid} has pictures that are not square, or not all of one size: {sorted(sides)}"
        raise ObjectError("other-size", f"{said} pixels a side")
    if (side := sides.pop()) < settings.size:
        said = f"{uid} was rendered with {side} pixels a side, and --size asks for {settings.size}"
        raise ObjectError("too-small", said)


def _ccm(uid: str, seen: Seen, size: int) -> np.ndarray:
    """(N, size, size, 4) float32 canonical coordinate maps, over the box of what is seen."""
    boxes = [
        (points[there].min(axis=0), points[there].max(axis=0))
        for points, there in zip(seen.points, seen.there, strict=True)
        if there.any()
    ]
    if not boxes:
        raise ObjectError("nothing-visible", f"{uid} is in none of its views")
    low = np.min([box[0] for box in boxes], axis=0)
    high = np.max([box[1] for box in boxes], axis=0)
    maps = []
    for points, there in zip(seen.points, seen.there, strict=True):
        value = np.where(there[..., None], points, low)
        value = ccm.canonical_coordinates(value, low, high).astype(np.float32)
        maps.append(_resized(ccm.encode_map(value, there[..., None].astype(np.float32)), size))
    return np.stack(maps)


def _rgb(uid: str, seen: Seen, size: int) -> np.ndarray:
    """(N, size, size, 4) float32 maps of colours."""
    return np.stack([_resized(ccm.encode_map(c[..., :3], c[..., 3:]), size) for c in seen.colors])


_MAKE = {"ccm": _ccm, "rgb": _rgb}


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """(S, S, C) → (size, size, C) for size ≤ S: each pixel the mean of the square that it covers."""
    side = len(image)
    edges = np.linspace(0, side, size + 1)[:, None]
    pixel = np.arange(side)
    inside = np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel)
    share = (np.clip(inside, 0, None) * (size / side)).astype(np.float32)  # (size, S)
    half = np.tensordot(share, image, axes=(1, 0))  # (size, S, C)
    return np.tensordot(half, share, axes=(1, 1)).transpose(0, 2, 1)
