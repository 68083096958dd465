"""Make a collection of procedural 3D objects: an offline stand-in for Objaverse.

Every object is a coloured GLB in glTF axes: +Y up, the front faces +Z. The names, descriptions and
tags say what is true of the object: "Tall Red Wooden Chair", "Corgi Wearing A Blue Hat". They hold
animals, furniture, vehicles, buildings, food, tools, plants, people and toys of many colours,
materials and proportions; what they wear, hold or have beside is in the name. The folder has the
layout of the `objaverse` package (metadata shards, object paths, GLB folders), so that
`filter-objaverse` reads both alike.

A share of the objects is bad on purpose, as on the internet: point clouds, low-poly lumps, objects
lying on their side, empty files, scans, scenes of many objects. Their annotations say so in the
words artists use.

To learn whether a prior generalises, leave combinations of words out and make exactly those
elsewhere: `--leave-out "blue horse"` makes no horse that is blue, whether its name says so or not;
`--only "blue horse"` makes nothing but blue horses, and their names say no more. Both may be given
several times. A combination is a category with a trait, a colour or a material before it and
something that it wears or has after it: "corgi with hat", "tall red wooden chair",
"house with a blue roof".

Object number i depends on the seed and i only (and on `--categories`, `--bad-share`, `--extra-share`
and `--only`): a longer collection begins with the shorter one, and `--leave-out` changes only the
objects that it forbids. An interrupted run continues when the command is repeated.

Examples:

    sdtool toyverse --out objs --count 1000

    sdtool toyverse --out pets --count 200 --categories corgi,cat --bad-share 0

    sdtool toyverse --out seen --count 2000 --leave-out "blue horse" --leave-out "corgi with hat"

    sdtool toyverse --out unseen --count 100 --only "blue horse" --only "corgi with hat" --bad-share 0
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.runtime.options import Out, Overwrite, Seed
from sdtool.runtime.progress import progress


def _categories(incomplete: str) -> list[str]:
    """What a list of categories, its last one cut short, may become."""
    from sdtool.toyverse.catalogue import CATEGORIES

    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in CATEGORIES]


def toyverse(
    out: Out = Path("objs"),
    count: Annotated[int, typer.Option(min=1, help="How many objects.")] = 1000,
    bad_share: Annotated[float, typer.Option(min=0, max=1, help="Share of bad objects.")] = 0.1,
    categories: Annotated[
        str | None,
        typer.Option(
            help="Names separated by commas, such as corgi,cat. [default: all]",
            autocompletion=_categories,
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(help='Words that never come together, such as "blue horse". Repeatable.'),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help='Make only such objects: "blue horse", "corgi with hat". Repeatable.'),
    ] = None,
    extra_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Of toys that may wear, carry or have something more, the share that do.",
        ),
    ] = 0.35,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    """Write the collection; the result is its folder."""
    from sdtool.toyverse.catalogue import choose
    from sdtool.toyverse.collection import (
        LVIS,
        PATHS,
        SHARD,
        glb_path,
        shard_name,
        write_json_gz,
        write_object,
    )  # fmt: skip
    from sdtool.toyverse.designs import check, parse
    from sdtool.toyverse.toys import generate

    asked = [word.strip() for word in (categories or "").split(",") if word.strip()]
    left_out = [parse(text, "--leave-out") for text in leave_out or ()]
    wanted = [parse(text, "--only") for text in only or ()]
    if wanted and asked:
        said = "--only names the categories itself; leave --categories out"
        raise UsageError(said, "--only", "--categories")
    names = list(dict.fromkeys(design.category for design in wanted)) or choose(asked)
    check(names, wanted, left_out)
    params = {"count": count, "seed": seed, "bad_share": bad_share, "categories": names}
    params["leave_out"] = [design.phrase() for design in left_out]
    params["only"] = [design.phrase() for design in wanted]
    params["extra_share"] = extra_share
    make = partial(
        generate, bad_share=bad_share, categories=names, only=wanted, leave_out=left_out,
        extra_share=extra_share,
    )  # fmt: skip
    outputs = [PATHS, LVIS, "metadata", "glbs"]
    record = stage_record.begin(out, "toyverse", params=params, overwrite=overwrite, owned=outputs)
    if record.is_done:
        typer.echo(f"{out} holds this collection already", err=True)
        return record.result()

    for leftover in (out / "glbs").rglob(".*.tmp.glb"):  # of a run that was killed
        leftover.unlink()
    paths: dict[str, str] = {}
    lvis: dict[str, list[str]] = {name: [] for name in names}
    tally: Counter[str] = Counter()
    with progress("toyverse", count, "objects") as bar:
        for start in range(0, count, SHARD):
            shard = {}
            for index in range(start, min(start + SHARD, count)):
                toy = make(seed, index)
                paths[toy.uid] = glb_path(toy.uid, index)
                file = out / paths[toy.uid]
                if not file.is_file():
                    write_object(file, toy)
                toy.annotation["archives"]["glb"]["size"] = file.stat().st_size
                shard[toy.uid] = toy.annotation
                if toy.spoiled:
                    tally["bad"] += 1
                else:
                    lvis[toy.category].append(toy.uid)
                bar.advance()
            write_json_gz(out / "metadata" / f"{shard_name(start)}.json.gz", shard)
    write_json_gz(out / LVIS, {name: uids for name, uids in lvis.items() if uids})
    write_json_gz(out / PATHS, paths)
    counts = {"ok": count, "failed": 0, "skipped": 0, "bad_on_purpose": tally["bad"]}
    return record.finish(counts=counts, outputs=outputs)
