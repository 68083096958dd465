"""A collection of objects as stages see it: a folder of meshes, or an `objects.jsonl`."""

import csv
import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import InputError
from sdtool.io.files import read_jsonl

MESH_SUFFIXES = (".glb", ".obj", ".ply", ".stl", ".off")


def iter_objects(source: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of `source`, each a dict with at least ``uid`` and ``path``.

    The path is absolute, or None if the listing says so: a collection may lack an object's file.

    source: an `objects.jsonl`; a directory that holds one; or any folder of meshes, searched
    recursively, where the file's stem becomes the uid (its relative path, if stems repeat). Hidden
    files and folders are passed over. InputError if there is nothing, or a line is unusable.
    """
    source = Path(source)
    listing = source / "objects.jsonl" if source.is_dir() else source
    if listing.is_file() and listing.suffix == ".jsonl":
        found = _listed(listing)
    elif source.is_dir():
        found = _in_folder(source)
    elif source.exists():
        raise InputError(f"{source} is neither a folder of meshes nor an objects.jsonl")
    else:
        raise InputError(f"{source} does not exist")
    empty = True
    for item in found:
        empty = False
        yield item
    if empty:
        kinds = ", ".join(MESH_SUFFIXES)
        raise InputError(f"{source} holds no objects; expected {kinds} files or an objects.jsonl")


def _listed(listing: Path) -> Iterator[dict[str, Any]]:
    """The lines of an `objects.jsonl`, each checked, with absolute paths."""
    folder, seen = str(listing.parent.resolve()), set()
    for number, record in enumerate(read_jsonl(listing), start=1):
        uid, path = record.get("uid"), record.get("path", "")
        named = path is None or (path and isinstance(path, str))
        if not (uid and isinstance(uid, str) and named):
            raise InputError(f"{listing}, object {number} lacks a uid or a path, as text")
        if uid in seen:
            raise InputError(f"{listing}, object {number} repeats the uid {uid}")
        seen.add(uid)
        absolute = os.path.normpath(os.path.join(folder, path)) if path else None
        yield {**record, "path": absolute}


def _in_folder(folder: Path) -> Iterator[dict[str, Any]]:
    """The meshes below a folder, by path."""
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in MESH_SUFFIXES and path.is_file()
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    unique = len({path.stem for path in paths}) == len(paths)
    for path in paths:
        uid = path.stem if unique else path.relative_to(folder).as_posix()
        yield {"uid": uid, "path": str(path.resolve())}


def object_rng(seed: int, uid: str) -> np.random.Generator:
    """A generator that depends on seed and uid alone, so that reruns and ranks agree."""
    digest = hashlib.sha256(uid.encode("utf-8", "surrogatepass")).digest()
    words = np.frombuffer(digest[:16], np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


def read_yaw_fix(path: str | Path) -> dict[str, float]:
    """A table of turns: uid → degrees about +Y, from +Z toward +X.

    path: lines of ``uid,degrees`` (CSV; a first line of exactly these words is passed over), or
    JSON lines with "uid" and "degrees" if it ends in .jsonl. InputError names a line that is neither.
    """
    path = Path(path)
    if path.suffix == ".jsonl":
        rows = [(r.get("uid"), r.get("degrees")) for r in read_jsonl(path)]
    else:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                rows = [tuple(row) for row in csv.reader(file) if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} cannot be read as a table of uid,degrees ({error})") from None
        rows = rows[1:] if rows[:1] == [("uid", "degrees")] else rows
    table = {}
    for number, row in enumerate(rows, start=1):
        try:
            uid, degrees = row
            table[uid] = float(degrees)
            good = isinstance(uid, str) and uid and math.isfinite(table[uid])
        except (TypeError, ValueError):
            good = False
        if not good:
            raise InputError(f"{path}, entry {number} is not a uid and an angle in degrees: {row}")
    return table
