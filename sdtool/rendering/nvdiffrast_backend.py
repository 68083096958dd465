"""NVIDIA's nvdiffrast: what is visible, found on a CUDA device.

Only visibility comes from it. Barycentrics, interpolation and silhouettes are this project's own, in
torch, so that values and gradients are the same on every device.

For each of its images it allocates as if it showed the most triangles that its context has ever seen,
multiplies in 32 bits, and keeps that until the context goes (CudaRaster's RasterImpl::drawTriangles,
nvdiffrast 253ac4f). So images are drawn in as many calls as `BUDGET` asks for, and a context that has
seen a large object is replaced as soon as its size would cost a call of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from typing import Any

import torch

from sdtool.errors import MissingDependencyError, ObjectError, SdtoolError, UsageError

BUDGET = 2_000_000_000
"""Bytes that a context may hold; below 2^31 − 1, up to which nvdiffrast counts right."""

MOST_TRIANGLES = (1 << 24) - 4096
"""More in one image nvdiffrast refuses (CR_MAXSUBTRIS_SIZE, less what it adds)."""


def is_installed() -> bool:
    """Whether there is a package nvdiffrast (it may still not fit this GPU)."""
    return find_spec("nvdiffrast") is not None


@cache
def can_be_loaded() -> bool:
    """Whether there is a package nvdiffrast and this Python can import it."""
    try:
        _module()
    except SdtoolError:
        return False
    return True


def allocated(images: int, triangles: int, size: tuple[int, int]) -> int:
    """Bytes of a context after a call with so many images (H, W), `triangles` in the largest ever seen.

    33 bytes a triangle (subtriangle counts, headers, data), segments of its bins of 128² pixels and
    tiles of 8², each with a reserve, and what does not depend on triangles. Python's integers do not
    overflow.
    """
    tiles = -(-size[0] // 8) * -(-size[1] // 8)
    bins = -(-size[0] // 128) * -(-size[1] // 128)
    setup = 33 * (triangles + 4096)
    bin_segments = (max(16 * bins, triangles // 512 + 1) + 256) * (512 * 4 + 8)
    tile_segments = (max(tiles, triangles // 32 + 1) + 4096) * (32 * 4 + 8)
    fixed = 2 * 4 * (16 * 256 + 65536) + 2 * 4 * 64 * tiles
    return images * (setup + bin_segments + tile_segments + fixed)


def calls(counts: list[int], size: tuple[int, int]) -> list[slice]:
    """Images (H, W) with so many triangles each → those of one call each, in order, within `BUDGET`."""
    found, first, largest = [], 0, 0
    for k, count in enumerate(counts):
        if k > first and allocated(k + 1 - first, max(largest, count), size) > BUDGET:
            found.append(slice(first, k))
            first, largest = k, 0
        largest = max(largest, count)
    return [*found, slice(first, len(counts))] if counts else []


@dataclass
class _Context:
    """nvdiffrast's module and a context of it; largest: triangles in the largest image it has seen."""

    dr: Any
    raster: Any
    largest: int = 0


_CONTEXTS: dict[str, _Context] = {}


def _context(device: str, images: int = 0, triangles: int = 0, size=(0, 0)) -> _Context:
    """The context of a device, for a call of so many images (H, W) with up to so many triangles."""
    held = _CONTEXTS.get(device)
    if held and allocated(images, max(held.largest, triangles), size) > BUDGET:
        del held, _CONTEXTS[device]  # its memory goes before the next one takes any
        held = None
    if held is None:
        held = _CONTEXTS[device] = _new_context(device)
    held.largest = max(held.largest, triangles)
    return held


def _new_context(device: str) -> _Context:
    dr = _module()
    try:
        return _Context(dr, dr.RasterizeCudaContext(device=device))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UsageError(f"--device {device} cannot run nvdiffrast ({error})", "--device") from None


def _module() -> Any:
    """nvdiffrast.torch. MissingDependencyError if it is absent, UsageError if it is there but broken."""
    try:
        import nvdiffrast.torch as dr
    except PackageNotFoundError as error:  # there, but without its metadata
        raise _broken(error) from None
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "nvdiffrast":
            raise MissingDependencyError(
                "--backend nvdiffrast needs the package nvdiffrast, which stands in no index: install "
                "it from its repository (NVlabs/nvdiffrast, with a CUDA toolkit), or use "
                "--backend numba or warp"
            ) from None
        raise _broken(error) from None
    except (ImportError, OSError) as error:  # built for another torch
        raise _broken(error) from None
    return dr


def _broken(error: Exception) -> UsageError:
    return UsageError(
        f"nvdiffrast is installed but cannot be loaded ({error}): build it again with this torch, or "
        "use --backend numba or warp",
        "--backend",
    )


def check(device: str) -> None:
    """MissingDependencyError or UsageError if nvdiffrast or the device is absent."""
    _context(device)


def rasterize(pos: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W, 4) float32 (u, v, z/w, face id + 1) of N views; pos: (N, V, 4), faces: (F, 3) int32."""
    pos, faces = pos.contiguous(), faces.contiguous()

    def draw(held: _Context, part: slice) -> torch.Tensor:
        return held.dr.rasterize(held.raster, pos[part], faces, size, grad_db=False)[0]

    return _drawn(pos, [len(faces)] * len(pos), size, draw)


def rasterize_ranges(
    pos: torch.Tensor, faces: torch.Tensor, ranges: torch.Tensor, side: int
) -> torch.Tensor:
    """(N, side, side, 4): image n shows the `ranges[n, 1]` faces from `ranges[n, 0]` on.

    pos: (V, 4) float32. faces: (F, 3) int32. ranges: (N, 2) int32 on the CPU.
    """
    size = (side, side)

    def draw(held: _Context, part: slice) -> torch.Tensor:
        shown = ranges[part].contiguous()
        return held.dr.rasterize(held.raster, pos, faces, size, ranges=shown, grad_db=False)[0]

    return _drawn(pos, ranges[:, 1].tolist(), size, draw)


def _drawn(
    pos: torch.Tensor,
    counts: list[int],
    size: tuple[int, int],
    draw: Callable[[_Context, slice], torch.Tensor],
) -> torch.Tensor:
    """The images with so many triangles each, in as many calls as it takes."""
    if max(counts, default=0) > MOST_TRIANGLES:
        raise ObjectError(
            "too-large",
            f"{max(counts)} triangles; nvdiffrast draws at most {MOST_TRIANGLES} in an image; "
            "--backend numba has no such bound",
        )
    images, device = [], str(pos.device)
    for part in calls(counts, size):
        numbers = counts[part]
        images.append(draw(_context(device, len(numbers), max(numbers), size), part))
    return torch.cat(images) if images else pos.new_zeros(0, *size, 4)
