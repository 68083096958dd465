"""Trucks, buses, trains, helicopters and rockets. Fronts point to +Z; each mirrors itself in x."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.primitives import (
    box,
    ellipsoid,
    lathe,
    move,
    paint,
    pair,
    ring,
    rotate,
    slab,
    tube,
)
from sdtool.toyverse.vehicles import LIGHT, TAIL_LIGHT, suitcase, wheels
from sdtool.toyverse.words import BLACK, GLASS, METAL, WHITE, Look, dark, is_dark, pale


def truck(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A high cab in front, an open bed with boards behind it, six wheels."""
    width, wheel = rng.uniform(0.48, 0.54), rng.uniform(0.14, 0.155)
    length = rng.uniform(1.2, 1.3) * look.stretch("long", 1.25) * look.stretch("small", 0.85)
    cab = rng.uniform(0.5, 0.56) * look.stretch("tall", 1.25)
    low, front = wheel * 1.1, length / 2
    bed = look.accent(0.86)
    nose = length * 0.3
    back = -(length - nose) / 2 + front - nose  # the middle of the bed along z
    board, rail = 0.2, 0.06
    lamp = ellipsoid((width * 0.33, low + 0.12, front), (0.06, 0.06, 0.035), LIGHT, rings=5)
    side = box((width / 2, low + 0.18 + board / 2, back), (rail, board, length - nose - 0.04), bed,
               radius=0.015)  # fmt: skip
    parts = [
        box((0, low + 0.06, 0), (width * 0.8, 0.12, length * 0.96), dark(METAL, 0.5), radius=0.03),
        box((0, low + cab / 2, front - nose / 2), (width, cab, nose), look.color, radius=0.07,
            taper=(0.92, 0.86)),
        box((0, low + cab * 0.68, front - nose / 2 + 0.03), (width * 1.0, cab * 0.3, nose * 0.9),
            GLASS, radius=0.05, taper=(0.94, 0.94)),
        box((0, low + 0.06, front), (width * 0.9, 0.1, 0.06), METAL, radius=0.03),
        box((0, low + 0.15, back), (width, 0.08, length - nose - 0.02), bed, radius=0.02),
        box((0, low + 0.18 + board / 2, -front + 0.03), (width, board, rail), bed, radius=0.015),
        box((0, low + 0.18 + board / 2, front - nose - 0.05), (width, board, rail), bed, radius=0.015),
        *pair(side), *pair(lamp),
        *pair(box((width * 0.36, low + 0.2, -front), (0.1, 0.06, 0.04), TAIL_LIGHT, radius=0.01)),
    ]  # fmt: skip
    for z in (front - nose * 0.5, -front + 0.2, -front + 0.52):
        parts += wheels(width / 2 - 0.03, z, wheel, 0.13)
    if look.has("logs"):
        long = length - nose - 0.2
        for x, y in ((-0.13, 0.3), (0.0, 0.3), (0.13, 0.3), (-0.065, 0.41), (0.065, 0.41)):
            log = tube(
                [(x, low + y, back - long / 2), (x, low + y, back + long / 2)],
                0.07,
                look.extra_color,
            )
            cut = np.abs(log.v_pos[:, 2] - back) > long / 2 + 0.045
            parts.append(paint(log, cut, np.array((0.90, 0.75, 0.52))))
    return parts


