"""What readers of OBJ, PLY and OFF have in common: polygons whose corners have attributes of their own."""

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, Texture, far_center
from sdtool.geometry.polygons import triangulate


@dataclass(eq=False)
class Polygons:
    """N polygons with C corners in all, as a file has them.

    v_pos: (V, 3) float32. corner: (C,) int64 vertex numbers, polygon after polygon; count: (N,) int64
    corners of each. v_color: (V, 3) float32 sRGB-encoded, or None; v_normal: (V, 3), or None.

    Where corners differ from their vertices: c_uv (C, 2) float32 glTF coordinates, c_normal (C, 3),
    zero without one, p_color (N, 3) float32 colours of polygons, NaN without one, each None if absent.
    p_texture: (N,) int32 index into `textures`, −1 for none.
    """

    v_pos: np.ndarray
    corner: np.ndarray
    count: np.ndarray
    v_color: np.ndarray | None = None
    v_normal: np.ndarray | None = None
    c_uv: np.ndarray | None = None
    c_normal: np.ndarray | None = None
    p_color: np.ndarray | None = None
    p_texture: np.ndarray | None = None
    textures: tuple[Texture, ...] = field(default=())


def read_numbers(text: bytes) -> np.ndarray:
    """(N,) float64 of the numbers at the beginning of a text, up to what is none."""
    try:
        with warnings.catch_warnings():  # some versions only warn where numbers end
            warnings.simplefilter("error")
            return np.fromstring(text, np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        numbers: list[float] = []
        with suppress(ValueError):
            numbers.extend(map(float, text.split()))
        return np.array(numbers)


def truncated(path: Path, what: str) -> ObjectError:
    """The error for a file that ends before what it promises."""
    return ObjectError("truncated-file", f"{path} is not whole: {what}; fetch it again")


def near(points: np.ndarray) -> np.ndarray:
    """(V, 3) float64 positions as float32; moved to the origin if they stand so far from it that
    float32 would not tell them apart, as on a map."""
    known = points
    if len(points) and not np.isfinite(points.sum()):
        known = points[np.isfinite(points).all(axis=1)]
    center = far_center(known.min(axis=0), known.max(axis=0)) if len(known) else None
    return (points if center is None else points - center).astype(np.float32)


def to_mesh(polygons: Polygons, path: Path, triangles: int) -> Mesh:
    """The triangles of polygons; a vertex is there once for each set of attributes of its corners.

    triangles: the most that are taken. ObjectError ``too-large`` or ``bad-index``.
    """
    corner, count = polygons.corner, polygons.count
    made = int(np.maximum(count - 2, 0).sum())
    if made > triangles:
        raise ObjectError(
            "too-large", f"{path} has {made} triangles, over the limit of {triangles}"
        )
    vertices = len(polygons.v_pos)
    if len(corner) and (corner.min() < 0 or corner.max() >= vertices):
        raise ObjectError("bad-index", f"{path} has a face index outside its {vertices} vertices")
    faces, owner = triangulate(polygons.v_pos, corner, count)
    parts = []  # what a corner has beside its vertex
    if polygons.c_uv is not None and polygons.textures:
        parts.append(polygons.c_uv)
    if polygons.c_normal is not None:
        parts.append(polygons.c_normal)
    if polygons.p_color is not None:
        parts.append(np.repeat(polygons.p_color, count, axis=0))
    if not parts:
        source, number = None, corner
    else:
        words = np.column_stack([np.asarray(p, np.float32) for p in parts]) + np.float32(0)
        rows = np.column_stack([corner.astype(np.uint32), words.view(np.uint32)])
        source, number = _different(np.ascontiguousarray(rows))
    vertex = slice(None) if source is None else corner[source]
    normal = _at(polygons.v_normal, vertex)
    if polygons.c_normal is not None and source is not None:
        normal = polygons.c_normal[source]
    color = _at(polygons.v_color, vertex)
    if polygons.p_color is not None and source is not None:
        own = np.repeat(polygons.p_color, count, axis=0)[source]
        below = np.float32(0.5) if color is None else color
        color = np.where(np.isnan(own), below, own).astype(np.float32)
    mesh = Mesh(polygons.v_pos[vertex], number[faces].astype(np.int32), color, v_normal=normal)
    if polygons.c_uv is None or not polygons.textures or source is None:
        return mesh
    assert polygons.p_texture is not None  # as textures have it
    texture = polygons.p_texture[owner].astype(np.int32)
    uv = np.nan_to_num(polygons.c_uv[source], posinf=0, neginf=0)
    return Mesh(mesh.v_pos, mesh.t_pos_idx, color, uv, texture, polygons.textures, normal)


def _at(values: np.ndarray | None, vertex: np.ndarray | slice) -> np.ndarray | None:
    return None if values is None else values[vertex]


def _different(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows (C, W) uint32: (U,) where each different one stands first, in the order of the first
    column, and (C,) which of them each row is."""
    key = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    if (rows != rows[first][number.reshape(-1)]).any():  # two of one key: compare them whole
        _, first, number = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.lexsort([first, rows[first, 0]])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[number.reshape(-1)]
