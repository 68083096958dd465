"""Lines of results that come in any order, one for each item, in a file that survives a kill."""

import json
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdtool.errors import ObjectError
from sdtool.io.failures import can_be_opened, failure_line
from sdtool.io.files import disk_errors, json_line

FAILED = "failed"
"""The kind of an item that could not be used; its line is one of `failures.jsonl`."""


class Ledger:
    """A growing file of one line for each finished item, found again by the item's index.

    A line of the file is the index, a kind (one word: the source of a caption, or `FAILED`) and the
    JSON. Opening the file again cuts off what a kill left unfinished, and passes over items that failed
    since a file could not be opened which now can be: they are to be tried again. Memory: 8 bytes for each
    item.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.count = 0
        self._starts = array("q")  # by index; −1: not there yet
        self._gathered: list[bytes] | None = None
        self._file = open(self.path, "a+b")
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            index, kind, text = line.split(b" ", 2)
            self._note(int(index), end)
            if kind == FAILED.encode() and can_be_opened(json.loads(text)):
                self._starts[int(index)] = -1
                self.count -= 1
            end += len(line)
        self._file.truncate(end)
        self._end = end

    def __contains__(self, index: int) -> bool:
        return index < len(self._starts) and self._starts[index] >= 0

    def _note(self, index: int, start: int) -> None:
        if index >= len(self._starts):
            self._starts.extend([-1] * (index + 1 - len(self._starts)))
        self.count += self._starts[index] < 0
        self._starts[index] = start

    def add_line(self, index: int, uid: str, line: dict[str, Any] | ObjectError) -> None:
        """Append what became of item number `index`: a line with a ``source``, or what is wrong."""
        if isinstance(line, ObjectError):
            kind, text = FAILED, failure_line(uid, line)
        else:
            kind, text = line["source"], json_line(line)
        data = f"{index} {kind} ".encode() + text + b"\n"
        self._note(index, self._end)
        self._end += len(data)
        if self._gathered is None:
            self._write(data)
        else:
            self._gathered.append(data)
            if len(self._gathered) == 1000:
                self._write_gathered()

    def _write_gathered(self) -> None:
        self._write(b"".join(self._gathered or ()))
        self._gathered = []

    def _write(self, data: bytes) -> None:
        with disk_errors(self.path):
            self._file.write(data)
            self._file.flush()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Write what is added meanwhile in large pieces: one line or a thousand at a time."""
        self._gathered = []
        try:
            yield
        finally:
            self._write_gathered()
            self._gathered = None

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Yield (kind, JSON line in UTF-8 without its end) in the order of the indices."""
        with open(self.path, "rb") as file:
            for start in self._starts:
                if start >= 0:
                    if file.tell() != start:
                        file.seek(start)
                    _, kind, text = file.readline().rstrip(b"\n").split(b" ", 2)
                    yield kind.decode(), text

    def close(self) -> None:
        """Close the file; it stays where it is."""
        with disk_errors(self.path):
            self._file.close()
