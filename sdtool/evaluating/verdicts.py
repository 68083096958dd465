"""From measures to a verdict, with reasons that a person understands."""

import math

from sdtool.evaluating.assets import Asset
from sdtool.evaluating.measuring import Measured
from sdtool.evaluating.results import (
    CONSISTENT,
    FAILED,
    INCONSISTENT,
    SYMMETRIC,
    UNJUDGED,
    Calibrated,
    Evaluated,
    Finding,
)
from sdtool.evaluating.thresholds import MEASURES, Thresholds
from sdtool.toyverse.words import article

SURE = 0.5  # how sure the judge must be of a kind that nobody named
SAID = {
    "view agreement": "its sides are not recognised in one turn, as those of one front are",
    "soundness": "its views together do not look like one sound object",
    "repetition": "one side looks too much like another",
    "F-score": "its shape is too far from any {kind} that was generated",
    "Chamfer distance": "its shape is too far from any {kind} that was generated",
    "CLIP sides": "CLIP does not find one front and one back",
}


def verdict_on(
    asset: Asset, found: Measured, prompt: str, picture: str, thresholds: Thresholds
) -> Evaluated:
    """The verdict on a measured asset."""
    kind, verdict = found.category, CONSISTENT
    if not prompt and found.kind_share >= SURE:
        kind = found.kind
    findings = [_finding(one, found, kind, thresholds) for one in thresholds.calibration.measures]
    reasons = [
        f"{SAID[one.measure].format(kind=kind or 'thing')} ({one.measure} {one.value:.2f}; "
        f"the line is at {one.threshold:.2f})"
        for one in findings
        if one.passes is False
    ]
    if kind and kind not in thresholds.nature.sided:
        verdict = SYMMETRIC
        reasons = [f"the sides of {article(kind)} cannot be told apart reliably"]
        findings = [Finding(one.measure, one.value) for one in findings]
    elif reasons:
        verdict = INCONSISTENT
    elif not any(one.passes for one in findings):
        verdict, reasons = UNJUDGED, [_why_unjudged(found, prompt)]
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
    )


def verdict_on_failed(asset: Asset, prompt: str, kind: str, reason: str) -> Evaluated:
    """The verdict on an asset that cannot be looked at."""
    return Evaluated(asset.name, asset.method, str(asset.path), prompt, kind, FAILED, (reason,))


def _why_unjudged(found: Measured, prompt: str) -> str:
    subject = f'"{prompt}" names nothing' if prompt else "nobody says what it is, and it is nothing"
    return (
        f"{subject} of the Toyverse, which the judge knows (it sees {article(found.kind)}, "
        f"{found.kind_share:.0%} sure); --clip with --calibrate judges other things"
    )


def _finding(one: Calibrated, found: Measured, kind: str, thresholds: Thresholds) -> Finding:
    """What a measure says. The judge knows only the Toyverse's kinds; of others it has no say."""
    value, by_clip = MEASURES[one.measure][0](found, thresholds.nature), one.measure == "CLIP sides"
    if math.isnan(value):
        missing = "nobody says what it is" if by_clip else "names no kind of the Toyverse"
        return Finding(one.measure, None, note=missing)
    if not one.kept:
        return Finding(one.measure, value, note="thrown out: cannot tell known toys apart")
    if not kind and not by_clip:
        return Finding(one.measure, value, note="evidence only")
    passes = value >= one.threshold if one.higher_is_better else value <= one.threshold
    return Finding(one.measure, value, one.threshold, bool(passes))


def evidence(found: Measured, calibrated: bool) -> list[Finding]:
    """What has no line: the mesh as such, and whether it fits its prompt; CLIP's view of its sides, if
    that was not `calibrated`."""
    kinds = f"taken for {article(found.kind)}, {found.kind_share:.0%} sure"
    mesh = found.sanity
    made = [
        Finding("degrees its front is off +Z", found.turn),
        Finding("rank of its kind", found.rank or None, note=kinds),
        Finding("mesh: parts", mesh["components"]),
        Finding("mesh: watertight", float(mesh["watertight"]), note="1: closed everywhere"),
        Finding("mesh: faces without area", mesh["degenerate"], note=f"of {mesh['faces']}"),
        Finding("mesh: non-finite vertices", mesh["non_finite"]),
    ]
    if not math.isnan(found.clip_score):
        score, rank = "100 × mean cosine with the prompt", "R-precision counts 1"
        made.append(Finding("CLIP score", found.clip_score, note=score))
        made.append(Finding("CLIP rank of its prompt", found.clip_rank, note=rank))
        if not calibrated:
            note = "without --calibrate no verdict"
            made.append(Finding("CLIP sides", found.clip_sides, note=note))
    return made
