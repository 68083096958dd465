"""Janus rates by the protocol: what became of each prompt, and whether two methods differ."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from sdtool import __version__
from sdtool.evaluating.judges import BUNDLED
from sdtool.evaluating.pairs import Comparison, Results, compare
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
from sdtool.io.names import natural
from sdtool.io.words import counted


@dataclass(frozen=True)
class Tally:
    """What became of a method's results. janus: inconsistent ones, of those that could be told.
    consistent: consistent ones, of these, of failed ones and of missing ones. untold: results that
    cannot be told. missing: prompts without a result. foreign: paths of results of other prompts, or of
    none. most: results of one prompt, at most: so many are asked of each. fewer: prompts that have some
    results, but fewer than that. unseen: results that were not looked at, and count nowhere. results: all of
    them, of the list's prompts; several: prompts that have more than one."""

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
    results: int = 0
    several: int = 0


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
            "list": {"file": self.protocol.file, "digest": self.protocol.digest},
            "prompts": list(self.protocol.prompts),
            "methods": {
                one.method: {
                    "janus": rate_as_json(one.janus),
                    "consistent": rate_as_json(one.consistent),
                    "cannot be told": one.untold,
                    "results": one.results,
                    "prompts with several results": one.several,
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
            "comparisons": [one.as_json() for one in self.comparisons],
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
        several = (
            f"{counted(one.several, 'prompt')} with several results, which are not independent"
        )
        told = [
            f"{one.method}: {rate}",
            f"of {counted(one.results, 'result')} {one.untold} cannot be told, {one.failed} failed"
            + f", {one.unseen} not looked at" * bool(one.unseen),
            f"{len(one.missing)} of {counted(len(self.protocol.prompts), 'prompt')} missing"
            + f", {several}" * bool(one.several),
            f"sdtool {__version__}, protocol {self.protocol.told}, {self.told_by}",
        ]
        return "; ".join(told)


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
        compare(protocol.prompts, (a, sorted_in[a][0]), (b, sorted_in[b][0]))
        for a, b in combinations(methods, 2)
    ]
    return Outcome(protocol, judge, tuple(tallies), tuple(pairs), judged_by, by_people or {})


def of_list(protocol: Protocol | None, found: Sequence[Evaluated]) -> list[Evaluated]:
    """Those whose prompt is spelled as one of the protocol's; without a protocol all."""
    if protocol is None:
        return list(found)
    letters = set(map(spelled, protocol.prompts))
    return [one for one in found if one.prompt and spelled(one.prompt) in letters]


def _by_prompt(
    protocol: Protocol, found: Sequence[Evaluated], method: str
) -> tuple[Results, list[str]]:
    """Prompt → the method's results, by seed and then by path, whose
    numbers count as such; and the paths of what is of no prompt."""
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
        some.sort(key=lambda one: (math.inf if one.seed is None else one.seed, natural(one.path)))
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
        results=len(verdicts),
        several=sum(len(some) > 1 for some in results.values()),
    )
