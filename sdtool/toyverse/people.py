"""People. They look toward +Z; the colour is that of their clothes; hands hang at ±X."""

import numpy as np

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.accessories import Spot, crown, worn
from sdtool.toyverse.primitives import box, ellipsoid, lathe, move, paint, pair, rotate, tube
from sdtool.toyverse.words import BLACK, GLASS, GOLD, METAL, WHITE, Look, dark, is_dark, pale

SKINS = ((0.96, 0.78, 0.64), (0.86, 0.63, 0.46), (0.66, 0.44, 0.30), (0.45, 0.29, 0.20))
HAIRS = ((0.30, 0.18, 0.10), (0.14, 0.11, 0.10), (0.80, 0.58, 0.24), (0.62, 0.28, 0.12))


class Frame:
    """Where the parts of a person are, for what is put on them."""

    def __init__(self, rng: np.random.Generator, look: Look):
        self.leg = rng.uniform(0.3, 0.34) * look.stretch("tall", 1.3)
        self.trunk = rng.uniform(0.34, 0.38) * look.stretch("tall", 1.12)
        self.girth = rng.uniform(0.165, 0.185) * look.stretch("chubby", 1.35)
        self.head = rng.uniform(0.18, 0.2) * look.stretch("small", 1.25)
        self.skin = np.array(SKINS[rng.integers(len(SKINS))])
        self.hair = np.array(HAIRS[rng.integers(len(HAIRS))])
        self.shoulder = self.leg + self.trunk
        self.face = self.shoulder + self.head * 0.98
        self.hand = (self.girth + 0.15, self.leg + 0.06, 0.1)

    def limbs(self, sleeve: np.ndarray, trouser: np.ndarray, shoe: np.ndarray, hand) -> list[Mesh]:
        """Arms with hands, legs with shoes."""
        x, y, z = self.hand
        arm = tube(
            [(self.girth * 0.82, self.shoulder - 0.08, 0), (x - 0.02, self.shoulder * 0.55 + y * 0.45, 0),
             (x, y + 0.06, z - 0.03)], [0.078, 0.072, 0.062], sleeve, side=(0, 0, 1), segments=10,
        )  # fmt: skip
        fist = ellipsoid((x, y, z), (0.07, 0.075, 0.075), hand, rings=6, segments=12)
        at = self.girth * 0.52
        shank = tube([(at, 0.1, 0), (at, self.leg + 0.04, 0)], 0.09, trouser, segments=10)
        foot = ellipsoid((at, 0.055, 0.06), (0.095, 0.058, 0.165), shoe, rings=6, segments=12)
        return [part for mesh in (arm, fist, shank, foot) for part in pair(mesh)]

    def coat(self, color: np.ndarray) -> Mesh:
        """The trunk, from the hips to the neck."""
        g = self.girth
        profile = [(0.85, 0), (1.02, 0.06), (1.0, 0.45), (1.02, 0.7), (0.8, 0.92), (0.42, 1.04)]
        body = lathe([(r * g, self.leg - 0.03 + h * self.trunk) for r, h in profile], color)
        return body.with_positions(body.v_pos * (1.08, 1, 0.82))

    def features(self) -> list[Mesh]:
        """Head, eyes, nose and mouth."""
        h, y = self.head, self.face
        skull = ellipsoid((0, y, 0), (h, h * 1.06, h * 0.98), self.skin, rings=10, segments=20)
        eye_color = BLACK if not is_dark(self.skin) else WHITE
        eye = ellipsoid((h * 0.36, y + h * 0.12, h * 0.9), (h * 0.13, h * 0.17, h * 0.1), eye_color,
                        rings=5, segments=8)  # fmt: skip
        tip = ellipsoid((0, y - h * 0.1, h * 1.0), (h * 0.14, h * 0.13, h * 0.16), dark(self.skin, 0.9),
                        rings=5, segments=8)  # fmt: skip
        mouth = box((0, y - h * 0.42, h * 0.86), (h * 0.5, h * 0.12, h * 0.14), np.array((0.75, 0.3, 0.3)),
                    radius=0.012)  # fmt: skip
        return [skull, *pair(eye), tip, mouth]

    def carried(self, look: Look) -> list[Mesh]:
        """What the person wears or holds as an extra."""
        x, y, z = self.hand
        h = self.head
        return worn(
            look, head=Spot((0, self.face + h * 0.62, -0.02), h * 0.82),
            neck=Spot((0, self.shoulder + 0.02, 0.01), h * 0.78),
            face=Spot((0, self.face + h * 0.12, h * 0.96), h * 0.38),
            hand=Spot((-x, y, z), 0.07, 0, self.face + h - y),
        )  # fmt: skip

    def beard(self, color: np.ndarray, length: float) -> Mesh:
        """A beard from the chin down."""
        h = self.head
        y = self.face - h * 0.5
        return tube(
            [(0, y, h * 0.6), (0, y - length * 0.6, h * 0.95), (0, y - length, h * 0.9)],
            [(h * 0.66, h * 0.3), (h * 0.5, h * 0.26), (h * 0.12, h * 0.12)], color,
        )  # fmt: skip


