"""The colour prior: a base prior that also sees where on the object each pixel lies.

SweetDreamer aligns the geometry and leaves the appearance to the base; this is the same idea for colours,
and ours. The canonical coordinate map of a view goes into the UNet beside the noisy picture, so that what is
drawn there knows which side of the object it shows. No camera is needed.
"""

from pathlib import Path

import torch

from sdtool.errors import InputError
from sdtool.io.files import write_json, write_text
from sdtool.priors.cards import COLOR_CARD
from sdtool.priors.fact_rows import fact_rows
from sdtool.priors.guided import plain_unet, with_unet
from sdtool.priors.models import UNet2DConditionModel, save_model
from sdtool.priors.prior import CCM_CHANNELS, Prior


def fresh_color(base: Prior) -> Prior:
    """A colour prior that still draws what its base draws, whatever the map: the same UNet, whose first
    layer takes four channels more, with weights of zero. Shares the base's text encoder and VAE.

    InputError if the base's pictures have no coverage, or it sees something besides.
    """
    check_base(base)
    config, state = plain_unet(base)
    config["in_channels"] = 2 * CCM_CHANNELS
    unet = UNet2DConditionModel.from_config(config).to(base.device, base.unet.dtype)
    first = state["conv_in.weight"]
    unet.load_state_dict(
        {**state, "conv_in.weight": torch.cat([first, torch.zeros_like(first)], dim=1)}
    )
    return with_unet(base, unet, f"a colour prior of {base.name}")


def check_base(base: Prior) -> None:
    """InputError if no colour prior can be made of this base."""
    if base.has_camera or base.has_ccm or base.channels != CCM_CHANNELS or not base.takes_maps:
        raise InputError(
            f"{base.name} does not draw pictures with their coverage as the fourth channel, which a "
            "colour prior starts from; name a base of train-base, or tiny"
        )


def save_color(
    prior: Prior, folder: Path, *, base: str, facts: dict, measure: dict, fp16: bool = False
) -> list[str]:
    """Write `unet/`, color.json and the model card; return the names of what was written.

    base: as `cards.stored_base` names it. facts: how it was trained. measure: what
    `sdtool.training.color.color_errors` found. fp16: float16 weights.
    """
    save_model(prior.unet, folder / "unet", fp16)
    card = {"base": base, "sample_size": prior.sample_size, **facts, "measure": measure}
    write_json(folder / COLOR_CARD, card)
    write_text(folder / "README.md", _card(prior, base, facts, measure))
    return ["unet", COLOR_CARD, "README.md"]


def _card(prior: Prior, base: str, facts: dict, measure: dict) -> str:
    size = prior.sample_size
    rows = fact_rows(facts)
    return f"""---
library_name: diffusers
tags:
- sdtool
- canonical-coordinate-map
- colour
---

# A colour prior

A diffusion UNet that draws the coloured picture of what a text names, given the canonical coordinate map of
the same view: {size}×{size}, four channels of the picture in the space of its base, and four of the map,
(2·xyz − 1)·coverage and 2·coverage − 1. It was fine-tuned by `sdtool finetune-color` from the base prior
`{base}`, whose text encoder, noise schedule and VAE it needs. The map says at every pixel where on the object
it lies (+Y up, the object facing +Z), and hence which side is seen; there is no other camera.

    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    guess = unet(torch.cat([x, ccm], dim=1), t, encoder_hidden_states=text).sample

The paper (SweetDreamer) aligns geometry only; that appearance is aligned too is an addition.

## Measure

On {measure["maps"]} views of {measure["objects"]} objects that it was not trained on: one denoising from t =
{measure["t"]}, and how far the colours inside the object are from the true ones on average (0 to 1).

| told | error |
|---|---|
| the true map | {measure["true_map"]} |
| the map turned half round: as if the other side was seen | {measure["opposite_map"]} |
| no map (the base) | {measure["base"]} |

## Training

| | |
|---|---|
{rows}
"""
