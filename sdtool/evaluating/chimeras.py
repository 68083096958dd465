"""Things of no kind that are made of toys: with other proportions, with parts of other toys, or without the
parts that would say where their front is."""

from collections.abc import Sequence

import numpy as np

from sdtool.geometry.cameras import rotate_y
from sdtool.geometry.meshes import Mesh, merge
from sdtool.toyverse.janus import Parts
from sdtool.toyverse.primitives import pair, rotate
from sdtool.toyverse.toys import make

GONE, OTHER_HEAD, POSED = 0.12, 0.4, 0.4  # chances: of a part, of the head, of an arm or a leg
MORE = (0.35, 0.35, 0.2, 0.1)  # chances of 0, 1, 2, 3 things that are set on
TWINS = 0.04  # of the whole size: what is mirrored that exactly moves like its mirror image


def chimera(rng: np.random.Generator, kinds: Sequence[str]) -> Mesh:
    """A toy of one of these kinds, of other proportions, its front at +Z.

    Parts, mirrored ones alike, are larger or smaller, elsewhere, or gone; the head may be another toy's, and
    something of a third may be set on.
    """
    mesh = _drawn(rng, kinds)
    parts = Parts(mesh)
    head = parts.head() & (parts.centres[:, 2] > 0)
    found = [_reshaped(rng, parts, ~head)]
    if head.any():
        own = parts.only(head)
        other = _head_of(rng, kinds) if rng.random() < OTHER_HEAD else None
        where = own.bounds().astype(float)
        if other is None:
            other = _reshaped(rng, Parts(own), np.ones(int(head.sum()), bool))
        found.append(_fitted(rng, other, where, parts.size))
    for _ in range(int(rng.choice(len(MORE), p=MORE))):
        found.append(_set_on(rng, parts, _drawn(rng, kinds)))
    return _grounded(merge(found))


def lump(rng: np.random.Generator, kinds: Sequence[str]) -> Mesh:
    """A thing whose front nobody could tell: a toy's largest part and legs, of which some are elsewhere and
    some gone, and now and then more such parts, none where a face would be."""
    parts = Parts(_drawn(rng, kinds))
    volume = parts.extents.prod(axis=1)
    legs = parts.legs()
    body = np.zeros(len(volume), bool)
    body[int(np.argmax(np.where(legs, -1, volume)))] = True
    found = [parts.only(body)]
    low, high = found[0].bounds().astype(float)
    middle, reach = (low + high) / 2, (high - low) / 2
    others = [parts.only(np.arange(len(volume)) == k) for k in np.nonzero(legs)[0]]
    others += [found[0]] * int(rng.integers(0, 3))
    for one in others:
        if one is not found[0] and rng.random() < 0.3:
            continue
        size, away = (0.6, [0.8, 0.6, 0.8]) if one is found[0] else (1.0, [0.4, 0.0, 0.4])
        size *= np.exp(rng.uniform(-0.3, 0.3))
        moved = size * rotate_y(one.v_pos - middle, rng.uniform(0, 2 * np.pi))
        out = rng.uniform(-1, 1, 3) * reach * away
        found.append(one.with_positions(moved + middle + out))
    return _grounded(merge(found))


def _drawn(rng: np.random.Generator, kinds: Sequence[str]) -> Mesh:
    return make(rng, kinds[int(rng.integers(len(kinds)))])[0]


def _grounded(mesh: Mesh) -> Mesh:
    low, high = mesh.bounds().astype(float)
    return mesh.with_positions(mesh.v_pos - [0.0, low[1], (low[2] + high[2]) / 2])


def twins(parts: Parts, chosen: np.ndarray) -> list[np.ndarray]:
    """The chosen parts (P,) bool, in groups of those that mirror each other in x."""
    left, found = set(np.nonzero(chosen)[0].tolist()), []
    while left:
        first = min(left)
        apart = np.abs(parts.centres - parts.centres[first] * [-1, 1, 1]).max(axis=1)
        group = {first} | {
            k for k in left if apart[k] < TWINS and abs(parts.centres[first, 0]) > TWINS
        }
        left -= group
        found.append(np.array(sorted(group)))
    return found


