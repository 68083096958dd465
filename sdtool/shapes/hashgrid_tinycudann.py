"""The hash grid on CUDA by NVIDIA's tiny-cuda-nn, with a table that belongs to the caller.

Written after the source of its torch bindings. On the one GPU where it was tried (docs/gpu.md) it made
an encoding and crashed in its first pass, without anything of ours too: the layout of the table is checked
by its length when the encoder is made, the values are still to be compared with the reference.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import torch

from sdtool.errors import MissingDependencyError, UsageError

Encoder = Callable[[torch.Tensor, torch.nn.Parameter], torch.Tensor]


def is_installed() -> bool:
    """Whether there is a package tinycudann (it may still not fit this GPU)."""
    return find_spec("tinycudann") is not None


def _module():
    try:
        import tinycudann
    except PackageNotFoundError as error:  # there, but without its metadata
        raise _broken(error) from None
    except ModuleNotFoundError as error:
        if error.name == "tinycudann":
            raise MissingDependencyError(
                "the hash grid's backend tinycudann needs the package of that name, which stands in "
                "no index: install it from its repository (NVlabs/tiny-cuda-nn, bindings/torch, with "
                "a CUDA toolkit and setuptools < 81), or use the backend warp or torch"
            ) from None
        raise _broken(error) from None
    except (ImportError, OSError) as error:  # another torch's, or without the GPU it was built for
        raise _broken(error) from None
    return tinycudann


def _broken(error: Exception) -> UsageError:
    return UsageError(
        f"tinycudann is installed but cannot run here ({error}): build it again with this torch, or "
        "use the hash grid's backend warp, torch or numba"
    )


def encoder(
    levels: int,
    features: int,
    log2_table: int,
    base_resolution: int,
    per_level_scale: float,
    numbers: int,
) -> Encoder:
    """encode(points (P, 3) float32, table (numbers,) float32) → (P, levels · features) float32.

    It computes in float32. MissingDependencyError or UsageError if tinycudann or its device is
    absent, or if its table has another length than `numbers`.
    """
    tinycudann = _module()
    config = {
        "otype": "HashGrid",
        "n_levels": levels,
        "n_features_per_level": features,
        "log2_hashmap_size": log2_table,
        "base_resolution": base_resolution,
        "per_level_scale": per_level_scale,
        "interpolation": "Linear",
    }
    encoding = tinycudann.Encoding(3, config, dtype=torch.float32)
    if encoding.params.numel() != numbers:
        raise UsageError(
            f"this tinycudann lays out its hash grid in another way ({encoding.params.numel()} "
            f"numbers, not {numbers}); use the backend torch"
        )

    def encode(points: torch.Tensor, table: torch.nn.Parameter) -> torch.Tensor:
        encoding.params = table  # the caller's own, so that gradients and optimisers see one table
        return encoding(points)

    return encode
