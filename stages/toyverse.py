"""Make a collection of procedural 3D objects: an offline stand-in for Objaverse.

Every object is a coloured GLB in glTF axes: +Y up, the front faces +Z. The names, descriptions and
tags say what is true of the object: "Tall Red Wooden Chair". The folder has the layout of the
`objaverse` package (metadata shards, object paths, GLB folders), so that `filter-objaverse` reads
both alike.

A share of the objects is bad on purpose, as on the internet: point clouds, low-poly lumps, objects
lying on their side, empty files, scans, scenes of many objects. Their annotations say so in the
words artists use.

Object number i depends on the seed and i only (and on `--categories` and `--bad-share`): a longer
collection begins with the shorter one. An interrupted run continues when the command is repeated.

**Examples**

    sdtool toyverse --out objs --count 1000

    sdtool toyverse --out pets --count 200 --categories corgi,cat --bad-share 0
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from sdtool import artifacts
from sdtool.errors import UsageError
from sdtool.progress import progress


def toyverse(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("objs"),
    count: Annotated[int, typer.Option(help="How many objects.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed gives other objects.")] = 0,
    bad_share: Annotated[float, typer.Option(help="Share of bad objects, 0 to 1.")] = 0.1,
    categories: Annotated[
        str | None,
        typer.Option(help="Names separated by commas, such as corgi,cat. [default: all]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option(help="Replace an earlier collection in --out.")
    ] = False,
) -> artifacts.Result:
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
    from sdtool.toyverse.toys import generate

    if count < 1:
        raise UsageError(f"--count {count}: give at least 1")
    if seed < 0:
        raise UsageError(f"--seed {seed}: give 0 or more")
    if not 0 <= bad_share <= 1:
        raise UsageError(f"--bad-share {bad_share}: give a number from 0 to 1")
    asked = [word.strip() for word in (categories or "").split(",") if word.strip()]
    names = choose(asked)
    params = {"count": count, "seed": seed, "bad_share": bad_share, "categories": names}
    outputs = [PATHS, LVIS, "metadata", "glbs"]
    record = artifacts.begin(out, "toyverse", params=params, overwrite=overwrite, owned=outputs)
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
                toy = generate(seed, index, bad_share=bad_share, categories=names)
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
