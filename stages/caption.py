"""Write a caption for every object.

OBJECTS is an `objects.jsonl`, the folder that holds it, a collection that was not filtered, or any
folder of meshes (then the files' names must speak). Writes `captions.jsonl`: for each object a
caption that reads like a prompt ("a red wooden chair"), where it came from, the artist's own words,
and alternatives. Works offline, from name, tags, category and description alone. An object that
nothing describes becomes a line of `failures.jsonl`, and the exit code is 3.

Examples:

    sdtool caption filtered/ --out captions/

    sdtool caption my-models/ --out captions/
"""

import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sdtool import artifacts, files
from sdtool.errors import ObjectError


class Method(StrEnum):
    """Who writes the captions."""

    offline = "offline"


def caption(
    objects: Annotated[Path, typer.Argument(help="objects.jsonl, its folder, or meshes.")],
    out: Annotated[Path, typer.Option(help="Directory for captions.jsonl.")],
    method: Annotated[
        Method, typer.Option(help="offline: from name, tags and category.")
    ] = Method.offline,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo finished work.")] = False,
) -> artifacts.Result:
    from sdtool.captions import caption as caption_of

    found = _list(objects)
    record = artifacts.begin(
        out,
        "caption",
        params={"method": str(method)},
        inputs={"objects": objects},
        overwrite=overwrite,
    )
    if record.is_done:
        print(f"{out} is already captioned; --overwrite redoes it", file=sys.stderr)
        return record.result()
    (out / artifacts.FAILURES).unlink(missing_ok=True)  # of an interrupted run
    counts: Counter[str] = Counter(ok=0, failed=0)

    def lines():
        for item in found:
            try:
                line = caption_of({"name": Path(item["uid"]).name, **item})
            except ObjectError as error:
                record.fail(item["uid"], error.reason, str(error))
                counts["failed"] += 1
                continue
            counts.update(["ok", f"from {line['source']}"])
            yield line

    files.write_jsonl(out / "captions.jsonl", lines())
    sources = ", ".join(f"{n} {k}" for k, n in sorted(counts.items()) if k.startswith("from "))
    print(f"{counts['ok']} captions: {sources or 'none'}", file=sys.stderr)
    outputs = ["captions.jsonl"] + [artifacts.FAILURES] * bool(counts["failed"])
    return record.finish(counts=dict(counts), outputs=outputs)


def _list(objects: Path) -> list[dict[str, Any]]:
    """The records to caption; of a collection, all that have an annotation."""
    from sdtool.annotations import Collection
    from sdtool.objects import list_objects

    if (objects / "object-paths.json.gz").is_file():
        return [item for item in Collection(objects).records() if isinstance(item, dict)]
    return list_objects(objects)
