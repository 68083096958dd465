"""Animals. All stand on y = 0, look toward +Z and are their own mirror image in x."""

import numpy as np

from sdtool.meshes import Mesh
from sdtool.toyverse.primitives import ellipsoid, lathe, move, paint, pair, rotate, scale, tube
from sdtool.toyverse.words import BEAK, BLACK, PINK, WHITE, Look, dark, is_dark, pale


def _legs(
    x: float, z_front: float, z_back: float, top: float, radius: float, color: np.ndarray,
    foot: np.ndarray | None = None,
) -> list[Mesh]:  # fmt: skip
    """Four thick legs with flat soles; `foot` colours the lowest third."""
    foot = color if foot is None else foot
    colors = np.stack([foot] * 3 + [color] * 5)
    ring = [
        (0.85, 0.0), (1.08, 0.08), (1.05, 0.32), (0.98, 0.34),
        (1.0, 0.7), (1.05, 0.9), (0.85, 1.04), (0.45, 1.12),
    ]  # fmt: skip
    leg = lathe([(r * radius, h * top) for r, h in ring], colors, segments=12)
    return [part for z in (z_front, z_back) for part in pair(move(leg, (x, 0, z)))]


def _ear(
    base: tuple[float, float, float], length: float, width: float, lean: float, color: np.ndarray,
    inside: np.ndarray | None = None,
) -> list[Mesh]:  # fmt: skip
    """A pair of upright pointed ears, leaning outward by `lean` degrees."""
    levels = np.array([-0.15, 0.0, 0.25, 0.5, 0.75, 0.95])
    widths = np.array([0.8, 1.0, 0.9, 0.66, 0.38, 0.12]) * width / 2
    path = [(0.0, h * length, 0.0) for h in levels]
    ear = tube(path, list(zip(widths, widths * 0.55, strict=True)), color, segments=12)
    if inside is not None:
        front = (ear.v_pos[:, 2] > 0.2 * width * 0.55) & (ear.v_pos[:, 1] < 0.8 * length)
        ear = paint(ear, front & (np.abs(ear.v_pos[:, 0]) < 0.3 * width), inside)
    return pair(move(rotate(ear, "z", -lean), base))


def _face(x: float, y: float, z: float, size: float, coat: np.ndarray) -> list[Mesh]:
    """Two eyes; white-rimmed on a dark coat."""
    color = WHITE if is_dark(coat) else BLACK
    return pair(ellipsoid((x, y, z), (size, size * 1.15, size * 0.8), color, rings=4, segments=8))


def _nose(center: tuple[float, float, float], size: float, coat: np.ndarray) -> Mesh:
    color = PINK if is_dark(coat) else BLACK
    return ellipsoid(center, (size * 1.2, size, size), color, rings=4, segments=8)


def _belly(body: Mesh, below: float, color: np.ndarray) -> Mesh:
    return paint(body, body.v_pos[:, 1] < below, color)


