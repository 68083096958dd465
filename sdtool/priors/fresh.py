"""A fresh tiny base prior of four channels and a fresh VAE, small enough to train on one CPU core.

Its images are the latents of a VAE; without one, maps ((2·rgb − 1)·coverage, 2·coverage − 1).
"""

from pathlib import Path
from typing import Any

import torch

from sdtool.io.files import write_json, write_text
from sdtool.priors.cards import CARD
from sdtool.priors.fact_rows import fact_rows
from sdtool.priors.models import (
    AutoencoderKL,
    AutoencoderTiny,
    DDPMScheduler,
    UNet2DConditionModel,
    save_model,
)
from sdtool.priors.prior import Prior, words
from sdtool.priors.text import fresh_text_encoder, save_text_encoder
from sdtool.priors.weights import refuse_no_numbers

NORMAL_SUFFIX = ", normal map"
"""What the captions of normal maps end with in the training of a tiny base."""

LATENTS = 4
TEXT_WIDTH, TEXT_LAYERS, TEXT_LENGTH = 128, 2, 24
SCHEDULE: dict[str, Any] = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02}
SCHEDULE |= {"prediction_type": "v_prediction"}
"""A small network cannot predict noise finely enough where nearly all is noise, and that is where text
decides what an image shows; v is as easy to predict there as anywhere."""


def fresh_base(
    captions: list[str],
    *,
    size: int,
    width: int = 32,
    seed: int = 0,
    vae: AutoencoderKL | AutoencoderTiny | None = None,
) -> Prior:
    """An untrained base prior for size×size maps or latents of `vae`.

    Its tokenizer is learned from `captions`.

    width: channels of the first level, a multiple of 8; the levels have 1, 2 and 4 times as many.
    Attention, the costly part on a CPU, happens only at the lowest level.
    """
    torch.manual_seed(seed)  # the libraries initialise from the global generator only
    unet = UNet2DConditionModel(
        sample_size=size,
        in_channels=4,
        out_channels=4,
        block_out_channels=(width, 2 * width, 4 * width),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=4,  # diffusers reads this as the number of heads
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=8,
        addition_embed_type="text",  # pooled text reaches every block, as in DeepFloyd IF
        addition_embed_type_num_heads=8,
    ).to(memory_format=torch.channels_last)
    texts = captions + [caption + NORMAL_SUFFIX for caption in captions]
    text = fresh_text_encoder(texts, width=TEXT_WIDTH, layers=TEXT_LAYERS, length=TEXT_LENGTH)
    scheduler = DDPMScheduler(**SCHEDULE)
    return Prior(
        unet,
        text,
        scheduler.alphas_cumprod,
        prediction=scheduler.config["prediction_type"],
        vae=vae,
        normal_suffix=NORMAL_SUFFIX,
        vocabulary={word for caption in texts for word in words(caption)},
        name="a fresh tiny base",
    )


def fresh_vae(channels: int = 32, seed: int = 0) -> AutoencoderTiny:
    """An untrained VAE for maps, of `channels` channels; full resolution sees one convolution on either side.

    diffusers' AutoencoderTiny is deterministic and has no normalisation layers: in so narrow a network
    they would take the absolute colour away.
    """
    torch.manual_seed(seed)  # the library initialises from the global generator only
    vae = AutoencoderTiny(
        in_channels=4,
        out_channels=4,
        encoder_block_out_channels=(channels,) * 3,
        decoder_block_out_channels=(channels,) * 3,
        num_encoder_blocks=(0, 1, 2),
        num_decoder_blocks=(2, 1, 0),
        latent_channels=LATENTS,
    )
    return vae.to(memory_format=torch.channels_last)


def save_base(prior: Prior, folder: Path, *, facts: dict, fp16: bool = False) -> list[str]:
    """Write a trained base as a diffusers folder; return the names of what was written.

    facts: how it was trained, for `sdtool.json` and the model card. fp16: float16 weights.
    """
    save_model(prior.unet, folder / "unet", fp16)
    dtype = torch.float16 if fp16 else torch.float32
    text = prior.text_encoder.model
    text.to(dtype)  # type: ignore[arg-type]  # its types want a self
    refuse_no_numbers(text.named_parameters(), folder / "text_encoder", dtype)
    save_text_encoder(prior.text_encoder, folder)
    DDPMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    made = ["model_index.json", "unet", "text_encoder", "tokenizer", "scheduler", CARD, "README.md"]
    pipeline = {
        "_class_name": "DiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    if prior.vae is not None:
        save_model(prior.vae, folder / "vae", fp16)
        pipeline["vae"] = ["diffusers", type(prior.vae).__name__]
        made.append("vae")
    write_json(folder / "model_index.json", pipeline)
    card = {
        "normal_suffix": prior.normal_suffix,
        "vocabulary": sorted(prior.vocabulary or []),
        "training": facts,
    }
    write_json(folder / CARD, card)
    write_text(folder / "README.md", _model_card(prior, facts))
    return made


def _model_card(prior: Prior, facts: dict) -> str:
    rows = fact_rows(facts)
    size = f"{prior.sample_size}×{prior.sample_size}"
    if prior.is_latent:
        kind = f"""A latent diffusion model of {size} latents with four channels. Its VAE takes four too:
(2·colour − 1)·coverage and 2·coverage − 1."""
    else:
        kind = f"""A pixel-space diffusion model of {size} images with four channels:
(2·colour − 1)·coverage and 2·coverage − 1. It has no VAE."""
    return f"""# A tiny text-to-image base prior

{kind} It was trained from nothing by
`sdtool train-base` on renders of objects, without cameras. A prompt that ends in
"{prior.normal_suffix}" asks for the object's surface normals instead of its colours.

It knows {len(prior.vocabulary or [])} words (see `{CARD}`) and is meant for trying things out on a
small machine, not for pictures.

| training | |
|---|---|
{rows}
"""
