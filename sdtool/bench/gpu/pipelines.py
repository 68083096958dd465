"""Pipelines in Stable Diffusion 2.1's configuration with random weights, and an AGP of it, on disk.

Made on the device and written in float16, as published ones are; nothing is downloaded. The tokenizer is
learned from a few captions: prompts have other numbers than with the real one, and as many.
"""

import shutil
import time
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sdtool.bench.gpu.figures import Sheet
from sdtool.bench.gpu.setup import Setup
from sdtool.bench.stable_diffusion import TOKENS, sd21_unet, sd_vae
from sdtool.priors.agp import fresh_agp
from sdtool.priors.cards import stored_base
from sdtool.priors.model_card import save_agp
from sdtool.priors.models import DDPMScheduler
from sdtool.priors.prior import Prior
from sdtool.priors.text import TextEncoder, learn_merges, save_text_encoder

BASE, AGP = "base", "agp"
CAPTIONS = ["a corgi", "a red chair", "an old wooden house", "a corgi, front view", "low quality"]
SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def make(setup: Setup, sheet: Sheet) -> None:
    """Make both; figures of what that took."""
    began = time.perf_counter()
    folders = pipelines(setup)
    seconds = time.perf_counter() - began
    for name, folder in zip(("base", "AGP"), folders, strict=True):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        sheet.note(f"files of the {name}", size / 2**30, "GB")
    sheet.note("made and written in", seconds, "s")


def pipelines(setup: Setup) -> tuple[Path, Path]:
    """The folders of the base and of its AGP, made if they are not there yet."""
    made = setup.work / "pipelines"
    if not made.is_dir():
        half = setup.work / "pipelines-unfinished"
        shutil.rmtree(half, ignore_errors=True)
        _write(half, setup)
        half.rename(made)
    return made / BASE, made / AGP


def _write(folder: Path, setup: Setup) -> None:
    channels, latent, layers = (64, 8, 2) if setup.small else (320, 64, 23)
    scheduler = DDPMScheduler(**SCHEDULE)
    torch.manual_seed(0)  # the libraries initialise from the global generator only
    with torch.device(setup.device):
        unet = sd21_unet(channels, latent).half()
        vae = sd_vae(channels).half()
        text = _text_encoder(unet.config["cross_attention_dim"], layers)
        prior = Prior(unet, text, scheduler.alphas_cumprod, vae=vae, name="random weights")
        generator = torch.Generator(setup.device).manual_seed(0)
        agp = fresh_agp(prior, generator)
    base = folder / BASE
    unet.save_pretrained(base / "unet", safe_serialization=True)
    vae.save_pretrained(base / "vae", safe_serialization=True)
    save_text_encoder(text, base)
    scheduler.save_pretrained(base / "scheduler")
    save_agp(agp, folder / AGP, base=stored_base(base, folder / AGP), facts={}, fp16=True)


def _text_encoder(width: int, layers: int) -> TextEncoder:
    """OpenCLIP's of Stable Diffusion 2, scaled by its width."""
    vocabulary, merges = learn_merges(CAPTIONS)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS)
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=TOKENS,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return TextEncoder(CLIPTextModel(config).half(), tokenizer, TOKENS)
