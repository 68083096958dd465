"""The categories of the Toyverse: what they are called, how they look, who builds them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sdtool.errors import UsageError
from sdtool.meshes import Mesh
from sdtool.toyverse import animals, furniture, things, vehicles
from sdtool.toyverse.words import COLOURS, Look

Builder = Callable[[np.random.Generator, Look], list[Mesh]]


@dataclass(frozen=True)
class Category:
    """One kind of toy.

    colour: the colour word of a plain one; natural: its own shade of it, if it has one.
    group: its category in Objaverse's words. clause: ends a description ("a corgi with …").
    """

    build: Builder
    colour: str
    group: str
    clause: str
    tags: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    natural: tuple[float, float, float] | None = None

    def shade(self, word: str) -> np.ndarray:
        """(3,) sRGB that the colour `word` means on this toy."""
        special = self.natural is not None and word == self.colour
        return np.array(self.natural if special else COLOURS[word])


def _build_tree(rng: np.random.Generator, look: Look) -> list[Mesh]:
    return (things.pine if look.trait == "pine" else things.tree)(rng, look)


ANIMALS, HOME, CARS = "animals-pets", "furniture-home", "cars-vehicles"

CATEGORIES = {
    "corgi": Category(
        animals.corgi, "orange", ANIMALS, "with big upright ears, short legs and a white chest",
        ("dog", "animal", "pet"), ("small", "long", "chubby"), natural=(0.87, 0.50, 0.18),
    ),
    "cat": Category(
        animals.cat, "grey", ANIMALS, "with pointed ears and a long raised tail",
        ("animal", "pet", "kitten"), ("small", "long", "chubby", "tall"),
        natural=(0.50, 0.50, 0.55),
    ),
    "horse": Category(
        animals.horse, "brown", ANIMALS, "with long legs and a long mane",
        ("animal", "farm"), ("small", "chubby", "tall"), natural=(0.55, 0.31, 0.15),
    ),
    "elephant": Category(
        animals.elephant, "grey", ANIMALS, "with a long trunk, wide ears and white tusks",
        ("animal", "zoo", "africa"), ("small", "chubby", "tall"), natural=(0.56, 0.58, 0.64),
    ),
    "rabbit": Category(
        animals.rabbit, "white", ANIMALS, "with very long ears and a round tail",
        ("animal", "pet", "bunny"), ("small", "chubby", "tall"),
    ),
    "bird": Category(
        animals.bird, "blue", ANIMALS, "with open wings and an orange beak",
        ("animal", "wings"), ("small", "chubby", "wide"),
    ),
    "fish": Category(
        animals.fish, "orange", ANIMALS, "with a forked tail and a bright stripe",
        ("animal", "sea"), ("long", "chubby", "tall"), natural=(0.97, 0.48, 0.11),
    ),
    "chair": Category(
        furniture.chair, "brown", HOME, "with four legs and a backrest",
        ("furniture", "seat"), ("tall", "wide", "low"), ("wooden", "metal", "plastic"),
        natural=(0.58, 0.36, 0.18),
    ),
    "table": Category(
        furniture.table, "brown", HOME, "with a thick top on four legs",
        ("furniture", "desk"), ("tall", "long", "low", "round"), ("wooden", "metal", "plastic"),
        natural=(0.58, 0.36, 0.18),
    ),
    "mug": Category(
        furniture.mug, "blue", "food-drink", "with one round handle",
        ("cup", "coffee", "kitchen"), ("tall", "wide"), ("ceramic", "metal"),
    ),
    "teapot": Category(
        furniture.teapot, "green", "food-drink", "with a spout, a handle and a lid",
        ("tea", "kitchen"), ("tall", "wide"), ("ceramic", "metal"),
    ),
    "lamp": Category(
        furniture.lamp, "yellow", HOME, "with a wide shade on a stem",
        ("light", "furniture"), ("tall", "wide"), ("wooden", "metal"),
    ),
    "car": Category(
        vehicles.car, "red", CARS, "with four wheels and bright headlights",
        ("vehicle", "automobile"), ("long", "small", "tall"), ("metal", "plastic"),
    ),
    "airplane": Category(
        vehicles.airplane, "white", CARS, "with swept wings, two engines and a tail fin",
        ("aircraft", "plane", "vehicle"), ("long", "chubby", "wide"), ("metal", "plastic"),
    ),
    "boat": Category(
        vehicles.boat, "red", CARS, "with a pointed bow and a flat deck",
        ("ship", "vehicle", "sea"), ("long", "small", "sailing"), ("wooden", "plastic"),
    ),
    "house": Category(
        things.house, "yellow", "architecture", "with a gabled roof, a door and a chimney",
        ("building", "home"), ("tall", "wide", "small"), ("wooden",),
        natural=(0.95, 0.85, 0.55),
    ),
    "tree": Category(
        _build_tree, "green", "nature-plants", "with a brown trunk",
        ("plant", "nature", "forest"), ("tall", "wide", "pine"),
    ),
    "robot": Category(
        things.robot, "grey", "characters-creatures", "with glowing eyes and an antenna",
        ("character", "android"), ("tall", "small", "wide"), ("metal", "plastic"),
    ),
}  # fmt: skip


def choose(names: list[str] | None) -> list[str]:
    """The given category names without repetition (all if None); UsageError for an unknown one."""
    if not names:
        return list(CATEGORIES)
    for name in names:
        if name not in CATEGORIES:
            known = ", ".join(CATEGORIES)
            raise UsageError(f"--categories: {name!r} is unknown; the toyverse has {known}")
    return list(dict.fromkeys(names))
