"""A little English: articles, plurals, and the order of adjectives. Rules of thumb, tested."""

import re

# Adjectives in the order in which English puts them before a noun.
SIZES = "tiny small little big large huge giant tall low long short wide narrow thin thick chubby"
LOOKS = "old ancient vintage antique rusty broken modern futuristic cute round square"
COLOURS = (
    "red blue green yellow white black brown orange grey gray pink purple golden silver beige "
    "turquoise violet"
)
MATERIALS = "wooden metal plastic ceramic glass stone leather marble concrete paper steel iron"
ADJECTIVES = {
    word: place
    for place, words in enumerate((SIZES, LOOKS, COLOURS, MATERIALS))
    for word in words.split()
}

DETERMINERS = {"a", "an", "the", "two", "three", "four", "five", "some", "his", "her"}
POSSESSIVES = {"my", "our", "your"}
PAIRS = {"clothes", "glasses", "goggles", "headphones", "jeans", "pants", "scissors", "sunglasses"}
HEAD_ENDS = {"of", "with", "on", "in", "from", "for", "and"}


def noun_phrase(text: str) -> str:
    """Lower-case words → a noun phrase: "my old car" → "an old car", "the thinker" stays."""
    words = text.split()
    if len(words) > 1 and words[0] in POSSESSIVES:
        words = words[1:]
    if len(words) > 1 and words[0] in DETERMINERS:
        return " ".join(words)
    return with_article(" ".join(words))


def with_article(text: str) -> str:
    """ "old car" → "an old car", "scissors" → "scissors"; the empty text stays empty."""
    words = text.split()
    if not words:
        return ""
    ends = [i for i, word in enumerate(words) if i and word in HEAD_ENDS]
    head = words[ends[0] - 1] if ends else words[-1]  # "statues of a man": statues
    if is_plural(head):
        return " ".join(words)
    return ("an " if sounds_like_a_vowel(words[0]) else "a ") + " ".join(words)


def sounds_like_a_vowel(word: str) -> bool:
    """Whether `word` takes "an": an hour, a unicorn, an f-16, a u-boat."""
    if re.match(r"[a-z](-|$)", word):  # a letter spoken by its name
        return word[0] in "aefhilmnorsx"
    if re.match(r"hour|honest|honou?r|heir|8|1[18]$", word):
        return True
    if re.match(r"uni(?!n|m)|use|usu|ufo|uk|uto|eu|ew|one$|ouija", word):
        return False
    return word[0] in "aeiouáàäâéèêíîóöôú"


def is_plural(word: str) -> bool:
    """Whether the noun looks plural: chairs, glasses; not bus, dress, lens."""
    if re.search(r"(ss|us|is|as|os|ics|lens|series|mars)$", word):
        return False
    return re.search(r"[a-z]{2}s$", word) is not None


def singular(word: str) -> str:
    """ "chairs" → "chair", "berries" → "berry", "boxes" → "box"; other words unchanged."""
    if word in PAIRS or not is_plural(word):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if re.search(r"(sh|ch|x|z|ss)es$", word) else word[:-1]


def describe(adjectives: list[str], noun: str) -> str:
    """Adjectives in English order before the noun, with an article: "a small red chair"."""
    ordered = sorted(dict.fromkeys(adjectives), key=ADJECTIVES.__getitem__)
    return with_article(" ".join([*ordered, noun]))
