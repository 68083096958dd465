"""The hash grid by NVIDIA Warp, on CUDA and on the CPU: what the numba backend computes, a thread a point.

On a GPU the table's gradient is summed by atomic additions, in an order that differs from run to run, and
so do its last bits. Everything else, and everything on the CPU, has the same bits in every run.
"""

from functools import lru_cache

import torch

from sdtool.runtime import warp_module
from sdtool.shapes import hashgrid_autograd
from sdtool.shapes.hashgrid_layout import Level
from sdtool.shapes.hashgrid_warp_kernels import kernels

Levels = tuple[Level, ...]


def encode(points: torch.Tensor, rows: torch.Tensor, levels: Levels) -> torch.Tensor:
    """As `sdtool.shapes.hashgrid_autograd.encode`."""
    return hashgrid_autograd.encode(points, rows, levels, OPERATIONS)


def gradient(
    points: torch.Tensor, rows: torch.Tensor, pull: torch.Tensor, levels: Levels
) -> torch.Tensor:
    """As `sdtool.shapes.hashgrid_autograd.gradient`."""
    return hashgrid_autograd.gradient(points, rows, pull, levels, OPERATIONS)


def _gather(points, along, rows, levels) -> torch.Tensor:
    """(P, levels · F) values; their derivatives along `along` (P, 3) if that is given."""
    out = points.new_empty(len(points), rows.shape[1] * len(levels))
    _launch("gather", (len(levels), len(points)), points, along, levels, rows, out)
    return out


def _scatter(points, along, grad, shape, levels) -> torch.Tensor:
    """The gradient (entries, F) of Σ grad · `_gather` in the rows."""
    out = points.new_zeros(shape)
    _launch("scatter", (len(levels), len(points)), points, along, levels, grad, out)
    return out


def _slope(points, along, rows, grad, levels) -> torch.Tensor:
    """The gradient (P, 3) of Σ grad · `_gather` in the points."""
    out = points.new_empty(points.shape)
    _launch("slope", (len(points),), points, along, levels, rows, grad, out)
    return out


OPERATIONS = hashgrid_autograd.Operations(_gather, _scatter, _slope)


def _launch(name, threads, points, along, levels, *others) -> None:
    """Run a kernel on (points, along, the levels' numbers, others); no direction is (0, 3)."""
    if len(points) == 0:
        return
    along = points.new_empty(0, 3) if along is None else along
    numbers = _numbers(levels, points.dtype, points.device)
    given = [t.contiguous() for t in (points, along, *numbers, *others)]
    warp_module.launch(getattr(kernels(points.dtype), name), threads, given)


@lru_cache(maxsize=64)
def _numbers(levels: Levels, dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Scales (L,) in the points' precision; (resolution, size, offset, hashed) (L, 4) int32."""
    rows = [[level.resolution, level.size, level.offset, level.hashed] for level in levels]
    scales = torch.tensor([level.scale for level in levels], dtype=dtype, device=device)
    return scales, torch.tensor(rows, dtype=torch.int32, device=device)
