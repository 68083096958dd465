"""What the tests of hash grids share: numbers by seed, and Warp where it is installed."""

import pytest
import torch

from sdtool.runtime import warp_module

NEEDS_WARP = pytest.mark.skipif(not warp_module.is_installed(), reason="warp is not installed")
WARP = pytest.param("warp", marks=NEEDS_WARP)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def entries(levels):
    return levels[-1].offset + levels[-1].size
