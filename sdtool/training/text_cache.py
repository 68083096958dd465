"""Text embeddings of many prompts, computed once into a file that all processes map into memory."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sdtool.io.files import atomic_path
from sdtool.io.words import counted
from sdtool.priors.prior import Prior
from sdtool.runtime.progress import progress
from sdtool.training.distributed import Processes
from sdtool.training.work_files import TEXTS

SPARE = 1 << 30  # bytes that stay free on the disk
LIMIT = 32 << 30  # bytes of a file at most, where nothing else is said

# numbers (B,) int64 of prompts → (B, L, C) float32 on the training's device
Lookup = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class EncodedTexts:
    """Texts and their embeddings. numbers: text → its number. lookup: numbers → embeddings."""

    numbers: dict[str, int]
    lookup: Lookup

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """N known texts → (N, L, C) float32 on the training's device."""
        return self.lookup(torch.tensor([self.numbers[text] for text in texts]))


def encode_texts(
    prior: Prior,
    texts: list[str],
    folder: Path,
    *,
    processes: Processes,
    limit: int = LIMIT,
    dtype: torch.dtype | None = None,
) -> EncodedTexts:
    """Each of the texts once, numbered in their order. The arguments are those of `embeddings`."""
    table = list(dict.fromkeys(texts))
    lookup = embeddings(prior, table, folder, processes=processes, limit=limit, dtype=dtype)
    return EncodedTexts({text: k for k, text in enumerate(table)}, lookup)


@torch.no_grad()
def embeddings(
    prior: Prior,
    prompts: list[str],
    folder: Path,
    *,
    processes: Processes,
    limit: int = LIMIT,
    dtype: torch.dtype | None = None,
) -> Lookup:
    """A function from numbers of prompts to their embeddings.

    If all of them fit into `limit` bytes and on the disk, the main process encodes them into a file
    in `folder` (or finds it there), and the prior's text encoder is dropped. Else the encoder stays,
    and encodes each batch. dtype: of the file; the encoder's own by default.
    """
    encoder = prior.text_encoder.to(processes.device)
    length, width = prior.encode_text(prompts[:1]).shape[1:]
    dtype = dtype or next(encoder.parameters()).dtype
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
            said = f"{size / 1e9:.1f}" if size >= 5e7 else "less than 0.1"
            processes.say(
                f"{counted(len(prompts), 'prompt')} would take {said} GB: each batch is encoded anew; "
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
                file.write(part.contiguous().view(torch.uint8).numpy().data)
                bar.advance(len(part))
        return True

    if not processes.on_main(write):
        return lambda numbers: _encode(prior, [prompts[k] for k in numbers.tolist()])
    prior.text = None
    table = np.memmap(path, np.uint8, "r", shape=(len(prompts), row))

    def lookup(numbers: torch.Tensor) -> torch.Tensor:
        rows = torch.from_numpy(table[numbers.numpy()]).view(dtype)
        return rows.view(len(rows), length, width).to(processes.device).float()

    return lookup


def clear_embeddings(folder: Path) -> None:
    """Remove the files of a finished training."""
    for path in folder.glob(TEXTS):
        path.unlink()


@torch.no_grad()
def _encode(prior: Prior, prompts: list[str]) -> torch.Tensor:
    return prior.encode_text(prompts)
