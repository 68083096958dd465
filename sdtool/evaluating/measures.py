"""The measures of consistency, each by its formula; numpy only."""

import numpy as np

from sdtool.geometry.cleaning import NO_AREA
from sdtool.geometry.meshes import Mesh, triangle_areas
from sdtool.geometry.parts import connected_parts

WIDEST, NARROWEST = 300.0, 60.0
"""Degrees between two views that repetition compares: nearer ones look alike on any object."""


def view_agreement(truth: np.ndarray, sides: np.ndarray) -> float:
    """View ambiguity: do what is seen and what is recognised go round together, once?

    truth: (N,) azimuths in radians, evenly around. sides: (N, B) probabilities that a view is taken
    from azimuth 2πb/B. With z_k = Σ_b p_kb e^{iβ_b} this is the circular correlation of uniform angles
    (Jammalamadaka and SenGupta 2001, section 8.2), weighted by how sure the classifier is:

        ρ = |mean z_k e^{−iα_k}| − |mean z_k e^{iα_k}|

    In [−1, 1]: 1 for an object of one front, whichever way it faces; 0 where the recognised azimuth
    folds back, as on a Janus, or where all sides look alike.
    """
    z = _direction(sides)
    return float(abs(np.mean(z * np.exp(-1j * truth))) - abs(np.mean(z * np.exp(1j * truth))))


def turn(truth: np.ndarray, sides: np.ndarray) -> float:
    """Radians in (−π, π] by which the recognised front is turned from +Z toward +X."""
    return float(-np.angle(np.mean(_direction(sides) * np.exp(-1j * truth))))


def recognised(sides: np.ndarray) -> np.ndarray:
    """(N,) azimuths in [0, 2π): the mean direction of each view's probabilities (N, B)."""
    return np.angle(_direction(sides)) % (2 * np.pi)


def sureness(sides: np.ndarray) -> np.ndarray:
    """(N,) lengths of each view's mean direction |z_k|: 1 where its side is certain, 0 where any, or two
    opposite ones, may be it."""
    return abs(_direction(sides))


def _direction(sides: np.ndarray) -> np.ndarray:
    bins = sides.shape[1]
    return sides @ np.exp(2j * np.pi * np.arange(bins) / bins)


def repetition(views: np.ndarray) -> float:
    """How much some other side looks like this one, at its worst.

    views: (N, H, W, 4) of `views.normal_views`, evenly around. With n the camera-space normals and c
    the coverage, two views A and B are alike by Σ max(0, n_A·n_B) c_A c_B / Σ max(c_A, c_B), and

        repetition = max over offsets δ in [60°, 300°] of mean over k of alike(view k, view k + δ)

    in [0, 1]: 1 if a turn by δ changes nothing. What an object of its kind has of it by nature (a
    horse's left and right) is for the caller to compare with.
    """
    around = len(views)
    offsets = [
        d for d in range(1, around // 2 + 1) if NARROWEST <= d * 360 / around <= WIDEST
    ]  # δ and 360° − δ compare the same pairs
    return max(alike(views, np.roll(views, -d, axis=0)) for d in offsets)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over views (N, H, W, 4) of how alike they are; see `repetition`."""
    return float(np.mean(alike_each(a, b)))


def alike_each(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) how alike each of the views (N, H, W, 4), or all of them and one, are; see `repetition`."""
    same = np.maximum(np.sum(a[..., :3] * b[..., :3], axis=-1), 0).sum(axis=(1, 2))
    either = np.maximum(a[..., 3], b[..., 3]).sum(axis=(1, 2))
    return same / np.maximum(either, 1e-6)


def first_harmonic(truth: np.ndarray, frontness: np.ndarray) -> float:
    """For a classifier that knows front from back only, such as CLIP: the share of the variance of
    `frontness` (N,) over azimuths `truth` (N,), evenly around, that one wave a turn explains:

        R² = 2 |mean f_k e^{iα_k}|² / var f

    In [0, 1]: near 1 for one front, near 0 for two (two waves a turn). 0 where nothing varies.
    """
    centred = frontness - frontness.mean()
    variance = float(np.mean(centred**2))
    if variance < 1e-12:
        return 0.0
    return float(2 * abs(np.mean(centred * np.exp(1j * truth))) ** 2 / variance)


def surface_points(rng: np.random.Generator, mesh: Mesh, count: int) -> np.ndarray:
    """(count, 3) float64 points drawn evenly from the surface."""
    v_pos = mesh.v_pos.astype(np.float64)
    a, b, c = (v_pos[mesh.t_pos_idx[:, k]] for k in range(3))
    area = triangle_areas(v_pos, mesh.t_pos_idx)
    face = rng.choice(len(area), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    return a[face] + u * (b[face] - a[face]) + v * (c[face] - a[face])


def chamfer_and_f_score(a: np.ndarray, b: np.ndarray, within: float) -> tuple[float, float]:
    """Between two sets of points (n, 3) and (m, 3), with d(p, X) the distance to the nearest of X:

    Chamfer = (mean over a of d(p, b) + mean over b of d(q, a)) / 2, in units of the points
    F-score = 2PR / (P + R), P the share of a with d(p, b) < within, R of b with d(q, a) < within
    """
    from scipy.spatial import cKDTree

    there, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
    precision, recall = float(np.mean(there < within)), float(np.mean(back < within))
    both = precision + recall
    return float(there.mean() + back.mean()) / 2, 2 * precision * recall / both if both else 0.0


def sanity(mesh: Mesh) -> dict[str, int | bool]:
    """What is wrong with a mesh as such. components: connected parts, vertices at one place being one;
    watertight: every edge has two faces that turn opposite ways; degenerate: faces without area;
    non_finite: vertices with NaN or infinite positions; faces: of all."""
    finite = np.isfinite(mesh.v_pos).all(axis=1)
    faces = mesh.t_pos_idx[finite[mesh.t_pos_idx].all(axis=1)]
    found = {"faces": len(mesh.t_pos_idx), "non_finite": int((~finite).sum())}
    if len(faces) == 0:
        return {**found, "components": 0, "watertight": False, "degenerate": 0}
    used = np.where(finite[:, None], mesh.v_pos, 0)
    extent = max(float(np.ptp(used, axis=0).max()), 1e-30)
    place = np.unique((used / extent).round(6), axis=0, return_inverse=True)[1].reshape(-1)
    faces = place[faces].astype(np.int64)
    area = triangle_areas(used.astype(np.float64), mesh.t_pos_idx)
    flat = (area < NO_AREA * extent**2)[finite[mesh.t_pos_idx].all(axis=1)]
    whole = faces[~flat]
    edges = np.concatenate([whole[:, [0, 1]], whole[:, [1, 2]], whole[:, [2, 0]]])
    key, back = edges @ [1 << 32, 1], edges @ [1, 1 << 32]
    return {
        **found,
        "components": len(np.unique(connected_parts(whole, len(place))[1][whole[:, 0]])),
        "watertight": bool(len(key)) and np.array_equal(np.sort(key), np.sort(back)),
        "degenerate": int(flat.sum()),
    }
