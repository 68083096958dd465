"""Playthings: a robot, a teddy, a snowman, a drum, a ball. What has a face looks toward +Z."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import Spot, worn
from sdtool.toyverse.limbs import eyes, nose
from sdtool.toyverse.primitives import box, ellipsoid, lathe, move, paint, pair, ring, rotate, tube
from sdtool.toyverse.words import BLACK, METAL, WHITE, WOOD, Look, dark, is_dark, pale


def robot(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A boxy head with glowing eyes and an antenna, a boxy trunk with a pack, arms and legs."""
    width = rng.uniform(0.46, 0.54) * look.stretch("wide", 1.2)
    trunk = rng.uniform(0.42, 0.48) * look.stretch("tall", 1.2)
    leg = rng.uniform(0.3, 0.36) * look.stretch("tall", 1.3)
    head = rng.uniform(0.27, 0.31) * look.stretch("small", 1.25)
    joint = METAL if look.colour_word not in ("grey", "white") else dark(METAL, 0.5)
    glow = np.array((0.35, 0.9, 0.95)) if look.colour_word != "blue" else np.array((1.0, 0.9, 0.3))
    y = leg + trunk
    face = y + 0.05 + head / 2
    parts = [
        box((0, leg + trunk / 2, 0), (width, trunk, 0.34), look.color, radius=0.06),
        box((0, leg + trunk * 0.55, 0.17), (width * 0.5, trunk * 0.4, 0.04), joint, radius=0.015),
        box((0, leg + trunk * 0.55, -0.2), (width * 0.62, trunk * 0.6, 0.14), joint, radius=0.04),
        lathe([(0.13, y - 0.03), (0.13, y + 0.1)], joint, segments=10),
        box((0, face, 0), (head * 1.35, head, head), look.color, radius=0.05),
        tube([(0, face + head * 0.4, 0), (0, face + head * 0.5 + 0.1, 0)], 0.04, joint, segments=8),
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
    neck = Spot((0, y + 0.05, 0), width * 0.36)
    return [
        *parts,
        *worn(look, neck=neck, hand=Spot((-x, leg + 0.09, 0.18), 0.09, 0, trunk + head)),
    ]


def teddy(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A sitting bear: legs stretched out toward +Z with pale soles, arms at its sides, round ears."""
    coat, light = look.color, pale(look.color, 0.55)
    girth = rng.uniform(0.27, 0.3) * look.stretch("chubby", 1.18)
    high = rng.uniform(0.5, 0.56) * look.stretch("tall", 1.25)
    head = rng.uniform(0.25, 0.275) * look.stretch("small", 1.18)
    y = high + head * 0.68
    body = ellipsoid((0, high * 0.5, 0), (girth, high * 0.52, girth * 0.92), coat, rings=10)
    belly = ellipsoid(
        (0, high * 0.46, girth * 0.42), (girth * 0.62, high * 0.36, girth * 0.56), light
    )
    skull = ellipsoid((0, y, 0.02), (head * 1.06, head * 0.96, head * 0.94), coat, rings=10)
    muzzle = ellipsoid(
        (0, y - head * 0.26, head * 0.82), (head * 0.46, head * 0.36, head * 0.36), light
    )
    ear = ellipsoid((0, 0, 0), (head * 0.4, head * 0.4, head * 0.2), coat, rings=7, segments=12)
    ear = paint(ear, ear.v_pos[:, 2] > head * 0.1, light)
    ear = move(ear, (head * 0.8, y + head * 0.72, 0))
    leg = tube(
        [(girth * 0.55, 0.13, 0.05), (girth * 0.8, 0.13, 0.44)], [0.125, 0.13], coat, segments=14
    )
    sole = ellipsoid((girth * 0.83, 0.13, 0.535), (0.095, 0.1, 0.05), light, rings=6, segments=12)
    arm = tube(
        [(girth * 0.72, high * 0.82, 0.02), (girth * 1.18, high * 0.55, 0.12),
         (girth * 1.1, high * 0.34, 0.24)], [0.1, 0.1, 0.095], coat, side=(0, 0, 1),
    )  # fmt: skip
    tail = ellipsoid((0, 0.12, -girth * 0.95), (0.08, 0.08, 0.08), coat, rings=6, segments=12)
    return [
        body, belly, skull, muzzle, *pair(ear), *pair(leg), *pair(sole), *pair(arm), tail,
        *eyes(head * 0.42, y + head * 0.16, head * 0.88, head * 0.13, coat),
        nose((0, y - head * 0.16, head * 1.14), head * 0.13, light),
        *worn(
            look, head=Spot((0, y + head * 0.78, 0), head * 0.56),
            neck=Spot((0, high * 0.99, 0.02), head * 0.76),
            face=Spot((0, y + head * 0.16, head * 0.95), head * 0.46),
            hand=Spot((-girth * 1.1, high * 0.34, 0.27), 0.09, 0, y - 0.1),
        ),
    ]  # fmt: skip


def snowman(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Three balls, coal eyes and buttons, a carrot nose at +Z, arms of twigs."""
    low = rng.uniform(0.3, 0.33) * look.stretch("chubby", 1.2)
    middle, head = (
        low * rng.uniform(0.74, 0.8),
        low * rng.uniform(0.56, 0.62) * look.stretch("small", 1.2),
    )
    y = low * 1.7 * look.stretch("tall", 1.18)
    top = y + middle * 0.86 + head * 0.72
    coal = BLACK if not is_dark(look.color) else WHITE
    orange = (
        np.array((0.96, 0.50, 0.10))
        if look.colour_word != "orange"
        else np.array((0.45, 0.70, 0.2))
    )
    carrot = lathe([(0.06, -0.03), (0.055, 0.03), (0, 0.25)], orange, segments=10)
    parts = [
        ellipsoid((0, low * 0.92, 0), (low, low * 0.95, low), look.color, rings=10, segments=20),
        ellipsoid((0, y, 0), (middle, middle, middle), look.color, rings=10, segments=20),
        ellipsoid((0, top, 0), (head, head, head), look.color, rings=10, segments=20),
        move(rotate(carrot, "x", 92), (0, top - head * 0.05, head * 0.9)),
    ]
    for k in (-0.45, 0.0, 0.45):
        spot = (0, y + k * middle, middle * np.sqrt(1 - k * k) * 0.98)
        parts.append(ellipsoid(spot, (0.04, 0.04, 0.04), coal, rings=5, segments=8))
    eye = ellipsoid(
        (head * 0.38, top + head * 0.25, head * 0.86), (0.035,) * 3, coal, rings=5, segments=8
    )
    twig = tube(
        [(middle * 0.8, y + 0.04, 0), (middle + 0.2, y + 0.16, 0.04), (middle + 0.3, y + 0.26, 0.05)],
        [0.03, 0.026, 0.022], dark(WOOD, 0.7), side=(0, 0, 1), segments=6,
    )  # fmt: skip
    finger = tube(
        [(middle + 0.2, y + 0.15, 0.04), (middle + 0.32, y + 0.14, 0.05)], 0.02, dark(WOOD, 0.7),
        side=(0, 0, 1), segments=6,
    )  # fmt: skip
    return [
        *parts, *pair(eye), *pair(twig), *pair(finger),
        *worn(
            look, head=Spot((0, top + head * 0.7, 0), head * 0.66),
            neck=Spot((0, top - head * 0.82, 0), head * 0.82),
            face=Spot((0, top + head * 0.25, head * 0.92), head * 0.42),
            hand=Spot((-middle - 0.27, y + 0.22, 0.05), 0.04, 0, top - y),
        ),
    ]  # fmt: skip


def drum(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A coloured shell between two rims, a pale skin, cords that go up and down around it."""
    radius = rng.uniform(0.42, 0.47) * look.stretch("wide", 1.15)
    high = rng.uniform(0.5, 0.58) * look.stretch("tall", 1.35) * look.stretch("low", 0.65)
    rim = GOLD_RIM if look.colour_word not in ("yellow", "orange") else WHITE
    hide = np.array((0.95, 0.91, 0.82))
    parts = [
        lathe([(radius, 0.03), (radius, high)], look.color, segments=28),
        lathe([(radius * 0.97, high - 0.02), (radius * 0.97, high + 0.03), (radius * 0.5, high + 0.032)],
              hide, segments=28),
    ]  # fmt: skip
    for y in (0.045, high - 0.01):
        parts.append(
            ring((0, y, 0), (radius * 1.02, radius * 1.02), (0.045, 0.035), rim, segments=8)
        )
    count = 10
    angles = np.arange(2 * count) * np.pi / count
    for k, (a, b) in enumerate(zip(angles, np.roll(angles, -1), strict=True)):
        ends = (0.08, high - 0.06) if k % 2 else (high - 0.06, 0.08)
        path = [
            (radius * 1.01 * np.cos(t), y, radius * 1.01 * np.sin(t))
            for t, y in zip((a, b), ends, strict=True)
        ]
        parts.append(tube(path, 0.022, hide, segments=4, round_ends=False))
    if look.has("drumsticks"):
        stick = tube(
            [(0.3, high + 0.1, 0.36), (0.04, high + 0.06, -0.3)],
            0.028,
            look.extra_color,
            segments=8,
        )
        bead = ellipsoid(
            (0.04, high + 0.065, -0.3), (0.055,) * 3, look.extra_color, rings=5, segments=8
        )
        parts += [*pair(stick), *pair(bead)]
    return parts


GOLD_RIM = np.array((0.92, 0.74, 0.26))


def ball(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A beach ball: wedges of its colour and white; or a spotted one."""
    mesh = ellipsoid((0, 0.5, 0), (0.5, 0.5, 0.5), look.color, rings=22, segments=48)
    place = mesh.v_pos - (0, 0.5, 0)
    other = WHITE if look.colour_word not in ("white", "grey") else np.array((0.30, 0.62, 0.86))
    if look.trait == "spotted":
        axes = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(3)
        axes = np.concatenate([axes, np.eye(3), -np.eye(3)])
        return [paint(mesh, (place @ axes.T).max(axis=1) > 0.455, other)]
    wedge = np.sin(np.arctan2(place[:, 2], place[:, 0]) * 3) > 0
    cap = ellipsoid((0, 1.0, 0), (0.09, 0.03, 0.09), look.accent(0.6), rings=5)
    return [paint(mesh, wedge, other), cap]
