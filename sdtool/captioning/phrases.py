"""Captions without a model: noun phrases from the words that an artist gave an object.

A caption should read like a prompt: "a red wooden chair". Names on the internet often do not
("Chair_v2_FINAL.blend", "#3December FREE DOWNLOAD"): they are cleaned, and used only if they look
like words; else the tags, else the file's own words, else the category must do.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdtool.captioning.english import (
    ADJECTIVES,
    COLOUR_WORDS,
    MATERIAL_WORDS,
    describe,
    noun_phrase,
    one_of,
    phrasings,
    singular,
    with_article,
)
from sdtool.captioning.file_names import is_file_name, read_file_name, words_of
from sdtool.captioning.file_words import FileWords
from sdtool.captioning.names import SUFFIX, clean_name, clean_tag, first_sentence
from sdtool.captioning.nouns import KINDS, THINGS
from sdtool.errors import ObjectError
from sdtool.io.objects import ObjectRecord, object_rng

# What Sketchfab's categories say of an object for which nothing else speaks.
CATEGORIES = {
    "animals-pets": "an animal",
    "architecture": "a building",
    "art-abstract": "a work of art",
    "cars-vehicles": "a vehicle",
    "characters-creatures": "a character",
    "cultural-heritage-history": "a historical object",
    "electronics-gadgets": "an electronic device",
    "fashion-style": "a piece of clothing",
    "food-drink": "a piece of food",
    "furniture-home": "a piece of furniture",
    "music": "a musical instrument",
    "nature-plants": "a plant",
    "people": "a person",
    "places-travel": "a place",
    "science-technology": "a technical object",
    "sports-fitness": "a piece of sports equipment",
    "weapons-military": "a weapon",
}
AS_ADJECTIVES = {"wood": "wooden", "gold": "golden"}
VOWELS = re.compile(r"[aeiouyáéíóúàèìòùäöüâêîôûãõåøæ]")


@dataclass(frozen=True)
class Candidate:
    """A caption that could be. source: name, title, lvis, tags, parts, category or description.

    is_sure: whether it surely speaks of the thing.
    """

    text: str
    source: str
    is_sure: bool = True


def caption_from_words(
    record: ObjectRecord, words: FileWords | None = None, seed: int = 0
) -> tuple[dict[str, Any], bool]:
    """The line of `captions.jsonl` for one object, and whether its caption surely speaks of the thing.

    words: what the object's own file says. The phrasing depends on seed and uid alone.

    Keys: uid, caption, source (see `Candidate`), annotation (the artist's name for it, cleaned; may be
    ""), alternatives (a list of {caption, source}). ObjectError ``no-words`` if nothing says what
    the object is.
    """
    words = words or FileWords()
    candidates = [candidate for candidate in _candidates(record, words, seed) if candidate.text]
    speaking = [candidate for candidate in candidates if candidate.source != "description"]
    if not speaking:
        message = f"nothing in the annotation of {record.uid} says what it is"
        raise ObjectError("no-words", message)
    first = next((candidate for candidate in speaking if candidate.is_sure), speaking[0])
    unique = {first.text: first.source}
    for candidate in candidates:
        unique.setdefault(candidate.text, candidate.source)
    found = [{"caption": text, "source": source} for text, source in unique.items()]
    names = (words_of(record.name) or clean_name(record.name), words.title)
    line = {
        "uid": record.uid,
        **found[0],
        "annotation": next(filter(None, names), ""),
        "alternatives": found[1:],
    }
    return line, first.is_sure


def _candidates(record: ObjectRecord, words: FileWords, seed: int) -> list[Candidate]:
    """What could be said of the object, the best first."""
    original = record.name
    name = clean_name(original)
    tags = list(dict.fromkeys(tag for tag in map(clean_tag, record.tags) if tag))
    lvis = [re.sub(r"\(.*", "", c).replace("_", " ").strip() for c in record.lvis]
    titles = [(name, original, "name"), (words.title, words.title, "title")]
    said = [word for title, *_ in titles for word in title.lower().split()]
    noun = lvis[0] if lvis else thing_among(tags, said)
    source = "lvis" if lvis else "tags"
    candidates, unsure, bare = [], [], []
    for title, written, origin in titles:
        phrase = title.lower().split()
        if not phrase:
            continue
        read = read_file_name(written) if is_file_name(written) else None
        if read is not None:
            vague = read[0] == read[1] and singular(read[0].split()[-1]) in KINDS  # "a toy"
            is_sure = _speaks_of(phrase, [*lvis, *tags]) or not (noun or vague)
            candidates.append(Candidate(read[0], origin, is_sure))
            bare.append(Candidate(read[1], origin, is_sure=False))
            continue
        candidate = Candidate(noun_phrase(" ".join(_adjectives_first(phrase))), origin)
        if _speaks_of(phrase, [*lvis, *tags]) or (not lvis and _is_sure(phrase, written, noun)):
            candidates.append(candidate)
        elif len(phrase) <= 8 and not lvis and sum(map(_is_readable, phrase)) * 2 >= len(phrase):
            unsure.append(Candidate(candidate.text, origin, is_sure=False))
    if not noun:
        parts = [part for part in words.parts if set(map(singular, part.split())) & THINGS]
        candidates += [Candidate(_part(part), "parts") for part in parts[:1]]
    if noun:
        traits = [tag for tag in tags if tag in ADJECTIVES and tag not in noun.split()]
        traits += [word for word in words.traits if not _same_kind(word, traits)]
        rng = object_rng(seed, record.uid)
        candidates.append(Candidate(one_of(phrasings(_a_few(traits, rng), noun), rng), source))
        candidates.append(
            Candidate(describe([t for t in traits if t in COLOUR_WORDS][:2], noun), source)
        )
        candidates.append(Candidate(with_article(noun), source))
    elif words.traits and candidates:
        plain = re.sub(r"^an? ", "", candidates[0].text)
        traits = [word for word in words.traits if word not in plain.split()]
        candidates.append(Candidate(describe(traits, plain), candidates[0].source))
    kinds = [KINDS[singular(tag)] for tag in tags if KINDS.get(singular(tag))]
    if not noun:
        unsure += [Candidate(kind, "tags", is_sure=False) for kind in kinds[:1]]
        unsure += [Candidate(_kind(c), "category", False) for c in record.categories]
        unsure += [Candidate(_part(part), "parts", False) for part in words.parts[:1]]
    if re.search(r"_|\d", original):  # a file's name speaks last
        unsure.sort(key=lambda candidate: candidate.source == "name")
    sentence = Candidate(first_sentence(record.description_text()), "description")
    return [*candidates, *unsure, *bare, sentence]


def _part(words: str) -> str:
    """The name of a part, which programs take from files' names, as a phrase."""
    read = read_file_name(words.replace(" ", "_"))
    return with_article(words) if read is None else read[0]


