"""Bodies without a face: what a lift makes where nothing tells it what to make. Smooth or rough, some turned
on a lathe, some on legs, some flat, some with pieces that came loose."""

import numpy as np

from sdtool.evaluating.roughening import lattice, solid_skin
from sdtool.geometry.meshes import Mesh

BALLS = (1, 6)  # ellipsoids, from and below
ROUND = 0.35  # chance that all balls stand on one axis, as of what is turned on a lathe
LEGS = (0.4, 0.12, 0.12, 0.14, 0.12, 0.06, 0.04)  # chances of none, one, … six legs
LOOSE = (0.7, 0.15, 0.15)  # chances of no, one, two pieces beside the body
FLAT, LONG, ROUGH = 0.2, 0.3, 0.35  # chances: flattened, drawn out, rough instead of smooth

Ball = tuple[np.ndarray, np.ndarray, np.ndarray]
"""An ellipsoid's centre c (3,), radii (3,) and matrix T (3, 3): it ends where |(x − c) T / radii| = 1."""


def blob(rng: np.random.Generator) -> Mesh | None:
    """Some ellipsoids and up to six legs that melt into each other, unevenly; canonical, or None if
    nothing is left of it.

    The solid is where Σ exp(k (1 − |(x − c_i) T_i / radii_i|)) over the balls i is above 1, k between 4 and
    12: the smaller k, the softer they melt.
    """
    sharp, turned = rng.uniform(4, 12), rng.random() < ROUND
    balls = _stacked(rng) if turned else _heaped(rng)
    legs = int(rng.choice(len(LEGS), p=LEGS)) if not turned or rng.random() < 0.3 else 0
    along = rng.uniform(0.3, 1)  # legs around a middle, or in a row
    for _ in range(legs):
        away, angle = rng.uniform(0.08, 0.3), rng.uniform(0, 2 * np.pi)
        centre = np.array(
            [along * away * np.cos(angle), rng.uniform(-0.4, -0.2), away * np.sin(angle)]
        )
        radii = np.array([1, rng.uniform(1.2, 3.5), 1]) * rng.uniform(0.05, 0.1)
        balls.append((centre, radii, np.eye(3)))
    for _ in range(int(rng.choice(len(LOOSE), p=LOOSE))):
        centre = rng.uniform(-0.1, 0.1, 3) + [0, rng.uniform(0.3, 0.5), 0]
        balls.append((centre, rng.uniform(0.03, 0.12, 3), np.eye(3)))
    total = np.sum([_ball(*ball, sharp) for ball in balls], axis=0)
    rough = rng.random() < ROUGH
    grain, depth = (rng.uniform(0.8, 2), 0.25) if rough else (rng.uniform(2, 6), 0.1)
    return solid_skin(rng, np.log(np.maximum(total, 1e-6)) / sharp, grain, depth)


def _heaped(rng: np.random.Generator) -> list[Ball]:
    """Ellipsoids about the middle, turned anyhow, together flattened or drawn out."""
    found, size = [], np.ones(3)
    if rng.random() < FLAT:
        size[1] = rng.uniform(0.3, 0.6)
    if rng.random() < LONG:
        size[0] = rng.uniform(0.4, 0.7)
    for k in range(int(rng.integers(*BALLS))):
        centre = rng.uniform(-0.22, 0.22, 3) if k else np.zeros(3)
        radii = rng.uniform(0.1, 0.34, 3) * (1.0 if k else 1.2)
        found.append((centre * size, radii, _turned(rng) / size[:, None]))
    return found


def _stacked(rng: np.random.Generator) -> list[Ball]:
    """Ellipsoids that stand on each other, round or nearly."""
    found, height = [], -0.45
    for _ in range(int(rng.integers(1, 6))):
        wide, tall = rng.uniform(0.08, 0.34), rng.uniform(0.06, 0.22)
        height += tall * rng.uniform(0.6, 1.0)
        centre = np.array([rng.normal(0, 0.01), height, rng.normal(0, 0.01)])
        found.append((centre, np.array([wide, tall, wide * rng.uniform(0.9, 1.1)]), np.eye(3)))
        height += tall * rng.uniform(0.6, 1.0)
    middle = np.array([0, (height - 0.45) / 2, 0])
    return [(centre - middle, radii, turn) for centre, radii, turn in found]


def _turned(rng: np.random.Generator) -> np.ndarray:
    """Any rotation (3, 3)."""
    basis, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    return basis * np.sign(np.diag(upper))


def _ball(centre: np.ndarray, radii: np.ndarray, turn: np.ndarray, sharp: float) -> np.ndarray:
    away = np.linalg.norm((lattice() - centre) @ turn / radii, axis=-1)
    return np.exp(sharp * (1 - away))
