"""Janus rates by the protocol: what became of each prompt, and whether two methods differ."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, zip_longest
from typing import Any

from sdtool import __version__
from sdtool.evaluating.judges import BUNDLED
from sdtool.evaluating.prompts import spelled
from sdtool.evaluating.protocol import Protocol, views
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    UNCOUNTED,
    UNSEEN,
    Evaluated,
    Rate,
    percent,
    rate_as_json,
)
from sdtool.evaluating.sampled import Estimate, differences
from sdtool.evaluating.statistics import mcnemar
from sdtool.io.names import escaped
from sdtool.io.words import counted

SHOWN = 12  # missing prompts that a line names


@dataclass(frozen=True)
class Tally:
    """What became of a method's results. janus: inconsistent ones, of those that could be told.
    consistent: consistent ones, of these, of failed ones and of missing ones. untold: results that
    cannot be told. missing: prompts without a result. foreign: paths of results of other prompts, or of
    none. most: results of one prompt, at most: so many are asked of each. fewer: prompts that have some
    results, but fewer than that. unseen: results that were not looked at, and count nowhere."""

    method: str
    janus: Rate
    consistent: Rate
    untold: int
    failed: int
    missing: tuple[str, ...]
    foreign: tuple[str, ...]
    most: int
    fewer: tuple[str, ...] = ()
    unseen: int = 0


@dataclass(frozen=True)
class Comparison:
    """Two methods, of the pairs of results on one prompt that could both be told. only_first, only_second:
    pairs of which that method's alone is a Janus. left_out: results whose partner is missing, and pairs
    that cannot be told."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    left_out: int

    @property
    def pairs(self) -> int:
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def p(self) -> float | None:
        """McNemar's exact test; None if there is no pair."""
        return mcnemar(self.only_first, self.only_second) if self.pairs else None


@dataclass(frozen=True)
class Outcome:
    """What a protocol found. judge: a digest of the judge and its lines; judged_by: how it is called;
    by_people: person → method → Janus rate by that person's answers too (`sampled`)."""

    protocol: Protocol
    judge: str
    tallies: tuple[Tally, ...]
    comparisons: tuple[Comparison, ...]
    judged_by: str = BUNDLED
    by_people: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)

    @property
    def told_by(self) -> str:
        """The judge with its digest, in words."""
        own = "" if self.judged_by == BUNDLED else self.judged_by.removeprefix("judge")
        return f"judge {self.judge}{own}"

    def as_json(self) -> dict[str, Any]:
        """What `protocol.json` says."""
        return {
            "protocol": self.protocol.name,
            "sdtool": __version__,
            "judge": self.judge,
            "judged_by": self.judged_by,
            "views": views(),
            "prompts": list(self.protocol.prompts),
            "methods": {
                one.method: {
                    "janus": rate_as_json(one.janus),
                    "consistent": rate_as_json(one.consistent),
                    "cannot be told": one.untold,
                    "failed": one.failed,
                    "not looked at": one.unseen,
                    "missing": list(one.missing),
                    "not of the list": list(one.foreign),
                    "most results of a prompt": one.most,
                    "fewer results": list(one.fewer),
                    "janus by people": {
                        name: found[one.method].as_json()
                        for name, found in self.by_people.items()
                        if one.method in found
                    },
                }
                for one in self.tallies
            },
            "comparisons": [
                {
                    "methods": [one.first, one.second],
                    "both Janus": one.both,
                    "only the first": one.only_first,
                    "only the second": one.only_second,
                    "neither": one.neither,
                    "left out": one.left_out,
                    "mcnemar_p": one.p,
                }
                for one in self.comparisons
            ],
            "differences by people": {
                name: [one.as_json() for one in differences(found)]
                for name, found in self.by_people.items()
            },
        }

    def sentence(self, one: Tally) -> str:
        """How a method's rate is to be reported."""
        low, high = one.janus.interval
        rate = "no result could be told"
        if one.janus.of:
            rate = f"Janus rate {percent(one.janus.share)} ({one.janus.count} of {one.janus.of}; "
            rate += f"95% interval {percent(low)} to {percent(high)})"
        for name, found in self.by_people.items():
            if one.method in found:
                rate += f"; with the answers of {name} {found[one.method]}"
        return (
            f"{one.method}: {rate}; {one.untold} cannot be told, {one.failed} failed, "
            f"{len(one.missing)} of {counted(len(self.protocol.prompts), 'prompt')} missing"
            f"{f', {one.unseen} not looked at' if one.unseen else ''}; sdtool {__version__}, "
            f"protocol {self.protocol.name}, {self.told_by}"
        )


def run(
    protocol: Protocol,
    found: Sequence[Evaluated],
    judge: str,
    judged_by: str = BUNDLED,
    by_people: Mapping[str, Mapping[str, Estimate]] | None = None,
) -> Outcome:
    """Count the results of each method, and compare every two of them. judge, judged_by, by_people: as
    `Outcome`."""
    methods = dict.fromkeys(one.method for one in found)
    sorted_in = {method: _by_prompt(protocol, found, method) for method in methods}
    tallies = [_tally(protocol, name, *parts) for name, parts in sorted_in.items()]
    pairs = [
        _compare(protocol, (a, sorted_in[a][0]), (b, sorted_in[b][0]))
        for a, b in combinations(methods, 2)
    ]
    return Outcome(protocol, judge, tuple(tallies), tuple(pairs), judged_by, by_people or {})


Results = dict[str, list[Evaluated]]


