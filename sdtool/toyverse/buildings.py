"""Buildings. Doors are at +Z."""

import numpy as np

from sdtool.geometry.cameras import rotate_y
from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import flag_cloth
from sdtool.toyverse.primitives import box, ellipsoid, lathe, move, pair, rotate, slab, tube
from sdtool.toyverse.words import COLOURS, GLASS, WHITE, WOOD, Look, dark, is_dark, pale, vary

LAWN = np.array((0.42, 0.66, 0.30))


def house(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Four walls under a gabled roof, door and windows in front, a chimney behind if it has one."""
    width = rng.uniform(0.58, 0.66) * look.stretch("wide", 1.3)
    depth = rng.uniform(0.52, 0.6)
    wall = rng.uniform(0.46, 0.53) * look.stretch("tall", 1.5) * look.stretch("small", 0.75)
    rise = rng.uniform(0.36, 0.42)
    roof_color = vary(rng, np.array((0.62, 0.20, 0.16)))
    if look.colour_word in ("red", "brown", "orange"):
        roof_color = vary(rng, np.array((0.30, 0.33, 0.40)))
    if look.has("roof"):
        roof_color = look.extra_color
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
    parts = [body, *roof, door, *panes, gable_pane]
    if look.has("fence"):
        parts += _fence(half + 0.16, front + 0.24, look.extra_color)
    if not look.has("chimney"):
        return parts
    x = half * 0.5
    top = wall + rise + 0.1
    foot = wall + rise * 0.3
    chimney = box(
        (x, (foot + top) / 2, -depth * 0.22), (0.16, top - foot, 0.16), look.extra_color,
        radius=0.015,
    )  # fmt: skip
    pot = box((x, top, -depth * 0.22), (0.2, 0.06, 0.2), dark(look.extra_color), radius=0.015)
    return [*parts, chimney, pot]


def _fence(x: float, z: float, color: np.ndarray) -> list[Mesh]:
    """A picket fence along the front and some way along the sides, open before the door."""
    post = box((0, 0.11, 0), (0.055, 0.22, 0.04), color, radius=0.012)
    parts = []
    for k in np.linspace(0.14, x, 5):
        parts += pair(move(post, (k, 0, z)))
    for k in np.linspace(z - 0.1, 0.0, 4):
        parts += pair(move(post, (x, 0, k)))
    rail = box(((x + 0.14) / 2, 0.14, z), (x - 0.14, 0.045, 0.03), color, radius=0.01)
    side = box((x, 0.14, z / 2), (0.03, 0.045, z), color, radius=0.01)
    path = box((0, 0.012, z / 2), (2 * x + 0.06, 0.024, z + 0.08), LAWN, radius=0.01)
    return [*parts, *pair(rail), *pair(side), path]


def _along_z(outline: list[tuple[float, float]], low: float, high: float, color) -> Mesh:
    """A slab whose outline is (y, x), extruded along z: one along −x, turned by a quarter."""
    mesh = slab(outline, -high, -low, color)
    return mesh.with_positions(rotate_y(mesh.v_pos, np.pi / 2))


def castle(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Four round towers with pointed roofs, walls with battlements, a gate in front."""
    half = rng.uniform(0.29, 0.32) * look.stretch("wide", 1.2)
    wall = rng.uniform(0.34, 0.4)
    tower = rng.uniform(0.58, 0.66) * look.stretch("tall", 1.35)
    radius = rng.uniform(0.12, 0.135)
    roof = vary(rng, np.array(COLOURS["blue" if look.colour_word != "blue" else "red"]))
    edge = dark(look.color, 0.82) if not is_dark(look.color) else pale(look.color, 0.2)
    profile = [
        (1.08, 0),
        (1.0, 0.1),
        (1.0, tower - 0.06),
        (1.16, tower - 0.03),
        (1.16, tower + 0.05),
    ]
    body = lathe([(r * radius, y) for r, y in profile], look.color, segments=16)
    cone = lathe(
        [(radius * 1.22, tower + 0.03), (radius * 0.6, tower + 0.2), (0, tower + 0.42)], roof,
        segments=16,
    )  # fmt: skip
    parts = []
    for z in (half, -half):
        parts += [*pair(move(body, (half, 0, z))), *pair(move(cone, (half, 0, z)))]
    merlon = box((0, wall + 0.04, 0), (0.07, 0.1, 0.1), edge, radius=0.012)
    for turn in (0, 90, 180, 270):
        side = box((0, wall / 2, half), (2 * half, wall, 0.12), look.color, radius=0.02)
        parts.append(rotate(side, "y", turn))
        parts += [rotate(move(merlon, (x, 0, half)), "y", turn) for x in (-0.12, 0.0, 0.12)]
    parts.append(box((0, 0.02, 0), (2 * half, 0.04, 2 * half), LAWN, radius=0.01))  # the yard
    keep = box((0, 0.33, -0.06), (half * 0.95, 0.66, half * 0.9), edge, radius=0.025)
    arch = slab(_arch(0.12, wall * 0.72), -0.04, 0.04, dark(WOOD, 0.55))
    gate = move(rotate(arch, "y", -90), (0, 0, half + 0.05))
    slit = box((half, tower * 0.7, half + radius * 0.98), (0.045, 0.12, 0.03), GLASS, radius=0.01)
    parts += [keep, gate, *pair(slit)]
    top = move(cone, (0, 0.66 - tower, -0.06))
    parts.append(
        top.with_positions((top.v_pos - (0, 0.66, -0.06)) * (1.6, 1, 1.6) + (0, 0.66, -0.06))
    )
    if look.has("flags"):
        peak = tower + 0.38
        for x, y, z in ((half, peak, half), (-half, peak, half), (0, 1.04, -0.06)):
            pole = tube([(x, y, z), (x, y + 0.3, z)], 0.02, WHITE, segments=6)
            parts += [pole, flag_cloth((x, y + 0.13, z), 0.17, look.extra_color)]
    return parts


def _arch(half: float, high: float) -> list[tuple[float, float]]:
    """The outline (y, z) of a door with a round top."""
    bend = np.radians(np.linspace(0, 180, 9))
    curve = [(high - half + half * np.sin(a), half * np.cos(a)) for a in bend]
    return [(0.0, half), *curve, (0.0, -half)]


def lighthouse(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A tapering striped tower with a gallery, a glowing lantern, a cap, and a door in front."""
    high = rng.uniform(0.85, 0.95) * look.stretch("tall", 1.25) * look.stretch("small", 0.75)
    foot, top = rng.uniform(0.21, 0.24) * look.stretch("wide", 1.2), rng.uniform(0.13, 0.145)
    stripe = WHITE if look.colour_word not in ("white", "grey") else np.array(COLOURS["blue"])
    bands = 5
    profile, colors = [], []
    for k in range(bands):
        for share in (k, k + 0.98):
            profile.append((foot + (top - foot) * share / bands, 0.06 + high * share / bands))
            colors.append(look.color if k % 2 == 0 else stripe)
    tower = lathe(profile, np.stack(colors), segments=20)
    peak = high + 0.06
    glow = np.array((1.0, 0.90, 0.45))
    base = lathe([(foot * 1.5, 0), (foot * 1.45, 0.06), (foot * 1.2, 0.09)], dark(WHITE, 0.6))
    gallery = lathe([(top * 1.5, peak - 0.02), (top * 1.55, peak + 0.05)], look.accent(0.6))
    lantern = lathe([(top * 0.8, peak), (top * 0.8, peak + 0.17)], glow, segments=16)
    cap = lathe(
        [(top * 1.1, peak + 0.15), (top * 0.75, peak + 0.23), (0, peak + 0.31)], look.color,
        segments=16,
    )  # fmt: skip
    arch = slab(_arch(0.085, 0.25), -0.05, 0.05, dark(WOOD, 0.55))
    door = move(rotate(arch, "y", -90), (0, 0.03, foot * 0.93))
    pane = box((0, high * 0.55, foot * 0.62 + top * 0.38), (0.08, 0.12, 0.07), GLASS, radius=0.02)
    return [base, tower, gallery, lantern, cap, door, pane]


def windmill(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A tapering tower under a cap, four great sails turned by some angle in front, a door."""
    high = rng.uniform(0.72, 0.8) * look.stretch("tall", 1.25)
    foot = rng.uniform(0.25, 0.28) * look.stretch("wide", 1.2)
    top = foot * 0.66
    tower = lathe([(foot, 0), (foot * 0.93, 0.14), (top, high)], look.color, segments=16)
    roof = vary(rng, np.array((0.55, 0.26, 0.18)) if look.colour_word not in ("red", "brown")
                else np.array((0.28, 0.32, 0.40)))  # fmt: skip
    cap = lathe(
        [(top * 1.12, high - 0.02), (top * 0.95, high + 0.1), (top * 0.5, high + 0.2), (0, high + 0.24)],
        roof, segments=16,
    )  # fmt: skip
    sail_color = WHITE if look.colour_word != "white" else np.array((0.80, 0.55, 0.35))
    wood = dark(WOOD, 0.7)
    hub, reach = high + 0.03, rng.uniform(0.5, 0.56)
    front = top * 1.05 + 0.12
    turn = rng.uniform(20, 70)
    parts = [tower, cap, tube([(0, hub, 0), (0, hub, front + 0.02)], 0.05, wood, segments=10)]
    spar = tube([(0, 0, 0), (0, reach, 0)], 0.026, wood, segments=6)
    cloth = box((0.075, reach * 0.6, 0), (0.15, reach * 0.72, 0.035), sail_color, radius=0.012)
    for k in range(4):
        for part in (spar, cloth):
            parts.append(move(rotate(part, "z", turn + 90 * k), (0, hub, front)))
    arch = slab(_arch(0.09, 0.28), -0.04, 0.04, wood)
    door = move(rotate(arch, "y", -90), (0, 0, foot * 0.97))
    pane = box((0, high * 0.56, (foot + top) / 2 - 0.01), (0.1, 0.11, 0.07), GLASS, radius=0.02)
    nib = ellipsoid((0, hub, front + 0.03), (0.07, 0.07, 0.05), wood, rings=5, segments=12)
    return [*parts, door, pane, nib]
