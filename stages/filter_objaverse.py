"""Choose the usable objects of a collection.

SOURCE is the cache folder of the `objaverse` package (it holds `object-paths.json.gz` and
`metadata/`), or a folder written by `sdtool toyverse`. Writes `objects.jsonl`, the objects that
stay, `rejected.jsonl`, the others with every rule that they met, and `rules.toml`, the rules used.

On stderr, a table shows for each rule how many objects it removes by itself, and how many only it
removes, after all the others.

Examples:

    sdtool filter-objaverse ~/.objaverse/hf-objaverse-v1 --out filtered/

    sdtool filter-objaverse --print-rules > my.toml

    sdtool filter-objaverse objs/ --out filtered/ --rules my.toml
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from sdtool import artifacts, files
from sdtool.errors import UsageError


def filter_objaverse(
    source: Annotated[
        Path | None,
        typer.Argument(help="Objaverse cache folder, or a Toyverse.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for objects.jsonl.", show_default=False)
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(help="Rules of your own (TOML).", show_default="built in")
    ] = None,
    print_rules: Annotated[
        bool, typer.Option("--print-rules", help="Print the rules to stdout and stop.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo finished work.")] = False,
) -> artifacts.Result:
    from sdtool.annotations import Collection
    from sdtool.filter_rules import DEFAULT_RULES, read_rules

    chosen = rules or DEFAULT_RULES
    active = read_rules(chosen)
    if print_rules:
        typer.echo(chosen.read_text(encoding="utf-8"), nl=False)
        raise typer.Exit()
    if source is None or out is None:
        raise UsageError("name a SOURCE folder and --out, or ask for --print-rules")
    collection = Collection(source)
    record = artifacts.begin(
        out,
        "filter-objaverse",
        params={},
        inputs={"source": collection.root, "rules": chosen},
        overwrite=overwrite,
    )
    if record.is_done:
        print(f"{out} is already filtered; --overwrite redoes it", file=sys.stderr)
        return record.result()
    counts = _filter(collection, active, record)
    files.write_text(record.out / "rules.toml", chosen.read_text(encoding="utf-8"))
    _report(counts, [rule.name for rule in active])
    outputs = ["objects.jsonl", "rejected.jsonl", "rules.toml"]
    outputs += [artifacts.FAILURES] * bool(counts["failed"])
    return record.finish(counts=dict(counts), outputs=outputs)


def _filter(collection, rules: list, record: artifacts.StageRecord) -> Counter[str]:
    """One pass over the collection; both lists are written as it goes."""
    from sdtool.filter_rules import view
    from sdtool.progress import progress

    counts = Counter(seen=0, ok=0, rejected=0, failed=0)
    for rule in rules:
        counts[f"removed by {rule.name}"] = counts[f"removed only by {rule.name}"] = 0
    (record.out / artifacts.FAILURES).unlink(missing_ok=True)  # of an interrupted run
    with (
        files.atomic_path(record.out / "objects.jsonl") as kept_path,
        files.atomic_path(record.out / "rejected.jsonl") as rejected_path,
        open(kept_path, "w", **files.UTF8) as kept,
        open(rejected_path, "w", **files.UTF8) as rejected,
        progress("filtering", len(collection.paths), "objects") as bar,
    ):
        for item in collection.records():
            bar.advance()
            counts["seen"] += 1
            if isinstance(item, tuple):
                uid, error = item
                record.fail(uid, error.reason, str(error))
                counts["failed"] += 1
                continue
            seen = view(item)
            hits = [rule.name for rule in rules if rule.hits(seen)]
            counts.update(f"removed by {name}" for name in hits)
            if len(hits) == 1:
                counts[f"removed only by {hits[0]}"] += 1
            if hits:
                line = {"uid": item["uid"], "name": item["name"], "rules": hits}
                rejected.write(json.dumps(line, ensure_ascii=False) + "\n")
                counts["rejected"] += 1
            else:
                kept.write(json.dumps(item, ensure_ascii=False) + "\n")
                counts["ok"] += 1
    return counts


def _report(counts: Counter[str], names: list[str]) -> None:
    """The table of what each rule removed, on stderr."""
    from rich.console import Console
    from rich.table import Table

    kept = f"{counts['ok']} of {counts['seen']} objects kept"
    table = Table("rule", title=kept, title_justify="left")
    for heading in ("removed", "only by it"):
        table.add_column(heading, justify="right")
    for name in names:
        removed, only = counts[f"removed by {name}"], counts[f"removed only by {name}"]
        table.add_row(name, str(removed), str(only))
    console = Console(stderr=True)
    console.print(table)
    if counts["failed"]:
        console.print(f"{counts['failed']} annotations could not be read: see failures.jsonl")
    if not counts["ok"]:
        console.print("nothing is left: change the rules (--print-rules) or the collection")
