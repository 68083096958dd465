"""Wild animals, and one long gone. All stand on y = 0, look toward +Z and mirror in x."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import Spot, worn
from sdtool.toyverse.limbs import eyes, legs, nose
from sdtool.toyverse.primitives import ellipsoid, lathe, move, paint, pair, ring, rotate, tube
from sdtool.toyverse.words import BLACK, WHITE, Look, dark, is_dark, pale


def bear(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A heavy body with a hump, a big head, round ears, a pale muzzle, thick legs."""
    coat, light = look.color, pale(look.color, 0.45)
    length = rng.uniform(0.44, 0.5)
    girth = rng.uniform(0.31, 0.34) * look.stretch("chubby", 1.15)
    head = rng.uniform(0.25, 0.27) * look.stretch("small", 1.15)
    leg, radius = rng.uniform(0.32, 0.37) * look.stretch("tall", 1.25), rng.uniform(0.13, 0.14)
    middle = leg + 0.62 * girth
    y, z = middle + girth * 0.52, length + 0.26
    body = tube(
        [(0, middle, -length * 0.6), (0, middle + 0.04, 0), (0, middle + 0.06, length * 0.55)],
        [girth, girth * 1.02, girth * 0.95], coat, segments=18,
    )  # fmt: skip
    skull = ellipsoid((0, y, z), (head * 1.05, head, head), coat)
    muzzle = tube(
        [(0, y - head * 0.28, z + head * 0.5), (0, y - head * 0.34, z + head * 1.2)],
        [head * 0.52, head * 0.4], light,
    )  # fmt: skip
    ear = ellipsoid((0, 0, 0), (head * 0.36, head * 0.36, head * 0.2), coat, rings=7, segments=12)
    ear = paint(ear, (ear.v_pos[:, 2] > head * 0.1), light)
    ear = move(ear, (head * 0.74, y + head * 0.86, z - 0.03))
    tail = ellipsoid((0, middle + 0.12, -length * 0.6 - girth * 0.98), (0.09, 0.09, 0.09), coat)
    return [
        body, skull, muzzle, tail, *pair(ear),
        *legs(0.6 * girth, length * 0.68, -length * 0.72, leg + 0.12, radius, coat, dark(coat, 0.7)),
        *eyes(head * 0.44, y + head * 0.2, z + head * 0.86, head * 0.13, coat),
        nose((0, y - head * 0.2, z + head * 1.55), head * 0.19, light),
        *worn(
            look, head=Spot((0, y + head * 0.84, z), head * 0.56),
            neck=Spot((0, y - head * 0.36, z - head * 0.72), head * 1.0, 62),
            face=Spot((0, y + head * 0.2, z + head * 0.93), head * 0.46),
        ),
    ]  # fmt: skip


