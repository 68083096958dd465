"""Shards of rendered views: one file per object while it is worked on, then one file for many.

    parts/00012/00034.safetensors   object 34 of shard 12: its maps (n, 4, H, W) and c2w (n, 4, 4)
    parts/00012/00034.json          or why it could not be rendered
    ccm-00012.safetensors           the shard, made of its parts, which then go

So a kill costs the objects in hand, and the bytes of a shard depend on its objects alone.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import InputError, ObjectError
from sdtool.io.files import read_json, write_json, write_tensors

PARTS = "parts"
INDEX = "index.jsonl"


def part_path(out: Path, shard: int, index: int) -> Path:
    """Where object `index` of a shard leaves its views; with the suffix .json, its failure."""
    return out / PARTS / f"{shard:05d}" / f"{index:05d}.safetensors"


def finished_parts(out: Path, shard: int) -> set[int]:
    """The objects of a shard that need no work any more, of this run or of one that was killed."""
    folder = part_path(out, shard, 0).parent
    found = folder.iterdir() if folder.is_dir() else ()
    return {
        int(p.stem) for p in found if p.suffix in (".safetensors", ".json") and p.stem.isdigit()
    }


def write_part(path: Path, maps: dict[str, np.ndarray], c2w: np.ndarray) -> None:
    """Write one object's views: maps are name → (n, H, W, 4) float32, `c2w` is (n, 4, 4) float32."""
    tensors = {name: image.transpose(0, 3, 1, 2).astype(np.float16) for name, image in maps.items()}
    write_tensors(path, {**tensors, "c2w": c2w}, {})


def write_failure(path: Path, uid: str, error: ObjectError) -> None:
    """Write why the object of the part `path` has no views."""
    failure = {"uid": uid, "reason": error.reason, "message": str(error)}
    write_json(path.with_suffix(".json"), failure)


def assemble(
    path: Path, shard: int, uids: list[str], names: tuple[str, ...], size: int, camera: dict
) -> None:
    """Make the shard `path` of its parts, in the order of `uids`, and remove them.

    names: its maps, of `size` pixels a side. camera: how its cameras were drawn.
    """
    from safetensors.numpy import load_file

    parts = [part_path(path.parent, shard, index) for index in range(len(uids))]
    there = [index for index, part in enumerate(parts) if part.exists()]
    present = set(there)
    views = len(load_file(parts[there[0]])["c2w"]) if there else 0
    rows = views * len(there)
    tensors = {name: np.empty((rows, 4, size, size), np.float16) for name in names}
    tensors["c2w"] = np.empty((rows, 4, 4), np.float32)
    for k, index in enumerate(there):
        for name, values in load_file(parts[index]).items():
            tensors[name][k * views : (k + 1) * views] = values
    tensors["object"] = np.repeat(np.array(there, np.int32), views)
    failures = [
        {**read_json(part.with_suffix(".json")), "uid": uid}
        for index, (uid, part) in enumerate(zip(uids, parts, strict=True))
        if index not in present
    ]
    texts = {"uids": uids, "failures": failures, "camera": camera}
    write_tensors(path, tensors, {key: json.dumps(value) for key, value in texts.items()})
    shutil.rmtree(part_path(path.parent, shard, 0).parent, ignore_errors=True)


def read_header(path: Path) -> dict[str, Any]:
    """What a shard says of itself: uids, failures and camera; InputError if it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {key: json.loads(value) for key, value in file.metadata().items()}
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path} is not a shard of rendered views ({error}); remove it") from None


def index_lines(paths: list[Path], views: int) -> Iterator[dict[str, Any]]:
    """The lines of `index.jsonl`: in which shard, and from which row on, an object's views lie."""
    for path in paths:
        header, row = read_header(path), 0
        failed = {failure["uid"] for failure in header["failures"]}
        for uid in header["uids"]:
            if uid not in failed:
                yield {"uid": uid, "shard": path.name, "row": row, "views": views}
                row += views
