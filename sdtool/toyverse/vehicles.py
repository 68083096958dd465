"""A car, an airplane, a boat. Noses and bows point to +Z; each is its own mirror image in x."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.primitives import (
    box,
    ellipsoid,
    lathe,
    move,
    pair,
    rotate,
    skin,
    slab,
    tube,
)  # fmt: skip
from sdtool.toyverse.words import BLACK, GLASS, METAL, WHITE, WOOD, Look, dark, is_dark, pale

LIGHT, TAIL_LIGHT = np.array((1.0, 0.93, 0.62)), np.array((0.8, 0.1, 0.1))


def wheels(x: float, z: float, radius: float, width: float) -> list[Mesh]:
    """A wheel at x and its mirror image, standing on y = 0."""
    tyre = lathe(
        [(radius * 0.9, -width / 2), (radius, -width / 4), (radius, width / 4),
         (radius * 0.9, width / 2)], BLACK * 1.3, segments=20,
    )  # fmt: skip
    hub = lathe([(radius * 0.5, 0), (radius * 0.45, width / 2 + 0.025)], METAL, segments=12)
    return [
        part for mesh in (tyre, hub) for part in pair(move(rotate(mesh, "z", -90), (x, radius, z)))
    ]


def car(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A rounded body with a long bonnet, a cabin set back, four wheels, lights at both ends."""
    width = rng.uniform(0.5, 0.56)
    length = rng.uniform(1.1, 1.22) * look.stretch("long", 1.25) * look.stretch("small", 0.82)
    wheel = rng.uniform(0.135, 0.155)
    low, deck = wheel * 0.85, rng.uniform(0.22, 0.25)
    roof = rng.uniform(0.23, 0.27) * look.stretch("tall", 1.4)
    cabin = length * rng.uniform(0.46, 0.52)
    y = low + deck
    back = -length * 0.12
    body = box((0, low + deck / 2, 0), (width, deck, length), look.color, radius=0.09)
    windows = box(
        (0, y + roof / 2 - 0.04, back), (width * 0.9, roof, cabin), GLASS, radius=0.05,
        taper=(0.82, 0.68),
    )  # fmt: skip
    top = box(
        (0, y + roof - 0.06, back), (width * 0.79, 0.08, cabin * 0.76), look.color, radius=0.035
    )
    pillar = tube(
        [(width * 0.43, y - 0.03, back), (width * 0.37, y + roof - 0.06, back)], 0.032, look.color,
        side=(0, 0, 1), segments=8,
    )  # fmt: skip
    lamp = ellipsoid(
        (width * 0.31, low + deck * 0.62, length / 2 - 0.01), (0.075, 0.06, 0.04), LIGHT,
        rings=5, segments=12,
    )  # fmt: skip
    rear = box(
        (width * 0.31, low + deck * 0.66, -length / 2), (0.14, 0.07, 0.04), TAIL_LIGHT, radius=0.015
    )
    bumper = METAL if not is_dark(look.color) else pale(look.color, 0.5)
    front = box((0, low + 0.05, length / 2 - 0.01), (width * 0.86, 0.07, 0.07), bumper, radius=0.03)
    x, z = width / 2 - 0.02, length * 0.31
    return [
        body, windows, top, *pair(pillar), *pair(lamp), *pair(rear), front,
        *wheels(x, z, wheel, 0.13), *wheels(x, -z, wheel, 0.13),
        *suitcase(look, (0, y + roof - 0.02, back), 0.34),
    ]  # fmt: skip


def suitcase(look: Look, place: tuple[float, float, float], size: float) -> list[Mesh]:
    """A suitcase tied onto a roof whose middle is `place`, if the vehicle has one."""
    if not look.has("suitcase"):
        return []
    x, y, z = place
    case = box(
        (x, y + size * 0.3, z), (size, size * 0.6, size * 1.1), look.extra_color, radius=0.05
    )
    straps = [
        box((x, y + size * 0.3, z + k * size), (size * 1.04, size * 0.64, 0.045),
            dark(WOOD, 0.5), radius=0.02)
        for k in (-0.3, 0.3)
    ]  # fmt: skip
    return [case, *straps]


