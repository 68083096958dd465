"""Reading a collection in the layout of the `objaverse` package, one object at a time.

    object-paths.json.gz           {uid: path of its GLB, relative to the collection}
    metadata/000-000.json.gz …     {uid: annotation}
    lvis-annotations.json.gz       {LVIS category: [uid]}; may be absent

Each file may also be plain .json. One metadata shard is in memory at a time.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdtool.errors import InputError, ObjectError

LAYOUT = "expected object-paths.json.gz and a folder metadata/ of .json.gz files in it"


class Collection:
    """An Objaverse cache directory, or a Toyverse. `records()` yields its objects."""

    def __init__(self, root: str | Path):
        self.root = _find_root(Path(root))
        self.paths: dict[str, str] = _read_object(_either(self.root / "object-paths.json.gz"))
        self.shards = sorted(_shards(self.root))
        lvis = _either(self.root / "lvis-annotations.json.gz")
        self._lvis: dict[str, list[str]] = {}
        for category, uids in (_read_object(lvis) if lvis.is_file() else {}).items():
            for uid in uids:
                self._lvis.setdefault(uid, []).append(category)

    def records(self) -> Iterator[dict[str, Any] | tuple[str, ObjectError]]:
        """Yield each annotated object as a plain record, or (uid, error) if it has no usable one.

        A record has uid, path (absolute str, or None if the collection lists none), name, tags
        ([str]), categories ([str]), lvis ([str]), license, faces (int or None), animations (int),
        description, age_restricted (bool).
        """
        for shard in self.shards:
            for uid, annotation in _read_object(shard).items():
                if isinstance(annotation, dict):
                    yield self._record(uid, annotation)
                else:
                    text = f"{shard} has no annotation object for {uid}"
                    yield uid, ObjectError("bad-annotation", text)

    def _record(self, uid: str, annotation: dict[str, Any]) -> dict[str, Any]:
        archive = _child(_child(annotation, "archives"), "glb")
        counts = [
            c for c in (archive.get("faceCount"), annotation.get("faceCount")) if _is_count(c)
        ]
        animations = annotation.get("animationCount")
        return {
            "uid": uid,
            "path": self._path(uid),
            "name": _text(annotation.get("name")),
            "tags": _names(annotation.get("tags"), "slug", "name"),
            "categories": _names(annotation.get("categories"), "name", "slug"),
            "lvis": self._lvis.get(uid, []),
            "license": _text(annotation.get("license")),
            "faces": counts[0] if counts else None,  # of the GLB, which is what will be read
            "animations": animations if _is_count(animations) else 0,
            "description": _text(annotation.get("description")),
            "age_restricted": bool(annotation.get("isAgeRestricted")),
        }

    def _path(self, uid: str) -> str | None:
        """Where the object should lie; None if it is listed nowhere or outside the collection."""
        listed = self.paths.get(uid)
        if not isinstance(listed, str) or "\0" in listed:
            return None
        relative = Path(listed)
        if relative.is_absolute() or ".." in relative.parts:
            return None
        return str(self.root / relative)


def _find_root(root: Path) -> Path:
    """The folder that has the layout: `root`, or the one the `objaverse` package makes in it."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; {LAYOUT}")
    for folder in (root, root / "hf-objaverse-v1"):
        if _either(folder / "object-paths.json.gz").is_file() and any(_shards(folder)):
            return folder.resolve()
    missing = "object-paths.json.gz"
    if _either(root / missing).is_file():
        missing = "metadata/*.json.gz"
    raise InputError(f"{root} has no {missing}; {LAYOUT}")


def _shards(root: Path) -> Iterator[Path]:
    for pattern in ("*.json.gz", "*.json"):
        yield from (root / "metadata").glob(pattern)


def _either(path: Path) -> Path:
    """`path`, or the same without .gz if only that exists."""
    plain = path.with_suffix("")
    return plain if plain.is_file() and not path.is_file() else path


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a .json or .json.gz file."""
    try:
        raw = path.read_bytes()
        value = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); fetch it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} should hold a JSON object with one entry per object or category")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _child(owner: dict[str, Any], key: str) -> dict[str, Any]:
    value = owner.get(key)
    return value if isinstance(value, dict) else {}


def _names(entries: Any, *keys: str) -> list[str]:
    """The texts of a list of strings or of objects that hold them under one of `keys`."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            entry = next((entry[k] for k in keys if isinstance(entry.get(k), str)), None)
        if isinstance(entry, str) and entry:
            found.append(entry)
    return found
