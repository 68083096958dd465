"""Text embeddings of many prompts, computed once into a file that all processes map into memory."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sdtool.io.files import atomic_path
from sdtool.priors.prior import Prior
from sdtool.runtime.progress import progress
from sdtool.training.distributed import Team

PATTERN = "text-????????????????.cache"
SPARE = 1 << 30  # bytes that stay free on the disk

# numbers (B,) int64 of prompts → (B, L, C) float32 on the training's device
Lookup = Callable[[torch.Tensor], torch.Tensor]


@torch.no_grad()
def embeddings(
    prior: Prior,
    prompts: list[str],
    folder: Path,
    *,
    team: Team,
    limit: int = 32 << 30,
    dtype: torch.dtype | None = None,
) -> Lookup:
    """A function from numbers of prompts to their embeddings.

    If all of them fit into `limit` bytes and on the disk, the main process encodes them into a file
    in `folder` (or finds it there), and the prior's text encoder is dropped. Else the encoder stays,
    and encodes each batch. dtype: of the file; the encoder's own by default.
    """
    prior.text.to(team.device)
    length, width = prior.encode_text(prompts[:1]).shape[1:]
    dtype = dtype or next(prior.text.parameters()).dtype
    row = length * width * dtype.itemsize
    head = [prior.name, str(dtype), length, width, *prompts]
    name = hashlib.sha256("\0".join(map(str, head)).encode("utf-8", "surrogatepass")).hexdigest()
    path = folder / f"text-{name[:16]}.cache"

    def write() -> bool:
        """True if the file is there."""
        size = len(prompts) * row
        if path.is_file() and path.stat().st_size == size:
            return True
        folder.mkdir(parents=True, exist_ok=True)
        if size > min(limit, shutil.disk_usage(folder).free - SPARE):
            team.say(
                f"{len(prompts)} prompts take {size / 2**30:.1f} GB: each batch is encoded anew; "
                "with --text-cache of as many GB, and as much free disk, training is faster"
            )
            return False
        with (
            atomic_path(path) as temporary,
            open(temporary, "wb") as file,
            progress("encoding", len(prompts), "prompts") as bar,
        ):
            for k in range(0, len(prompts), 64):
                part = prior.encode_text(prompts[k : k + 64]).to("cpu", dtype)
                file.write(part.contiguous().view(torch.uint8).numpy())
                bar.advance(len(part))
        return True

    if not team.lead(write):
        return lambda numbers: _encode(prior, [prompts[k] for k in numbers.tolist()])
    prior.text = None
    table = np.memmap(path, np.uint8, "r", shape=(len(prompts), row))

    def lookup(numbers: torch.Tensor) -> torch.Tensor:
        rows = torch.from_numpy(table[numbers.numpy()]).view(dtype)
        return rows.view(len(rows), length, width).to(team.device).float()

    return lookup


def clear_embeddings(folder: Path) -> None:
    """Remove the files of a finished training."""
    for path in folder.glob(PATTERN):
        path.unlink()


@torch.no_grad()
def _encode(prior: Prior, prompts: list[str]) -> torch.Tensor:
    return prior.encode_text(prompts)
