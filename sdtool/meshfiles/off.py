"""OFF files: polygons, with colours of vertices and of faces; text only."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.io.files import BOM
from sdtool.meshfiles.polygon_mesh import Polygons, near, read_numbers, truncated

HEAD = re.compile(rb"\s*(ST)?(C)?(N)?(4)?OFF(?![A-Za-z])", re.ASCII)  # "OFF8 6 0" in ModelNet40


def read_off(data: bytes, path: Path) -> Polygons:
    """The surface in the bytes of an OFF file. ObjectError ``corrupt-file``."""
    data = data.removeprefix(BOM)
    lines = [
        line for line in re.split(rb"[\r\n]+", re.sub(rb"#[^\r\n]*", b"", data)) if line.strip()
    ]
    head = HEAD.match(lines[0]) if lines else None
    if head is None or (len(lines) > 1 and b"BINARY" in lines[0]):
        raise _corrupt(path, "it does not begin as a text in this format does")
    lines[0] = lines[0][head.end() :]
    lines = lines if lines[0].strip() else lines[1:]
    textured, colored, normals, four = (head[k] is not None for k in range(1, 5))
    try:
        vertices, polygons = map(int, lines[0].split()[:2])
        rows = lines[1 : 1 + vertices + polygons]
        if len(rows) < vertices + polygons:
            said = f"it promises {vertices:,} vertices and {polygons:,} faces and ends after"
            raise truncated(path, f"{said} {len(rows):,} lines")
        points = _points(rows[:vertices])
        v_pos = near(np.array([p[:3] for p in points], np.float64).reshape(-1, 3))
        if (plain := _triangles(rows[vertices:])) is not None and not (colored or normals):
            return Polygons(v_pos, plain.reshape(-1), np.full(len(plain), 3))
        faces = [line.split() for line in rows[vertices:]]
        counts = [int(words[0]) for words in faces]
        if any(not 0 <= n < len(words) for n, words in zip(counts, faces, strict=True)):
            raise _corrupt(path, "a face has fewer corners than it says")
        corner = [int(w) for n, words in zip(counts, faces, strict=True) for w in words[1 : n + 1]]
    except (ValueError, OverflowError) as error:
        raise _corrupt(path, str(error)[:99]) from None
    found = Polygons(v_pos, np.array(corner, np.int64), np.array(counts, np.int64))
    place = 3 + four + 3 * normals
    if normals and all(len(p) >= place for p in points):
        found.v_normal = np.array([p[place - 3 : place] for p in points], np.float32)
    if colored and len(points) and all(len(p) >= place + 3 for p in points):
        found.v_color = _scaled(np.array([p[place : place + 3] for p in points]))
    elif not textured:
        found.p_color = _of_faces(faces, counts)
    return found


def _points(rows: list[bytes]) -> Sequence[Sequence[float]] | np.ndarray:
    """The numbers of every row; an array if all have as many as the first."""
    width = len(rows[0].split()) if rows else 0
    numbers = read_numbers(b" ".join(rows))
    if len(numbers) == width * len(rows) and width >= 3:
        return numbers.reshape(-1, width)
    return [[float(word) for word in line.split()] for line in rows]


def _triangles(rows: list[bytes]) -> np.ndarray | None:
    """(F, 3) int64 if all faces are triangles without colours."""
    numbers = read_numbers(b" ".join(rows))
    if len(numbers) != 4 * len(rows) or not (numbers[::4] == 3).all():
        return None
    return numbers.reshape(-1, 4)[:, 1:].astype(np.int64)


def _of_faces(faces: list[list[bytes]], counts: list[int]) -> np.ndarray | None:
    """(N, 3) colours behind the corners of faces, NaN where there are none; None if nowhere."""
    behind = [words[n + 1 :] for n, words in zip(counts, faces, strict=True)]
    if not any(len(words) in (3, 4) for words in behind):
        return None
    color = np.full((len(faces), 3), np.nan)
    for row, words in enumerate(behind):
        if len(words) in (3, 4):
            try:
                color[row] = [float(word) for word in words[:3]]
            except ValueError:
                return None
    known = ~np.isnan(color[:, 0])
    color[known] = _scaled(color[known])
    return color.astype(np.float32)


def _scaled(color: np.ndarray) -> np.ndarray:
    """Colours as whole numbers to 255 or as shares → (N, 3) float32 in [0, 1]."""
    largest = 255 if np.nan_to_num(color).max(initial=0) > 1 else 1
    return np.nan_to_num(color / largest).clip(0, 1).astype(np.float32)


def _corrupt(path: Path, what: str) -> ObjectError:
    return ObjectError("corrupt-file", f"{path} cannot be read as .off ({what})")
