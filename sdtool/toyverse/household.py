"""Things of the house: a mug's handle is at +X, a teapot's spout at +Z, a lamp is round."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.primitives import ellipsoid, lathe, tube
from sdtool.toyverse.words import BLACK, Look, dark, is_dark, pale


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
    parts = [cup, handle]
    if look.has("spoon"):
        stick = [(-rim * 0.2, 0.14, 0), (-rim * 0.72, height, 0), (-rim * 1.15, height * 1.42, 0)]
        parts.append(tube(stick, [0.03, 0.03, 0.04], look.extra_color, side=(0, 0, 1), segments=8))
    return parts


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
