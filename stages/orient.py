"""Find out which way objects face, and write the table that turns them to +Z.

OBJECTS is an `objects.jsonl`, the folder that holds it, or any folder of meshes. Writes `yaw-fix.jsonl` for
`render-ccm --yaw-fix`: the objects to be turned, by how many degrees, and how sure that is;
`orientations.jsonl`, which says the same of every object; and `preview.png`: rows of objects, seen from +Z
before and after, those that are turned first, with the confidence. Nothing is turned that is less sure than
`--min-confidence`: an object that looks alike from several sides stays as it is.

`--by agp` asks an aligned geometric prior: of `--turns` turns of an object about +Y, under which does the
prior predict the noise in its maps best, given the caption and where the camera stands? An AGP that was
trained on a collection most of which faces +Z can so put the rest right, for the next AGP to be trained on.
It knows what it was trained on: of the bundled one ask nothing but toys. `--captions` says what
the objects are; without it their names do.

`--by table` takes what others published: `--table` in the layout of OrienText300K, or a JSON object of
uids and directions (vectors, or azimuths in degrees from +Z toward +X). Objects that it does not know stay
as they are.

`--by model` looks at pictures from all around with Orient-Anything: `--model` is a folder or a hub id with
its weights as safetensors.

The same command continues an interrupted run, object by object. On a cluster each of `--world-size` ranks
writes its share to `OUT/rank-00003/`; `--yaw-fix OUT/` reads them all.

Examples:

    sdtool orient filtered/ --captions captions/ --out oriented/

    sdtool orient my-models/ --turns 8 --min-confidence 0.99 --out oriented-finely/

    sdtool render-ccm filtered/ --yaw-fix oriented/ --out ccm-oriented/

    sdtool orient filtered/ --by table --table OrienText300K.json --out oriented-by-table/

    sdtool orient filtered/ --by model --model models/orient-anything --out oriented-by-model/
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sdtool.errors import InputError, UsageError
from sdtool.io import stage_record
from sdtool.runtime.engine import RECYCLE
from sdtool.runtime.options import (
    Agp,
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
    from sdtool.io.ledger import Ledger
    from sdtool.io.objects import ObjectRecord
    from sdtool.orienting.turned import TurnSettings
    from sdtool.priors.prior import Prior

LEDGER = "orientations.partial"
BY_AGP, BY_TABLE, BY_MODEL = "With --by agp", "With --by table", "With --by model"


def orient(
    objects: Annotated[Path, typer.Argument(help="objects.jsonl, its folder, or meshes.")],
    out: Out = Path("oriented"),
    by: Annotated[
        Literal["agp", "table", "model"],
        typer.Option(help="agp: what the AGP expects. table: published. model: by looking."),
    ] = "agp",
    turns: Annotated[
        int, typer.Option(min=2, max=72, help="Turns that are compared, evenly around.")
    ] = 4,
    views: Annotated[int, typer.Option(min=1, max=64, help="Views of each object.")] = 4,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="What is less sure is not turned.")
    ] = 0.9,
    agp: Agp = "tiny",
    captions: Annotated[
        Path | None,
        typer.Option(
            help="captions.jsonl, or its folder.", show_default=False, rich_help_panel=BY_AGP
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            min=0.001,
            help="The larger, the less is sure; 0.2 is measured for the tiny AGP.",
            rich_help_panel=BY_AGP,
        ),
    ] = 0.2,
    batch: Annotated[
        int, typer.Option(min=1, help="Maps the AGP looks at at once.", rich_help_panel=BY_AGP)
    ] = 16,
    table: Annotated[
        Path | None,
        typer.Option(
            help="JSON of uids and directions.", show_default=False, rich_help_panel=BY_TABLE
        ),
    ] = None,
    up: Annotated[
        Literal["y", "z"],
        typer.Option(
            help="The upward axis of its vectors; z: Blender's.", rich_help_panel=BY_TABLE
        ),
    ] = "z",
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub id of an Orient-Anything.",
            show_default=False,
            rich_help_panel=BY_MODEL,
        ),
    ] = None,
    previews: Annotated[int, typer.Option(min=0, help="Objects in preview.png.")] = 16,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    timeout: Timeout = 120.0,
    max_memory_gb: MaxMemory = 16.0,
    rank: Rank = 0,
    world_size: WorldSize = 1,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    from sdtool.io.again import tried_again_by_ledger
    from sdtool.io.folders import Unread, say_unread
    from sdtool.io.objects import unread_beside
    from sdtool.io.yaw_fix import YAW_FIX
    from sdtool.orienting.results import ORIENTATIONS, PREVIEW, finish

    for method, needed, given in (("table", "--table", table), ("model", "--model", model)):
        if by == method and not given:
            raise UsageError(f"--by {method} needs {needed}", "--by", needed)
        if by != method and given:
            raise UsageError(f"{needed} is for --by {method}", needed, "--by")
    ranks = Ranks(rank, world_size)
    items = partial(_items, objects, ranks)
    listed = sum(1 for _ in _items(objects, Ranks()))  # one that cannot be read leaves no folder
    total = ranks.share(listed)
    params: dict[str, Any] = {"by": by, "min_confidence": min_confidence}
    inputs: dict[str, str | Path | None] = {"objects": objects}
    if by == "agp":
        params |= {"agp": agp, "turns": turns, "views": views, "seed": seed}
        params["temperature"] = temperature
        inputs |= {"agp": agp if Path(agp).is_dir() else None, "captions": captions}
    elif by == "table":
        params |= {"up": up}
        inputs["table"] = table
    else:
        params |= {"model": model, "turns": turns, "views": views}
        inputs["model"] = model if model and Path(model).is_dir() else None
    record = stage_record.begin(
        ranks.folder(out),
        "orient",
        params=params | ranks.params(),
        inputs=inputs,
        overwrite=overwrite,
        owned=(LEDGER, ORIENTATIONS, PREVIEW, YAW_FIX),
        patient=True,
    )
    if record.is_done and not tried_again_by_ledger(record, LEDGER, ORIENTATIONS, items):
        print(record.already("oriented"), file=sys.stderr)
        return record.result()
    unread = unread_beside(objects) if rank == 0 else Unread()
    if unread:
        print(say_unread(unread), file=sys.stderr)
    pool: dict[str, Any] = {"workers": workers, "timeout": timeout, "recycle": RECYCLE}
    pool |= {"memory": int(max_memory_gb * 2**30)}
    if by == "table" and table:
        from sdtool.orienting.by_table import by_table, read_facings

        known = read_facings(table, up)
        if not any(known.values()):
            said = f"none of the {len(known)} directions in {table} says which way an object faces"
            raise InputError(f"{said}; is --up right?")
        ledger = _ledger(record)
        with ledger.gathering():
            for index, item in items():
                if index not in ledger:
                    ledger.add_line(index, item.uid, by_table(item.uid, known))
        _say_unknown(table, set(known), items)
    elif by == "model" and model:
        from sdtool.orienting.by_model import orient_by_model
        from sdtool.orienting.orient_anything import load_orient_anything
        from sdtool.runtime.devices import choose_device

        looker = load_orient_anything(model, choose_device(device))
        ledger = _ledger(record)
        orient_by_model(items, total, ledger, looker, turns, views, pool)
    else:
        from sdtool.io.captions import read_captions
        from sdtool.orienting.by_agp import orient_by_agp

        texts = read_captions(captions) if captions else {}
        prior, settings = _loaded(agp, device, turns, views)
        ledger = _ledger(record)
        orient_by_agp(items, total, ledger, prior, settings, texts, temperature, seed, batch, pool)
    more = unread.counts() | ranks.counts(listed)
    return finish(record, ledger, items, min_confidence, previews, more)


def _items(objects: Path, ranks: Ranks) -> Iterator[tuple[int, "ObjectRecord"]]:
    """(place in the listing, record) of this rank's objects."""
    from sdtool.io.objects import iter_objects

    return ((k, item) for k, item in enumerate(iter_objects(objects)) if ranks.owns(k))


