"""Tables that others published about objects, row by row: CSV, TSV, JSON, JSON lines, Parquet.

A row belongs to a uid. Objaverse's are written in many ways, so a row may name it as a uid, as a path
(`000-023/<uid>.glb`) or as the object's page on Sketchfab.
"""

import csv
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import msgspec

from sdtool.errors import InputError
from sdtool.filtering.parquet import parquet_rows
from sdtool.filtering.sources import blocks, json_entries
from sdtool.io.files import encoding_of, read_jsonl, refuse_pointer
from sdtool.io.objects import loads

UID_COLUMNS = (
    "uid", "object_uid", "objaverse_uid", "objaverse_id", "object_index", "object_id",
    "file_identifier", "fileidentifier", "id", "sha256",
)  # fmt: skip
"""Names of the column that says whose row it is, in any case; the first of these that is there."""
SHAPE = re.compile(r"[0-9a-f]{32}|[0-9A-Za-z]{27}")  # of Objaverse's uids
FORMATS = ".csv, .tsv, .txt, .json, .jsonl or .ndjson (also with .gz), or .parquet"
LONGEST = 1 << 27  # letters of a cell: TRELLIS keeps a dozen captions in one

Row = tuple[str, dict[str, Any]]


def read_table(path: Path) -> Iterator[Row]:
    """(uid, {column: value}) of each row; the uid is empty if the row names none.

    InputError if the file cannot be read, or has no column of uids.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file; a table is a {FORMATS}")
    with open(path, "rb") as file:
        refuse_pointer(path, file.read(99))
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind in (".csv", ".tsv", ".txt"):
        return _csv(path, "\t" if kind == ".tsv" else "")
    if kind == ".json":
        return _json(path)
    if kind in (".jsonl", ".ndjson"):
        return _named(path, _json_lines(path))
    if kind == ".parquet":
        return _named(path, parquet_rows(path))
    raise InputError(f"{path} ends in none of {FORMATS}, so it cannot be read as a table")


def uid_in(value: Any) -> str:
    """The uid that a cell holds; empty if it holds none, such as the address of another site."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if "://" in text:
        page = text.split("?")[0].rstrip("/").rpartition("/")[2]
        uid = page.rpartition("-")[2]  # after the title, if there is one
        return uid if "sketchfab.com/" in text and SHAPE.fullmatch(uid) else ""
    return text.rpartition("/")[2].removesuffix(".glb")


class _Whose:
    """Finds the uid of rows with these columns."""

    def __init__(self, path: Path, columns: list[str]):
        lower = {name.strip().lower(): name for name in reversed(columns)}
        self.names = [lower[known] for known in UID_COLUMNS if known in lower]
        if not self.names:
            has = ", ".join(columns[:12]) or "none"
            known = ", ".join(UID_COLUMNS)
            raise InputError(
                f"{path} has no column of uids, by one of the names {known}; its columns are: {has}"
            )

    def __call__(self, row: dict[str, Any]) -> str:
        for name in self.names:
            if uid := uid_in(row.get(name)):
                return uid
        return ""


def _named(path: Path, rows: Iterator[dict[str, Any]]) -> Iterator[Row]:
    whose = None
    for row in rows:
        whose = whose or _Whose(path, list(row))
        yield whose(row), row


# Text


def _csv(path: Path, divide: str) -> Iterator[Row]:
    """Rows under a head; without one, if a cell of the first row is a uid, under column1, column2, …"""
    csv.field_size_limit(LONGEST)
    number = 0
    try:
        with _text(path) as file:
            start = file.readline()
            file.seek(0)
            divide = divide or max(",;\t", key=start.count)
            lines = csv.reader(file, delimiter=divide, strict=True)  # no open quote eats the rest
            head = [name.strip() for name in next(lines, [])]
            uids = [at for at, cell in enumerate(head) if SHAPE.fullmatch(uid_in(cell))]
            columns = head
            if uids:
                columns = [f"column{at + 1}" for at in range(len(head))]
                columns[uids[0]] = UID_COLUMNS[0]
                yield uid_in(head[uids[0]]), dict(zip(columns, head, strict=True))
            if twice := [name for name in columns if name and columns.count(name) > 1]:
                raise InputError(f"{path} has two columns named {twice[0]}; rename one of them")
            whose, width = _Whose(path, columns), len(columns)
            for number, cells in enumerate(lines, start=2):
                if len(cells) > width:
                    raise InputError(
                        f"{path}, row {number} has {len(cells)} cells for {width} columns"
                    )
                if cells:
                    row = dict(zip(columns, cells, strict=False))
                    yield whose(row), row
    except (UnicodeError, csv.Error, EOFError, OSError) as error:
        cure = "; save it as UTF-8" if isinstance(error, UnicodeError) else ""
        said = f"{path} cannot be read after row {number or 1} ({error}){cure}"
        raise InputError(said) from None


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
        encoding = encoding_of(file.read(2))
        file.seek(0)
        yield TextIOWrapper(file, encoding=encoding, newline="")


# JSON


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() != ".gz":
        yield from read_jsonl(path)
        return
    try:
        with gzip.open(path) as file:
            for number, line in enumerate(file, start=1):
                row = msgspec.json.decode(line) if line.strip() else None
                if isinstance(row, dict):
                    yield row
                elif row is not None:
                    raise InputError(f"{path}, line {number} is not a JSON object")
    except (msgspec.MsgspecError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read as JSON lines ({error})") from None


def _json(path: Path) -> Iterator[Row]:
    """Rows of a list of objects, or of an object from uid to object; a list of uids; from uid to value.

    Where a key is no uid but the value is one, as in lists of files by number, they change places.
    """
    whose = None
    for text in json_entries(blocks(path), str(path)):
        try:
            part = loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not valid JSON ({error})") from None
        for key, value in part.items() if isinstance(part, dict) else ((None, v) for v in part):
            if isinstance(value, dict):
                if key is not None:
                    yield uid_in(key), value
                    continue
                whose = whose or _Whose(path, list(value))
                yield whose(value), value
            elif key is None:
                yield uid_in(value), {}
            elif SHAPE.fullmatch(uid_in(value)) and not SHAPE.fullmatch(uid_in(key)):
                yield uid_in(value), {"value": key}
            else:
                yield uid_in(key), {"value": value}
