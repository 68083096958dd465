"""Food. Round things look alike from all sides."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.primitives import ellipsoid, lathe, move, paint, ring, tube
from sdtool.toyverse.words import COLOURS, WHITE, WOOD, Look, dark, pale

CREAM = np.array((0.98, 0.93, 0.80))
DOUGH = np.array((0.84, 0.60, 0.30))


def apple(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A round fruit, hollow at the stem, a little narrower below; with a leaf if it has one."""
    wide = rng.uniform(0.46, 0.5) * look.stretch("wide", 1.15)
    high = rng.uniform(0.8, 0.88) * look.stretch("tall", 1.25)
    profile = [
        (0.2, 0.04), (0.42, 0.0), (0.68, 0.1), (0.92, 0.38), (1.0, 0.62), (0.93, 0.84), (0.68, 0.98),
        (0.36, 0.99), (0.14, 0.88), (0, 0.84),
    ]  # fmt: skip
    blush = pale(look.color, 0.14)
    colors = np.stack([dark(look.color, 0.85)] * 2 + [look.color] * 4 + [blush] * 4)
    body = lathe([(r * wide, h * high) for r, h in profile], colors, segments=24)
    stem = tube(
        [(0, high * 0.8, 0), (0.02, high * 1.05, 0), (0.07, high * 1.2, 0)], 0.035, dark(WOOD, 0.6),
        side=(0, 0, 1), segments=8,
    )  # fmt: skip
    parts = [body, stem]
    if look.has("leaf"):
        leaf = tube(
            [(0.01, high * 1.02, 0), (0.16, high * 1.16, 0.06), (0.34, high * 1.14, 0.1)],
            [(0.03, 0.02), (0.11, 0.025), (0.02, 0.015)], look.extra_color, side=(0, 0, 1),
        )  # fmt: skip
        parts.append(leaf)
    return parts


