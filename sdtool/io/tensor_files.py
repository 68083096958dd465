"""Safetensors that their own library writes: modes as other files have them, errors that name the file."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdtool.io.files import atomic_path, disk_errors

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
