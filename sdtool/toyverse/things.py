"""A house with its door at +Z, trees, and a robot looking toward +Z."""

import numpy as np

from sdtool.cameras import rotate_y
from sdtool.meshes import Mesh
from sdtool.toyverse.primitives import box, ellipsoid, lathe, pair, slab, tube
from sdtool.toyverse.words import BLACK, GLASS, METAL, WOOD, Look, dark, pale, vary


def house(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Four walls under a gabled roof, door and windows in front, a chimney behind."""
    width = rng.uniform(0.58, 0.66) * look.stretch("wide", 1.3)
    depth = rng.uniform(0.52, 0.6)
    wall = rng.uniform(0.46, 0.53) * look.stretch("tall", 1.5) * look.stretch("small", 0.75)
    rise = rng.uniform(0.36, 0.42)
    roof_color = vary(rng, np.array((0.62, 0.20, 0.16)))
    if look.colour_word in ("red", "brown", "orange"):
        roof_color = vary(rng, np.array((0.30, 0.33, 0.40)))
    over, thick = 0.07, 0.09
    half = width / 2
    gable = [
        (0.0, half), (wall, half), (wall + rise, 0.0), (wall, -half), (0.0, -half),
    ]  # fmt: skip
    body = _along_z(gable, -depth / 2, depth / 2, look.color)
    slope = rise / half
    low = wall - over * slope
    ridge = -0.03  # a little past the middle, so that the two slopes run into each other
    slope_outline = [
        (wall + rise, ridge), (low, half + over), (low + thick, half + over),
        (wall + rise + thick, ridge),
    ]  # fmt: skip
    roof = pair(_along_z(slope_outline, -depth / 2 - over, depth / 2 + over, roof_color))
    front = depth / 2
    door_color = dark(WOOD, 0.6)
    door = box((0, wall * 0.31, front), (width * 0.25, wall * 0.62, 0.06), door_color, radius=0.02)
    panes = []
    for z in (front, -front):
        pane = box(
            (width * 0.31, wall * 0.58, z), (width * 0.2, width * 0.2, 0.05), GLASS, radius=0.015
        )
        panes += pair(pane)
    gable_pane = box((0, wall + rise * 0.1, front), (0.13, 0.13, 0.05), GLASS, radius=0.015)
    x = half * 0.5
    top = wall + rise + 0.1
    foot = wall + rise * 0.3
    chimney = box(
        (x, (foot + top) / 2, -depth * 0.22), (0.15, top - foot, 0.15), dark(roof_color, 0.75),
        radius=0.015,
    )  # fmt: skip
    return [body, *roof, door, *panes, gable_pane, chimney]


def _along_z(outline: list[tuple[float, float]], low: float, high: float, color) -> Mesh:
    """A slab whose outline is (y, x), extruded along z: one along −x, turned by a quarter."""
    mesh = slab(outline, -high, -low, color)
    return mesh.with_positions(rotate_y(mesh.v_pos, np.pi / 2))


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


def robot(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A boxy head with glowing eyes and an antenna, a boxy trunk with a pack, arms and legs."""
    width = rng.uniform(0.46, 0.54) * look.stretch("wide", 1.2)
    trunk = rng.uniform(0.42, 0.48) * look.stretch("tall", 1.2)
    leg = rng.uniform(0.3, 0.36) * look.stretch("tall", 1.3)
    head = rng.uniform(0.27, 0.31) * look.stretch("small", 1.25)
    joint = METAL if look.colour_word not in ("grey", "white") else dark(METAL, 0.5)
    glow = np.array((0.35, 0.9, 0.95)) if look.colour_word != "blue" else np.array((1.0, 0.9, 0.3))
    y = leg + trunk
    face = y + 0.07 + head / 2
    parts = [
        box((0, leg + trunk / 2, 0), (width, trunk, 0.34), look.color, radius=0.06),
        box((0, leg + trunk * 0.55, 0.17), (width * 0.5, trunk * 0.4, 0.04), joint, radius=0.015),
        box((0, leg + trunk * 0.55, -0.2), (width * 0.62, trunk * 0.6, 0.14), joint, radius=0.04),
        lathe([(0.08, y - 0.03), (0.08, y + 0.1)], joint, segments=10),
        box((0, face, 0), (head * 1.35, head, head), look.color, radius=0.05),
        tube(
            [(0, face + head * 0.4, 0), (0, face + head * 0.5 + 0.1, 0)], 0.026, joint, segments=8
        ),
        ellipsoid((0, face + head * 0.5 + 0.14, 0), (0.06, 0.06, 0.06), glow, rings=5, segments=12),
        box((0, face - head * 0.24, head / 2), (head * 0.6, 0.05, 0.03), BLACK, radius=0.01),
    ]
    eye = ellipsoid((head * 0.33, face + head * 0.12, head / 2), (0.06, 0.06, 0.035), glow, rings=5)
    x = width / 2 + 0.075
    arm = tube([(x, y - 0.08, 0), (x, leg + 0.12, 0.14)], 0.07, joint)
    hand = ellipsoid((x, leg + 0.09, 0.18), (0.09, 0.09, 0.09), look.color, rings=6, segments=12)
    shank = tube([(width * 0.27, 0.1, 0), (width * 0.27, leg + 0.05, 0)], 0.08, joint)
    foot = box((width * 0.27, 0.06, 0.05), (0.2, 0.12, 0.3), look.color, radius=0.05)
    for part in (eye, arm, hand, shank, foot):
        parts += pair(part)
    return parts
