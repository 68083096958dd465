"""Things that toys wear, carry or have: how they are said, and what the worn ones look like."""

from dataclasses import dataclass

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.primitives import (
    Vector,
    ellipsoid,
    lathe,
    move,
    pair,
    ring,
    rotate,
    slab,
    tube,
)
from sdtool.toyverse.words import BLACK, GOLD, METAL, WHITE, WOOD, Look, dark, is_dark, pale


@dataclass(frozen=True)
class Extra:
    """Something a toy may have besides what it always has.

    phrase: how it follows the toy's name; ``{}`` is its own name, with or without a colour.
    own: its (3,) sRGB colour, which is never said; None: it comes in every colour. is_plain: whether
    it says something without a colour ("a house with a roof" does not).
    """

    phrase: str = "with a {}"
    own: np.ndarray | None = None
    is_plain: bool = True


LEAF, SAND = np.array((0.26, 0.62, 0.24)), np.array((0.90, 0.78, 0.50))
CHERRY, PLASTER = np.array((0.80, 0.10, 0.14)), np.array((0.80, 0.72, 0.62))
EXTRAS = {
    "hat": Extra("wearing a {}"),
    "scarf": Extra("wearing a {}"),
    "crown": Extra("wearing a {}", GOLD),
    "sunglasses": Extra("with {}", BLACK),
    "saddle": Extra(),
    "blanket": Extra(),
    "balloon": Extra("holding a {}"),
    "flag": Extra("holding a {}"),
    "sword": Extra("holding a {}", METAL),
    "staff": Extra("holding a {}", WOOD),
    "flags": Extra("with {}"),
    "armrests": Extra("with {}", WOOD),
    "cushion": Extra(),
    "cushions": Extra("with {}"),
    "canopy": Extra(),
    "books": Extra("with {}", np.array((0.80, 0.22, 0.20))),
    "vase": Extra(),
    "spoon": Extra("with a {}", METAL),
    "suitcase": Extra(),
    "logs": Extra("with {}", WOOD),
    "wagon": Extra(),
    "boosters": Extra("with {}"),
    "floats": Extra("with {}"),
    "chimney": Extra("with a {}", PLASTER),
    "roof": Extra(is_plain=False),
    "fence": Extra("with a {}", WHITE),
    "apples": Extra("with {}", CHERRY),
    "coconuts": Extra("with {}", dark(WOOD, 0.6)),
    "flower": Extra(),
    "pot": Extra(),
    "candles": Extra("with {}", np.array((1.0, 0.80, 0.25))),
    "cherry": Extra("with a {}", CHERRY),
    "leaf": Extra("with a {}", LEAF),
    "sand": Extra("with {}", SAND),
    "drumsticks": Extra("with {}", WOOD),
}


@dataclass(frozen=True)
class Spot:
    """A place where something can be put on.

    center: of the place. radius: of what it goes around or sits on; depth: the same along z if it
    differs. tilt: degrees by which the way up leans toward +Z there.
    """

    center: Vector
    radius: float
    tilt: float = 0.0
    depth: float = 0.0


def worn(
    look: Look,
    *,
    head: Spot | None = None,
    neck: Spot | None = None,
    face: Spot | None = None,
    back: Spot | None = None,
    hand: Spot | None = None,
) -> list[Mesh]:
    """What this toy wears or holds, put in its place; nothing if it has no such extra.

    head: where a brim lies. neck: the middle of a collar. face: between the eyes, radius: half
    their distance. back: the axis of the body, radius: its girth. hand: the fist at −X, radius: its.
    """
    makers = {
        "hat": (_hat, head), "crown": (crown, head), "scarf": (_scarf, neck),
        "sunglasses": (_sunglasses, face), "saddle": (_saddle, back), "blanket": (_blanket, back),
        "balloon": (_balloon, hand), "flag": (_flag, hand), "sword": (_sword, hand),
        "staff": (_staff, hand),
    }  # fmt: skip
    maker, spot = makers.get(look.extra, (None, None))
    if maker is None or spot is None:
        return []
    return [_put(part, spot) for part in maker(look.extra_color, spot)]


def _put(mesh: Mesh, spot: Spot) -> Mesh:
    return move(rotate(mesh, "x", spot.tilt) if spot.tilt else mesh, spot.center)


def _hat(color: np.ndarray, spot: Spot) -> list[Mesh]:
    """A brim, a high crown, a band."""
    band = dark(color, 0.45) if not is_dark(color) else pale(color, 0.7)
    profile = [
        (1.6, -0.05), (1.8, 0.02), (1.74, 0.15), (1.13, 0.17), (1.12, 0.23), (1.1, 0.55),
        (1.09, 0.6), (1.04, 1.4), (0.86, 1.6), (0.0, 1.62),
    ]  # fmt: skip
    colors = [color] * 3 + [band] * 3 + [color] * 4
    return [lathe([(r * spot.radius, y * spot.radius) for r, y in profile], np.stack(colors))]


def crown(color: np.ndarray, spot: Spot) -> list[Mesh]:
    """A golden band with six points; its own middle is the spot's."""
    r = spot.radius
    profile = [(0.95, -0.12), (1.05, -0.1), (1.1, 0.42), (1.0, 0.42), (0.9, 0.05), (0.6, 0.0)]
    parts = [lathe([(a * r, b * r) for a, b in profile], color, segments=18)]
    point = lathe([(0.24 * r, 0), (0.2 * r, 0.1 * r), (0, 0.52 * r)], color, segments=8)
    for angle in np.radians(np.arange(0, 360, 60) + 30):
        parts.append(move(point, (1.02 * r * np.cos(angle), 0.32 * r, 1.02 * r * np.sin(angle))))
    return parts


