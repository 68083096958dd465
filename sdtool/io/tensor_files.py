"""Safetensors that their own library writes: modes as other files have them, errors that name the file."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdtool.io.files import atomic_path

if TYPE_CHECKING:
    import torch


def save_tensors(
    path: str | Path, tensors: dict[str, "torch.Tensor"], metadata: dict[str, str] | None = None
) -> None:
    """Write contiguous tensors of the CPU as a safetensors file, atomically."""
    from safetensors.torch import save_file

    with atomic_path(path) as temporary, disk_errors(path):
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(stat.S_IMODE(mode))  # else nobody but its owner may read it


@contextmanager
def saved_model(folder: Path) -> Iterator[None]:
    """While diffusers or transformers write a model into a folder, its config.json too."""
    with disk_errors(folder):
        yield
        mode = (folder / "config.json").stat().st_mode
        for path in folder.glob("*.safetensors"):
            path.chmod(stat.S_IMODE(mode))


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Have what a disk refuses name `path`: an OSError that names no file, or what Rust's libraries say."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        if not (found := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
