"""Tables of `uid,degrees`: how far objects must be turned so that they face +Z."""

import csv
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from sdtool.errors import InputError
from sdtool.io.files import atomic_file, json_line, read_jsonl, text_of
from sdtool.io.rank_folders import stage_folders

HEAD = ["uid", "degrees"]

YAW_FIX = "yaw-fix.jsonl"


def yaw_fix_file(out: Path) -> AbstractContextManager[BinaryIO]:
    """Open the `yaw-fix.jsonl` of the stage directory `out`, for lines in the objects' order."""
    return atomic_file(out / YAW_FIX)


def yaw_fix_line(uid: str, degrees: float, confidence: float) -> bytes:
    """One object's line of it: by how much it is to be turned, and how sure that is, in [0, 1]."""
    return json_line({"uid": uid, "degrees": degrees, "confidence": confidence}) + b"\n"


def read_yaw_fix(path: str | Path) -> dict[str, float]:
    """A table of turns: uid → degrees about +Y, from +Z toward +X.

    path: lines of ``uid,degrees`` (CSV, also divided by semicolons or tabs as spreadsheets write it;
    a first line of these words is passed over), or JSON lines with "uid" and "degrees" if it ends in
    .jsonl; a folder that holds a `yaw-fix.jsonl`, of one rank or of many. InputError names a line that
    is neither.
    """
    path = Path(path)
    if path.is_dir():
        parts = [folder / YAW_FIX for folder in stage_folders(path)]
        for part in parts:
            if not part.is_file():
                raise InputError(f"{path} holds no {YAW_FIX}; make it with: sdtool orient")
        return {uid: turn for part in parts for uid, turn in read_yaw_fix(part).items()}
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
    if (
        not rows and path.suffix != ".jsonl"
    ):  # JSON lines without any are orient's, which turned nothing
        raise InputError(
            f"{path} holds no line of uid,degrees; leave --yaw-fix out to turn nothing"
        )
    table: dict[str, float] = {}
    for number, row in enumerate(rows, start=1):
        try:
            uid, degrees = row[0], float(row[1])
            good = len(row) == 2 and isinstance(uid, str) and uid and math.isfinite(degrees)
        except (TypeError, ValueError, IndexError):
            good = False
        if not good:
            raise InputError(f"{path}, entry {number} is not a uid and an angle in degrees: {row}")
        if table.setdefault(uid, degrees) != degrees:
            said = (
                f"turns {uid} by {degrees:g}°, and an entry before it by {table[uid]:g}°; keep one"
            )
            raise InputError(f"{path}, entry {number} {said}")
    return table
