"""A collection of objects as stages see it: a folder of meshes, or an `objects.jsonl`."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import InputError
from sdtool.files import read_jsonl

MESH_SUFFIXES = (".glb", ".obj", ".ply", ".stl", ".off")


def list_objects(source: str | Path) -> list[dict[str, Any]]:
    """The objects of `source`, each a dict with at least ``uid`` and ``path``.

    The path is absolute, or None if the listing says so: a collection may lack an object's file.

    source: an `objects.jsonl`; a directory that holds one; or any folder of meshes, searched
    recursively, where the file's stem becomes the uid (its relative path, if stems repeat). Hidden
    files and folders are passed over.
    """
    source = Path(source)
    listing = source / "objects.jsonl" if source.is_dir() else source
    if listing.is_file() and listing.suffix == ".jsonl":
        objects, seen = [], set()
        for number, record in enumerate(read_jsonl(listing), start=1):
            uid, path = record.get("uid"), record.get("path", "")
            named = path is None or (path and isinstance(path, str))
            if not (uid and isinstance(uid, str) and named):
                raise InputError(f"{listing}, object {number} lacks a uid or a path, as text")
            if uid in seen:
                raise InputError(f"{listing}, object {number} repeats the uid {uid}")
            seen.add(uid)
            absolute = str((listing.parent / path).resolve()) if path else None
            objects.append({**record, "path": absolute})
    elif source.is_dir():
        paths = [
            path
            for path in sorted(source.rglob("*"))
            if path.suffix.lower() in MESH_SUFFIXES and path.is_file()
            if not any(part.startswith(".") for part in path.relative_to(source).parts)
        ]
        unique = len({path.stem for path in paths}) == len(paths)
        objects = [
            {
                "uid": path.stem if unique else path.relative_to(source).as_posix(),
                "path": str(path.resolve()),
            }
            for path in paths
        ]
    elif source.exists():
        raise InputError(f"{source} is neither a folder of meshes nor an objects.jsonl")
    else:
        raise InputError(f"{source} does not exist")
    if not objects:
        kinds = ", ".join(MESH_SUFFIXES)
        raise InputError(f"{source} holds no objects; expected {kinds} files or an objects.jsonl")
    return objects


def object_rng(seed: int, uid: str) -> np.random.Generator:
    """A generator that depends on seed and uid alone, so that reruns and ranks agree."""
    digest = hashlib.sha256(uid.encode("utf-8", "surrogatepass")).digest()
    words = np.frombuffer(digest[:16], np.uint32)
    return np.random.default_rng([seed, *words.tolist()])