def bus(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A long rounded box with a row of windows, a large windscreen, a destination board."""
    width, wheel = rng.uniform(0.44, 0.48), rng.uniform(0.115, 0.13)
    length = rng.uniform(1.2, 1.3) * look.stretch("long", 1.25) * look.stretch("small", 0.8)
    high = rng.uniform(0.44, 0.5) * look.stretch("tall", 1.4)
    low, front = wheel * 0.8, length / 2
    stripe = WHITE if look.colour_word not in ("white", "yellow") else np.array((0.80, 0.25, 0.18))
    lamp = ellipsoid((width * 0.34, low + 0.1, front), (0.05, 0.045, 0.03), LIGHT, rings=5)
    parts = [
        box((0, low + high / 2, 0), (width, high, length), look.color, radius=0.07),
        box((0, low + high * 0.3, 0), (width * 1.02, 0.05, length * 0.97), stripe, radius=0.02),
        box((0, low + high * 0.63, front - 0.01), (width * 0.86, high * 0.4, 0.05), GLASS, radius=0.02),
        box((0, low + high * 0.93, front - 0.01), (width * 0.5, high * 0.12, 0.06), BLACK, radius=0.02),
        box((0, low + high * 0.64, -front + 0.01), (width * 0.6, high * 0.26, 0.05), GLASS,
            radius=0.02),
        box((0, low + 0.03, front), (width * 0.92, 0.07, 0.05), METAL, radius=0.02),
        *pair(lamp),
        *pair(box((width * 0.38, low + 0.12, -front), (0.08, 0.08, 0.03), TAIL_LIGHT, radius=0.01)),
    ]  # fmt: skip
    count = max(3, round(length / 0.26))
    for z in np.linspace(-front + 0.18, front - 0.2, count):
        pane = (0.04, high * 0.34, (length - 0.3) / count * 0.72)
        parts += pair(box((width / 2, low + high * 0.64, z), pane, GLASS, radius=0.015))
    for z in (length * 0.3, -length * 0.28):
        parts += wheels(width / 2 - 0.04, z, wheel, 0.11)
    return [*parts, *suitcase(look, (0, low + high - 0.02, -length * 0.1), 0.3)]


def train(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A steam engine: a round boiler with a funnel, a cab behind, a cowcatcher in front."""
    radius = rng.uniform(0.17, 0.19) * look.stretch("chubby", 1.18)
    length = rng.uniform(0.95, 1.05) * look.stretch("long", 1.25)
    wheel, width = rng.uniform(0.125, 0.14), 0.42
    frame, front = wheel * 1.35, length / 2
    y = frame + radius * 0.95
    black = BLACK if not is_dark(look.color) else pale(look.color, 0.35)
    brass = np.array((0.88, 0.68, 0.25)) if look.colour_word not in ("yellow", "orange") else METAL
    cab = rng.uniform(0.48, 0.54) * look.stretch("tall", 1.2)
    boiler = tube([(0, y, -0.12), (0, y, front - 0.08)], radius, look.color, round_ends=False,
                  segments=20)  # fmt: skip
    face = lathe(
        [(radius * 0.9, 0), (radius * 0.92, 0.04), (radius * 0.5, 0.07)], black, segments=18
    )
    funnel = lathe([(0.06, 0), (0.065, 0.14), (0.11, 0.24), (0.11, 0.28)], black, segments=14)
    dome = ellipsoid((0, y + radius, 0.06), (0.09, 0.1, 0.09), brass, rings=6)
    slope = [(0.03, 0.0), (0.03, 0.2), (frame, 0.02), (frame, 0.0)]
    catcher = move(slab(slope, -width * 0.4, width * 0.4, brass), (0, 0, front - 0.02))
    lamp = ellipsoid((0, y + radius + 0.03, front - 0.1), (0.06, 0.06, 0.07), LIGHT, rings=6)
    back = -front + 0.17
    parts = [
        box((0, frame, 0), (width * 0.86, 0.1, length), black, radius=0.03),
        boiler, move(rotate(face, "x", 90), (0, y, front - 0.09)),
        move(funnel, (0, y + radius - 0.04, front - 0.24)), dome, lamp, catcher,
        box((0, frame + cab / 2, back), (width, cab, 0.34), look.color, radius=0.03),
        box((0, frame + cab, back), (width * 1.14, 0.06, 0.44), black, radius=0.025),
        box((0, frame + cab * 0.72, back), (width * 1.03, cab * 0.28, 0.2), GLASS, radius=0.02),
    ]  # fmt: skip
    for z in (front - 0.2, 0.02, -front + 0.2):
        parts += wheels(width / 2 - 0.02, z, wheel, 0.09)
    if look.has("wagon"):
        z = -front - 0.42
        wagon = box((0, frame + 0.2, z), (width, 0.3, 0.6), look.extra_color, radius=0.03)
        coal = ellipsoid((0, frame + 0.33, z), (width * 0.42, 0.12, 0.26), BLACK)
        parts += [wagon, coal, box((0, frame, z + 0.3), (0.1, 0.06, 0.5), black, radius=0.02)]
        for k in (0.18, -0.18):
            parts += wheels(width / 2 - 0.02, z + k, wheel, 0.09)
    return parts


def helicopter(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A round cabin with a glass nose, a thin tail with a small rotor, a big rotor, two skids."""
    radius = rng.uniform(0.21, 0.235) * look.stretch("chubby", 1.2)
    reach = rng.uniform(0.78, 0.88) * look.stretch("long", 1.2)
    span = rng.uniform(0.56, 0.64) * look.stretch("wide", 1.25)
    y = 0.17 + radius
    tone = look.accent(0.86)
    blade_color = dark(METAL, 0.55)
    body = ellipsoid((0, y, 0), (radius, radius, radius * 1.45), look.color, rings=12, segments=20)
    nose = ellipsoid(
        (0, y + 0.03, radius * 0.5), (radius * 0.86, radius * 0.78, radius * 1.02), GLASS
    )
    tail = tube(
        [(0, y + 0.05, -radius), (0, y + 0.1, -reach)],
        [radius * 0.42, 0.045],
        look.color,
        segments=14,
    )
    fin = tube([(0, y + 0.06, -reach + 0.06), (0, y + 0.34, -reach - 0.06)],
               [(0.035, 0.11), (0.03, 0.07)], tone, segments=10)  # fmt: skip
    small = box((0.05, y + 0.2, -reach), (0.03, 0.3, 0.06), blade_color, radius=0.012)
    top = y + radius
    mast = lathe([(0.1, top - 0.06), (0.06, top + 0.02), (0.04, top + 0.13)], tone, segments=12)
    turn = rng.uniform(25, 65)
    blade = box((0, top + 0.11, span / 2), (0.13, 0.036, span), blade_color, radius=0.016)
    blades = [rotate(blade, "y", turn + 90 * k) for k in range(4)]
    x = radius * 0.82
    if look.has("floats"):
        skid = tube([(x, 0.09, -0.28), (x, 0.09, 0.34)], 0.09, look.extra_color, segments=14)
    else:
        skid = tube([(x, 0.035, -0.3), (x, 0.035, 0.3), (x, 0.09, 0.4)], 0.034, tone, segments=8)
    legs = []
    for z in (0.14, -0.16):
        legs += pair(
            tube([(x, 0.06, z), (radius * 0.5, y - radius * 0.6, z)], 0.03, tone, segments=8)
        )
    return [body, nose, tail, fin, small, mast, *blades, *pair(skid), *legs]


def rocket(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A standing rocket with a pointed nose, a round window in front, fins and a nozzle."""
    radius = rng.uniform(0.17, 0.19) * look.stretch("chubby", 1.22)
    high = rng.uniform(0.72, 0.8) * look.stretch("tall", 1.25)
    tip = (
        np.array((0.84, 0.16, 0.15)) if look.colour_word not in ("red", "pink", "orange") else WHITE
    )
    low = 0.14
    profile = [(0.72, 0), (0.95, 0.16), (1.0, 0.4), (0.86, 0.82), (0.85, 0.83), (0.68, 0.98),
               (0.42, 1.12), (0, 1.25)]  # fmt: skip
    body = lathe(
        [(r * radius, low + h * high) for r, h in profile], np.stack([look.color] * 4 + [tip] * 4)
    )
    flame = lathe(
        [(radius * 0.62, 0.03), (radius * 0.42, low + 0.05)], dark(METAL, 0.5), segments=14
    )
    outline = [(low + 0.3, 0.0), (low + 0.1, radius + 0.17), (0.0, radius + 0.2), (low, 0.0)]
    fin = slab(outline, -0.03, 0.03, tip)
    fins = [rotate(fin, "y", 45 + 90 * k) for k in range(4)]
    y = low + high * 0.46
    rim = rotate(ring((0, 0, 0), (0.085, 0.085), (0.03, 0.03), METAL, segments=8), "x", 90)
    pane = ellipsoid((0, y, radius * 0.93), (0.085, 0.085, 0.045), GLASS, rings=6)
    door = box(
        (0, low + high * 0.16, radius * 0.9), (0.13, 0.17, 0.06), look.accent(0.6), radius=0.02
    )
    parts = [body, flame, *fins, move(rim, (0, y, radius * 0.96)), pane, door]
    if look.has("boosters"):
        profile = [(0.07, 0), (0.08, 0.06), (0.08, 0.36), (0.05, 0.46), (0, 0.54)]
        booster = lathe(profile, look.extra_color, segments=14)
        parts += pair(move(booster, (radius + 0.07, 0.05, 0)))
    return parts
