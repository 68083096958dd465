"""The hash grid: numba beside the plain torch reference, forward and backward, in CPU time."""

import time
from pathlib import Path

import torch
from rich.table import Table

from sdtool.shapes.hashgrid import HashGrid

POINTS, ROUNDS = 65_536, 5


def encoding(folder: Path, points: int = POINTS, rounds: int = ROUNDS) -> Table:
    """Grids of 16 levels over random points; the backends take turns, the least time counts."""
    title = f"Hash grid: {points:,} random points, 16 levels, ms of CPU time, forward + backward"
    table = Table("entries a level", "gradient in", title=title, title_justify="left")
    for heading in ("torch", "numba", "numba forward", "against torch", "values differ"):
        table.add_column(heading, justify="right")
    for log2_table in (14, 19):
        for of_points in (False, True):
            best: dict[str, tuple[float, float]] = {}
            values: dict[str, torch.Tensor] = {}
            grids = {name: _grid(name, log2_table) for name in ("torch", "numba")}
            for turn in range(rounds + 1):
                for name, grid in grids.items():
                    spent, values[name] = _step(grid, points, of_points)
                    if turn:  # the first compiles
                        best[name] = min(spent, best.get(name, spent))
            differ = (values["numba"] - values["torch"]).abs().max() / values["torch"].abs().max()
            table.add_row(
                f"2^{log2_table}",
                "table, points" if of_points else "table",
                f"{1000 * best['torch'][0]:.0f}",
                f"{1000 * best['numba'][0]:.0f}",
                f"{1000 * best['numba'][1]:.0f}",
                f"{best['torch'][0] / best['numba'][0]:.1f}×",
                f"{float(differ):.0e} at most",
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
