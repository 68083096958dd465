"""The march along rays: what backends keep on a device, beside torch on the CPU, and how fast."""

from collections.abc import Callable

import numpy as np
import torch

from sdtool.bench.clocks import timed
from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.setup import Setup
from sdtool.geometry.cameras import orbit, pixel_rays
from sdtool.rendering.marching import march_visible
from sdtool.rendering.occupancy import OccupancyGrid
from sdtool.rendering.rays import course, march
from sdtool.rendering.steps import Steps
from sdtool.runtime import warp_module

HALF, RADIUS, SEED = 0.6, 0.35, 3
FLOAT = 4  # bytes

# The largest share of rays with another number of samples, and difference in depth, in world units. Densities
# are rounded otherwise on a GPU: a sample may just be hidden there and just be seen here.
RAYS, DEPTH = 1e-3, 1e-5


def compare(setup: Setup, sheet: Sheet) -> None:
    """What is kept of a ball's rays."""
    place, side, samples = torch.device(setup.device), *((32, 64) if setup.small else (256, 512))
    expected = _marched("torch", torch.device("cpu"), side, samples)()
    for backend in backends(place):
        found = Steps(*(part.cpu() for part in _marched(backend, place, side, samples)()))
        ours, right = (torch.bincount(s.ray.long(), minlength=side**2) for s in (found, expected))
        same = ours == right
        sheet.at_most(
            f"march, {backend}: rays of other samples", 1 - float(same.double().mean()), RAYS
        )
        depth, wanted = (s.depth[same[s.ray.long()]] for s in (found, expected))
        far = float((depth - wanted).abs().max()) if len(depth) else float("nan")
        sheet.at_most(f"march, {backend}: largest difference in depth", far, DEPTH)


def backends(place: torch.device) -> list[str]:
    """Those that can work on a device."""
    return ["torch", *(["warp"] if warp_module.runs_on(place) else [])]


def measure(setup: Setup, sheet: Sheet, device: torch.device, bandwidth: float) -> None:
    """Steps a second, and what is kept and read as a share of the bandwidth, in bytes a second.

    Beside the backends of the march that keeps what is seen: the one that lists all that is occupied.
    """
    side, samples = (32, 64) if setup.small else (512, 512)
    eyes, towards, grid = _scene(device, side)
    looked = int(course(eyes, towards, HALF, samples).steps.sum())
    sheet.note("march: steps of all rays", looked)
    generator = torch.Generator().manual_seed(0)
    runs: dict[str, tuple[Callable[[], tuple], int]] = {
        backend: (_marched(backend, device, side, samples), 3 * FLOAT)
        for backend in backends(device)
    }
    runs["torch, all that is occupied"] = (
        lambda: march(eyes, towards, HALF, samples, grid.occupied, generator),
        8 + 5 * FLOAT,
    )
    for name, (run, size) in runs.items():
        kept = len(run()[0])
        seconds, _ = timed(run, 1 if setup.small else 5, device)
        sheet.note(f"march, {name}: steps looked at", looked / seconds / 1e6, "million/s")
        sheet.note(f"march, {name}: share that is kept", 100 * kept / looked, "%")
        moved = kept * size + len(eyes) * 6 * FLOAT  # a ray: eye and direction
        sheet.note(f"march, {name}: of the bandwidth", 100 * moved / seconds / bandwidth, "%")


def _density(points: torch.Tensor) -> torch.Tensor:
    """Steep and dense within a ball."""
    return 8 * torch.nn.functional.softplus((60 * (RADIUS - points.norm(dim=-1))).clamp(-9, 9))


def _scene(device: torch.device, side: int) -> tuple[torch.Tensor, torch.Tensor, OccupancyGrid]:
    """Origins and directions (side², 3) of one view of the ball, and what is known to be empty."""
    grid = OccupancyGrid(half_extent=HALF)
    for look in range(4):
        grid.update(_density, look)
    grid = grid.to(device)
    c2w = orbit(np.array([0.5]), np.array([0.3]), np.asarray(1.8))
    rays = pixel_rays(c2w, float(np.radians(45)), side)
    eyes, towards = (torch.as_tensor(part).to(device).reshape(-1, 3) for part in rays)
    return eyes.expand_as(towards).contiguous(), towards, grid


def _marched(backend: str, device: torch.device, side: int, samples: int) -> Callable[[], Steps]:
    """A march that can be repeated."""
    eyes, towards, grid = _scene(device, side)
    return lambda: march_visible(
        eyes, towards, HALF, samples, grid, SEED, _density, backend=backend
    )
