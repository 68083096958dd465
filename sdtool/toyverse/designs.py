"""What is true of a toy, in words: drawn at random, asked for, or left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from sdtool.errors import UsageError
from sdtool.toyverse.accessories import EXTRAS
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.materials import OWN_COLOUR, UNPAINTED
from sdtool.toyverse.words import COLOURS, article

NATURAL_SHARE = 0.5  # toys in their natural colour
SILENT_SHARE = 0.65  # of those, the ones whose name does not say the colour
TRAIT_SHARE, MATERIAL_SHARE, EXTRA_SHARE = 0.3, 0.3, 0.35  # the last is a default
EXTRA_COLOUR_SHARE = 0.6  # of extras that come in every colour, the ones whose colour is said
LAST_WORDS = ("pine", "sailing")  # traits that belong to the noun: "a red sailing boat"
FILLERS = {"a", "an", "the", "with", "wearing", "holding", "and"}
MANY_DRAWS = 1000


@dataclass(frozen=True)
class Design:
    """What is true of one toy; all but the category may be "".

    colour: a key of COLOURS (or "golden"), said or not. extra: a key of EXTRAS.
    """

    category: str
    colour: str = ""
    trait: str = ""
    material: str = ""
    extra: str = ""
    extra_colour: str = ""
    says_colour: bool = True
    says_extra_colour: bool = True

    @property
    def said_colour(self) -> str:
        """The colour word of its name, or ""."""
        return self.colour if self.says_colour else ""

    def phrase(self) -> str:
        """Its name: "tall red wooden chair", "brown corgi wearing a red hat"."""
        last = self.trait in LAST_WORDS
        words = ["" if last else self.trait, self.said_colour, self.material]
        words += [self.trait if last else "", self.category]
        return " ".join([*filter(None, words), *self._extra_words()])

    def _extra_words(self) -> list[str]:
        if not self.extra:
            return []
        said = self.says_extra_colour and self.extra_colour
        noun = f"{self.extra_colour} {self.extra}" if said else self.extra
        phrase = EXTRAS[self.extra].phrase
        return [phrase.replace("a {}", article(noun)).format(noun)]

    def includes(self, part: "Design") -> bool:
        """Whether all that `part` says is true of this toy."""
        return part.category == self.category and all(
            getattr(part, name) in ("", getattr(self, name))
            for name in ("colour", "trait", "material", "extra", "extra_colour")
        )


def parse(text: str, option: str) -> Design:
    """The combination of words that `text` names: "blue horse", "corgi with a red hat".

    UsageError, which begins with `option`, if it names no category or an unknown word.
    """
    words = [word for word in text.lower().replace(",", " ").split() if word not in FILLERS]
    place = next((k for k, word in enumerate(words) if word in CATEGORIES), None)
    if place is None:
        known = ", ".join(CATEGORIES)
        raise UsageError(f"{option} {text!r} names no category; the toyverse has {known}", option)
    category = words[place]
    entry = CATEGORIES[category]
    found: dict[str, str] = {}
    for word in words[:place]:
        kinds = {"trait": entry.traits, "material": entry.materials, "colour": tuple(COLOURS)}
        kind = next((kind for kind, known in kinds.items() if word in known), None)
        if kind is None or kind in found:
            _refuse(option, text, word, category, [w for known in kinds.values() for w in known])
        found[kind] = word
    for word in words[place + 1 :]:
        is_colour = word in COLOURS and "extra" not in found and "extra_colour" not in found
        if not is_colour and (word not in entry.extras or "extra" in found):
            _refuse(option, text, word, category, entry.extras)
        found["extra_colour" if is_colour else "extra"] = word
    extra = found.get("extra", "")
    if "extra_colour" in found and (not extra or EXTRAS[extra].own is not None):
        _refuse(option, text, found["extra_colour"], category, entry.extras)
    if found.get("material") in UNPAINTED and ("colour" in found or extra):
        raise UsageError(
            f"{option} {text!r}: a {found['material']} toy has no colour and no extras", option
        )
    return Design(
        category,
        colour=found.get("colour", ""),
        trait=found.get("trait", ""),
        material=found.get("material", ""),
        extra=extra,
        extra_colour=found.get("extra_colour", ""),
    )


def _refuse(option: str, text: str, word: str, category: str, known: Sequence[str]) -> NoReturn:
    has = ", ".join(known) if known else "nothing"
    raise UsageError(
        f"{option} {text!r}: {word!r} cannot be said there; a {category} may have {has}", option
    )


def check(categories: Sequence[str], only: Sequence[Design], leave_out: Sequence[Design]) -> None:
    """UsageError if `leave_out` forbids every category, or all that one of `only` can be."""
    if all(Design(name) in leave_out for name in categories):
        raise UsageError("--leave-out leaves no object to make; leave out less", "--leave-out")
    for design in only:
        sure = replace(
            _complete(np.random.default_rng(0), design), extra_colour=design.extra_colour
        )
        for part in leave_out:
            if sure.includes(part):
                clash = f"--only {design.phrase()!r} and --leave-out {part.phrase()!r}"
                raise UsageError(f"{clash} contradict each other", "--only", "--leave-out")


def draw(
    rng: np.random.Generator,
    categories: Sequence[str],
    *,
    only: Sequence[Design] = (),
    leave_out: Sequence[Design] = (),
    extra_share: float = EXTRA_SHARE,
) -> Design:
    """A design drawn at random; with `only`, one of those, with nothing more to say of it.

    extra_share: the chance in [0, 1] that a toy that may wear, carry or have something more does.

    Designs that include one of `leave_out` are drawn again; UsageError if nothing else is left.
    """
    for _ in range(MANY_DRAWS):
        if only:
            design = _complete(rng, only[int(rng.integers(len(only)))])
        else:
            design = _draw(rng, categories[int(rng.integers(len(categories)))], extra_share)
        if not any(design.includes(part) for part in leave_out):
            return design
    raise UsageError("--leave-out leaves no object to make; leave out less", "--leave-out")


def _draw(rng: np.random.Generator, category: str, extra_share: float) -> Design:
    entry = CATEGORIES[category]
    natural = rng.random() < NATURAL_SHARE
    colour = entry.colour if natural else str(rng.choice(list(COLOURS)))
    trait = str(rng.choice(entry.traits)) if rng.random() < TRAIT_SHARE else ""
    material = extra = extra_colour = ""
    if entry.materials and rng.random() < MATERIAL_SHARE:
        material = str(rng.choice(entry.materials))
    says_colour = not (natural and rng.random() < SILENT_SHARE)
    if material in OWN_COLOUR and (not says_colour or material in UNPAINTED):
        colour, says_colour = OWN_COLOUR[material][0], False
    if entry.extras and material not in UNPAINTED and rng.random() < extra_share:
        extra = str(rng.choice(entry.extras))
        extra_colour = _extra_colour(rng, extra, colour)
    says_extra = rng.random() < EXTRA_COLOUR_SHARE or bool(extra and not EXTRAS[extra].is_plain)
    return Design(category, colour, trait, material, extra, extra_colour, says_colour, says_extra)


def _extra_colour(rng: np.random.Generator, extra: str, colour: str) -> str:
    """A colour word that differs from the toy's own, or "" if the extra has its own colour."""
    if EXTRAS[extra].own is not None:
        return ""
    return str(rng.choice([word for word in COLOURS if word != colour]))


def _complete(rng: np.random.Generator, asked: Design) -> Design:
    """The design that is asked for; what must be and was not asked is drawn and not said."""
    colour, says_colour = asked.colour, bool(asked.colour)
    if not colour:
        own = OWN_COLOUR.get(asked.material)
        colour = own[0] if own else CATEGORIES[asked.category].colour
    extra_colour = asked.extra_colour
    if asked.extra and not extra_colour:
        extra_colour = _extra_colour(rng, asked.extra, colour)
    words = (asked.category, colour, asked.trait, asked.material, asked.extra, extra_colour)
    says_extra = bool(asked.extra_colour) or bool(asked.extra and not EXTRAS[asked.extra].is_plain)
    return Design(*words, says_colour, says_extra)
