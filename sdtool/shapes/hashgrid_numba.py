"""The hash grid on the CPU by numba: values, gradients in table and points, and the gradients of those.

Threads divide the work so that no two of them write to one number: the table's gradient by levels,
the rest by points. Each sum is therefore always taken in the same order, and the bits depend
neither on the run nor on the number of threads (torch's: `torch.get_num_threads()`).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sdtool.shapes import hashgrid_autograd
from sdtool.shapes import hashgrid_kernels as kernels
from sdtool.shapes.hashgrid_layout import Level

WORTH_A_THREAD = 2048  # points

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


OPERATIONS = hashgrid_autograd.Operations(_gather, _scatter, _slope)


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
