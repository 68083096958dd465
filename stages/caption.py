"""Write a caption for every object.

OBJECTS is an `objects.jsonl`, the folder that holds it, a collection that was not filtered, or any
folder of meshes. Writes `captions.jsonl`: for each object a caption that reads like a prompt ("a red
wooden chair"), where it came from, the artist's own words, and alternatives; training switches between
them. An object that cannot be captioned becomes a line of `failures.jsonl`, and the exit code is 3.

`--method offline` needs no model and no network: it takes the words of name, tags, LVIS category,
category and description, cleans them and puts them together, in ways that vary from object to object.
Where they do not say what an object is, it looks into the GLB file: the artist's title, the names of
parts and materials, plain colours.

`--method model` looks at the objects, after Cap3D: it renders eight views of each, a captioning model
says several things of each view, CLIP picks what fits the view best, and of these winners the one that
fits all views best becomes the caption. All that was said stays in the record with its score, and so do
the models' names. `--captioner` takes a local folder or a hub id of any image-to-text model of the
transformers library: BLIP, BLIP-2, or one that chats. Worker processes render while the models work.
Look at `preview.png` when it is done.

The same command continues an interrupted run, object by object; an object's words depend on `--seed`
and its uid alone. On a cluster each of `--world-size` ranks writes its share to `OUT/rank-00003/`; the
next stage takes `OUT/` and reads them all.

Examples:

    sdtool caption filtered/ --out captions/

    sdtool caption my-models/ --out captions/ --files always

    sdtool caption filtered/ --out captions/ --method model --device cuda --precision bf16

    sdtool caption filtered/ --out captions/ --method model \\
        --captioner models/blip2-opt-2.7b --clip models/clip-vit-large-patch14 --samples 5

    srun --ntasks 64 --gpus-per-task 1 sdtool caption filtered/ --out captions/ --method model
"""

import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sdtool.captioning.cap3d import BLIP, CLIP
from sdtool.io import stage_record
from sdtool.io.captions import CAPTIONS
from sdtool.runtime.engine import RECYCLE
from sdtool.runtime.options import (
    RUNNING,
    Device,
    MaxMemory,
    Out,
    Overwrite,
    Rank,
    Seed,
    Timeout,
    Workers,
    WorldSize,
)
from sdtool.runtime.ranks import Ranks

if TYPE_CHECKING:
    import numpy as np

    from sdtool.captioning.vision_models import Captioner, Scorer
    from sdtool.io.ledger import Ledger
    from sdtool.io.objects import ObjectRecord

LEDGER, PREVIEW = "captions.partial", "preview.png"
WORDS, MODELS = "With --method offline", "With --method model"


def caption(
    objects: Annotated[Path, typer.Argument(help="objects.jsonl, its folder, or meshes.")],
    out: Out,
    method: Annotated[
        Literal["offline", "model"],
        typer.Option(help="offline: from words. model: by looking at renders."),
    ] = "offline",
    look_into: Annotated[
        Literal["when-needed", "always", "never"],
        typer.Option("--files", help="When to read words in the GLB files.", rich_help_panel=WORDS),
    ] = "when-needed",
    captioner: Annotated[
        str, typer.Option(help="Folder or hub id of the model that speaks.", rich_help_panel=MODELS)
    ] = BLIP,
    clip: Annotated[
        str, typer.Option(help="Folder or hub id of the model that picks.", rich_help_panel=MODELS)
    ] = CLIP,
    views: Annotated[
        int, typer.Option(min=1, max=64, help="Views of an object.", rich_help_panel=MODELS)
    ] = 8,
    samples: Annotated[
        int, typer.Option(min=1, max=64, help="Captions of a view.", rich_help_panel=MODELS)
    ] = 5,
    size: Annotated[
        int, typer.Option(min=16, max=2048, help="Pixels a side.", rich_help_panel=MODELS)
    ] = 384,
    top_p: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="Share of the likeliest words.", rich_help_panel=MODELS),
    ] = 0.9,
    temperature: Annotated[
        float,
        typer.Option(min=0.01, max=10, help="Above 1: more daring.", rich_help_panel=MODELS),
    ] = 1.0,
    length: Annotated[
        int, typer.Option(min=1, help="Most tokens of a caption.", rich_help_panel=MODELS)
    ] = 40,
    batch: Annotated[
        int, typer.Option(min=1, help="Objects captioned at once.", rich_help_panel=MODELS)
    ] = 4,
    previews: Annotated[
        int, typer.Option(min=0, help="Objects in preview.png.", rich_help_panel=MODELS)
    ] = 8,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"],
        typer.Option(help="Number type of the models' weights.", rich_help_panel=RUNNING),
    ] = "fp32",
    workers: Workers = 0,
    timeout: Timeout = 120.0,
    max_memory_gb: MaxMemory = 16.0,
    rank: Rank = 0,
    world_size: WorldSize = 1,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    from sdtool.io.again import tried_again_by_ledger
    from sdtool.io.folders import Unread, say_unread
    from sdtool.io.ledger import Ledger
    from sdtool.io.objects import unread_beside

    ranks = Ranks(rank, world_size)
    items = partial(_items, objects, ranks)
    unread = unread_beside(objects) if rank == 0 else Unread()
    listed = sum(1 for _ in _items(objects, Ranks()))  # one that cannot be read leaves no folder
    total, more = ranks.share(listed), unread.counts() | ranks.counts(listed)
    ask: dict[str, Any] = {"views": views, "size": size, "samples": samples, "length": length}
    ask |= {"top_p": top_p, "temperature": temperature}
    params: dict[str, Any] = {"method": method, "seed": seed}
    inputs: dict[str, Path | str] = {"objects": objects}
    if method == "model":
        params |= {"captioner": captioner, "clip": clip, "precision": precision, **ask}
        inputs |= {k: n for k, n in (("captioner", captioner), ("clip", clip)) if Path(n).is_dir()}
    else:
        params |= {"files": look_into}
    record = stage_record.begin(
        ranks.folder(out),
        "caption",
        params=params | ranks.params(),
        inputs=inputs,
        overwrite=overwrite,
        owned=(LEDGER, CAPTIONS, PREVIEW),
        patient=True,
    )
    if record.is_done and not tried_again_by_ledger(record, LEDGER, CAPTIONS, items):
        print(record.already("captioned"), file=sys.stderr)
        return record.result()
    if unread:
        print(say_unread(unread), file=sys.stderr)
    models = _load(captioner, clip, device, precision) if method == "model" else None
    record.clear()  # only now: a run that failed before binds nobody, and loses nothing
    if not record.resumed:  # what an overwritten run may have left must not speak for this one
        (record.out / LEDGER).unlink(missing_ok=True)
    pool: dict[str, Any] = {"workers": workers, "timeout": timeout, "recycle": RECYCLE}
    pool |= {"memory": int(max_memory_gb * 2**30)}
    if models is None:
        from sdtool.captioning.method_offline import caption_offline

        ledger = Ledger(record.out / LEDGER)
        caption_offline(items, total, ledger, look_into, seed, pool)
        return _finish(record, ledger, more)
    from sdtool.captioning.method_model import SamplingSettings, caption_by_models

    ledger = Ledger(record.out / LEDGER)
    settings = SamplingSettings(**ask)
    caption_by_models(items, total, ledger, *models, settings, seed, batch, pool)
    drawn = _preview(record.out / PREVIEW, items, ledger, views, previews)
    return _finish(record, ledger, more, drawn)


