"""What the hash grid's backends compute on a device, beside numba on the CPU."""

from functools import cache

import torch

from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.setup import Setup
from sdtool.runtime import warp_module
from sdtool.runtime.apart import apart
from sdtool.shapes import hashgrid, hashgrid_tinycudann
from sdtool.shapes.hashgrid import HashGrid

# Coarsest and finest corners a side, and the largest difference of values, of gradients and of second
# ones. A backend that rounds a point's place in another order puts some into the next cell, where
# gradients are others: in place of float32, float64 changes those of fields by up to 1.5% and 3.6%.
GRIDS: dict[str, tuple[int, int, float, float, float]] = {
    "of fields": (16, 4096, 5e-4, 0.05, 0.1),
    "of surfaces": (8, 256, 5e-5, 1e-3, 1e-3),
}
PATIENCE = 30.0  # seconds, within which tinycudann must give something
PARTS = ("values", "gradient in the points", "gradient in the table")
SECOND = ("second, in the points", "second, in the table", "second, in what pulls")


def compare(setup: Setup, sheet: Sheet) -> None:
    """Values, first and second derivatives of each backend."""
    place = torch.device(setup.device)
    found = backends(place)
    sheet.note("backends", ", ".join(found))
    sheet.note("taken by auto", hashgrid.backend_for(place))
    if place.type != "cpu" and hashgrid_tinycudann.is_installed():
        complaint = against_tinycudann(str(place))
        sheet.holds("tinycudann gives a value and its derivatives", not complaint)
        if complaint:
            sheet.note("tinycudann", complaint)
    points = 3000 if setup.small else 100_000
    expected = {
        kind: derivatives("numba", torch.device("cpu"), points, _options(kind, setup.small))
        for kind in GRIDS
    }
    for backend in found:
        for kind, (_, _, *bounds) in GRIDS.items():
            mine = derivatives(backend, place, points, _options(kind, setup.small))
            for name, value in mine.items():
                bound = bounds[0 if name == "values" else 2 if name in SECOND else 1]
                differ = float((value - expected[kind][name]).norm() / expected[kind][name].norm())
                sheet.at_most(f"{kind}, {backend}: {name}", differ, bound)


def _options(kind: str, small: bool) -> dict[str, int | float]:
    """Arguments of a grid of `GRIDS`."""
    coarse, fine, *_ = GRIDS[kind]
    scale = (fine / coarse) ** (1 / 15)
    table = 14 if small else 19
    return {
        "levels": 16,
        "log2_table": table,
        "base_resolution": coarse,
        "per_level_scale": scale,
    }


def backends(place: torch.device) -> list[str]:
    """Those beside numba that can work on a device."""
    found = ["torch"]
    if warp_module.runs_on(place):
        found.append("warp")
    if place.type != "cpu" and hashgrid_tinycudann.is_installed():
        if not against_tinycudann(str(place)):
            found.append("tinycudann")
    return found


@cache
def against_tinycudann(device: str) -> str:
    """Why it cannot work there, in one line, or "". Tried in a process of its own, for it may crash."""
    try:
        apart(tried, "tinycudann", device, seconds=PATIENCE)
    except Exception as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return ""


def tried(backend: str, device: str) -> None:
    """Values and derivatives of a small grid; raises if there are none."""
    derivatives(backend, torch.device(device), 8, _options("of surfaces", True))


def derivatives(
    backend: str, place: torch.device, count: int, options: dict[str, int | float]
) -> dict[str, torch.Tensor]:
    """Name → values and derivatives at `count` random points, on the CPU; alike for every backend."""
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(**options, backend=backend, generator=generator)  # type: ignore[arg-type]
    with torch.no_grad():
        grid.table.mul_(1e4)  # to ±1
    grid = grid.to(place)
    points = torch.rand(count, 3, generator=generator).to(place).requires_grad_()
    pull = torch.randn(count, grid.channels, generator=generator).to(place).requires_grad_()
    values = grid(points)
    slope, of_table = torch.autograd.grad(values, (points, grid.table), pull, create_graph=True)
    second = torch.autograd.grad(slope.square().sum(), (points, grid.table, pull))
    found = zip((*PARTS, *SECOND), (values, slope, of_table, *second), strict=True)
    return {name: value.detach().cpu() for name, value in found}
