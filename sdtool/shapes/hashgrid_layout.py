"""Where a hash grid's levels lie in its table, and which entry a corner has: tiny-cuda-nn's layout.

A table of one backend is therefore the table of any other, with no conversion.
"""

import math
from dataclasses import dataclass

import numpy as np

PRIMES = (1, 2654435761, 805459861)
"""Factors of x, y, z in the hash (x·1 ⊕ y·2654435761 ⊕ z·805459861) mod 2³² (section 3, eq. 4)."""


@dataclass(frozen=True)
class Level:
    """One level of a grid. A point p in [0, 1]³ lies at p · scale + ½ in units of its cells.

    resolution: corners a side. size: entries. offset: entries of all levels before. hashed: the
    corners are more than the entries and share them by the hash, else each has its own entry:
    number x + resolution · y + resolution² · z, which wraps round at `size` (½ cell beyond 1).
    """

    scale: float
    resolution: int
    size: int
    offset: int
    hashed: bool


def layout(
    levels: int, log2_table: int, base_resolution: int, per_level_scale: float
) -> tuple[Level, ...]:
    """The levels of a grid: level l has about base_resolution · per_level_scale^l corners a side.

    A level takes min(⌈resolution³⌉₈, 2^log2_table) entries, ⌈·⌉₈ being the next multiple of 8. The
    scale is rounded to float32 after each operation, as there: otherwise some resolutions would be
    off by one. (NumPy's own log2 and exp2 of float32 are not the same on every machine.)
    """
    found: list[Level] = []
    growth = np.float32(math.log2(np.float32(per_level_scale)))
    offset = 0
    for number in range(levels):
        power = np.float32(2.0 ** float(np.float32(number) * growth))
        scale = power * np.float32(base_resolution) - np.float32(1)
        resolution = int(np.ceil(scale)) + 1
        size = min(-(-(resolution**3) // 8) * 8, 2**log2_table)
        found.append(Level(float(scale), resolution, size, offset, resolution**3 > size))
        offset += size
    return tuple(found)
