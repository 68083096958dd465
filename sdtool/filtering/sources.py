"""What filter-objaverse can read: a collection in Objaverse's layout, or JSON of any length.

A source is cut into units of some thousand objects, so that many processes can share the work and a
unit that is done need not be done again. Where a file is one unit, the process that works on it
reads it; a longer file is cut up on the way in.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sdtool.errors import InputError
from sdtool.io.failures import FAILURES
from sdtool.io.files import BOM, encoding_of, refuse_pointer
from sdtool.io.folders import MESH_SUFFIXES, Unread, model_stem, shut_aside
from sdtool.io.objaverse import Collection, Places, read_blocks, read_bytes
from sdtool.io.objaverse_annotations import read_annotations
from sdtool.io.objects import (
    Item,
    ObjectRecord,
    iter_objects,
    objects_in,
    read_lines,
    unread_beside,
)
from sdtool.io.uid_table import UidTable

LINES_SUFFIXES = (".jsonl", ".ndjson")
NOT_ANNOTATIONS = ("stage.json", "stage.partial.json", FAILURES, "rejected.jsonl")
WHOLE = (64 << 20, 16 << 20)  # bytes of a JSON file, plain and .gz, that a worker reads whole
TOGETHER = 5000  # meshes without an annotation in one unit
LONGEST = 256 << 20  # bytes of JSON in which an entry should have ended
SPACE = b" \t\r\n"
EXPECTED = (
    "expected the cache folder of the objaverse package, a Toyverse, a folder of meshes, or "
    "annotations as .json, .jsonl or the same with .gz"
)


@dataclass(frozen=True)
class Unit:
    """Some thousand objects: those of the file `path`, or of `text`, which was cut from one."""

    number: int
    name: str
    path: Path | None = None
    text: bytes = b""
    lines: bool = False
    first_line: int = 1

    def may_hold(self, uid: str) -> bool:
        """False if the object cannot be in this unit, which costs less to find out than to read."""
        return not uid.isalnum() or not uid.isascii() or uid.encode() in self._bytes()

    def _bytes(self) -> bytes:
        return self.text if self.path is None else read_bytes(self.path)

    def read(self) -> list[Item]:
        """Its objects, and errors of what is none."""
        text = self._bytes()
        if self.lines:
            return list(read_lines(text, self.name, self.first_line))
        return list(read_annotations(text, self.name))


class Source:
    """Annotations, and the files they speak of. InputError if `path` holds none."""

    def __init__(self, path: Path):
        self.path, self.collection = path, None
        self.unread = Unread()
        self.meshes: dict[str, str] = {}  # {uid: absolute path}, where no table lists them
        if path.is_dir() and _has_layout(path):
            self.collection = Collection(path)
            self.files = self.collection.shards
        elif path.is_dir():
            listing = objects_in(path)
            self.files = [listing] if listing != path else sorted(_json_files(path))
            if listing == path:
                self.meshes, self.unread = _meshes_below(path), unread_beside(path)
        elif path.is_file() and _is_json(path):
            self.files = [path]
            siblings = (p for p in path.parent.iterdir() if p.suffix.lower() in MESH_SUFFIXES)
            self.meshes = {model_stem(p): os.path.abspath(p) for p in siblings}
        else:
            state = "is no folder and no JSON file" if path.exists() else "does not exist"
            raise InputError(f"{path} {state}; {EXPECTED}")
        if not self.files and not self.meshes:
            shut = shut_aside(self.unread.shut)
            raise InputError(f"{path} holds no annotations; {EXPECTED}{shut}")

    @property
    def inputs(self) -> dict[str, Path | None]:
        """What decides about the result, for the stage record. Files of objects do not count."""
        if self.collection is None:
            return {"source": self.path}
        return {
            "metadata": self.collection.root / "metadata",
            "object paths": self.collection.paths_file,
            "lvis": self.collection.lvis_file,
        }

    def files_there(self) -> int | None:
        """How many files lie in a collection's folders of objects; None for other sources."""
        if self.collection is None:
            return None
        glbs = self.collection.root / "glbs"
        folders = [entry.path for entry in os.scandir(glbs)] if glbs.is_dir() else []
        return sum(len(os.listdir(folder)) for folder in folders if os.path.isdir(folder))

    def places(self, folder: Path) -> Places:
        """Where objects lie, by uid; the tables are written to `folder`."""
        if self.collection is not None:
            return Places(self.collection.root, *self.collection.tables(folder), confined=True)
        root = self.path if self.path.is_dir() else self.path.parent
        paths = UidTable.build([self.meshes], folder / "paths")
        return Places(root.resolve(), paths, UidTable.build([], folder / "lvis"), confined=False)

    def units(self) -> Iterator[Unit]:
        """The units of the annotation files, numbered from 0, always the same ones."""
        units = (unit for path in self.files for unit in self._units_of(path))
        for number, unit in enumerate(units):
            yield replace(unit, number=number)

    def left_over(self, number: int, annotated: set[str]) -> Iterator[Unit]:
        """Units, numbered from `number`, of the meshes below a folder that have no annotation."""
        if not self.path.is_dir():
            return
        rest = sorted(self.meshes.keys() - annotated)
        for start in range(0, len(rest), TOGETHER):
            lines = (_line_of_mesh(uid, self.meshes[uid]) for uid in rest[start : start + TOGETHER])
            text = b"\n".join(lines)
            yield Unit(number + start // TOGETHER, str(self.path), text=text, lines=True)

    def _units_of(self, path: Path) -> Iterator[Unit]:
        name = str(path)
        if path.name.lower().removesuffix(".gz").endswith(LINES_SUFFIXES):
            number = 1
            for text in _lines(blocks(path), name):
                yield Unit(0, name, text=text, lines=True, first_line=number)
                number += text.count(b"\n")
        elif self.collection is not None or path.stat().st_size <= WHOLE[path.suffix == ".gz"]:
            yield Unit(0, name, path)
        else:
            for text in json_entries(blocks(path), name):
                yield Unit(0, name, text=text)


def _has_layout(folder: Path) -> bool:
    marks = ("object-paths.json.gz", "object-paths.json", "metadata", "hf-objaverse-v1")
    return any((folder / mark).exists() for mark in marks)


def _is_json(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".json", *LINES_SUFFIXES))


