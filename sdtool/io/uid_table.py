"""A table from uid to text on disk, for hundreds of thousands of uids.

Many processes read it at the price of one, because they share the file's pages instead of holding a
dictionary each. For 800,000 object paths a dictionary takes 200 MB in every process, and an SQLite
file took four times as long to make and to search.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdtool.io.files import disk_errors

WIDEST = 1024  # letters of a uid or a text; longer ones are left out: the columns are as wide


@dataclass(frozen=True)
class UidTable:
    """`count` rows in a file each for hashes (sorted), row numbers, uids and texts.

    Small and picklable: a worker process gets this, and reads the files.
    """

    path: Path
    count: int
    uid_width: int
    text_width: int

    @classmethod
    def build(cls, parts: Iterable[dict[str, str]], path: Path) -> "UidTable":
        """Write the table of all parts of a dictionary; of a repeated uid the last text holds."""
        uids, texts = [np.zeros(0, "S1")], [np.zeros(0, "S1")]
        for part in parts:
            if max(map(len, [*part, *part.values()]), default=0) > WIDEST:
                part = {k: v for k, v in part.items() if max(len(k), len(v)) <= WIDEST}
            uids.append(_encode(list(part)))
            texts.append(_encode(list(part.values())))
        rows, words = np.concatenate(uids), np.concatenate(texts)
        del uids, texts
        hashes = _hash(rows) if len(rows) else np.zeros(0, np.uint64)
        order = np.argsort(hashes, kind="stable")
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"hashes": hashes[order], "order": order, "uids": rows, "texts": words}
        for name, column in columns.items():
            made = path.with_suffix("." + name)
            with disk_errors(made), open(made, "wb") as file:
                file.write(column.data)
        return cls(path, len(rows), rows.itemsize, words.itemsize)

    def find(self, uids: list[str]) -> list[str | None]:
        """The text of each uid, in order; None where the table has none."""
        if not self.count or not uids:
            return [None] * len(uids)
        asked = _encode(uids)
        hashes = self._column("hashes", "u8")
        at = np.searchsorted(hashes, _hash(asked), side="right") - 1  # the last of equal ones
        rows = self._column("order", "i8")[np.maximum(at, 0)]
        same = (self._column("uids", f"S{self.uid_width}")[rows] == asked).tolist()
        found = _decode(self._column("texts", f"S{self.text_width}")[rows])
        return [text if hit else None for text, hit in zip(found, same, strict=True)]

    def _column(self, name: str, kind: str) -> np.ndarray:
        if not self.count:
            return np.zeros(0, kind)
        return np.memmap(self.path.with_suffix("." + name), kind, "r", shape=self.count)


def _encode(texts: list[str]) -> np.ndarray:
    """The texts as byte strings of one width. Nearly all are ASCII, for which numpy has a way."""
    try:
        return np.array(texts, np.str_).astype(np.bytes_)
    except UnicodeEncodeError:
        return np.array([text.encode("utf-8", "surrogatepass") for text in texts], np.bytes_)


def _decode(texts: np.ndarray) -> list[str]:
    try:
        return texts.astype(np.str_).tolist()
    except UnicodeDecodeError:
        return [text.decode("utf-8", "surrogatepass") for text in texts.tolist()]


def _hash(texts: np.ndarray) -> np.ndarray:
    """A uint64 for each byte string, the same at any width."""
    width = -(-texts.itemsize // 8) * 8
    blocks = np.ascontiguousarray(texts.astype(f"S{width}")).view(np.uint64).reshape(len(texts), -1)
    value = np.zeros(len(texts), np.uint64)
    for block in blocks.T:
        mixed = (value ^ block) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
        value = np.where(block == 0, value, mixed)  # so that padding changes nothing
    return value
