"""File names as phrases: what makers of asset packs call a model, in the order in which English says it.

Such names begin with the thing and go on with what is special about this one, parted by underscores or
capitals: banner_patternA_red, chair_A_wood, wall_window_open. Letters and numbers of variants say nothing.
"""

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sdtool.captioning.english import (
    PLURAL_OF,
    UNCOUNTED,
    is_plural,
    singular,
    with_article,
)
from sdtool.captioning.names import ENGINE_PREFIX, clean_name
from sdtool.captioning.pack_words import (
    COLLECTIVES,
    CONTAINERS,
    CONTENTS,
    FEATURES,
    FEATURES_OF,
    HALVES,
    KNOWN,
    LOW,
    MASSES,
    MORE_THINGS,
    NARROWER,
    NO_FEATURE_OF,
    NO_PARTICIPLES,
    NUMBERS,
    ONLY_BEHIND,
    OWNERS,
    PLACES,
    QUALIFIERS,
    SAID_AS,
    SIDES,
    STATES,
    TOGETHER,
)

AS_FILE = re.compile(r"_|[a-z][A-Z]")
T_BEHIND = re.compile(r"(?<=[A-Za-z])T(?=[sS]plit\b)")
T_SPLIT = re.compile(r"\bT\s*([sS]plit|[jJ]unction)\b")
CAPITAL = re.compile(r"(?<=[a-z\d])(?=[A-Z])")
HYPHENS = re.compile(r"(?<=[a-z]{3})-(?=[a-z]{3})")
UNDERSCORES = re.compile(r"[_]+")
LOW_OR_BUNDLE = re.compile(r"(?i)\s(low|bundle)(\s[A-Z]|\s?\d+)*$")
COUNTED = re.compile(r"(\d)-?(handed|legged|seater|wheeled|headed|sided)")
MANNER = re.compile(r"[a-z]+-(handed|legged|seater|wheeled|headed|sided)")
LETTER_AND_NUMBER = re.compile(r"[a-z]?\d+")
SIDE_OF = re.compile(r"(front|back|sides?|top|bottom)\b.* of ")


@dataclass
class _Thing:
    """A noun of one word or more, adjectives, and what stands with it."""

    nouns: list[str]
    adjectives: list[str] = field(default_factory=list)
    features: list["_Thing"] = field(default_factory=list)
    side: str = ""

    @property
    def head(self) -> str:
        return self.nouns[-1]

    def said(self, plural: bool = False) -> str:
        """Without its article."""
        order = sorted(dict.fromkeys(self.adjectives), key=lambda word: PLACES.get(word, 1.0))
        nouns = list(self.nouns)
        if self.head in MASSES and not plural:
            nouns[-1] = f"pile of {self.head}"
        elif plural:
            nouns[-1] = plural_of(self.head)
        return " ".join([*(w.replace("t-shaped", "T-shaped") for w in order), *nouns])


def is_file_name(name: str) -> bool:
    """Whether a name is put together as a file's: with underscores or capitals, or of one long word."""
    name = name.strip()
    return bool(AS_FILE.search(name)) or (" " not in name and len(name) > 3)


@lru_cache(1 << 10)
def read_file_name(name: str) -> tuple[str, str] | None:
    """The phrase for a file's name, with its article, and the bare thing; None if no thing is known.

    "banner_patternA_red" → ("a patterned red banner", "a banner").
    """
    words = _words(name)
    for place, word in enumerate(words):
        if word in ("with", "without") and 0 < place < len(words) - 1:
            before, behind = _thing(words[:place]), _thing(words[place + 1 :])
            if before is not None:
                what = behind.said() if behind else " ".join(words[place + 1 :])
                said = f"{_phrase(before)} {word} {with_article(what)}"
                return said, _phrase(_Thing(before.nouns))
            return None
    found = _thing(words)
    return None if found is None else (_phrase(found), _phrase(_Thing(found.nouns)))


def words_of(name: str) -> str:
    """The words of a file's name without its variants, "banner pattern red"; "" of any other name."""
    known = is_file_name(name) and read_file_name(name) is not None
    return " ".join(_plain_words(name)) if known else ""


# Words


def _words(name: str) -> list[str]:
    """The same with the adjectives of materials and shapes: "wooden" for "wood"."""
    words = enumerate(_plain_words(name))
    return [SAID_AS.get(w, w) if i or w not in ONLY_BEHIND else w for i, w in words]


