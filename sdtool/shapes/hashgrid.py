"""Multiresolution hash encoding (Müller et al. 2022, Instant-NGP, section 3), by one of four backends.

    torch       plain, on any device: the reference
    numba       the CPU, several times as fast
    warp        CUDA, with NVIDIA's Warp, which pip installs; the same kernels on the CPU
    tinycudann  CUDA, with NVIDIA's tiny-cuda-nn, which is taken only if SDTOOL_HASH_GRID names it

All hold the same flat table, so that what one has saved another loads.
"""

import math
import os

import torch
from torch import nn

from sdtool.errors import UsageError
from sdtool.runtime import warp_module
from sdtool.shapes import hashgrid_numba, hashgrid_reference, hashgrid_tinycudann, hashgrid_warp
from sdtool.shapes.hashgrid_layout import layout

BACKENDS = ("torch", "numba", "warp", "tinycudann")
ELSEWHERE = ("torch", "warp", "tinycudann")  # those that can work on an accelerator
FINEST = 2**18  # corners a side: beyond, float32 hardly tells where in a cell a point lies


def backend_for(device: torch.device) -> str:
    """The backend for tensors on `device`, the fastest that was seen to be right; the caller says which.

    On an accelerator the environment variable SDTOOL_HASH_GRID chooses another one: results do not depend on
    it, machines do. UsageError if it names none.
    """
    if device.type == "cpu":
        return "numba"
    chosen = os.environ.get("SDTOOL_HASH_GRID", "")
    if chosen and chosen not in ELSEWHERE:
        raise UsageError(
            f"SDTOOL_HASH_GRID={chosen} is none of the hash grid's backends for {device.type}: "
            + ", ".join(ELSEWHERE),
            "SDTOOL_HASH_GRID",
        )
    return chosen or ("warp" if warp_module.runs_on(device) else "torch")


class HashGrid(nn.Module):
    """Points (P, 3) in [0, 1]³ → values (P, channels), channels = levels · features, level by level.

    levels: from coarse to fine. features: values a level gives, 1, 2, 4 or 8. log2_table: the
    most entries of a level are 2^log2_table. base_resolution: corners a side of the coarsest
    level; each next one has about `per_level_scale` times as many.
    table: (entries · features,) parameter, entry by entry and level by level, uniform in ±1e-4.

    Differentiable in points and table, twice with numba and warp (a loss on normals trains the table),
    any number of times with torch, with tinycudann as far as it goes itself (twice, but not from the
    table's gradient). Points outside are moved to the cube's surface and have no gradient there.
    """

    def __init__(
        self,
        levels: int = 16,
        features: int = 2,
        log2_table: int = 19,
        base_resolution: int = 16,
        per_level_scale: float = 1.4472692,
        *,
        backend: str,
        generator: torch.Generator,
    ):
        super().__init__()
        numbers = (levels, features, log2_table, base_resolution, per_level_scale)
        _check(*numbers, backend)
        self.levels = layout(levels, log2_table, base_resolution, per_level_scale)
        self.features, self.channels, self.backend = features, levels * features, backend
        entries = self.levels[-1].offset + self.levels[-1].size
        table = torch.rand(entries * features, generator=generator, device=generator.device)
        self.table = nn.Parameter((2 * table - 1) * 1e-4)
        self._tinycudann = None
        if backend == "warp":
            warp_module.warp()  # says if it is absent
        elif backend == "tinycudann":
            self._tinycudann = hashgrid_tinycudann.encoder(*numbers, entries * features)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Values (P, channels) at points (P, 3), in their precision: float32 (or float64 on a CPU)."""
        self._check_points(points)
        points = points.clamp(0, 1)
        if self._tinycudann is not None:
            return self._tinycudann(points, self.table)
        by = {"torch": hashgrid_reference, "numba": hashgrid_numba, "warp": hashgrid_warp}
        return by[self.backend].encode(points, self._rows(), self.levels)

    def gradient(self, points: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
        """The gradient (P, 3) of Σ pull · self(points) in the points; pull: (P, channels).

        Where torch records gradients, it has one itself. With numba and warp it costs less than
        autograd's way, which computes the table's gradient beside it.
        """
        self._check_points(points)
        if self.backend in ("numba", "warp"):
            by = hashgrid_numba if self.backend == "numba" else hashgrid_warp
            inside = (points >= 0) & (points <= 1)
            return inside * by.gradient(points.clamp(0, 1), self._rows(), pull, self.levels)
        recording = torch.is_grad_enabled()
        with torch.enable_grad():
            if not (recording and points.requires_grad):
                points = points.detach().requires_grad_()
            return torch.autograd.grad(self(points), points, pull, create_graph=recording)[0]

    def _rows(self) -> torch.Tensor:
        return self.table.view(-1, self.features)

    def _check_points(self, points: torch.Tensor) -> None:
        if points.dim() != 2 or points.shape[1] != 3:
            raise ValueError(f"a hash grid takes points (P, 3), not {tuple(points.shape)}")
        table, backend = self.table, self.backend
        for tensor in (points, table):
            on_cpu = tensor.device.type == "cpu"
            if backend in ("numba", "tinycudann") and on_cpu != (backend == "numba"):
                other = backend_for(tensor.device)
                raise UsageError(
                    f"the hash grid's backend {backend} cannot work on {tensor.device}; use {other}"
                )
        real = (torch.float32,) if backend == "tinycudann" else (torch.float32, torch.float64)
        if points.dtype not in real or table.dtype != points.dtype:
            raise ValueError(
                f"a hash grid's points and table must both be float32, not {points.dtype} "
                f"and {table.dtype}"
            )


def _check(
    levels: int,
    features: int,
    log2_table: int,
    base_resolution: int,
    per_level_scale: float,
    backend: str,
) -> None:
    """UsageError for what cannot be a hash grid."""
    if backend not in BACKENDS:
        raise UsageError(f"hash grid backend {backend!r} is not one of {', '.join(BACKENDS)}")
    if not 1 <= levels <= 32:
        raise UsageError(f"a hash grid has 1 to 32 levels, not {levels}")
    if features not in (1, 2, 4, 8):
        raise UsageError(f"a hash grid has 1, 2, 4 or 8 features a level, not {features}")
    if not 3 <= log2_table <= 26:
        raise UsageError(f"a hash grid's table has 2^3 to 2^26 entries, not 2^{log2_table}")
    if base_resolution < 2:
        raise UsageError(f"a hash grid's base resolution is at least 2, not {base_resolution}")
    if not 1 <= per_level_scale <= 16:
        raise UsageError(f"a hash grid's scale per level is 1 to 16, not {per_level_scale}")
    finest = math.log2(base_resolution) + (levels - 1) * math.log2(per_level_scale)
    if finest > math.log2(FINEST):
        raise UsageError(
            f"a hash grid of {levels} levels, base resolution {base_resolution} and scale "
            f"{per_level_scale} is finer than {FINEST} a side; use fewer levels or a smaller scale"
        )
