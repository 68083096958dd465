"""Training a prior on views and their prompts: what `finetune-agp` and `train-base` have in common."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from sdtool.io.words import counted
from sdtool.priors.adapters import adapter_parts, has_adapter
from sdtool.priors.agp import jittered
from sdtool.priors.prior import Prior
from sdtool.priors.sampling import contact_sheet
from sdtool.priors.text import TextEncoder
from sdtool.training.conditions import Conditions
from sdtool.training.data import PromptTable, Views
from sdtool.training.distributed import Processes
from sdtool.training.loop import train
from sdtool.training.samples import Row
from sdtool.training.settings import TrainingSettings
from sdtool.training.text_cache import Lookup
from sdtool.training.vae import LatentViews
from sdtool.training.work_files import sample_name


def finetune(
    prior: Prior,
    views: Views,
    prompts: PromptTable,
    settings: TrainingSettings,
    out: Path,
    *,
    seed: int,
    processes: Processes,
    rows: Callable[[], list[Row]],
    lookup: Lookup | None = None,
    latents: LatentViews | None = None,
    conditions: Conditions | None = None,
    objective: nn.Module | None = None,
    examine: Callable[[int], dict[str, float]] = lambda step: {},
    passes: Callable[[int], int] = lambda done: 0,
) -> float:
    """Train the UNet of `prior`, or its adapters, to draw the maps of `views`, given a prompt of each object.

    A prior that sees the camera (an AGP) is told where each view was taken from. lookup: embeddings
    of the numbers in `prompts`, from a frozen text encoder; without it, the prior's own is trained
    too. latents: what a latent prior draws in the place of the maps. conditions: what a colour prior is
    told of each view. objective: the loss, in the place of `loop.Objective`. rows: draws a sample grid, and
    examine measures, with the averaged weights in place. passes: what all that costs (`loop.fit`). Writes
    checkpoints, log.jsonl and samples/ into `out`, and continues what was begun there. Returns the mean
    loss of the last logged stretch.
    """
    prior = prior.to(processes.device)
    images = latents or views
    trained: dict[str, nn.Module] = {"unet": prior.unet}
    if has_adapter(prior.unet):
        trained = adapter_parts(prior.unet)

    def choose(generator: torch.Generator, count: int) -> tuple[torch.Tensor, ...]:
        index = torch.randint(len(views), (count,), generator=generator)
        numbers = prompts.draw(views, index.numpy(), settings.text_dropout, generator)
        if conditions:
            return index, numbers, *conditions.draw(generator, count)
        if not prior.has_camera:
            return index, numbers
        turns = torch.randn(count, 3, generator=generator)
        return index, numbers, turns * math.radians(settings.camera_jitter)

    def load(
        index: torch.Tensor, numbers: torch.Tensor, *more: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        c2w = None
        if prior.has_camera:
            c2w = views.cameras(index.numpy())
            if settings.camera_jitter:
                c2w = jittered(c2w, *more)
        x = prior.encode_map(images.maps(index.numpy()))
        ccm = conditions.maps(index, *more, device=processes.device) if conditions else None
        return x, lookup(numbers) if lookup else numbers, c2w, ccm

    def sample(step: int) -> None:
        contact_sheet(out / sample_name(step), rows())

    if lookup is None:
        trained["text"] = prior.text_encoder.model
    return train(
        prior,
        trained,
        choose,
        load,
        settings,
        out,
        seed=seed,
        processes=processes,
        embed=_identity if lookup else _encoder(prior, prompts.table),
        sample=sample,
        objective=objective,
        examine=examine,
        passes=passes,
    )


def say_cut_captions(
    encoder: TextEncoder, texts: list[str], processes: Processes, suffix: str = ""
) -> None:
    """Say how many texts are longer than the encoder's window. suffix: what they end in and keep."""
    if not processes.is_main:
        return
    if count := encoder.count_cut(texts):
        kept = f' ("{suffix.strip(" ,")}" at the end is kept)' if suffix else ""
        processes.say(
            f"{count:,} of {counted(len(texts), 'caption')} {'is' if count == 1 else 'are'} longer than the "
            f"{encoder.length} tokens that the text encoder reads: last words are left out{kept}"
        )


def _identity(text: torch.Tensor) -> torch.Tensor:
    return text


def _encoder(prior: Prior, table: list[str]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Numbers of prompts (B,) → (B, L, C) embeddings, through which gradients flow."""
    encoder = prior.text_encoder
    tokens, mask = (value.to(prior.device) for value in encoder.tokenize(table))
    return lambda numbers: encoder.embed(tokens[numbers], mask[numbers])
