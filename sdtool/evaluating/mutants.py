"""Real models as nobody made them: of other proportions, leaning, with parts that are larger, elsewhere or
gone. So a judge cannot learn by heart what a model looks like that it sees often."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from sdtool.evaluating.chimeras import TWINS, twins
from sdtool.evaluating.variation import stretched
from sdtool.geometry.meshes import Mesh, merge, triangle_areas, vertex_normals
from sdtool.toyverse.janus import Parts

KNOTS = 5  # places along an axis between which it is stretched smoothly
STRETCH = 0.45  # a standard deviation of the logarithm, of each stretch along an axis
GIRTH = 0.25  # the same, of the width and the depth at a height
LEAN = 0.15  # of the height: how far the top moves to the front or the back
CHANGED, GONE = 0.35, 0.12  # chances of a part, with those that mirror it
MOST_PARTS = 80


def mutant(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """A mesh of other proportions; what was its own mirror image in x still is.

    mesh: Y up, its front at +Z, as it is afterwards.
    """
    if rng.random() < 0.6:
        mesh = _other_parts(rng, mesh)
    return _warped(rng, mesh)


def _warped(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """Stretched smoothly along each axis, wider and deeper at some heights, leaning."""
    low, high = mesh.bounds().astype(float)
    middle, reach = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    height, depth, width = (_monotone(rng) for _ in range(3))
    wide, deep = (_smooth(rng) for _ in range(2))
    lean, bow = rng.normal(0, LEAN, 2)

    def warp(places: np.ndarray) -> np.ndarray:
        x, y, z = ((places - middle) / reach).T  # each in [−1, 1]
        y = height(y)
        x = np.sign(x) * (width(2 * np.abs(x) - 1) + 1) / 2 * wide(y)
        z = depth(z) * deep(y) + (lean * y + bow * y**2) * reach[1] / reach[2]
        return np.stack([x, y, z], axis=1) * reach + middle

    places = mesh.v_pos.astype(float)
    normal = vertex_normals(mesh) if mesh.v_normal is None else mesh.v_normal
    steps = np.diag(1e-3 * reach)  # small on each axis, also of what is thin
    columns = [(warp(places + step) - warp(places - step)) / (2 * step.sum()) for step in steps]
    # rows of cofactors
    moved = np.cross(np.roll(columns, -1, axis=0), np.roll(columns, -2, axis=0))
    turned = np.einsum("jnk,nj->nk", moved, normal)
    turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    return mesh.with_positions(warp(places), turned.astype(np.float32))


def _monotone(rng: np.random.Generator) -> PchipInterpolator:
    """A smooth, rising map of [−1, 1] onto itself."""
    steps = np.exp(rng.normal(0, STRETCH, KNOTS - 1))
    goals = np.concatenate([[0], np.cumsum(steps) / steps.sum()])
    return PchipInterpolator(np.linspace(-1, 1, KNOTS), 2 * goals - 1)


def _smooth(rng: np.random.Generator) -> PchipInterpolator:
    """Factors over [−1, 1]."""
    return PchipInterpolator(np.linspace(-1, 1, KNOTS), np.exp(rng.normal(0, GIRTH, KNOTS)))


def _other_parts(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """Some of its connected parts in another size, at another place or gone, mirrored ones alike; not the
    largest. The mesh itself if it has one part only, or very many."""
    parts = Parts(mesh, welded=True)
    count = len(parts.boxes)
    if not 2 <= count <= MOST_PARTS:
        return mesh
    areas = triangle_areas(mesh.v_pos.astype(float), mesh.t_pos_idx)
    area = np.bincount(parts.of_vertex[mesh.t_pos_idx[:, 0]], areas, count)
    found = []
    for group in twins(parts, np.ones(count, bool)):
        chance, largest = rng.random(), int(np.argmax(area)) in group
        factors = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.15, 3))
        step = rng.normal(0, 0.04, 3) * parts.size.max()
        if chance < GONE and not largest and area[group].sum() < 0.25 * area.sum():
            continue
        for k in group:
            one = parts.only(np.arange(count) == k)
            if chance > 1 - CHANGED and not largest:
                side = np.sign(parts.centres[k, 0]) * (abs(parts.centres[k, 0]) > TWINS)
                about = parts.boxes[k].mean(axis=0)
                one = stretched(one.with_positions(one.v_pos - about, one.v_normal), factors)
                there = one.v_pos + about + step * [side, 1, 1]
                one = one.with_positions(there, one.v_normal)
            found.append(one)
    return merge(found)
