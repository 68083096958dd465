"""Tools. They stand upright; heads and blades reach toward +Z, flat ones show their face there."""

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
from sdtool.toyverse.words import GOLD, METAL, WOOD, Look, dark, pale


def hammer(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A handle in the tool's colour; a steel head with a round face at +Z and a claw at −Z."""
    high = rng.uniform(0.82, 0.92) * look.stretch("long", 1.25)
    thick = rng.uniform(0.088, 0.098) * look.stretch("chubby", 1.3)
    steel = METAL * 0.82 if look.material != "golden" else GOLD
    grip = [(0.9, 0), (1.2, 0.03), (1.25, 0.2), (0.95, 0.36), (0.85, 0.6), (0.9, 1.02)]
    colors = np.stack([look.color] * 4 + [look.minor(look.color)] * 2)
    handle = lathe([(r * thick, h * high) for r, h in grip], colors, segments=14)
    size = rng.uniform(0.11, 0.125)
    neck = tube([(0, high, -0.06), (0, high, 0.2)], size * 0.72, steel, round_ends=False)
    face = lathe(
        [(size * 0.9, 0), (size * 1.05, 0.03), (size * 1.05, 0.12), (size * 0.9, 0.14)], steel
    )
    face = move(rotate(face, "x", 90), (0, high, 0.18))
    claw = tube(
        [(0.03, high, -0.02), (0.045, high + 0.01, -0.18), (0.07, high - 0.1, -0.34)],
        [(0.045, 0.085), (0.04, 0.065), (0.028, 0.03)], steel, segments=10,
    )  # fmt: skip
    return [
        handle,
        box((0, high, 0), (0.17, 0.2, 0.2), steel, radius=0.05),
        neck,
        face,
        *pair(claw),
    ]


def axe(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A long handle, a broad steel blade that widens toward its edge at +Z."""
    high = rng.uniform(0.9, 1.0) * look.stretch("long", 1.2)
    reach = rng.uniform(0.34, 0.4) * look.stretch("wide", 1.25)
    steel = METAL * 0.85 if look.material != "golden" else GOLD
    handle = tube(
        [(0, 0.03, -0.03), (0, high * 0.3, 0.02), (0, high * 0.7, 0.0), (0, high, 0.0)],
        [(0.062, 0.09), (0.052, 0.07), (0.052, 0.065), (0.06, 0.075)], look.color,
    )  # fmt: skip
    y = high - 0.12
    outline = [
        (y + 0.09, -0.09),
        (y + 0.1, 0.1),
        (y + 0.25, reach),
        (y + 0.1, reach + 0.06),
        (y - 0.12, reach + 0.05),
        (y - 0.27, reach - 0.03),
        (y - 0.1, 0.1),
        (y - 0.09, -0.09),
    ]
    blade = slab(outline, -0.07, 0.07, steel)  # fmt: skip
    edge = blade.v_pos[:, 2] > reach - 0.08
    thin = np.where(edge, 0.35, 1.0)
    blade = blade.with_positions(blade.v_pos * np.stack([thin, thin * 0 + 1, thin * 0 + 1], -1))
    if look.material != "golden":
        blade = paint(blade, edge, pale(METAL, 0.7))
    poll = box((0, y, -0.08), (0.16, 0.2, 0.14), steel, radius=0.03)
    return [handle, blade, poll]


def key(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A ring of a handle, a long shaft, two teeth that point to +X; alike from front and back."""
    high = rng.uniform(0.62, 0.72) * look.stretch("long", 1.25)
    size = rng.uniform(0.19, 0.22) * look.stretch("wide", 1.25)
    bow = rotate(ring((0, 0, 0), (size, size), (0.06, 0.068), look.color), "x", 90)
    shaft = lathe([(0.06, 0), (0.066, 0.03), (0.062, high)], look.color, segments=14)
    collar = lathe([(0.1, high - 0.06), (0.1, high + 0.02)], look.accent(0.75), segments=14)
    teeth = [
        box((0.15, y, 0), (0.24, w, 0.085), look.color, radius=0.015)
        for y, w in ((0.08, 0.1), (0.24, 0.08))
    ]
    return [move(bow, (0, high + size, 0)), shaft, collar, *teeth]


def bucket(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """An open pail, wider above, with a raised handle over it from +X to −X."""
    low = rng.uniform(0.26, 0.29)
    rim = rng.uniform(0.37, 0.41) * look.stretch("wide", 1.2)
    high = rng.uniform(0.58, 0.66) * look.stretch("tall", 1.3)
    inside = dark(look.color, 0.62)
    profile = [
        (low, 0), (low * 1.02, 0.04), (rim * 0.98, high - 0.05), (rim * 1.06, high - 0.04),
        (rim * 1.06, high), (rim * 0.94, high), (low * 0.92, 0.12), (low * 0.6, 0.1),
    ]  # fmt: skip
    pail = lathe(profile, np.stack([look.color] * 5 + [inside] * 3), segments=28)
    bend = np.radians(np.linspace(0, 180, 15))
    lift = rng.uniform(0.32, 0.4)
    path = [(rim * 1.04 * np.cos(a), high - 0.06 + lift * np.sin(a), 0) for a in bend]
    tone = METAL if look.colour_word != "grey" else dark(METAL, 0.5)
    handle = tube(path, 0.032, tone, side=(0, 0, 1), segments=8)
    grip = tube(
        [(-0.1, high - 0.06 + lift, 0), (0.1, high - 0.06 + lift, 0)], 0.055, WOOD, side=(0, 0, 1),
        segments=10,
    )  # fmt: skip
    band = lathe([(low + (rim - low) * h + 0.012, high * h) for h in (0.3, 0.42)], look.accent(0.75),
                 segments=28)  # fmt: skip
    parts = [pail, handle, grip, band]
    if look.has("sand"):
        heap = ellipsoid((0, high - 0.09, 0), (rim * 0.93, 0.16, rim * 0.93), look.extra_color)
        parts.append(heap)
    return parts
