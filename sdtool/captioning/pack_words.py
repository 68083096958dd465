"""The words of asset packs: what their files' names hold, and what English makes of them."""

from sdtool.captioning.english import ADJECTIVES
from sdtool.captioning.nouns import THINGS

# Things of asset packs that tags do not name, and first halves of compounds.
MORE_THINGS = THINGS | frozenset(
    """bale banner barbarian barricade base bundle can character chimney cleric crate crop cup
    curb door doormat druid end figure floor foundation gravel hatchback home hydrant inn
    junction keg keyring knight light lumber mage mailbox market monk paladin pallet path
    pavement person plank planter quiver racer ranger ribcage road rogue roof rubble rug sack
    seat sedan shack shrine sidewalk spellbook stable stump target tavern tile trash tree
    wagon wall""".split()
)
HALVES = frozenset(
    "fire water traffic smoke street end picture station sand snow rain oil gas".split()
)
# More adjectives than tags have, by their place in the order of `sdtool.captioning.english`.
PLACES: dict[str, float] = {
    **ADJECTIVES,
    **dict.fromkeys("triple".split(), -1.0),
    **dict.fromkeys("extra-large".split(), 0.0),
    **dict.fromkeys("medium-sized".split(), 0.5),
    **dict.fromkeys(
        """open closed empty full lit unlit dark bright straight curved oval rectangular
        triangular circular diagonal flat bent cut crooked female male rocky sandy grassy
        snowy mossy icy dead heavy sharp simple plain fancy hanging standing flying sitting
        running walking sleeping lying floating burning glowing folding leaning patterned
        striped dotted sloped walled cracked stacked inner outer""".split(),
        1.0,
    ),
    "arched": 1.5,
    **dict.fromkeys("colored colorful".split(), 2.0),
    **dict.fromkeys(
        """dirt brick sand grass snow ice straw bamboo cloth copper bronze clay tin rope bone""".split(),
        4.0,
    ),
    **dict.fromkeys("autumn winter summer".split(), 3.5),
    **dict.fromkeys("half single double twin t-shaped l-shaped u-shaped".split(), 5.0),
}
SAID_AS = {
    "color": "colored", "colour": "colored", "coloured": "colored", "wood": "wooden",
    "gold": "golden", "medium": "medium-sized", "med": "medium-sized", "sm": "small",
    "lg": "large", "extralarge": "extra-large", "xl": "extra-large", "rectangle": "rectangular",
    "square": "square", "circle": "circular", "triangle": "triangular", "stripes": "striped",
    "stripe": "striped", "pattern": "patterned", "dots": "dotted", "tsplit": "t-shaped",
    "fall": "autumn", "colum": "column", "scaffold": "scaffolding", "burnt": "burned",
}  # fmt: skip
ONLY_BEHIND = {"fall", "rectangle", "square", "circle", "triangle", "pattern", "stripe", "medium"}
NOUNS_IN_ED = {"bed", "shed", "seed", "weed", "sled", "steed", "reed", "moped", "breed"}
COLLECTIVES = {"stack", "bundle", "set", "pile", "group", "row", "heap", "bunch", "pair", "cluster"}
CONTAINERS = {
    "plate",
    "bowl",
    "cup",
    "mug",
    "glass",
    "bottle",
    "sack",
    "bag",
    "bucket",
    "basket",
    "jar",
    "can",
}
CONTENTS = {
    "food",
    "soup",
    "water",
    "milk",
    "beer",
    "wine",
    "tea",
    "coffee",
    "rice",
    "ketchup",
    "juice",
    "ale",
    "sand",
    "gold",
}
MASSES = {"rubble", "trash", "garbage", "gravel", "debris"}
# Things that others stand in or on; of all else a second noun is what it is: a car door, a door handle.
OWNERS = frozenset(
    """armchair banner barrel barrier bed bench box building bus cabinet campfire chair chest
    cliff column couch crate cupboard desk floor hill house island mountain pillar plate road
    rock rug shelf shield shrine sofa stairs stand table tile wagon wall""".split()
)
# What they have, where it stands behind them: in the singular these, in the plural anything.
FEATURES = {
    "doorway", "door", "window", "gate", "grate", "scaffolding", "pillar", "column", "tablecloth",
    "balcony", "ladder", "vine", "moss", "cushion", "pillow", "blanket",
}  # fmt: skip
FEATURES_OF = {"banner": {"shield"}, "road": {"crossing"}, "stairs": {"wall"}, "house": {"chimney"}}
NO_FEATURE_OF = {"house": {"door"}}
STATES = {"open", "closed", "gated", "barred", "lit", "locked", "broken", "shut", "arched", "round"}
# The kind behind the thing: "car police" is a police car.
QUALIFIERS = {
    "car": {"police", "race", "racing", "sports", "sport"}, "lamp": {"table", "desk", "floor", "street"},
    "bed": {"floor", "bunk"}, "shield": {"badge", "barbarian", "knight"}, "chair": {"office", "desk"},
    "cake": {"birthday", "wedding"}, "burger": {"cheese"}, "ship": {"pirate", "cargo"},
    "spaceship": {"cargo"}, "boat": {"fishing", "row", "sail"}, "wheel": {"truck", "car", "wagon"},
    "torch": {"wall"}, "tree": {"pine", "oak", "palm", "birch", "apple", "fir", "willow", "cherry"},
    "table": {"coffee", "dining", "side", "kitchen"}, "truck": {"fire", "garbage", "delivery"},
}  # fmt: skip
NARROWER = {
    "car": {"sedan", "hatchback", "taxi", "wagon", "van", "limousine", "coupe", "pickup", "jeep"},
    "chair": {"stool", "armchair", "throne"}, "rug": {"doormat"}, "weapon": THINGS,
    "animal": THINGS, "prop": THINGS, "furniture": THINGS, "vehicle": THINGS, "food": THINGS,
}  # fmt: skip
TOGETHER = {("sword", "shield"), ("bow", "arrow"), ("cup", "saucer"), ("knife", "fork")}
SIDES = {"front", "back", "side", "sides", "top", "bottom"}
LOW = {"table", "bench", "shelf", "wall", "fence", "bed", "chair", "stool", "couch", "bridge"}
NUMBERS = dict(
    zip("123456789", "one two three four five six seven eight nine".split(), strict=True)
)


KNOWN = frozenset({*MORE_THINGS, *FEATURES, *SIDES, *PLACES})
NO_PARTICIPLES = MORE_THINGS | NOUNS_IN_ED
