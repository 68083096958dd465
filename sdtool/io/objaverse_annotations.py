"""Annotations as Objaverse has them: JSON that is decoded fast into the records of objects."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Raw, Struct

from sdtool.errors import InputError
from sdtool.io.objects import NO_TEXT, Item, ObjectRecord, item_of, loads

# Annotations are decoded into these types; whatever else they hold is skipped.
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
    description: Raw = NO_TEXT
    isAgeRestricted: bool = False

    def record(self, uid: str) -> ObjectRecord:
        glb = self.archives.glb
        is_text = bytes(self.description)[:1] == b'"'
        return ObjectRecord(
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
            self.description if is_text else NO_TEXT,
            self.isAgeRestricted,
        )


_SHARD = msgspec.json.Decoder(dict[str, _Annotation])


def read_annotations(text: bytes, name: str) -> Iterator[Item]:
    """The objects of one JSON text: {uid: annotation}, a list of annotations, or a single one.

    Yields a record without a path, or (uid, error) for what is no annotation. A field of a wrong
    type counts as absent. InputError calls the text `name` if it is no JSON.
    """
    try:
        annotations = _SHARD.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        yield from _read_slowly(text, name)
    else:
        for uid, annotation in annotations.items():
            yield annotation.record(uid)


def _read_slowly(text: bytes, name: str) -> Iterator[Item]:
    """For shards with a field of a wrong type, or with text that is no Unicode, in some object."""
    try:
        value = loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is damaged ({error}); fetch it again") from None
    if isinstance(value, dict) and isinstance(value.get("uid"), str):
        value = [value]
    if isinstance(value, dict):
        for uid, annotation in value.items():
            yield item_of(uid, annotation, name)
    elif isinstance(value, list):
        for number, annotation in enumerate(value, start=1):
            yield item_of(None, annotation, f"{name}, entry {number}")
    else:
        raise InputError(f"{name} should hold a JSON object or list with one entry per object")
