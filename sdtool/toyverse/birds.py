"""Birds and a fish. All look toward +Z and mirror themselves in x."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import Spot, worn
from sdtool.toyverse.limbs import belly, eyes
from sdtool.toyverse.primitives import ellipsoid, lathe, move, paint, pair, rotate, scale, tube
from sdtool.toyverse.words import BEAK, BLACK, PINK, WHITE, Look, dark, is_dark, pale


def bird(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A plump body, a round head with a beak, wings half open, a fanned tail, two legs."""
    coat, light = look.color, pale(look.color, 0.7)
    wing_color = dark(coat, 0.72) if not is_dark(coat) else pale(coat, 0.25)
    girth = rng.uniform(0.25, 0.29) * look.stretch("chubby", 1.15)
    head = rng.uniform(0.20, 0.225) * look.stretch("small", 1.2)
    leg = rng.uniform(0.24, 0.28) * look.stretch("tall", 1.4)
    middle = leg + girth * 0.85
    body = ellipsoid((0, 0, 0), (girth, girth * 0.98, girth * 1.45), coat)
    body = belly(body, -girth * 0.3, light)
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
        *eyes(head * 0.62, y + head * 0.2, z + head * 0.68, head * 0.18, coat),
        *worn(
            look, head=Spot((0, y + head * 0.84, z), head * 0.6),
            neck=Spot((0, y - head * 0.75, z - head * 0.25), head * 0.92, 30),
        ),
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


def duck(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A low boat of a body with an upturned tail, a round head, a flat wide beak, big feet."""
    coat = look.color
    wing_color = dark(coat, 0.8) if not is_dark(coat) else pale(coat, 0.25)
    girth = rng.uniform(0.25, 0.28) * look.stretch("chubby", 1.18)
    length = rng.uniform(0.42, 0.47)
    head = rng.uniform(0.185, 0.205) * look.stretch("small", 1.2)
    leg = rng.uniform(0.15, 0.18) * look.stretch("tall", 1.5)
    middle = leg + girth * 0.8
    y, z = middle + girth * 0.85 + head * 0.7, length * 0.68
    body = tube(
        [(0, middle + 0.16, -length * 1.0), (0, middle + 0.02, -length * 0.55), (0, middle, 0.05),
         (0, middle + 0.02, length * 0.55)],
        [(0.05, 0.05), (girth * 0.72, girth * 0.62), (girth, girth * 0.9),
         (girth * 0.82, girth * 0.85)], coat, segments=16,
    )  # fmt: skip
    neck = tube([(0, middle + girth * 0.3, length * 0.6), (0, y, z)], head * 0.72, coat)
    beak_color = BEAK if look.colour_word not in ("orange",) else np.array((0.98, 0.84, 0.2))
    beak = tube(
        [(0, y - head * 0.2, z + head * 0.7), (0, y - head * 0.26, z + head * 1.55)],
        [(head * 0.5, head * 0.26), (head * 0.52, head * 0.14)], beak_color,
    )  # fmt: skip
    wing = ellipsoid((0, 0, 0), (0.07, girth * 0.55, length * 0.62), wing_color)
    wing = move(rotate(wing, "x", 14), (girth * 0.93, middle + 0.05, -length * 0.12))
    foot = tube([(0, 0.03, -0.04), (0, 0.03, 0.15)], [(0.05, 0.03), (0.1, 0.028)], beak_color)
    shank = tube([(0, 0.04, -0.02), (0, leg + 0.1, -0.02)], 0.045, beak_color, segments=8)
    return [
        body, neck, ellipsoid((0, y, z), (head, head, head), coat), beak, *pair(wing),
        *pair(move(foot, (girth * 0.5, 0, 0))), *pair(move(shank, (girth * 0.5, 0, 0))),
        *eyes(head * 0.66, y + head * 0.26, z + head * 0.62, head * 0.18, coat),
        *worn(
            look, head=Spot((0, y + head * 0.82, z), head * 0.62),
            neck=Spot((0, y - head * 0.98, z - head * 0.02), head * 0.84, 8),
            face=Spot((0, y + head * 0.26, z + head * 0.82), head * 0.5),
        ),
    ]  # fmt: skip


def penguin(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """An upright body with a white front, flippers at its sides, a beak and orange feet."""
    coat = look.color
    front = WHITE if look.colour_word != "white" else np.array((0.76, 0.80, 0.86))
    girth = rng.uniform(0.25, 0.28) * look.stretch("chubby", 1.2)
    high = rng.uniform(0.62, 0.7) * look.stretch("tall", 1.25)
    head = rng.uniform(0.2, 0.22) * look.stretch("small", 1.25)
    profile = [(0.6, 0.04), (0.9, 0.12), (1.0, 0.32), (0.94, 0.55), (0.76, 0.82), (0.6, 1.0)]
    body = lathe([(r * girth, h * high) for r, h in profile], coat)
    chest = ellipsoid(
        (0, high * 0.44, girth * 0.4), (girth * 0.74, high * 0.4, girth * 0.72), front
    )
    y = high + head * 0.62
    skull = ellipsoid((0, y, 0.01), (head, head * 0.98, head), coat)
    cheek = ellipsoid(
        (head * 0.4, y - head * 0.1, head * 0.5), (head * 0.42, head * 0.52, head * 0.48), front
    )
    beak = lathe([(0.075, 0), (0.055, 0.08), (0, 0.2)], BEAK, segments=10)
    beak = move(rotate(beak, "x", 96), (0, y - head * 0.18, head * 0.84))
    lift = rng.uniform(16, 30)
    flipper = ellipsoid((0, -0.2, 0), (0.055, 0.25, 0.11), coat, segments=12)
    flipper = move(rotate(flipper, "z", lift), (girth * 0.72, high * 0.8, 0))
    foot = ellipsoid((girth * 0.45, 0.045, girth * 0.55), (0.12, 0.045, 0.19), BEAK, rings=6)
    tail = ellipsoid((0, 0.1, -girth * 0.95), (0.1, 0.05, 0.13), coat, rings=6)
    eye = ellipsoid(
        (head * 0.42, y + head * 0.12, head * 0.9), (head * 0.14,) * 3, BLACK, rings=5, segments=8
    )
    return [
        body, chest, skull, *pair(cheek), beak, *pair(flipper), *pair(foot), tail, *pair(eye),
        *worn(
            look, head=Spot((0, y + head * 0.8, 0), head * 0.64),
            neck=Spot((0, high * 0.96, 0.02), girth * 0.66),
            face=Spot((0, y + head * 0.12, head * 0.98), head * 0.45),
            hand=Spot((-girth * 0.9 - 0.13, high * 0.42, 0.05), 0.08, 0, 0.72),
        ),
    ]  # fmt: skip
