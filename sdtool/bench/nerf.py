"""One step of NeRF lifting, forward and backward: all samples or the occupied ones, torch or numba; and the
march to what can be seen, torch or Warp."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from sdtool.geometry.cameras import ViewRange, pixel_rays, random_views
from sdtool.rendering.marching import march_visible
from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.rays import accumulate, march, weights
from sdtool.runtime import warp_module
from sdtool.shapes.hashgrid import HashGrid
from sdtool.shapes.nerf import RadianceField

HALF, SIZE, SAMPLES, POINTS, ROUNDS = 0.6, 64, 64, 65_536, 5
MARCHED = 512
"""Steps in the cube's diagonal of the march, as in the preset paper."""


def nerf(
    folder: Path,
    size: int = SIZE,
    samples: int = SAMPLES,
    points: int = POINTS,
    rounds: int = ROUNDS,
) -> Table:
    """A view of a new field, and the field alone; the least of several times counts."""
    fields = {name: _field(name) for name in ("torch", "numba")}
    grid = OccupancyGrid(half_extent=HALF)
    grid.update(fields["numba"].density, torch.Generator().manual_seed(1))
    rays = _rays(size)
    somewhere = (torch.rand(points, 3, generator=torch.Generator().manual_seed(2)) * 2 - 1) * HALF
    steps = {}
    for name, field in fields.items():
        steps[f"the field at random points, {name}"] = lambda f=field: _queries(f, somewhere)
    for name, field in fields.items():
        steps[f"a view, all samples, {name}"] = lambda f=field: _view(f, rays, samples, None)
    for name, field in fields.items():
        steps[f"a view, occupied samples, {name}"] = lambda f=field: _view(
            f, rays, samples, grid.occupied
        )
    density = fields["numba"].density
    for name in ("torch", "warp") if warp_module.is_installed() else ("torch",):
        steps[f"a march of {MARCHED} steps to what is seen, {name}"] = lambda by=name: len(
            march_visible(*rays, HALF, MARCHED, grid, 4, density, backend=by).ray
        )
    best: dict[str, float] = {}
    counts: dict[str, int] = {}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            began = time.process_time()
            counts[name] = step()
            spent = time.process_time() - began
            if turn:  # the first compiles
                best[name] = min(spent, best.get(name, spent))
    title = (
        f"NeRF: a view of {size}×{size} with up to {samples} samples a ray, table 2^14, "
        f"{grid.fraction:.0%} of the cells occupied; CPU time, forward + backward"
    )
    table = Table("work", title=title, title_justify="left")
    for heading in ("points", "ms", "against torch", "against all samples"):
        table.add_column(heading, justify="right")
    for name, spent in best.items():
        slow = best[re.sub("numba|warp", "torch", name)]
        dense = best.get(name.replace("occupied", "all"), spent)
        ratios = f"{slow / spent:.1f}×", f"{dense / spent:.1f}×" if dense != spent else "–"
        table.add_row(name, f"{counts[name]:,}", f"{1000 * spent:.0f}", *ratios)
    return table


def _field(backend: str) -> RadianceField:
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(log2_table=14, backend=backend, generator=generator)
    return RadianceField(grid, HALF, generator=generator)


def _rays(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Origins and directions (size², 3) of one view."""
    c2w = random_views(np.random.default_rng(0), 1, ViewRange())
    origins, directions = (torch.from_numpy(a) for a in pixel_rays(c2w, np.radians(45.0), size))
    directions = directions.reshape(-1, 3)
    return origins.expand_as(directions), directions


def _queries(field: RadianceField, points: torch.Tensor) -> int:
    """Density and albedo, and the parameters' gradients; returns the number of points."""
    field.zero_grad()
    density, albedo = field(points)
    (density.mean() + albedo.mean()).backward()
    return len(points)


def _view(
    field: RadianceField,
    rays: tuple[torch.Tensor, torch.Tensor],
    samples: int,
    occupied: Callable[[torch.Tensor], torch.Tensor] | None,
) -> int:
    """An image and the parameters' gradients; returns the number of samples."""
    field.zero_grad()
    generator = torch.Generator().manual_seed(3)
    chosen = march(*rays, HALF, samples, occupied, generator)
    density, albedo = field(chosen.points)
    weight = weights(density, chosen, len(rays[0]))
    accumulate(weight, albedo, chosen.ray, len(rays[0])).square().mean().backward()
    return len(chosen.ray)
