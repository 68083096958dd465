"""Plants. They look alike from all sides, but for a cactus and its arms."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import Spot, worn
from sdtool.toyverse.primitives import ellipsoid, lathe, move, pair, rotate, tube
from sdtool.toyverse.words import BEAK, COLOURS, WHITE, WOOD, Look, dark, pale, vary

STEM = np.array((0.30, 0.58, 0.24))


def tree(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A trunk under a crown of round clumps."""
    trunk_high = rng.uniform(0.42, 0.5) * look.stretch("tall", 1.45)
    radius = rng.uniform(0.1, 0.12)
    crown = rng.uniform(0.34, 0.4) * look.stretch("wide", 1.25)
    bark = vary(rng, np.array((0.42, 0.27, 0.15)))
    if look.colour_word == "brown":
        bark = dark(bark, 0.65)
    trunk = lathe(
        [(radius * 1.5, 0), (radius * 1.05, 0.1), (radius * 0.9, trunk_high + 0.15)],
        bark,
        segments=14,
    )
    y = trunk_high + crown * 0.8
    parts = [trunk, ellipsoid((0, y, 0), (crown, crown * 0.9, crown), look.color, rings=10)]
    turn = rng.uniform(0, 2 * np.pi)
    for k in range(3):
        angle = turn + k * 2 * np.pi / 3
        size = crown * rng.uniform(0.55, 0.64)
        spot = (crown * 0.55 * np.cos(angle), y - crown * 0.25, crown * 0.55 * np.sin(angle))
        parts.append(ellipsoid(spot, (size, size, size), vary(rng, look.color, 0.7)))
    top = (crown * 0.66,) * 3
    parts.append(ellipsoid((0, y + crown * 0.6, 0), top, vary(rng, pale(look.color, 0.08), 0.5)))
    if look.has("apples"):
        for k in range(9):
            around, up = k * 2.4, -0.35 + 0.12 * k
            flat = crown * 1.06 * np.sqrt(1 - up**2)
            spot = (flat * np.cos(around), y + up * crown, flat * np.sin(around))
            parts.append(ellipsoid(spot, (0.075,) * 3, look.extra_color, rings=5, segments=8))
    return parts


