"""The categories of the Toyverse: what they are called, how they look, who builds them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sdtool.errors import UsageError
from sdtool.geometry.meshes import Mesh
from sdtool.toyverse import (
    animals,
    birds,
    buildings,
    food,
    furniture,
    household,
    people,
    plants,
    playthings,
    tools,
    transport,
    vehicles,
    wild,
)
from sdtool.toyverse.words import COLOURS, Look

Builder = Callable[[np.random.Generator, Look], list[Mesh]]


@dataclass(frozen=True)
class Category:
    """One kind of toy.

    colour: the colour word of a plain one; natural: its own shade of it, if it has one.
    group: its category in Objaverse's words. clause: ends a description ("a corgi with …"), true of
    every one. traits, materials, extras: what may be said of it; an extra is a key of
    `accessories.EXTRAS`, and the builder makes it when `look.has` it.
    """

    build: Builder
    colour: str
    group: str
    clause: str
    tags: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    natural: tuple[float, float, float] | None = None

    def shade(self, word: str) -> np.ndarray:
        """(3,) sRGB that the colour `word` means on this toy."""
        special = self.natural is not None and word == self.colour
        return np.array(self.natural if special else COLOURS[word])


def _build_tree(rng: np.random.Generator, look: Look) -> list[Mesh]:
    return (plants.pine if look.trait == "pine" else plants.tree)(rng, look)


ANIMALS, HOME, CARS, BUILDINGS = "animals-pets", "furniture-home", "cars-vehicles", "architecture"
FOOD, PLANTS, PEOPLE = "food-drink", "nature-plants", "people"
FIGURES = "characters-creatures"
STUFF = ("plush", "knitted", "wooden", "golden")  # what toy animals are made of
FURNITURE, MACHINE = ("wooden", "metal", "plastic"), ("metal", "plastic", "wooden")
STONES = ("stone", "wooden")

CATEGORIES = {
    # Animals
    "corgi": Category(
        animals.corgi, "orange", ANIMALS, "with big upright ears, short legs and a white chest",
        ("dog", "animal", "pet"), ("small", "long", "chubby"), STUFF,
        ("hat", "scarf", "sunglasses", "blanket"), (0.87, 0.50, 0.18),
    ),
    "cat": Category(
        animals.cat, "grey", ANIMALS, "with pointed ears and a long raised tail",
        ("animal", "pet", "kitten"), ("small", "long", "chubby", "tall"), STUFF,
        ("hat", "scarf", "sunglasses"), (0.50, 0.50, 0.55),
    ),
    "horse": Category(
        animals.horse, "brown", ANIMALS, "with long legs and a long mane",
        ("animal", "farm"), ("small", "chubby", "tall"), STUFF,
        ("hat", "scarf", "saddle", "blanket"), (0.55, 0.31, 0.15),
    ),
    "elephant": Category(
        animals.elephant, "grey", ANIMALS, "with a long trunk, wide ears and white tusks",
        ("animal", "zoo", "africa"), ("small", "chubby", "tall"), STUFF,
        ("hat", "saddle", "blanket"), (0.56, 0.58, 0.64),
    ),
    "rabbit": Category(
        animals.rabbit, "white", ANIMALS, "with very long ears and a round tail",
        ("animal", "pet", "bunny"), ("small", "chubby", "tall"), STUFF,
        ("scarf", "sunglasses"),
    ),
    "bear": Category(
        wild.bear, "brown", ANIMALS, "with round ears, a pale muzzle and thick legs",
        ("animal", "forest"), ("small", "chubby", "tall"), STUFF,
        ("hat", "scarf", "sunglasses"), (0.42, 0.26, 0.15),
    ),
    "pig": Category(
        wild.pig, "pink", ANIMALS, "with a flat snout and short legs",
        ("animal", "farm"), ("small", "long", "chubby"), STUFF,
        ("hat", "scarf", "sunglasses"), (0.95, 0.66, 0.68),
    ),
    "giraffe": Category(
        wild.giraffe, "yellow", ANIMALS, "with a very long neck, dark patches and two small horns",
        ("animal", "zoo", "africa"), ("small", "chubby", "tall"), STUFF,
        ("hat", "scarf"), (0.93, 0.74, 0.36),
    ),
    "lion": Category(
        wild.lion, "yellow", ANIMALS, "with a great dark mane and a tuft on its tail",
        ("animal", "zoo", "africa"), ("small", "long", "chubby"), STUFF,
        ("hat", "crown", "sunglasses"), (0.90, 0.68, 0.33),
    ),
    "turtle": Category(
        wild.turtle, "green", ANIMALS, "with a domed shell and four stout legs",
        ("animal", "tortoise", "sea"), ("small", "long", "chubby", "tall"), STUFF,
        ("hat", "scarf", "sunglasses"), (0.30, 0.52, 0.24),
    ),
    "dinosaur": Category(
        wild.dinosaur, "green", ANIMALS, "with a big head, tiny arms and a long tail",
        ("animal", "trex"), ("small", "long", "chubby", "tall"), STUFF,
        ("hat", "scarf", "sunglasses"), (0.36, 0.60, 0.30),
    ),
    "bird": Category(
        birds.bird, "blue", ANIMALS, "with open wings and an orange beak",
        ("animal", "wings"), ("small", "chubby", "wide"), STUFF, ("hat", "scarf"),
    ),
    "duck": Category(
        birds.duck, "yellow", ANIMALS, "with a flat beak and an upturned tail",
        ("animal", "farm", "pond"), ("small", "chubby", "tall"), STUFF,
        ("hat", "scarf", "sunglasses"),
    ),
    "penguin": Category(
        birds.penguin, "black", ANIMALS, "with a pale chest and flippers at its sides",
        ("animal", "antarctic"), ("small", "chubby", "tall"), STUFF,
        ("hat", "scarf", "sunglasses", "balloon"), (0.17, 0.20, 0.28),
    ),
    "fish": Category(
        birds.fish, "orange", ANIMALS, "with a forked tail and a bright stripe",
        ("animal", "sea"), ("long", "chubby", "tall"), STUFF, natural=(0.97, 0.48, 0.11),
    ),
    # Furniture and the house
    "chair": Category(
        furniture.chair, "brown", HOME, "with four legs and a backrest",
        ("furniture", "seat"), ("tall", "wide", "low"), FURNITURE,
        ("armrests", "cushion"), (0.58, 0.36, 0.18),
    ),
    "table": Category(
        furniture.table, "brown", HOME, "with a thick top on four legs",
        ("furniture", "desk"), ("tall", "long", "low", "round"), FURNITURE, ("vase",),
        (0.58, 0.36, 0.18),
    ),
    "sofa": Category(
        furniture.sofa, "purple", HOME, "with soft seats, a back and two arms",
        ("furniture", "couch"), ("tall", "long", "low"), (), ("cushions",),
    ),
    "bed": Category(
        furniture.bed, "blue", HOME, "with a headboard and two pillows",
        ("furniture", "bedroom"), ("tall", "wide", "long"), ("wooden", "metal"), ("canopy",),
    ),
    "bookshelf": Category(
        furniture.bookshelf, "brown", HOME, "with boards between two sides",
        ("furniture", "library"), ("tall", "wide", "narrow", "low"), FURNITURE, ("books",),
        (0.58, 0.36, 0.18),
    ),
    "mug": Category(
        household.mug, "blue", FOOD, "with one round handle",
        ("cup", "coffee", "kitchen"), ("tall", "wide"), ("ceramic", "metal", "glass"), ("spoon",),
    ),
    "teapot": Category(
        household.teapot, "green", FOOD, "with a spout, a handle and a lid",
        ("tea", "kitchen"), ("tall", "wide"), ("ceramic", "metal", "glass", "golden"),
    ),
    "lamp": Category(
        household.lamp, "yellow", HOME, "with a wide shade on a stem",
        ("light", "furniture"), ("tall", "wide"), ("wooden", "metal"),
    ),
    # Vehicles
    "car": Category(
        vehicles.car, "red", CARS, "with four wheels and bright headlights",
        ("vehicle", "automobile"), ("long", "small", "tall"), MACHINE, ("suitcase",),
    ),
    "truck": Category(
        transport.truck, "orange", CARS, "with a high cab, an open bed and six wheels",
        ("vehicle", "lorry"), ("long", "small", "tall"), MACHINE, ("logs",),
    ),
    "bus": Category(
        transport.bus, "yellow", CARS, "with rows of windows and four wheels",
        ("vehicle", "transport"), ("long", "small", "tall"), MACHINE, ("suitcase",),
    ),
    "train": Category(
        transport.train, "green", CARS, "with a round boiler, a funnel and a cab",
        ("vehicle", "locomotive", "railway"), ("long", "chubby", "tall"), MACHINE, ("wagon",),
    ),
    "airplane": Category(
        vehicles.airplane, "white", CARS, "with swept wings, two engines and a tail fin",
        ("aircraft", "plane", "vehicle"), ("long", "chubby", "wide"), MACHINE,
    ),
    "helicopter": Category(
        transport.helicopter, "red", CARS, "with a big rotor, a glass nose and a thin tail",
        ("aircraft", "vehicle"), ("long", "chubby", "wide"), MACHINE, ("floats",),
    ),
    "rocket": Category(
        transport.rocket, "white", CARS, "with a pointed nose, a round window and four fins",
        ("spaceship", "vehicle", "space"), ("tall", "chubby"), MACHINE, ("boosters",),
    ),
    "boat": Category(
        vehicles.boat, "red", CARS, "with a pointed bow and a flat deck",
        ("ship", "vehicle", "sea"), ("long", "small", "sailing"), ("wooden", "plastic"),
    ),
    # Buildings
    "house": Category(
        buildings.house, "yellow", BUILDINGS, "with a gabled roof, a door and windows",
        ("building", "home"), ("tall", "wide", "small"), STONES, ("chimney", "roof", "fence"),
        (0.95, 0.85, 0.55),
    ),
    "castle": Category(
        buildings.castle, "grey", BUILDINGS, "with four round towers and a gate",
        ("building", "medieval", "fortress"), ("tall", "wide"), STONES, ("flags",),
        (0.66, 0.65, 0.64),
    ),
    "lighthouse": Category(
        buildings.lighthouse, "red", BUILDINGS, "with stripes and a glowing lantern",
        ("building", "tower", "sea"), ("tall", "wide", "small"), STONES,
    ),
    "windmill": Category(
        buildings.windmill, "white", BUILDINGS, "with four sails and a round tower",
        ("building", "farm"), ("tall", "wide"), STONES,
    ),
    # Food
    "apple": Category(
        food.apple, "red", FOOD, "with a short brown stalk",
        ("fruit", "food"), ("tall", "wide"), ("golden", "glass", "wooden"), ("leaf",),
    ),
    "cake": Category(
        food.cake, "pink", FOOD, "with two tiers and dots of cream",
        ("dessert", "food", "birthday"), ("tall", "wide"), (), ("candles", "cherry"),
    ),
    "burger": Category(
        food.burger, "brown", FOOD, "with meat, cheese and lettuce in a bun",
        ("hamburger", "food"), ("tall", "wide"), ("plush",), ("cherry",), (0.82, 0.52, 0.22),
    ),
    "cupcake": Category(
        food.cupcake, "pink", FOOD, "with swirled icing in a paper cup",
        ("dessert", "food"), ("tall", "wide"), ("plush",), ("cherry",),
    ),
    # Tools
    "hammer": Category(
        tools.hammer, "brown", HOME, "with a round face and a claw",
        ("tool", "workshop"), ("long", "chubby"), ("wooden", "plastic", "golden"),
        natural=(0.70, 0.46, 0.24),
    ),
    "axe": Category(
        tools.axe, "brown", HOME, "with a broad bright blade",
        ("tool", "forest"), ("long", "wide"), ("wooden", "golden"), natural=(0.62, 0.38, 0.18),
    ),
    "key": Category(
        tools.key, "grey", HOME, "with a round handle and two teeth",
        ("tool", "lock"), ("long", "wide"), ("golden", "metal", "wooden"),
    ),
    "bucket": Category(
        tools.bucket, "blue", HOME, "with a raised handle",
        ("tool", "pail", "garden"), ("tall", "wide"), ("metal", "plastic", "wooden"), ("sand",),
    ),
    # Plants
    "tree": Category(
        _build_tree, "green", PLANTS, "with a brown trunk",
        ("plant", "nature", "forest"), ("tall", "wide", "pine"), (), ("apples",),
    ),
    "palm": Category(
        plants.palm, "green", PLANTS, "with long drooping leaves on a bare trunk",
        ("plant", "nature", "tropical"), ("tall", "wide"), (), ("coconuts",), (0.26, 0.60, 0.22),
    ),
    "cactus": Category(
        plants.cactus, "green", PLANTS, "with two arms bent upward",
        ("plant", "desert"), ("tall", "chubby"), ("plush", "knitted", "glass"),
        ("flower", "pot", "hat"), (0.26, 0.56, 0.30),
    ),
    "flower": Category(
        plants.flower, "yellow", PLANTS, "with a ring of petals and two leaves",
        ("plant", "garden", "blossom"), ("tall", "wide"), ("plush", "glass"), ("pot",),
    ),
    "mushroom": Category(
        plants.mushroom, "red", PLANTS, "with a spotted cap on a pale stem",
        ("fungus", "forest"), ("tall", "wide", "chubby"), ("wooden", "glass", "plush"),
    ),
    # People
    "farmer": Category(
        people.farmer, "blue", PEOPLE, "in dungarees",
        ("person", "human", "worker"), ("tall", "small", "chubby"), ("wooden", "knitted"),
        ("hat", "scarf", "sunglasses", "balloon"), (0.24, 0.38, 0.66),
    ),
    "wizard": Category(
        people.wizard, "purple", PEOPLE, "with a pointed hat and a long beard",
        ("person", "magic", "fantasy"), ("tall", "small", "chubby"), ("wooden", "knitted"),
        ("staff", "balloon"),
    ),
    "king": Category(
        people.king, "red", PEOPLE, "with a golden crown and a cape",
        ("person", "royal", "medieval"), ("tall", "small", "chubby"), ("wooden", "knitted"),
        ("sword", "flag", "balloon"),
    ),
    "knight": Category(
        people.knight, "red", PEOPLE, "in steel armour with a plume and a shield",
        ("person", "medieval", "warrior"), ("tall", "small", "chubby"), ("wooden", "metal"),
        ("sword", "flag"),
    ),
    "astronaut": Category(
        people.astronaut, "white", PEOPLE, "with a round helmet and a pack on its back",
        ("person", "space"), ("tall", "small", "chubby"), ("plush", "plastic"),
        ("flag", "balloon"),
    ),
    # Playthings
    "robot": Category(
        playthings.robot, "grey", FIGURES, "with glowing eyes and an antenna",
        ("character", "android"), ("tall", "small", "wide"), ("metal", "plastic", "golden"),
        ("scarf", "balloon", "flag"),
    ),
    "teddy": Category(
        playthings.teddy, "brown", FIGURES, "with round ears and pale soles, sitting",
        ("character", "bear"), ("tall", "small", "chubby"), ("plush", "knitted"),
        ("hat", "scarf", "sunglasses", "balloon"), (0.66, 0.43, 0.22),
    ),
    "snowman": Category(
        playthings.snowman, "white", FIGURES, "with a carrot nose and arms of twigs",
        ("character", "winter", "snow"), ("tall", "small", "chubby"), ("knitted", "plush"),
        ("hat", "scarf", "sunglasses", "flag"),
    ),
    "drum": Category(
        playthings.drum, "red", "music", "with cords between two rims",
        ("instrument", "percussion"), ("tall", "wide", "low"), ("wooden", "metal"),
        ("drumsticks",),
    ),
    "ball": Category(
        playthings.ball, "red", "sports-fitness", "in two colours",
        ("sport", "beach"), ("spotted",), ("plastic", "plush", "knitted"),
    ),
}  # fmt: skip


def choose(names: list[str] | None) -> list[str]:
    """The given category names without repetition (all if None); UsageError for an unknown one."""
    if not names:
        return list(CATEGORIES)
    for name in names:
        if name not in CATEGORIES:
            known = ", ".join(CATEGORIES)
            raise UsageError(
                f"--categories: {name!r} is unknown; the toyverse has {known}", "--categories"
            )
    return list(dict.fromkeys(names))