def _reshaped(rng: np.random.Generator, parts: Parts, chosen: np.ndarray) -> Mesh:
    """The chosen parts, each group of twins in another size and at another place; some are gone, but not
    the largest."""
    volume = parts.extents.prod(axis=1)
    largest = int(np.argmax(np.where(chosen, volume, -1)))
    found = []
    for group in twins(parts, chosen):
        main = largest in group
        if not main and rng.random() < GONE:
            continue
        factors = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.15, 3))
        step = np.zeros(3) if main else rng.normal(0, 0.05, 3) * parts.size
        posed = len(group) == 2 and rng.random() < POSED
        angle = rng.uniform(-90, 90) if posed else 0.0
        for k in group:
            one = parts.only(np.arange(len(volume)) == k)
            centre = parts.boxes[k].mean(axis=0)
            side = np.sign(parts.centres[k, 0]) * (abs(parts.centres[k, 0]) > TWINS)
            one = _moved(one, centre, factors, step * [side, 1, 1])
            found.append(_swung(one, angle) if posed else one)
    return merge(found)


def _moved(mesh: Mesh, centre: np.ndarray, factors: np.ndarray | float, step: np.ndarray) -> Mesh:
    return mesh.with_positions((mesh.v_pos - centre) * factors + centre + step)


def _swung(mesh: Mesh, degrees: float) -> Mesh:
    """Swung about its top, to the front or the back: so legs sit and arms reach out."""
    low, high = mesh.bounds().astype(float)
    return rotate(mesh, "x", degrees, about=(0, high[1], (low[2] + high[2]) / 2))


def _head_of(rng: np.random.Generator, kinds: Sequence[str]) -> Mesh | None:
    parts = Parts(_drawn(rng, kinds))
    head = parts.head() & (parts.centres[:, 2] > 0)
    return parts.only(head) if parts.shows(head) and not head.all() else None


def _fitted(rng: np.random.Generator, head: Mesh, where: np.ndarray, size: np.ndarray) -> Mesh:
    """A head about where another was: `where`, the corners (2, 3) of its box; size: of the whole."""
    low, high = head.bounds().astype(float)
    goal = np.linalg.norm(where[1] - where[0]) * np.exp(rng.normal(0, 0.2))
    factor = goal / max(float(np.linalg.norm(high - low)), 1e-9)
    step = where.mean(axis=0) - (low + high) / 2 + rng.normal(0, 0.04, 3) * size * [0, 1, 1]
    return _moved(head, (low + high) / 2, factor, step)


def _set_on(rng: np.random.Generator, parts: Parts, other: Mesh) -> Mesh:
    """Some part of another toy, on top, behind, or on both sides."""
    theirs = Parts(other)
    group = twins(theirs, np.ones(len(theirs.boxes), bool))
    piece = theirs.only(np.isin(np.arange(len(theirs.boxes)), group[int(rng.integers(len(group)))]))
    low, high = piece.bounds().astype(float)
    factor = rng.uniform(0.15, 0.6) * parts.size.max() / max(float((high - low).max()), 1e-9)
    factor = factor * np.exp(rng.normal(0, 0.4, 3))  # a cape is a board, a tail a bar
    middle = (parts.low + parts.high) / 2
    out = [[0, 0.5, 0], [0, 0, -0.5], [0.5, 0, 0]][int(rng.integers(3))]
    there = middle + (out + rng.uniform(-0.25, 0.25, 3) * [0, 1, 1]) * parts.size
    one = _moved(piece, (low + high) / 2, factor, there - (low + high) / 2)
    return merge(pair(one)) if out[0] else one
