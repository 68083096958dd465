"""PLY files: polygons and triangle strips, colours of vertices and faces, normals; text and binary.

Line ends may be of any system, and what follows the last element is not looked at.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.meshfiles.polygon_mesh import Polygons, read_numbers

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")
HEADER = 1 << 16  # bytes in which the header has to end
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


def read_ply(data: bytes, path: Path) -> Polygons:
    """The surface in the bytes of a PLY file. ObjectError ``corrupt-file``."""
    order, elements, start = _header(data, path)
    if any(element.count > len(data) for element in elements):
        raise _corrupt(path, "it ends too early")
    values = _read_text if order == "=" else _read_binary
    found = values(data[start:], elements, order, path)
    vertex = found.get("vertex", {})
    if not all(isinstance(vertex.get(axis), np.ndarray) for axis in "xyz"):
        raise _corrupt(path, "its vertices have no x, y and z")
    v_pos = np.column_stack([vertex[axis] for axis in "xyz"]).astype(np.float32)
    corner, count = _faces(found)
    polygons = Polygons(v_pos, corner, count)
    polygons.v_color = _color(vertex)
    if all(isinstance(vertex.get(name), np.ndarray) for name in ("nx", "ny", "nz")):
        polygons.v_normal = np.column_stack([vertex[n] for n in ("nx", "ny", "nz")])
    of_faces = _color(found.get("face", {}))
    if of_faces is not None and polygons.v_color is None and len(of_faces) <= len(count):
        polygons.p_color = np.full((len(count), 3), np.nan, np.float32)
        polygons.p_color[: len(of_faces)] = of_faces
    return polygons


def _corrupt(path: Path, what: str) -> ObjectError:
    return ObjectError("corrupt-file", f"{path} cannot be read as .ply ({what})")


def _header(data: bytes, path: Path) -> tuple[str, list[Element], int]:
    """The byte order, the elements and where they begin."""
    end = re.search(rb"(?:^|[\r\n])[ \t]*end_header[ \t]*(\r\n|\n|\r)", data[:HEADER])
    if not re.match(rb"ply\s", data) or end is None:
        raise _corrupt(path, "it has no header of a PLY file")
    # A lone CR ends the lines of old systems; then a first byte 10 is data.
    stop = end.end() - (end[1] == b"\r\n" and b"\r\n" not in data[: end.start()])
    order, elements = "", []
    for line in re.split(rb"[\r\n]+", data[: end.start()])[1:]:
        words = line.decode("utf-8", "replace").split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) > 1:
            order = ORDERS.get(words[1], "")
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal():
            elements.append(Element(words[1], int(words[2]), ()))
        elif words[0] == "property" and elements:
            last = elements.pop()
            added = (*last.properties, _property(words[1:], path))
            elements.append(Element(last.name, last.count, added))
        else:
            raise _corrupt(path, f"its header says {' '.join(words)[:60]}")
    if not order:
        raise _corrupt(path, "its format is unknown")
    return order, elements, stop


def _property(words: list[str], path: Path) -> Property:
    kinds = [TYPES.get(word, "") for word in words[:-1] if word != "list"]
    if words[:1] == ["list"] and len(words) == 4 and all(kinds):
        return Property(words[3], kinds[1], kinds[0])
    if len(words) == 2 and all(kinds):
        return Property(words[1], kinds[0])
    raise _corrupt(path, f"it has the property {' '.join(words)[:60]}")


# Values


def _read_text(
    data: bytes, elements: list[Element], order: str, path: Path
) -> dict[str, dict[str, np.ndarray | List]]:
    numbers = read_numbers(data)
    found: dict[str, dict[str, np.ndarray | List]] = {}
    at = 0
    for element in elements:
        lists = [p for p in element.properties if p.length]
        if not lists:
            width = len(element.properties)
            rows = numbers[at : at + element.count * width]
            if len(rows) < element.count * width:
                raise _corrupt(path, "it ends too early, or holds something that is no number")
            at += len(rows)
            rows = rows.reshape(element.count, width)
            columns = enumerate(element.properties)
            found[element.name] = {p.name: rows[:, k].astype(p.kind) for k, p in columns}
            continue
        found[element.name], at = _text_lists(numbers, at, element, path)
    return found


def _text_lists(
    numbers: np.ndarray, at: int, element: Element, path: Path
) -> tuple[dict[str, np.ndarray | List], int]:
    """The rows of an element with lists, from number `at` on, and where they end."""
    starts = np.empty((len(element.properties), element.count), np.int64)
    lengths = np.ones_like(starts)
    total = len(numbers)
    for row in range(element.count):
        for k, column in enumerate(element.properties):
            if column.length:
                length = numbers[at] if at < total else -1
                if not 0 <= length <= total - at or length != int(length):
                    raise _corrupt(path, f"row {row} of {element.name} is no list")
                lengths[k, row], at = int(length), at + 1
            starts[k, row] = at
            at += int(lengths[k, row])
    if at > total:
        raise _corrupt(path, "it ends too early, or holds something that is no number")
    values: dict[str, np.ndarray | List] = {}
    for k, column in enumerate(element.properties):
        taken = numbers[_ranges(starts[k], lengths[k])].astype(column.kind)
        values[column.name] = (lengths[k], taken) if column.length else taken
    return values, at


def _read_binary(
    data: bytes, elements: list[Element], order: str, path: Path
) -> dict[str, dict[str, np.ndarray | List]]:
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
            raise _corrupt(path, "it ends too early")
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


# What they mean


def _faces(found: dict[str, dict[str, np.ndarray | List]]) -> List:
    """(C,) corners and (N,) their counts, of faces and then of triangle strips."""
    corners, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for name, values in found.items():
        lists = {key: value for key, value in values.items() if isinstance(value, tuple)}
        known = next((lists[key] for key in CORNERS if key in lists), None)
        if known is None:
            continue
        lengths, numbers = known[0], np.asarray(known[1]).astype(np.int64)
        if name == "face":
            corners.append(numbers)
            counts.append(lengths)
        elif name == "tristrips":
            faces = _strips(lengths, numbers)
            corners.append(faces.reshape(-1))
            counts.append(np.full(len(faces), 3))
    return np.concatenate(corners), np.concatenate(counts)


def _strips(lengths: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(F, 3) triangles of strips; −1 begins a new one, and every second triangle is turned over."""
    begins = np.zeros(len(numbers) + 1, bool)
    begins[np.cumsum(lengths)] = True
    begins[0] = True
    begins[np.flatnonzero(numbers < 0) + 1] = True
    begin = np.maximum.accumulate(np.where(begins[:-1], np.arange(len(numbers)), 0))
    a, b, c = numbers[:-2], numbers[1:-1], numbers[2:]
    whole = (begin[2:] == begin[:-2]) & (np.minimum(np.minimum(a, b), c) >= 0)
    whole &= (a != b) & (b != c) & (c != a)
    faces = np.stack([a, b, c], axis=1)
    odd = (np.arange(len(a)) - begin[: len(a)]) % 2 == 1
    faces[odd] = faces[odd][:, [1, 0, 2]]
    return faces[whole]


def _color(values: dict[str, np.ndarray | List]) -> np.ndarray | None:
    """(N, 3) float32 sRGB-encoded in [0, 1] of an element's colours, or None."""
    for prefix in ("", "diffuse_"):
        parts = [values.get(prefix + name) for name in ("red", "green", "blue")]
        if all(isinstance(part, np.ndarray) for part in parts):
            color = np.column_stack(parts).astype(np.float32)  # type: ignore[arg-type]
            kind = parts[0].dtype  # type: ignore[union-attr]
            largest = np.iinfo(kind).max if kind.kind in "iu" else 1.0
            if kind.kind == "f" and color.max(initial=0) > 1:
                largest = 255.0
            return np.nan_to_num(color / np.float32(largest)).clip(0, 1)
    return None
