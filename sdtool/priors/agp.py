"""The aligned geometric prior (paper, section 3.1): a base prior that also sees the camera."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from sdtool.errors import InputError
from sdtool.files import write_json, write_text
from sdtool.priors.loading import AGP_CARD
from sdtool.priors.prior import CAMERA_NUMBERS, Prior

PREDICTS = {
    "epsilon": "the noise ε",
    "v_prediction": "v = √ᾱ·ε − √(1 − ᾱ)·x",
    "sample": "the clean map x",
}


def fresh_agp(base: Prior, generator: torch.Generator) -> Prior:
    """An AGP that still equals its base: the same UNet with diffusers' hook for a vector.

    The camera passes through Linear–SiLU–Linear and is added to the time embedding. The last layer
    starts at zero, so the output is the base's bit for bit, whatever the camera. Shares the base's
    text encoder. generator: CPU, draws the first layer.
    """
    if base.channels != 4:
        raise InputError(
            f"{base.name} works on {base.channels} channels; a canonical coordinate map has 4, so "
            "the AGP needs a latent base such as Stable Diffusion or the tiny one"
        )
    if base.unet.config.class_embed_type is not None:
        raise InputError(f"{base.name} already uses the hook that the camera needs")
    hook = {"projection_class_embeddings_input_dim": CAMERA_NUMBERS}
    config = {**base.unet.config, "class_embed_type": "projection", **hook}
    config.pop("_use_default_values", None)  # else diffusers resets what the base left at default
    unet = UNet2DConditionModel.from_config(config).to(base.device, base.unet.dtype)
    missing, unexpected = unet.load_state_dict(base.unet.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("class_embedding.") for name in missing)
    first, last = unet.class_embedding.linear_1, unet.class_embedding.linear_2
    with torch.no_grad():
        draw = torch.randn(first.weight.shape, generator=generator)
        first.weight.copy_(draw / CAMERA_NUMBERS**0.5)
        nn.init.zeros_(first.bias)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return Prior(
        unet.to(memory_format=torch.channels_last),
        base.text,
        base.alphas_cumprod,
        prediction=base.prediction,
        vocabulary=base.vocabulary,
        name=f"an AGP of {base.name}",
    )


def save_agp(
    prior: Prior, folder: Path, *, base: str, facts: dict, half: bool = False
) -> list[str]:
    """Write `unet/`, agp.json and the model card; return the names of what was written.

    base: as `loading.stored_base` names it. facts: how it was trained and what was measured.
    """
    prior.unet.to(torch.float16 if half else torch.float32)
    prior.unet.save_pretrained(folder / "unet", safe_serialization=True)
    write_json(folder / AGP_CARD, {"base": base, "sample_size": prior.sample_size, **facts})
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    text = f"""# An aligned geometric prior

A diffusion UNet that draws canonical coordinate maps ({prior.sample_size}×{prior.sample_size}, four
channels) of what a text names, seen from a given camera. It was fine-tuned by `sdtool finetune-agp`
from the base prior `{base}`, whose text encoder and noise schedule it needs. The camera (the upper
3×4 of camera-to-world, row by row) goes in as `class_labels`:

    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    guess = unet(x, t, encoder_hidden_states=text, class_labels=camera).sample

Like its base, it predicts {PREDICTS[prior.prediction]}.

| training | |
|---|---|
{rows}
"""
    write_text(folder / "README.md", text)
    return ["unet", AGP_CARD, "README.md"]
