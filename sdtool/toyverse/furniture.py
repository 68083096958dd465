"""Furniture and things of the house. Chairs face +Z; a mug's handle is at +X, a spout at +Z."""

import numpy as np

from sdtool.meshes import Mesh
from sdtool.toyverse.primitives import box, ellipsoid, lathe, move, pair, tube
from sdtool.toyverse.words import BLACK, Look, dark, is_dark, pale


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
    return parts


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
        return [top, *_four_legs(0.3, 0.3, height, radius, legs)]
    top = box((0, height, 0), (width, 0.13, depth), look.color, radius=0.05)
    return [top, *_four_legs(width / 2 - 0.11, depth / 2 - 0.11, height, radius, legs)]


def mug(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A hollow cup with its handle at +X."""
    radius = rng.uniform(0.29, 0.33) * look.stretch("wide", 1.25)
    height = rng.uniform(0.76, 0.86) * look.stretch("tall", 1.3)
    wall, rim = 0.07, radius * rng.uniform(0.95, 1.05)
    inside = pale(look.color, 0.55)
    profile = [
        (radius * 0.86, 0.0), (radius * 0.97, 0.05), (radius, 0.15), (rim, height - 0.04),
        (rim - 0.02, height), (rim - wall + 0.015, height - 0.01), (rim - wall, height - 0.06),
        (radius - wall, 0.17), (radius * 0.7, 0.1),
    ]  # fmt: skip
    cup = lathe(profile, np.stack([look.color] * 5 + [inside] * 4), segments=28)
    bend = np.radians(np.linspace(105, -105, 11))
    reach, rise = rng.uniform(0.19, 0.23), height * rng.uniform(0.25, 0.29)
    middle = height * 0.52
    path = [(radius * 0.97 + 0.03 + reach * np.cos(a), middle + rise * np.sin(a), 0) for a in bend]
    tone = dark(look.color, 0.78) if not is_dark(look.color) else pale(look.color, 0.25)
    handle = tube(path, 0.06, tone, side=(0, 0, 1), segments=12)
    return [cup, handle]


def teapot(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A round pot with a lid, its spout at +Z and its handle at -Z."""
    radius = rng.uniform(0.36, 0.4) * look.stretch("wide", 1.15)
    height = rng.uniform(0.62, 0.7) * look.stretch("tall", 1.3)
    accent = dark(look.color, 0.7) if not is_dark(look.color) else pale(look.color, 0.4)
    profile = [(0.55, 0), (0.8, 0.08), (1, 0.35), (0.98, 0.55), (0.8, 0.82), (0.55, 0.97), (0.5, 1)]
    pot = lathe([(r * radius, h * height) for r, h in profile], look.color, segments=24)
    lid = ellipsoid((0, height, 0), (radius * 0.56, 0.1, radius * 0.56), accent, rings=6)
    knob = ellipsoid((0, height + 0.14, 0), (0.075, 0.075, 0.075), accent, rings=6, segments=12)
    spout = tube(
        [(0, height * 0.34, radius * 0.75), (0, height * 0.5, radius + 0.16),
         (0, height * 0.86, radius + 0.27)],
        [0.12, 0.085, 0.06], look.color,
    )  # fmt: skip
    bend = np.radians(np.linspace(100, 260, 10))
    path = [
        (0, height * 0.55 + height * 0.3 * np.sin(a), -radius * 0.78 + 0.28 * np.cos(a))
        for a in bend
    ]
    return [pot, lid, knob, spout, tube(path, 0.055, accent, segments=10)]


def lamp(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A table lamp: a round foot, a thick stem, a wide shade."""
    base = rng.uniform(0.24, 0.28)
    shade = rng.uniform(0.36, 0.42) * look.stretch("wide", 1.2)
    stem = rng.uniform(0.42, 0.5) * look.stretch("tall", 1.5)
    high = rng.uniform(0.40, 0.46)
    metal = look.minor(BLACK * 2.2 if not is_dark(look.color) else pale(look.color, 0.5))
    foot = lathe([(base, 0), (base, 0.05), (base * 0.8, 0.1), (0.06, 0.14)], metal, segments=20)
    pole = lathe([(0.055, 0.08), (0.055, stem + 0.2)], metal, segments=12)
    profile = [
        (shade, stem), (shade * 0.58, stem + high), (shade * 0.5, stem + high),
        (shade * 0.42, stem + high - 0.04), (shade * 0.86, stem + 0.03), (shade * 0.9, stem),
    ]  # fmt: skip
    light = np.array((1.0, 0.93, 0.7))
    cover = lathe(
        [(shade * 0.8, stem + 0.04), *profile[:3]],
        np.stack([light, *[look.color] * 3]),
        segments=24,
    )
    return [foot, pole, cover]