def corgi(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Long and low, short legs, big upright ears; white chest, muzzle and socks."""
    coat = look.color
    white = WHITE if look.colour_word != "white" else np.array((0.78, 0.76, 0.72))
    length = rng.uniform(0.50, 0.57) * look.stretch("long", 1.2)
    girth = rng.uniform(0.235, 0.26) * look.stretch("chubby", 1.18)
    head = rng.uniform(0.25, 0.275) * look.stretch("small", 1.15)
    ears = rng.uniform(0.29, 0.35)
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
        *_legs(0.66 * girth + 0.03, length * 0.62, -length * 0.72, leg + 0.1, radius, coat, white),
        *_ear((head * 0.6, y + head * 0.55, z - 0.02), ears, head * 0.95, 14, coat, PINK),
        *_face(head * 0.46, y + head * 0.2, z + head * 0.84, head * 0.16, coat),
        _nose((0, y - head * 0.22, z + head * 1.58), head * 0.17, white),
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
        *_legs(0.68 * girth + 0.035, length * 0.78, -length * 0.8, leg + 0.1, radius, coat, light),
        *_ear((head * 0.66, y + head * 0.5, z), head * 1.05, head * 0.95, 16, coat, PINK),
        *_face(head * 0.46, y + head * 0.14, z + head * 0.8, head * 0.19, coat),
        _nose((0, y - head * 0.16, z + head * 1.0), head * 0.12, coat),
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
        *_legs(0.66 * girth + 0.03, length * 0.76, -length * 0.82, leg + 0.08, radius, coat, hair),
        *_ear((head * 0.55, y + head * 0.75, z - 0.01), 0.2, 0.13, 12, coat),
        *_face(head * 0.86, y + 0.01, z + 0.08, 0.036, coat),
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
        *_legs(0.56 * girth, length * 0.62, -length * 0.72, leg + 0.14, radius, skin_color),
        *_face(head * 0.62, y + head * 0.2, z + head * 0.78, 0.038, skin_color),
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
        *_legs(girth * 0.6 + 0.03, length * 0.8, -length * 0.72, leg + 0.12, radius, coat, light),
        *_face(head * 0.5, y + head * 0.18, z + head * 0.82, head * 0.17, coat),
        _nose((0, y - head * 0.16, z + head * 1.08), head * 0.13, coat),
    ]  # fmt: skip


def bird(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A plump body, a round head with a beak, wings half open, a fanned tail, two legs."""
    coat, light = look.color, pale(look.color, 0.7)
    wing_color = dark(coat, 0.72) if not is_dark(coat) else pale(coat, 0.25)
    girth = rng.uniform(0.25, 0.29) * look.stretch("chubby", 1.15)
    head = rng.uniform(0.20, 0.225) * look.stretch("small", 1.2)
    leg = rng.uniform(0.24, 0.28) * look.stretch("tall", 1.4)
    middle = leg + girth * 0.85
    body = ellipsoid((0, 0, 0), (girth, girth * 0.98, girth * 1.45), coat)
    body = _belly(body, -girth * 0.3, light)
    body = move(rotate(body, "x", -16), (0, middle, 0))
    y, z = middle + girth * 0.95 + head * 0.35, girth * 1.05
    skull = ellipsoid((0, y, z), (head, head, head), coat)
    beak = lathe([(0.085, 0), (0.07, 0.06), (0, 0.22)], BEAK, segments=10)
    beak = move(rotate(beak, "x", 90), (0, y - head * 0.12, z + head * 0.82))
    span = rng.uniform(0.42, 0.52) * look.stretch("wide", 1.25)
    wing = tube(
        [(girth * 0.7, middle + 0.08, 0.02), (girth + span * 0.45, middle + 0.14, -0.06),
         (girth + span, middle + 0.1, -0.2)],
        [(0.19, 0.05), (0.18, 0.045), (0.09, 0.035)], wing_color, side=(0, 0, 1), segments=14,
    )  # fmt: skip
    tail = tube(
        [(0, middle - 0.08, -girth * 1.2), (0, middle - 0.13, -girth * 1.5 - 0.32)],
        [(0.1, 0.045), (0.2, 0.035)], wing_color, segments=14,
    )  # fmt: skip
    foot = tube([(0, 0.035, 0), (0, 0.035, 0.12)], [0.045, 0.04], BEAK, segments=8)
    shank = tube([(0, 0.04, 0), (0, leg + 0.12, 0)], 0.042, BEAK, segments=8)
    return [
        body, skull, beak, *pair(wing), tail,
        *pair(move(foot, (girth * 0.46, 0.0, 0.04))),
        *pair(move(shank, (girth * 0.46, 0.0, 0.04))),
        *_face(head * 0.62, y + head * 0.2, z + head * 0.68, head * 0.18, coat),
    ]  # fmt: skip


def fish(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A tall, narrow oval body with a forked tail, fins and one white stripe."""
    coat = look.color
    fin_color = dark(coat, 0.7) if not is_dark(coat) else pale(coat, 0.3)
    stripe = WHITE if look.colour_word != "white" else np.array((0.98, 0.62, 0.2))
    width = rng.uniform(0.2, 0.24) * look.stretch("chubby", 1.3)
    height = rng.uniform(0.30, 0.36) * look.stretch("tall", 1.2)
    length = rng.uniform(0.52, 0.6) * look.stretch("long", 1.25)
    body = ellipsoid((0, 0, 0), (1, 1, 1), coat, rings=16, segments=12)
    body = rotate(body, "x", 90)
    body = paint(body, np.abs(body.v_pos[:, 2] - 0.27) < 0.1, stripe)
    body = scale(body, (width, height, length))
    back = -length * 0.85
    lobe = tube(
        [(0, 0, back), (0, 0.15, back - 0.17), (0, 0.3, back - 0.32)],
        [(0.05, 0.07), (0.05, 0.11), (0.04, 0.07)], fin_color, segments=10,
    )  # fmt: skip
    lobes = [lobe, _upside_down(lobe)]
    dorsal = tube(
        [(0, height * 0.75, length * 0.25), (0, height + 0.1, -length * 0.05),
         (0, height * 0.9, -length * 0.45)],
        [(0.04, 0.08), (0.04, 0.12), (0.03, 0.06)], fin_color, segments=10,
    )  # fmt: skip
    side_fin = tube(
        [(width * 0.85, -0.05, length * 0.1), (width + 0.16, -0.14, -0.1)],
        [(0.08, 0.03), (0.11, 0.025)], fin_color, side=(0, 1, 0.3), segments=10,
    )  # fmt: skip
    eyes = pair(
        ellipsoid((width * 0.66, height * 0.2, length * 0.62), (0.05, 0.085, 0.085), WHITE,
                  rings=5, segments=12)
    ) + pair(
        ellipsoid((width * 0.66 + 0.032, height * 0.2, length * 0.64), (0.03, 0.05, 0.05), BLACK,
                  rings=4, segments=8)
    )  # fmt: skip
    mouth = ellipsoid((0, -0.03, length * 0.97), (0.06, 0.05, 0.05), PINK, rings=4, segments=8)
    return [body, *lobes, dorsal, *pair(side_fin), *eyes, mouth]


def _upside_down(mesh: Mesh) -> Mesh:
    return rotate(mesh, "z", 180)
