"""What independent judges say of each asset, and how far they agree, with people too.

A judge says of an asset that it is consistent, that it is inconsistent, or that it cannot be told. Of both
kappas, Cohen's of two judges and Fleiss' of all, there are two: of the assets that both or all told, and of
those that both or all were asked of, with "cannot be told" as a third answer.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from sdtool.evaluating import clip, orientation
from sdtool.evaluating.assets import absolute
from sdtool.evaluating.measuring import JUDGE, Measured
from sdtool.evaluating.results import (
    CONSISTENT,
    INCONSISTENT,
    UNCOUNTED,
    UNSHOWN,
    UNTOLD,
    Evaluated,
    Finding,
    Rate,
)
from sdtool.evaluating.statistics import cohen_kappa, fleiss_kappa

BUNDLED, CLIP, ORIENTATION = "bundled judge", "CLIP", "orientation model"
ANSWERS = (CONSISTENT, INCONSISTENT, UNTOLD)
OF_CLIP = ("CLIP sides",)
"""Measures of a verdict that are CLIP's, and so not the judge's own."""

IN_ANSWERS = {"yes": CONSISTENT, "no": INCONSISTENT, "unsure": UNTOLD}


def name_of(folder: Path | None) -> str:
    """How a judge of one's own is called, by its folder; None: the bundled one."""
    if folder is None or folder.resolve() == JUDGE.resolve():
        return BUNDLED
    return f"judge in {absolute(folder).name}"


def opinions(found: Measured, verdict: Evaluated, judge: str = BUNDLED) -> dict[str, str]:
    """Judge → what it says of a measured asset; only of those that were asked. judge: the name of the one
    whose verdict it is."""
    said = {judge: _without_clip(verdict)}
    if not math.isnan(found.clip_sides):
        said[CLIP] = clip.opinion(found.clip_sides, found.clip_twice, found.clip_spread)
    if not math.isnan(found.orient_front):
        values = found.orient_once, found.orient_sharp, found.orient_front
        said[ORIENTATION] = orientation.opinion(*values)
    return said


def _without_clip(verdict: Evaluated) -> str:
    """The verdict without what CLIP had to say in it."""
    if verdict.verdict in UNCOUNTED:
        return UNTOLD
    lines = [one for one in verdict.findings if one.passes is not None]
    own = [bool(one.passes) for one in lines if one.measure not in OF_CLIP]
    if len(own) == len(lines):
        return verdict.verdict
    return (CONSISTENT if all(own) else INCONSISTENT) if own else UNTOLD


def findings(found: Measured) -> list[Finding]:
    """What the orientation model measured, as evidence; nothing where it was not asked."""
    if math.isnan(found.orient_front):
        return []
    once, sharp, front = (
        f"orientation: {name}" for name in ("once round", "how sharp", "has a front")
    )
    values = found.orient_once, found.orient_turns, found.orient_sharp
    if any(map(math.isnan, values)):
        note = "its probabilities are no numbers"
        own = [Finding(name, None, note=note) for name in (once, sharp)]
    else:
        turns = f"{found.orient_turns:.0f} turns as the camera makes one"
        own = [
            Finding(once, found.orient_once, note=turns),
            Finding(sharp, found.orient_sharp, note="0: every side as probable"),
        ]
    return [*own, Finding(front, found.orient_front)]


@dataclass(frozen=True)
class Pair:
    """Two judges. table: of the assets that both were asked of, how often the first said `ANSWERS[row]` and
    the second `ANSWERS[column]`."""

    first: str
    second: str
    table: tuple[tuple[int, ...], ...]

    @property
    def told(self) -> list[list[int]]:
        """The table of what both told."""
        return [list(row[:2]) for row in self.table[:2]]

    @property
    def agreed(self) -> Rate:
        """How often both say the same, of what both told."""
        (both_yes, _), (_, both_no) = self.told
        return Rate(both_yes + both_no, sum(map(sum, self.told)))

    @property
    def kappa(self) -> float:
        """Cohen's, of what both told."""
        return cohen_kappa(self.told)

    @property
    def kappa_of_three(self) -> float:
        """Cohen's, where "cannot be told" is an answer as well."""
        return cohen_kappa(self.table)

    def as_json(self) -> dict[str, Any]:
        (both_yes, only_first), (only_second, both_no) = self.told
        return {
            "judges": [self.first, self.second],
            "both consistent": both_yes,
            "only the first": only_first,
            "only the second": only_second,
            "both inconsistent": both_no,
            "agreed": self.agreed.count,
            "of": self.agreed.of,
            "cohen_kappa": _or_none(self.kappa),
            "asked_both": sum(map(sum, self.table)),
            "cohen_kappa_of_three": _or_none(self.kappa_of_three),
        }


