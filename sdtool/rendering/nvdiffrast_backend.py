"""NVIDIA's nvdiffrast: what is visible, found on a CUDA device.

Only visibility comes from it. Barycentrics, interpolation and silhouettes are this project's own, in
torch, so that values and gradients are the same on every device.
"""

from functools import lru_cache
from importlib.util import find_spec

import torch

from sdtool.errors import MissingDependencyError, UsageError


def is_installed() -> bool:
    """Whether there is a package nvdiffrast (it may still not fit this GPU)."""
    return find_spec("nvdiffrast") is not None


@lru_cache(maxsize=8)
def _context(device: str):
    """nvdiffrast's module and a context on a device, kept for later calls."""
    try:
        import nvdiffrast.torch as dr
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
    try:
        return dr, dr.RasterizeCudaContext(device=device)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UsageError(f"--device {device} cannot run nvdiffrast ({error})", "--device") from None


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
    dr, context = _context(str(pos.device))
    rast, _ = dr.rasterize(context, pos.contiguous(), faces.contiguous(), size, grad_db=False)
    return rast


def rasterize_ranges(
    pos: torch.Tensor, faces: torch.Tensor, ranges: torch.Tensor, side: int
) -> torch.Tensor:
    """(N, side, side, 4): image n shows the `ranges[n, 1]` faces from `ranges[n, 0]` on.

    pos: (V, 4) float32. faces: (F, 3) int32. ranges: (N, 2) int32 on the CPU.
    """
    dr, context = _context(str(pos.device))
    rast, _ = dr.rasterize(context, pos, faces, (side, side), ranges=ranges, grad_db=False)
    return rast
