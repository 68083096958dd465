"""Cleaning a mesh: what draws nothing, or draws the same thing twice, goes; so do holes."""

from collections.abc import Callable

import numpy as np

from sdtool.geometry.edges import directed_edges
from sdtool.geometry.meshes import Mesh, triangle_areas
from sdtool.geometry.parts import submesh

NO_AREA = 1e-12  # of the squared longest side: rounding in float32
SAME = 1e-5  # of the longest side


def clean(mesh: Mesh) -> Mesh:
    """Drop faces without area, repeated faces and unused vertices; the order of the rest is kept.

    A face is repeated if an earlier one has the same three vertices in the same sense of turning.
    An area counts as none below `NO_AREA` of the squared longest side.
    """
    faces = mesh.t_pos_idx
    low, high = mesh.bounds().astype(np.float64)
    area = triangle_areas(mesh.v_pos.astype(np.float64), faces)
    faces = faces[area > NO_AREA * (high - low).max() ** 2]
    start = np.argmin(faces, axis=1)[:, None]  # the same turn, begun at the lowest vertex
    turned = np.take_along_axis(faces, (start + np.arange(3)) % 3, axis=1)
    _, first = np.unique(turned, axis=0, return_index=True)
    return submesh(mesh, faces[np.sort(first)])


def weld_nearby(mesh: Mesh) -> Mesh:
    """Vertices closer than `SAME` of the longest side are one, which keeps the place and colour of the first;
    faces that lose a corner by it are gone. Seams of files differ so in their last digits."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    low, high = mesh.bounds().astype(np.float64)
    pairs = cKDTree(mesh.v_pos).query_pairs(SAME * (high - low).max(), output_type="ndarray")
    count = len(mesh.v_pos)
    graph = coo_matrix((np.ones(len(pairs), bool), pairs.T), (count, count))
    _, first, label = np.unique(
        connected_components(graph, directed=False)[1], return_index=True, return_inverse=True
    )
    faces = first[label.reshape(-1)][mesh.t_pos_idx].astype(np.int32)
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return submesh(mesh, faces[whole])


Cap = Callable[[np.ndarray], np.ndarray | None]
"""Corners (n, 3) of a border → triangles (m, 3) between them, in its turn; None: it knows none."""


def fill_holes(mesh: Mesh, cap: Cap | None = None) -> Mesh:
    """Close every hole by what `cap` makes of its border, or else by a fan around the border's middle.

    A border is a closed walk along edges that one face has. What fills it turns as its neighbours do; the
    middle takes the mean colour. With a `cap`, a walk that meets itself is several borders.
    """
    v_pos, faces = [mesh.v_pos], [mesh.t_pos_idx]
    v_color = [] if mesh.v_color is None else [mesh.v_color]
    number = len(mesh.v_pos)
    borders = _borders(mesh.t_pos_idx)
    if cap is not None:
        borders = [simple for border in borders for simple in _simple(border)]
    for border in borders:
        found = None if cap is None else cap(mesh.v_pos[border])
        if found is not None:
            faces.append(border[found].astype(np.int32))
            continue
        v_pos.append(mesh.v_pos[border].mean(axis=0, keepdims=True))
        if mesh.v_color is not None:
            v_color.append(mesh.v_color[border].mean(axis=0, keepdims=True))
        middle = np.full(len(border), number)
        faces.append(np.stack([border, np.roll(border, -1), middle], axis=1).astype(np.int32))
        number += 1
    color = np.concatenate(v_color) if v_color else None
    return Mesh(np.concatenate(v_pos), np.concatenate(faces), color)


def _borders(faces: np.ndarray) -> list[np.ndarray]:
    """The vertices around each hole, in the turn of the faces that would fill it."""
    edges = directed_edges(faces)
    keys, back = edges @ [1 << 32, 1], edges @ [1, 1 << 32]
    free = np.sort(back[~np.isin(back, keys)])  # the missing opposite of an edge
    leaving: dict[int, list[int]] = {}
    for key in free[::-1].tolist():
        leaving.setdefault(key >> 32, []).append(key & 0xFFFFFFFF)
    found = []
    for first in sorted(leaving):
        while leaving[first]:
            walk = [first]
            while (ways := leaving.get(walk[-1])) and (len(walk) == 1 or walk[-1] != first):
                walk.append(ways.pop())
            if walk[-1] == first and len(walk) > 3:
                found.append(np.array(walk[:-1]))
    return found


def _simple(border: np.ndarray) -> list[np.ndarray]:
    """A closed walk as closed walks that meet no vertex twice."""
    found: list[list[int]] = []
    walk: list[int] = []
    for vertex in border.tolist():
        if vertex in walk:
            start = walk.index(vertex)
            found.append(walk[start:])
            del walk[start:]
        walk.append(vertex)
    return [np.array(loop) for loop in (*found, walk) if len(loop) > 2]
