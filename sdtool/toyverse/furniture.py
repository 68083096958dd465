"""Furniture. What one sits, lies or looks at faces +Z; a table has two equal sides."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import LEAF
from sdtool.toyverse.primitives import box, ellipsoid, lathe, move, pair, rotate, skin, tube
from sdtool.toyverse.words import COLOURS, WHITE, Look, dark, is_dark, pale, vary


def _four_legs(x: float, z: float, top: float, radius: float, color: np.ndarray) -> list[Mesh]:
    leg = lathe([(radius * 0.85, 0), (radius, 0.05), (radius * 1.1, top)], color, segments=12)
    return [part for k in (z, -z) for part in pair(move(leg, (x, 0, k)))]


def chair(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A seat on four legs; the backrest stands at -Z."""
    width, depth = rng.uniform(0.52, 0.6, 2) * (look.stretch("wide", 1.25), 1)
    seat = rng.uniform(0.46, 0.52) * look.stretch("low", 0.7)
    back = rng.uniform(0.52, 0.62) * look.stretch("tall", 1.4)
    radius = rng.uniform(0.05, 0.06)
    legs = look.minor(dark(look.color) if not is_dark(look.color) else pale(look.color, 0.4))
    x, z = width / 2 - radius * 1.2, depth / 2 - radius * 1.2
    parts = [
        box((0, seat, 0), (width, 0.13, depth), look.color, radius=0.05),
        *_four_legs(x, z, seat, radius, legs),
    ]
    if rng.random() < 0.5:
        panel = (width, back, 0.12)
        parts.append(
            box((0, seat + back / 2 + 0.03, -depth / 2 + 0.06), panel, look.color, radius=0.05)
        )
    else:
        post = tube([(x, seat, -z), (x, seat + back - 0.06, -z - 0.02)], radius * 1.05, look.color)
        rail = (width, 0.2, 0.11)
        parts += [
            *pair(post),
            box((0, seat + back - 0.07, -z - 0.02), rail, look.color, radius=0.05),
            box((0, seat + back * 0.44, -z - 0.01), (width, 0.13, 0.1), look.color, radius=0.04),
        ]
    if look.has("armrests"):
        arm_x, arm_y = width / 2 - 0.01, seat + 0.28
        tone = look.minor(look.accent(0.85))
        arm = box((arm_x, arm_y, 0), (0.1, 0.07, depth * 0.98), tone, radius=0.03)
        prop = tube([(arm_x, seat, depth * 0.34), (arm_x, arm_y, depth * 0.34)], 0.05, tone)
        parts += [*pair(arm), *pair(prop)]
    if look.has("cushion"):
        parts.append(_cushion((0, seat + 0.1, 0.05), (width * 0.84, 0.13, depth * 0.76), look))
    return parts


def _cushion(center, size, look: Look) -> Mesh:
    return box(center, size, look.extra_color, radius=0.065)


