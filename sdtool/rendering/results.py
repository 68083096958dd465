"""What `render-ccm` writes of shards in the end: failures, the index, and a picture of some objects."""

import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from sdtool.errors import InputError
from sdtool.io import stage_record
from sdtool.io.failures import FAILURES, write_failures
from sdtool.io.images import grid, map_to_rgb, repeat_pixels, write_png
from sdtool.io.shards import INDEX, PARTS, open_shard, read_index, write_index
from sdtool.io.words import counted

PREVIEW = "preview.png"


def finish(
    record: stage_record.StageRecord,
    shards: list[Path],
    views: int,
    previews: int,
    seed: int,
    more: dict[str, int],
) -> stage_record.Result:
    """Gather the failures, write index and preview, and mark the stage done.

    more: what is counted besides, as how much of the folder is not read.
    """
    failures, total = [], 0
    lost: Counter[str] = Counter()
    called: list[str] = []
    for path in shards:
        shard = open_shard(path)
        lost.update(shard.lost_images)
        called += [name for names in shard.lost_names.values() for name in names]
        failures += shard.failures
        total += len(shard.uids)
    write_failures(record.out, failures)
    outputs = [*(path.name for path in shards), INDEX, *([FAILURES] if failures else [])]
    if total and len(failures) == total:
        for path in shards:  # so that the same command tries again
            path.unlink()
        reasons = Counter(failure["reason"] for failure in failures).most_common()
        raise InputError(
            f"{none_of(total)} be rendered "
            f"({', '.join(f'{count} {reason}' for reason, count in reasons)}); "
            f"{record.out / FAILURES} says why, object by object"
        )
    shutil.rmtree(record.out / PARTS, ignore_errors=True)
    write_index(record.out, shards, views)
    if previews and total:
        _preview(record.out, previews, seed)
        outputs.append(PREVIEW)
    counts = {"ok": total - len(failures), "failed": len(failures), **more}
    if lost:
        counts["images not read"] = lost.total()
        print(_said_of_lost(lost, called, INDEX), file=sys.stderr)
    return record.finish(counts=counts, outputs=outputs)


def none_of(count: int) -> str:
    """ "none of the 3 objects could", of one "the only object could not"."""
    return f"none of the {count} objects could" if count > 1 else "the only object could not"


def _said_of_lost(lost: Counter[str], called: list[str], index: str) -> str:
    """What objects lack of their looks. lost: uid → how much; called: names, each with a reason."""
    what = counted(lost.total(), "image")
    what += " or materials" * any(name.startswith("material ") for name in called)
    names = list(dict.fromkeys(called))
    named = ", ".join(names[:3]) + ", …" * (len(names) > 3)
    said = f"{what} of {counted(len(lost), 'object')} missing or not readable ({named})"
    cure = ""
    if any(name.endswith("(KTX2)") for name in called):
        cure = "; sdtool does not read KTX2: write such images as PNG, for example with ktx extract"
    return f"{said}: their faces have plain colours; {index} counts and names them{cure}"


def _preview(out: Path, objects: int, seed: int) -> None:
    """One picture of objects drawn at random: four views of each map of each of them."""
    lines = read_index(out)
    drawn = np.random.default_rng(seed).permutation(len(lines))[:objects]
    rows = []
    for line in (lines[k] for k in np.sort(drawn)):
        shard = open_shard(out / line["shard"])
        for name in (name for name in ("ccm", "rgb", "normal") if name in shard.maps):
            last = line["row"] + min(4, line["views"])
            image = shard.maps[name][line["row"] : last].astype(np.float32)
            rows.append(map_to_rgb(image.transpose(0, 2, 3, 1)))
    columns = 4 * max(1, min(3, len(rows)))
    padded = [np.concatenate([r, np.ones((4 - len(r), *r.shape[1:]), np.float32)]) for r in rows]
    sheet = grid(repeat_pixels(np.concatenate(padded), 64), columns)
    write_png(out / PREVIEW, sheet, Title="views of some objects, drawn at random")