def _kind(category: str) -> str:
    slug = re.sub(r"[\W_]+", "-", category.lower().replace("&", " "))
    return CATEGORIES.get(slug) or with_article(clean_tag(category))


def _a_few(traits: list[str], rng: np.random.Generator) -> list[str]:
    """At most three of the traits, drawn, in their order; never more than two colours."""
    colours = [trait for trait in traits if trait in COLOUR_WORDS][:2]
    traits = [trait for trait in traits if trait not in COLOUR_WORDS or trait in colours]
    if len(traits) <= 4:
        return traits
    kept = set(rng.choice(len(traits), 3, replace=False).tolist())
    return [trait for i, trait in enumerate(traits) if i in kept]


def _same_kind(word: str, traits: list[str]) -> bool:
    """Whether the traits already name a colour, or a material, as the word does."""
    kind = COLOUR_WORDS if word in COLOUR_WORDS else MATERIAL_WORDS
    return bool(kind & set(traits))


def thing_among(tags: list[str], words: list[str]) -> str:
    """The tag that names the thing, in the singular, or "".

    The one that ends the name, or stands in it; else one that is known as a thing; else, since tags
    come in alphabetical order, the first that is neither an adjective nor a kind of things.
    """
    nouns = [singular(tag) for tag in tags if tag not in ADJECTIVES]
    nouns = [noun for noun in nouns if noun not in KINDS]
    name = f" {' '.join(map(singular, words))} "
    in_name = [noun for noun in nouns if f" {noun} " in name]
    at_end = [noun for noun in in_name if name.endswith(f" {noun} ")]
    things = [noun for noun in nouns if noun.split()[-1] in THINGS]
    return next(iter(at_end or in_name or things or nouns), "")


def _adjectives_first(words: list[str]) -> list[str]:
    """The words of a name, with what English puts first moved there: "chair small red"."""
    adjectives = [AS_ADJECTIVES.get(word, word) for word in words]
    end = len(words)
    while end > 1 and adjectives[end - 1] in ADJECTIVES:
        end -= 1
    last = adjectives[end:]
    if not last or words[0] in ADJECTIVES or words[end - 1] not in THINGS or "orange" in last:
        return words
    return [*sorted(last, key=ADJECTIVES.__getitem__), *words[:end]]


def _speaks_of(words: list[str], tags: list[str]) -> bool:
    """Whether tags and name share a word, so that the name speaks of the thing."""
    known = {singular(word) for tag in tags for word in tag.split()}
    return len(words) <= 12 and bool(known & set(map(singular, words)))


def _is_sure(words: list[str], written: str, noun: str) -> bool:
    """Whether a name surely speaks of the thing.

    It holds the word for a thing; or it reads like words, and if it is a file's name, which may be
    anything, no tag is better.
    """
    is_file = "_" in written or SUFFIX.search(written) or re.search(r"[a-z]\d|\d\s*$", written)
    readable = all(map(_is_readable, words))
    if len(words) <= 8 and set(map(singular, words)) & THINGS:
        return not (is_file and noun)
    return 0 < len(words) <= 6 and readable and not is_file


def _is_readable(word: str) -> bool:
    """Whether a lower-case word could be spoken by who reads Latin letters."""
    return bool(VOWELS.search(word) or re.fullmatch(r"[a-z]{1,2}-\d{1,3}[a-z]?", word))  # f-16
