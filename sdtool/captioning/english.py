"""A little English: articles, plurals, adjectives and their order, ways to say the same thing.

Rules of thumb, tested.
"""

import re
from functools import lru_cache

import numpy as np

# Adjectives in the order in which English puts them before a noun.
SIZES = "tiny small little big large huge giant tall low long short wide narrow thin thick chubby"
LOOKS = (
    "old ancient vintage antique rusty broken abandoned ruined damaged dirty worn modern futuristic "
    "cute funny scary creepy ornate elegant round square"
)
COLOURS = (
    "red blue green yellow white black brown orange grey gray pink purple golden silver beige "
    "turquoise violet"
)
STYLES = (
    "medieval gothic victorian baroque roman egyptian greek japanese chinese indian african "
    "american british english french german italian russian soviet viking celtic islamic "
    "scandinavian tropical military industrial rustic retro sci-fi post-apocalyptic traditional "
    "cartoon fantasy steampunk cyberpunk"
)
MATERIALS = "wooden metal plastic ceramic glass stone leather marble concrete paper steel iron"
ADJECTIVES = {
    word: place
    for place, words in enumerate((SIZES, LOOKS, COLOURS, STYLES, MATERIALS))
    for word in words.split()
}
COLOUR_WORDS, MATERIAL_WORDS = frozenset(COLOURS.split()), frozenset(MATERIALS.split())
MADE_OF = {"wooden": "wood"} | {word: word for word in MATERIAL_WORDS - {"wooden"}}

DETERMINERS = {"a", "an", "the", "two", "three", "four", "five", "some", "his", "her"}
POSSESSIVES = {"my", "our", "your"}
PAIRS = {"clothes", "glasses", "goggles", "headphones", "jeans", "pants", "scissors", "sunglasses"}
HEAD_ENDS = {"of", "with", "on", "in", "from", "for", "and", "at", "without"}
IRREGULAR = {
    "buses": "bus", "children": "child", "elves": "elf", "feet": "foot", "geese": "goose",
    "heroes": "hero", "knives": "knife", "leaves": "leaf", "men": "man", "mice": "mouse",
    "people": "person", "potatoes": "potato", "shelves": "shelf", "bookshelves": "bookshelf",
    "teeth": "tooth", "tomatoes": "tomato", "wolves": "wolf", "women": "woman",
}  # fmt: skip
PLURAL_OF = {one: many for many, one in IRREGULAR.items()}
UNCOUNTED = {
    "armour", "armor", "bacon", "bread", "clothing", "coral", "fire", "food", "footwear", "fruit",
    "furniture", "grass", "hair", "ice", "ivy", "jewellery", "jewelry", "lava", "money", "moss", "ruins",
    "scaffolding", "snow", "sushi", "terrain", "water", "wheat",
}  # fmt: skip


def noun_phrase(text: str) -> str:
    """Lower-case words → a noun phrase: "my old car" → "an old car", "the thinker" stays."""
    words = text.split()
    if len(words) > 1 and words[0] in POSSESSIVES:
        words = words[1:]
    if len(words) > 1 and words[0] in ("a", "an"):
        words = words[1:]
    elif len(words) > 1 and (words[0] in DETERMINERS or words[0].endswith("'s")):
        return " ".join(words)
    return with_article(" ".join(words))


def with_article(text: str) -> str:
    """ "old car" → "an old car", "scissors" → "scissors"; the empty text stays empty."""
    words = text.split()
    if not words:
        return ""
    ends = [i for i, word in enumerate(words) if i and word in HEAD_ENDS]
    head = words[ends[0] - 1] if ends else words[-1]  # "statues of a man": statues
    if is_plural(head) or head in UNCOUNTED:
        return " ".join(words)
    return ("an " if sounds_like_a_vowel(words[0]) else "a ") + " ".join(words)


@lru_cache(1 << 14)
def sounds_like_a_vowel(word: str) -> bool:
    """Whether `word` takes "an": an hour, a unicorn, an f-16, a u-boat."""
    if re.match(r"[a-z](-|\d|$)", word):  # a letter spoken by its name
        return word[0] in "aefhilmnorsx"
    if re.match(r"hour|honest|honou?r|heir|8|1[18]$", word):
        return True
    if re.match(r"uni(?!n|m)|use|usu|ufo|usb|uk|uto|eu|ew|one(?:$|-)|ouija", word):
        return False
    return word[0] in "aeiouáàäâéèêíîóöôú"


@lru_cache(1 << 14)
def is_plural(word: str) -> bool:
    """Whether the noun looks plural: chairs, glasses, men; not bus, dress, lens."""
    if word in IRREGULAR:
        return True
    if re.search(r"(ss|us|is|as|os|ics|lens|series|species|mars|mercedes)$", word):
        return False
    return re.search(r"[a-z]{2}s$", word) is not None


@lru_cache(1 << 14)
def singular(word: str) -> str:
    """ "chairs" → "chair", "berries" → "berry", "boxes" → "box"; other words unchanged."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in PAIRS or word in UNCOUNTED or not is_plural(word):
        return word
    if word.endswith("ies") and len(word) > 4 and word not in ("cookies", "zombies", "movies"):
        return word[:-3] + "y"
    return word[:-2] if re.search(r"(sh|ch|x|z|ss)es$", word) else word[:-1]


def ordered(adjectives: list[str]) -> list[str]:
    """The adjectives in English order, each once; two colours joined by "and"."""
    words = sorted(dict.fromkeys(adjectives), key=ADJECTIVES.__getitem__)
    colours = [word for word in words if word in COLOUR_WORDS]
    if len(colours) < 2:
        return words
    place = words.index(colours[0])
    rest = [word for word in words if word not in COLOUR_WORDS]
    return [*rest[:place], f"{colours[0]} and {colours[1]}", *rest[place:]]


def describe(adjectives: list[str], noun: str) -> str:
    """Adjectives in English order before the noun, with an article: "a small red chair"."""
    return with_article(" ".join([*ordered(adjectives), noun]))


def phrasings(adjectives: list[str], noun: str) -> list[str]:
    """Ways to say `describe(adjectives, noun)`, that one first.

    "a small red wooden chair", "a small red chair made of wood", "a small wooden chair in red",
    and of two looks or more "a red wooden chair, small and old".
    """
    ways = [describe(adjectives, noun)]
    materials = [word for word in adjectives if word in MATERIAL_WORDS]
    colours = [word for word in adjectives if word in COLOUR_WORDS]
    looks = [word for word in adjectives if ADJECTIVES[word] < 2]
    if len(materials) == 1:
        rest = [word for word in adjectives if word not in materials]
        ways.append(f"{describe(rest, noun)} made of {MADE_OF[materials[0]]}")
    if colours:
        rest = [word for word in adjectives if word not in COLOUR_WORDS]
        ways.append(f"{describe(rest, noun)} in {ordered(colours)[0]}")
    if len(looks) > 1 and len(adjectives) > len(looks):
        rest = [word for word in adjectives if word not in looks]
        ways.append(f"{describe(rest, noun)}, {' and '.join(ordered(looks))}")
    return ways


def one_of(ways: list[str], rng: np.random.Generator) -> str:
    """The first way half of the time, else one of the others."""
    if len(ways) == 1 or rng.random() < 0.5:
        return ways[0]
    return ways[1 + int(rng.random() * (len(ways) - 1))]
