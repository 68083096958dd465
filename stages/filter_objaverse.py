"""Choose the usable objects of a collection.

SOURCE is the cache folder of the `objaverse` package, a folder written by `sdtool toyverse`, a folder
of meshes, or annotations as `.json` or `.jsonl` (also with `.gz`; one file or a folder of them): as
Objaverse's, or an earlier `objects.jsonl`. Writes

- `objects.jsonl`: the objects that stay, a line each,
- `rejected.jsonl`: the others, with every rule that removes them,
- `rules.toml`: the rules that were used; `failures.jsonl`: annotations that could not be read.

On stderr, a table shows for each rule how many objects it removes alone, and how many only it
removes, after all the others. The rules are a file that you can change: begin with `--print-rules`.

`--table` joins what others published about the objects, by uid: its columns become fields of rules
(`below`, `above`, `one_of`, `true`; the head of `--print-rules` explains them). It takes CSV, TSV, JSON,
JSON lines and Parquet (`pip install 'sdtool[tables]'`), named FILE, or FILE:PREFIX for fields PREFIX.column.
`--rules` takes files, and names of rules that are ready for such tables, divided by commas: default,
objaverse-plus-plus, trellis-500k, objaverse-filter, g-objaverse.

`--fetch` gets the files of objects that the annotations speak for and that are not on this disk, with
the `objaverse` package (`pip install 'sdtool[objaverse]'`) or from a `--mirror`; `fetched.jsonl` says
what came of each. `--inspect` then opens every file that is left and measures it, for the rules about
triangles, flatness, loose pieces and so on; the measures stand in `inspected.jsonl` and in
`objects.jsonl`. To try other rules on them, filter that `objects.jsonl` again. `--timeout` and
`--max-memory-gb` are limits of this inspection.

An interrupted run is continued by the same command; nothing that was fetched or measured is lost.

Examples:

    sdtool filter-objaverse ~/.objaverse/hf-objaverse-v1 --out filtered/

    sdtool filter-objaverse ~/.objaverse/hf-objaverse-v1 --dry-run

    sdtool filter-objaverse ~/.objaverse/hf-objaverse-v1 --out filtered/ --fetch --inspect

    sdtool filter-objaverse --print-rules > my.toml

    sdtool filter-objaverse filtered/objects.jsonl --out again/ --rules my.toml

    sdtool filter-objaverse objs/ --explain 8476c4170df24cf5bbe6967222d1a42d

    sdtool filter-objaverse objs/ --table quality.csv --rules default,objaverse-plus-plus --dry-run
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import files, stage_record
from sdtool.io.failures import FAILURES
from sdtool.runtime.options import MaxMemory, Overwrite, Timeout, Workers
from sdtool.runtime.progress import progress

if TYPE_CHECKING:
    from sdtool.filtering.fetching import Origin
    from sdtool.filtering.first_pass import Tally
    from sdtool.filtering.joining import Joined, TableFile
    from sdtool.filtering.rules import Rule
    from sdtool.filtering.sources import Source

PARTS = "parts"
FETCH, INSPECT = "Files that are absent", "Files themselves"


def filter_objaverse(
    source: Annotated[
        Path | None,
        typer.Argument(help="Collection, folder of meshes, or annotations.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for objects.jsonl.", show_default=False)
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME,…",
            help="Rules: files of your own (TOML), or names of ready ones.",
            show_default="default",
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:PREFIX]", help="Table of others about the objects, by uid. Repeatable."
        ),
    ] = None,
    print_rules: Annotated[
        bool, typer.Option("--print-rules", help="Print the rules to stdout and stop.")
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(metavar="UID", help="Say why one object stays or goes, and stop."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the table and write nothing.")
    ] = False,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch", help="Fetch the files that are not on this disk.", rich_help_panel=FETCH
        ),
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="A copy of the collection to fetch from.",
            show_default="the objaverse package",
            rich_help_panel=FETCH,
        ),
    ] = None,
    inspect: Annotated[
        bool,
        typer.Option(
            "--inspect", help="Open and measure the files that are left.", rich_help_panel=INSPECT
        ),
    ] = False,
    workers: Workers = 0,
    timeout: Timeout = 120.0,
    max_memory_gb: MaxMemory = 16.0,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    from sdtool.filtering.rules import choose_rules, read_all_rules

    chosen = choose_rules(rules)
    active = read_all_rules(chosen, tables=bool(table) or print_rules)
    if print_rules:
        typer.echo(_text_of_rules(chosen), nl=False)
        raise typer.Exit()
    if source is None:
        raise UsageError("name a SOURCE, or ask for --print-rules", "SOURCE")
    if out is None and not (dry_run or explain):
        said = "name a directory with --out, or ask for --dry-run or --explain UID"
        raise UsageError(said, "--out")
    if dry_run and (fetch or inspect):
        said = "--dry-run looks at annotations only; leave out --fetch and --inspect"
        raise UsageError(said, "--dry-run", "--fetch", "--inspect")
    if mirror and not fetch:
        raise UsageError("--mirror says where to fetch from; add --fetch", "--mirror")

    from sdtool.filtering.fetching import choose_origin
    from sdtool.filtering.first_pass import KEPT, REJECTED
    from sdtool.filtering.joining import parse_tables
    from sdtool.filtering.report import counts_of, print_report
    from sdtool.filtering.second_pass import FETCHED, INSPECTED
    from sdtool.filtering.sources import Source

    tables = parse_tables(table or [])
    found = Source(source)
    if fetch and found.collection is None:
        said = f"--fetch needs a collection in Objaverse's layout; {source} is none"
        raise UsageError(said, "--fetch", "SOURCE")
    if explain is not None:
        return _explain(found, active, explain, inspect, tables)
    if dry_run:
        return _dry_run(found, active, workers, tables)
    assert out is not None  # as was asked above
    origin = choose_origin(mirror) if fetch else None
    record = stage_record.begin(
        out,
        "filter-objaverse",
        params={
            "fetch": fetch,
            "inspect": inspect,
            "files on disk": None if fetch else found.files_there(),
            **({"tables": [one.name for one in tables]} if tables else {}),
        },
        inputs={
            **found.inputs,
            **{f"rules {n}" if n else "rules": path for n, path in enumerate(chosen)},
            **{f"table {one.name}": one.path for one in tables},
        },
        overwrite=overwrite,
        owned=[PARTS, "*.jsonl", "rules.toml"],
    )
    if record.is_done:
        shutil.rmtree(out / PARTS, ignore_errors=True)
        print(record.already("filtered"), file=sys.stderr)
        return record.result()
    files.write_text(out / "rules.toml", _text_of_rules(chosen))
    limits = (timeout, int(max_memory_gb * 2**30)) if inspect else None
    total = _filter(found, active, tables, out, workers, origin, limits)
    counts = counts_of(active, total) | _unread(found)
    print_report(active, counts, inspect or total.measured)
    made = [KEPT, REJECTED, "rules.toml"]
    for name in (FAILURES, FETCHED, INSPECTED):
        made += [name] * (out / name).is_file()
    result = record.finish(counts=counts, outputs=made)
    shutil.rmtree(out / PARTS)
    return result


def _filter(
    source: "Source",
    rules: "list[Rule]",
    tables: "list[TableFile]",
    out: Path,
    workers: int,
    origin: "Origin | None",
    inspect: tuple[float, int] | None,
) -> "Tally":
    """The passes that are asked for; in the end their files are in `out`.

    origin: where to fetch from, if at all. inspect: seconds and bytes that a file's inspection
    may take, if at all.
    """
    from sdtool.filtering.first_pass import Filter, Parts, first_pass, join_parts

    parts = Parts(out / PARTS)
    places = source.places(out / PARTS / "tables")
    joined = _join(tables, rules, out / PARTS / "tables")
    work = Filter(rules, places, parts, trusting=origin is not None, joined=joined)
    with progress("filtering", places.paths.count or None, "objects") as bar:
        count, total = first_pass(source, work, workers, bar)
    if source.collection is not None and origin is None and inspect is None:
        join_parts(parts, count, out)
        return total

    from sdtool.filtering import second_pass

    problems = {}
    if origin is not None:
        from sdtool.filtering.fetching import Fetcher
        from sdtool.io.words import counted

        assert source.collection is not None  # as --fetch needs one
        fetcher = Fetcher(origin, source.collection.root)
        missing = sum(1 for _ in second_pass.missing(parts, count, fetcher.root))
        print(f"{counted(missing, 'file')} to fetch from {origin.name}", file=sys.stderr)
        with progress("fetching", missing, "files") as bar:
            problems = second_pass.fetch(fetcher, parts, count, out, workers, bar)
    if inspect is not None:
        timeout, memory = inspect
        with progress("inspecting", total.kept.total(), "objects") as bar:
            second_pass.inspect(parts, count, bar, workers, timeout, memory)
    once = source.collection is None  # a collection's files are dictionaries
    return second_pass.filter_again(parts, count, work.matcher, out, problems, once, joined)


def _unread(source: "Source") -> dict[str, int]:
    """How much is not read, after saying so; {} if all is."""
    from sdtool.io.folders import say_unread

    if source.unread:
        print(say_unread(source.unread), file=sys.stderr)
    return source.unread.counts()


def _join(tables: "list[TableFile]", rules: "list[Rule]", folder: Path) -> "Joined":
    """What the tables say of the rules, on disk in `folder`; notes about them go to stderr."""
    from sdtool.filtering.joining import Joined, join

    if not tables:
        return Joined()
    with progress("reading tables", None, "rows") as bar:
        joined = join(tables, rules, folder, bar)
    for note in joined.notes:
        print(note, file=sys.stderr)
    return joined


def _text_of_rules(chosen: list[Path]) -> str:
    return "\n".join(files.text_of(path) for path in chosen)


def _dry_run(
    source: "Source", rules: "list[Rule]", workers: int, tables: "list[TableFile]"
) -> stage_record.Result:
    from sdtool.filtering.first_pass import Filter, first_pass
    from sdtool.filtering.report import counts_of, print_report

    with tempfile.TemporaryDirectory() as folder:
        places = source.places(Path(folder))
        joined = _join(tables, rules, Path(folder))
        work = Filter(rules, places, None, joined=joined)
        with progress("filtering", places.paths.count or None, "objects") as bar:
            _, total = first_pass(source, work, workers, bar)
    counts = counts_of(rules, total) | _unread(source)
    print_report(rules, counts, total.measured)
    return stage_record.Result(source.path, {"counts": counts}, total.failed)


def _explain(
    source: "Source", rules: "list[Rule]", uid: str, inspect: bool, tables: "list[TableFile]"
) -> stage_record.Result:
    from sdtool.filtering.explaining import explain

    said = explain(source, rules, uid, inspect, tables)
    print(said, file=sys.stderr)
    if not inspect and any(rule.measured for rule in rules):
        print("  rules about the file itself are judged with --inspect", file=sys.stderr)
    return stage_record.Result(Path(said.record.path or source.path), said.as_dict())
