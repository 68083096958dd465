"""Animals of house and farm. All stand on y = 0, look toward +Z and mirror themselves in x."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import Spot, worn
from sdtool.toyverse.limbs import ears, eyes, legs, nose
from sdtool.toyverse.primitives import ellipsoid, move, paint, pair, rotate, tube
from sdtool.toyverse.words import BEAK, PINK, WHITE, Look, dark, is_dark, pale


def corgi(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Long and low, short legs, big upright ears; white chest, muzzle and socks."""
    coat = look.color
    white = WHITE if look.colour_word != "white" else np.array((0.78, 0.76, 0.72))
    length = rng.uniform(0.50, 0.57) * look.stretch("long", 1.2)
    girth = rng.uniform(0.235, 0.26) * look.stretch("chubby", 1.18)
    head = rng.uniform(0.25, 0.275) * look.stretch("small", 1.15)
    ear = rng.uniform(0.29, 0.35)
    leg, radius = rng.uniform(0.28, 0.32), rng.uniform(0.1, 0.112)
    middle = leg + 0.62 * girth
    y, z = middle + girth + 0.42 * head, length * 0.88
    body = tube(
        [(0, middle, -length * 0.62), (0, middle, 0), (0, middle + 0.03, length * 0.6)],
        [(girth * 0.98, girth * 0.9), (girth, girth * 0.86), (girth * 1.05, girth * 0.92)],
        coat, segments=16,
    )  # fmt: skip
    chest = ellipsoid(
        (0, middle + 0.01, length * 0.62), (girth * 0.72, girth * 0.85, girth * 1.12), white
    )
    skull = ellipsoid((0, y, z), (head * 1.05, head * 0.92, head), coat)
    muzzle = tube(
        [(0, y - head * 0.3, z + head * 0.4), (0, y - head * 0.34, z + head * 1.25)],
        [head * 0.5, head * 0.36], white,
    )  # fmt: skip
    blaze = ellipsoid(
        (0, y + head * 0.28, z + head * 0.62), (head * 0.17, head * 0.5, head * 0.38), white,
        rings=6, segments=8,
    )  # fmt: skip
    tail = tube(
        [(0, middle + girth * 0.4, -length * 0.95), (0, middle + girth * 0.72, -length - 0.1)],
        [girth * 0.36, girth * 0.3], coat,
    )  # fmt: skip
    return [
        body, chest, skull, muzzle, blaze, tail,
        *legs(0.66 * girth + 0.03, length * 0.62, -length * 0.72, leg + 0.1, radius, coat, white),
        *ears((head * 0.6, y + head * 0.55, z - 0.02), ear, head * 0.95, 14, coat, PINK),
        *eyes(head * 0.46, y + head * 0.2, z + head * 0.84, head * 0.16, coat),
        nose((0, y - head * 0.22, z + head * 1.58), head * 0.17, white),
        *worn(
            look, head=Spot((0, y + head * 0.74, z - head * 0.1), head * 0.52, -4),
            neck=Spot((0, y - head * 0.62, z - head * 0.32), head * 0.86, 35),
            face=Spot((0, y + head * 0.18, z + head * 0.93), head * 0.46),
            back=Spot((0, middle, -length * 0.1), girth),
        ),
    ]  # fmt: skip


