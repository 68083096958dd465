"""What backends see on a device, beside what numba sees on the CPU."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.setup import Setup
from sdtool.bench.rendering import lumpy_sphere
from sdtool.geometry.cameras import orbit, world_to_clip
from sdtool.rendering import kernels, nvdiffrast_backend, raster, silhouettes, warp_backend
from sdtool.runtime import warp_module

STEPS = 64  # of a walk to a silhouette

Rasterize = Callable[[torch.Tensor, torch.Tensor, tuple[int, int]], torch.Tensor]


class Bounds(NamedTuple):
    """The largest share of pixels of other coverage, the largest difference in depth, of so many of the
    pixels, and the largest difference of a gradient, as a share of its length."""

    coverage: float
    depth: float
    pixels: float
    gradient: float


# nvdiffrast moves vertices to a grid of 1/16 pixel, and outlines with them: emulated so, 0.07% of the pixels
# of a soup had other coverage, and a gradient differed by 14%. numba draws in float32 here, Warp in float64.
BOUNDS = {
    "warp": Bounds(1e-5, 1e-6, 1.0, 1e-3),
    "nvdiffrast": Bounds(0.01, 1e-2, 0.99, 0.3),
    "numba": Bounds(1e-3, 1e-6, 1.0, 0.05),
}


def compare(setup: Setup, sheet: Sheet) -> None:
    """Coverage, depth, silhouettes, and the gradient of a picture."""
    place, side = torch.device(setup.device), 96 if setup.small else 512
    found = backends(place)
    sheet.note("backends", ", ".join(found) or "none")
    sheet.note("taken by auto", raster.backend_for(place))
    if warp_module.is_installed():
        sheet.holds("Warp can use this device", warp_module.runs_on(place))
    if place.type != "cpu" and nvdiffrast_backend.is_installed():
        sheet.holds("nvdiffrast can be loaded", nvdiffrast_backend.can_be_loaded())
    scenes = [(name, *given, _numba(*given, side)) for name, given in _scenes(setup.small)]
    for scene in scenes:
        _silhouettes(sheet, *scene, place)
    for backend, rasterize in found.items():
        for name, clip, faces, expected in scenes:
            seen = rasterize(clip.to(place), faces.to(place), (side, side)).cpu()
            _visibility(sheet, f"{name}, {backend}", seen, expected, BOUNDS[backend])
    _gradient(sheet, setup, place)


def backends(place: torch.device) -> dict[str, Rasterize]:
    """Name → rasterize, of the ones beside numba that can work on a device."""
    found: dict[str, Rasterize] = {}
    if warp_module.runs_on(place):
        found["warp"] = warp_backend.rasterize
    if place.type != "cpu" and nvdiffrast_backend.can_be_loaded():
        found["nvdiffrast"] = nvdiffrast_backend.rasterize
    return found


def _scenes(small: bool) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Name → clip positions (N, V, 4) float32 and faces (F, 3) int32."""
    rng = np.random.default_rng(0)
    count = 40 if small else 400
    middle = rng.uniform(-1.2, 1.2, (count, 1, 2))
    screen = middle + rng.normal(0, 0.5 if small else 0.15, (count, 3, 2))
    w, depth = rng.uniform(0.3, 3, (count, 3, 1)), rng.uniform(-1.1, 1.1, (count, 3, 1))
    soup = np.concatenate([screen * w, depth * w, w], axis=-1).reshape(1, -1, 4)
    faces = torch.arange(3 * count, dtype=torch.int32).reshape(-1, 3)
    yield f"{count} triangles", (torch.from_numpy(soup.astype(np.float32)), faces)
    for subdivisions in (3,) if small else (4, 6):
        _, clip, faces = _sphere(subdivisions)
        yield f"a surface of {len(faces):,} faces", (clip, faces)


