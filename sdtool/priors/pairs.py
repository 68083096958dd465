"""The priors of a lift: a base, an AGP and maybe a colour prior, with one text encoder for all, as long as it
is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sdtool.priors.loading import adapter_on, fits_adapter, load_agp, load_base, load_color
from sdtool.priors.prior import Prior
from sdtool.priors.text import TextEncoder, same_text_encoder
from sdtool.priors.two_encoders import load_encoders


def load_pair(
    base: str | Path, agp: str | Path, device: str | torch.device, dtype: torch.dtype
) -> tuple[Prior, Prior]:
    """A base prior and an AGP without text encoders; `text_encoders` lends them theirs.

    An AGP of adapters of this very base shares its UNet: each tensor is in memory once, and each of the two
    calls its own layers, of which the AGP's have adapters beside the tensors. So nothing is switched between
    calls.
    """
    prior = load_base(base, device, dtype, with_text=False)
    if fits_adapter(base, agp):
        return prior, adapter_on(prior, agp)
    return prior, load_agp(agp, device, dtype, with_text=False)


def load_painter(color: str | Path, device: str | torch.device, dtype: torch.dtype) -> Prior | None:
    """A colour prior without text encoder, like those of `load_pair`; None where `color` is empty."""
    return load_color(color, device, dtype, with_text=False) if color else None


@contextmanager
def text_encoders(*priors: Prior) -> Iterator[None]:
    """While it lasts, the priors have text encoders: one for all whose files hold the same. Then none has:
    Stable Diffusion's fills 0.7 GB in half precision, and a lift needs it for its first seconds."""
    held: list[tuple[Path, torch.dtype, TextEncoder]] = []
    try:
        for prior in priors:
            if prior.text is not None or prior.text_folder is None:
                continue
            folder, dtype = prior.text_folder, prior.unet.dtype
            alike = [
                text
                for other, its, text in held
                if its == dtype and same_text_encoder(other, folder)
            ]
            prior.text = alike[0] if alike else load_encoders(folder, dtype)
            prior.text.requires_grad_(False).eval().to(prior.device)
            if not alike:
                held.append((folder, dtype, prior.text))
        yield
    finally:
        for prior in priors:
            prior.text = None
