"""`sdtool caption` without a model over a long listing, and the pictures that models would look at."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from sdtool.bench.rendering import lumpy_sphere
from sdtool.bench.watch import run_watched
from sdtool.captioning.views import views_around
from sdtool.io.files import write_jsonl
from sdtool.meshfiles import write_glb

COUNT = 50_000
NAMES = (
    "Red_Chair_v2.blend",
    "FREE Low Poly House",
    "untitled",
    "SM_Crate_%d",
    "The old tower of the %d hills",
)
TAGS = (
    "3d blender lowpoly chair house medieval sword red wooden old tree vehicle nature art".split()
)


def captions(folder: Path) -> Table:
    """Objects a second: captions from words of the listing, from words in files, and portraits."""
    for k in range(20):
        write_glb(folder / f"{k}.glb", lumpy_sphere(3))
    write_jsonl(folder / "objects.jsonl", _listing())
    table = Table("work", title="caption --method offline", title_justify="left")
    for heading in ("objects", "seconds", "objects/s", "peak memory"):
        table.add_column(heading, justify="right")
    for files in ("never", "always"):
        out = str(folder / files)
        arguments = ["caption", str(folder / "objects.jsonl"), "--out", out, "--files", files]
        run = run_watched(["sdtool.cli", *arguments])
        name = (
            "words of the listing, 1 process"
            if files == "never"
            else "… and of the files, all cores"
        )
        rate, memory = f"{COUNT / run.seconds:,.0f}", f"{run.peak / 2**20:.0f} MB"
        table.add_row(name, f"{COUNT:,}", f"{run.seconds:.1f}", rate, memory)
    views_around(folder / "0.glb")  # compiles
    start = time.process_time()
    for k in range(4):
        views_around(folder / f"{k}.glb")
    seconds = time.process_time() - start
    name = "portraits of 8 views of 384×384, 1,280 triangles, 1 process"
    table.add_row(name, "4", f"{seconds:.1f}", f"{4 / seconds:.1f}", "–")
    return table


def _listing() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(0)
    for k in range(COUNT):
        name = NAMES[rng.integers(len(NAMES))].replace("%d", str(k))
        tags = rng.choice(TAGS, rng.integers(0, 6), replace=False).tolist()
        yield {"uid": f"object-{k}", "path": f"{k % 20}.glb", "name": name, "tags": tags}