def _json_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if os.path.isfile(path) and _is_json(path) and path.name not in NOT_ANNOTATIONS:
            yield path


def _line_of_mesh(uid: str, path: str) -> bytes:
    """All that is known of a mesh without an annotation, as a line of an `objects.jsonl`."""
    size = os.path.getsize(path) if os.path.isfile(path) else None  # not of a link to nowhere
    return ObjectRecord(uid, path, model_stem(Path(path)), bytes=size).line()


def _meshes_below(folder: Path) -> dict[str, str]:
    try:
        return {item.uid: str(item.path) for item in iter_objects(folder)}
    except InputError:
        return {}


# Cutting long files


def blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes in pieces, without the mark that some editors put at its beginning."""
    for number, block in enumerate(read_blocks(path)):
        if number == 0:
            refuse_pointer(path, block)
        if number == 0 and encoding_of(block) != "utf-8-sig":
            raise InputError(f"{path} is UTF-16, which is not read here; save it as UTF-8")
        yield block.removeprefix(BOM) if number == 0 else block


def _lines(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Texts of whole lines."""
    rest = b""
    for block in blocks:
        text = rest + block
        cut = text.rfind(b"\n") + 1
        rest = text[cut:]
        if cut:
            yield text[:cut]
        elif len(rest) > LONGEST:
            raise InputError(f"{name} has a line of over {LONGEST >> 20} MB; is it JSON lines?")
    if rest.strip(SPACE):
        yield rest


def json_entries(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """JSON texts, each with some entries of one long JSON object or list."""
    opening, closing, rest = b"", b"", b""
    for block in blocks:
        text = (rest + block).lstrip(SPACE if not opening else SPACE + b",")
        if not opening and text:
            opening, text = text[:1], text[1:]
            if opening not in (b"{", b"["):
                raise InputError(f"{name} should hold a JSON object or list of annotations")
            closing = b"}" if opening == b"{" else b"]"
        cut = _last_end(text)
        rest = text[cut:]
        if cut:
            yield opening + text[:cut] + closing
        elif len(rest) > LONGEST:
            raise InputError(f"{name} has an entry of over {LONGEST >> 20} MB; is it JSON?")
    rest = rest.strip(SPACE + b",")
    if rest != closing:
        yield opening + rest


_STRUCTURE = np.zeros(256, bool)
_STRUCTURE[list(b'"{}[]')] = True


def _last_end(text: bytes) -> int:
    """The end of the last whole entry that is an object or list; 0 if there is none.

    text: what lies inside a JSON object or list, from the beginning of an entry.
    """
    if b"\\" in text:  # so that all quotation marks that stay are ends of texts
        text = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    letters = np.frombuffer(text, np.uint8)
    at = np.flatnonzero(_STRUCTURE[letters])
    kinds = letters[at]
    quotes = kinds == ord('"')
    brackets = ~quotes & (np.cumsum(quotes) % 2 == 0)  # not within a text
    at, kinds = at[brackets], kinds[brackets]
    opens = (kinds == ord("{")) | (kinds == ord("["))
    depth = np.cumsum(np.where(opens, 1, -1))
    over = np.flatnonzero(depth < 0)[:1]  # the end of the whole
    ends = np.flatnonzero((depth == 0)[: over[0] if len(over) else None])
    return int(at[ends[-1]]) + 1 if len(ends) else 0
