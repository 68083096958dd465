"""What a whole collection costs: measured on parts of it, foretold for all of it, and measured on all of it.

    python -m sdtool.bench chain [--toys 2000] [--assets FOLDER …] [--views 16] [--workers 2]

The chain of the data stages runs over an eighth, a quarter and all of the objects. Processor time and disk
are taken as a cost of the command plus one for each object, drawn through the two parts; the whole tests
that. A training is foretold in the same way from its first steps.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from sdtool.errors import SdtoolError
from sdtool.io.files import write_jsonl
from sdtool.io.folders import MESH_SUFFIXES

PARTS = (0.125, 0.25, 1.0)
STEPS = (20, 40, 160)


@dataclass(frozen=True)
class Cost:
    """What a command took: processor seconds of all its processes, seconds by the clock, bytes it wrote."""

    cpu: float
    seconds: float
    bytes: int


def chain(folder: Path, given: Sequence[str] = ()) -> Table:
    """The table: for each stage what was foretold for the whole collection, and what it took."""
    parser = argparse.ArgumentParser(prog="python -m sdtool.bench chain")
    parser.add_argument("--toys", type=int, default=2000)
    parser.add_argument("--assets", type=Path, nargs="*", default=[], help="Folders of models.")
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args(list(given))
    sources = _collection(folder, asked.toys, asked.assets)
    order = np.random.default_rng(0).permutation(len(sources))
    title = (
        f"{asked.toys:,} toys and {len(sources) - asked.toys:,} models, {asked.workers} processes"
    )
    table = Table("stage", title=title, title_justify="left")
    for heading in (
        "objects or steps", "CPU s, foretold", "measured", "ratio", "an object or step",
        "MB, foretold", "measured", "ratio", "seconds",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    sizes = [round(part * len(sources)) for part in PARTS]
    costs: dict[str, list[Cost]] = {}
    for count in sizes:
        chosen = [sources[k] for k in sorted(order[:count])]
        for name, cost in _run(
            folder / str(count), chosen, asked.views, asked.size, asked.workers
        ).items():
            costs.setdefault(name, []).append(cost)
    for name, found in costs.items():
        table.add_row(name, *_row(sizes, found))
    if asked.size != 32:  # of the tiny base
        return table
    data = folder / str(sizes[-1])
    trained = [_train(folder / f"agp-{steps}", data, steps) for steps in STEPS]
    table.add_row("finetune-agp", *_row(list(STEPS), trained))
    return table


def _collection(folder: Path, toys: int, assets: list[Path]) -> list[Path]:
    """Toys, made here, and the models of folders: their files."""
    _sdtool(["toyverse", "--out", folder / "toys", "--count", toys], folder / "toys")
    found = sorted((folder / "toys").rglob("*.glb"))
    for place in assets:
        found += sorted(p for p in place.rglob("*") if p.suffix.lower() in MESH_SUFFIXES)
    return found


def _run(place: Path, files: list[Path], views: int, size: int, workers: int) -> dict[str, Cost]:
    """The stages over some files; what each took."""
    place.mkdir(parents=True)
    lines = ({"uid": f"{k:06d}-{path.stem}", "path": str(path.resolve()), "name": path.stem}
             for k, path in enumerate(files))  # fmt: skip
    write_jsonl(place / "objects.jsonl", lines)
    listing, kept = place / "objects.jsonl", place / "filtered"
    pool = ["--workers", workers]
    commands = {
        "filter-objaverse --inspect": ["filter-objaverse", listing, "--inspect", "--out", kept, *pool],
        "caption": ["caption", kept, "--out", place / "captions", *pool],
        f"render-ccm, {views} of {size}²": [
            "render-ccm", kept, "--out", place / "ccm", "--views", views, "--size", size, *pool,
        ],
    }  # fmt: skip
    outputs = [kept, place / "captions", place / "ccm"]
    return {
        name: _sdtool(command, out)
        for (name, command), out in zip(commands.items(), outputs, strict=True)
    }


def _train(out: Path, data: Path, steps: int) -> Cost:
    arguments = ["finetune-agp", data / "ccm", "--captions", data / "captions", "--base", "tiny"]
    arguments += ["--out", out, "--steps", steps, "--batch", 16, "--sample-every", 0]
    return _sdtool(arguments, out)


def _sdtool(arguments: list, out: Path) -> Cost:
    """Run a command to its end; SdtoolError if it exits with neither 0 nor 3."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "sdtool.cli", *map(str, arguments)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=alone
    )
    if done.returncode not in (0, 3):
        said = done.stderr.strip().splitlines() or ["nothing was said"]
        raise SdtoolError(f"sdtool {arguments[0]} ended with {done.returncode}: {said[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return Cost(cpu, time.perf_counter() - began, size)


def foretold(sizes: list[int], values: list[float]) -> tuple[float, float]:
    """The line through the first two values, at the last size; and its slope."""
    slope = (values[1] - values[0]) / (sizes[1] - sizes[0])
    return values[0] + slope * (sizes[-1] - sizes[0]), slope


def _row(sizes: list[int], found: list[Cost]) -> list[str]:
    cpu, each = foretold(sizes, [cost.cpu for cost in found])
    disk, _ = foretold(sizes, [cost.bytes / 1e6 for cost in found])
    last = found[-1]
    return [
        f"{sizes[-1]:,}", f"{cpu:.1f}", f"{last.cpu:.1f}", f"{last.cpu / cpu:.2f}", f"{1000 * each:.1f} ms",
        f"{disk:.1f}", f"{last.bytes / 1e6:.1f}", f"{last.bytes / 1e6 / disk:.2f}", f"{last.seconds:.0f}",
    ]  # fmt: skip
