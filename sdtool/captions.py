"""Captions without a model: noun phrases from the words that an artist gave an object.

A caption should read like a prompt: "a red wooden chair". Names on the internet often do not
("Chair_v2_FINAL.blend", "#3December FREE DOWNLOAD"): they are cleaned, and used only if they look
like words; else the tags, else the category must do.
"""

import html
import re
from typing import Any

from sdtool.english import ADJECTIVES, COLOURS, describe, noun_phrase, singular, with_article
from sdtool.errors import ObjectError

# Words that say how a file was made or offered, not what it shows: dropped from names and tags.
ABOUT_THE_FILE = frozenset(
    """3d 3dmodel 4k 8k hd pbr fbx obj glb gltf stl dae blend blender maya zbrush unity unreal ue4
    ue5 sketchfab lowpoly highpoly midpoly gameready rigged animated textured untextured uv final
    wip download downloadable free freebie export exported untitled model mesh lod asset assets
    render rendered""".split()
)
# Tags that name no thing, though they could be a word of a name.
ABOUT_THE_MAKING = ABOUT_THE_FILE | frozenset(
    """3dart 3dprint 3dprintable 3dprinting 3dsmax 3dmax animation ar art artstation b3d blender3d
    blendercycles c4d cad cc0 cgi challenge character3d cinema4d cycles design digital digital3d
    eevee fanart freemodel fusion360 game gameart gameasset gameassets gamedev handpainted
    hardsurface highquality hq learning marmoset max modeling modelling new nft nomad photorealistic
    practice printable project prop props quixel realistic school sculpt sculpting solidworks
    student stylized subd substance substancepainter test texture textures tinkercad toy unity3d
    unrealengine uvmapped vertexcolors videogame vr""".split()
)
PHRASES = re.compile(
    r"\b(free\s+download|(low|high|mid)[\s-]?poly|game[\s-]?ready|vr\s*/?\s*ar|royalty[\s-]free|"
    r"for\s+(free|sale|unity|unreal|blender|games?)|made\s+(in|with)\s+\w+|work\s+in\s+progress|"
    r"test\s+upload)\b",
    re.IGNORECASE,
)
SUFFIX = re.compile(
    r"\.(blend|fbx|obj|glb|gltf|stl|ply|off|dae|3ds|max|c4d|ma|mb|zip|skp|step|stp|dxf|x3d)\b",
    re.IGNORECASE,
)
VERSION = re.compile(r"\b(v|ver|version|rev|take|draft)[\s.]*\d+(\.\d+)*[a-z]?\b", re.IGNORECASE)
ASIDES = re.compile(r"\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|<[^>]*>|https?://\S+|www\.\S+|[#@]\w+")

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


def caption(record: dict[str, Any]) -> dict[str, Any]:
    """The line of `captions.jsonl` for a line of `objects.jsonl`.

    Keys: uid, caption, source (``name``, ``tags`` or ``category``), annotation (the artist's name
    for it, cleaned; may be ""), alternatives (a list of {caption, source}). ObjectError
    ``no-words`` if nothing says what the object is.
    """
    original = _text(record, "name")
    name = clean_name(original)
    words = name.lower().split()
    tags = [tag for tag in map(clean_tag, _texts(record, "tags")) if tag]
    lvis = [re.sub(r"\(.*", "", c).replace("_", " ").strip() for c in _texts(record, "lvis")]
    noun = lvis[0] if lvis else thing_among(tags, words)
    offers: list[tuple[str, str]] = []
    if _named_by(words, [*lvis, *tags]) or (not lvis and _written_as_words(original, words, tags)):
        offers.append((noun_phrase(name.lower()), "name"))
    if noun:
        adjectives = [tag for tag in tags if tag in ADJECTIVES and tag not in noun.split()]
        colours = [tag for tag in adjectives if tag in COLOURS.split()]
        offers.append((describe(adjectives, noun), "tags" if tags else "category"))
        offers.append((describe(colours, noun), "tags"))
        offers.append((with_article(noun), "category" if lvis else "tags"))
    for category in _texts(record, "categories") if not noun else []:
        slug = re.sub(r"[\W_]+", "-", category.lower().replace("&", " "))
        offers.append((CATEGORIES.get(slug) or with_article(clean_tag(category)), "category"))
    if not any(text for text, _ in offers):
        message = f"nothing in the annotation of {record['uid']} says what it is"
        raise ObjectError("no-words", message)
    offers.append((first_sentence(_text(record, "description")), "description"))
    unique = {text: source for text, source in reversed(offers) if text}
    found = [{"caption": text, "source": unique[text]} for text in dict(offers) if text]
    return {"uid": record["uid"], **found[0], "annotation": name, "alternatives": found[1:]}