def cat(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A round head with pointed ears, a slender body, a long tail held up behind."""
    coat, light = look.color, pale(look.color, 0.65)
    length = rng.uniform(0.36, 0.42) * look.stretch("long", 1.2)
    girth = rng.uniform(0.18, 0.205) * look.stretch("chubby", 1.25)
    head = rng.uniform(0.245, 0.275) * look.stretch("small", 1.15)
    leg, radius = rng.uniform(0.38, 0.44) * look.stretch("tall", 1.2), rng.uniform(0.08, 0.09)
    middle = leg + 0.5 * girth
    y, z = middle + girth + 0.5 * head, length * 0.98
    body = tube(
        [(0, middle, -length * 0.7), (0, middle - 0.01, 0), (0, middle + 0.02, length * 0.7)],
        [girth, girth * 0.95, girth * 1.02], coat, segments=16,
    )  # fmt: skip
    chest = ellipsoid(
        (0, middle + 0.03, length * 0.85), (girth * 0.66, girth * 0.8, girth * 0.8), light
    )
    skull = ellipsoid((0, y, z), (head * 1.12, head * 0.92, head * 0.9), coat)
    cheeks = ellipsoid(
        (0, y - head * 0.32, z + head * 0.66), (head * 0.5, head * 0.34, head * 0.38), light
    )
    lift = rng.uniform(0.85, 1.0)
    tail = tube(
        [
            (0, middle + 0.05, -length * 1.0), (0, middle + 0.08, -length * 1.0 - 0.16),
            (0, middle + 0.22 * lift, -length * 1.0 - 0.27),
            (0, middle + 0.42 * lift, -length * 1.0 - 0.27),
            (0, middle + 0.54 * lift, -length * 1.0 - 0.2),
        ],
        [0.075, 0.075, 0.072, 0.07, 0.068], np.stack([coat] * 4 + [light]), segments=10,
    )  # fmt: skip
    return [
        body, chest, skull, cheeks, tail,
        *legs(0.68 * girth + 0.035, length * 0.78, -length * 0.8, leg + 0.1, radius, coat, light),
        *ears((head * 0.66, y + head * 0.5, z), head * 1.05, head * 0.95, 16, coat, PINK),
        *eyes(head * 0.46, y + head * 0.14, z + head * 0.8, head * 0.19, coat),
        nose((0, y - head * 0.16, z + head * 1.0), head * 0.12, coat),
        *worn(
            look, head=Spot((0, y + head * 0.74, z - head * 0.05), head * 0.52, -4),
            neck=Spot((0, y - head * 0.72, z - head * 0.3), head * 0.8, 35),
            face=Spot((0, y + head * 0.14, z + head * 0.86), head * 0.48),
        ),
    ]  # fmt: skip


def horse(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Long legs, a strong neck, a long face, dark mane and hanging tail."""
    coat = look.color
    hair = dark(coat, 0.4) if not is_dark(coat) else pale(coat, 0.5)
    length = rng.uniform(0.42, 0.48)
    girth = rng.uniform(0.225, 0.25) * look.stretch("chubby", 1.2)
    head = rng.uniform(0.16, 0.175) * look.stretch("small", 1.2)
    leg = rng.uniform(0.52, 0.59) * look.stretch("tall", 1.15) * look.stretch("small", 0.8)
    radius = rng.uniform(0.095, 0.106)
    middle = leg + 0.62 * girth
    y, z = middle + rng.uniform(0.58, 0.64), length + 0.26
    body = tube(
        [(0, middle, -length * 0.66), (0, middle - 0.02, 0), (0, middle, length * 0.62)],
        [girth, girth * 0.97, girth * 1.02], coat, segments=16,
    )  # fmt: skip
    neck = tube(
        [(0, middle + 0.06, length * 0.7), (0, (middle + y) / 2 + 0.06, length + 0.06),
         (0, y, z - 0.04)],
        [(0.15, 0.2), (0.12, 0.15), (0.11, 0.13)], coat, segments=14,
    )  # fmt: skip
    face = tube(
        [(0, y + 0.01, z - 0.02), (0, y - 0.1, z + 0.18), (0, y - 0.18, z + 0.33)],
        [head, head * 0.85, head * 0.72],
        np.stack([coat, coat, dark(coat, 0.62) if not is_dark(coat) else pale(coat, 0.35)]),
    )
    mane = tube(
        [(0, middle + girth * 1.0, length * 0.5), (0, (middle + y) / 2 + 0.2, length - 0.1),
         (0, y + 0.13, z - 0.13), (0, y + 0.14, z - 0.02)],
        [(0.05, 0.06), (0.055, 0.1), (0.055, 0.09), (0.045, 0.05)], hair, segments=10,
    )  # fmt: skip
    tail = tube(
        [(0, middle + girth * 0.5, -length - 0.06), (0, middle + 0.08, -length - 0.22),
         (0, middle - 0.2, -length - 0.28), (0, 0.62 * leg, -length - 0.26)],
        [0.055, 0.085, 0.095, 0.05], hair, segments=10,
    )  # fmt: skip
    return [
        body, neck, face, mane, tail,
        *legs(0.66 * girth + 0.03, length * 0.76, -length * 0.82, leg + 0.08, radius, coat, hair),
        *ears((head * 0.55, y + head * 0.75, z - 0.01), 0.2, 0.13, 12, coat),
        *eyes(head * 0.86, y + 0.01, z + 0.08, 0.036, coat),
        *worn(
            look, head=Spot((0, y + head * 0.8, z + 0.02), head * 0.7, 18),
            neck=Spot((0, middle * 0.42 + y * 0.58, length + 0.1), 0.17, 30, 0.19),
            back=Spot((0, middle - 0.01, -length * 0.08), girth),
        ),
    ]  # fmt: skip


def elephant(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A heavy body on pillars, wide ears, a trunk, white tusks."""
    skin_color, inside = look.color, pale(look.color, 0.35)
    length = rng.uniform(0.40, 0.46)
    girth = rng.uniform(0.32, 0.36) * look.stretch("chubby", 1.1)
    head = rng.uniform(0.235, 0.26) * look.stretch("small", 1.15)
    leg, radius = rng.uniform(0.36, 0.42) * look.stretch("tall", 1.2), rng.uniform(0.128, 0.142)
    middle = leg + 0.72 * girth
    y, z = middle + girth * 0.62, length + 0.24
    body = tube(
        [(0, middle, -length * 0.5), (0, middle + 0.02, 0), (0, middle, length * 0.5)],
        [girth * 0.98, girth * 1.02, girth], skin_color, segments=18,
    )  # fmt: skip
    skull = ellipsoid((0, y, z), (head * 1.02, head * 1.08, head), skin_color)
    low = 0.29  # the trunk's tip stays above a walker's knee
    trunk = tube(
        [
            (0, y - head * 0.2, z + head * 0.7), (0, y - head * 0.75, z + head * 1.2),
            (0, 0.45 * y + 0.55 * low, z + head * 1.3), (0, low + 0.07, z + head * 1.45),
            (0, low, z + head * 1.9),
        ],
        [0.12, 0.105, 0.088, 0.076, 0.07], skin_color, segments=12,
    )  # fmt: skip
    ear = ellipsoid((0, 0, 0), (0.27, 0.34, 0.055), skin_color, rings=8, segments=16)
    ear = paint(ear, (ear.v_pos[:, 2] > 0.015) & (np.abs(ear.v_pos[:, 0]) < 0.22), inside)
    ear = move(rotate(ear, "y", -28), (head * 0.98 + 0.2, y + 0.04, z - 0.1))
    tusk = tube(
        [(head * 0.5, y - head * 0.55, z + head * 0.7), (head * 0.56, y - head * 0.95, z + head),
         (head * 0.56, y - head * 0.98, z + head * 1.45)],
        [0.048, 0.044, 0.025], WHITE if look.colour_word != "white" else BEAK, segments=8,
    )  # fmt: skip
    tail = tube(
        [(0, middle + 0.1, -length * 0.5 - girth * 0.95), (0, middle - 0.12, -length - girth * 0.8),
         (0, middle - 0.32, -length - girth * 0.78)],
        [0.042, 0.04, 0.055], dark(skin_color, 0.75), segments=8,
    )  # fmt: skip
    return [
        body, skull, trunk, tail, *pair(ear), *pair(tusk),
        *legs(0.56 * girth, length * 0.62, -length * 0.72, leg + 0.14, radius, skin_color),
        *eyes(head * 0.62, y + head * 0.2, z + head * 0.78, 0.038, skin_color),
        *worn(
            look, head=Spot((0, y + head * 0.9, z), head * 0.6, 4),
            back=Spot((0, middle, -length * 0.08), girth),
        ),
    ]  # fmt: skip


def rabbit(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A round body, a round head, very long ears, a ball of a tail."""
    coat = look.color
    light = pale(coat, 0.7) if look.colour_word != "white" else np.array((0.86, 0.80, 0.76))
    girth = rng.uniform(0.25, 0.28) * look.stretch("chubby", 1.15)
    length = rng.uniform(0.28, 0.33)
    head = rng.uniform(0.215, 0.24) * look.stretch("small", 1.15)
    leg, radius = rng.uniform(0.31, 0.35), rng.uniform(0.088, 0.098)
    middle = leg + girth * 0.6
    y, z = middle + girth * 0.72 + head * 0.5, length * 0.95
    body = ellipsoid((0, middle, -0.02), (girth, girth * 0.98, length * 1.35), coat)
    chest = ellipsoid((0, middle, length * 0.75), (girth * 0.62, girth * 0.72, girth * 0.62), light)
    skull = ellipsoid((0, y, z), (head, head * 0.92, head * 1.02), coat)
    cheeks = ellipsoid(
        (0, y - head * 0.3, z + head * 0.7), (head * 0.52, head * 0.36, head * 0.4), light
    )
    ear_length = rng.uniform(0.5, 0.58) * look.stretch("tall", 1.2)
    levels = [(0.0, 0.055), (0.3, 0.085), (0.65, 0.085), (0.92, 0.055)]
    ear = tube([(0, h * ear_length, 0) for h, _ in levels], [(r, r * 0.6) for _, r in levels], coat)
    ear = paint(ear, (ear.v_pos[:, 2] > 0.02) & (np.abs(ear.v_pos[:, 0]) < 0.06), PINK)
    ear = move(rotate(ear, "z", -12), (head * 0.45, y + head * 0.7, z - 0.04))
    tail = ellipsoid((0, middle + 0.03, -length * 1.35 - 0.04), (0.11, 0.11, 0.11), light)
    return [
        body, chest, skull, cheeks, tail, *pair(ear),
        *legs(girth * 0.6 + 0.03, length * 0.8, -length * 0.72, leg + 0.12, radius, coat, light),
        *eyes(head * 0.5, y + head * 0.18, z + head * 0.82, head * 0.17, coat),
        nose((0, y - head * 0.16, z + head * 1.08), head * 0.13, coat),
        *worn(
            look, neck=Spot((0, y - head * 0.78, z - head * 0.28), head * 0.82, 30),
            face=Spot((0, y + head * 0.18, z + head * 0.9), head * 0.5),
            hand=Spot((-girth * 0.95, middle, length * 0.6), 0.08, 0, 0.75),
        ),
    ]  # fmt: skip
