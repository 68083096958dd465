"""From measures to a verdict, with reasons that a person understands."""

import math

import numpy as np

from sdtool.evaluating.assets import Asset
from sdtool.evaluating.measuring import Measured
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNJUDGED,
    UNSEEN,
    Calibrated,
    Evaluated,
    Finding,
    percent,
)
from sdtool.evaluating.thresholds import MEASURES, Thresholds, sureness
from sdtool.toyverse.words import article

CLEAR = 0.5  # how sure the judge is of the side of a view that counts as told
SAID = {
    "view agreement": "its sides are not recognised in one turn, as those of one front are",
    "soundness": "its views together do not look like one sound object",
    "repeated parts": "a part of it is seen again on another side, where no symmetry puts it",
    "repetition": "one side looks too much like another",
    "CLIP sides": "CLIP does not find one front and one back",
}


def verdict_on(
    asset: Asset, found: Measured, prompt: str, picture: str, thresholds: Thresholds
) -> Evaluated:
    """The verdict on a measured asset, whatever it is: the kind is asked by no measure that has a line."""
    kind, verdict = found.category, CONSISTENT
    findings = [_finding(one, found) for one in thresholds.calibration.measures]
    reasons = [
        f"{SAID[one.measure]} ({one.measure} {one.value:.2f}; the line is at {one.threshold:.2f})"
        for one in findings
        if one.passes is False
    ]
    if untold := _untold(found, thresholds):
        verdict, reasons = SYMMETRIC, [untold]
        findings = [Finding(one.measure, one.value) for one in findings]
    elif reasons:
        verdict = INCONSISTENT
    elif not any(one.passes for one in findings):
        verdict, reasons = UNJUDGED, ["no measure can tell sound from spoiled"]
    findings += evidence(found, any(one.measure == "CLIP sides" for one in findings))
    return Evaluated(
        asset.name,
        asset.method,
        str(asset.path),
        prompt,
        kind,
        verdict,
        tuple(reasons),
        tuple(findings),
        picture,
        tuple(found.truth),
        tuple(found.predicted),
        rank=found.rank,
    )


def _untold(found: Measured, thresholds: Thresholds) -> str:
    """Why nothing can be said of it; "" if something can."""
    if found.told < thresholds.told:
        return (
            "it cannot be told: its sides look too much alike "
            f"(sides to tell {found.told:.2f}; the line is at {thresholds.told:.2f})"
        )
    if (sure := sureness(found)) < thresholds.sure:
        return (
            "it cannot be told: hardly any side of it is recognised "
            f"(sides recognised {sure:.2f}; the line is at {thresholds.sure:.2f})"
        )
    return ""


def verdict_on_failed(asset: Asset, kind: str, reason: str, again: bool = False) -> Evaluated:
    """The verdict on an asset that cannot be looked at; again: that was not, and may be the next time."""
    verdict, path = UNSEEN if again else FAILED, str(asset.path)
    return Evaluated(asset.name, asset.method, path, asset.prompt, kind, verdict, (reason,))


def _finding(one: Calibrated, found: Measured) -> Finding:
    """What a measure says."""
    value = MEASURES[one.measure][0](found)
    if math.isnan(value):
        return Finding(one.measure, None, note="nobody says what it is")
    if not one.kept:
        return Finding(one.measure, value, note="thrown out: cannot tell known toys apart")
    passes = value >= one.threshold if one.higher_is_better else value <= one.threshold
    return Finding(one.measure, value, one.threshold, bool(passes))


def evidence(found: Measured, calibrated: bool) -> list[Finding]:
    """What has no line: the mesh as such, and whether it fits its prompt; CLIP's view of its sides, if
    that was not `calibrated`."""
    kinds = f"taken for {article(found.kind)}, {percent(found.kind_share)} sure"
    mesh = found.sanity
    near = (("F-score", found.f_score), ("Chamfer distance", found.chamfer))
    shapes = [
        Finding(name, None, note="names no kind of the Toyverse")
        if math.isnan(value)
        else Finding(name, value, note="evidence only")
        for name, value in near
    ]
    sure = float(np.mean(np.array(found.sure) >= CLEAR)) if found.sure else math.nan
    made = [
        *shapes,
        Finding("sides to tell", found.told, note="below the line nothing is said"),
        Finding("sides recognised", sureness(found), note="below the line nothing is said"),
        Finding("views told", sure, note=f"share of views whose side is {CLEAR:.0%} sure"),
        Finding("degrees its front is off +Z", found.turn),
        Finding("rank of its kind", found.rank or None, note=kinds),
        Finding("mesh: parts", mesh["components"]),
        Finding("mesh: watertight", float(mesh["watertight"]), note="1: closed everywhere"),
        Finding("mesh: faces without area", mesh["degenerate"], note=f"of {mesh['faces']}"),
        Finding("mesh: non-finite vertices", mesh["non_finite"]),
        Finding("mesh: specks beside it", mesh["specks"], note="too small to be meant; left out"),
    ]
    if not math.isnan(found.clip_score):
        score, rank = "100 × mean cosine with the prompt", "R-precision counts 1"
        made.append(Finding("CLIP score", found.clip_score, note=score))
        made.append(Finding("CLIP rank of its prompt", found.clip_rank, note=rank))
        if not calibrated:
            note = "without --calibrate no verdict"
            made.append(Finding("CLIP sides", found.clip_sides, note=note))
    return made
