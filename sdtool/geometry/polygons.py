"""Polygons into triangles that stay inside of them, concave ones by cutting off ears.

After Meisters (1975), "Polygons have ears": two neighbouring edges span an ear if they turn as the
polygon does and no other corner lies in their triangle.
"""

import numpy as np

LONGEST = 10_000  # corners of a concave polygon that is cut by ears; longer ones become a fan
EDGE = 1e-9  # of the area of its box: turns below this are straight


def triangulate(
    v_pos: np.ndarray, corner: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """N polygons as triangles: (F, 3) int64 places in `corner`, and (F,) int64 the polygon of each.

    v_pos: (V, 3). corner: (C,) vertex numbers, polygon after polygon. count: (N,) corners of each. A
    polygon of n corners gives n − 2 triangles, in its turn; convex ones a fan around their first
    corner. Polygons of fewer than three corners give none. The order of polygons is kept.
    """
    start = np.cumsum(count) - count
    places, owners = [], []
    for size in np.unique(count[count >= 3]).tolist():
        which = np.flatnonzero(count == size)
        index = start[which][:, None] + np.arange(size)  # (P, size) places in `corner`
        faces = np.tile(_fan(size), (len(which), 1, 1))  # (P, size − 2, 3)
        if size > 3:
            flat, concave = _concave(v_pos, corner[index])
            if size <= LONGEST:
                for k, at in zip(flat, np.flatnonzero(concave), strict=True):
                    faces[at] = _quad(k) if size == 4 else _cut_ears(k)
        found = np.take_along_axis(index, faces.reshape(len(which), -1), axis=1)
        places.append(found.reshape(-1, 3))
        owners.append(np.repeat(which, size - 2))
    if not places:
        return np.empty((0, 3), np.int64), np.empty(0, np.int64)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(places)[order], owner[order]


def _fan(size: int) -> np.ndarray:
    second = np.arange(1, size - 1)
    return np.stack([np.zeros_like(second), second, second + 1], axis=1)


def _concave(v_pos: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of polygons (P, n): (Q, n, 2) the concave ones, flat and counter-clockwise; (P,) which they are.

    A polygon is seen along its normal by Newell's method, which a fan's triangles would sum to.
    """
    size, concave, flat = corner.shape[1], np.zeros(len(corner), bool), []
    step = max(1, (1 << 20) // size)
    for first in range(0, len(corner), step):
        point = v_pos[corner[first : first + step]].astype(np.float64)
        point -= point[:, :1]
        following = np.roll(point, -1, axis=1)
        normal = np.cross(point, following).sum(axis=1)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        turn = np.cross(following - point, np.roll(following, -1, axis=1) - following)
        turn = np.einsum("pnc,pc->pn", turn, normal / np.where(length > 0, length, 1))
        extent = np.square(np.ptp(point, axis=1)).sum(axis=1)
        bad = (turn < -EDGE * extent[:, None]).any(axis=1) & (length[:, 0] > 0)
        if size > 4:
            bad |= _is_no_circle(point, normal) & (length[:, 0] > 0)
        concave[first : first + step] = bad
        if bad.any():
            flat.append(_flattened(point[bad], normal[bad]))
    return np.concatenate(flat) if flat else np.empty((0, size, 2)), concave


def _is_no_circle(point: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(P,) whether the turns of the corners of polygons (P, n, 3) sum to something else than a circle.

    So do those of a pentagram, and of a corner that points inward and is there twice: no corner turns
    back, and yet a fan would leave the polygon.
    """
    edge = np.roll(point, -1, axis=1) - point
    following = np.roll(edge, -1, axis=1)
    unit = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    sine = np.einsum("pnc,pc->pn", np.cross(edge, following), unit)
    angle = np.arctan2(sine, np.einsum("pnc,pnc->pn", edge, following))
    return np.abs(angle.sum(axis=1) - 2 * np.pi) > 0.1


def _flattened(point: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(Q, n, 3) → (Q, n, 2): without the axis along which each looks largest, counter-clockwise."""
    axis = np.abs(normal).argmax(axis=1)
    kept = np.array([[1, 2], [2, 0], [0, 1]])[axis]
    flat = np.take_along_axis(point, kept[:, None, :], axis=2)
    back = np.take_along_axis(normal, axis[:, None], axis=1)[:, 0] < 0
    flat[back] = flat[back, :, ::-1]  # seen from behind: mirrored, it turns the same way
    return flat


def _quad(point: np.ndarray) -> np.ndarray:
    """(4, 2) concave → (2, 3): cut at the corner that points inward."""
    turn = _cross(np.roll(point, 1, 0), point, np.roll(point, -1, 0))
    inward = int(turn.argmin())
    return (_fan(4) + inward) % 4


def _cross(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Twice the signed area of triangles (..., 2)."""
    u, v = b - a, c - b
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _cut_ears(point: np.ndarray) -> np.ndarray:
    """(n, 2) counter-clockwise, of any shape → (n − 2, 3) triangles by its corners' numbers.

    Corners that coincide, as where a bridge leads to a hole, do not stand in an ear's way. Where
    there is no ear, as in a border that crosses itself, the corner that turns most is cut off.
    """
    size = len(point)
    before, after = np.roll(np.arange(size), 1).tolist(), np.roll(np.arange(size), -1).tolist()
    flat = EDGE * float(np.ptp(point, axis=0).prod())
    turns, left = np.zeros(size), np.ones(size, bool)
    faces: list[tuple[int, int, int]] = []
    for k in range(size):  # what is there twice in a row turns nowhere, and hides how it does
        if (point[k] == point[after[k]]).all() and len(faces) < size - 3:
            faces.append((before[k], k, after[k]))
            left[k] = False
            after[before[k]], before[after[k]] = after[k], before[k]
    for k in np.flatnonzero(left).tolist():
        turns[k] = _cross(point[before[k]], point[k], point[after[k]])
    blocking = turns <= flat  # only such corners can lie in an ear
    here, tried = int(left.argmax()), 0
    while len(faces) < size - 3:
        a, c = before[here], after[here]
        is_ear = turns[here] > flat and not _holds(point, a, here, c, blocking & left)
        if not is_ear and tried <= size - len(faces):
            here, tried = c, tried + 1
            continue
        if not is_ear:  # none is left
            here = int(np.where(left, turns, -np.inf).argmax())
            a, c = before[here], after[here]
        faces.append((a, here, c))
        left[here] = False
        after[a], before[c] = c, a
        for k in (a, c):
            turns[k] = _cross(point[before[k]], point[k], point[after[k]])
            blocking[k] = turns[k] <= flat
        here, tried = after[c], 0  # not the next one: ears on end would become a fan of slivers
    faces.append((before[here], here, after[here]))
    return np.array(faces)


def _holds(point: np.ndarray, a: int, b: int, c: int, blocking: np.ndarray) -> bool:
    """Whether the triangle of corners a, b, c holds any other corner that stands in the way."""
    others = point[blocking]
    pa, pb, pc = point[a], point[b], point[c]
    others = others[(others >= np.minimum(np.minimum(pa, pb), pc)).all(axis=1)]
    others = others[(others <= np.maximum(np.maximum(pa, pb), pc)).all(axis=1)]
    for corner in (pa, pb, pc):
        others = others[(others != corner).any(axis=1)]
    if not len(others):
        return False
    inside = (_cross(pa, pb, others) >= 0) & (_cross(pb, pc, others) >= 0)
    return bool((inside & (_cross(pc, pa, others) >= 0)).any())
