"""One evaluation, from assets to verdicts; what is measured is kept, so that it can be continued."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from sdtool import __version__
from sdtool.errors import InputError, ObjectError, OutOfMemoryError
from sdtool.evaluating import judges, sampled
from sdtool.evaluating.assets import Asset, category_of
from sdtool.evaluating.measuring import Eyes, Measured, measure_asset
from sdtool.evaluating.results import (
    FAILED,
    UNJUDGED,
    UNSEEN,
    Calibration,
    Evaluated,
    rate_as_json,
    rates,
    recognised,
)
from sdtool.evaluating.sampled import Estimate
from sdtool.evaluating.thresholds import Thresholds
from sdtool.evaluating.verdicts import verdict_on, verdict_on_failed
from sdtool.io.files import append_jsonl, read_jsonl, trim_jsonl
from sdtool.io.folders import Unread
from sdtool.io.stage_record import digest
from sdtool.runtime.engine import map_items
from sdtool.runtime.progress import progress

MEASURED, PICTURES = "measured.jsonl", "pictures"
KEY = re.compile("[0-9a-f]{16}")
OURS = ("worker-died", "timeout", "internal-error")
"""Reasons that say nothing of a model: it was not looked at, and the same command tries again; so it does
where memory ran out."""


def keys_of(assets: list[Asset], eyes: Eyes) -> list[str]:
    """By what the measures of each asset are known again: what it holds, its path and its prompt, and, where
    CLIP looks, the prompts of all, among which it ranks; and the sdtool and the measures themselves, which
    another version may take in another way."""
    prompts, found = str(_prompts(assets, eyes)), []
    measures = " ".join((__version__, *(field.name for field in fields(Measured))))
    with progress("reading", len(assets), "models") as bar:
        for asset in assets:
            up = eyes.up.removesuffix("y")  # that of most is in no key
            known_by = (measures, str(asset.path), asset.prompt, prompts, _content(asset.path) + up)
            found.append(
                hashlib.sha256("\0".join(known_by).encode(errors="surrogatepass")).hexdigest()[:16]
            )
            bar.advance()
    return found


def _content(path: Path) -> str:
    """A digest of what a lift or a model's file holds, with the buffers and images that a .gltf names."""
    from sdtool.meshfiles.accessors import GlbFile
    from sdtool.meshfiles.limits import Limits
    from sdtool.meshfiles.packing import packed_glb

    try:
        if path.suffix.lower() == ".gltf" and path.is_file():
            with suppress(ObjectError):  # measuring says what is wrong with it
                return hashlib.sha256(packed_glb(GlbFile(path, Limits()))).hexdigest()
        return digest(path)
    except (OSError, InputError):
        return "unreadable"


def _prompts(assets: list[Asset], eyes: Eyes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.prompt for one in assets if one.prompt)) if eyes.clip else ()


def known(out: Path) -> dict[str, dict]:
    """What `out` holds of measures: key → fields, or the `reason` that an asset failed; without those whose
    picture is gone. InputError, with the cure, for a line that cannot be read."""
    if not (out / MEASURED).is_file():
        return {}
    with _curable():
        lines = list(read_jsonl(out / MEASURED))
        if any(not isinstance(line.get("asset"), str) for line in lines):
            raise InputError(f"{out / MEASURED} has a line without its asset")
    return {line.pop("asset"): line for line in lines if _is_whole(line, out)}


@contextmanager
def _curable() -> Iterator[None]:
    """An InputError about the file of measures names the cure, too."""
    try:
        yield
    except InputError as error:
        cure = "remove that line, and the same command measures its model again"
        raise InputError(f"{error}; {cure}, or add --overwrite to measure all") from None


def _is_whole(line: dict, out: Path) -> bool:
    """Whether what a line says of an asset is all there: a model that could be measured has a picture."""
    return "reason" in line or (out / str(line.get("picture"))).is_file()


