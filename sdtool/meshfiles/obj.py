"""OBJ files with their materials: polygons, colours of vertices and materials, textures, normals.

Statements that do not concern a surface (curves, groups, lines, points) are passed over.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sdtool.errors import ObjectError
from sdtool.io.files import BOM
from sdtool.meshfiles.mtl import Look, ObjMaterials
from sdtool.meshfiles.polygon_mesh import Polygons, near, read_numbers

PIECE = 1 << 16  # faces whose numbers are read together


class ObjFaces(NamedTuple):
    """The faces of an OBJ file. points: (V, W) float64, x, y, z first. uv: (T, 1 to 3) and normal: (M, 3)
    float64. corners: (C, 3) int64 numbers of vertex, vt and vn of each corner, from 0, −1 for none. counts:
    (N,) int64 corners of each face. used: (N,) int64, which of `names` is its material, b"" for none.
    libraries: what `mtllib` names."""

    points: np.ndarray
    uv: np.ndarray
    normal: np.ndarray
    corners: np.ndarray
    counts: np.ndarray
    used: np.ndarray
    names: list[bytes]
    libraries: list[bytes]


def read_faces(data: bytes, path: Path) -> ObjFaces:
    """What the bytes of an OBJ file say of its faces, in their order. ObjectError ``corrupt-file``."""
    lines = _Lines(data)
    try:
        points = _table(lines.rows[b"v"], (3, 4, 6, 7, 8))
        uv = _table(lines.rows[b"vt"], (1, 2, 3))
        normal = _table(lines.rows[b"vn"], (3,))
        corners, counts, used = _faces(lines, len(points), len(uv), len(normal))
    except (ValueError, OverflowError) as error:
        what = f"{path} cannot be read as .obj ({str(error)[:99]})"
        raise ObjectError("corrupt-file", what) from None
    return ObjFaces(points, uv, normal, corners, counts, used, lines.names, lines.libraries)


def read_obj(data: bytes, path: Path, materials: ObjMaterials) -> Polygons:
    """The surface in the bytes of an OBJ file. ObjectError ``corrupt-file``.

    materials: reads the libraries that the file names, as its limits and the caller's wishes allow.
    """
    said = read_faces(data, path)
    points, uv, normal, corners, counts, used, names, libraries = said
    found = Polygons(near(points[:, :3]), corners[:, 0], counts)
    if points.shape[1] in (6, 7):  # x y z r g b, and a, as scanners and sdtool write it
        color = points[:, 3:6]
        found.v_color = (color / (255 if color.max(initial=0) > 1 else 1)).clip(0, 1)
        found.v_color = np.nan_to_num(found.v_color).astype(np.float32)
    elif b"#MRGB" in data:
        found.v_color = _painted(data, len(points))
    if len(normal) and (corners[:, 2] >= 0).any():
        padded = np.concatenate([normal, np.zeros((1, 3))]).astype(np.float32)  # −1: none
        found.c_normal = padded[corners[:, 2]]
    for line in libraries:
        materials.read_library(line)
    looks = _color_by_materials(found, names, used, materials)
    if found.textures:
        wide = np.zeros((len(uv) + 1, 2))  # the last row: none
        wide[:-1, : min(uv.shape[1], 2)] = uv[:, :2]
        owner = np.repeat(np.arange(len(counts)), counts)
        chosen = wide[corners[:, 1]]
        if any((look.scale, look.offset) != (Look.scale, Look.offset) for look in looks):
            worn = used[owner]
            chosen = chosen * np.array([look.scale for look in looks])[worn]
            chosen = chosen + np.array([look.offset for look in looks])[worn]
        found.c_uv = np.stack([chosen[:, 0], 1 - chosen[:, 1]], axis=1).astype(np.float32)
        lacking = np.bincount(owner, corners[:, 1] < 0, len(counts)) > 0
        assert found.p_texture is not None  # as it comes with textures
        found.p_texture[lacking] = -1
    return found


def _painted(data: bytes, count: int) -> np.ndarray | None:
    """(count, 3) float32 colours that ZBrush keeps in comments, mmrrggbb for each vertex; None if
    they are not for all."""
    digits = b"".join(re.findall(rb"(?m)^#MRGB ([0-9A-Fa-f]+)\s*$", data))
    if len(digits) != 8 * count:
        return None
    color = np.frombuffer(bytes.fromhex(digits.decode()), np.uint8).reshape(-1, 4)
    return color[:, 1:].astype(np.float32) / 255


def _color_by_materials(
    found: Polygons, names: list[bytes], used: np.ndarray, materials: ObjMaterials
) -> list[Look]:
    """Colours and textures of polygons by the materials that are in use, `used` (N,) of `names`."""
    in_use = set(np.unique(used).tolist())
    needed = found.v_color is None
    looks = [
        materials.look_of(name, needed) if k in in_use else Look() for k, name in enumerate(names)
    ]
    if any(look.texture is not None for look in looks):
        textures = list(dict.fromkeys(look.texture for look in looks if look.texture is not None))
        found.textures = tuple(textures)
        number = [-1 if look.texture is None else textures.index(look.texture) for look in looks]
        found.p_texture = np.array(number, np.int32)[used]
    colors = np.full((len(looks), 3), np.nan, np.float32)
    for color, look in zip(colors, looks, strict=True):
        if look.texture is not None:
            color[:] = 1  # its image has all the colour
        elif look.color is not None and found.v_color is None:
            color[:] = look.color
    if not np.isnan(colors[np.unique(used)]).all():
        found.p_color = colors[used]
    return looks


class _Lines:
    """The statements of a file, sorted by kind.

    rows: of b"v", b"vt" and b"vn" the arguments. faces: those of faces. material: of each face the
    place in `names` of the material in use. libraries: what `mtllib` names.
    """

    def __init__(self, data: bytes):
        self.rows: dict[bytes, list[bytes]] = {b"v": [], b"vt": [], b"vn": []}
        self.faces: list[bytes] = []
        self.material: list[int] = []
        self.before: list[tuple[int, int, int]] = []  # vertices, vt and vn above each face
        self.names: list[bytes] = [b""]
        self.libraries: list[bytes] = []
        known, current = {b"": 0}, 0
        v, vt, vn = (self.rows[kind] for kind in (b"v", b"vt", b"vn"))
        for line in _logical_lines(data):
            kind, _, rest = line.partition(b" ")
            if kind == b"v":
                v.append(rest)
            elif kind in (b"f", b"fo"):  # the second one of old programs
                self.faces.append(rest)
                self.material.append(current)
                if b"-" in rest:
                    self.before.append((len(v), len(vt), len(vn)))
            elif kind == b"vt":
                vt.append(rest)
            elif kind == b"vn":
                vn.append(rest)
            elif kind == b"usemtl":
                current = known.setdefault(rest.strip(), len(known))
                if current == len(self.names):
                    self.names.append(rest.strip())
            elif kind == b"mtllib":
                self.libraries.append(rest.strip())


def _logical_lines(data: bytes) -> Iterator[bytes]:
    """Lines without comments and tabs; those that a backslash continues are one."""
    data = data.removeprefix(BOM)
    if b"\\" in data:
        for end in (b"\\\r\n", b"\\\n", b"\\\r"):
            data = data.replace(end, b" ")
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    commented = b"#" in data
    for line in data.splitlines():
        line = line.strip()
        if commented and b" #" in line and not line.startswith((b"mtllib", b"usemtl")):
            line = line.partition(b" #")[0]
        yield line


def _table(rows: list[bytes], widths: tuple[int, ...]) -> np.ndarray:
    """(N, W) float64 of lines of numbers; shorter lines than the longest are an error, but for `w`."""
    if not rows:
        return np.empty((0, widths[0]))
    values = read_numbers(b" ".join(rows))
    width = len(rows[0].split())
    if len(values) != width * len(rows) or width not in widths:
        words = [row.split() for row in rows]  # as many as all have
        width = max((w for w in widths if w <= min(map(len, words))), default=0)
        if not width:
            raise ValueError(f"a line of {widths[0]} numbers is shorter")
        values = np.array([float(word) for row in words for word in row[:width]])
    return values.reshape(len(rows), width)


def _whole_numbers(text: bytes) -> np.ndarray:
    """(N,) int64 of the runs of digits in a text of digits, spaces and slashes; none of other texts."""
    letters = np.frombuffer(text, np.uint8)
    digit = letters - np.uint8(ord("0"))
    is_digit = digit < 10
    others = letters[~is_digit]
    if not ((others == ord(" ")) | (others == ord("/"))).all():
        return np.empty(0, np.int64)
    edge = np.diff(is_digit.view(np.int8), prepend=0, append=0)
    start, end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    longest = int((end - start).max(initial=0))
    if longest > 18:
        return np.empty(0, np.int64)
    value = np.zeros(len(start), np.int64)
    for place in range(longest):  # the units, then the tens, …
        at = end - 1 - place
        there = at >= start
        value[there] += digit[at[there]].astype(np.int64) * 10**place
    return value


def _faces(
    lines: _Lines, points: int, uv: int, normals: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(C, 3) int64 numbers of vertex, vt and vn of each corner, −1 for none; (N,) int64 corners of
    each face; (N,) int64 its material."""
    count = np.array([len(face.split()) for face in lines.faces], np.int64)
    start = np.cumsum(count) - count
    corners = np.full((int(count.sum()), 3), -1, np.int64)
    slashes = np.array([face.count(b"/") for face in lines.faces], np.int64)
    double = np.array([b"//" in face for face in lines.faces], bool)
    per_corner = np.divide(slashes, np.maximum(count, 1))
    relative = np.array([b"-" in face for face in lines.faces], bool)
    plain = np.zeros(len(count), bool)
    for columns, alike in (
        ([0], slashes == 0),
        ([0, 1], (per_corner == 1) & ~double),
        ([0, 2], (per_corner == 2) & double),
        ([0, 1, 2], (per_corner == 2) & ~double),
    ):
        which = np.flatnonzero(alike & ~relative)
        if not len(which):
            continue
        pieces = np.split(which, range(PIECE, len(which), PIECE))
        texts = (b" ".join([lines.faces[k] for k in piece.tolist()]) for piece in pieces)
        numbers = np.concatenate([_whole_numbers(text) for text in texts])
        if len(numbers) != len(columns) * int(count[which].sum()):
            continue  # some corner is written in another way: each is looked at below
        rows = _rows(start[which], count[which])
        corners[rows[:, None], columns] = numbers.reshape(-1, len(columns)) - 1
        plain[which] = True
    above = iter(lines.before)
    for face in np.flatnonzero(~plain).tolist():
        limits = next(above) if relative[face] else (points, uv, normals)
        for k, word in enumerate(lines.faces[face].split(), start=int(start[face])):
            for column, part in enumerate(word.split(b"/")[:3]):
                number = int(part) if part else 0
                corners[k, column] = number - 1 if number >= 0 else limits[column] + number
                if number < 0 and corners[k, column] < 0:
                    raise ValueError(f"a face counts back to {number}, before the beginning")
    if (corners[:, 0] < 0).any():
        raise ValueError("a face has a corner without a vertex")
    corners[corners[:, 1] >= uv, 1] = -1
    corners[corners[:, 2] >= normals, 2] = -1
    return corners, count, np.array(lines.material, np.int64)


def _rows(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1])) + np.repeat(starts - (ends - lengths), lengths)
