"""What sdtool knows of an object: one record, decoded fast from annotations as Objaverse has them, or
from lines of our own `objects.jsonl`."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Raw, Struct

from sdtool.errors import InputError, ObjectError

_NO_TEXT = Raw(b'""')


class Record(Struct, gc=False):
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
    description: Raw = _NO_TEXT
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

    def line(self) -> bytes:
        """The record as a line of an `objects.jsonl`, without its end."""
        if self.extra is msgspec.UNSET:
            try:
                return _ENCODER.encode(self)
            except UnicodeEncodeError:  # half of an emoji, as cut-off names hold
                pass
        return json_line(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        values = {name: getattr(self, name) for name in FIELDS}
        extra = {} if self.extra is msgspec.UNSET else self.extra
        return {**values, "description": json.loads(bytes(self.description)), **extra}


FIELDS = tuple(name for name in Record.__struct_fields__ if name != "extra")
_ENCODER = msgspec.json.Encoder()


def json_line(values: dict[str, Any]) -> bytes:
    """Any JSON object as a line, without its end."""
    try:
        return _ENCODER.encode(values)
    except UnicodeEncodeError:
        return json.dumps(values).encode("ascii")


# Annotations as Objaverse has them: decoded into these types, whatever else they hold is skipped


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Tag(Struct, gc=False, frozen=True):
    slug: str


class _Category(Struct, gc=False, frozen=True):
    name: str


class _Archive(Struct, gc=False, frozen=True):
    faceCount: _Count | None = None
    vertexCount: _Count | None = None
    size: _Count | None = None


class _Archives(Struct, gc=False, frozen=True):
    glb: _Archive = _Archive()


class _Annotation(Struct, gc=False, frozen=True):
    name: str = ""
    tags: list[_Tag] = []
    categories: list[_Category] = []
    license: str | None = None
    archives: _Archives = _Archives()
    faceCount: _Count | None = None
    vertexCount: _Count | None = None
    animationCount: _Count = 0
    description: Raw = _NO_TEXT
    isAgeRestricted: bool = False

    def record(self, uid: str) -> Record:
        glb = self.archives.glb
        is_text = bytes(self.description)[:1] == b'"'
        return Record(
            uid,
            None,
            self.name,
            [tag.slug for tag in self.tags],
            [category.name for category in self.categories],
            [],
            self.license or "",
            self.faceCount if glb.faceCount is None else glb.faceCount,
            self.vertexCount if glb.vertexCount is None else glb.vertexCount,
            self.animationCount,
            glb.size,
            self.description if is_text else _NO_TEXT,
            self.isAgeRestricted,
        )


_SHARD = msgspec.json.Decoder(dict[str, _Annotation])

Item = Record | tuple[str, ObjectError]


def read_shard(text: bytes, name: str) -> Iterator[Item]:
    """The objects of one JSON text: {uid: annotation}, a list of annotations, or a single one.

    Yields a Record without a path, or (uid, error) for what is no annotation. A field of a wrong
    type counts as absent. InputError calls the text `name` if it is no JSON.
    """
    try:
        annotations = _SHARD.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        yield from _read_slowly(text, name)
    else:
        for uid, annotation in annotations.items():
            yield annotation.record(uid)


def read_lines(text: bytes, name: str, first: int = 1) -> Iterator[Item]:
    """The same for JSON lines, of annotations or of an `objects.jsonl`; `first` is their number."""
    for number, line in enumerate(text.split(b"\n"), start=first):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            value = _loads(line)
        except (ValueError, RecursionError):
            yield where, ObjectError("bad-annotation", f"{where} is not valid JSON")
        else:
            yield _item(None, value, where)


def _read_slowly(text: bytes, name: str) -> Iterator[Item]:
    """For shards with a field of a wrong type, or with text that is no Unicode, in some object."""
    try:
        value = _loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is damaged ({error}); fetch it again") from None
    if isinstance(value, dict) and isinstance(value.get("uid"), str):
        value = [value]
    if isinstance(value, dict):
        for uid, annotation in value.items():
            yield _item(uid, annotation, name)
    elif isinstance(value, list):
        for number, annotation in enumerate(value, start=1):
            yield _item(None, annotation, f"{name}, entry {number}")
    else:
        raise InputError(f"{name} should hold a JSON object or list with one entry per object")


def _item(uid: str | None, value: Any, where: str) -> Item:
    """The record of any JSON value that should be an annotation, or a line of `objects.jsonl`."""
    if isinstance(value, dict):
        uid = value.get("uid") if uid is None else uid
        if isinstance(uid, str) and uid:
            return _record_of(uid, value)
        return where, ObjectError("bad-annotation", f"{where} has no uid, as text")
    text = f"{where} has no annotation object" + (f" for {uid}" if uid else "")
    return uid or where, ObjectError("bad-annotation", text)


def _record_of(uid: str, value: dict[str, Any]) -> Record:
    """The record of an annotation, or of a record's own line, of which nothing is lost."""
    glb = _child(_child(value, "archives"), "glb")
    path = value.get("path")
    is_ours = "path" in value and "archives" not in value
    description = _text(value.get("description"))
    extra = {k: v for k, v in value.items() if k not in FIELDS} if is_ours else {}
    return Record(
        uid=uid,
        path=path if isinstance(path, str) and path else None,
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


def _loads(text: bytes) -> Any:
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
