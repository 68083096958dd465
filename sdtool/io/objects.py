"""What sdtool knows of an object: one record, its line in an `objects.jsonl`, and collections of both."""

import builtins
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct

from sdtool.errors import InputError, ObjectError
from sdtool.io.files import child, file_in, read_jsonl
from sdtool.io.folders import MESH_SUFFIXES, Unread, model_stem, say_kinds, shut_aside, survey
from sdtool.io.words import counted

OBJECTS = "objects.jsonl"
NO_TEXT = Raw(b'""')


class ObjectRecord(Struct, gc=False):
    """What is known of one object.

    path: absolute, or None if nothing says where its file is. faces and vertices: of the GLB, which
    is what will be read, if the annotation knows them. bytes: the size of that file. license: a slug
    such as ``by``. description: JSON text. extra: what else a line of an `objects.jsonl` held.
    """

    uid: str
    path: str | None
    name: str = ""
    tags: list[str] = []
    categories: list[str] = []
    lvis: list[str] = []
    license: str = ""
    faces: int | None = None
    vertices: int | None = None
    animations: int = 0
    bytes: int | None = None
    description: Raw = NO_TEXT
    age_restricted: bool = False
    extra: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    @property
    def measures(self) -> dict[str, Any] | None:
        """What an earlier --inspect found, if it is known."""
        return self.extra if self.extra is not msgspec.UNSET and "readable" in self.extra else None

    def add_measures(self, found: dict[str, Any]) -> None:
        """Add what --inspect found to what is known."""
        before = {} if self.extra is msgspec.UNSET else self.extra
        self.extra = {**before, **{name: v for name, v in found.items() if name not in FIELDS}}

    def line(self) -> builtins.bytes:  # `bytes` is a field here
        """The record as a line of an `objects.jsonl`, without its end."""
        if self.extra is msgspec.UNSET:
            try:
                return _ENCODER.encode(self)
            except UnicodeEncodeError:  # half of an emoji, as cut-off names hold
                pass
        return compact_json(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        values = {name: getattr(self, name) for name in FIELDS}
        extra = {} if self.extra is msgspec.UNSET else self.extra
        return {**values, "description": self.description_text(), **extra}

    def description_text(self) -> str:
        """The description, decoded."""
        return json.loads(bytes(self.description))


FIELDS = tuple(name for name in ObjectRecord.__struct_fields__ if name != "extra")
_ENCODER = msgspec.json.Encoder()

Item = ObjectRecord | tuple[str, ObjectError]
"""A record, or what has none: its uid, or where it stands, and why."""


def compact_json(values: dict[str, Any]) -> bytes:
    """Any JSON object as a line without spaces, and without its end."""
    try:
        return _ENCODER.encode(values)
    except UnicodeEncodeError:
        return json.dumps(values).encode("ascii")


# Lines: what follows from a JSON value


def read_lines(text: bytes, name: str, first: int = 1) -> Iterator[Item]:
    """The objects of JSON lines, of an `objects.jsonl` or of annotations.

    Yields a record, or (uid, error) for a line that is none. A field of a wrong type counts as absent.
    first: the number of the first line of `text` in the file, which messages call `name`.
    """
    for number, line in enumerate(text.split(b"\n"), start=first):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            value = loads(line)
        except (ValueError, RecursionError):
            yield where, ObjectError("bad-annotation", f"{where} is not valid JSON")
        else:
            yield item_of(None, value, where)


def item_of(uid: str | None, value: Any, where: str) -> Item:
    """The record of any JSON value that should be an annotation, or a line of `objects.jsonl`."""
    if isinstance(value, dict):
        uid = uid_of(value) if uid is None else uid
        if uid:
            return record_of(uid, value)
        return where, ObjectError("bad-annotation", f"{where} has no uid, as text")
    text = f"{where} has no annotation object" + (f" for {uid}" if uid else "")
    return uid or where, ObjectError("bad-annotation", text)


def uid_of(value: dict[str, Any]) -> str:
    """The uid of a line or an annotation; empty if it has none, as text."""
    return _text(value.get("uid"))


def path_of(value: dict[str, Any]) -> str | None:
    """The path of a line: None if it says that there is no file; empty if it says nothing, as text."""
    return None if value.get("path", "") is None else _text(value.get("path"))


def record_of(uid: str, value: dict[str, Any]) -> ObjectRecord:
    """The record of an annotation, or of a record's own line, of which nothing is lost."""
    glb = child(child(value, "archives"), "glb")
    is_ours = "path" in value and "archives" not in value
    description = _text(value.get("description"))
    extra = {k: v for k, v in value.items() if k not in FIELDS} if is_ours else {}
    return ObjectRecord(
        uid=uid,
        path=path_of(value) or None,
        name=_text(value.get("name")),
        tags=_names(value.get("tags"), "slug", "name"),
        categories=_names(value.get("categories"), "name", "slug"),
        lvis=_names(value.get("lvis")),
        license=_text(value.get("license")),
        faces=_count(glb.get("faceCount"), value.get("faces"), value.get("faceCount")),
        vertices=_count(glb.get("vertexCount"), value.get("vertices"), value.get("vertexCount")),
        animations=_count(value.get("animationCount"), value.get("animations")) or 0,
        bytes=_count(glb.get("size"), value.get("bytes")),
        description=Raw(json.dumps(description).encode("ascii")),
        age_restricted=bool(value.get("isAgeRestricted") or value.get("age_restricted")),
        extra=extra or msgspec.UNSET,
    )


def loads(text: bytes) -> Any:
    """Any JSON value; half an emoji and NaN, which msgspec refuses, are taken as they are."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return json.loads(text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(*values: Any) -> int | None:
    """The first of the values that is a count."""
    return next((value for value in values if type(value) is int and value >= 0), None)


def _names(entries: Any, *keys: str) -> list[str]:
    """The texts of a list of strings or of objects that hold them under one of `keys`."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            entry = next((entry[k] for k in keys if isinstance(entry.get(k), str)), None)
        if isinstance(entry, str) and entry:
            found.append(entry)
    return found


# Collections


def iter_objects(source: str | Path) -> Iterator[ObjectRecord]:
    """Yield the objects of `source`.

    The path is absolute, or None if the listing says so: a collection may lack an object's file. Where
    nothing names an object, its uid does.

    source: an `objects.jsonl`; a directory that holds one; or any folder of meshes, searched
    recursively, where the file's name without endings becomes the uid (with the inner one of
    chair.gltf.glb if there is another chair; the relative paths, if names repeat even so). Hidden
    files and folders are passed over; links are followed. InputError if there is nothing, or a line
    is unusable.
    """
    source = Path(source)
    listing = objects_in(source)
    if listing.is_file() and listing.suffix == ".jsonl":
        found = _listed(listing)
    elif source.is_dir():
        found = _in_folder(source)
    elif source.exists():
        raise InputError(f"{source} is neither a folder of meshes nor an {OBJECTS}")
    else:
        raise InputError(f"{source} does not exist")
    empty = True
    for item in found:
        empty = False
        yield item
    if empty:
        unread = unread_beside(source)
        said = shut_aside(unread.shut)
        said += f"; it holds {kinds}" if (kinds := say_kinds(unread.kinds)) else ""
        expected = f"{', '.join(MESH_SUFFIXES)} files or an {OBJECTS}"
        raise InputError(f"{source} holds no objects; expected {expected}{said}")


def read_lvis(listing: Path) -> Iterator[tuple[str, list[str]]]:
    """(uid, LVIS categories) of each line of an `objects.jsonl`; InputError if they are something else."""
    for value in read_jsonl(listing):
        uid, names = uid_of(value), value.get("lvis") or []
        if not uid or not isinstance(names, list):
            said = f"uid {value.get('uid')} and lvis {names} should be text and a list"
            raise InputError(f"{listing}: {said}")
        yield uid, _names(names)


def objects_in(path: Path) -> Path:
    """The `objects.jsonl` that lies in the folder `path`; else `path`."""
    return file_in(path, OBJECTS)


def _listed(listing: Path) -> Iterator[ObjectRecord]:
    """The lines of an `objects.jsonl`, each checked, with absolute paths."""
    folder, seen = str(listing.parent.resolve()), set()
    for number, value in enumerate(read_jsonl(listing), start=1):
        uid, path = uid_of(value), path_of(value)
        if not uid or path == "":
            raise InputError(f"{listing}, object {number} lacks a uid or a path, as text")
        if uid in seen:
            raise InputError(f"{listing}, object {number} repeats the uid {uid}")
        seen.add(uid)
        record = record_of(uid, {"name": Path(uid).name, **value})
        record.path = os.path.normpath(os.path.join(folder, path)) if path else None
        yield record


def _in_folder(folder: Path) -> Iterator[ObjectRecord]:
    """The meshes below a folder, by path; a link keeps its own name, whatever it leads to."""
    root = folder.resolve()
    paths = [path.relative_to(folder) for path in survey(folder).models]
    bare, stems = Counter(map(model_stem, paths)), {path.stem for path in paths}
    for path in paths:
        name = model_stem(path)
        uid = name if bare[name] == 1 else path.stem
        if len(stems) < len(paths):
            uid = path.as_posix()
        yield ObjectRecord(uid, str(root / path), name)


def unread_beside(source: str | Path) -> Unread:
    """What below a folder of meshes is passed over: files of kinds that nobody reads, folders that are shut.

    Empty of a listing and of a collection in Objaverse's layout: they say what belongs to them.
    """
    source = Path(source)
    listed = objects_in(source) != source or (source / "object-paths.json.gz").is_file()
    return Unread() if listed or not source.is_dir() else survey(source).unread


def object_rng(seed: int, uid: str) -> np.random.Generator:
    """A generator that depends on seed and uid alone, so that reruns and ranks agree."""
    digest = hashlib.sha256(uid.encode("utf-8", "surrogatepass")).digest()
    words = np.frombuffer(digest[:16], np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


def say_unknown(option: str, uids: set[str], count: int) -> str:
    """Of how many of the `count` uids in an option's file there is no object, and which, in words."""
    some = ", ".join(sorted(uids)[:3]) + ", …" * (len(uids) > 3)
    are = "is" if len(uids) == 1 else "are"
    return f"{option}: {len(uids)} of its {counted(count, 'uid')} {are} of no object here ({some})"
