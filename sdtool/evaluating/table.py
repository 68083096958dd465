"""A table of results: a file and its prompt in each row, maybe a method and a seed."""

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sdtool.errors import InputError
from sdtool.evaluating.assets import Asset, absolute, stage_of, told_apart
from sdtool.evaluating.prompts import BY_TABLE, one_line, spelled
from sdtool.io.files import text_of
from sdtool.io.folders import MESH_SUFFIXES
from sdtool.io.stage_record import DONE

COLUMNS = ("file", "prompt", "method", "seed")
NAMED = 3  # bad rows that a message names
LONGEST = 60  # letters of a cell that a message shows
DIVIDED = re.compile(r"(?i)sep=([,;\t])[ ,;\t]*\n")
SEED = re.compile(r"\d{1,18}")


@dataclass(frozen=True)
class Row:
    """number: the line in the file where it begins, the head's being 1. cells: column → text, without blanks
    around it, and in all but `file` with one blank for many and for line breaks."""

    number: int
    cells: dict[str, str]


def read_table(path: Path) -> list[Asset]:
    """The assets of a CSV file (divided by commas, semicolons or tabs) whose first row names its columns:
    file and prompt, and maybe method and seed; others are passed over.

    Files are relative to the table's folder. Where no row has a method it is the file's folder. A lift
    that is not finished is an asset, too. A file and links to it are results of their own only where method,
    prompt or seed tell them apart. InputError, one sentence that names the first bad rows, if any row cannot
    be used.
    """
    found: dict[Path, tuple[int, Asset]] = {}
    bad: list[str] = []
    for row in _rows(path):
        asset = _asset(row, path.parent)
        if isinstance(asset, str):
            bad.append(f"row {row.number} {asset}")
            continue
        first, _ = found.setdefault(absolute(asset.path), (row.number, asset))
        if first != row.number:
            bad.append(f"row {row.number} names the same file as row {first}")
    bad += _methods_that_differ(list(found.values()))
    _refuse(path, bad)
    if not found:
        raise InputError(f"--table {path} has no row below its head; write a file and its prompt")
    assets = [asset for _, asset in found.values()]
    names = told_apart(absolute(one.path).parent for one in assets if not one.method)
    assets = [
        one if one.method else replace(one, method=names[absolute(one.path).parent])
        for one in assets
    ]
    results: dict[tuple, int] = {}
    for (number, _), asset in zip(found.values(), assets, strict=True):
        if (first := results.setdefault(_result(asset), number)) != number:
            said = "through a link, with the same method, prompt and seed"
            bad.append(f"row {number} names the same file as row {first}, {said}")
    _refuse(path, bad)
    return assets


def _methods_that_differ(rows: list[tuple[int, Asset]]) -> list[str]:
    """What is wrong with methods: rows that have none where others have, and names equal but for case."""
    some = any(one.method for _, one in rows)
    bad = [
        f"row {number} has no method, as others have"
        for number, one in rows
        if some and not one.method
    ]
    names: dict[str, str] = {}
    for number, one in rows:
        if one.method != (first := names.setdefault(one.method.casefold(), one.method)):
            bad.append(
                f"row {number} has the method {_short(one.method)!r}, which before was {_short(first)!r}"
            )
    return bad


def _refuse(path: Path, bad: list[str]) -> None:
    """InputError if there are bad rows, with the first of them."""
    if bad:
        more = f", and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        said = f"--table {path}: {'; '.join(bad[:NAMED])}{more}"
        raise InputError(f"{said}; mend these rows, or leave them out")


def _rows(path: Path) -> Iterator[Row]:
    start = before = 0
    try:
        text = text_of(path)
        if told := DIVIDED.match(text):  # Excel's
            text, before = text[told.end() :], 1
        start = before + 1
        divide = told[1] if told else max(",;\t", key=text.partition("\n")[0].count)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=divide, strict=True)
        head = [name.strip().lower() for name in next(lines, [])]
        if missing := [name for name in COLUMNS[:2] if name not in head]:
            what = f"has no column named {missing[0]}" if any(head) else "begins with an empty row"
            what = what if text.strip() else "is empty"
            raise InputError(
                f"--table {path} {what}; its first row must name the columns: file and prompt, and maybe "
                "method and seed"
            )
        if twice := [name for name in COLUMNS if head.count(name) > 1]:
            raise InputError(f"--table {path} has two columns named {twice[0]}; rename one of them")
        start = before + lines.line_num + 1
        for cells in lines:
            if any(cell.strip() for cell in cells):
                known = {k: v for k, v in zip(head, cells, strict=False) if k in COLUMNS}
                plain = {k: v.strip() if k == "file" else one_line(v) for k, v in known.items()}
                yield Row(start, plain | ({"": "x"} if len(cells) > len(head) else {}))
            start = before + lines.line_num + 1
    except OSError as error:
        raise InputError(f"--table {path} cannot be read as CSV ({error.strerror})") from None
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        where = "it" if error.encoding.startswith("utf-16") else f"row {row}"
        said = f"{where} is not UTF-8); save it as “CSV UTF-8”"
        raise InputError(f"--table {path} cannot be read as CSV ({said}") from None
    except csv.Error as error:
        said = (
            f"row {start}: {error}); close every quote, and write one that belongs to a text twice"
        )
        raise InputError(f"--table {path} cannot be read as CSV ({said}") from None


def _asset(row: Row, folder: Path) -> Asset | str:
    """The asset of a row, or what is wrong with it."""
    cells = row.cells
    if "" in cells:
        return "has more cells than the head (put quotes around a prompt with commas)"
    if not cells.get("file"):
        return "names no file (a prompt without a result is left out; --protocol counts it)"
    if not cells.get("prompt"):
        return "has no prompt"
    if not SEED.fullmatch(cells.get("seed") or "0"):
        said = "which is no whole number from 0 with at most 18 digits"
        return f"has the seed {_short(cells['seed'])!r}, {said}"
    path, name = folder / cells["file"], _short(cells["file"])
    try:
        if not path.exists():
            return f"names {name}, which does not exist"
        is_lift = path.is_dir() and stage_of(path) == "lift"
        unfinished = is_lift and not (path / DONE).is_file()
        is_model = path.is_file() and path.suffix.lower() in MESH_SUFFIXES
    except OSError as error:
        return f"names {name}, which cannot be read ({error.strerror})"
    except InputError:
        return f"names {name}, a folder whose stage record cannot be read"
    if not (is_lift or is_model):
        return f"names {name}, which is neither a model ({', '.join(MESH_SUFFIXES)}) nor a lift"
    seed = int(cells["seed"]) if cells.get("seed") else None
    return Asset(path, cells.get("method", ""), unfinished, cells["prompt"], BY_TABLE, seed)


def _result(asset: Asset) -> tuple:
    """By what two rows are the same result: the real file, the method, the prompt's words and the seed."""
    words = spelled(asset.prompt) or asset.prompt
    return os.path.realpath(asset.path), asset.method, words, asset.seed


def _short(cell: str) -> str:
    """What a message shows of a cell."""
    text = one_line(cell)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def joined(by_table: list[Asset], found: list[Asset]) -> list[Asset]:
    """The assets of the table, then those of folders that it does not name."""
    known = {os.path.realpath(one.path) for one in by_table}
    return [*by_table, *(one for one in found if os.path.realpath(one.path) not in known)]