def cake(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A round cake of two tiers on a plate, coloured icing that drips, cream dots."""
    wide = rng.uniform(0.44, 0.48) * look.stretch("wide", 1.15)
    low, top = rng.uniform(0.27, 0.31), rng.uniform(0.23, 0.27)
    low, top = low * look.stretch("tall", 1.3), top * look.stretch("tall", 1.3)
    cream = CREAM if look.colour_word not in ("white", "yellow") else np.array((0.86, 0.45, 0.50))
    plate = lathe([(wide * 0.7, 0), (wide * 1.22, 0.03), (wide * 1.22, 0.06)], WHITE * 0.9)
    parts = [plate]
    upper = wide * rng.uniform(0.58, 0.64)
    for radius, base, high in ((wide, 0.05, low), (upper, 0.04 + low, top)):
        tier = lathe(
            [(radius * 0.97, base), (radius, base + 0.03), (radius, base + high - 0.04),
             (radius * 0.95, base + high), (radius * 0.5, base + high)], look.color, segments=28,
        )  # fmt: skip
        parts.append(tier)
        parts.append(ring((0, base + 0.03, 0), (radius, radius), (0.045, 0.05), cream))
        count = 8 if radius == upper else 12
        for k in range(count):
            angle = 2 * np.pi * k / count
            spot = (radius * 0.9 * np.cos(angle), base + high, radius * 0.9 * np.sin(angle))
            size = (0.055, 0.05, 0.055)
            parts.append(ellipsoid(spot, size, cream, rings=4, segments=8))
    crest = 0.04 + low + top
    if look.has("candles"):
        for k in range(5):
            angle = 2 * np.pi * k / 5 + 0.3
            x, z = upper * 0.5 * np.cos(angle), upper * 0.5 * np.sin(angle)
            stick = np.array(COLOURS[("red", "blue", "green", "pink", "purple")[k]])
            parts.append(tube([(x, crest, z), (x, crest + 0.2, z)], 0.026, stick, segments=8))
            flame = lathe([(0.0, 0), (0.04, 0.05), (0.0, 0.13)], look.extra_color, segments=8)
            parts.append(move(flame, (x, crest + 0.21, z)))
    if look.has("cherry"):
        parts += cherry(crest, look)
    return parts


def cherry(y: float, look: Look) -> list[Mesh]:
    """A cherry with its stalk, lying at height y."""
    stalk = tube([(0, y + 0.14, 0), (0.03, y + 0.28, 0)], 0.016, dark(WOOD, 0.7), side=(0, 0, 1))
    return [ellipsoid((0, y + 0.08, 0), (0.1, 0.1, 0.1), look.extra_color), stalk]


def burger(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A bun with seeds, lettuce, tomato, cheese and meat between its halves."""
    wide = rng.uniform(0.5, 0.55) * look.stretch("wide", 1.15)
    tall = look.stretch("tall", 1.35)
    bun, dome = rng.uniform(0.16, 0.19), rng.uniform(0.32, 0.38)
    y = bun
    parts = [
        lathe([(wide * 0.86, 0), (wide, 0.06), (wide, y - 0.03), (wide * 0.9, y)], look.color,
              segments=24)
    ]  # fmt: skip
    layers = [
        (0.12 * tall, 1.03, np.array((0.36, 0.20, 0.12))), (0.05, 0.98, np.array((0.98, 0.76, 0.20))),
        (0.07 * tall, 0.96, np.array((0.82, 0.20, 0.15))),
    ]  # fmt: skip
    for high, share, color in layers:
        r = wide * share
        profile = [
            (r * 0.9, y - 0.02),
            (r, y + 0.01),
            (r, y + high - 0.01),
            (r * 0.9, y + high + 0.01),
        ]
        parts.append(lathe(profile, color, segments=24))
        y += high
    leaf = lathe([(wide * 0.8, 0), (wide * 1.12, 0.02), (wide * 0.8, 0.06)], np.array((0.40, 0.70, 0.24)),
                 segments=40)  # fmt: skip
    wave = 0.03 * np.sin(9 * np.arctan2(leaf.v_pos[:, 2], leaf.v_pos[:, 0]))
    leaf = leaf.with_positions(leaf.v_pos + np.stack([0 * wave, wave, 0 * wave], -1))
    parts.append(move(leaf, (0, y, 0)))
    y += 0.04
    curve = [(0.96, 0), (1.0, 0.14), (0.97, 0.36), (0.82, 0.68), (0.5, 0.93), (0, 1.0)]
    parts.append(lathe([(r * wide, y + h * dome) for r, h in curve], look.color, segments=24))
    seed = CREAM if look.colour_word != "white" else np.array((0.80, 0.62, 0.38))
    for k in range(14):
        angle, row = k * 2.4, 0.25 + 0.55 * (k / 13)
        h = dome * np.sqrt(1 - row**2) * 1.0
        spot = (row * wide * np.cos(angle), y + h, row * wide * np.sin(angle))
        parts.append(ellipsoid(spot, (0.042, 0.03, 0.042), seed, rings=4, segments=8))
    if look.has("cherry"):
        parts += cherry(y + dome - 0.05, look)
    return parts


def cupcake(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A pleated paper cup under a swirl of coloured icing with sprinkles."""
    wide = rng.uniform(0.3, 0.33) * look.stretch("wide", 1.2)
    cup = rng.uniform(0.34, 0.38) * look.stretch("tall", 1.25)
    paper = (
        WHITE * 0.96 if look.colour_word not in ("white", "grey") else np.array((0.75, 0.40, 0.48))
    )
    wrap = lathe(
        [(wide * 0.74, 0), (wide * 0.76, 0.02), (wide, cup), (wide * 0.8, cup)], paper, segments=32
    )
    angle = np.arctan2(wrap.v_pos[:, 2], wrap.v_pos[:, 0])
    wrap = paint(wrap, np.sin(angle * 8) > 0, dark(paper, 0.8))
    parts = [wrap, lathe([(wide * 0.95, cup - 0.03), (wide, cup + 0.05)], DOUGH, segments=20)]
    y, radius = cup + 0.09, wide * 1.08
    for k in range(4):
        tone = pale(look.color, 0.06 * k)
        parts.append(ellipsoid((0, y, 0), (radius, 0.115, radius), tone, rings=7, segments=20))
        y, radius = y + 0.105, radius * (0.76 - 0.04 * k)
    tip = lathe([(radius * 1.5, y - 0.08), (0.05, y + 0.03), (0, y + 0.12)], pale(look.color, 0.2))
    tones = [
        np.array(COLOURS[w]) for w in ("red", "yellow", "blue", "green") if w != look.colour_word
    ]
    for k in range(12):
        turn, level = k * 2.4, k % 3
        r = wide * (1.0, 0.78, 0.5)[level]
        spot = (r * np.cos(turn), cup + 0.15 + 0.105 * level, r * np.sin(turn))
        parts.append(
            ellipsoid(spot, (0.034, 0.034, 0.034), tones[k % len(tones)], rings=4, segments=8)
        )
    if look.has("cherry"):
        return [*parts, *cherry(y - 0.06, look)]
    return [*parts, tip]
