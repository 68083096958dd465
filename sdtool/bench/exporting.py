"""Exporting: how long each part of making an asset takes."""

import json
import time
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from sdtool.bench.rendering import lumpy_sphere
from sdtool.exporting.baking import bake
from sdtool.exporting.decimation import decimate
from sdtool.exporting.model_files import encode
from sdtool.geometry.cleaning import clean
from sdtool.geometry.parts import largest_parts
from sdtool.lifting.lift_files import read_lift, write_lift
from sdtool.lifting.lift_materials import stored_color_field

FACES, SIZE = 50_000, 1024
DETAIL = 7  # of the lifted sphere, which has 20 · 4⁷ faces


def exporting(folder: Path) -> Table:
    """A lift of 327,680 faces with a colour field, made for this, to 50,000 faces with textures.

    Processor seconds of the parts of `sdtool export`; the first run compiles and is not counted.
    """
    run = _run(folder / "run")
    _export(run)
    spent = _export(run)
    table = Table(title=f"export to {FACES:,} faces and textures of {SIZE}²")
    table.add_column("part")
    table.add_column("CPU seconds", justify="right")
    for name, seconds in (spent | {"all": sum(spent.values())}).items():
        table.add_row(name, f"{seconds:.2f}")
    return table


def _export(run: Path) -> dict[str, float]:
    clock, spent = time.process_time(), {}

    def lap(name: str) -> None:
        nonlocal clock
        spent[name], clock = time.process_time() - clock, time.process_time()

    lifted = read_lift(run)
    lap("read")
    fine = largest_parts(clean(lifted.mesh))
    lap("clean")
    coarse = decimate(fine, FACES)
    lap("decimate")
    baked = bake(fine, coarse, lifted.material, SIZE)
    lap("unwrap and bake")
    encode(baked, run / "model.glb", "bench", {})
    lap("encode")
    return spent


def _run(folder: Path) -> Path:
    """A directory as `lift` leaves it: a lumpy sphere with a random colour field."""
    folder.mkdir(parents=True)
    mesh = lumpy_sphere(DETAIL)
    mesh = mesh.with_positions(mesh.v_pos * 0.4)
    rng = np.random.default_rng(0)
    grids = [rng.normal(size=(1, 3, n, n, n)).astype(np.float32) for n in (6, 12, 24, 48)]
    v_pos, faces = torch.from_numpy(mesh.v_pos), torch.from_numpy(mesh.t_pos_idx)
    stored = stored_color_field(map(torch.from_numpy, grids), 0.6)
    write_lift(folder, v_pos, faces, torch.full_like(v_pos, 0.5), stored)
    record = {"stage": "lift", "params": {"prompt": "bench"}}
    (folder / "stage.json").write_text(json.dumps(record), encoding="utf-8")
    return folder