def _sphere(subdivisions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """v_pos (V, 3), clip positions (2, V, 4) of two views, faces (F, 3): a lumpy sphere."""
    mesh = lumpy_sphere(subdivisions)
    v_pos = torch.from_numpy(mesh.v_pos * np.float32(0.45))
    return v_pos, _clip(v_pos), torch.from_numpy(mesh.t_pos_idx)


def _clip(v_pos: torch.Tensor) -> torch.Tensor:
    views = orbit(np.array([0.4, 2.0]), np.array([0.3, 0.1]), np.asarray(1.5))
    matrix = torch.from_numpy(world_to_clip(views, float(np.radians(45)))).to(v_pos)
    return torch.cat([v_pos, torch.ones_like(v_pos[:, :1])], dim=1) @ matrix.transpose(1, 2)


def _numba(clip: torch.Tensor, faces: torch.Tensor, side: int) -> torch.Tensor:
    views = [kernels.rasterize(view, faces.numpy(), side, side) for view in clip.double().numpy()]
    return torch.from_numpy(np.stack(views))


def _visibility(
    sheet: Sheet,
    name: str,
    seen: torch.Tensor,
    expected: torch.Tensor,
    bounds: Bounds,
) -> None:
    covered, right = seen[..., 3] > 0, expected[..., 3] > 0
    share = float((covered != right).float().mean())
    sheet.at_most(f"{name}: pixels of other coverage", share, bounds.coverage)
    same = (seen[..., 3] == expected[..., 3]) & right
    depth = (seen[..., 2].double() - expected[..., 2].double()).abs()[same]
    worst = float(depth.quantile(bounds.pixels)) if len(depth) else float("nan")
    of = "" if bounds.pixels == 1 else f" of {bounds.pixels:.0%} of the pixels"
    sheet.at_most(f"{name}: largest difference in depth{of}", worst, bounds.depth)
    sheet.note(f"{name}: pixels of another face", float((covered & right & ~same).float().mean()))


def _silhouettes(
    sheet: Sheet,
    name: str,
    clip: torch.Tensor,
    faces: torch.Tensor,
    rast: torch.Tensor,
    place: torch.device,
) -> None:
    """The pairs of pixels that each walk finds in the same picture."""
    across = kernels.neighbours(faces.numpy(), clip.shape[1])
    expected = set()
    for view, (one, image) in enumerate(zip(clip.numpy(), rast.numpy(), strict=True)):
        pairs = kernels.silhouette_pairs(one, faces.numpy(), across, image, STEPS)
        expected |= {(view, *pair) for pair in pairs.tolist()}
    walks = {"torch": silhouettes.silhouette_pairs}
    if warp_module.runs_on(place):
        walks["warp"] = warp_backend.silhouette_pairs
    for walk, pairs_of in walks.items():
        found = pairs_of(clip.to(place), faces.to(place), rast.to(place), STEPS)
        pairs = torch.stack(list(found), dim=1).cpu().tolist()
        differ = len(expected ^ set(map(tuple, pairs))) / max(1, len(expected))
        sheet.at_most(f"{name}, walk by {walk}: silhouettes that differ", differ, 1e-3)


def _gradient(sheet: Sheet, setup: Setup, place: torch.device) -> None:
    """A smoothed picture of a surface, as `auto` draws it, and its gradient in the clip positions."""
    v_pos, clip, faces = _sphere(3 if setup.small else 5)
    side = 96 if setup.small else 256
    generator = torch.Generator().manual_seed(0)
    pull = torch.randn(2, side, side, 3, generator=generator, dtype=torch.float64)

    def drawn(where: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        color, tri = v_pos.to(where, dtype), faces.to(where)
        leaf = clip.to(where, dtype, copy=True).requires_grad_()
        rast = raster.rasterize(leaf, tri, (side, side))
        image = raster.antialias(raster.interpolate(color, rast, tri), rast, leaf, tri)
        (slope,) = torch.autograd.grad((image * pull.to(where, dtype)).sum(), leaf)
        return image.detach().double().cpu(), slope.double().cpu()

    backend = raster.backend_for(place)
    image, slope = drawn(place, torch.float32)
    expected, right = drawn(torch.device("cpu"), torch.float64)
    name = f"a picture by {backend}, beside float64 on the CPU"
    far = float(((image - expected).abs() > 1e-3).any(-1).double().mean())
    differ = float((slope - right).norm() / right.norm())
    sheet.at_most(f"{name}: pixels of other colour", far, BOUNDS[backend].coverage)
    sheet.at_most(f"{name}: difference in gradient", differ, BOUNDS[backend].gradient)
