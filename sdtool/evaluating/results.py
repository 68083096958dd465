"""What an evaluation finds, and the rates that come of it."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

CONSISTENT, INCONSISTENT, SYMMETRIC, UNJUDGED, FAILED, UNSEEN = (
    "consistent",
    "inconsistent",
    "not applicable",
    "not judged",
    "failed",
    "not looked at",
)
"""Verdicts. "not applicable": its sides look too much alike to be told apart reliably.
"not judged": no calibrated measure knows such things. "not looked at": memory ran out, or sdtool failed;
the same command tries again. None of these counts. "failed": there is no model to look at; it counts as
not consistent."""
UNCOUNTED = (SYMMETRIC, UNJUDGED, UNSEEN)
UNSHOWN = (FAILED, UNSEEN)
"""Verdicts on what has no picture, and so is no one's to judge."""
UNTOLD = "cannot be told"
"""What a judge says who cannot tell whether an asset is consistent; else it says one of the first two
verdicts."""


@dataclass(frozen=True)
class Finding:
    """What one measure says of one asset.

    measure: its name. value: None where it cannot be taken, which is what NaN becomes; then `note` says
    why. threshold: None if the measure is evidence only. passes: None if there is no threshold or no value.
    """

    measure: str
    value: float | None
    threshold: float | None = None
    passes: bool | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and math.isnan(self.value):
            object.__setattr__(self, "value", None)


@dataclass(frozen=True)
class Evaluated:
    """One asset and what was found.

    method: the folder that it came from, whose rate it counts for. prompt, category: "" if unknown.
    reasons: sentences, of what is not consistent. picture: its contact sheet, relative to the report (""
    if its verdict is one of `UNSHOWN`). truth, predicted: the azimuths, in degrees, of the views that the
    classifier saw and of what it took them for. opinions: judge → what it says (see `judges`).
    prompt_from: who says the prompt (see `prompts`). seed: of the lift, if it is known. rank: the place of
    its kind among those that the judge takes it for, 1 the best; 0: no kind, or one that it does not know.
    """

    name: str
    method: str
    path: str
    prompt: str
    category: str
    verdict: str
    reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    picture: str = ""
    truth: tuple[float, ...] = ()
    predicted: tuple[float, ...] = ()
    opinions: dict[str, str] = field(default_factory=dict)
    prompt_from: str = ""
    seed: int | None = None
    rank: int = 0


@dataclass(frozen=True)
class Rate:
    """`count` of `of`, with the Wilson score interval of 95%."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """In [0, 1]; NaN of nothing."""
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson (1927): centre (p + z²/2n)/(1 + z²/n), half width z·√(p(1−p)/n + z²/4n²)/(1 + z²/n)
        with z = 1.96. (0, 1) of nothing."""
        if not self.of:
            return 0.0, 1.0
        z, n, p = 1.959964, self.of, self.share
        centre, scale = p + z * z / (2 * n), 1 + z * z / n
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low = 0.0 if self.count == 0 else (centre - half) / scale
        return low, 1.0 if self.count == n else (centre + half) / scale

    def __str__(self) -> str:
        if not self.of:
            return "nothing to count"
        low, high = self.interval
        return (
            f"{self.count} of {self.of}: {percent(self.share)} ({percent(low)} to {percent(high)})"
        )


def percent(share: float) -> str:
    """A share in whole percent, halves up, as `human.js` has it: 0% and 100% only of none and all; a dash
    for NaN."""
    if math.isnan(share):
        return "–"
    rounded = math.floor(round(100 * share, 6) + 0.5)  # 100 · 0.285 is less than 28.5
    if rounded == 0 and share > 0:
        return "<1%"
    return ">99%" if rounded == 100 and share < 1 else f"{rounded}%"


def rate_as_json(rate: Rate) -> dict[str, Any]:
    """A rate as evaluation.json and protocol.json have it; JSON has no NaN."""
    low, high = rate.interval
    share = None if math.isnan(rate.share) else round(rate.share, 4)
    return {
        "count": rate.count,
        "of": rate.of,
        "share": share,
        "interval": [round(low, 4), round(high, 4)],
    }


def rates(assets: Iterable[Evaluated]) -> dict[str, Rate]:
    """The share of consistent assets, by method; what is one of `UNCOUNTED` does not count."""
    counted: dict[str, list[bool]] = {}
    for asset in assets:
        kept = counted.setdefault(asset.method, [])
        if asset.verdict not in UNCOUNTED:
            kept.append(asset.verdict == CONSISTENT)
    return {method: Rate(sum(found), len(found)) for method, found in counted.items()}


def recognised(assets: Iterable[Evaluated]) -> dict[str, Rate]:
    """The share of assets that the judge takes for what the prompt names, by method, of those of kinds that
    it knows: a lump without a face contradicts itself nowhere."""
    counted: dict[str, list[bool]] = {}
    for asset in assets:
        kept = counted.setdefault(asset.method, [])
        if asset.rank:
            kept.append(asset.rank == 1)
    return {method: Rate(sum(found), len(found)) for method, found in counted.items()}


@dataclass(frozen=True)
class Calibrated:
    """A measure's threshold and how well it tells known Janus toys from known good ones.

    higher_is_better: an asset passes if its value is at least `threshold`, else at most. caught: of
    the Janus toys, those that fail it (true positives); by_kind: the same, flaw by flaw. blamed: of
    the good ones, those that fail it (false positives). kept: False if it cannot tell them apart;
    then it is evidence only.
    """

    measure: str
    threshold: float
    higher_is_better: bool
    caught: Rate
    blamed: Rate
    by_kind: dict[str, Rate] = field(default_factory=dict)
    kept: bool = True


@dataclass(frozen=True)
class SourceRates:
    """How well the verdict holds on objects of one source. untold_sound, untold_spoiled: those of which
    nothing was said, since their sides look too much alike; caught, blamed: of all others."""

    caught: Rate
    blamed: Rate
    untold_sound: Rate
    untold_spoiled: Rate
    by_kind: dict[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """The measures' thresholds, and the rates of the verdict that they make together.

    command: what measures all of this again. sources: the same rates, source by source; no lines were
    drawn on those that are real assets.
    """

    measures: tuple[Calibrated, ...]
    caught: Rate
    blamed: Rate
    by_kind: dict[str, Rate]
    command: str
    sources: dict[str, SourceRates] = field(default_factory=dict)


def headline(assets: Iterable[Evaluated], method: str, rate: Rate | None = None) -> str:
    """A method's rates in words, and how many of its assets do not count, and why. rate: of the consistent,
    if it is not that of the assets."""
    own = [asset for asset in assets if asset.method == method]
    left = Counter(asset.verdict for asset in own if asset.verdict in UNCOUNTED)
    why = ", ".join(f"{count} {verdict}" for verdict, count in sorted(left.items()))
    known = recognised(own).get(method, Rate(0, 0))
    seen = f"; recognised as what was asked for: {known}" if known.of else ""
    rate = rate or rates(own)[method]
    if rate.of:
        return f"{method}: consistent {rate}" + (f"; not counted: {why}" if why else "") + seen
    return f"{method}: nothing to count" + (f" ({why})" if why else "") + seen