def expected(assets: list[Asset], keys: list[str], out: Path) -> list[Evaluated]:
    """Of each asset what is known before it is measured: its picture, if `out` has one of it; else it was not
    looked at, unless it failed then."""
    done, found = dict[str, dict](), []
    with suppress(InputError):  # a line that was cut off is no answer's fault
        done = known(out)
    for key, asset in zip(keys, assets, strict=True):
        line = done.get(key, {})
        verdict = FAILED if "reason" in line else UNJUDGED if line else UNSEEN
        one = Evaluated(asset.name, asset.method, str(asset.path), asset.prompt, "", verdict)
        found.append(replace(one, picture=line.get("picture", "")))
    return found


def measure_all(
    assets: list[Asset], keys: list[str], out: Path, eyes: Eyes, workers: int
) -> list[dict]:
    """Measure each asset that `out` has no line of; of each its fields, or the `reason` it failed.

    Lines of what is no longer there, or lacks its picture, are dropped. What was not looked at (`OURS`)
    gets none, and is marked by `again`.
    """
    wanted = set(keys)
    with _curable():
        trim_jsonl(
            out / MEASURED, lambda line: line.get("asset") in wanted and _is_whole(line, out)
        )
    for picture in (out / PICTURES).glob("*.png"):
        if KEY.fullmatch(picture.stem) and picture.stem not in wanted:
            picture.unlink()
    done = known(out)
    todo = [(key, asset) for key, asset in zip(keys, assets, strict=True) if key not in done]
    work = partial(measure_asset, eyes=eyes, out=out, prompts=_prompts(assets, eyes))
    with progress("evaluating", len(assets), "models", done=len(done)) as bar:
        for (key, _), outcome in map_items(work, todo, workers=workers):
            line: dict[str, Any]
            if isinstance(outcome, ObjectError):
                line = {"reason": str(outcome)}
            else:
                line = _without_nan(outcome)
            if _was_not_looked_at(outcome):
                line["again"] = True
            else:
                append_jsonl(out / MEASURED, {"asset": key, **line})
            done[key] = line
            bar.advance(failed="reason" in line)
    return [done[key] for key in keys]


def _was_not_looked_at(outcome: dict | ObjectError) -> bool:
    if not isinstance(outcome, ObjectError):
        return False
    return isinstance(outcome, OutOfMemoryError) or outcome.reason in OURS


def verdicts(
    assets: list[Asset], measured: list[dict], thresholds: Thresholds, judge: str = judges.BUNDLED
) -> list[Evaluated]:
    """The verdict on each asset. judge: how the one is called whose it is (`judges.name_of`)."""
    found = []
    for asset, line in zip(assets, map(dict, measured), strict=True):
        if "reason" in line:
            kind = category_of(asset.prompt)
            one = verdict_on_failed(asset, kind, line["reason"], line.get("again", False))
            found.append(replace(one, prompt_from=asset.prompt_from, seed=asset.seed))
            continue
        prompt, picture = line.pop("prompt"), line.pop("picture")
        numbers: dict[str, Any] = {k: math.nan if v is None else v for k, v in line.items()}
        measures = Measured(**numbers)
        one = verdict_on(asset, measures, prompt, picture, thresholds)
        found.append(
            replace(
                one,
                findings=(*one.findings, *judges.findings(measures)),
                opinions=judges.opinions(measures, one, judge),
                prompt_from=asset.prompt_from,
                seed=asset.seed,
            )
        )
    return found


def counts(found: list[Evaluated]) -> dict[str, int]:
    """How many are "ok", "failed" and, if any, "not looked at"."""
    failed, unseen = (sum(one.verdict == what for one in found) for what in (FAILED, UNSEEN))
    rest = {UNSEEN: unseen} if unseen else {}
    return {"ok": len(found) - failed - unseen, "failed": failed, **rest}


def summary(
    found: list[Evaluated],
    calibration: Calibration,
    agreed: judges.Judges | None = None,
    people: Mapping[str, Mapping[str, Estimate]] | None = None,
    unread: Unread | None = None,
) -> dict:
    """What `evaluation.json` says: the rates and every asset, how good the verdict itself is, how far the
    judges agree, the Janus rates by people's answers (person → method → rate), and what was left out."""
    told = {
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
        **({"janus_by_people": sampled.as_json(people)} if people else {}),
        **({"not_read": unread.as_json()} if unread else {}),
        "assets": [asdict(one) for one in found],
    }
    return _without_nan(told)


def _without_nan(value: Any) -> Any:
    """The same with None for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
