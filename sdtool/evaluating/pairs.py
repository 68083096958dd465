"""Pairs of two methods' results of one prompt, and McNemar's test of what is said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sdtool.evaluating.results import CONSISTENT, INCONSISTENT, Evaluated
from sdtool.evaluating.statistics import mcnemar
from sdtool.io.words import counted

Results = dict[str, list[Evaluated]]
"""Prompt → a method's results, in their order."""


@dataclass(frozen=True)
class Comparison:
    """Two methods, of the pairs of results on one prompt that could both be told. only_first, only_second:
    pairs of which that method's alone is a Janus. left_out: results whose partner is missing, and pairs
    that cannot be told. by_order: pairs of prompts with several results that only their order has made, as
    their seeds are not known or not equal."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    left_out: int
    by_order: int = 0

    @property
    def pairs(self) -> int:
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def p(self) -> float | None:
        """McNemar's exact test; None if there is no pair."""
        return mcnemar(self.only_first, self.only_second) if self.pairs else None

    @property
    def said_by_order(self) -> str:
        """A sentence on the pairs that only their order has made; "" if there are none."""
        if not self.by_order:
            return ""
        made = f"{counted(self.by_order, 'pair')} of several results of a prompt made by their order only"
        cure = "name the seeds in a table or in the files' names (corgi_seed3.glb)"
        return f"{self.first} against {self.second}: {made}, as their seeds are unknown or differ; {cure}"

    def as_json(self) -> dict[str, Any]:
        return {
            "methods": [self.first, self.second],
            "both Janus": self.both,
            "only the first": self.only_first,
            "only the second": self.only_second,
            "neither": self.neither,
            "left out": self.left_out,
            "by order only": self.by_order,
            "mcnemar_p": self.p,
        }


def compare(
    prompts: Sequence[str], first: tuple[str, Results], second: tuple[str, Results]
) -> Comparison:
    """Count the pairs of two methods' results of each prompt. first, second: name and results."""
    counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
    left_out = by_order = 0
    for prompt in prompts:
        pairs, ordered = _paired(first[1][prompt], second[1][prompt])
        by_order += ordered
        for pair in pairs:
            if all(verdict in (CONSISTENT, INCONSISTENT) for verdict in pair):
                counts[pair[0] == INCONSISTENT, pair[1] == INCONSISTENT] += 1
            else:
                left_out += 1
    return Comparison(
        first[0],
        second[0],
        both=counts[True, True],
        only_first=counts[True, False],
        only_second=counts[False, True],
        neither=counts[False, False],
        left_out=left_out,
        by_order=by_order,
    )


def _paired(ours: list[Evaluated], theirs: list[Evaluated]) -> tuple[list[tuple[str, str]], int]:
    """Verdicts on pairs of one prompt: those of equal seeds, then the k-th of the others with the other
    method's k-th; "" where there is none, and one such pair where neither has a result. And how many were
    made by their order, where there are several results."""
    pairs, rest, left = [], [], list(theirs)
    for one in ours:
        same = [k for k, two in enumerate(left) if one.seed is not None and two.seed == one.seed]
        if same:
            pairs.append((one.verdict, left.pop(same[0]).verdict))
        else:
            rest.append(one.verdict)
    by_order = min(len(rest), len(left)) if max(len(ours), len(theirs)) > 1 else 0
    pairs += list(zip_longest(rest, [two.verdict for two in left], fillvalue=""))
    return pairs or [("", "")], by_order