def clean_name(name: str) -> str:
    """A name without file suffixes, version numbers, hashtags, brackets and talk about the file.

    "Chair_v2_FINAL.blend" → "Chair"; "RED WOODEN CHAIR (free download)" → "Red Wooden Chair".
    """
    text = SUFFIX.sub(" ", ASIDES.sub(" ", html.unescape(name))).replace("_", " ")
    text = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", text)  # WoodenChair → Wooden Chair
    text = PHRASES.sub(" ", VERSION.sub(" ", text))
    parts = (_clean_words(part) for part in re.split(r"[|;:,/]|\s[-–—]+\s", text))
    return next((part for part in parts if part), "")


def _clean_words(text: str) -> str:
    """The words of a text but those about the file, codes, counters ("03", "a1") and shouting."""
    if " " not in text.strip():
        text = text.replace("-", " ")  # red-chair is a file's way to write two words
    words = []
    for word in re.findall(r"[^\W_]+(?:['’.&-][^\W_]+)*", text):
        word = re.sub(r"(?<=[a-z]{3})\d+$", "", word)  # chair01 → chair
        is_code = re.fullmatch(r"\d+|[a-z]\d|\d+[a-z]", word) or len(re.findall(r"\d", word)) > 3
        if not is_code and word.lower() not in ABOUT_THE_FILE:
            words.append(word)
    while words and words[0].lower() in ("of", "for", "by", "with", "and"):  # "3D model of a cat"
        words = words[1:]
    loud = all(word.isupper() for word in words)
    return " ".join(w.capitalize() if w.isupper() and (loud or len(w) > 3) else w for w in words)


def clean_tag(tag: str) -> str:
    """A tag in lower case with spaces; "" if it is about the file or holds no words."""
    text = re.sub(r"[-_\s]+", " ", tag.lower()).strip("# ")
    about = text.replace(" ", "") in ABOUT_THE_MAKING or PHRASES.search(text)
    return "" if about or not re.search(r"[^\W\d_]{2}", text) else text


def thing_among(tags: list[str], words: list[str]) -> str:
    """The tag that names the thing: it ends the name, or stands in it, or comes first; or ""."""
    nouns = [singular(tag) for tag in tags if tag not in ADJECTIVES]
    name = f" {' '.join(map(singular, words))} "
    in_name = [noun for noun in nouns if f" {noun} " in name]
    at_end = [noun for noun in in_name if name.endswith(f" {noun} ")]
    return next(iter(at_end or in_name or nouns), "")


def _named_by(words: list[str], tags: list[str]) -> bool:
    """Whether tags and name share a word, so that the name speaks of the thing."""
    known = {singular(word) for tag in tags for word in tag.split()}
    return len(words) <= 12 and bool(known & set(map(singular, words)))


def _written_as_words(original: str, words: list[str], tags: list[str]) -> bool:
    """Whether the name reads like words. A file's name may be anything: then tags are better."""
    is_file = "_" in original or SUFFIX.search(original) or re.search(r"[a-z]\d|\d\s*$", original)
    readable = all(re.search(r"[aeiouyáéíóúäöü]", word) for word in words)
    return 0 < len(words) <= 6 and readable and not (is_file and tags)


def first_sentence(description: str) -> str:
    """The first sentence of a description if it is a noun phrase ("A chair with …"); else ""."""
    text = re.sub(r"<[^>]*>", " ", html.unescape(description)).strip()
    text = re.split(r"(?<=\w\w)[.!?](?:\s|$)|\n", text + "\n", maxsplit=1)[0]
    text = re.sub(r"^this (is|shows) ", "", text, flags=re.IGNORECASE)
    words = re.sub(r"\s+", " ", text).rstrip(" .,;:").split()
    bare = {re.sub(r"\W", "", word.lower()) for word in words}
    if not 3 <= len(words) <= 30 or words[0].lower() not in ("a", "an", "the"):
        return ""
    if "http" in text or bare & (ABOUT_THE_FILE | {"i", "my", "you", "your", "for", "made"}):
        return ""
    return " ".join([words[0].lower(), *words[1:]])


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _texts(record: dict[str, Any], key: str) -> list[str]:
    values = record.get(key)
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []
