"""The measures' thresholds, drawn on objects of which the truth is known: what an asset is held
against, and how well it holds."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import InputError, SdtoolError
from sdtool.evaluating.measuring import JUDGE, Measured
from sdtool.evaluating.results import Calibrated, Calibration, Rate, SourceRates
from sdtool.io.files import read_json, write_json
from sdtool.toyverse import janus

MEASURES: dict[str, tuple[Callable[[Measured], float], bool]] = {
    "view agreement": (lambda found: found.agreement, True),
    "soundness": (lambda found: found.sound, True),
    "repeated parts": (lambda found: found.repeated, False),
    "repetition": (lambda found: found.repetition, False),
    "CLIP sides": (lambda found: found.clip_sides, True),
}
"""Name → its value (NaN where it cannot be taken), and whether a higher one is better. None of them asks
what kind of thing it is."""

BLAMED = 0.035  # of good objects that all kept measures together may blame, when lines are drawn
LEAST_CAUGHT = 0.25  # a measure that, allowed all of that, catches fewer cannot tell them apart
TOLD = 0.5  # of what the judge holds more likely to look alike from all sides, nothing is said
UNSURE = 0.03  # of good objects of which something might be said, whose sides are held too unclear for it
FILE = "calibration.json"


@dataclass(frozen=True)
class Case:
    """A measured object of which the truth is known. source: where it is from; flaw: "" of a sound one;
    draws: whether the lines are drawn on such."""

    number: int
    source: str
    flaw: str
    found: Measured
    draws: bool = True


@dataclass(frozen=True)
class Thresholds:
    """The measures with their thresholds; told, sure: below one of them, of what is measured `told` and
    of how surely its sides are recognised (`sureness`), nothing is said."""

    calibration: Calibration
    told: float = TOLD
    sure: float = 0.0


@dataclass(frozen=True)
class _Lines:
    """Thresholds of the measures, drawn on some objects, and those that can tell them apart."""

    thresholds: dict[str, float]
    kept: tuple[str, ...]
    sure: float

    def told(self, one: Measured) -> bool:
        """Whether anything is said of it."""
        return one.told >= TOLD and sureness(one) >= self.sure

    def failed(self, one: Measured) -> set[str]:
        """The measures by which it fails, thrown out ones too."""
        return {name for name, line in self.thresholds.items() if _fails(name, one, line)}


def sureness(one: Measured) -> float:
    """How surely the sides of its views are recognised, in [0, 1], on average; 1 where nothing says so."""
    return float(np.mean(one.sure)) if one.sure else 1.0


def draw(cases: list[Case], command: str) -> Thresholds:
    """Lines from all cases that draw them. The rates are cross-fitted: each such case is judged by lines
    that the other half of them drew; all others by the lines of the whole."""
    drawn = [one for one in cases if one.draws]
    whole = _lines(drawn)
    judged: list[tuple[Case, set[str] | None]] = []
    for half in (0, 1):
        good, bad = (_of(drawn, sound) for sound in (True, False))
        other = _lines(good[1 - half :: 2] + bad[1 - half :: 2])
        judged += [(one, _said(other, one)) for one in good[half::2] + bad[half::2]]
    mine = _told(judged)
    others = [(one, _said(whole, one)) for one in cases if not one.draws]

    def rates(names: set[str]) -> dict:
        """Rates of failing by any of these measures."""
        return _rates(mine, names) | {"by_kind": _by_kind(mine, names)}

    singles = [
        Calibrated(name, line, MEASURES[name][1], **rates({name}), kept=name in whole.kept)
        for name, line in whole.thresholds.items()
    ]
    kept = set(whole.kept)
    sources = {}
    for name in dict.fromkeys(one.source for one in cases):
        own = [(one, fails) for one, fails in judged + others if one.source == name]
        sources[name] = _source(own, kept)
    calibration = Calibration(tuple(singles), **rates(kept), command=command, sources=sources)
    return Thresholds(calibration, sure=whole.sure)


def _said(lines: _Lines, case: Case) -> set[str] | None:
    """The measures that a case fails; None if nothing is said of it."""
    return lines.failed(case.found) if lines.told(case.found) else None


def _told(judged: Iterable[tuple[Case, set[str] | None]]) -> list[tuple[Case, set[str]]]:
    return [(one, fails) for one, fails in judged if fails is not None]


def _of(cases: Iterable[Case], sound: bool) -> list[Case]:
    return [one for one in cases if (not one.flaw) == sound]


def _rates(judged: list[tuple[Case, set[str]]], names: set[str]) -> dict[str, Rate]:
    return {
        "caught": _rate([bool(names & fails) for one, fails in judged if one.flaw]),
        "blamed": _rate([bool(names & fails) for one, fails in judged if not one.flaw]),
    }


def _by_kind(judged: list[tuple[Case, set[str]]], names: set[str]) -> dict[str, Rate]:
    return {
        kind: _rate([bool(names & fails) for one, fails in judged if one.flaw == kind])
        for kind in janus.KINDS
    }


def _source(judged: list[tuple[Case, set[str] | None]], names: set[str]) -> SourceRates:
    told = _told(judged)
    return SourceRates(
        **_rates(told, names),
        untold_sound=_rate([fails is None for one, fails in judged if not one.flaw]),
        untold_spoiled=_rate([fails is None for one, fails in judged if one.flaw]),
        by_kind=_by_kind(told, names),
    )


def _rate(fails: list[bool]) -> Rate:
    return Rate(sum(fails), len(fails))


def _lines(cases: list[Case]) -> _Lines:
    """BLAMED is shared in proportion to what each measure would catch if it had all of it."""
    fronted = [sureness(one.found) for one in _of(cases, True) if one.found.told >= TOLD]
    sure = float(np.quantile(fronted, UNSURE)) if fronted else 0.0
    all_told = [one for one in cases if _Lines({}, (), sure).told(one.found)]
    good, bad = ([one.found for one in _of(all_told, sound)] for sound in (True, False))
    if not good or not bad:
        raise SdtoolError("too few objects to draw a line; calibrate with more")
    caught = {}
    for name in MEASURES:
        if _is_taken(name, good + bad):
            line = _line(name, good, BLAMED)
            caught[name] = float(np.mean([_fails(name, one, line) for one in bad]))
    kept = {name: share for name, share in caught.items() if share >= LEAST_CAUGHT}
    shares = {name: BLAMED * share / sum(kept.values()) for name, share in kept.items()}
    lines = {name: _line(name, good, shares.get(name, BLAMED)) for name in caught}
    return _Lines(lines, tuple(kept), sure)


def _is_taken(name: str, some: list[Measured]) -> bool:
    """Whether it can be taken of most: of a composition, there is no other shape of its kind."""
    return bool(np.isfinite([MEASURES[name][0](one) for one in some]).mean() > 0.5)


def _line(name: str, good: list[Measured], share: float) -> float:
    """The value that `share` of the good ones fail."""
    read, higher = MEASURES[name]
    return float(np.nanquantile([read(one) for one in good], share if higher else 1 - share))


def _fails(name: str, one: Measured, threshold: float) -> bool:
    read, higher = MEASURES[name]
    value = read(one)
    return bool(value < threshold if higher else value > threshold)


def save(thresholds: Thresholds, folder: Path) -> None:
    """Write calibration.json."""
    write_json(folder / FILE, asdict(thresholds))


def load(folder: Path = JUDGE, cure: str = "") -> Thresholds:
    """Read calibration.json. InputError if the folder has none, or one without lines; cure: what helps, if
    not drawing a judge's lines."""
    path = folder / FILE
    made = f"python -m sdtool.evaluating.calibrating --out {folder}"
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}; name the folder of a judge")
    if not path.is_file():
        raise InputError(f"{folder} holds no {FILE}, its lines; draw them with: {made}")
    cure = cure or f"draw them anew with: {made}"
    try:
        return _thresholds_of(read_json(path))
    except InputError as error:
        raise InputError(f"{error}, so a judge's lines cannot be read; {cure}") from None
    except KeyError as error:
        raise InputError(f"{path} lacks {error.args[0]!r} of a judge's lines; {cure}") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} holds no lines of a judge ({error}); {cure}") from None