@lru_cache(1 << 10)
def _plain_words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, compounds taken apart, without letters and numbers of variants."""
    text = ENGINE_PREFIX.sub("", name.strip())
    if "_" in text and "-" in text:
        text = HYPHENS.sub(" ", text)  # stairs_stone-corner
    text = T_BEHIND.sub(" T", text)
    text = CAPITAL.sub(" ", UNDERSCORES.sub(" ", text))
    text = T_SPLIT.sub("tsplit", text)
    low = LOW_OR_BUNDLE.search(text)
    words: list[str] = []
    for word in clean_name(text).lower().split():
        if word.isalpha():
            if len(word) > 1:
                words.extend(_apart(word))
        elif match := COUNTED.fullmatch(word):
            words.append(f"{NUMBERS[match[1]]}-{match[2]}" if match[1] in NUMBERS else match[2])
        elif len(word) > 1 and not LETTER_AND_NUMBER.fullmatch(word):
            words.extend(_apart(word))
    if low and words:  # elsewhere it says how a file was made, or offered
        last = low[1].lower()
        if last not in words and (words[0] in LOW if last == "low" else len(words) == 1):
            words.append(last)
    return tuple(words)


@lru_cache(1 << 14)
def _apart(word: str) -> tuple[str, ...]:
    """ "firehydrant" → fire, hydrant; a word that is known, or whose halves are not, stays."""
    if len(word) < 6 or _known(word) or word in SAID_AS:
        return (word,)
    for cut in range(3, len(word) - 2):
        left, right = word[:cut], word[cut:]
        if _known(right) and (left in PLACES or left == "all"):
            return (left, right)
        if _known(right) and (_known(left) or left in HALVES):
            return (f"{left} {right}",)  # one noun of two words
    return (word,)


def _known(word: str) -> bool:
    word = word.split()[-1]
    return word in KNOWN or (is_plural(word) and singular(word) in KNOWN)


@lru_cache(1 << 14)
def _is_adjective(word: str) -> bool:
    if word in PLACES or MANNER.fullmatch(word):
        return True
    return len(word) > 4 and word.endswith("ed") and word not in NO_PARTICIPLES


# Grammar


def _thing(words: list[str]) -> _Thing | None:
    """The thing of a name that begins with it, or with adjectives; None if it is not known."""
    nouns = [w for w in words if not _is_adjective(w)]
    thing: _Thing | None = None
    waiting: list[str] = []  # adjectives before the thing
    sides: list[str] = []
    for place, word in enumerate(words):
        if word in ("and", "all"):
            continue
        if word in ("left", "right") and thing is not None:
            (thing.features[-1] if thing.features else thing).side = word
        elif word in SIDES and thing is not None:
            every = "all " if words[place - 1] == "all" else ""
            sides.append(every + word)
        elif _is_adjective(word) and (thing is not None or nouns):
            _describe(thing, word, waiting)
        elif thing is None:
            thing = _Thing([word], waiting)
        else:
            thing = _add_noun(thing, word)
    if thing is None and words and words[-1] in MORE_THINGS:
        thing = _Thing([words[-1]], words[:-1])  # a thing that could be an adjective, alone
    if thing is None or not _is_known(thing):
        return None
    if sides:
        whole = _phrase(thing)
        return _Thing([f"{' and '.join(sides)} of {whole}"])
    return thing


def _is_known(thing: _Thing) -> bool:
    """Whether it begins or ends as a thing does; a road in the middle may be an address."""
    ends = [part.split()[-1] for k in (0, -1) for part in thing.nouns[k].split(" of ")]
    return len(thing.nouns) < 5 and any(singular(word) in MORE_THINGS for word in ends)


def _describe(thing: _Thing | None, word: str, waiting: list[str]) -> None:
    if thing is None:
        waiting.append(word)
    elif thing.features and word in STATES and singular(thing.features[-1].head) in FEATURES:
        thing.features[-1].adjectives.append(word)
    else:
        thing.adjectives.append(word)


def _add_noun(thing: _Thing, word: str) -> _Thing:
    """The thing with one more noun behind it."""
    head = thing.head
    if word in COLLECTIVES:
        inner = thing.said(plural=head not in UNCOUNTED and head not in MASSES)
        return _Thing([f"{word} of {inner}"])
    if word in QUALIFIERS.get(head, ()):
        return _Thing([word, *thing.nouns], thing.adjectives, thing.features)
    if word.split()[-1] in NARROWER.get(head, ()):
        return _Thing([word], thing.adjectives, thing.features)
    if (head, word) in TOGETHER:
        return _Thing([*thing.nouns[:-1], f"{head} and {word}"], thing.adjectives)
    if head in CONTAINERS and (word in CONTENTS or is_plural(word)):
        return _Thing([*thing.nouns[:-1], f"{head} of {word}"], thing.adjectives)
    if _is_feature(head, word):
        # "wall arched window": what may describe both belongs to the nearer one.
        arched = ["arched"] if word == "window" and thing.adjectives[-1:] == ["arched"] else []
        kept = thing.adjectives[: len(thing.adjectives) - len(arched)]
        return replace(thing, adjectives=kept, features=[*thing.features, _Thing([word], arched)])
    if thing.features:
        thing.features[-1].nouns.append(word)
        return thing
    return _Thing([*thing.nouns, word], thing.adjectives)


def _is_feature(head: str, word: str) -> bool:
    if singular(head) not in OWNERS and head not in OWNERS or word in NO_FEATURE_OF.get(head, ()):
        return False
    plural = is_plural(word) and not is_plural(head)
    return plural or word in FEATURES or word in FEATURES_OF.get(head, ())


def _phrase(thing: _Thing) -> str:
    """The thing with its article and all that it has."""
    stacked = "stacked" in thing.adjectives and not is_plural(thing.head)
    said = thing.said(plural=stacked)
    said = f"the {said}" if SIDE_OF.match(said) else said
    text = said if stacked or said.startswith(("the ", "all ")) else with_article(said)
    if thing.side:
        text += f" on the {thing.side}"
    parts = []
    for feature in thing.features:
        parts.append(
            with_article(feature.said()) + (f" on the {feature.side}" * bool(feature.side))
        )
    return text + (f" with {' and '.join(parts)}" if parts else "")


def plural_of(word: str) -> str:
    """ "box" → "boxes", "shelf" → "shelves"."""
    if is_plural(word):
        return word
    if word in PLURAL_OF:
        return PLURAL_OF[word]
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"
