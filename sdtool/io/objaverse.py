"""Reading a collection in the layout of the `objaverse` package.

    object-paths.json.gz           {uid: path of its GLB, relative to the collection}
    metadata/000-000.json.gz …     {uid: annotation}
    lvis-annotations.json.gz       {LVIS category: [uid]}; may be absent

Each file may also be plain .json. One metadata shard is in memory at a time.
"""

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sdtool.errors import InputError
from sdtool.io.files import BOM
from sdtool.io.objaverse_annotations import read_annotations
from sdtool.io.objects import Item, ObjectRecord
from sdtool.io.uid_table import UidTable

LAYOUT = (
    "expected object-paths.json.gz and a folder metadata/ of .json.gz files in it "
    "(objaverse.load_annotations() of the objaverse package fetches both)"
)
BLOCK = 1 << 23  # bytes read at once from files that are too long to be read whole


class Collection:
    """An Objaverse cache directory, or a Toyverse."""

    def __init__(self, root: str | Path):
        self.root = _find_root(Path(root))
        self.paths_file = either(self.root / "object-paths.json.gz")
        self.shards = sorted(_shards(self.root))
        self.lvis_file: Path | None = either(self.root / "lvis-annotations.json.gz")
        if not self.lvis_file.is_file():
            self.lvis_file = None

    def records(self) -> Iterator[Item]:
        """Yield the record of each annotated object, or (uid, error)."""
        with tempfile.TemporaryDirectory() as folder:
            places = Places(self.root, *self.tables(Path(folder)), confined=True)
            for shard in self.shards:
                yield from places.put(list(read_annotations(read_bytes(shard), str(shard))))

    def tables(self, folder: Path) -> tuple[UidTable, UidTable]:
        """Tables of object paths and LVIS categories (JSON lists), written to `folder`."""
        paths = UidTable.build(_read_paths(self.paths_file), folder / "paths")
        return paths, UidTable.build([_read_lvis(self.lvis_file)], folder / "lvis")


class Places:
    """Fills in where objects lie, and their LVIS categories. Small and picklable.

    paths: of files, relative to `root` or absolute. confined: none may lie outside of `root`.
    """

    def __init__(self, root: Path, paths: UidTable, lvis: UidTable, *, confined: bool):
        self.root, self.paths, self.lvis, self.confined = str(root), paths, lvis, confined

    def put(self, items: list[Item]) -> list[Item]:
        """The same items; the records among them know absolute path and LVIS categories now."""
        records = [item for item in items if isinstance(item, ObjectRecord)]
        uids = [record.uid for record in records]
        known = zip(records, self.paths.find(uids), self.lvis.find(uids), strict=True)
        for record, path, lvis in known:
            if record.path is not None:  # its line said so
                record.path = os.path.normpath(os.path.join(self.root, record.path))
            elif path is not None:
                record.path = self._absolute(path)
            if lvis is not None:
                record.lvis = json.loads(lvis)
        return items

    def _absolute(self, listed: str) -> str | None:
        """The path; None if it would lead out of where it must be."""
        if not self.confined:
            return os.path.join(self.root, listed)
        leads_out = listed[:1] == "/" or (".." in listed and ".." in listed.split("/"))
        return None if leads_out or "\0" in listed else f"{self.root}/{listed}"


def _find_root(root: Path) -> Path:
    """The folder that has the layout: `root`, or the one the `objaverse` package makes in it."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; {LAYOUT}")
    for folder in (root, root / "hf-objaverse-v1"):
        if either(folder / "object-paths.json.gz").is_file() and any(_shards(folder)):
            return folder.resolve()
    missing = "object-paths.json.gz"
    if either(root / missing).is_file():
        missing = "metadata/*.json.gz"
    raise InputError(f"{root} has no {missing}; {LAYOUT}")


def _shards(root: Path) -> Iterator[Path]:
    for pattern in ("*.json.gz", "*.json"):
        yield from (root / "metadata").glob(pattern)


def either(path: Path) -> Path:
    """`path`, or the same without .gz if only that exists."""
    plain = path.with_suffix("")
    return plain if plain.is_file() and not path.is_file() else path


# Files


def read_bytes(path: Path) -> bytes:
    """The bytes of a text, without a byte-order mark, decompressed if its name ends in .gz."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).removeprefix(BOM)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}); fetch it again") from None


def read_blocks(path: Path) -> Iterator[bytes]:
    """The same, some megabytes at a time."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            while block := file.read(BLOCK):
                yield block
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}); fetch it again") from None


def _read_paths(path: Path) -> Iterator[dict[str, str]]:
    """The object paths in parts: whole they would fill 200 MB.

    A comma after a quotation mark ends an entry, unless it is quoted text: that is seen by its
    backslash, and such a file is read whole.
    """
    head, rest = b"", b""
    try:
        for block in read_blocks(path):
            text = rest + block
            cut = text.rfind(b'",')
            if cut < 0 or b"\\" in text:
                rest = text
            else:
                yield _PATHS.decode(head + text[: cut + 1] + b"}")
                head, rest = b"{", text[cut + 2 :]
        yield _PATHS.decode(head + rest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = _json_object(read_bytes(path), path)
        yield {uid: place for uid, place in value.items() if isinstance(place, str)}


_PATHS = msgspec.json.Decoder(dict[str, str])


def _read_lvis(path: Path | None) -> dict[str, str]:
    """{uid: its LVIS categories as a JSON list}; about 46,000 in Objaverse."""
    found: dict[str, list[str]] = {}
    for category, uids in (_json_object(read_bytes(path), path) if path else {}).items():
        for uid in uids if isinstance(uids, list) else []:
            if isinstance(uid, str):
                found.setdefault(uid, []).append(category)
    return {uid: json.dumps(categories) for uid, categories in found.items()}


def _json_object(text: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); fetch it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} should hold a JSON object with one entry per object or category")
    return value