def farmer(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A person with hair, in a shirt under dungarees of the toy's colour."""
    body = Frame(rng, look)
    shirt = WHITE if look.colour_word != "white" else np.array((0.55, 0.66, 0.80))
    shirt = pale(look.color, 0.72) if look.colour_word not in ("white", "grey") else shirt
    h, y, g = body.head, body.face, body.girth
    hair = ellipsoid(
        (0, y + h * 0.2, -h * 0.14), (h * 1.1, h * 1.02, h * 1.04), body.hair, rings=10
    )
    coat = body.coat(look.color)
    high = coat.v_pos[:, 1] > body.leg + body.trunk * 0.8
    middle = (np.abs(coat.v_pos[:, 0]) < g * 0.6) & (coat.v_pos[:, 2] > 0)
    coat = paint(coat, high & ~middle, shirt)
    strap = tube(
        [(g * 0.45, body.shoulder - 0.1, g * 0.78), (g * 0.4, body.shoulder + 0.01, 0),
         (g * 0.45, body.shoulder - 0.12, -g * 0.78)], 0.035, look.color, segments=8,
    )  # fmt: skip
    pocket = box(
        (0, body.leg + body.trunk * 0.5, g * 0.84), (g * 0.8, 0.12, 0.04), look.accent(0.75)
    )
    return [
        coat, *pair(strap), pocket, *body.features(), _fringe(hair, y, h),
        *body.limbs(shirt, look.color, np.array((0.36, 0.24, 0.16)), body.skin), *body.carried(look),
    ]  # fmt: skip


def _fringe(hair: Mesh, y: float, h: float) -> Mesh:
    """Hair that leaves the face free: what would cover it is drawn back into the head."""
    place = hair.v_pos.copy()
    covers = (place[:, 2] > h * 0.25) & (place[:, 1] < y + h * 0.55)
    place[covers, 2] = h * 0.25
    return hair.with_positions(place)


def wizard(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A long robe to the ground, a tall pointed hat with a star, a long white beard."""
    body = Frame(rng, look)
    g, h, y = body.girth, body.head, body.face
    trim = GOLD if look.colour_word not in ("yellow", "orange") else np.array((0.45, 0.25, 0.65))
    robe = lathe(
        [(g * 1.75, 0), (g * 1.78, 0.05), (g * 1.74, 0.07), (g * 1.3, body.leg * 0.8),
         (g * 1.0, body.leg + 0.1), (g * 1.02, body.shoulder - 0.12), (g * 0.45, body.shoulder + 0.02)],
        np.stack([trim, trim, *[look.color] * 5]),
    )  # fmt: skip
    belt = lathe([(g * 1.08, body.leg + 0.03), (g * 1.06, body.leg + 0.1)], trim)
    x, hand, z = body.hand
    arm = tube(
        [(g * 0.8, body.shoulder - 0.1, 0), (x + 0.02, body.shoulder * 0.5 + hand * 0.5, 0.02),
         (x + 0.01, hand + 0.07, z - 0.02)], [0.085, 0.095, 0.115], look.color, side=(0, 0, 1),
    )  # fmt: skip
    fist = ellipsoid((x, hand, z), (0.07, 0.075, 0.075), body.skin, rings=6, segments=12)
    peak = rng.uniform(0.4, 0.48)
    hat = lathe(
        [(h * 1.6, 0), (h * 1.65, 0.03), (h * 1.02, 0.07), (h * 1.0, 0.08),
         (h * 0.98, 0.12), (h * 0.96, 0.13), (h * 0.55, peak * 0.55),
         (h * 0.2, peak * 0.92), (0, peak)],
        np.stack([look.color] * 3 + [trim] * 2 + [look.color] * 4),
    )  # fmt: skip
    hat = move(rotate(hat, "x", -8), (0, y + h * 0.52, 0))
    star = ellipsoid((0, y + h * 0.52 + peak * 0.4, h * 0.66), (0.055, 0.055, 0.05), trim, rings=5)
    white = WHITE if look.colour_word != "white" else np.array((0.60, 0.58, 0.56))
    return [
        robe, belt, *pair(arm), *pair(fist), *body.features(), hat, star,
        body.beard(white, rng.uniform(0.3, 0.4)), *body.carried(look),
    ]  # fmt: skip


def king(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A coat with a fur hem, a cape behind, a short beard and a golden crown."""
    body = Frame(rng, look)
    g, h, y = body.girth, body.head, body.face
    fur = WHITE if look.colour_word != "white" else np.array((0.66, 0.52, 0.40))
    skirt = lathe(
        [(g * 1.42, 0.12), (g * 1.42, 0.2), (g * 1.4, 0.21), (g * 1.04, body.leg + 0.08)],
        np.stack([fur, fur, look.color, look.color]),
    )  # fmt: skip
    cape = tube(
        [(0, body.shoulder - 0.02, -g * 0.55), (0, body.leg, -g * 1.25), (0, 0.2, -g * 1.6),
         (0, 0.18, -g * 1.62), (0, 0.12, -g * 1.7)],
        [(g * 0.9, 0.06), (g * 1.35, 0.06), (g * 1.58, 0.05), (g * 1.6, 0.05), (g * 1.65, 0.05)],
        np.stack([look.accent(0.86)] * 3 + [fur] * 2),
    )  # fmt: skip
    collar = ellipsoid((0, body.shoulder - 0.02, 0), (g * 0.95, 0.07, g * 0.85), fur, rings=6)
    belt = lathe([(g * 1.12, body.leg + 0.04), (g * 1.1, body.leg + 0.1)], GOLD)
    hair = ellipsoid((0, y + h * 0.05, -h * 0.2), (h * 1.1, h * 1.08, h), body.hair, rings=10)
    ring_spot = Spot((0, 0, 0), h * 0.86)
    gold = GOLD if look.colour_word != "yellow" else GOLD * 0.85
    jewels = [move(part, (0, y + h * 0.72, 0)) for part in crown(gold, ring_spot)]
    return [
        body.coat(look.color), skirt, cape, collar, belt, *body.features(), _fringe(hair, y, h),
        body.beard(body.hair, 0.17), *jewels,
        *body.limbs(look.color, look.accent(0.75), dark(body.hair, 0.8), body.skin),
        *body.carried(look),
    ]  # fmt: skip


def knight(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """Steel armour under a tunic of the toy's colour, a closed helmet with a plume, a shield."""
    body = Frame(rng, look)
    g, h, y = body.girth, body.head, body.face
    steel = METAL * 0.92 if look.colour_word not in ("grey", "white") else dark(METAL, 0.62)
    tunic = lathe(
        [(g * 1.4, body.leg * 0.52), (g * 1.36, body.leg * 0.6), (g * 1.06, body.leg + 0.08)],
        look.color,
    )
    helmet = lathe(
        [(h * 1.0, -h * 0.9), (h * 1.06, -h * 0.4), (h * 1.08, h * 0.3), (h * 0.86, h * 0.85), (0, h * 1.2)],
        steel,
    )  # fmt: skip
    visor = box((0, y + h * 0.14, h * 0.93), (h * 1.25, h * 0.2, h * 0.34), BLACK, radius=0.02)
    ridge = box(
        (0, y - h * 0.25, h * 1.0), (h * 0.16, h * 0.95, h * 0.24), steel * 0.8, radius=0.02
    )
    plume = tube(
        [(0, y + h * 1.05, h * 0.3), (0, y + h * 1.62, -h * 0.1), (0, y + h * 1.35, -h * 1.0),
         (0, y + h * 0.6, -h * 1.4)],
        [(0.045, 0.05), (0.065, 0.09), (0.065, 0.08), (0.035, 0.04)], look.color, segments=10,
    )  # fmt: skip
    pad = ellipsoid((g * 0.98, body.shoulder - 0.07, 0), (0.115, 0.095, 0.115), steel, rings=6)
    x, hand, z = body.hand
    shield = ellipsoid((x + 0.05, hand + 0.08, z + 0.09), (0.17, 0.24, 0.05), look.color, rings=8)
    boss = ellipsoid((x + 0.05, hand + 0.1, z + 0.13), (0.06, 0.06, 0.045), steel, rings=5)
    cross = box((0, body.leg + body.trunk * 0.55, g * 0.85), (0.05, 0.2, 0.03), WHITE, radius=0.01)
    return [
        body.coat(look.color), tunic, move(helmet, (0, y, 0)), visor, ridge, plume, *pair(pad),
        shield, boss, cross, *body.limbs(steel, steel, steel * 0.75, steel), *body.carried(look),
    ]  # fmt: skip


def astronaut(rng: np.random.Generator, look: Look) -> list[Mesh]:
    """A bulky suit, a round helmet with a dark visor, a pack on the back, big boots and gloves."""
    body = Frame(rng, look)
    body.girth *= 1.15
    body.hand = (body.girth + 0.16, body.leg + 0.08, 0.12)
    g, h, y = body.girth, body.head * 1.2, body.shoulder + body.head * 1.05
    body.face = y
    tone = look.accent(0.6) if look.colour_word != "white" else np.array((0.92, 0.45, 0.15))
    helmet = ellipsoid((0, y, 0), (h, h, h), look.color, rings=10, segments=20)
    visor = ellipsoid((0, y + h * 0.02, h * 0.42), (h * 0.76, h * 0.66, h * 0.66), GLASS, rings=8)
    glint = ellipsoid(
        (-h * 0.3, y + h * 0.28, h * 0.93),
        (h * 0.14, h * 0.1, h * 0.06),
        WHITE,
        rings=4,
        segments=8,
    )
    collar = lathe([(h * 0.85, body.shoulder - 0.03), (h * 0.85, body.shoulder + 0.05)], tone)
    shell = pale(look.color, 0.3) if is_dark(look.color) else dark(look.color, 0.78)
    pack = box(
        (0, body.leg + body.trunk * 0.6, -g * 0.95), (g * 1.7, body.trunk * 0.95, 0.2), shell,
        radius=0.05,
    )  # fmt: skip
    panel = box(
        (0, body.leg + body.trunk * 0.55, g * 0.86), (g * 0.95, 0.13, 0.07), tone, radius=0.02
    )
    return [
        body.coat(look.color), helmet, visor, glint, collar, pack, panel,
        *body.limbs(look.color, look.color, tone, tone), *body.carried(look),
    ]  # fmt: skip
