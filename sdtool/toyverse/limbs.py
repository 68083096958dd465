"""What animals share: legs, ears, eyes, a nose. Left and right are mirror images in x."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.primitives import ellipsoid, lathe, move, paint, pair, rotate, tube
from sdtool.toyverse.words import BLACK, PINK, WHITE, is_dark


def legs(
    x: float, z_front: float, z_back: float, top: float, radius: float, color: np.ndarray,
    foot: np.ndarray | None = None,
) -> list[Mesh]:  # fmt: skip
    """Four thick legs with flat soles; `foot` colours the lowest third."""
    foot = color if foot is None else foot
    colors = np.stack([foot] * 3 + [color] * 5)
    ring = [
        (0.85, 0.0), (1.08, 0.08), (1.05, 0.32), (0.98, 0.34),
        (1.0, 0.7), (1.05, 0.9), (0.85, 1.04), (0.45, 1.12),
    ]  # fmt: skip
    leg = lathe([(r * radius, h * top) for r, h in ring], colors, segments=12)
    return [part for z in (z_front, z_back) for part in pair(move(leg, (x, 0, z)))]


def ears(
    base: tuple[float, float, float], length: float, width: float, lean: float, color: np.ndarray,
    inside: np.ndarray | None = None,
) -> list[Mesh]:  # fmt: skip
    """A pair of upright pointed ears, leaning outward by `lean` degrees."""
    levels = np.array([-0.15, 0.0, 0.25, 0.5, 0.75, 0.95])
    widths = np.array([0.8, 1.0, 0.9, 0.66, 0.38, 0.12]) * width / 2
    path = [(0.0, h * length, 0.0) for h in levels]
    ear = tube(path, list(zip(widths, widths * 0.55, strict=True)), color, segments=12)
    if inside is not None:
        front = (ear.v_pos[:, 2] > 0.2 * width * 0.55) & (ear.v_pos[:, 1] < 0.8 * length)
        ear = paint(ear, front & (np.abs(ear.v_pos[:, 0]) < 0.3 * width), inside)
    return pair(move(rotate(ear, "z", -lean), base))


def eyes(x: float, y: float, z: float, size: float, coat: np.ndarray) -> list[Mesh]:
    """Two eyes; white-rimmed on a dark coat."""
    color = WHITE if is_dark(coat) else BLACK
    return pair(ellipsoid((x, y, z), (size, size * 1.15, size * 0.8), color, rings=4, segments=8))


def nose(center: tuple[float, float, float], size: float, coat: np.ndarray) -> Mesh:
    color = PINK if is_dark(coat) else BLACK
    return ellipsoid(center, (size * 1.2, size, size), color, rings=4, segments=8)


def belly(body: Mesh, below: float, color: np.ndarray) -> Mesh:
    return paint(body, body.v_pos[:, 1] < below, color)
