"""NVIDIA Warp: kernels in Python that run on CUDA devices, and the very same ones on the CPU.

The one file that imports it. Kernels are written in functions that take Warp's module from `warp`, once.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from sdtool.errors import MissingDependencyError, SdtoolError, UsageError

WARNINGS = 30  # Warp's level that says only what is wrong, and that on stderr
NO_DRIVER = b"Warp CUDA warning: Could not find or load the NVIDIA CUDA driver"


def is_installed() -> bool:
    """Whether there is a package warp (it may still not fit this machine)."""
    return find_spec("warp") is not None


@cache
def warp() -> Any:
    """Warp's module, silent and ready. MissingDependencyError if it is absent, SdtoolError if broken."""
    try:
        import warp as wp
    except ModuleNotFoundError as error:
        if error.name == "warp":
            raise MissingDependencyError(
                "the backend warp needs NVIDIA Warp: pip install 'sdtool[cuda]'"
            ) from None
        raise _broken(error) from None
    except (ImportError, OSError) as error:
        raise _broken(error) from None
    wp.config.quiet, wp.config.log_level = True, WARNINGS  # as older and as newer versions call it
    if wp.config.kernel_cache_dir is None and "WARP_CACHE_PATH" not in os.environ:
        wp.config.kernel_cache_dir = str(_cache_folder())
    try:
        with _without(NO_DRIVER):
            wp.init()
    except (RuntimeError, OSError) as error:
        raise _broken(error) from None
    return wp


@contextmanager
def _without(unwanted: bytes) -> Iterator[None]:
    """Withhold lines of stderr that begin so; Warp's library writes them there past Python.

    Without a driver Warp works on the CPU, and whoever names a GPU is told so in an error of ours.
    """
    try:
        sys.stderr.flush()
        own = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no stderr: nothing to withhold
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(own, 2)
            os.close(own)
            said.seek(0)
            for line in said:
                if not line.startswith(unwanted):
                    os.write(2, line)


def _broken(error: Exception) -> SdtoolError:
    return SdtoolError(
        f"NVIDIA Warp is installed but cannot be loaded ({error}); install it again: "
        "pip install --force-reinstall --no-deps warp-lang"
    )


@cache
def _temporary() -> tempfile.TemporaryDirectory:
    """A folder for the life of this process."""
    return tempfile.TemporaryDirectory(prefix="sdtool-warp-")


def _cache_folder() -> Path:
    """Where compiled kernels are kept: Warp's own place, or for this process if one cannot write there."""
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(root, "warp")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # read-only, or no home at all
        return Path(_temporary().name)


@cache
def runs_on(device: torch.device) -> bool:
    """Whether Warp is installed and can use torch's `device`."""
    if not is_installed():
        return False
    try:
        warp().device_from_torch(str(device))
    except (SdtoolError, RuntimeError, ValueError):
        return False
    return True


def check(device: torch.device) -> None:
    """MissingDependencyError or UsageError if Warp is absent or cannot use torch's `device`."""
    _place(device)


def _place(device: torch.device) -> Any:
    try:
        return warp().device_from_torch(str(device))
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"Warp cannot work on {device} ({error})", "--device") from None


def launch(kernel: Any, threads: Sequence[int], arguments: Sequence[Any]) -> None:
    """Run a kernel with so many threads on the device of its tensors, in the order of torch's work there.

    arguments: contiguous tensors, which are not copied, and numbers. The first one is a tensor.
    """
    wp, device = warp(), arguments[0].device
    place = _place(device)
    given = [wp.from_torch(a.detach()) if isinstance(a, torch.Tensor) else a for a in arguments]
    stream = wp.stream_from_torch(device) if place.is_cuda else None
    wp.launch(kernel, dim=tuple(threads), inputs=given, device=place, stream=stream)
