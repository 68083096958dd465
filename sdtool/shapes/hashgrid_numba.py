"""The hash grid on the CPU by numba: values, gradients in table and points, and the gradients of those.

Threads divide the work so that no two of them write to one number: the table's gradient by levels,
the rest by points. Each sum is therefore always taken in the same order, and the bits depend
neither on the run nor on the number of threads (torch's: `torch.get_num_threads()`).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from sdtool.shapes import hashgrid_kernels as kernels
from sdtool.shapes.hashgrid_layout import Level

WORTH_A_THREAD = 2048  # points

Levels = tuple[Level, ...]


def encode(points: torch.Tensor, rows: torch.Tensor, levels: Levels) -> torch.Tensor:
    """Trilinear values (P, levels · F) of a table `rows` (entries, F) at points (P, 3) in [0, 1].

    Differentiable twice in points and table, so that a loss on normals trains the table; a third
    derivative raises RuntimeError.
    """
    return _Encode.apply(points, rows, levels)


def gradient(
    points: torch.Tensor, rows: torch.Tensor, pull: torch.Tensor, levels: Levels
) -> torch.Tensor:
    """The gradient (P, 3) of Σ pull · encode(points, rows) in the points; pull: (P, levels · F).

    Differentiable once in all three.
    """
    return _EncodeGradient.apply(points, rows, pull, levels, (True, False))[0]


class _Encode(torch.autograd.Function):
    """E(points, rows)."""

    @staticmethod
    def forward(ctx, points, rows, levels):
        ctx.save_for_backward(points, rows)
        ctx.levels = levels
        return _gather(points, None, rows, levels)

    @staticmethod
    def backward(ctx, grad):
        points, rows = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        return *_EncodeGradient.apply(points, rows, grad, ctx.levels, wanted), None


class _EncodeGradient(torch.autograd.Function):
    """The gradients of Σ grad · E(points, rows) in the points and in the rows."""

    @staticmethod
    def forward(ctx, points, rows, grad, levels, wanted):
        ctx.save_for_backward(points, rows, grad)
        ctx.levels = levels
        ctx.set_materialize_grads(False)
        of_points = _slope(points, None, rows, grad, levels) if wanted[0] else None
        of_rows = _scatter(points, None, grad, rows.shape, levels) if wanted[1] else None
        return of_points, of_rows

    @staticmethod
    @once_differentiable
    def backward(ctx, along, change):
        """along (P, 3): a direction at each point. change: one in the table, like `rows`.

        E is linear in the rows, so a change of the table acts through E itself; the derivative
        along a direction is again linear in the rows.
        """
        points, rows, grad = ctx.saved_tensors
        levels, wanted = ctx.levels, ctx.needs_input_grad
        of_points, of_rows, of_grad = [], [], []
        if along is not None:
            if wanted[0]:
                of_points.append(_slope(points, along, rows, grad, levels))
            if wanted[1]:
                of_rows.append(_scatter(points, along, grad, rows.shape, levels))
            if wanted[2]:
                of_grad.append(_gather(points, along, rows, levels))
        if change is not None:
            if wanted[0]:
                of_points.append(_slope(points, None, change, grad, levels))
            if wanted[2]:
                of_grad.append(_gather(points, None, change, levels))
        totals = (sum(parts) if parts else None for parts in (of_points, of_rows, of_grad))
        return *totals, None, None


def _gather(points, along, rows, levels) -> torch.Tensor:
    """(P, levels · F) values; their derivatives along `along` (P, 3) if that is given."""
    features = rows.shape[1]
    out = points.new_empty(len(points), features * len(levels))
    p, u, table, values = _arrays(points, along, rows, out)

    def part(chosen: slice) -> None:
        for number, level in enumerate(levels):
            own = _rows(table, level, len(p))
            numbers = _numbers(level, p)
            kernels.gather(p[chosen], u[chosen], own, numbers, values[chosen], number * features)

    _in_threads(part, _parts(len(p)), len(p))
    return out


def _scatter(points, along, grad, shape, levels) -> torch.Tensor:
    """The gradient (entries, F) of Σ grad · `_gather` in the rows."""
    out = points.new_empty(shape)
    p, u, g, table = _arrays(points, along, grad, out)

    def one(number: int) -> None:
        level = levels[number]
        own = table[level.offset : level.offset + level.size]
        kernels.scatter(p, u, g, _numbers(level, p), own, number * shape[1])

    _in_threads(one, range(len(levels)), len(p))
    return out


def _slope(points, along, rows, grad, levels) -> torch.Tensor:
    """The gradient (P, 3) of Σ grad · `_gather` in the points."""
    features = rows.shape[1]
    out = points.new_zeros(points.shape)
    p, u, table, g, slopes = _arrays(points, along, rows, grad, out)

    def part(chosen: slice) -> None:
        for number, level in enumerate(levels):
            own = _rows(table, level, len(p))
            given = p[chosen], u[chosen], own, g[chosen], _numbers(level, p)
            kernels.slope(*given, slopes[chosen], number * features)

    _in_threads(part, _parts(len(p)), len(p))
    return out


def _rows(table: np.ndarray, level: Level, points: int) -> np.ndarray:
    """The rows of a level; if so many points will read most of them, they are in the cache."""
    own = table[level.offset : level.offset + level.size]
    if points >= level.size // 8:
        kernels.touch(own)
    return own


def _arrays(points: torch.Tensor, along: torch.Tensor | None, *others: torch.Tensor) -> list:
    """The tensors as contiguous arrays; no direction is (0, 3)."""
    along = points.new_empty(0, 3) if along is None else along
    return [t.detach().contiguous().numpy() for t in (points, along, *others)]


def _numbers(level: Level, points: np.ndarray) -> tuple:
    """What a kernel needs to know of a level, in the points' precision."""
    real = points.dtype.type
    sizes = np.uint64(level.resolution), np.uint64(level.size)
    return real(level.scale), real(0.5), *sizes, level.hashed


def _threads(points: int) -> int:
    """Torch's number of threads, or fewer for so few points that starting them costs more."""
    return max(1, min(torch.get_num_threads(), points // WORTH_A_THREAD))


def _parts(points: int) -> list[slice]:
    """The points in as many parts as there are threads."""
    step = max(1, -(-points // _threads(points)))
    return [slice(first, first + step) for first in range(0, points, step)]


def _in_threads(function: Callable, jobs: Sequence, points: int) -> None:
    """function(job) for every job, in the threads that so many points are worth."""
    threads = min(_threads(points), len(jobs))
    if threads <= 1:
        for job in jobs:
            function(job)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(function, jobs))
