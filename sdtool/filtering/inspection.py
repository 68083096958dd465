"""What a mesh file is like, measured: the numbers and flags that filter rules compare.

Exported meshes split vertices along seams of texture and shading, so vertices at the same place count
as one here: only then do closed surfaces come out closed.
"""

from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.geometry.meshes import Mesh, triangle_areas
from sdtool.geometry.parts import connected_parts
from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.limits import Limits

LIMITS = Limits()
NO_AREA = 1e-12  # of a triangle, where the longest side of the object is 1
SAMPLES = 2000  # points of a surface that is compared with its mirror image
BULK = (0.025, 0.975)  # quantiles of a surface's places along an axis
FLIPS = (np.array([-1, 1, 1]), np.array([1, 1, -1]))  # of x, of z
WITHOUT_SURFACE = ("no-triangles", "zero-extent")


def inspect_file(path: str | Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """The measures of a mesh file; of an unusable one, what is wrong with it.

    ``readable`` (bool); if it is: ``surface`` (bool: whether it holds triangles of any size); if
    that too: see `measure`. If not, ``error``: the reason's slug.
    """
    try:
        return {
            "readable": True,
            "surface": True,
            **measure(load_mesh(path, limits, normals=False)),
        }
    except ObjectError as error:
        return unusable(error)


def unusable(error: ObjectError) -> dict[str, Any]:
    """The measures of a file that raised `error`."""
    if error.reason in WITHOUT_SURFACE:
        return {"readable": True, "surface": False, "error": error.reason}
    return {"readable": False, "error": error.reason}


def measure(mesh: Mesh) -> dict[str, Any]:
    """Measures of one mesh, in its file's units:

    triangles (int); width, height, depth: extents along x, y, z;
    flatness: the shortest extent over the longest, along the surface's own axes, in [0, 1];
    degenerate: the share of triangles without an area, in [0, 1];
    open_edges: the share of edges that are not shared by exactly two triangles, in [0, 1];
    watertight: whether there is no such edge; components (int): pieces that share no vertex;
    bulk: the extent of the middle 95% of the surface, along the axis where that is longest, over the
    longest side, in [0, 1]: small where a speck lies far away;
    sideways: see `sideways`. Numbers are rounded to six digits.
    """
    points, faces = merge_vertices(mesh)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / (high - low).max()
    areas = triangle_areas(points, faces)
    a, b, c = faces.T
    collapsed = (a == b) | (b == c) | (c == a)
    open_edges, edges = _open_edges(faces[~collapsed])
    surface = _sampled(points, faces, areas)
    width, height, depth = high - low
    numbers = {
        "width": width,
        "height": height,
        "depth": depth,
        "flatness": _flatness(points, faces, areas),
        "degenerate": (areas < NO_AREA).mean(),
        "open_edges": open_edges / max(edges, 1),
        "bulk": np.diff(np.quantile(surface, BULK, axis=0), axis=0).max(),
        "sideways": sideways(surface),
    }
    return {
        "triangles": len(faces),
        **{name: float(f"{value:.6g}") for name, value in numbers.items()},
        "watertight": edges > 0 and open_edges == 0,
        "components": connected_parts(faces, len(points))[0],
    }


def merge_vertices(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The places of the vertices that faces use, (P, 3) float64, and the faces, (F, 3) int32.

    Places are compared exactly: the two sides of a seam are written with the same numbers.
    """
    used = np.zeros(len(mesh.v_pos), bool)
    used[mesh.t_pos_idx] = True
    corners = mesh.v_pos[used] + np.float32(0)  # −0 becomes 0
    words = corners.view(np.uint32).astype(np.uint64)
    key = words[:, 0] | words[:, 1] << np.uint64(32)
    key ^= (words[:, 2] + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)  # z, mixed into both
    order = np.argsort(key, kind="stable")
    first = np.concatenate([[True], np.diff(key[order]) != 0])
    place = np.empty(len(mesh.v_pos), np.int32)
    place[np.flatnonzero(used)[order]] = np.cumsum(first) - 1
    return corners[order[first]].astype(np.float64), place[mesh.t_pos_idx]


def _flatness(points: np.ndarray, faces: np.ndarray, areas: np.ndarray) -> float:
    """The shortest extent over the longest, in the frame of the surface's principal axes."""
    weights = areas + NO_AREA  # of lines that pass for triangles, all are alike
    centers = (points[faces[:, 0]] + points[faces[:, 1]] + points[faces[:, 2]]) / 3
    centers -= weights @ centers / weights.sum()
    _, axes = np.linalg.eigh((centers * weights[:, None]).T @ centers)
    extent = np.ptp(points @ axes, axis=0)
    return float(extent.min() / extent.max())


def _open_edges(faces: np.ndarray) -> tuple[int, int]:
    """How many edges are not shared by exactly two triangles, and how many edges there are."""
    start = faces.reshape(-1).astype(np.int64)
    end = np.roll(faces, -1, axis=1).reshape(-1)
    key = np.sort(np.minimum(start, end) << 32 | np.maximum(start, end))
    first = np.flatnonzero(np.diff(key, prepend=-1))
    shared = np.diff(first, append=len(key))
    return int((shared != 2).sum()), len(first)


def _sampled(points: np.ndarray, faces: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(SAMPLES, 3) points drawn evenly from the surface, the same ones for the same surface."""
    rng = np.random.default_rng(0)
    weights = areas + NO_AREA
    chosen = rng.choice(len(faces), SAMPLES, p=weights / weights.sum())
    u, v = rng.random((2, SAMPLES, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    a, b, c = (points[faces[chosen, k]] for k in range(3))
    return a + u * (b - a) + v * (c - a)


def sideways(surface: np.ndarray) -> float:
    """How much better the surface mirrors front to back (z) than left to right (x).

    Animals, vehicles and furniture that face +Z mirror left to right; turned by 90° they mirror
    front to back. In units of the longest side, between two mean distances: from points of the
    mirrored surface (P, 3), which is centred, to the surface. Above 0.01 hints at an object that looks
    to its side.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(surface)
    left_right, front_back = (tree.query(surface * flip)[0].mean() for flip in FLIPS)
    return float(left_right - front_back)