@dataclass(frozen=True)
class Judges:
    """answers: judge → how often it said each of `ANSWERS`, and "not asked". pairs: of every two judges.
    silent: judges who said nothing, and are none of those that "every judge" and "all" mean.
    told_by_all: the assets that every judge told; fleiss: their kappa, NaN of none; asked_of_all,
    fleiss_of_three: the same where "cannot be told" is an answer as well."""

    answers: dict[str, dict[str, int]]
    pairs: tuple[Pair, ...]
    told_by_all: int
    fleiss: float
    asked_of_all: int
    fleiss_of_three: float
    silent: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "pairs": [one.as_json() for one in self.pairs],
            "told_by_all": self.told_by_all,
            "fleiss_kappa": _or_none(self.fleiss),
            "asked_of_all": self.asked_of_all,
            "fleiss_kappa_of_three": _or_none(self.fleiss_of_three),
            **({"said nothing": list(self.silent)} if self.silent else {}),
        }


def lines(judges: Judges | None) -> list[str]:
    """How far they agree, in words; nothing where there are no two."""
    if judges is None:
        return []
    said = [f"{one.first} and {one.second}: {_told(one)}" for one in judges.pairs]
    if len(judges.answers) > 2:
        told = f"Fleiss' kappa {kappa(judges.fleiss)} of {judges.told_by_all} that all told"
        whose = f"all of them but {', '.join(judges.silent)}, who said nothing"
        said.append(
            f"{whose if judges.silent else 'all of them'}: {told}; "
            f"{_third(judges.fleiss_of_three, judges.asked_of_all)}"
        )
    return said


def _told(pair: Pair) -> str:
    asked = sum(map(sum, pair.table))
    if not asked:
        return "nothing that both were asked"
    same, of = pair.agreed.count, pair.agreed.of
    told = f"the same of {same} of {of} that both told, Cohen's kappa {kappa(pair.kappa)}"
    return f"{told if of else 'nothing that both told'}; {_third(pair.kappa_of_three, asked)}"


def _third(value: float, of: int) -> str:
    return f'{kappa(value)} of {of} with "cannot be told" as an answer'


def kappa(value: float) -> str:
    """A kappa in words."""
    return "undefined" if math.isnan(value) else f"{value:.2f}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def agreement(
    found: Sequence[Evaluated], people: Mapping[str, Sequence[Mapping[str, str]]]
) -> Judges | None:
    """How far the judges agree on the assets; None where there are no two judges.

    people: name → answers (`answers.Answers`). What has no picture (`UNSHOWN`) has nothing to be judged.
    """
    said = {
        name: {(one["path"], one["method"]): IN_ANSWERS[one["answer"]] for one in answers}
        for name, answers in people.items()
    }
    votes = []
    for asset in (one for one in found if one.verdict not in UNSHOWN):
        own = dict(asset.opinions)
        for name, answers in said.items():
            if answer := answers.get((asset.path, asset.method)):
                own[name] = answer
        votes.append(own)
    return compared(votes, [*said])


def compared(votes: Sequence[Mapping[str, str]], always: Sequence[str] = ()) -> Judges | None:
    """How far judges agree. votes: for each asset judge → one of `ANSWERS`. always: judges that are listed
    even if they said nothing."""
    names = list(dict.fromkeys([*(name for one in votes for name in one), *always]))
    if len(names) < 2:
        return None
    answers = {}
    for name in names:
        counted = Counter(one[name] for one in votes if name in one)
        answers[name] = {answer: counted[answer] for answer in ANSWERS}
        answers[name]["not asked"] = len(votes) - counted.total()
    pairs = []
    for first, second in combinations(names, 2):
        both = Counter((one[first], one[second]) for one in votes if first in one and second in one)
        table = tuple(tuple(both[row, column] for column in ANSWERS) for row in ANSWERS)
        pairs.append(Pair(first, second, table))
    silent = tuple(name for name in names if answers[name]["not asked"] == len(votes))
    speakers = len(names) - len(silent)
    whole = [Counter(one.values()) for one in votes if len(one) == speakers > 1]
    told = [one for one in whole if not one[UNTOLD]]
    return Judges(
        answers,
        tuple(pairs),
        told_by_all=len(told),
        fleiss=fleiss_kappa([[one[CONSISTENT], one[INCONSISTENT]] for one in told]),
        asked_of_all=len(whole),
        fleiss_of_three=fleiss_kappa([[one[answer] for answer in ANSWERS] for one in whole]),
        silent=silent,
    )
