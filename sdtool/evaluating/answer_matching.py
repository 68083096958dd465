"""Which assets a person's answers are about, wherever these lay when they were seen."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sdtool.evaluating.answer_files import Answers, Key, key_of
from sdtool.evaluating.human import picture_digest, without_text
from sdtool.evaluating.results import UNSHOWN, Evaluated


def matched(answers: Answers, assets: Sequence[Evaluated], out: Path) -> Answers:
    """The same with the paths and methods that the assets have now.

    What is not found by these is found by its file, however its path was typed, or else by its picture, where
    one asset alone has it and one name alone asks for it. What is not found keeps its name. out: the folder
    of the report, with the pictures.
    """
    known = {(one.path, one.method) for one in assets}
    named = list(
        dict.fromkeys([*map(key_of, answers.given), *(answers.asked or ()), *answers.seen])
    )
    left = [key for key in named if key not in known]
    if not left:
        return answers
    used = {*named}
    free = [one for one in assets if (one.path, one.method) not in used]
    places = {os.path.abspath(one.path): (one.path, one.method) for one in free}
    now = _only_once({key: places.get(os.path.abspath(key[0])) for key in left})
    if rest := {key: answers.seen[key] for key in left if key not in now and key in answers.seen}:
        taken = {*now.values()}
        pictures: dict[str, list[Key]] = {}
        for one in (one for one in free if one.verdict not in UNSHOWN):
            if (key := (one.path, one.method)) not in taken:
                digest = picture_digest(without_text(out / one.picture))
                pictures.setdefault(digest, []).append(key)
        alone = {digest: keys[0] for digest, keys in pictures.items() if len(keys) == 1}
        now |= _only_once({key: alone.get(digest) for key, digest in rest.items()})
    return _renamed(answers, now)


def _only_once(found: dict[Key, Key | None]) -> dict[Key, Key]:
    """Without what was not found, and without assets that several names ask for."""
    times = Counter(found.values())
    return {old: new for old, new in found.items() if new is not None and times[new] == 1}


def _renamed(answers: Answers, now: dict[Key, Key]) -> Answers:
    given = []
    for one in answers.given:
        path, method = now.get(key_of(one), key_of(one))
        given.append(one | {"path": path, "method": method})
    asked = answers.asked
    return Answers(
        given,
        None if asked is None else frozenset(now.get(key, key) for key in asked),
        {now.get(key, key): digest for key, digest in answers.seen.items()},
    )
