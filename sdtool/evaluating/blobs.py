"""Smooth bodies without a face: what a lift makes where nothing tells it what to make."""

import numpy as np

from sdtool.evaluating.roughening import lattice, solid_skin
from sdtool.geometry.meshes import Mesh

BALLS = (1, 6)  # ellipsoids, from and below
ROUND = 0.3  # chance that all balls stand on one axis, as of what is turned on a lathe
LEGS = (0.5, 0.15, 0.15, 0.12, 0.08)  # chances of none, one, … four legs


def blob(rng: np.random.Generator) -> Mesh | None:
    """Some ellipsoids and up to four legs that melt into each other, unevenly; canonical, or None if
    nothing is left of it.

    The solid is where Σ exp(k (1 − |A_i (x − c_i)|)) over the balls i is above 1, k between 4 and 12: the
    smaller k, the softer they melt.
    """
    count, sharp = int(rng.integers(*BALLS)), rng.uniform(4, 12)
    turned = rng.random() < ROUND
    total: np.ndarray | float = 0.0
    for k in range(count):
        centre = rng.uniform(-0.22, 0.22, 3) if k else np.zeros(3)
        radii = rng.uniform(0.1, 0.34, 3) * (1.0 if k else 1.2)
        if turned:
            centre[[0, 2]], radii[2] = rng.normal(0, 0.01, 2), radii[0] * rng.uniform(0.9, 1.1)
        total = total + _ball(centre, radii, _turned(rng, turned), sharp)
    for _ in range(int(rng.choice(len(LEGS), p=LEGS))):
        away, angle = rng.uniform(0.08, 0.28), rng.uniform(0, 2 * np.pi)
        centre = np.array([away * np.cos(angle), rng.uniform(-0.4, -0.2), away * np.sin(angle)])
        radii = np.array([1, rng.uniform(1.2, 3.5), 1]) * rng.uniform(0.05, 0.1)
        total = total + _ball(centre, radii, np.eye(3), sharp)
    return solid_skin(rng, np.log(np.maximum(total, 1e-6)) / sharp)


def _turned(rng: np.random.Generator, upright: bool) -> np.ndarray:
    """A rotation (3, 3): any, or none."""
    if upright:
        return np.eye(3)
    basis, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    return basis * np.sign(np.diag(upper))


def _ball(centre: np.ndarray, radii: np.ndarray, turn: np.ndarray, sharp: float) -> np.ndarray:
    away = np.linalg.norm((lattice() - centre) @ turn / radii, axis=-1)
    return np.exp(sharp * (1 - away))