def _ledger(record: stage_record.StageRecord) -> "Ledger":
    """Of a run that is sure of its inputs: one that failed before binds nobody, and loses nothing."""
    from sdtool.io.ledger import Ledger

    record.clear()
    if not record.resumed:  # what an overwritten run may have left must not speak for this one
        (record.out / LEDGER).unlink(missing_ok=True)
    return Ledger(record.out / LEDGER)


def _loaded(agp: str, device: str, turns: int, views: int) -> tuple["Prior", "TurnSettings"]:
    """The AGP, and how objects are shown to it."""
    from sdtool.orienting.turned import TurnSettings
    from sdtool.priors.cards import camera_of
    from sdtool.priors.loading import load_agp
    from sdtool.runtime.devices import choose_device

    camera = camera_of(agp)  # which refuses what this cannot render
    prior = load_agp(agp, choose_device(device))
    return prior, TurnSettings(turns, views, prior.sample_size, camera=camera)


def _say_unknown(table: Path, uids: set[str], items) -> None:
    """Name some of the uids of a table that are of no object here."""
    from sdtool.io.objects import say_unknown

    count = len(uids)
    for _, item in items():
        uids.discard(item.uid)
    if uids:
        print(say_unknown(f"--table {table}", uids, count), file=sys.stderr)
