"""The measures' thresholds, drawn on toys: what an asset is held against, and how well it holds."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sdtool.errors import SdtoolError
from sdtool.evaluating.measuring import JUDGE, Measured
from sdtool.evaluating.results import Calibrated, Calibration, Rate
from sdtool.io.files import read_json, write_json
from sdtool.toyverse import janus

MEASURES: dict[str, tuple[Callable[[Measured, "Nature"], float], bool]] = {
    "view agreement": (lambda found, nature: found.agreement, True),
    "soundness": (lambda found, nature: found.sound, True),
    "repetition": (lambda found, nature: nature.excess(found), False),
    "F-score": (lambda found, nature: found.f_score, True),
    "Chamfer distance": (lambda found, nature: found.chamfer, False),
    "CLIP sides": (lambda found, nature: found.clip_sides, True),
}
"""Name → its value (NaN where it cannot be taken), and whether a higher one is better."""

BLAMED = 0.03  # of good toys that all kept measures together may blame, when lines are drawn
LEAST_CAUGHT = 0.25  # a measure that, allowed all of that, catches fewer cannot tell them apart
SIDED = 0.75  # view agreement of half the good toys of a kind that has sides to confuse
FILE = "calibration.json"


@dataclass(frozen=True)
class Nature:
    """What sound objects of each kind are like. sided: kinds that have sides to confuse. repeats:
    kind → median and spread of the repetition of good ones: half the middle two thirds, and no less
    than most kinds have."""

    sided: tuple[str, ...]
    repeats: dict[str, tuple[float, float]]

    def excess(self, found: Measured) -> float:
        """By how many spreads the repetition exceeds what the kind has by nature."""
        kind = found.category or found.kind
        median, spread = self.repeats.get(kind) or _overall(self.repeats)
        return (found.repetition - median) / spread


def _overall(repeats: dict[str, tuple[float, float]]) -> tuple[float, float]:
    medians, spreads = np.array(list(repeats.values())).T
    return float(np.median(medians)), float(np.median(spreads))


@dataclass(frozen=True)
class Thresholds:
    """The measures with their thresholds, and what sound objects are like."""

    calibration: Calibration
    nature: Nature


@dataclass(frozen=True)
class _Lines:
    """Thresholds of the measures, drawn on some toys, and those that can tell them apart."""

    nature: Nature
    thresholds: dict[str, float]
    kept: tuple[str, ...]

    def counts(self, one: Measured) -> bool:
        """Whether it is of a kind that has sides, and flaws."""
        return one.category in self.nature.sided and bool(janus.kinds_for(one.category))

    def failed(self, one: Measured) -> set[str]:
        """The measures by which it fails, thrown out ones too."""
        return {
            name for name, line in self.thresholds.items() if _fails(name, one, self.nature, line)
        }


def draw(found: list[tuple[int, str, Measured]], command: str) -> Thresholds:
    """Lines from all toys (number, flaw, measures). The rates are cross-fitted: each toy is judged by
    lines that the other half of the toys drew."""
    good = [one for _, flaw, one in found if not flaw]
    bad = [(flaw, one) for _, flaw, one in found if flaw]
    whole = _lines(good, [one for _, one in bad])
    blamed, caught = [], []
    for half in (0, 1):
        other = _lines(good[1 - half :: 2], [one for _, one in bad[1 - half :: 2]])
        blamed += [other.failed(one) for one in good[half::2] if other.counts(one)]
        caught += [(flaw, other.failed(one)) for flaw, one in bad[half::2] if other.counts(one)]

    def rates(names: set[str]) -> dict:
        """Rates of failing by any of these measures."""
        kinds = {
            kind: [bool(names & f) for flaw, f in caught if flaw == kind] for kind in janus.KINDS
        }
        return {
            "caught": _rate([bool(names & fails) for _, fails in caught]),
            "blamed": _rate([bool(names & fails) for fails in blamed]),
            "by_kind": {kind: _rate(fails) for kind, fails in kinds.items()},
        }

    singles = [
        Calibrated(name, line, MEASURES[name][1], **rates({name}), kept=name in whole.kept)
        for name, line in whole.thresholds.items()
    ]
    together = rates(set(whole.kept))
    return Thresholds(Calibration(tuple(singles), **together, command=command), whole.nature)


def _rate(fails: list[bool]) -> Rate:
    return Rate(sum(fails), len(fails))


def _nature(good: Iterable[Measured]) -> Nature:
    by_kind: dict[str, list[Measured]] = {}
    for one in good:
        by_kind.setdefault(one.category, []).append(one)
    sided = [k for k, v in by_kind.items() if np.median([one.agreement for one in v]) >= SIDED]
    middle = {}
    for kind, some in by_kind.items():
        low, median, high = np.percentile([one.repetition for one in some], [17, 50, 83])
        middle[kind] = float(median), float((high - low) / 2)
    usual = max(float(np.median([spread for _, spread in middle.values()])), 0.01)
    repeats = {kind: (median, max(spread, usual)) for kind, (median, spread) in middle.items()}
    return Nature(tuple(sided), repeats)


def _lines(good: list[Measured], bad: list[Measured]) -> _Lines:
    """BLAMED is shared in proportion to what each measure would catch if it had all of it."""
    nature = _nature(good)
    probe = _Lines(nature, {}, ())
    good, bad = (
        [one for one in good if probe.counts(one)],
        [one for one in bad if probe.counts(one)],
    )
    if not good or not bad:
        raise SdtoolError("too few toys to draw a line; calibrate with more")
    caught = {}
    for name in MEASURES:
        if _is_taken(name, good, nature):
            line = _line(name, good, nature, BLAMED)
            caught[name] = float(np.mean([_fails(name, one, nature, line) for one in bad]))
    kept = {name: share for name, share in caught.items() if share >= LEAST_CAUGHT}
    shares = {name: BLAMED * share / sum(kept.values()) for name, share in kept.items()}
    lines = {name: _line(name, good, nature, shares.get(name, BLAMED)) for name in caught}
    return _Lines(nature, lines, tuple(kept))


def _is_taken(name: str, some: list[Measured], nature: Nature) -> bool:
    return not np.isnan([MEASURES[name][0](one, nature) for one in some]).any()


def _line(name: str, good: list[Measured], nature: Nature, share: float) -> float:
    """The value that `share` of the good ones fail."""
    read, higher = MEASURES[name]
    values = np.array([read(one, nature) for one in good])
    return float(np.quantile(values, share if higher else 1 - share))


def _fails(name: str, one: Measured, nature: Nature, threshold: float) -> bool:
    read, higher = MEASURES[name]
    value = read(one, nature)
    return bool(value < threshold if higher else value > threshold)


def save(thresholds: Thresholds, folder: Path) -> None:
    """Write calibration.json."""
    write_json(folder / FILE, asdict(thresholds))


def load(folder: Path = JUDGE) -> Thresholds:
    """Read calibration.json."""
    data = read_json(folder / FILE)
    made = data["calibration"]

    def rates(table: dict) -> dict[str, Rate]:
        return {key: Rate(**value) for key, value in table.items()}

    singles = tuple(
        Calibrated(
            **{
                **one,
                "caught": Rate(**one["caught"]),
                "blamed": Rate(**one["blamed"]),
                "by_kind": rates(one["by_kind"]),
            }
        )
        for one in made["measures"]
    )
    calibration = Calibration(
        singles,
        Rate(**made["caught"]),
        Rate(**made["blamed"]),
        rates(made["by_kind"]),
        made["command"],
    )
    nature = data["nature"]
    repeats = {key: tuple(value) for key, value in nature["repeats"].items()}
    return Thresholds(calibration, Nature(tuple(nature["sided"]), repeats))
