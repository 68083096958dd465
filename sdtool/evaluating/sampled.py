"""Janus rates from a person's answers on some results and a judge's verdicts on all: they hold however
often the judge errs.

The person answers a random part (the blind sheet is shuffled, so whoever stops early has answered one). How
often the judge errs is read off that part, separately for what it calls consistent, inconsistent, and
nothing: post-stratification (Holt and Smith 1979). A good judge makes the interval narrower than the answers
alone would; a bad one makes it a little wider.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from sdtool.evaluating.prompts import spelled
from sdtool.evaluating.results import (
    CONSISTENT,
    INCONSISTENT,
    UNSHOWN,
    UNTOLD,
    Calibration,
    Evaluated,
    percent,
)
from sdtool.io.words import counted

SAID = ("yes", "no", "unsure")
LEAST = 2  # answers in a stratum; one with fewer is merged with the largest other
DRAWS = 20_000
MOST = 5  # methods of which every two are compared


@dataclass(frozen=True)
class Stratum:
    """The results of which the judge says the same: how many there are, and a person's yes, no and unsure
    on some of them."""

    size: int
    yes: int = 0
    no: int = 0
    unsure: int = 0

    @property
    def answers(self) -> int:
        return self.yes + self.no + self.unsure

    def __add__(self, other: "Stratum") -> "Stratum":
        return Stratum(
            self.size + other.size,
            self.yes + other.yes,
            self.no + other.no,
            self.unsure + other.unsure,
        )


@dataclass(frozen=True)
class Estimate:
    """A Janus rate, of the results that the person could tell: share in [0, 1], and its interval of 95%.
    answers, of: results that were answered, of all that were on the sheet. later: results that were on no
    sheet. most: results of one prompt, at most: several are not independent, which the interval does not
    know. ends: (2, DRAWS) rates that it may as well be, once where the interval begins and once where it
    ends."""

    share: float
    interval: tuple[float, float]
    answers: int
    of: int
    later: int = 0
    most: int = 1
    ends: np.ndarray = field(repr=False, compare=False, default_factory=lambda: np.zeros((2, 1)))

    def __str__(self) -> str:
        low, high = self.interval
        said = f"{percent(self.share)} ({percent(low)} to {percent(high)})"
        later = f"; not on the sheet, and not in it: {self.later:,}" * bool(self.later)
        by = f"by {counted(self.answers, 'answer')} and the verdicts on {self.of:,}"
        return f"{said}, {by}{later}{self.caution}"

    @property
    def caution(self) -> str:
        """What is to be said where the interval is too sure; else ""."""
        if self.most < 2:
            return ""
        of = f"up to {self.most} results of a prompt, which are not independent"
        return f"; of {of}: the interval, and that of a difference, is too sure"

    def as_json(self) -> dict[str, Any]:
        return {
            "share": round(self.share, 4),
            "interval": [round(end, 4) for end in self.interval],
            "answers": self.answers,
            "of": self.of,
            **({"not_on_the_sheet": self.later} if self.later else {}),
            **({"most_results_of_a_prompt": self.most} if self.most > 1 else {}),
        }


def janus_rate(strata: Sequence[Stratum]) -> Estimate | None:
    """The share of "no" among "yes" and "no", had the person answered for all; None where nobody told any.

    With N_h results and a_h answers in stratum h: Σ N_h no_h/a_h / Σ N_h (yes_h + no_h)/a_h. Its interval
    is that of the method, of which these results are a sample. It begins at the 2.5% quantile of the same
    ratio where the strata's shares are drawn from Dirichlet(N), and the answers' in each from
    Dirichlet(yes + ⅔, no + ⅓, unsure + ⅓), and ends at the 97.5% quantile with Dirichlet(yes + ⅓, no + ⅔,
    unsure + ⅓): between Jeffreys' ½ each, too sure where nobody says no, and Clopper and Pearson's 0 and 1.
    """
    kept = _merged([one for one in strata if one.size])
    if not any(one.yes or one.no for one in kept):
        return None
    sizes = np.array([one.size for one in kept], np.float64)
    said = np.array([(one.yes, one.no, one.unsure) for one in kept], np.float64)
    yes, no, _ = sizes @ (said / said.sum(axis=1, keepdims=True))
    ends = np.stack([_drawn(sizes, said + np.array(prior) / 3) for prior in ((2, 1, 1), (1, 2, 1))])
    share = float(no / (yes + no))
    low = 0.0 if no == 0 else min(float(np.quantile(ends[0], 0.025)), share)
    high = 1.0 if yes == 0 else max(float(np.quantile(ends[1], 0.975)), share)
    answers, of = sum(one.answers for one in kept), sum(one.size for one in kept)
    return Estimate(share, (low, high), answers, of, ends=ends)


def _drawn(sizes: np.ndarray, said: np.ndarray) -> np.ndarray:
    """(DRAWS,) rates, of strata of `sizes` (H,) whose answers yes, no and unsure weigh `said` (H, 3)."""
    rng = np.random.default_rng(0)
    shares = np.stack([rng.dirichlet(row, DRAWS) for row in said], axis=1)
    weighted = np.einsum("dh,dhk->dk", rng.dirichlet(sizes, DRAWS), shares)
    return weighted[:, 1] / (weighted[:, 0] + weighted[:, 1])


def _merged(strata: list[Stratum]) -> list[Stratum]:
    """The same with those of fewer than LEAST answers merged with the largest other."""
    strata = sorted(strata, key=lambda one: one.size)
    while len(strata) > 1 and min(one.answers for one in strata) < LEAST:
        few = min(strata, key=lambda one: one.answers)
        strata.remove(few)
        strata[-1] = strata[-1] + few
        strata.sort(key=lambda one: one.size)
    return strata


def estimates(
    assets: Sequence[Evaluated],
    answers: Sequence[Mapping[str, str]],
    asked: Set[tuple[str, str]] | None = None,
) -> dict[str, Estimate]:
    """Method → its Janus rate by a person's answers (`answers.Answers`); of methods of which the person
    told none, nothing. What has no picture (`UNSHOWN`) does not count.

    asked: path and method of all that was on the sheet; None: all of them. What came later could not be
    answered, so it is not in the rate."""
    later: Counter[str] = Counter()
    prompts: dict[str, Counter[str]] = {}
    said = {(one["path"], one["method"]): one["answer"] for one in answers}
    sizes: dict[str, Counter[str]] = {}
    heard: dict[str, Counter[tuple[str, str]]] = {}
    for one in (one for one in assets if one.verdict not in UNSHOWN):
        if asked is not None and (one.path, one.method) not in asked:
            later[one.method] += 1
            continue
        verdict = one.verdict if one.verdict in (CONSISTENT, INCONSISTENT) else UNTOLD
        sizes.setdefault(one.method, Counter())[verdict] += 1
        if one.prompt:
            prompts.setdefault(one.method, Counter())[spelled(one.prompt)] += 1
        answer = said.get((one.path, one.method), "")
        heard.setdefault(one.method, Counter())[verdict, answer] += 1
    found = {}
    for method, own in sizes.items():
        strata = [
            Stratum(size, *(heard[method][verdict, answer] for answer in SAID))
            for verdict, size in own.items()
        ]
        if rate := janus_rate(strata):
            most = max(prompts.get(method, Counter()).values(), default=1)
            found[method] = replace(rate, later=later[method], most=most)
    return found


@dataclass(frozen=True)
class Difference:
    """By how much the first method's Janus rate is higher than the second's, in [−1, 1], with its interval
    of 95%, as if no result of the one had to do with one of the other."""

    first: str
    second: str
    share: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = map(_points, self.interval)
        share = _points(self.share)
        point = "point" if share[1:] == "1" else "points"
        return f"{share} {point} of Janus rate ({low} to {high})"

    def as_json(self) -> dict[str, Any]:
        return {
            "methods": [self.first, self.second],
            "difference": round(self.share, 4),
            "interval": [round(end, 4) for end in self.interval],
        }


def differences(found: Mapping[str, Estimate]) -> list[Difference]:
    """Of every two methods by one person's answers; of more than MOST none: some would differ by chance."""
    if len(found) > MOST:
        return []
    rng = np.random.default_rng(0)  # equal seeds drew both; shuffled they are independent
    made = []
    for (first, one), (second, two) in combinations(found.items(), 2):
        share = one.share - two.share
        low = float(np.quantile(one.ends[0] - rng.permutation(two.ends[1]), 0.025))
        high = float(np.quantile(one.ends[1] - rng.permutation(two.ends[0]), 0.975))
        made.append(Difference(first, second, share, (min(low, share), max(high, share))))
    return made


