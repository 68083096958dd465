"""The values of a PLY file: rows of numbers and of lists, in text or in bytes of either order."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.meshfiles.polygon_mesh import read_numbers, truncated

List = tuple[np.ndarray, np.ndarray]  # (N,) lengths, and all values one after another


@dataclass(frozen=True)
class Property:
    """One column of an element. length: the type of a list's length; None of a plain value."""

    name: str
    kind: str
    length: str | None = None


@dataclass(frozen=True)
class Element:
    """So many rows of the same properties."""

    name: str
    count: int
    properties: tuple[Property, ...]


def corrupt(path: Path, what: str) -> ObjectError:
    """The error for a file that is no PLY, or contradicts itself."""
    return ObjectError("corrupt-file", f"{path} cannot be read as .ply ({what})")


def read_text_values(
    data: bytes, elements: list[Element], order: str, path: Path
) -> dict[str, dict[str, np.ndarray | List]]:
    """{element: {property: values of its rows}} of a text, which stands behind the header."""
    numbers = read_numbers(data)
    found: dict[str, dict[str, np.ndarray | List]] = {}
    at = 0
    for element in elements:
        lists = [p for p in element.properties if p.length]
        if not lists:
            width = len(element.properties)
            rows = numbers[at : at + element.count * width]
            if len(rows) < element.count * width:
                raise _short(data, numbers, path)
            at += len(rows)
            rows = rows.reshape(element.count, width)
            columns = enumerate(element.properties)
            found[element.name] = {p.name: rows[:, k].astype(p.kind) for k, p in columns}
            continue
        found[element.name], at = _text_lists(data, numbers, at, element, path)
    return found


def _short(data: bytes, numbers: np.ndarray, path: Path) -> ObjectError:
    """The error for a text with fewer numbers than its header promises."""
    words = data.split()
    if len(words) > len(numbers):
        word = words[len(numbers)][:20].decode("utf-8", "replace")
        return corrupt(path, f"{word} stands where a number should")
    return truncated(path, f"it ends after {len(numbers):,} numbers")


def _text_lists(
    data: bytes, numbers: np.ndarray, at: int, element: Element, path: Path
) -> tuple[dict[str, np.ndarray | List], int]:
    """The rows of an element with lists, from number `at` on, and where they end."""
    starts = np.empty((len(element.properties), element.count), np.int64)
    lengths = np.ones_like(starts)
    total = len(numbers)
    for row in range(element.count):
        for k, column in enumerate(element.properties):
            if column.length:
                length = numbers[at] if at < total else -1
                if at >= total:
                    raise _short(data, numbers, path)
                if not 0 <= length <= total - at or length != int(length):
                    raise corrupt(path, f"row {row} of {element.name} is no list")
                lengths[k, row], at = int(length), at + 1
            starts[k, row] = at
            at += int(lengths[k, row])
    if at > total:
        raise _short(data, numbers, path)
    values: dict[str, np.ndarray | List] = {}
    for k, column in enumerate(element.properties):
        taken = numbers[_ranges(starts[k], lengths[k])].astype(column.kind)
        values[column.name] = (lengths[k], taken) if column.length else taken
    return values, at


def read_binary_values(
    data: bytes, elements: list[Element], order: str, path: Path
) -> dict[str, dict[str, np.ndarray | List]]:
    """The same of bytes. order: "<" or ">"."""
    found: dict[str, dict[str, np.ndarray | List]] = {}
    at = 0
    for element in elements:
        made = _alike(data, at, element, order)
        if made is None:
            made = _binary_lists(data, at, element, order, path)
        found[element.name], at = made
    return found


def _alike(
    data: bytes, at: int, element: Element, order: str
) -> tuple[dict[str, np.ndarray | List], int] | None:
    """The rows of an element whose lists are as long in all rows as in the first; None if not so."""
    fields: list[tuple] = []
    offset = at
    for k, column in enumerate(element.properties):
        if column.length:
            kind = np.dtype(order + column.length)
            head = data[offset : offset + kind.itemsize]
            length = int(np.frombuffer(head, kind)[0]) if len(head) == kind.itemsize else -1
            if element.count and not 0 <= length <= len(data):
                return None
            length = max(length, 0)
            fields += [(f"n{k}", kind), (f"v{k}", order + column.kind, (length,))]
            offset += kind.itemsize + length * np.dtype(column.kind).itemsize
        else:
            fields.append((f"v{k}", order + column.kind))
            offset += np.dtype(column.kind).itemsize
    row = np.dtype(fields)
    end = at + element.count * row.itemsize
    if end > len(data):
        return None
    rows = np.frombuffer(data, row, element.count, at) if element.count and row.itemsize else None
    values: dict[str, np.ndarray | List] = {}
    for k, column in enumerate(element.properties):
        if rows is None:
            empty = np.empty(0, column.kind)
            values[column.name] = (np.empty(0, np.int64), empty) if column.length else empty
        elif not column.length:
            values[column.name] = rows[f"v{k}"]
        else:
            lengths = rows[f"n{k}"].astype(np.int64)
            if (lengths != lengths[0]).any():
                return None
            values[column.name] = (lengths, rows[f"v{k}"].reshape(-1))
    return values, end


def _binary_lists(
    data: bytes, at: int, element: Element, order: str, path: Path
) -> tuple[dict[str, np.ndarray | List], int]:
    """The rows of an element with lists of many lengths, and where they end."""
    side = "little" if order == "<" else "big"
    columns = []
    for column in element.properties:
        size = np.dtype(column.kind).itemsize
        columns.append((np.dtype(column.length).itemsize if column.length else 0, size))
    starts = np.empty((len(columns), element.count), np.int64)
    lengths = np.ones_like(starts)
    for row in range(element.count):
        for k, (head, size) in enumerate(columns):
            if head:
                lengths[k, row] = length = int.from_bytes(data[at : at + head], side)  # type: ignore[arg-type]
                at += head
            else:
                length = 1
            starts[k, row] = at
            at += length * size
        if at > len(data):
            raise truncated(path, f"its {element.name} rows end after row {row:,}")
    raw = np.frombuffer(data, np.uint8)
    values: dict[str, np.ndarray | List] = {}
    for k, column in enumerate(element.properties):
        size = columns[k][1]
        taken = raw[_ranges(starts[k], lengths[k] * size)].view(order + column.kind)
        values[column.name] = (lengths[k], taken) if column.length else taken
    return values, at


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The numbers start, …, start + length − 1 of each range, one after another."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
