"""NVIDIA's Warp: what is visible and where silhouettes lie, on CUDA devices and on the CPU.

With the interface of `sdtool.rendering.nvdiffrast_backend`. Values are those of the CPU's own rasteriser;
where two faces are less than 2^−30 apart in z/w, the first one is seen, in place of the nearer.
"""

from functools import lru_cache

import torch

from sdtool.rendering.silhouettes import neighbours
from sdtool.rendering.warp_kernels import NOTHING, kernels
from sdtool.runtime import warp_module

THREADS = 1 << 16  # that take turns over the rows of large faces
MOST = 2**31 - 1  # threads of one launch, and pairs of pixels


def check(device: str) -> None:
    """MissingDependencyError or UsageError if Warp or the device is absent."""
    warp_module.check(torch.device(device))


def rasterize(pos: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W, 4) float32 (u, v, z/w, face id + 1) of N views; pos: (N, V, 4), faces: (F, 3) int32."""
    views, vertices = pos.shape[:2]
    step = max(1, min(views, MOST // max(1, len(faces))))
    parts = []
    for first in range(0, views, step):
        part = pos[first : first + step]
        counts, base = [len(faces)] * len(part), [k * vertices for k in range(len(part))]
        parts.append(_rasterize(part.reshape(-1, 4), faces, [0] * len(part), counts, base, size))
    return torch.cat(parts) if parts else pos.new_zeros(0, *size, 4, dtype=torch.float32)


def rasterize_ranges(
    pos: torch.Tensor, faces: torch.Tensor, ranges: torch.Tensor, side: int
) -> torch.Tensor:
    """(N, side, side, 4): image n shows the `ranges[n, 1]` faces from `ranges[n, 0]` on.

    pos: (V, 4) float32. faces: (F, 3) int32. ranges: (N, 2) int32 on the CPU.
    """
    start, counts = ranges[:, 0].tolist(), ranges[:, 1].tolist()
    return _rasterize(pos, faces, start, counts, [0] * len(counts), (side, side))


def _rasterize(
    pos: torch.Tensor,
    faces: torch.Tensor,
    start: list[int],
    counts: list[int],
    base: list[int],
    size: tuple[int, int],
) -> torch.Tensor:
    """Image n shows `counts[n]` faces from `start[n]` on, of the vertices from `base[n]` on."""
    device, images, total = pos.device, len(counts), sum(counts)
    rast = torch.zeros(images, *size, 4, dtype=torch.float32, device=device)
    if total == 0 or rast.numel() == 0:
        return rast
    if total > MOST:
        raise RuntimeError(f"{total} faces in one batch of images are more than {MOST}")
    pos, faces = pos.detach().double().contiguous(), faces.to(torch.int32).contiguous()
    first = torch.tensor([0, *counts]).cumsum(0)
    table = torch.cat([first, torch.tensor(start), torch.tensor(base)]).to(torch.int32)
    table = table.to(device, non_blocking=True)
    begins, starts, bases = table.split([images + 1, images, images])
    nearest = torch.full((images, *size), NOTHING, dtype=torch.int64, device=device)
    queue = torch.empty(total, 2, dtype=torch.int32, device=device)
    count = torch.zeros(1, dtype=torch.int32, device=device)
    own = kernels()
    given = [pos, faces, begins, starts, bases, queue, count, nearest]
    warp_module.launch(own.cover_small, (total,), given)
    given = [pos, faces, bases, queue, count, THREADS, nearest]
    warp_module.launch(own.cover_large, (THREADS,), given)
    warp_module.launch(own.resolve, nearest.shape, [pos, faces, bases, nearest, rast])
    return rast


@lru_cache(maxsize=16)
def _size(width: int, height: int, device: torch.device) -> torch.Tensor:
    return torch.tensor([width, height], dtype=torch.float64, device=device)


def silhouette_pairs(
    pos: torch.Tensor, faces: torch.Tensor, rast: torch.Tensor, max_steps: int
) -> tuple[torch.Tensor, ...]:
    """As `sdtool.rendering.silhouettes.silhouette_pairs`, in the order of the CPU's kernel."""
    views, height, width, _ = rast.shape
    device, pairs = pos.device, 2 * views * height * width
    if pairs > MOST:
        raise RuntimeError(f"{views} images of {height}×{width} have more than {MOST} pairs")
    if pairs == 0 or len(faces) == 0:
        return tuple(torch.empty(6, 0, dtype=torch.int64, device=device))
    across = neighbours(faces, pos.shape[1]).to(torch.int32)
    pos, faces = pos.detach().double().contiguous(), faces.to(torch.int32).contiguous()
    points = pos.new_empty(views, pos.shape[1], 3)
    own = kernels()
    warp_module.launch(own.screen, pos.shape[:2], [pos, _size(width, height, device), points])
    found = torch.empty(pairs, 3, dtype=torch.int32, device=device)
    given = [points, faces, across, rast.detach().float().contiguous(), max_steps, found]
    warp_module.launch(own.silhouettes, (views, height, width, 2), given)
    place = torch.nonzero(found[:, 0] >= 0)[:, 0]
    first, second, is_first = found[place].long().unbind(1)
    axis, one = place % 2, place // 2 % (height * width)
    two = one + torch.where(axis == 1, width, 1)
    near, far = torch.where(is_first == 1, one, two), torch.where(is_first == 1, two, one)
    return place // (2 * height * width), near, far, first, second, axis