def _thresholds_of(data: Any) -> Thresholds:
    """What `save` wrote; of anything else one of the errors that `load` names."""
    made = data["calibration"]
    singles: list[Calibrated] = []
    for one in made["measures"]:
        if one["measure"] not in MEASURES:
            raise ValueError(f"it knows a measure {one['measure']!r}")
        if one["measure"] in [known.measure for known in singles]:
            raise ValueError(f"it knows {one['measure']} twice")
        if not isinstance(one["kept"], bool):
            raise ValueError(f"whether {one['measure']} is kept is {one['kept']!r}")
        rates = {name: _rate_of(one[name]) for name in ("caught", "blamed")}
        numbers = {"threshold": _finite(one["threshold"]), "by_kind": _rates_of(one["by_kind"])}
        singles.append(Calibrated(**{**one, **rates, **numbers}))
    calibration = Calibration(
        tuple(singles),
        _rate_of(made["caught"]),
        _rate_of(made["blamed"]),
        _rates_of(made["by_kind"]),
        str(made["command"]),
        {name: _source_rates(table) for name, table in made["sources"].items()},
    )
    sure = _finite(data.get("sure", 0.0))  # older ones have none
    return Thresholds(calibration, _finite(data["told"]), sure)


def _finite(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError(f"a line is {value}")
    return float(value)


def _rate_of(value: Any) -> Rate:
    count, of = int(value["count"]), int(value["of"])
    if not 0 <= count <= of:
        raise ValueError(f"a rate is {count} of {of}")
    return Rate(count, of)


def _rates_of(table: dict) -> dict[str, Rate]:
    return {key: _rate_of(value) for key, value in table.items()}


def _source_rates(table: dict) -> SourceRates:
    plain = _rates_of({key: value for key, value in table.items() if key != "by_kind"})
    return SourceRates(**plain, by_kind=_rates_of(table["by_kind"]))
