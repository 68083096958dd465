"""What SDXL's UNet sees beside time and text: a pooled text, and the sizes of the picture (Podell et al.
2023, section 2.2).

diffusers calls it `addition_embed_type="text_time"` and takes both as a dictionary, `added_cond_kwargs`.
"""

from collections.abc import Mapping
from typing import Any

import torch

from sdtool.priors.sizes import pooled_width

PIXELS = 8
"""Pixels along a latent's side, in the VAE of every such model."""

Added = dict[str, torch.Tensor]


def added_conditions(
    config: Mapping[str, Any], text: torch.Tensor, shape: tuple[int, ...]
) -> tuple[torch.Tensor, Added]:
    """Texts (N, L + 1, C) as `Prior.encode_text` gives them → (N, L, C), and the added conditions.

    shape: (h, w) of the latents. The picture is said to be of the model's own size, so that smaller latents
    are not drawn as badly as small pictures are, uncropped, and asked for at the size of the latents.
    """
    own = PIXELS * config["sample_size"]
    sizes = [own, own, 0, 0, PIXELS * shape[0], PIXELS * shape[1]]
    ids = torch.tensor([sizes], dtype=torch.float32).to(text.device, non_blocking=True)
    pooled = text[:, -1, : pooled_width(config)]
    return text[:, :-1], {"text_embeds": pooled, "time_ids": ids.expand(len(text), -1)}


def flat(conditions: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Conditions of a UNet by name without those that are None, the added ones among the others."""
    more = conditions.get("added_cond_kwargs") or {}
    found = {**conditions, **more}
    return {k: v for k, v in found.items() if v is not None and k != "added_cond_kwargs"}


def nested(conditions: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """As a UNet takes them, what `flat` made of them."""
    added = {k: conditions[k] for k in ("text_embeds", "time_ids") if k in conditions}
    plain = {k: v for k, v in conditions.items() if k not in added}
    return plain | ({"added_cond_kwargs": added} if added else {})
