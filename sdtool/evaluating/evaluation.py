"""One evaluation, from assets to verdicts; what is measured is kept, so that it can be continued."""

import math
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from sdtool.errors import ObjectError
from sdtool.evaluating import judges
from sdtool.evaluating.assets import Asset, category_of
from sdtool.evaluating.measuring import Eyes, Measured, measure_asset
from sdtool.evaluating.results import Calibration, Evaluated, rate_as_json, rates, recognised
from sdtool.evaluating.thresholds import Thresholds
from sdtool.evaluating.verdicts import verdict_on, verdict_on_failed
from sdtool.io.files import append_jsonl, read_jsonl
from sdtool.runtime.engine import map_items
from sdtool.runtime.progress import progress

MEASURED = "measured.jsonl"


def measure_all(assets: list[Asset], out: Path, eyes: Eyes, workers: int) -> dict[int, dict]:
    """Measure each asset that `out` has no line of; number → its fields, or the `reason` it failed."""
    done = {}
    if (out / MEASURED).is_file():
        done = {line.pop("number"): line for line in read_jsonl(out / MEASURED)}
    todo = [(k, asset) for k, asset in enumerate(assets) if k not in done]
    prompts = (
        tuple(dict.fromkeys(filter(None, (one.prompt for one in assets)))) if eyes.clip else ()
    )
    work = partial(measure_asset, eyes=eyes, out=out, prompts=prompts)
    with progress("evaluating", len(assets), "models", done=len(done)) as bar:
        for (number, _), outcome in map_items(work, todo, workers=workers):
            if isinstance(outcome, ObjectError):
                fields = {"reason": str(outcome)}
            else:
                fields = _plain(outcome)
            append_jsonl(out / MEASURED, {"number": number, **fields})
            done[number] = fields
            bar.advance(failed="reason" in fields)
    return done


def verdicts(
    assets: list[Asset], measured: dict[int, dict], thresholds: Thresholds
) -> list[Evaluated]:
    """The verdict on each asset."""
    found = []
    for number, asset in enumerate(assets):
        fields = dict(measured[number])
        if "reason" in fields:
            kind = category_of(asset.prompt)
            one = verdict_on_failed(asset, asset.prompt, kind, fields["reason"])
            found.append(replace(one, prompt_from=asset.prompt_from, seed=asset.seed))
            continue
        prompt, picture = fields.pop("prompt"), fields.pop("picture")
        numbers: dict[str, Any] = {k: math.nan if v is None else v for k, v in fields.items()}
        measures = Measured(**numbers)
        one = verdict_on(asset, measures, prompt, picture, thresholds)
        found.append(
            replace(
                one,
                findings=(*one.findings, *judges.findings(measures)),
                opinions=judges.opinions(measures, one),
                prompt_from=asset.prompt_from,
                seed=asset.seed,
            )
        )
    return found


def summary(
    found: list[Evaluated], calibration: Calibration, agreed: judges.Judges | None = None
) -> dict:
    """What `evaluation.json` says: the rates and every asset, how good the verdict itself is, and how far
    the judges agree."""
    return {
        "methods": {method: rate_as_json(rate) for method, rate in rates(found).items()},
        "recognised": {method: rate_as_json(rate) for method, rate in recognised(found).items()},
        "calibration": {
            "true_positives": rate_as_json(calibration.caught),
            "false_positives": rate_as_json(calibration.blamed),
            "by_kind": {kind: rate_as_json(rate) for kind, rate in calibration.by_kind.items()},
            "command": calibration.command,
            "sources": {
                name: {
                    "true_positives": rate_as_json(one.caught),
                    "false_positives": rate_as_json(one.blamed),
                    "not_told_sound": rate_as_json(one.untold_sound),
                    "not_told_spoiled": rate_as_json(one.untold_spoiled),
                }
                for name, one in calibration.sources.items()
            },
        },
        **({"judges": agreed.as_json()} if agreed else {}),
        "assets": [asdict(one) for one in found],
    }


def _plain(fields: dict) -> dict:
    """JSON has no NaN."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in fields.items()}