def _points(share: float) -> str:
    """A difference of shares in whole points with its sign, halves up as `percent`; 0 has none."""
    rounded = math.copysign(math.floor(100 * abs(share) + 0.5), share)
    return f"{rounded:+.0f}".replace("-", "−") if rounded else "0"


def lines(people: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """Each person's estimates in words."""
    said = []
    for name, found in people.items():
        if not found:
            said.append(f"no Janus rate with the answers of {name}: no yes or no is of what counts")
        said += [
            f"{method}, with the answers of {name}: Janus rate {one}"
            for method, one in found.items()
        ]
        said += [
            f"{one.first} against {one.second}, with the answers of {name}: {one}"
            for one in differences(found)
        ]
    return said


def cautions(assets: Sequence[Evaluated], calibration: Calibration) -> list[str]:
    """A sentence on what the judge may err on, and the cure: where most of what it told (of what has a
    prompt) is of no kind that it has learnt, and the calibration tells of sound real models."""
    told = [one for one in assets if one.prompt and one.verdict in (CONSISTENT, INCONSISTENT)]
    strange = [one for one in told if not one.rank]
    real = [
        one.blamed for name, one in calibration.sources.items() if name.startswith("real assets")
    ]
    count, of = sum(one.count for one in real), sum(one.of for one in real)
    if not of or 2 * len(strange) <= len(told):
        return []
    return [
        f"of kinds that the judge has not learnt: {len(strange)} of {counted(len(told), 'verdict')}; of "
        f"sound real models it blamed {count} of {of}; answers of a person to some 40 give a rate that holds "
        "all the same (--human, --answers)"
    ]


def as_json(people: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    """Person → "methods" (method → estimate) and "differences", as evaluation.json has them."""
    return {
        name: {
            "methods": {method: one.as_json() for method, one in found.items()},
            "differences": [one.as_json() for one in differences(found)],
        }
        for name, found in people.items()
    }
