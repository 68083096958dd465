"""Closed, smooth solids from rings of points.

Every solid here is `skin`: a stack of rings closed at both ends. Angles are in degrees, colours are
(3,) sRGB in [0, 1]; each function returns a watertight Mesh whose faces look outward.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from sdtool.geometry.meshes import Mesh

Vector = tuple[float, float, float]


@cache
def _skin_faces(rows: int, count: int) -> np.ndarray:
    """(F, 3) int32: `rows` rings of `count` points, then the two end points."""
    here = np.arange(count)
    after = (here + 1) % count
    base = count * np.arange(rows - 1)[:, None]
    a, b, c, d = base + here, base + after, base + count + after, base + count + here
    last, first_end, last_end = count * (rows - 1), rows * count, rows * count + 1
    faces = [
        np.stack([a, b, c], -1).reshape(-1, 3),
        np.stack([a, c, d], -1).reshape(-1, 3),
        np.stack([np.full(count, first_end), after, here], -1),
        np.stack([last + here, last + after, np.full(count, last_end)], -1),
    ]
    return np.concatenate(faces).astype(np.int32)


def _six_volumes(corners: np.ndarray) -> float:
    """Six times the volume that (F, 3, 3) triangles enclose (faster than `np.cross` on few)."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners.transpose(1, 2, 0)
    return ax @ (by * cz - bz * cy) + ay @ (bz * cx - bx * cz) + az @ (bx * cy - by * cx)


def skin(rings: np.ndarray, color: np.ndarray, ends: np.ndarray | None = None) -> Mesh:
    """Join (R, N, 3) rings in their order; `ends` (2, 3) close them (default: the rings' centres).

    color: (3,), or (R, 3) for one colour per ring.
    """
    rows, count, _ = rings.shape
    if ends is None:
        ends = rings[[0, -1]].mean(axis=1)
    points = np.concatenate([rings.reshape(-1, 3), ends])
    faces = _skin_faces(rows, count)
    if _six_volumes((points - points[0])[faces]) < 0:
        faces = faces[:, ::-1]
    color = np.asarray(color, np.float32)
    if color.ndim == 2:
        colors = np.concatenate([np.repeat(color, count, axis=0), color[[0, -1]]])
    else:
        colors = np.broadcast_to(color, points.shape)
    return Mesh(points.astype(np.float32), np.ascontiguousarray(faces), colors.astype(np.float32))


@cache
def _circle(count: int) -> np.ndarray:
    """(N, 2) cosine and sine, starting half a step off the axes: no point has a zero coordinate."""
    angle = (np.arange(count) + 0.5) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def ellipsoid(
    center: Vector, radii: Vector, color: np.ndarray, *, rings: int = 8, segments: int = 16
) -> Mesh:
    """An axis-aligned ellipsoid, poles up and down. segments: a multiple of 4."""
    height = np.radians(np.linspace(-90, 90, rings + 2)[1:-1])
    flat = np.cos(height)[:, None, None] * _circle(segments)  # (R, N, 2)
    up = np.broadcast_to(np.sin(height)[:, None], flat.shape[:2])
    unit = np.stack([flat[..., 0], up, flat[..., 1]], -1)
    ends = np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    return skin(unit * radii + center, color, ends * radii + center)


def lathe(profile: list[tuple[float, float]], color: np.ndarray, *, segments: int = 20) -> Mesh:
    """Turn a profile of (radius, y) about the y axis; flat ends, or tips where the radius is 0."""
    profile_array = np.asarray(profile, np.float64)
    tip_low, tip_high = profile_array[0], profile_array[-1]
    ends = np.array([[0, tip_low[1], 0], [0, tip_high[1], 0]])
    if tip_low[0] == 0:
        profile_array = profile_array[1:]
        color = color[1:] if np.ndim(color) == 2 else color
    if tip_high[0] == 0:
        profile_array = profile_array[:-1]
        color = color[:-1] if np.ndim(color) == 2 else color
    flat = profile_array[:, 0, None, None] * _circle(segments)
    up = np.broadcast_to(profile_array[:, 1, None], flat.shape[:2])
    return skin(np.stack([flat[..., 0], up, flat[..., 1]], -1), color, ends)


def tube(
    path: Sequence[Vector] | np.ndarray,
    radii: float | Sequence[float] | Sequence[tuple[float, float]],
    color: np.ndarray,
    *,
    side: Vector = (1, 0, 0),
    segments: int = 12,
    round_ends: bool = True,
) -> Mesh:
    """A round or oval tube along `path` (P, 3).

    radii: one for all, one a point, or a pair a point: along `side` and across it. `side` must not
    be parallel to the path. Round ends reach beyond the path by the (smaller) end radius.
    """
    points = np.asarray(path, np.float64)
    size = np.asarray(radii, np.float64)
    size = np.full(len(points), size) if size.ndim == 0 else size
    size = np.stack([size, size], -1) if size.ndim == 1 else size  # (P, 2)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    if round_ends:
        angle = np.radians([72, 48, 24])
        reach, shrink = np.sin(angle)[:, None], np.cos(angle)[:, None]
        low, high = size[0].min(), size[-1].min()
        before = points[0] - tangent[0] * reach * low
        behind = points[-1] + tangent[-1] * reach[::-1] * high
        ends = np.stack([points[0] - tangent[0] * low, points[-1] + tangent[-1] * high])
        points = np.concatenate([before, points, behind])
        size = np.concatenate([size[0] * shrink, size, size[-1] * shrink[::-1]])
        tangent = np.concatenate([tangent[[0] * 3], tangent, tangent[[-1] * 3]])
        if np.ndim(color) == 2:
            color = np.concatenate([color[[0] * 3], color, color[[-1] * 3]])
    else:
        ends = points[[0, -1]]
    u = np.asarray(side, np.float64) - tangent * (tangent @ np.asarray(side, np.float64))[:, None]
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    (a, b, c), (d, e, f) = tangent.T, u.T
    v = np.stack([b * f - c * e, c * d - a * f, a * e - b * d], -1)
    across = size[:, None, :] * _circle(segments)  # (P, N, 2)
    rings = points[:, None] + across[..., :1] * u[:, None] + across[..., 1:] * v[:, None]
    return skin(rings, color, ends)


