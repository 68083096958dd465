"""A table of results: a file and its prompt in each row, maybe a method and a seed."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdtool.errors import InputError
from sdtool.evaluating.assets import Asset, absolute
from sdtool.evaluating.prompts import BY_TABLE
from sdtool.io.files import text_of
from sdtool.io.folders import MESH_SUFFIXES
from sdtool.io.stage_record import DONE

COLUMNS = ("file", "prompt", "method", "seed")
NAMED = 3  # bad rows that a message names


@dataclass(frozen=True)
class Row:
    """number: its line in the file, the head's being 1. cells: column → text, stripped."""

    number: int
    cells: dict[str, str]


def read_table(path: Path) -> list[Asset]:
    """The assets of a CSV file (divided by commas, semicolons or tabs) whose first row names its columns:
    file and prompt, and maybe method and seed; others are passed over.

    Files are relative to the table's folder. Without a method it is the file's folder. InputError, one
    sentence that names the first bad rows, if any row cannot be used.
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
    if bad:
        more = f", and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        said = f"--table {path}: {'; '.join(bad[:NAMED])}{more}"
        raise InputError(f"{said}; mend these rows, or leave them out")
    if not found:
        raise InputError(f"--table {path} has no row below its head; write a file and its prompt")
    return [asset for _, asset in found.values()]


def _rows(path: Path) -> Iterator[Row]:
    try:
        text = text_of(path)
        divide = max(",;\t", key=text.partition("\n")[0].count)
        lines = csv.reader(text.split("\n"), delimiter=divide, strict=True)
        head = [name.strip().lower() for name in next(lines, [])]
        if missing := [name for name in COLUMNS[:2] if name not in head]:
            raise InputError(
                f"--table {path} has no column named {missing[0]}; its first row must name the "
                "columns: file and prompt, and maybe method and seed"
            )
        if twice := [name for name in COLUMNS if head.count(name) > 1]:
            raise InputError(f"--table {path} has two columns named {twice[0]}; rename one of them")
        for cells in lines:
            if any(cell.strip() for cell in cells):
                known = zip(head, map(str.strip, cells), strict=False)
                extra = {"": "x"} if len(cells) > len(head) else {}
                yield Row(lines.line_num, {k: v for k, v in known if k in COLUMNS} | extra)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"--table {path} cannot be read as CSV ({said})") from None


def _asset(row: Row, folder: Path) -> Asset | str:
    """The asset of a row, or what is wrong with it."""
    cells = row.cells
    if "" in cells:
        return "has more cells than the head (put quotes around a prompt with commas)"
    if not cells.get("file"):
        return "names no file (a prompt without a result is left out; --protocol counts it)"
    if not cells.get("prompt"):
        return "has no prompt"
    if not (cells.get("seed") or "0").isdecimal():
        return f"has the seed {cells['seed']!r}, which is no number"
    path = folder / cells["file"]
    if not path.exists():
        return f"names {cells['file']}, which does not exist"
    if path.suffix.lower() not in MESH_SUFFIXES and not (path / DONE).is_file():
        return f"names {cells['file']}, which is neither a model ({', '.join(MESH_SUFFIXES)}) nor a lift"
    seed = int(cells["seed"]) if cells.get("seed") else None
    method = cells.get("method") or absolute(path).parent.name
    return Asset(path, method, prompt=cells["prompt"], prompt_from=BY_TABLE, seed=seed)


def joined(by_table: list[Asset], found: list[Asset]) -> list[Asset]:
    """The assets of the table, then those of folders that it does not name."""
    known = {one.path.resolve() for one in by_table}
    return [*by_table, *(one for one in found if one.path.resolve() not in known)]