def _items(objects: Path, ranks: Ranks) -> Iterator[tuple[int, "ObjectRecord"]]:
    """(place in the listing, record) of this rank's objects; of a collection, the annotated ones."""
    from sdtool.io.objaverse import Collection
    from sdtool.io.objects import ObjectRecord, iter_objects

    found: Iterator[ObjectRecord]
    if (objects / "object-paths.json.gz").is_file():
        found = (item for item in Collection(objects).records() if isinstance(item, ObjectRecord))
    else:
        found = iter_objects(objects)
    for index, item in enumerate(found):
        if ranks.owns(index):
            yield index, item


def _load(captioner: str, clip: str, device: str, precision: str) -> "tuple[Captioner, Scorer]":
    """Load both models."""
    from sdtool.captioning.vision_models import Captioner, Scorer
    from sdtool.runtime.devices import PRECISIONS, choose_device

    place, dtype = choose_device(device), PRECISIONS[precision]
    return Captioner(captioner, place, dtype), Scorer(clip, place, dtype)


def _preview(path: Path, items, ledger: "Ledger", views: int, count: int) -> list[str]:
    """Draw the first captioned objects as the models saw them."""
    import json

    from sdtool.captioning.views import views_around, write_sheet
    from sdtool.io.ledger import FAILED

    found = (json.loads(text) for kind, text in ledger.entries() if kind != FAILED)
    captions: dict[str, str] = {}
    for line in found:
        if len(captions) == count:
            break
        captions[line["uid"]] = line["caption"]
    rows: list[tuple[str, np.ndarray]] = []
    for _, item in items() if captions else ():
        if len(rows) == len(captions):
            break
        if item.uid in captions:
            rows.append((captions[item.uid], views_around(item.path, views, 128)))
    if rows:
        write_sheet(path, rows)
    return [path.name] if rows else []


def _finish(
    record: stage_record.StageRecord,
    ledger: "Ledger",
    more: dict[str, int],
    pictures: list[str] | None = None,
):
    """Write captions and failures in the order of the listing, then the done-marker.

    more: what is counted besides, as how much of the folder is not read.
    """
    from sdtool.io.captions import captions_file
    from sdtool.io.failures import FAILURES, failures_file
    from sdtool.io.ledger import FAILED
    from sdtool.io.words import counted

    counts: Counter[str] = Counter(ok=0, failed=0)
    with captions_file(record.out) as captions, failures_file(record.out) as failures:
        for kind, line in ledger.entries():
            (failures if kind == FAILED else captions).write(line + b"\n")
            counts.update([FAILED] if kind == FAILED else ["ok", f"from {kind}"])
    counts.update(more)
    outputs = [CAPTIONS, *(pictures or []), *([FAILURES] if counts[FAILED] else [])]
    sources = ", ".join(f"{n:,} {k}" for k, n in sorted(counts.items()) if k.startswith("from "))
    print(f"{counted(counts['ok'], 'caption')}: {sources or 'none'}", file=sys.stderr)
    result = record.finish(counts=dict(counts), outputs=outputs)
    ledger.close()
    ledger.path.unlink()
    return result
