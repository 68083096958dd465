"""Colour words and what they look like; how a toy looks; how its name is put together."""

from dataclasses import dataclass, field

import numpy as np

COLOURS = {
    "red": (0.84, 0.16, 0.15),
    "blue": (0.17, 0.38, 0.86),
    "green": (0.20, 0.64, 0.25),
    "yellow": (0.97, 0.82, 0.17),
    "white": (0.95, 0.95, 0.93),
    "black": (0.13, 0.13, 0.15),
    "brown": (0.48, 0.28, 0.14),
    "orange": (0.95, 0.53, 0.13),
    "grey": (0.56, 0.57, 0.60),
    "pink": (0.97, 0.56, 0.69),
    "purple": (0.52, 0.25, 0.72),
}
WHITE, BLACK, GREY = (np.array(COLOURS[word]) for word in ("white", "black", "grey"))
WOOD = np.array((0.63, 0.41, 0.22))
METAL = np.array((0.66, 0.68, 0.72))
GOLD = np.array((0.90, 0.70, 0.20))
STONE = np.array((0.60, 0.58, 0.54))
GLASS = np.array((0.22, 0.32, 0.42))  # of windows
PALE_GLASS = np.array((0.66, 0.83, 0.88))
PINK, BEAK = np.array((0.93, 0.62, 0.60)), np.array((0.96, 0.66, 0.16))


@dataclass(frozen=True)
class Look:
    """How one toy looks. color: (3,) sRGB of its dominant part; the words may be "".

    extra: a key of `accessories.EXTRAS`, extra_color: (3,) sRGB of it.
    """

    color: np.ndarray
    colour_word: str
    material: str = ""
    trait: str = ""
    extra: str = ""
    extra_color: np.ndarray = field(default_factory=lambda: WHITE)

    def stretch(self, word: str, factor: float) -> float:
        """`factor` if the toy has the trait `word`, else 1."""
        return factor if self.trait == word else 1.0

    def has(self, extra: str) -> bool:
        """Whether the toy has this extra."""
        return self.extra == extra

    def minor(self, otherwise: np.ndarray) -> np.ndarray:
        """The colour of lesser parts: the material's own, else `otherwise`."""
        return {"wooden": WOOD, "metal": METAL}.get(self.material, otherwise)

    def accent(self, factor: float = 0.7) -> np.ndarray:
        """A tone of its own colour that stands out: darker, or paler on a dark toy."""
        return pale(self.color, 0.4) if is_dark(self.color) else dark(self.color, factor)


def vary(rng: np.random.Generator, color: np.ndarray, amount: float = 1.0) -> np.ndarray:
    """The colour, a little lighter or darker and a little shifted, in [0, 1]."""
    shift = rng.uniform(-0.045, 0.045) + rng.uniform(-0.025, 0.025, 3)
    return np.clip(np.asarray(color) + amount * shift, 0.02, 0.98)


def dark(color: np.ndarray, factor: float = 0.6) -> np.ndarray:
    """The same hue, darker."""
    return np.asarray(color) * factor


def pale(color: np.ndarray, share: float = 0.6) -> np.ndarray:
    """The colour mixed with `share` of white."""
    return np.asarray(color) * (1 - share) + WHITE * share


def is_dark(color: np.ndarray) -> bool:
    """Whether dark details would vanish on this colour."""
    return float(np.mean(color)) < 0.3


def article(phrase: str) -> str:
    """The phrase with "a" or "an"."""
    return ("an " if phrase[0].lower() in "aeio" else "a ") + phrase
