"""`failures.jsonl`: a line for each object that could not be used, with a reason.

    {"uid": "a", "reason": "no-triangles", "message": "a.glb holds no triangles"}

The reason is a slug, the message a sentence. Of what could not be opened, `file` is its path: once it can
be, the same command tries the object again. A stage without failures leaves no such file.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sdtool.errors import ObjectError, UnopenedError
from sdtool.io.files import atomic_file, json_line

FAILURES = "failures.jsonl"


def failure(uid: str, error: ObjectError) -> dict[str, str]:
    """The record of one object that could not be used."""
    unopened = {"file": error.file} if isinstance(error, UnopenedError) else {}
    return {"uid": uid, "reason": error.reason, "message": str(error), **unopened}


def can_be_opened(record: dict[str, Any]) -> bool:
    """Whether what failed since a file of it could not be opened is to be tried again, as now it can be."""
    name = record.get("file")
    if not isinstance(name, str):
        return False
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            return False
        with open(name, "rb"):
            return True
    except (OSError, ValueError):
        return False


def error_of(record: dict[str, Any]) -> ObjectError | None:
    """What went wrong, of a failure's record; None of another record."""
    if "reason" not in record:
        return None
    if "file" in record:
        return UnopenedError(record["reason"], record["message"], record["file"])
    return ObjectError(record["reason"], record["message"])


def failure_line(uid: str, error: ObjectError) -> bytes:
    """The record as a line of the file, without its end."""
    return json_line(failure(uid, error))


@contextmanager
def failures_file(out: Path) -> Iterator[BinaryIO]:
    """Open the `failures.jsonl` of the stage directory `out`, for lines in the objects' order.

    It is there, whole, once the block has succeeded; if nothing was written, there is none, nor the
    one of an earlier attempt.
    """
    with atomic_file(out / FAILURES) as file:
        yield file
        is_empty = file.tell() == 0
    if is_empty:
        (out / FAILURES).unlink()


def write_failures(out: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write the `failures.jsonl` of the stage directory `out`, if there are any."""
    with failures_file(out) as file:
        for record in records:
            file.write(json_line(record) + b"\n")
