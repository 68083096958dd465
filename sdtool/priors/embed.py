"""Text embeddings of many prompts, computed once."""

from collections.abc import Callable

import torch

from sdtool.priors.prior import Prior

CACHE_BYTES = 4 << 30


@torch.no_grad()
def embeddings(prior: Prior, prompts: list[str], limit: int = CACHE_BYTES) -> Callable:
    """A function from prompt numbers (B,) to embeddings (B, L, C) float32 on the prior's device.

    If all of them fit into `limit` bytes they are encoded now and kept in main memory (in the text
    encoder's own precision), and the prior's text encoder is dropped. Else each batch is encoded.
    """
    first = prior.encode_text(prompts[:1])
    dtype = next(prior.text.parameters()).dtype
    if len(prompts) * first.numel() * dtype.itemsize > limit:
        return lambda numbers: _encode(prior, [prompts[k] for k in numbers.tolist()])
    parts = [prompts[k : k + 64] for k in range(0, len(prompts), 64)]
    table = torch.cat([prior.encode_text(part).to("cpu", dtype) for part in parts])
    prior.text = None
    return lambda numbers: table[numbers].to(prior.device).float()


@torch.no_grad()
def _encode(prior: Prior, prompts: list[str]) -> torch.Tensor:
    return prior.encode_text(prompts)