def table(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A thick top on four legs."""
    width = rng.uniform(1.0, 1.15) * look.stretch("long", 1.4)
    depth = rng.uniform(0.58, 0.68)
    height = rng.uniform(0.52, 0.6) * look.stretch("low", 0.65) * look.stretch("tall", 1.35)
    radius = rng.uniform(0.065, 0.08)
    legs = look.minor(dark(look.color, 0.7) if not is_dark(look.color) else pale(look.color, 0.4))
    if look.trait == "round":
        top = move(
            lathe(
                [(0.5, -0.06), (0.54, -0.03), (0.54, 0.03), (0.5, 0.06)], look.color, segments=28
            ),
            (0, height, 0),
        )
        return [top, *_four_legs(0.3, 0.3, height, radius, legs), *_vase(look, height)]
    top = box((0, height, 0), (width, 0.13, depth), look.color, radius=0.05)
    four = _four_legs(width / 2 - 0.11, depth / 2 - 0.11, height, radius, legs)
    return [top, *four, *_vase(look, height)]


def _vase(look: Look, height: float) -> list[Mesh]:
    """A vase with three flowers on a table, if it has one."""
    if not look.has("vase"):
        return []
    profile = [(0.08, 0.04), (0.13, 0.14), (0.12, 0.22), (0.06, 0.32), (0.085, 0.37)]
    parts = [lathe([(r, h + height) for r, h in profile], look.extra_color, segments=16)]
    for x, z, tone in ((0.0, 0.1, "yellow"), (0.1, -0.06, "pink"), (-0.1, -0.06, "white")):
        tip = (x, height + 0.56, z)
        parts.append(tube([(0, height + 0.33, 0), tip], 0.018, LEAF, segments=6))
        parts.append(ellipsoid(tip, (0.075, 0.06, 0.075), np.array(COLOURS[tone]), rings=5))
    return parts


def sofa(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A wide soft seat with a back and two round arms on short feet."""
    width = rng.uniform(1.05, 1.2) * look.stretch("long", 1.25)
    depth, seat = rng.uniform(0.52, 0.58), rng.uniform(0.3, 0.34)
    back = rng.uniform(0.38, 0.44) * look.stretch("tall", 1.35) * look.stretch("low", 0.75)
    tone = dark(look.color, 0.86) if not is_dark(look.color) else pale(look.color, 0.12)
    foot = lathe([(0.04, 0), (0.055, 0.14)], look.minor(dark(WHITE, 0.25)), segments=10)
    arm = box(
        (width / 2 - 0.06, seat * 0.5 + 0.16, 0), (0.2, seat + 0.12, depth), tone, radius=0.09
    )
    parts = [
        box((0, seat - 0.1, 0), (width - 0.1, 0.24, depth), tone, radius=0.05),
        box((0, seat + back * 0.5 - 0.1, -depth / 2 + 0.06), (width - 0.06, back + 0.24, 0.2), tone,
            radius=0.09),
        *pair(arm),
    ]  # fmt: skip
    half = (width - 0.3) / 2
    pad = box((half / 2, seat + 0.04, 0.05), (half, 0.15, depth - 0.12), look.color, radius=0.06)
    rest = box(
        (half / 2, seat + back * 0.5 + 0.04, -depth / 2 + 0.19), (half, back * 0.9, 0.14), look.color,
        radius=0.065,
    )  # fmt: skip
    parts += [*pair(pad), *pair(rest)]
    for z in (depth / 2 - 0.08, -depth / 2 + 0.08):
        parts += pair(move(foot, (width / 2 - 0.1, 0, z)))
    if look.has("cushions"):
        pillow = rotate(
            box((0, 0, 0), (0.25, 0.25, 0.13), look.extra_color, radius=0.062), "x", -20
        )
        parts += pair(move(pillow, (width / 2 - 0.3, seat + 0.22, -depth / 2 + 0.3)))
    return parts


def bed(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A mattress under a coloured cover, pillows and a high headboard at −Z, low feet at +Z."""
    width = rng.uniform(0.72, 0.82) * look.stretch("wide", 1.25)
    length = rng.uniform(1.1, 1.2) * look.stretch("long", 1.15)
    low, board = rng.uniform(0.2, 0.24), rng.uniform(0.58, 0.66) * look.stretch("tall", 1.3)
    wood = look.minor(look.accent(0.86))
    back, front = -length / 2, length / 2
    sheet = WHITE if look.colour_word != "white" else np.array((0.70, 0.78, 0.88))
    pillow = box(
        (width * 0.23, low + 0.3, back + 0.2), (width * 0.4, 0.13, 0.24), sheet, radius=0.06
    )
    parts = [
        box((0, low, 0), (width, 0.14, length), wood, radius=0.03),
        box((0, low + 0.15, 0.02), (width * 0.94, 0.2, length * 0.95), sheet, radius=0.07),
        box((0, low + 0.15, length * 0.13), (width * 1.03, 0.27, length * 0.74), look.color,
            radius=0.08),
        box((0, board / 2, back), (width * 1.05, board, 0.09), wood, radius=0.035),
        box((0, (low + 0.22) / 2, front), (width * 1.05, low + 0.22, 0.08), wood, radius=0.03),
        *pair(pillow),
    ]  # fmt: skip
    if look.has("canopy"):
        top, x = 1.05, width / 2
        for z in (back, front):
            parts += pair(tube([(x, 0.03, z), (x, top, z)], 0.035, wood, segments=8))
        roof = box((0, top, 0), (width * 1.15, 0.09, length * 1.08), look.extra_color, radius=0.04)
        parts.append(roof)
    return parts


def bookshelf(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A case of boards, closed behind and open in front, empty or full of books."""
    width = rng.uniform(0.56, 0.66) * look.stretch("wide", 1.35) * look.stretch("narrow", 0.72)
    high = rng.uniform(0.96, 1.08) * look.stretch("tall", 1.3) * look.stretch("low", 0.62)
    depth, thick = 0.28, 0.065
    rows = max(2, round(high / 0.33))
    inside = dark(look.color, 0.62) if not is_dark(look.color) else pale(look.color, 0.2)
    side = box((width / 2, high / 2, 0), (thick, high, depth), look.color, radius=0.015)
    back = box((0, high / 2, -depth / 2 + 0.02), (width, high - 0.02, 0.04), inside, radius=0.01)
    parts = [*pair(side), back]
    levels = np.linspace(0.06, high - thick / 2, rows + 1)
    for y in levels:
        parts.append(box((0, y, 0), (width, thick, depth * 0.98), look.color, radius=0.015))
    if look.has("books"):
        tones = [c for word, c in COLOURS.items() if word not in ("black", look.colour_word)]
        for y, above in zip(levels, levels[1:], strict=False):
            room = above - y - thick
            x = -width / 2 + thick
            while x < width / 2 - thick - 0.04:
                wide = min(rng.uniform(0.07, 0.11), width / 2 - thick / 2 - x)
                tall = room * rng.uniform(0.72, 0.95)
                tone = vary(rng, np.array(tones[rng.integers(len(tones))]))
                spot = (x + wide / 2, y + thick / 2 + tall / 2 - 0.01, 0.02)
                parts.append(_book(spot, (wide, tall, depth * 0.76), tone))
                x += wide + 0.004
    return parts


def _book(center, size, color: np.ndarray) -> Mesh:
    """A plain brick: a shelf holds dozens."""
    x, y, z = np.asarray(size) / 2
    flat = [(-x, -z), (x, -z), (x, z), (-x, z)]
    rings = [[(a, h, b) for a, b in flat] for h in (-y, y)]
    return skin(np.array(rings) + np.asarray(center), color)
