"""Objects of no kind: bodies of simple solids put together at random, with one front or with none."""

from collections.abc import Sequence

import numpy as np

from sdtool.geometry.meshes import Mesh, merge, vertex_normals
from sdtool.toyverse.primitives import (
    Vector,
    box,
    ellipsoid,
    lathe,
    move,
    pair,
    rotate,
    scale,
    tube,
)

GREY = np.full(3, 0.5)
PROPORTIONS = np.array([[0.7, 0.7, 1.4], [0.9, 1.3, 0.7], [1, 1, 1]])
"""Of bodies: long, upright, neither."""
TURNS = (3, 4, 5, 6, 8)
"""How often what has no front repeats itself in a turn. Not twice: two fronts would be no flaw."""


def compose(rng: np.random.Generator) -> tuple[Mesh, bool]:
    """An object on y = 0, and whether it has a front, which faces +Z; it is then its own mirror image in
    x, but for a detail now and then."""
    has_front = rng.random() > 0.25
    mesh = merge(_with_front(rng) if has_front else _without_front(rng))
    low, high = mesh.bounds()
    return move(mesh, _vector(-(low + high) / 2 * [1, 0, 1] - low * [0, 1, 0])), has_front


def assemble(rng: np.random.Generator, pieces: Sequence[Mesh]) -> Mesh:
    """An object on y = 0 put together of other models, any, stretched: a body, as a rule a head, and what
    marks its front, which faces +Z."""
    size = _size(rng, 0.5, 0.8) * PROPORTIONS[int(rng.integers(len(PROPORTIONS)))]
    parts, head, at = [_fitted(rng, pieces, size)], size, np.zeros(3)
    if rng.random() < 0.6:
        head = size.mean() * rng.uniform(0.4, 0.8) * np.exp(rng.uniform(-0.25, 0.25, 3))
        at = np.array([0, 0.5 * size[1] + rng.uniform(0, 0.35) * head[1], 0.5 * size[2]])
        at[2] *= rng.uniform(-0.2, 1.1)
        parts.append(move(_fitted(rng, pieces, head), _vector(at)))
    if rng.random() < 0.6:
        mark = head * rng.uniform([0.2, 0.2, 0.15], [0.7, 0.6, 0.5])
        y, z = rng.uniform(-0.3, 0.35) * head[1], 0.5 * head[2] * rng.uniform(0.8, 1.1)
        parts.append(move(_fitted(rng, pieces, mark), _vector(at + [0, y, z])))
    else:
        parts += _face(rng, head, at)
    if rng.random() < 0.5:
        parts += _supports(rng, size)
    mesh = merge(parts)
    return move(mesh, (0, -float(mesh.bounds()[0, 1]), 0))


def _fitted(rng: np.random.Generator, pieces: Sequence[Mesh], size: np.ndarray) -> Mesh:
    """One of the pieces about the origin in a box of this size (3,), in one grey."""
    one = pieces[int(rng.integers(len(pieces)))]
    low, high = one.bounds()
    factors = size / np.maximum(high - low, 0.2 * (high - low).max())
    v_pos = ((one.v_pos - (low + high) / 2) * factors).astype(np.float32)
    normal = vertex_normals(one) if one.v_normal is None else one.v_normal
    normal = normal / factors
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    color = np.broadcast_to(GREY.astype(np.float32), v_pos.shape).copy()
    return Mesh(v_pos, one.t_pos_idx, color, v_normal=normal.astype(np.float32))


def _vector(values: np.ndarray) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _solid(rng: np.random.Generator, size: np.ndarray, plain: bool = False) -> Mesh:
    """A simple solid about the origin in a box of this size (3,). plain: the same from all sides, if
    its box is."""
    kind = rng.integers(3 if plain else 6)
    x, y, z = (float(value) for value in size)
    if kind == 0:
        return ellipsoid((0, 0, 0), (x / 2, y / 2, z / 2), GREY)
    if kind == 1:
        return scale(_turned_on_a_lathe(rng), (x, y, z))
    if kind == 2 and plain or kind == 3:
        return box((0, 0, 0), (x, y, z), GREY, radius=rng.uniform(0.02, 0.5) * min(x, y, z))
    if kind == 2:
        taper = (rng.uniform(0.4, 1), rng.uniform(0.4, 1))
        return box((0, 0, 0), (x, y, z), GREY, radius=0.05 * min(x, y, z), taper=taper)
    if kind == 4:  # lies along z
        return rotate(scale(_turned_on_a_lathe(rng), (x, z, y)), "x", 90)
    bend = rng.uniform(-0.5, 0.5) * y
    path = [(0, -y / 2, 0), (0, 0, bend / 2), (0, y / 2, bend)]
    return tube(path, [x / 2, x / 2 * rng.uniform(0.5, 1), x / 2 * rng.uniform(0.3, 1)], GREY)


def _turned_on_a_lathe(rng: np.random.Generator) -> Mesh:
    """Of size 1 about the origin."""
    heights = np.sort(np.r_[0, rng.random(int(rng.integers(1, 4))), 1])
    radii = rng.uniform(0.25, 1, len(heights))
    radii /= 2 * radii.max()
    return lathe([(float(r), float(h) - 0.5) for r, h in zip(radii, heights, strict=True)], GREY)


def _size(rng: np.random.Generator, least: float, most: float) -> np.ndarray:
    return rng.uniform(least, most) * np.exp(rng.uniform(-0.5, 0.5, 3))