def of_list(protocol: Protocol | None, found: Sequence[Evaluated]) -> list[Evaluated]:
    """Those whose prompt is spelled as one of the protocol's; without a protocol all."""
    if protocol is None:
        return list(found)
    letters = set(map(spelled, protocol.prompts))
    return [one for one in found if one.prompt and spelled(one.prompt) in letters]


def _by_prompt(
    protocol: Protocol, found: Sequence[Evaluated], method: str
) -> tuple[Results, list[str]]:
    """Prompt → the method's results, by seed and then by path; and the paths of what is of no prompt."""
    by_letters = {spelled(prompt): prompt for prompt in protocol.prompts}
    results: Results = {prompt: [] for prompt in protocol.prompts}
    foreign = []
    for one in (one for one in found if one.method == method):
        prompt = by_letters.get(spelled(one.prompt)) if one.prompt else None
        if prompt is None:
            foreign.append(one.path)
        else:
            results[prompt].append(one)
    for some in results.values():
        some.sort(key=lambda one: (math.inf if one.seed is None else one.seed, one.path))
    return results, foreign


def _tally(protocol: Protocol, method: str, results: Results, foreign: list[str]) -> Tally:
    verdicts = [one.verdict for some in results.values() for one in some]
    good, bad = verdicts.count(CONSISTENT), verdicts.count(INCONSISTENT)
    most = max(map(len, results.values()), default=0)
    failed, lacking = verdicts.count(FAILED), max(1, most) * len(results) - len(verdicts)
    unseen = verdicts.count(UNSEEN)
    return Tally(
        method,
        Rate(bad, good + bad),
        Rate(good, good + bad + failed + lacking),
        sum(verdict in UNCOUNTED for verdict in verdicts) - unseen,
        failed,
        tuple(prompt for prompt in protocol.prompts if not results[prompt]),
        tuple(foreign),
        most,
        tuple(prompt for prompt in protocol.prompts if 0 < len(results[prompt]) < most),
        unseen,
    )


def _compare(
    protocol: Protocol, first: tuple[str, Results], second: tuple[str, Results]
) -> Comparison:
    """Count the pairs of two methods' results of each prompt (`_paired`)."""
    counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
    left_out = 0
    for prompt in protocol.prompts:
        for pair in _paired(first[1][prompt], second[1][prompt]):
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
    )


def _paired(ours: list[Evaluated], theirs: list[Evaluated]) -> list[tuple[str, str]]:
    """Verdicts on pairs of one prompt: those of equal seeds, then the k-th of the others with the other
    method's k-th; "" where there is none, and one such pair where neither has a result."""
    pairs, rest, left = [], [], list(theirs)
    for one in ours:
        same = [k for k, two in enumerate(left) if one.seed is not None and two.seed == one.seed]
        if same:
            pairs.append((one.verdict, left.pop(same[0]).verdict))
        else:
            rest.append(one.verdict)
    pairs += list(zip_longest(rest, [two.verdict for two in left], fillvalue=""))
    return pairs or [("", "")]


# Saying


def lines(outcome: Outcome) -> list[str]:
    """The outcome in words: a row of a table for each method, then what is missing, then the comparisons."""
    head = ("method", "Janus rate", "95% interval", "consistent", "untold", "failed", "missing")
    rows: list[tuple[str, ...]] = [head]
    for one in outcome.tallies:
        low, high = one.janus.interval
        share = f"{percent(one.janus.share)} ({one.janus.count} of {one.janus.of})"
        rows.append(
            (
                escaped(one.method),  # as it will stand there
                share if one.janus.of else "nothing told",
                f"{percent(low)} to {percent(high)}" if one.janus.of else "–",
                f"{one.consistent.count} of {one.consistent.of}",
                *map(str, (one.untold, one.failed, len(one.missing))),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    said = [f"protocol {outcome.protocol.name}, {outcome.told_by}"]
    said += ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    for one in outcome.tallies:
        if one.unseen:
            of = "1 result was" if one.unseen == 1 else f"{one.unseen} results were"
            said.append(f"{one.method}: {of} not looked at, and count nowhere")
        if one.missing:
            some = "; ".join(one.missing[:SHOWN]) + "; …" * (len(one.missing) > SHOWN)
            of = "1 prompt" if len(one.missing) == 1 else f"{len(one.missing)} prompts"
            said.append(f"{one.method} has no result of {of}: {some}")
        if one.fewer:
            some = "; ".join(one.fewer[:SHOWN]) + "; …" * (len(one.fewer) > SHOWN)
            said.append(
                f"{one.method} has fewer than {one.most} results of some prompts, and counts those that "
                f"are missing: {some}"
            )
        if one.foreign:
            some = ", ".join(one.foreign[:3]) + ", …" * (len(one.foreign) > 3)
            said.append(f"{one.method}: {len(one.foreign)} of no prompt of the list: {some}")
        if one.most > 1:
            said.append(
                f"{one.method} has up to {one.most} results of a prompt, which are not independent: "
                "the interval and the tests are too sure"
            )
    for pair in outcome.comparisons:
        if pair.p is None:
            said.append(
                f"{pair.first} against {pair.second}: no prompt of which both could be told"
            )
            continue
        said.append(
            f"{pair.first} against {pair.second}: Janus alone {pair.only_first} and "
            f"{pair.only_second}, both {pair.both}, neither {pair.neither} ({pair.left_out} pairs left "
            f"out); McNemar's exact p = {pair.p:.3g}"
        )
    return said
