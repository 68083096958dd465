"""How well the measures tell known Janus toys from known good ones, and where to draw the line.

`python -m sdtool.evaluating.calibrating --out sdtool/tiny/judge` writes the bundled calibration.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sdtool.engine import map_items
from sdtool.errors import ObjectError, SdtoolError
from sdtool.evaluating.judging import JUDGE, Eyes, Measured, measure
from sdtool.evaluating.results import Calibrated, Calibration, Rate
from sdtool.evaluating.samples import sample
from sdtool.files import read_json, write_json
from sdtool.progress import progress
from sdtool.toyverse import janus
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.words import article

MEASURES: dict[str, tuple[Callable[[Measured, "Nature"], float], bool]] = {
    "view agreement": (lambda found, nature: found.agreement, True),
    "soundness": (lambda found, nature: found.sound, True),
    "repetition": (lambda found, nature: nature.excess(found), False),
    "F-score": (lambda found, nature: found.f_score, True),
    "Chamfer distance": (lambda found, nature: found.chamfer, False),
    "CLIP sides": (lambda found, nature: found.clip_sides, True),
}
"""Name → its value (NaN where it cannot be taken), and whether a higher one is better."""

BLAMED = 0.035  # of good toys that all kept measures together may blame, when lines are drawn
LEAST_CAUGHT = 0.25  # a measure that, allowed all of that, catches fewer cannot tell them apart
SIDED = 0.75  # view agreement of half the good toys of a kind that has sides to confuse
FILE = "calibration.json"


@dataclass(frozen=True)
class Nature:
    """What sound objects of each kind are like. sided: kinds that have sides to confuse. repeats:
    kind → median and spread (half the middle two thirds) of the repetition of good ones."""

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
class Line:
    """Where a measure's line is drawn, and what is known of it."""

    calibration: Calibration
    nature: Nature


def toy(job: tuple[int, str, str], seed: int, eyes: Eyes) -> Measured:
    """Measure toy number `job[0]` of a category with a flaw ("" for none). ObjectError if the toy drawn
    has no part for it."""
    number, category, flaw = job
    for attempt in range(20):
        found = sample(np.random.default_rng([seed, number, attempt]), category, flaw)
        if found is not None:
            return measure(found.mesh, category, eyes, prompt=article(category))
    raise ObjectError("no-such-flaw", f"a {category} cannot have the flaw {flaw}")


