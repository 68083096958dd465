"""`sdtool render-ccm` over whole collections: processes, Ray, and memory as collections grow."""

import importlib.util
import os
from pathlib import Path

from rich.table import Table

from sdtool.bench.rendering import lumpy_sphere
from sdtool.bench.watch import Run, run_watched
from sdtool.io.files import write_jsonl
from sdtool.meshfiles import write_glb
from sdtool.runtime.engine import available_cores

FILES = 20  # of different meshes, listed again and again under other uids
COUNT = int(os.environ.get("SDTOOL_BENCH_OBJECTS", "1000"))


def collections(folder: Path) -> Table:
    """Objects a second with one process, with one a core, over Ray; and peak memory at 10× the objects."""
    cores = available_cores()
    rows = {"1 process": (COUNT, ["--workers", "1"])}
    if cores > 1:
        rows[f"{cores} processes"] = (COUNT, ["--workers", str(cores)])
    rows[f"{cores} processes, 10× the objects"] = (10 * COUNT, ["--workers", str(cores)])
    if importlib.util.find_spec("ray"):
        rows[f"Ray, {cores} workers"] = (COUNT, ["--engine", "ray", "--workers", str(cores)])
    title = (
        f"render-ccm, {COUNT:,} objects of 1,280 triangles, 16 views of 64×64 (16 samples a pixel)"
    )
    table = Table("run", title=title, title_justify="left")
    for heading in ("seconds", "objects/s", "against 1 process", "peak memory"):
        table.add_column(heading, justify="right")
    _render(folder, 1, ["--workers", "2"])  # compiles, and warms the file cache
    base = None
    for number, (name, (count, options)) in enumerate(rows.items()):
        run = _render(folder / str(number), count, options)
        rate = count / run.seconds
        base = base or rate
        memory = "–" if "Ray" in name else f"{run.peak / 2**20:.0f} MB"  # Ray's daemons stand apart
        table.add_row(name, f"{run.seconds:.1f}", f"{rate:.0f}", f"{rate / base:.2f}×", memory)
    return table


def _render(folder: Path, count: int, options: list[str]) -> Run:
    """Run the command over `count` objects, start and finish included."""
    ball = lumpy_sphere(3)
    for k in range(FILES):
        scaled = ball.with_positions(ball.v_pos * [1, 1 + k / FILES, 1])
        write_glb(folder / f"{k}.glb", scaled)
    lines = ({"uid": f"object-{k}", "path": f"{k % FILES}.glb"} for k in range(count))
    write_jsonl(folder / "objects.jsonl", lines)
    out = str(folder / "out")
    arguments = ["sdtool.cli", "render-ccm", str(folder / "objects.jsonl"), "--out", out, *options]
    return run_watched(arguments)