def _with_front(rng: np.random.Generator) -> list[Mesh]:
    """A body of one or two solids, upright or long, what marks its front, and now and then legs or
    wheels, a tail, something on its sides, its back or its top."""
    long = rng.random() < 0.6
    size = _size(rng, 0.5, 0.8) * (np.array([0.7, 0.7, 1.4]) if long else np.array([0.9, 1.3, 0.7]))
    parts = [_solid(rng, size)]
    head, at = size, np.zeros(3)
    if rng.random() < 0.7:  # a head, before the body or on it
        head = size.mean() * rng.uniform(0.4, 0.9) * np.exp(rng.uniform(-0.25, 0.25, 3))
        ahead = 0.55 * size[2] if long else rng.uniform(-0.1, 0.25) * size[2]
        at = np.array([0, 0.5 * size[1] + rng.uniform(0, 0.35) * head[1], ahead])
        parts.append(move(_solid(rng, head), _vector(at)))
        if rng.random() < 0.4:
            middle = _vector(at * [0, 0.4, 0.7])
            parts.append(tube([(0, 0, 0), middle, _vector(at)], 0.25 * head[0], GREY))
    parts += _face(rng, head, at)
    if rng.random() < 0.7:
        parts += _supports(rng, size)
    for chance, make in ((0.5, _on_sides), (0.4, _behind), (0.35, _on_top)):
        if rng.random() < chance:
            parts += make(rng, size, head, at)
    return parts


def _face(rng: np.random.Generator, head: np.ndarray, at: np.ndarray) -> list[Mesh]:
    """One to four marks on the front of a solid: in the middle, or a pair."""
    found: list[Mesh] = []
    for _ in range(int(rng.integers(1, 5))):
        size = head.mean() * rng.uniform(0.12, 0.5) * np.exp(rng.uniform(-0.5, 0.5, 3))
        y, depth = rng.uniform(-0.3, 0.35) * head[1], 0.5 * head[2] * rng.uniform(0.75, 1.05)
        mark = _solid(rng, size)
        if rng.random() < 0.5:
            x = rng.uniform(0.15, 0.38) * head[0]
            found += [move(one, _vector(at)) for one in pair(move(mark, (x, y, depth * 0.92)))]
        else:
            out = rng.uniform(0, 0.4) * size[2]
            found.append(move(mark, _vector(at + [0, y, depth + out])))
    return found


def _supports(rng: np.random.Generator, size: np.ndarray) -> list[Mesh]:
    """Two to six legs or wheels, in pairs."""
    x, tall = rng.uniform(0.25, 0.5) * size[0], rng.uniform(0.25, 0.9) * size[1]
    thick = rng.uniform(0.12, 0.3) * size.min()
    rows = int(rng.choice([1, 2, 2, 2, 3]))
    places = [0.0] if rows == 1 else list(np.linspace(-0.4, 0.4, rows) * size[2])
    if rng.random() < 0.6:
        leg = _solid(rng, np.array([thick, tall, thick]), plain=True)
    else:
        disc = scale(_turned_on_a_lathe(rng), (3 * thick, thick, 3 * thick))
        leg, tall = rotate(disc, "z", 90), 0.0
    down = -0.5 * size[1] - 0.4 * tall
    return [one for z in places for one in pair(move(leg, (x, down, z)))]


def _on_sides(rng: np.random.Generator, size, head, at) -> list[Mesh]:
    """Wings, arms, fins."""
    wing = _solid(rng, size * rng.uniform([0.3, 0.08, 0.15], [1.2, 0.6, 0.7]))
    y, z = rng.uniform(-0.3, 0.4) * size[1], rng.uniform(-0.3, 0.3) * size[2]
    return pair(move(rotate(wing, "z", rng.uniform(-40, 40)), (0.6 * float(size[0]), y, z)))


def _behind(rng: np.random.Generator, size, head, at) -> list[Mesh]:
    """A tail, a pack."""
    tail = _solid(rng, size * rng.uniform(0.12, 0.5, 3))
    y = rng.uniform(-0.3, 0.4) * size[1]
    return [move(rotate(tail, "x", rng.uniform(-50, 50)), (0, y, -0.5 * float(size[2])))]


def _on_top(rng: np.random.Generator, size, head, at) -> list[Mesh]:
    """Ears, a crest, a chimney (which may stand aside)."""
    top = _solid(rng, head * rng.uniform([0.1, 0.2, 0.1], [0.4, 0.7, 0.4]))
    y, z = 0.55 * float(head[1]), rng.uniform(-0.3, 0.3) * head[2]
    if rng.random() < 0.5:
        x = rng.uniform(0.2, 0.4) * head[0]
        return [move(one, _vector(at)) for one in pair(move(top, (x, y, z)))]
    aside = rng.uniform(-0.3, 0.3) * head[0] if rng.random() < 0.3 else 0.0
    return [move(top, _vector(at + [aside, y, z]))]


def _without_front(rng: np.random.Generator) -> list[Mesh]:
    """Turned on a lathe, or the same again after a third of a turn, a quarter, …"""
    width, height = rng.uniform(0.4, 1.0), rng.uniform(0.4, 1.2)
    parts = [scale(_turned_on_a_lathe(rng), (width, height, width))]
    if rng.random() < 0.3:
        parts = [_solid(rng, np.array([width, height, width]), plain=True)]
    turns = int(rng.choice(TURNS))
    for _ in range(int(rng.integers(0, 3))):
        detail = _solid(rng, _size(rng, 0.08, 0.35))
        y, out = rng.uniform(-0.5, 0.5) * height, rng.uniform(0.35, 0.6) * width
        first = move(detail, (0, y, out))
        parts += [rotate(first, "y", 360 * k / turns) for k in range(turns)]
    if rng.random() < 0.3:
        tip = rng.uniform(0.2, 0.6) * width
        parts.append(move(scale(_turned_on_a_lathe(rng), (tip, tip, tip)), (0, 0.5 * height, 0)))
    return parts