def airplane(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A round fuselage, swept wings with two engines, a tailplane and a fin at the back."""
    radius = rng.uniform(0.145, 0.165) * look.stretch("chubby", 1.3)
    length = rng.uniform(1.15, 1.3) * look.stretch("long", 1.2)
    span = rng.uniform(0.58, 0.68) * look.stretch("wide", 1.2)
    accent = np.array((0.18, 0.40, 0.80)) if look.colour_word != "blue" else WHITE
    half = length / 2
    fuselage = tube(
        [(0, 0.05, -half + 0.02), (0, 0.02, -half * 0.6), (0, 0, -half * 0.2), (0, 0, half * 0.55),
         (0, -0.01, half * 0.82), (0, -0.025, half * 0.95)],
        [radius * 0.35, radius * 0.78, radius, radius, radius * 0.82, radius * 0.5], look.color,
        segments=18,
    )  # fmt: skip
    cockpit = ellipsoid(
        (0, radius * 0.5, half * 0.76), (radius * 0.66, radius * 0.5, 0.11), GLASS, rings=6,
        segments=12,
    )  # fmt: skip
    wing = tube(
        [(0.02, -0.03, 0.1), (span * 0.5, 0.0, -0.03), (span, 0.03, -0.18)],
        [(0.21, 0.05), (0.155, 0.043), (0.095, 0.036)], look.color, side=(0, 0, 1), segments=14,
    )  # fmt: skip
    plane = tube(
        [(0.01, 0.06, -half * 0.86), (span * 0.42, 0.08, -half * 0.86 - 0.09)],
        [(0.125, 0.038), (0.08, 0.034)], accent, side=(0, 0, 1), segments=12,
    )  # fmt: skip
    fin = tube(
        [(0, 0.06, -half * 0.8), (0, radius + 0.26, -half * 0.8 - 0.14)],
        [(0.042, 0.15), (0.036, 0.085)], accent, segments=12,
    )  # fmt: skip
    engine = lathe(
        [(0.05, -0.13), (0.078, -0.06), (0.085, 0.06), (0.08, 0.13)],
        np.stack([dark(METAL), METAL, METAL, dark(METAL, 0.5)]), segments=12,
    )  # fmt: skip
    engine = move(rotate(engine, "x", 90), (span * 0.45, -0.1, 0.06))
    return [fuselage, cockpit, *pair(wing), *pair(plane), fin, *pair(engine)]


def boat(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A hull with a pointed bow, a cabin and a funnel or a mast with a sail."""
    width = rng.uniform(0.46, 0.54)
    length = rng.uniform(1.15, 1.3) * look.stretch("long", 1.2) * look.stretch("small", 0.85)
    height = rng.uniform(0.26, 0.3)
    deck_color = look.minor(np.array((0.80, 0.62, 0.40)))
    stations = [  # place along z, share of the width, lift of the keel
        (-0.5, 0.74, 0.05), (-0.44, 0.86, 0.02), (-0.15, 1.0, 0.0), (0.15, 0.92, 0.0),
        (0.36, 0.56, 0.03), (0.48, 0.14, 0.10), (0.5, 0.05, 0.12),
    ]  # fmt: skip
    outline = np.array([(1, 1), (0.97, 0.6), (0.78, 0.2), (0.35, 0), (-0.35, 0), (-0.78, 0.2),
                        (-0.97, 0.6), (-1, 1), (-0.5, 0.93), (0.5, 0.93)])  # fmt: skip
    rings = []
    for z, share, keel in stations:
        top = height + 0.22 * max(z, 0) ** 2 * 1.6
        y = keel + (top - keel) * outline[:, 1]
        rings.append(np.stack([outline[:, 0] * share * width / 2, y, np.full(10, z * length)], -1))
    hull = skin(np.stack(rings), look.color)
    parts = [hull, _deck(width, length, height, deck_color)]
    wall = WHITE if look.colour_word != "white" else np.array((0.30, 0.52, 0.78))
    if look.trait == "sailing":
        mast = tube(
            [(0, height * 0.6, 0.08), (0, height + 0.85, 0.08)], 0.055, deck_color, segments=10
        )
        sail = slab(
            [(height + 0.08, -0.44 * length), (height + 0.08, 0.04), (height + 0.5, 0.04),
             (height + 0.84, 0.04)], -0.035, 0.035, wall,
        )  # fmt: skip
        jib = slab(
            [(height + 0.14, 0.14), (height + 0.14, 0.44 * length), (height + 0.66, 0.14)],
            -0.035, 0.035, wall,
        )  # fmt: skip
        return [*parts, mast, sail, jib]
    tall = rng.uniform(0.27, 0.31) * look.stretch("tall", 1.3)
    back = -length * 0.1
    cabin = box(
        (0, height + tall / 2 - 0.03, back), (width * 0.62, tall, length * 0.4), wall, radius=0.04
    )
    panes = box(
        (0, height + tall * 0.55, back + 0.012), (width * 0.65, tall * 0.32, length * 0.395), GLASS,
        radius=0.02,
    )  # fmt: skip
    funnel = lathe(
        [(0.075, 0), (0.075, 0.15), (0.078, 0.155), (0.075, 0.26)],
        np.stack([look.color, look.color, BLACK, BLACK]), segments=14,
    )  # fmt: skip
    return [*parts, cabin, panes, move(funnel, (0, height + tall - 0.05, back - length * 0.06))]


def _deck(width: float, length: float, height: float, color: np.ndarray) -> Mesh:
    """A thin rounded plate just above the hull's top, narrower at the bow."""
    stations = [
        (-0.47, 0.62),
        (-0.42, 0.72),
        (-0.15, 0.86),
        (0.15, 0.78),
        (0.34, 0.46),
        (0.42, 0.2),
    ]
    y = height * 0.9, height + 0.035
    rings = [
        np.array([(s * width / 2, y[0], z * length), (s * width / 2, y[1], z * length),
                  (-s * width / 2, y[1], z * length), (-s * width / 2, y[0], z * length)])
        for z, s in stations
    ]  # fmt: skip
    return skin(np.stack(rings), color)
