"""Tables of `uid,degrees`: how far objects must be turned so that they face +Z."""

import csv
import math
from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.io.files import read_jsonl, text_of

HEAD = ["uid", "degrees"]


def read_yaw_fix(path: str | Path) -> dict[str, float]:
    """A table of turns: uid → degrees about +Y, from +Z toward +X.

    path: lines of ``uid,degrees`` (CSV, also divided by semicolons or tabs as spreadsheets write it;
    a first line of these words is passed over), or JSON lines with "uid" and "degrees" if it ends in
    .jsonl. InputError names a line that is neither.
    """
    path = Path(path)
    rows: list[tuple[Any, ...]]
    if path.suffix == ".jsonl":
        rows = [(r.get("uid"), r.get("degrees")) for r in read_jsonl(path)]
    else:
        try:
            lines = text_of(path).split("\n")
            divide = max(",;\t", key=(lines[0] if lines else "").count)  # as the head is divided
            rows = [tuple(row) for row in csv.reader(lines, delimiter=divide) if row]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} cannot be read as a table of uid,degrees ({error})") from None
        rows = rows[1:] if rows and [w.strip().lower() for w in rows[0]] == HEAD else rows
    table: dict[str, float] = {}
    for number, row in enumerate(rows, start=1):
        try:
            uid, degrees = row
            table[uid] = float(degrees)
            good = isinstance(uid, str) and uid and math.isfinite(table[uid])
        except (TypeError, ValueError):
            good = False
        if not good:
            raise InputError(f"{path}, entry {number} is not a uid and an angle in degrees: {row}")
    return table