def ring(
    center: Vector, radii: tuple[float, float], thick: tuple[float, float], color: np.ndarray,
    *, segments: int = 10,
) -> Mesh:  # fmt: skip
    """A flat ring about the y axis through `center`; radii along x and z.

    thick: half its height and half its width. Its two ends lie in one another.
    """
    angle = np.radians(np.linspace(-90, 270, 25))
    x, z = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    path = np.stack([x, np.zeros(25), z], -1) + center
    return tube(path, [thick] * 25, color, side=(0, 1, 0), segments=segments, round_ends=False)


def box(
    center: Vector,
    size: Vector,
    color: np.ndarray,
    *,
    radius: float = 0.03,
    taper: tuple[float, float] = (1.0, 1.0),
) -> Mesh:
    """A box with rounded edges; `taper` scales the top's x and z."""
    half = np.asarray(size, np.float64) / 2
    radius = min(radius, half.min() * 0.98)
    height = np.radians([-78, -45, -14, 14, 45, 78])
    circle = _circle(12)
    flat = np.sign(circle) * (half[[0, 2]] - radius) + (
        radius * np.cos(height)[:, None, None] * circle
    )
    up = np.sign(height) * (half[1] - radius) + radius * np.sin(height) / np.sin(height[-1])
    share = ((up + half[1]) / (2 * half[1]))[:, None, None]
    flat = flat * (1 + share * (np.asarray(taper) - 1))
    up_all = np.broadcast_to(up[:, None], flat.shape[:2])
    return skin(np.stack([flat[..., 0], up_all, flat[..., 1]], -1) + center, color)


def slab(outline: list[tuple[float, float]], low: float, high: float, color: np.ndarray) -> Mesh:
    """Extrude an outline of (y, z) points, star-shaped about its centre, from x = low to high.

    Corners are cut a little: with smooth normals, as renderers use, the sides still look flat.
    """
    corner = np.asarray(outline, np.float64)
    cut = min(0.012, (high - low) / 4)
    toward = [np.roll(corner, turn, axis=0) - corner for turn in (1, -1)]
    toward = [way / np.linalg.norm(way, axis=1, keepdims=True) for way in toward]
    flat = np.stack([corner + cut * way for way in toward], axis=1).reshape(-1, 2)
    inner = flat + cut * np.repeat(toward[0] + toward[1], 2, axis=0)
    rings = [
        np.insert(line, 0, x, axis=1)
        for line, x in ((inner, low), (flat, low + cut), (flat, high - cut), (inner, high))
    ]
    return skin(np.stack(rings), color)


# Rigid changes and paint


def move(mesh: Mesh, offset: Vector) -> Mesh:
    """The mesh, moved."""
    return mesh.with_positions(mesh.v_pos + np.asarray(offset, np.float32))


def scale(mesh: Mesh, factors: Vector) -> Mesh:
    """The mesh, scaled about the origin by positive factors."""
    return mesh.with_positions(mesh.v_pos * np.asarray(factors, np.float32))


def rotation(axis: str, degrees: float) -> np.ndarray:
    """(3, 3) right-handed rotation about the axis ``x``, ``y`` or ``z``."""
    k = "xyz".index(axis)
    i, j = (k + 1) % 3, (k + 2) % 3
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def rotate(mesh: Mesh, axis: str, degrees: float, about: Vector = (0, 0, 0)) -> Mesh:
    """The mesh, turned about a line through `about`."""
    turned = (mesh.v_pos - np.asarray(about)) @ rotation(axis, degrees).T + about
    return mesh.with_positions(turned)


def mirror(mesh: Mesh) -> Mesh:
    """The mirror image in x, faces still looking outward."""
    positions = mesh.v_pos * np.array([-1, 1, 1], np.float32)
    return Mesh(positions, np.ascontiguousarray(mesh.t_pos_idx[:, ::-1]), mesh.v_color)


def pair(mesh: Mesh) -> list[Mesh]:
    """The mesh and its mirror image."""
    return [mesh, mirror(mesh)]


def colors_of(mesh: Mesh) -> np.ndarray:
    """(V, 3) colours of the vertices, which the mesh of every toy has."""
    assert mesh.v_color is not None
    return mesh.v_color


def paint(mesh: Mesh, where: np.ndarray, color: np.ndarray) -> Mesh:
    """The mesh with another colour on the vertices `where` (V,) is true."""
    painted = np.where(where[:, None], color, colors_of(mesh))
    return replace(mesh, v_color=painted.astype(np.float32))
