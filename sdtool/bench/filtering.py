"""`sdtool filter-objaverse` against a bare pass over the same shards that only unpacks and parses.

    python -m sdtool.bench.filtering PARSER FOLDER PROCESSES    is such a pass

The corpus is made up (`corpus.py`); SDTOOL_BENCH_ANNOTATIONS=800000 makes it as long as Objaverse.
"""

import gzip
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from rich.table import Table

from sdtool.bench.corpus import PATHS, write_corpus
from sdtool.bench.watch import Run, run_watched
from sdtool.errors import ObjectError
from sdtool.filtering.first_pass import ENOUGH
from sdtool.runtime.engine import available_cores, map_items

COUNT = int(os.environ.get("SDTOOL_BENCH_ANNOTATIONS", "200000"))
ROUNDS = 2  # of each run, in turn; the fastest counts
LOADS: dict[str, Callable] = {"json": json.loads, "msgspec": msgspec.json.decode}


def filtering(folder: Path) -> Table:
    """Annotations a second and peak memory of the whole command, and of bare passes."""
    root, cores = folder / "corpus", min(available_cores(), ENOUGH)
    write_corpus(root, COUNT)
    size = sum(path.stat().st_size for path in (root / "metadata").iterdir())
    parsers = {f"gunzip + {parser}": parser for parser in LOADS}
    ours = {"filter-objaverse": [], "filter-objaverse --table": _table(root, folder / "t.csv")}
    runs: dict[str, list[Run]] = {name: [] for name in [*parsers, *ours]}
    for turn in range(ROUNDS):
        for name, parser in parsers.items():
            runs[name].append(_bare(root, parser, cores))
        for number, (name, options) in enumerate(ours.items()):
            runs[name].append(_filter(root, folder / f"filtered-{turn}-{number}", options))
    best = {name: min(run.seconds for run in found) for name, found in runs.items()}
    fastest = min(seconds for name, seconds in best.items() if name in parsers)
    title = (
        f"{COUNT:,} annotations in 160 shards ({size / 2**20:.0f} MB packed), {cores} processes, "
        f"the faster of {ROUNDS} runs"
    )
    table = Table("pass", title=title, title_justify="left")
    for heading in ("seconds", "annotations/s", "of the fastest bare pass", "peak memory"):
        table.add_column(heading, justify="right")
    for name, seconds in best.items():
        peak = max(run.peak for run in runs[name]) / 2**20
        rate, ratio = COUNT / seconds, seconds / fastest
        table.add_row(name, f"{seconds:.1f}", f"{rate:,.0f}", f"{ratio:.2f}×", f"{peak:.0f} MB")
    return table


def _filter(root: Path, out: Path, options: list[str]) -> Run:
    return run_watched(["sdtool.cli", "filter-objaverse", str(root), "--out", str(out), *options])


def _table(root: Path, path: Path) -> list[str]:
    """Options that join a table with a row for each object, written to `path`."""
    uids = json.loads(gzip.decompress((root / PATHS).read_bytes()))
    with open(path, "w", encoding="utf-8") as file:
        file.write("UID,score,is_multi_object,is_scene,density\n")
        file.writelines(
            f"{uid},{n % 4},{n % 7 == 0},{n % 9 == 0},mid\n" for n, uid in enumerate(uids)
        )
    return ["--table", str(path), "--rules", "default,objaverse-plus-plus"]


def _bare(root: Path, parser: str, workers: int) -> Run:
    return run_watched(["sdtool.bench.filtering", parser, str(root), str(workers)])


def bare_pass(root: Path, parser: str, workers: int) -> int:
    """Unpack and parse every shard into Python objects; return how many objects there are."""
    parse = partial(_parse, LOADS[parser])
    total = 0
    for _, count in map_items(parse, sorted((root / "metadata").iterdir()), workers=workers):
        if isinstance(count, ObjectError):
            raise count
        total += count
    return total


def _parse(loads: Callable, shard: Path) -> int:
    return len(loads(gzip.decompress(shard.read_bytes())))


if __name__ == "__main__":
    print(bare_pass(Path(sys.argv[2]), sys.argv[1], int(sys.argv[3])))
