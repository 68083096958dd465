"""How fast hash grid and ray march are, beside what the device's memory could give."""

from typing import Any

import torch

from sdtool.bench.clocks import timed
from sdtool.bench.gpu import marches
from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.hash_grids import backends
from sdtool.bench.gpu.setup import Setup
from sdtool.shapes.hashgrid import HashGrid

FLOAT = 4  # bytes


def measure(setup: Setup, sheet: Sheet) -> None:
    """The bandwidth of a copy, then each backend's share of it."""
    device = torch.device(setup.device)
    bandwidth = _copied(device, 2**22 if setup.small else 2**30)
    sheet.note("a copy reads and writes", bandwidth / 1e9, "GB/s")
    options: dict[str, Any] = {"log2_table": 14 if setup.small else 19}
    points = 2**12 if setup.small else 2**20
    for backend in backends(device):
        _hash_grid(sheet, backend, device, options, points, bandwidth)
    marches.measure(setup, sheet, device, bandwidth)


def _copied(device: torch.device, size: int) -> float:
    """Bytes a second that copying `size` bytes reads and writes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds, _ = timed(lambda: target.copy_(source), 10, device)
    return 2 * size / seconds


def _hash_grid(
    sheet: Sheet,
    backend: str,
    device: torch.device,
    options: dict[str, Any],
    count: int,
    bandwidth: float,
) -> None:
    """Values at random points, and with them the table's gradient."""
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(**options, backend=backend, generator=generator).to(device)
    points = torch.rand(count, 3, generator=generator).to(device)
    pull = torch.randn(count, grid.channels, generator=generator).to(device)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return grid(points)

    def both() -> None:
        grid.table.grad = None
        grid(points).backward(pull)

    steps = 1 if device.type == "cpu" else 10
    # a point: its place, eight corners a level, its values; then the values' pull, and corners added to
    corners = len(grid.levels) * 8 * grid.features * FLOAT
    value = grid.channels * FLOAT
    there = 3 * FLOAT + corners + value
    back = 3 * FLOAT + value + 2 * corners
    for name, step, size in (
        ("values", forward, there),
        ("values and gradient", both, there + back),
    ):
        seconds, _ = timed(step, steps, device)
        sheet.note(f"hash grid, {backend}, {name}", count / seconds / 1e6, "million points/s")
        share = count * size / seconds / bandwidth
        sheet.note(f"hash grid, {backend}, {name}: of the bandwidth", 100 * share, "%")