def _scarf(color: np.ndarray, spot: Spot) -> list[Mesh]:
    """A thick band around the neck and an end that hangs in front."""
    r, depth = spot.radius, spot.depth or spot.radius
    band = ring((0, 0, 0), (r, depth), (0.3 * r, 0.2 * r), color)
    tone = dark(color, 0.8)
    end = tube(
        [(0.34 * r, 0.05 * r, depth * 1.02), (0.38 * r, -0.5 * r, depth * 1.2),
         (0.4 * r, -1.05 * r, depth * 1.22)],
        [(0.2 * r, 0.13 * r), (0.23 * r, 0.13 * r), (0.26 * r, 0.13 * r)],
        np.stack([color, color, tone]), segments=10,
    )  # fmt: skip
    return [band, end]


def _sunglasses(color: np.ndarray, spot: Spot) -> list[Mesh]:
    """Two dark lenses, a bridge and two temples."""
    r = spot.radius
    lens = ellipsoid((r * 1.02, 0, 0), (r * 0.92, r * 0.72, r * 0.35), color, rings=6, segments=12)
    temple = tube(
        [(r * 1.7, 0.1 * r, 0), (r * 2.0, 0.15 * r, -1.3 * r)], r * 0.17, color, segments=8
    )
    bridge = tube([(-r * 0.5, 0.25 * r, 0), (r * 0.5, 0.25 * r, 0)], r * 0.2, color, side=(0, 1, 0))
    return [*pair(lens), *pair(temple), bridge]


def _over(color: np.ndarray, radius: float, half_length: float, reach: float) -> Mesh:
    """A band of cloth over a round back, down to `reach` degrees from the top on both sides."""
    angles = np.radians(np.linspace(-reach, reach, 13))
    path = [(radius * np.sin(a), radius * np.cos(a), 0.0) for a in angles]
    return tube(path, [(half_length, 0.05 * radius + 0.012)] * 13, color, side=(0, 0, 1))


def _blanket(color: np.ndarray, spot: Spot) -> list[Mesh]:
    rim = pale(color, 0.6) if not is_dark(color) else GOLD
    under = _over(rim, spot.radius * 1.03, spot.radius * 0.98, 88)
    return [under, _over(color, spot.radius * 1.06, spot.radius * 0.82, 82)]


def _saddle(color: np.ndarray, spot: Spot) -> list[Mesh]:
    r = spot.radius
    seat = ellipsoid((0, r * 1.08, 0), (r * 0.55, r * 0.14, r * 0.75), dark(color, 0.75))
    horn = ellipsoid((0, r * 1.2, r * 0.55), (r * 0.16, r * 0.3, r * 0.16), dark(color, 0.75))
    cantle = ellipsoid((0, r * 1.2, -r * 0.62), (r * 0.45, r * 0.28, r * 0.16), dark(color, 0.75))
    return [_over(color, r * 1.05, r * 0.62, 85), seat, horn, cantle]


def _balloon(color: np.ndarray, spot: Spot) -> list[Mesh]:
    """A string from the fist up to a balloon that floats beside the head."""
    high, size = spot.depth, 0.2
    string = tube([(0, -0.02, 0), (-0.06, high - 0.1, 0)], 0.02, WHITE, segments=6)
    knot = lathe([(0.05, 0), (0.0, 0.07)], color, segments=8)
    return [
        string,
        ellipsoid((-0.06, high + size, 0), (size, size * 1.18, size), color),
        move(knot, (-0.06, high - 0.08, 0)),
    ]


def _flag(color: np.ndarray, spot: Spot) -> list[Mesh]:
    pole = tube([(0, -0.25, 0), (0, 0.75, 0)], 0.028, WHITE, segments=8)
    return [pole, flag_cloth((0, 0.5, 0), 0.24, color)]


def flag_cloth(low: Vector, size: float, color: np.ndarray) -> Mesh:
    """A flag whose pole side starts at `low`; it flies toward −X, `size` high."""
    cloth = slab([(0, 0), (size, 0), (size, -1.4 * size), (0, -1.4 * size)], -0.02, 0.02, color)
    return move(rotate(cloth, "y", 90), low)


def _sword(color: np.ndarray, spot: Spot) -> list[Mesh]:
    grip = tube([(0, -0.12, 0), (0, 0.08, 0)], 0.035, dark(WOOD, 0.5), segments=8)
    guard = tube([(0, 0.09, -0.12), (0, 0.09, 0.12)], 0.035, GOLD, segments=8)
    blade = tube(
        [(0, 0.09, 0), (0, 0.55, 0), (0, 0.66, 0)], [(0.025, 0.06), (0.025, 0.055), (0.012, 0.012)],
        color, segments=8,
    )  # fmt: skip
    return [grip, guard, blade]


def _staff(color: np.ndarray, spot: Spot) -> list[Mesh]:
    orb = ellipsoid((0, 0.62, 0), (0.09, 0.09, 0.09), np.array((0.35, 0.85, 0.95)))
    return [tube([(0, -spot.center[1] + 0.03, 0), (0, 0.58, 0)], 0.032, color, segments=8), orb]
