"""What independent judges say of each asset, and how far they agree, with people too.

A judge says of an asset that it is consistent, that it is inconsistent, or that it cannot be told. What
cannot be told is counted, and left out of the agreement: Cohen's kappa is of the assets that both of two
judges told, Fleiss' of those that all did.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sdtool.evaluating import clip, orientation
from sdtool.evaluating.measuring import Measured
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    UNCOUNTED,
    UNTOLD,
    Evaluated,
    Finding,
    Rate,
)
from sdtool.evaluating.statistics import cohen_kappa, fleiss_kappa

BUNDLED, CLIP, ORIENTATION = "bundled judge", "CLIP", "orientation model"
ANSWERS = (CONSISTENT, INCONSISTENT, UNTOLD)
OF_CLIP = ("CLIP sides",)
"""Measures of a verdict that are CLIP's, and so not the bundled judge's own."""

IN_ANSWERS = {"yes": CONSISTENT, "no": INCONSISTENT, "unsure": UNTOLD}


def opinions(found: Measured, verdict: Evaluated) -> dict[str, str]:
    """Judge → what it says of a measured asset; only of those that were asked."""
    said = {BUNDLED: _of_the_bundled(verdict)}
    if not math.isnan(found.clip_sides):
        said[CLIP] = clip.opinion(found.clip_sides, found.clip_twice, found.clip_spread)
    if not math.isnan(found.orient_front):
        values = found.orient_once, found.orient_sharp, found.orient_front
        said[ORIENTATION] = orientation.opinion(*values)
    return said


def _of_the_bundled(verdict: Evaluated) -> str:
    """The verdict without what CLIP had to say in it."""
    if verdict.verdict in UNCOUNTED:
        return UNTOLD
    lines = [one for one in verdict.findings if one.passes is not None]
    own = [bool(one.passes) for one in lines if one.measure not in OF_CLIP]
    if len(own) == len(lines):
        return verdict.verdict
    return (CONSISTENT if all(own) else INCONSISTENT) if own else UNTOLD


def findings(found: Measured) -> list[Finding]:
    """What the orientation model measured, as evidence."""
    if math.isnan(found.orient_front):
        return []
    turns = f"{found.orient_turns:.0f} turns as the camera makes one"
    return [
        Finding("orientation: once round", found.orient_once, note=turns),
        Finding("orientation: how sharp", found.orient_sharp, note="0: every side as probable"),
        Finding("orientation: has a front", found.orient_front),
    ]


@dataclass(frozen=True)
class Pair:
    """Two judges, of the assets that both told."""

    first: str
    second: str
    both_yes: int
    only_first: int
    only_second: int
    both_no: int

    @property
    def agreed(self) -> Rate:
        """How often both say the same."""
        same = self.both_yes + self.both_no
        return Rate(same, same + self.only_first + self.only_second)

    @property
    def kappa(self) -> float:
        """Cohen's."""
        return cohen_kappa([[self.both_yes, self.only_first], [self.only_second, self.both_no]])


@dataclass(frozen=True)
class Judges:
    """answers: judge → how often it said each of `ANSWERS`, and "not asked". pairs: of every two judges.
    told_by_all: the assets that every judge told; fleiss: their kappa, NaN of none."""

    answers: dict[str, dict[str, int]]
    pairs: tuple[Pair, ...]
    told_by_all: int
    fleiss: float

    def as_json(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "pairs": [
                {
                    "judges": [one.first, one.second],
                    "both consistent": one.both_yes,
                    "only the first": one.only_first,
                    "only the second": one.only_second,
                    "both inconsistent": one.both_no,
                    "agreed": one.agreed.count,
                    "of": one.agreed.of,
                    "cohen_kappa": _or_none(one.kappa),
                }
                for one in self.pairs
            ],
            "told_by_all": self.told_by_all,
            "fleiss_kappa": _or_none(self.fleiss),
        }


def lines(judges: Judges | None) -> list[str]:
    """How far they agree, in words; nothing where there are no two."""
    if judges is None:
        return []
    said = [f"{one.first} and {one.second}: {_told(one)}" for one in judges.pairs]
    if len(judges.answers) > 2:
        value = kappa(judges.fleiss)
        said.append(f"all of them: Fleiss' kappa {value} of {judges.told_by_all} that all told")
    return said


def _told(pair: Pair) -> str:
    if not pair.agreed.of:
        return "nothing that both told"
    same, of = pair.agreed.count, pair.agreed.of
    return f"the same of {same} of {of} that both told, Cohen's kappa {kappa(pair.kappa)}"


def kappa(value: float) -> str:
    """A kappa in words."""
    return "undefined" if math.isnan(value) else f"{value:.2f}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def agreement(
    found: Sequence[Evaluated], people: Mapping[str, Sequence[Mapping[str, str]]]
) -> Judges | None:
    """How far the judges agree on the assets; None where there are no two judges.

    people: name → answers (`human.read_answers`). Failed assets have nothing to be judged.
    """
    said = {
        name: {(one["path"], one["method"]): IN_ANSWERS[one["answer"]] for one in answers}
        for name, answers in people.items()
    }
    votes = []
    for asset in (one for one in found if one.verdict != FAILED):
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
    told = [{k: v == CONSISTENT for k, v in one.items() if v != UNTOLD} for one in votes]
    pairs = []
    for first, second in combinations(names, 2):
        both = Counter((one[first], one[second]) for one in told if first in one and second in one)
        pair = Pair(
            first,
            second,
            both_yes=both[True, True],
            only_first=both[True, False],
            only_second=both[False, True],
            both_no=both[False, False],
        )
        pairs.append(pair)
    whole = [list(one.values()) for one in told if len(one) == len(names)]
    fleiss = fleiss_kappa([[sum(one), len(one) - sum(one)] for one in whole])
    return Judges(answers, tuple(pairs), len(whole), fleiss)