def calibrate(
    eyes: Eyes, count: int = 16, seed: int = 1, workers: int = 1, command: str = ""
) -> Line:
    """Draw lines on one half of freshly made toys and measure them on the other.

    count: good toys of each kind that can have a flaw; of other kinds half of that (at least 4), of each
    kind with each of its flaws a quarter (at least 2).
    """
    each, others = max(2, count // 4), max(4, count // 2)
    jobs = [("", n) for n in CATEGORIES for _ in range(count if janus.kinds_for(n) else others)]
    jobs += [(flaw, n) for n in CATEGORIES for flaw in janus.kinds_for(n) for _ in range(each)]
    numbered = [(k, category, flaw) for k, (flaw, category) in enumerate(jobs)]
    work = partial(toy, seed=seed, eyes=eyes)
    found: list[tuple[int, str, Measured]] = []
    with progress("calibrating on toys", len(numbered), "toys") as bar:
        for (number, _, flaw), outcome in map_items(work, numbered, workers=workers):
            bar.advance(failed=isinstance(outcome, ObjectError))
            if not isinstance(outcome, ObjectError):
                found.append((number, flaw, outcome))
    return drawn(sorted(found, key=lambda one: one[0]), command)


def drawn(found: list[tuple[int, str, Measured]], command: str) -> Line:
    """Lines from every second of the toys (number, flaw, measures), and rates from the others."""
    good = [one for _, flaw, one in found if not flaw]
    bad = [(flaw, one) for _, flaw, one in found if flaw]
    nature = _nature(good[::2])
    good = [one for one in good if one.category in nature.sided and janus.kinds_for(one.category)]
    bad = [(flaw, one) for flaw, one in bad if one.category in nature.sided]
    lines = _lines(good[::2], [one for _, one in bad[::2]], nature)
    return Line(_rates(lines, good[1::2], bad[1::2], nature, command), nature)


def _nature(good: Iterable[Measured]) -> Nature:
    by_kind: dict[str, list[Measured]] = {}
    for one in good:
        by_kind.setdefault(one.category, []).append(one)
    sided = [k for k, v in by_kind.items() if np.median([one.agreement for one in v]) >= SIDED]
    repeats = {}
    for kind, some in by_kind.items():
        low, median, high = np.percentile([one.repetition for one in some], [17, 50, 83])
        repeats[kind] = (float(median), float(max((high - low) / 2, 0.02)))
    return Nature(tuple(sided), repeats)


def _lines(good: list[Measured], bad: list[Measured], nature: Nature) -> dict[str, float | None]:
    """Measure → threshold, or None if it cannot tell good from bad.

    BLAMED is shared in proportion to what each measure would catch if it had all of it.
    """
    if not good or not bad:
        raise SdtoolError("too few toys to draw a line; calibrate with more")
    caught = {}
    for name in MEASURES:
        if _is_taken(name, good, nature):
            line = _line(name, good, nature, BLAMED)
            caught[name] = float(np.mean([_fails(name, one, nature, line) for one in bad]))
    kept = {name: share for name, share in caught.items() if share >= LEAST_CAUGHT}
    lines: dict[str, float | None] = dict.fromkeys(MEASURES)
    for name, share in kept.items():
        lines[name] = _line(name, good, nature, BLAMED * share / sum(kept.values()))
    return lines


def _is_taken(name: str, some: list[Measured], nature: Nature) -> bool:
    return not np.isnan([MEASURES[name][0](one, nature) for one in some]).any()


def _line(name: str, good: list[Measured], nature: Nature, share: float) -> float:
    read, higher = MEASURES[name]
    values = np.array([read(one, nature) for one in good])
    return float(np.quantile(values, share if higher else 1 - share))


def _fails(name: str, one: Measured, nature: Nature, threshold: float) -> bool:
    read, higher = MEASURES[name]
    value = read(one, nature)
    return bool(value < threshold if higher else value > threshold)


def _rates(lines, good, bad, nature, command: str) -> Calibration:
    """The rates of each measure and of all kept ones together, on toys that drew no line."""

    def rate(fails: Callable[[Measured], bool], some: list[Measured]) -> Rate:
        return Rate(sum(map(fails, some)), len(some))

    kinds = {kind: [one for flaw, one in bad if flaw == kind] for kind in janus.KINDS}
    everything = [one for _, one in bad]
    made = []
    for name, (_, higher) in MEASURES.items():
        if not _is_taken(name, good, nature):
            continue
        threshold = lines[name]
        kept = threshold is not None
        if threshold is None:
            threshold = _line(name, good, nature, BLAMED / len(MEASURES))

        def fails(one, name=name, threshold=threshold):
            return _fails(name, one, nature, threshold)

        by_kind = {kind: rate(fails, some) for kind, some in kinds.items()}
        rates = rate(fails, everything), rate(fails, good), by_kind
        made.append(Calibrated(name, threshold, higher, *rates, kept))
    kept = [name for name in MEASURES if lines[name] is not None]

    def any_fails(one):
        return any(_fails(name, one, nature, lines[name]) for name in kept)

    together = {kind: rate(any_fails, some) for kind, some in kinds.items()}
    caught, blamed = rate(any_fails, everything), rate(any_fails, good)
    return Calibration(tuple(made), caught, blamed, together, command)


def save(line: Line, folder: Path) -> None:
    """Write calibration.json."""
    write_json(folder / FILE, asdict(line))


def load(folder: Path = JUDGE) -> Line:
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
    return Line(calibration, Nature(tuple(nature["sided"]), repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=JUDGE)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    command = f"sdtool evaluate … --calibrate {asked.count}"
    line = calibrate(Eyes(asked.out), asked.count, asked.seed, asked.workers, command)
    save(line, asked.out)
    for one in line.calibration.measures:
        print(
            one.measure,
            round(one.threshold, 4),
            one.kept,
            "caught",
            one.caught,
            "blamed",
            one.blamed,
        )
        print("   ", {kind: str(rate) for kind, rate in one.by_kind.items()})
    print("together: caught", line.calibration.caught, "blamed", line.calibration.blamed)
    print("   ", {kind: str(rate) for kind, rate in line.calibration.by_kind.items()})


if __name__ == "__main__":
    main()