def pig(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A barrel with short legs, a flat snout with two nostrils, drooping ears, a curl of a tail."""
    coat, tone = look.color, look.accent(0.78)
    length = rng.uniform(0.36, 0.42) * look.stretch("long", 1.25)
    girth = rng.uniform(0.29, 0.32) * look.stretch("chubby", 1.15)
    head = rng.uniform(0.24, 0.26) * look.stretch("small", 1.15)
    leg, radius = rng.uniform(0.24, 0.28), rng.uniform(0.095, 0.105)
    middle = leg + 0.68 * girth
    y, z = middle + girth * 0.34, length + 0.24
    body = tube(
        [(0, middle, -length * 0.6), (0, middle, 0), (0, middle + 0.01, length * 0.6)],
        [girth * 0.97, girth * 1.03, girth * 0.95], coat, segments=18,
    )  # fmt: skip
    skull = ellipsoid((0, y, z), (head * 1.02, head, head), coat)
    snout = lathe([(0.44, 0), (0.46, 0.4), (0.42, 0.48)], tone, segments=16)
    snout = snout.with_positions(snout.v_pos * head)
    snout = move(rotate(snout, "x", 90), (0, y - head * 0.14, z + head * 0.78))
    hole = ellipsoid(
        (head * 0.17, y - head * 0.12, z + head * 1.26), (head * 0.09, head * 0.14, head * 0.06),
        dark(tone, 0.4), rings=5, segments=8,
    )  # fmt: skip
    ear = ellipsoid((0, 0, 0), (head * 0.36, head * 0.46, head * 0.13), tone, rings=7, segments=12)
    ear = move(rotate(rotate(ear, "x", 35), "z", -25), (head * 0.62, y + head * 0.84, z + 0.05))
    tail = rotate(ring((0, 0, 0), (0.075, 0.075), (0.032, 0.032), tone, segments=8), "x", 65)
    tail = move(tail, (0, middle + 0.14, -length * 0.6 - girth * 0.96))
    return [
        body, skull, snout, *pair(hole), *pair(ear), tail,
        *legs(0.62 * girth, length * 0.66, -length * 0.68, leg + 0.14, radius, coat, tone),
        *eyes(head * 0.44, y + head * 0.28, z + head * 0.84, head * 0.12, coat),
        *worn(
            look, head=Spot((0, y + head * 0.86, z), head * 0.5),
            neck=Spot((0, y - head * 0.3, z - head * 0.7), head * 1.03, 68),
            face=Spot((0, y + head * 0.28, z + head * 0.92), head * 0.46),
        ),
    ]  # fmt: skip


def giraffe(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Very long legs and neck, dark patches, two small horns."""
    coat, patch = look.color, look.accent(0.5)
    length, girth = rng.uniform(0.28, 0.32), rng.uniform(0.175, 0.195) * look.stretch("chubby", 1.2)
    leg, radius = rng.uniform(0.5, 0.56), rng.uniform(0.068, 0.076)
    head = rng.uniform(0.115, 0.13) * look.stretch("small", 1.25)
    middle = leg + 0.7 * girth
    y = middle + rng.uniform(0.68, 0.76) * look.stretch("tall", 1.3)
    z = length + 0.24
    body = tube(
        [(0, middle - 0.05, -length * 0.75), (0, middle, 0), (0, middle + 0.04, length * 0.6)],
        [girth * 0.9, girth, girth * 1.02], coat, segments=20,
    )  # fmt: skip
    heights = np.linspace(0, 1, 9)
    path = [
        (0, middle + 0.06 + (y - middle - 0.1) * h, length * 0.72 + (z - length * 0.82) * h)
        for h in heights
    ]
    neck = tube(path, [0.135 - 0.055 * h for h in heights], coat, segments=14)
    face = tube(
        [(0, y, z - 0.04), (0, y - 0.03, z + 0.1), (0, y - 0.09, z + 0.26)],
        [head, head * 0.9, head * 0.6], np.stack([coat, coat, pale(coat, 0.5)]),
    )  # fmt: skip
    horn = tube([(0.05, y + 0.06, z - 0.03), (0.065, y + 0.23, z - 0.06)], 0.027, patch, segments=8)
    tail = tube(
        [(0, middle, -length * 0.75 - girth * 0.85), (0, middle - 0.24, -length - girth * 0.72)],
        [0.03, 0.045], patch, segments=8,
    )  # fmt: skip
    return [
        _patched(rng, body, patch), _patched(rng, neck, patch), face, *pair(horn), tail,
        *legs(0.62 * girth, length * 0.72, -length * 0.95, leg + 0.08, radius, coat, patch),
        *(part for part in pair(_ear(head, coat, (head * 0.8, y + 0.06, z - 0.05)))),
        *eyes(head * 0.82, y + 0.03, z + 0.04, 0.032, coat),
        *worn(
            look, head=Spot((0, y + head * 0.85, z), head * 0.95, 8),
            neck=Spot((0, middle * 0.3 + y * 0.7, length * 0.78 + (z - length * 0.82) * 0.7), 0.135, 10),
        ),
    ]  # fmt: skip


def _ear(head: float, color: np.ndarray, place) -> Mesh:
    ear = ellipsoid((0.07, 0, 0), (0.1, 0.045, 0.03), color, rings=5, segments=8)
    return move(rotate(ear, "z", 18), place)


def _patched(rng: np.random.Generator, mesh: Mesh, color: np.ndarray) -> Mesh:
    """Blots of the colour, alike on the left and the right."""
    points = np.abs(mesh.v_pos) * (1, 0, 0) + mesh.v_pos * (0, 1, 1)
    wave = np.sin(points * 26 + rng.uniform(0, 6, 3)).sum(axis=1)
    return paint(mesh, wave > 0.55, color)


def lion(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A slender body, a head in a great dark mane, a long tail with a tuft."""
    coat, light = look.color, pale(look.color, 0.5)
    mane_color = dark(coat, 0.55) if not is_dark(coat) else pale(coat, 0.45)
    length = rng.uniform(0.42, 0.48) * look.stretch("long", 1.2)
    girth = rng.uniform(0.215, 0.24) * look.stretch("chubby", 1.2)
    head = rng.uniform(0.215, 0.235) * look.stretch("small", 1.15)
    leg, radius = rng.uniform(0.4, 0.46), rng.uniform(0.095, 0.105)
    middle = leg + 0.5 * girth
    y, z = middle + girth * 0.95, length + 0.2
    body = tube(
        [(0, middle, -length * 0.7), (0, middle, 0), (0, middle + 0.04, length * 0.65)],
        [girth * 0.92, girth * 0.95, girth * 1.08], coat, segments=16,
    )  # fmt: skip
    mane = ellipsoid(
        (0, y - head * 0.12, z - head * 0.42), (head * 1.75, head * 1.72, head * 0.95), mane_color,
        rings=12, segments=20,
    )  # fmt: skip
    tufts = 1 + 0.05 * np.sin(9 * np.arctan2(mane.v_pos[:, 1] - y, np.abs(mane.v_pos[:, 0])))
    mane = mane.with_positions(mane.v_pos * np.stack([tufts, np.ones_like(tufts), tufts], -1))
    skull = ellipsoid((0, y, z), (head, head * 0.95, head * 0.95), coat)
    muzzle = ellipsoid(
        (0, y - head * 0.34, z + head * 0.72), (head * 0.55, head * 0.42, head * 0.5), light
    )
    ear = ellipsoid((0, 0, 0), (head * 0.34, head * 0.36, head * 0.2), coat, rings=6, segments=12)
    ear = move(ear, (head * 1.02, y + head * 1.22, z - head * 0.2))
    tail = tube(
        [(0, middle + 0.05, -length * 0.7 - girth * 0.8), (0, middle - 0.05, -length - girth * 0.75),
         (0, middle - 0.22, -length - girth * 0.95), (0, middle - 0.2, -length - girth * 1.5)],
        0.042, coat, segments=8,
    )  # fmt: skip
    tuft = ellipsoid(
        (0, middle - 0.17, -length - girth * 1.6), (0.085, 0.085, 0.12), mane_color, rings=6
    )
    return [
        body, mane, skull, muzzle, *pair(ear), tail, tuft,
        *legs(0.66 * girth + 0.03, length * 0.78, -length * 0.84, leg + 0.1, radius, coat, light),
        *eyes(head * 0.42, y + head * 0.22, z + head * 0.82, head * 0.14, coat),
        nose((0, y - head * 0.16, z + head * 1.14), head * 0.17, light),
        *worn(
            look, head=Spot((0, y + head * 1.46, z - head * 0.36), head * 0.74),
            face=Spot((0, y + head * 0.22, z + head * 0.92), head * 0.46),
        ),
    ]  # fmt: skip


def turtle(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A domed shell with a rim, a round head out in front, four stout legs, a stub of a tail."""
    shell = look.color
    skin_color = pale(look.color, 0.42) if not is_dark(look.color) else np.array((0.60, 0.66, 0.38))
    leg = rng.uniform(0.15, 0.18) * look.stretch("tall", 1.5)
    width, length = rng.uniform(0.44, 0.48), rng.uniform(0.5, 0.56) * look.stretch("long", 1.15)
    high = rng.uniform(0.34, 0.4) * look.stretch("chubby", 1.2)
    dome = lathe(
        [(0.96, 0), (1, 0.08), (0.95, 0.3), (0.78, 0.62), (0.5, 0.88), (0.2, 0.99), (0, 1)],
        shell, segments=24,
    )  # fmt: skip
    place = dome.v_pos
    angle = np.arctan2(np.abs(place[:, 0]), place[:, 2])
    seams = (np.sin(angle * 4) > 0.9) & (place[:, 1] < 0.85) | (np.abs(place[:, 1] - 0.62) < 0.06)
    dome = paint(dome, seams, look.accent(0.62))
    dome = dome.with_positions(place * (width, high, length) + (0, leg + 0.04, 0))
    rim = ring((0, leg + 0.06, 0), (width * 0.98, length * 0.98), (0.055, 0.07), look.accent(0.86))
    belly = ellipsoid((0, leg + 0.05, 0), (width * 0.9, 0.09, length * 0.9), pale(skin_color, 0.4))
    head = rng.uniform(0.165, 0.185) * look.stretch("small", 1.2)
    y, z = leg + rng.uniform(0.26, 0.32), length + 0.22
    neck = tube([(0, leg + 0.1, length * 0.75), (0, y - 0.03, z - 0.03)], head * 0.6, skin_color)
    tail = tube(
        [(0, leg + 0.05, -length * 0.9), (0, leg, -length - 0.13)], [0.06, 0.03], skin_color
    )
    return [
        dome, rim, belly, neck, tail,
        ellipsoid((0, y, z), (head, head * 0.92, head * 1.1), skin_color),
        *legs(width * 0.72, length * 0.62, -length * 0.62, leg + 0.08, 0.115, skin_color),
        *eyes(head * 0.62, y + head * 0.3, z + head * 0.72, head * 0.18, skin_color),
        *worn(
            look, head=Spot((0, y + head * 0.74, z), head * 0.62),
            neck=Spot((0, y - head * 0.66, z - head * 0.6), head * 0.92, 42),
            face=Spot((0, y + head * 0.3, z + head * 0.88), head * 0.5),
        ),
    ]  # fmt: skip


def dinosaur(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A big head with teeth, two strong legs, tiny arms, a long heavy tail, a row of spikes."""
    coat, light, spike = look.color, pale(look.color, 0.5), look.accent(0.6)
    girth = rng.uniform(0.21, 0.24) * look.stretch("chubby", 1.2)
    leg = rng.uniform(0.34, 0.38) * look.stretch("tall", 1.25)
    head = rng.uniform(0.2, 0.22) * look.stretch("small", 1.25)
    reach = rng.uniform(0.72, 0.82) * look.stretch("long", 1.25)
    hip = leg + girth * 0.6
    y, z = hip + rng.uniform(0.5, 0.56), 0.3
    line = [
        (0, 0.2, -reach - 0.1), (0, hip * 0.62, -reach * 0.72), (0, hip, -0.24), (0, hip + 0.06, 0.0),
        (0, hip + 0.24, 0.16), (0, y - 0.08, z - 0.1),
    ]  # fmt: skip
    body = tube(
        line, [0.035, 0.1, girth * 0.9, girth, girth * 0.82, head * 0.72], coat, segments=16
    )
    chest = ellipsoid((0, hip + 0.1, 0.16), (girth * 0.62, 0.26, girth * 0.52), light)
    skull = ellipsoid((0, y, z), (head * 0.92, head * 0.9, head), coat)
    snout = box_snout(y, z, head, coat)
    teeth = ellipsoid(
        (0, y - head * 0.52, z + head * 1.1), (head * 0.62, head * 0.1, head * 0.62), WHITE, rings=5
    )
    jaw = tube(
        [(0, y - head * 0.6, z + head * 0.2), (0, y - head * 0.76, z + head * 1.25)],
        [(head * 0.6, head * 0.24), (head * 0.46, head * 0.16)], light,
    )  # fmt: skip
    thigh = ellipsoid((girth * 0.86, hip - 0.08, -0.06), (0.13, 0.24, 0.17), coat, segments=12)
    shank = tube(
        [(girth * 0.9, hip - 0.2, -0.1), (girth * 0.9, 0.12, -0.12)],
        [0.1, 0.075],
        coat,
        segments=10,
    )
    foot = ellipsoid((girth * 0.9, 0.055, 0.0), (0.11, 0.055, 0.2), coat, rings=6, segments=12)
    arm = tube(
        [(girth * 0.6, hip + 0.2, 0.26), (girth * 0.75, hip + 0.1, 0.4), (girth * 0.6, hip + 0.14, 0.5)],
        [0.055, 0.048, 0.04], coat, segments=8,
    )  # fmt: skip
    cone = lathe([(0.085, -0.05), (0.07, 0.04), (0, 0.16)], spike, segments=8)
    spots = [(y - 0.02, z - head * 0.95, -50), (hip + 0.3, -0.02, -45), (hip + girth * 0.93, -0.2, -20),
             (hip * 0.86 + 0.15, -0.42, -25), (hip * 0.66 + 0.09, -reach * 0.72, -30)]  # fmt: skip
    spikes = [move(rotate(cone, "x", tilt), (0, h, at)) for h, at, tilt in spots]
    return [
        body, chest, skull, snout, teeth, jaw, *pair(thigh), *pair(shank), *pair(foot), *pair(arm),
        *spikes, *eyes(head * 0.7, y + head * 0.36, z + head * 0.5, head * 0.16, coat),
        *worn(
            look, head=Spot((0, y + head * 0.78, z), head * 0.62, 6),
            neck=Spot((0, hip * 0.3 + y * 0.7 - 0.06, 0.19), head * 0.95, 40),
            face=Spot((0, y + head * 0.42, z + head * 0.86), head * 0.5),
        ),
    ]  # fmt: skip


def box_snout(y: float, z: float, head: float, color: np.ndarray) -> Mesh:
    """The upper jaw of a dinosaur, with two nostrils painted on its end."""
    snout = tube(
        [(0, y - head * 0.1, z + head * 0.4), (0, y - head * 0.18, z + head * 1.3)],
        [(head * 0.74, head * 0.52), (head * 0.58, head * 0.36)], color, segments=16,
    )  # fmt: skip
    x, up = np.abs(snout.v_pos[:, 0]), snout.v_pos[:, 1] - y
    hole = (np.abs(x - head * 0.26) < head * 0.12) & (up > -head * 0.1)
    return paint(snout, hole & (snout.v_pos[:, 2] > z + head * 1.35), BLACK)
