"""The hash grid: numba and Warp beside the plain torch reference, forward and backward, in CPU time.

Warp's kernels are made for GPUs; here they show what they cost without one. Without Warp, dashes.
"""

import time
from pathlib import Path

import torch
from rich.table import Table

from sdtool.runtime import warp_module
from sdtool.shapes.hashgrid import HashGrid

POINTS, ROUNDS = 65_536, 5


def encoding(folder: Path, points: int = POINTS, rounds: int = ROUNDS) -> Table:
    """Grids of 16 levels over random points; the backends take turns, the least time counts."""
    title = f"Hash grid: {points:,} random points, 16 levels, ms of CPU time, forward + backward"
    table = Table("entries a level", "gradient in", title=title, title_justify="left")
    for heading in (
        "torch",
        "numba",
        "numba forward",
        "Warp",
        "Warp forward",
        "numba against torch",
    ):
        table.add_column(heading, justify="right")
    table.add_column("values differ", justify="right")
    backends = ["torch", "numba"] + ["warp"] * warp_module.is_installed()
    for log2_table in (14, 19):
        for of_points in (False, True):
            best: dict[str, tuple[float, float]] = {}
            values: dict[str, torch.Tensor] = {}
            grids = {name: _grid(name, log2_table) for name in backends}
            for turn in range(rounds + 1):
                for name, grid in grids.items():
                    spent, values[name] = _step(grid, points, of_points)
                    if turn:  # the first compiles
                        best[name] = min(spent, best.get(name, spent))
            torchs = values.pop("torch")
            differ = max(float((ours - torchs).abs().max()) for ours in values.values())
            milliseconds = [f"{1000 * s:.0f}" for name in backends[1:] for s in best[name]]
            table.add_row(
                f"2^{log2_table}",
                "table, points" if of_points else "table",
                f"{1000 * best['torch'][0]:.0f}",
                *(milliseconds + ["-"] * 2)[:4],
                f"{best['torch'][0] / best['numba'][0]:.1f}×",
                f"{differ / float(torchs.abs().max()):.0e} at most",
            )
    return table


def _grid(backend: str, log2_table: int) -> HashGrid:
    generator = torch.Generator().manual_seed(0)
    return HashGrid(log2_table=log2_table, backend=backend, generator=generator)


def _step(grid: HashGrid, count: int, of_points: bool) -> tuple[tuple[float, float], torch.Tensor]:
    """((CPU seconds of forward and backward, of forward), values); the gradients are dropped."""
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(count, 3, generator=generator).requires_grad_(of_points)
    pull = torch.randn(count, grid.channels, generator=generator)
    grid.zero_grad()
    began = time.process_time()
    values = grid(points)
    forward = time.process_time()
    values.backward(pull)
    ended = time.process_time()
    return (ended - began, forward - began), values.detach()
