"""What `orient` writes in the end: the table of turns, all that was found, failures, and a picture."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sdtool.io import stage_record
from sdtool.io.failures import FAILURES, failures_file
from sdtool.io.files import atomic_file
from sdtool.io.ledger import FAILED, Ledger
from sdtool.io.objects import ObjectRecord
from sdtool.io.words import counted
from sdtool.io.yaw_fix import YAW_FIX, yaw_fix_file, yaw_fix_line
from sdtool.orienting.answer import turns
from sdtool.orienting.sheet import write_before_after

ORIENTATIONS, PREVIEW = "orientations.jsonl", "preview.png"


def finish(
    record: stage_record.StageRecord,
    ledger: Ledger,
    items: Callable[[], Iterator[tuple[int, ObjectRecord]]],
    min_confidence: float,
    previews: int,
    more: dict[str, int],
) -> stage_record.Result:
    """Write the tables, the failures and the picture in the listing's order, then the done-marker.

    more: what is counted besides, as how much of the folder is not read.
    """
    counts: Counter[str] = Counter(ok=0, failed=0, turned=0, unsure=0, **more)
    unknown: Counter[str] = Counter()  # words that the AGP has never met
    shown: dict[bool, list[dict[str, Any]]] = {True: [], False: []}  # turned; left as they are
    with (
        atomic_file(record.out / ORIENTATIONS) as every,
        yaw_fix_file(record.out) as fixes,
        failures_file(record.out) as failures,
    ):
        for kind, text in ledger.entries():
            if kind == FAILED:
                counts[FAILED] += 1
                failures.write(text + b"\n")
                continue
            counts["ok"] += 1
            every.write(text + b"\n")
            line = json.loads(text)
            unknown.update(line.get("unknown", ()))
            if "unknown" in line:
                counts["of unknown words"] += 1
            turned = turns(line, min_confidence)
            counts["turned"] += turned
            counts["unsure"] += line["confidence"] < min_confidence
            if turned:
                fixes.write(yaw_fix_line(line["uid"], line["degrees"], line["confidence"]))
            if len(shown[turned]) < previews:
                shown[turned].append(line)
    outputs = [YAW_FIX, ORIENTATIONS, *([FAILURES] if counts["failed"] else [])]
    if _preview(
        record.out / PREVIEW, items, (shown[True] + shown[False])[:previews], min_confidence
    ):
        outputs.append(PREVIEW)
    if unknown:
        some = ", ".join(word for word, _ in unknown.most_common(8)) + ", …" * (len(unknown) > 8)
        of = counted(counts["of unknown words"], "caption")
        print(f"the AGP has never met words of {of}: {some}", file=sys.stderr)
    said = f"to be turned: {counts['turned']:,} of {counted(counts['ok'], 'object')}"
    print(f"{said}; unsure, and left as they are: {counts['unsure']:,}", file=sys.stderr)
    result = record.finish(counts=dict(counts), outputs=outputs)
    ledger.close()
    ledger.path.unlink()
    return result


def _preview(path: Path, items, lines: list[dict[str, Any]], min_confidence: float) -> bool:
    """Draw some objects before and after; False if there are none to draw."""
    wanted = {line["uid"] for line in lines}
    files = {item.uid: item.path for _, item in items() if item.uid in wanted and item.path}
    rows = [(line, files[line["uid"]]) for line in lines if line["uid"] in files]
    return write_before_after(path, rows, min_confidence)