def pine(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A short trunk under three stacked cones."""
    width = rng.uniform(0.38, 0.44) * look.stretch("wide", 1.25)
    step = rng.uniform(0.3, 0.34) * look.stretch("tall", 1.3)
    trunk_high = rng.uniform(0.2, 0.26)
    bark = vary(rng, np.array((0.42, 0.27, 0.15)))
    parts = [lathe([(0.11, 0), (0.09, trunk_high + 0.1)], bark, segments=14)]
    for k, share in enumerate((1.0, 0.78, 0.56)):
        low, r = trunk_high + k * step, width * share
        high = step * 1.55
        parts.append(
            lathe(
                [(r * 0.9, low), (r, low + 0.04), (r * 0.5, low + high * 0.5), (0.02, low + high),
                 (0, low + high + 0.01)], vary(rng, look.color, 0.6), segments=18,
            )
        )  # fmt: skip
    return parts


def palm(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A bare, slightly bent trunk under a crown of long drooping leaves."""
    high = rng.uniform(0.72, 0.84) * look.stretch("tall", 1.3)
    bark = vary(rng, np.array((0.56, 0.40, 0.24)))
    if look.colour_word == "brown":
        bark = dark(bark, 0.6)
    rings = np.linspace(0, 1, 7)
    trunk = tube(
        [(0, h * high, 0) for h in rings], [0.1 - 0.04 * h + 0.012 * (k % 2) for k, h in enumerate(rings)],
        np.stack([bark if k % 2 else dark(bark, 0.8) for k in range(7)]),
    )  # fmt: skip
    parts = [trunk]
    count, reach = 8, rng.uniform(0.46, 0.52) * look.stretch("wide", 1.2)
    for k in range(count):
        lift = 0.12 if k % 2 else 0.02
        leaf = tube(
            [(0.0, high + 0.02, 0), (reach * 0.4, high + 0.14 + lift, 0),
             (reach * 0.78, high + 0.04 + lift, 0), (reach, high - 0.16 + lift, 0)],
            [(0.05, 0.03), (0.115, 0.03), (0.1, 0.026), (0.03, 0.018)], vary(rng, look.color, 0.9),
            side=(0, 0, 1), segments=8,
        )  # fmt: skip
        parts.append(rotate(leaf, "y", 360 / count * k + 12))
    if look.has("coconuts"):
        for k in range(4):
            angle = np.radians(90 * k + 40)
            spot = (0.11 * np.cos(angle), high - 0.05, 0.11 * np.sin(angle))
            parts.append(ellipsoid(spot, (0.085, 0.095, 0.085), look.extra_color, rings=6))
    return parts


def cactus(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A ribbed column with two arms bent upward, one at +X and one at −X, on sand or in a pot."""
    high = rng.uniform(0.78, 0.88) * look.stretch("tall", 1.3)
    radius = rng.uniform(0.15, 0.17) * look.stretch("chubby", 1.25)
    base = 0.26 if look.has("pot") else 0.02
    stem = _ribbed(
        tube([(0, base, 0), (0, base + high - radius, 0)], radius, look.color, segments=24)
    )
    parts = [stem]
    for side, low in ((1, rng.uniform(0.36, 0.42)), (-1, rng.uniform(0.26, 0.32))):
        arm = tube(
            [(0, base + low, 0), (side * 0.24, base + low, 0), (side * 0.3, base + low + 0.06, 0),
             (side * 0.31, base + low + 0.26, 0)], radius * 0.55, look.color, side=(0, 0, 1),
        )  # fmt: skip
        parts.append(arm)
    if look.has("pot"):
        profile = [(0.2, 0), (0.26, 0.24), (0.3, 0.25), (0.3, 0.33), (0.2, 0.33)]
        parts.append(lathe(profile, look.extra_color, segments=20))
    else:
        parts.append(ellipsoid((0, 0.02, 0), (0.36, 0.06, 0.36), np.array((0.88, 0.76, 0.50))))
    if look.has("flower"):
        parts += _petals((0, base + high + 0.03, 0), 0.12, look.extra_color)
    hat = Spot((0, base + high - radius * 0.3, 0), radius * 0.92)
    return [*parts, *worn(look, head=hat)]


def _ribbed(mesh: Mesh) -> Mesh:
    """Grooves along an upright column: every other line of points is darker."""
    angle = np.arctan2(mesh.v_pos[:, 2], mesh.v_pos[:, 0])
    tone = 0.9 + 0.12 * np.sign(np.sin(angle * 6))[:, None]
    return Mesh(mesh.v_pos, mesh.t_pos_idx, np.clip(mesh.v_color * tone, 0, 1).astype(np.float32))


def _petals(center: tuple[float, float, float], size: float, color: np.ndarray) -> list[Mesh]:
    """A small blossom that opens upward."""
    petal = ellipsoid((size, 0, 0), (size, size * 0.35, size * 0.62), color, rings=5, segments=12)
    parts = [move(rotate(rotate(petal, "z", 25), "y", 72 * k), center) for k in range(5)]
    heart = BEAK if not np.allclose(color, COLOURS["yellow"], atol=0.2) else dark(WOOD)
    return [*parts, ellipsoid(center, (size * 0.5, size * 0.4, size * 0.5), heart, rings=5)]


def flower(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A big blossom that looks toward +Z on a stem with two leaves, in a pot if it has one."""
    base = 0.24 if look.has("pot") else 0.0
    high = base + rng.uniform(0.58, 0.66) * look.stretch("tall", 1.35)
    count, reach = int(rng.integers(7, 10)), rng.uniform(0.2, 0.23) * look.stretch("wide", 1.25)
    heart = BEAK if look.colour_word not in ("yellow", "orange") else dark(WOOD, 0.6)
    petal = ellipsoid((0, reach, 0), (reach * 0.46, reach * 0.82, 0.055), look.color, rings=6)
    z = 0.05
    parts = [
        move(rotate(petal, "z", 360 / count * k), (0, high, z + 0.012 * (k % 2)))
        for k in range(count)
    ]
    disc = ellipsoid((0, high, z + 0.03), (reach * 0.62, reach * 0.62, 0.085), heart, rings=8)
    sepal = ellipsoid((0, high, z - 0.06), (reach * 0.55, reach * 0.55, 0.06), STEM, rings=6)
    stem = tube([(0, 0.03, 0), (0, high * 0.6, -0.02), (0, high, 0.0)], 0.042, STEM, segments=10)
    leaf = tube(
        [(0.0, base + 0.1, 0), (0.16, base + 0.2, 0.02), (0.3, base + 0.22, 0.03)],
        [(0.05, 0.022), (0.1, 0.022), (0.03, 0.016)], STEM, side=(0, 0, 1),
    )  # fmt: skip
    parts += [disc, sepal, stem, *pair(leaf)]
    if look.has("pot"):
        profile = [(0.17, 0), (0.23, 0.2), (0.27, 0.21), (0.27, 0.29), (0.18, 0.29)]
        parts.append(lathe(profile, look.extra_color, segments=20))
    else:
        parts.append(ellipsoid((0, 0.02, 0), (0.2, 0.035, 0.2), STEM, rings=5))
    return parts


def mushroom(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A pale stem with a frill under a wide round cap with pale spots."""
    high = rng.uniform(0.46, 0.54) * look.stretch("tall", 1.4)
    wide = rng.uniform(0.42, 0.48) * look.stretch("wide", 1.2)
    thick = rng.uniform(0.14, 0.165) * look.stretch("chubby", 1.4)
    pale_stem = np.array((0.93, 0.88, 0.78))
    stem = lathe(
        [(thick * 1.25, 0), (thick * 1.3, 0.1), (thick, 0.24), (thick * 0.92, high + 0.06)],
        pale_stem,
    )
    frill = lathe([(thick * 1.35, high * 0.66), (thick * 0.9, high * 0.82)], dark(pale_stem, 0.9))
    dome = [(0.98, 0.02), (1.0, 0.08), (0.93, 0.3), (0.74, 0.55), (0.42, 0.74), (0, 0.8)]
    under = [(thick * 0.9, high + 0.04), (wide * 0.9, high)]
    profile = [*under, *[(r * wide, high + h * wide) for r, h in dome]]
    cap = lathe(profile, np.stack([dark(pale_stem, 0.88)] * 2 + [look.color] * 6), segments=24)
    spot_color = WHITE if look.colour_word != "white" else np.array((0.80, 0.45, 0.40))
    parts = [stem, frill, cap]
    for angle, row in [
        *((45 + 90 * k, 0) for k in range(4)),
        *((90 * k, 1) for k in range(4)),
        (0, 2),
    ]:
        r, h = ((0.93, 0.3), (0.66, 0.6), (0.0, 0.79))[row]
        size = (0.16, 0.14, 0.15)[row] * wide
        x, z = r * wide * np.cos(np.radians(angle)), r * wide * np.sin(np.radians(angle))
        spot = (size, size * (0.8, 0.7, 0.5)[row], size)
        parts.append(ellipsoid((x, high + h * wide, z), spot, spot_color, rings=5, segments=12))
    return parts
