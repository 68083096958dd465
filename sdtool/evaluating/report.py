"""The report of an evaluation: one page that needs no network, with its pictures beside it."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from sdtool.evaluating.answers import Agreement
from sdtool.evaluating.janus_rates import Outcome, of_list
from sdtool.evaluating.judges import Judges, kappa
from sdtool.evaluating.pages import fill
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNJUDGED,
    UNSEEN,
    UNTOLD,
    Calibrated,
    Calibration,
    Evaluated,
    Rate,
    percent,
    rates,
    recognised,
)
from sdtool.evaluating.sampled import cautions, differences
from sdtool.io import files
from sdtool.io.folders import Unread, say_unread

PAPER = 85
"""Percent: how often SweetDreamer's own results are consistent, by its authors' human judgement of 80."""

# Verdict → (class of the style sheet, mark)
LOOKS = {
    CONSISTENT: ("consistent", "✓"),
    INCONSISTENT: ("inconsistent", "✗"),
    FAILED: ("failed", "!"),
    SYMMETRIC: ("symmetric", "○"),
    UNJUDGED: ("unjudged", "?"),
    UNSEEN: ("waiting", "…"),
}
MARKS = {CONSISTENT: "✓", INCONSISTENT: "✗", UNTOLD: "?"}  # of what a judge says
BEYOND = 30.0  # degrees by which a point may leave the plot's square, to stay near the diagonal


def write_report(
    out: Path,
    assets: list[Evaluated],
    calibration: Calibration,
    *,
    title: str,
    command: str,
    people: dict[str, Agreement] | None = None,
    judges: Judges | None = None,
    outcome: Outcome | None = None,
    unread: Unread | None = None,
) -> Path:
    """Write `out`/index.html and return its path.

    The pictures lie in `out` already, where `Evaluated.picture` says. command: what made the report.
    people: name → what a person said of the same assets (`answers.agreement`). judges: how far all agree.
    outcome: of a protocol. unread: what was left out.
    """
    cards = [_card(f"a{place}", asset) for place, asset in enumerate(assets, start=1)]
    every: list[Calibration | Calibrated] = [calibration, *calibration.measures]
    counted = Counter(asset.verdict for asset in assets)
    heard = any(one.janus for one in (people or {}).values())
    signs = {one.measure: "≥" if one.higher_is_better else "≤" for one in calibration.measures}
    page = fill(
        "report",
        title=title,
        command=command,
        paper=PAPER,
        methods=_methods(assets, outcome),
        people=people or {},
        judges=judges,
        kappa=kappa,
        outcome=outcome,
        unread=say_unread(unread).splitlines() if unread else [],
        marks=MARKS,
        matrix=_matrix(cards),
        calibration=calibration,
        differences=differences,
        cautions=[] if heard else cautions(assets, calibration),
        kinds=list(dict.fromkeys(kind for one in every for kind in one.by_kind)),
        signs=signs,
        verdicts={verdict: counted[verdict] for verdict in LOOKS if counted[verdict]},
        cards=cards,
        number=_number,
        percent=percent,
        breakable=_breakable,
    )
    files.write_text(out / "index.html", page)
    return out / "index.html"


def _methods(assets: list[Evaluated], outcome: Outcome | None) -> list[dict[str, Any]]:
    """A row of the headline for each method: name, rate, and what does not show in the rate. By a protocol
    they are of its prompts, and the rate is that of its table."""
    rows = []
    found = rates(assets)
    missing: dict[str, int] = {}
    if outcome:
        assets = of_list(outcome.protocol, assets)
        found = {one.method: one.consistent for one in outcome.tallies}
        missing = {one.method: len(one.missing) for one in outcome.tallies}
    for method, rate in found.items():
        counted = Counter(asset.verdict for asset in assets if asset.method == method)
        notes = {
            f"{counted[FAILED]} of them failed": counted[FAILED],
            f"{missing.get(method, 0)} of them missing": missing.get(method, 0),
            f"{counted[SYMMETRIC]} more not applicable": counted[SYMMETRIC],
            f"{counted[UNJUDGED]} more not judged": counted[UNJUDGED],
            f"{counted[UNSEEN]} more not looked at": counted[UNSEEN],
        }
        known = recognised(assets).get(method, Rate(0, 0))
        notes[f"recognised as what was asked for: {known.count} of {known.of}"] = known.of
        told = "; ".join(note for note, count in notes.items() if count)
        rows.append({"name": method, "rate": rate, "notes": told})
    return rows


def _card(identity: str, asset: Evaluated) -> dict[str, Any]:
    """An asset as the page shows it."""
    look, glyph = LOOKS[asset.verdict]
    points = [place_point(*pair) for pair in zip(asset.truth, asset.predicted, strict=True)]
    errors = sorted(
        abs(turned(found - true)) for true, found in zip(asset.truth, asset.predicted, strict=True)
    )
    summary = ""
    if errors:
        middle = errors[len(errors) // 2]
        summary = (
            f"Azimuths of {len(errors)} views, taken for against true: "
            f"off by {middle:.0f}° in the middle, {errors[-1]:.0f}° at most"
        )
    return {
        "id": identity,
        "asset": asset,
        "look": look,
        "glyph": glyph,
        "picture": quote(asset.picture),
        "points": points,
        "summary": summary,
    }


def _matrix(cards: list[dict[str, Any]]) -> list[tuple[str, list[list[dict[str, Any]]]]]:
    """(prompt, for each method its cards) of each prompt; nothing if no two methods share a prompt."""
    methods = list(dict.fromkeys(card["asset"].method for card in cards))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for card in cards:
        if prompt := card["asset"].prompt:
            found.setdefault(prompt, {}).setdefault(card["asset"].method, []).append(card)
    if all(len(by_method) < 2 for by_method in found.values()):
        return []
    return [(prompt, [one.get(method, []) for method in methods]) for prompt, one in found.items()]


def turned(angle: float) -> float:
    """The same angle, in degrees, in [−180, 180)."""
    return (angle + 180) % 360 - 180


def place_point(truth: float, predicted: float) -> tuple[float, float]:
    """Where a view stands in the plot: its true azimuth in [0, 360), and what it was taken for.

    Azimuths go round: 5° is only 10° from 355°. So the second is counted on from the first,
    `truth + turned(predicted − truth)`, which may lie outside [0, 360) by up to `BEYOND`; what would
    lie further outside is placed at the same angle in [0, 360).
    """
    truth %= 360
    around = truth + turned(predicted - truth)
    return truth, around if -BEYOND <= around <= 360 + BEYOND else around % 360


def _breakable(name: str) -> Markup:
    """A name that may be a path or a file's, with places where a line may end."""
    return Markup(re.sub(r"([_/.-])(?=\w)", r"\1<wbr>", str(escape(name))))


def _number(value: float | None) -> str:
    """Four digits; a dash for none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"
