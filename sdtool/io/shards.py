"""Shards of rendered views: one file per object while it is worked on, then one file for many.

    parts/00012/00034.safetensors   object 34 of shard 12: its maps (n, 4, H, W) and c2w (n, 4, 4)
    parts/00012/00034.json          or why it could not be rendered
    ccm-00012.safetensors           the shard, made of its parts, which then go

So a kill costs the objects in hand, and the bytes of a shard depend on its objects alone. A shard
holds each map (N, 4, H, W) float16, c2w (N, 4, 4) float32 and object (N,) int32, indices into the
uids of its header.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import InputError, ObjectError
from sdtool.io.failures import can_be_opened, failure
from sdtool.io.files import (
    map_tensors,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
    write_tensors,
)
from sdtool.io.rank_folders import stage_folders

PARTS = "parts"
LOST = "images_not_read"
NAMES = "not_read"
NAMED = 8  # of one object, what is named of what could not be read
INDEX = "index.jsonl"
OWNED = ("ccm-*.safetensors", "views-*.safetensors", PARTS, INDEX)
"""Patterns of all that is written here."""

_NAME = re.compile(r"(ccm|views)-\d{5,}\.safetensors")


# One object


def part_path(out: Path, shard: int, index: int) -> Path:
    """Where object `index` of a shard leaves its views; with the suffix .json, its failure."""
    return out / PARTS / f"{shard:05d}" / f"{index:05d}.safetensors"


def finished_parts(out: Path, shard: int) -> set[int]:
    """The objects of a shard that need no work any more, of this run or of one that was killed; not those
    that failed since a file could not be opened, if now it can be."""
    folder = part_path(out, shard, 0).parent
    found = [p for p in folder.iterdir() if p.stem.isdigit()] if folder.is_dir() else []
    made = {int(p.stem) for p in found if p.suffix == ".safetensors"}
    failed = (p for p in found if p.suffix == ".json" and int(p.stem) not in made)
    return made | {int(p.stem) for p in failed if not can_be_opened(read_json(p))}


def write_part(
    path: Path, maps: dict[str, np.ndarray], c2w: np.ndarray, lost: tuple[str, ...] = ()
) -> None:
    """Write one object's views: maps are name → (n, H, W, 4) float32, `c2w` is (n, 4, 4) float32.

    lost: the images and materials that could not be read.
    """
    tensors = {name: image.transpose(0, 3, 1, 2).astype(np.float16) for name, image in maps.items()}
    _write_part(path, {**tensors, "c2w": c2w}, len(lost), sorted(set(lost))[:NAMED])


def _write_part(path: Path, tensors: dict[str, np.ndarray], lost: int, names: list[str]) -> None:
    write_tensors(path, tensors, {LOST: str(lost), NAMES: json.dumps(names)} if lost else {})


def write_failure(path: Path, uid: str, error: ObjectError) -> None:
    """Write why the object of the part `path` has no views."""
    write_json(path.with_suffix(".json"), failure(uid, error))


# One shard


def assemble(
    path: Path, shard: int, uids: list[str], names: tuple[str, ...], size: int, camera: dict
) -> None:
    """Make the shard `path` of its parts, in the order of `uids`, and remove them.

    names: its maps, of `size` pixels a side. camera: how its cameras were drawn.
    """
    parts = [part_path(path.parent, shard, index) for index in range(len(uids))]
    there = [index for index, part in enumerate(parts) if part.exists()]
    present = set(there)
    views = len(map_tensors(parts[there[0]])[0]["c2w"]) if there else 0
    rows = views * len(there)
    tensors: dict[str, np.ndarray] = {
        name: np.empty((rows, 4, size, size), np.float16) for name in names
    }
    tensors["c2w"] = np.empty((rows, 4, 4), np.float32)
    lost: dict[str, int] = {}
    called: dict[str, list[str]] = {}
    for k, index in enumerate(there):
        stored, notes = map_tensors(parts[index])
        for name, values in stored.items():
            tensors[name][k * views : (k + 1) * views] = values
        if LOST in notes:
            lost[uids[index]] = int(notes[LOST])
            called[uids[index]] = json.loads(notes.get(NAMES, "[]"))
    tensors["object"] = np.repeat(np.array(there, np.int32), views)
    failures = [
        {**read_json(part.with_suffix(".json")), "uid": uid}
        for index, (uid, part) in enumerate(zip(uids, parts, strict=True))
        if index not in present
    ]
    texts = {"uids": uids, "failures": failures, "camera": camera}
    texts |= {LOST: lost, NAMES: called} if lost else {}
    write_tensors(path, tensors, {key: json.dumps(value) for key, value in texts.items()})
    shutil.rmtree(part_path(path.parent, shard, 0).parent, ignore_errors=True)


@dataclass(frozen=True)
class Shard:
    """One open shard. maps: name → (N, 4, H, W) memory map; c2w: (N, 4, 4), another; object: (N,)
    indices into uids. Many processes that open it share its pages: none of them holds a copy.

    failures: the records of the objects without views. camera: how its cameras were drawn, the fields
    of a `sdtool.geometry.cameras.ViewRange` ({} if unsaid). lost_images: of objects whose textures
    could not all be read, uid → how many; lost_names: uid → what some of them are, and why.
    """

    path: Path
    uids: list[str]
    object: np.ndarray
    c2w: np.ndarray
    maps: dict[str, np.ndarray]
    camera: dict[str, Any]
    failures: list[dict[str, Any]]
    lost_images: dict[str, int] = field(default_factory=dict)
    lost_names: dict[str, list[str]] = field(default_factory=dict)


def open_shard(path: Path) -> Shard:
    """Map a shard into memory without reading its pixels. InputError if it is none."""
    try:
        tensors, texts = map_tensors(path)
        uids, camera = json.loads(texts["uids"]), json.loads(texts.get("camera", "{}"))
        failures = json.loads(texts.get("failures", "[]"))
        lost, called = (json.loads(texts.get(name, "{}")) for name in (LOST, NAMES))
        index, c2w = np.array(tensors.pop("object")), tensors.pop("c2w")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a shard of rendered views ({type(error).__name__}: {error}); "
            "remove it, and render it again with: sdtool render-ccm"
        ) from None
    if len(index) and (index.min() < 0 or index.max() >= len(uids)):
        raise InputError(f"{path} names an object outside its list of {len(uids)} uids")
    index = index.astype(np.int64)
    return Shard(path, uids, index, c2w, tensors, camera, failures, lost, called)


def take_apart(path: Path, number: int) -> None:
    """If objects of a shard failed since a file could not be opened which now can be: leave its parts in its
    place, as they were, without those objects, which are to be tried again."""
    shard = open_shard(path)
    failures = {one["uid"]: one for one in shard.failures}
    if not any(map(can_be_opened, failures.values())):
        return
    for index, uid in enumerate(shard.uids):
        part, rows = part_path(path.parent, number, index), shard.object == index
        if uid in failures:
            write_json(part.with_suffix(".json"), failures[uid])
        else:
            tensors = {name: values[rows] for name, values in shard.maps.items()}
            lost, names = shard.lost_images.get(uid, 0), shard.lost_names.get(uid, [])
            _write_part(part, {**tensors, "c2w": shard.c2w[rows]}, lost, names)
    path.unlink()


# Many shards


def shard_path(out: Path, number: int, maps: tuple[str, ...]) -> Path:
    """The file of shard `number` with these maps; the number counts over all ranks."""
    return out / f"{'ccm' if 'ccm' in maps else 'views'}-{number:05d}.safetensors"


def shard_paths(directory: Path) -> list[Path]:
    """The shards of a run of `render-ccm`, or of all ranks of one, by number."""
    found = [path for folder in stage_folders(directory) for path in folder.glob("*.safetensors")]
    paths = sorted((p for p in found if _NAME.fullmatch(p.name)), key=lambda p: (p.name, p))
    if not paths:
        raise InputError(f"{directory} holds no shards of views; make them with: sdtool render-ccm")
    return paths


def write_index(out: Path, paths: list[Path], views: int) -> None:
    """Write `index.jsonl`: in which shard, and from which row on, each object's views lie; and how many
    of its images and materials could not be read, and which, if there are any."""

    def lines() -> Iterator[dict[str, Any]]:
        for path in paths:
            shard, row = open_shard(path), 0
            failed = {failure["uid"] for failure in shard.failures}
            for uid in shard.uids:
                if uid not in failed:
                    line = {"uid": uid, "shard": path.name, "row": row, "views": views}
                    lost = shard.lost_images.get(uid, 0)
                    names = {NAMES: called} if (called := shard.lost_names.get(uid)) else {}
                    yield line | ({LOST: lost} if lost else {}) | names
                    row += views

    write_jsonl(out / INDEX, lines())


def read_index(out: Path) -> list[dict[str, Any]]:
    """The lines of `index.jsonl`: {"uid", "shard": its file's name, "row": the first, "views"}, and
    "images_not_read" (how many) and "not_read" (which) of objects that lack some."""
    return list(read_jsonl(out / INDEX))
