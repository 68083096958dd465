"""The files of answers that a blind sheet (`human`) lets download."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtool.errors import InputError
from sdtool.io import files

ANSWERS = ("yes", "no", "unsure")
CURE = "give the file that the sheet's “Download the answers” wrote"
DIGEST = re.compile("[0-9a-f]{16}")
Key = tuple[str, str]
"""Path and method, by which an answer tells what it is about."""


@dataclass(frozen=True)
class Answers:
    """What a sheet let download. given: of each answer path, method, prompt, digest, of the picture, and
    answer, one of `ANSWERS`; those of older sheets have no digest. asked: all that was on the sheet; None
    if it does not say, as those of older sheets. seen: the digests of the pictures of what was on it, as far
    as it says."""

    given: list[dict[str, str]]
    asked: frozenset[Key] | None = None
    seen: dict[Key, str] = field(default_factory=dict)


def key_of(answer: dict[str, Any]) -> Key:
    return answer["path"], answer["method"]


def read_answers(path: Path) -> Answers:
    """The answers in a file that a sheet let download.

    InputError if the file is something else, answers for one asset twice, or for one that was not asked.
    """
    try:
        found = files.read_json(path)
    except InputError as error:
        raise InputError(f"{error}; {CURE}") from None
    listed = found.get("answers") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not {"sdtool", "sheet"} <= set(found):
        raise InputError(f"{path} does not hold a sheet's answers; {CURE}")
    seen: dict[Key, str] = {}
    for number, one in enumerate(listed, start=1):
        if wrong := _wrong(one):
            raise InputError(f"{path}, answer {number} {wrong}; {CURE}")
        if key_of(one) in seen:
            raise InputError(f"{path} answers twice for {one['path']}; {CURE}")
        seen[key_of(one)] = one.get("digest", "")
    asked = _asked(found["asked"], path) if "asked" in found else None
    if asked is not None and (strange := [key for key in seen if key not in asked]):
        name, method = strange[0]
        said = f"{path} answers for {name} ({method}), which is not in its list of what was asked"
        raise InputError(f"{said}; {CURE}")
    told = [*(asked or {}).items(), *seen.items()]
    pictures = {key: digest for key, digest in told if digest}
    return Answers(listed, None if asked is None else frozenset(asked), pictures)


def _wrong(one: Any) -> str:
    """What is wrong with an answer; "" if nothing is."""
    names = ("path", "method", "prompt", "answer")
    texts = [*map(one.get, names), one.get("digest", "")] if isinstance(one, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        return "lacks path, method, prompt or answer as a text"
    if one["answer"] not in ANSWERS:
        return f"is {one['answer']!r}, not yes, no or unsure"
    if not DIGEST.fullmatch(one.get("digest", "0" * 16)):
        return f"has {one['digest']!r} for the digest of its picture"
    return ""


def _asked(listed: Any, path: Path) -> dict[Key, str]:
    """Path and method of all that was on a sheet, and the digests of their pictures, "" if it has none."""
    found = {}
    for one in listed if isinstance(listed, list) else [None]:
        texts = one if isinstance(one, list) and all(isinstance(text, str) for text in one) else []
        if len(texts) not in (2, 3) or not DIGEST.fullmatch([*texts, "0" * 16][2]):
            said = "what was asked is no list of paths and methods"
            raise InputError(f"{path}: {said}; {CURE}")
        found[texts[0], texts[1]] = "".join(texts[2:])
    return found
