"""Bases at full size with random weights: loaded, and asked for one guided prediction on a CPU.

    python -m sdtool.bench bases KIND [PRECISION]

KIND is one of KINDS, PRECISION fp32 (the default), bf16 or fp16. The folder is made in float16, as published
ones are, in the system's folder for temporary files; nothing is downloaded. Prints one JSON object: seconds
by the clock and of all cores' work, and peak memory, of a process that does nothing else.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sdtool.bench.stable_diffusion import sd21_unet, sd_vae
from sdtool.errors import UsageError
from sdtool.io.files import write_json
from sdtool.priors.checkpoint_configs import SCHEDULE
from sdtool.priors.models import DDPMScheduler, UNet2DConditionModel
from sdtool.priors.text import TextEncoder, learn_merges, save_text_encoder
from sdtool.runtime.devices import PRECISIONS

WORDS = ["a corgi", "a red chair", "an old wooden house"]


def _sd15() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(320, 640, 1280, 1280),
        attention_head_dim=8,
        cross_attention_dim=768,
    )


def _sdxl() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=[1, 2, 10],
        attention_head_dim=[5, 10, 20],
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


ONE, TWO, BIG = (768, 12, "quick_gelu"), (1024, 23, "gelu"), (1280, 32, "gelu")
"""Width, layers and activation of the text encoders: OpenAI's ViT-L, OpenCLIP's ViT-H and ViT-bigG."""

KINDS: dict[str, tuple[Any, tuple[tuple[int, int, str], ...], str]] = {
    "sd15": (_sd15, (ONE,), "epsilon"),
    "sd21-base": (sd21_unet, (TWO,), "epsilon"),
    "sd21": (lambda: sd21_unet(latent=96), (TWO,), "v_prediction"),
    "sdxl": (_sdxl, (ONE, BIG), "epsilon"),
}
"""Name → its UNet, its text encoders, what it predicts."""


def bases(arguments: list[str]) -> int:
    """The command; its arguments are those of the module's docstring."""
    kind, precision = [*arguments, "fp32"][:2] if arguments else ("", "")
    if kind not in KINDS or precision not in PRECISIONS:
        raise UsageError(
            f"name a kind ({', '.join(KINDS)}) and maybe a precision ({', '.join(PRECISIONS)})",
            "KIND",
        )
    with tempfile.TemporaryDirectory() as folder:
        module = [sys.executable, "-m", "sdtool.bench.bases"]
        subprocess.run([*module, "make", kind, folder], check=True, stdout=sys.stderr)
        return subprocess.run([*module, "measure", folder, precision]).returncode


def make(kind: str, folder: Path) -> None:
    """Write a pipeline of random weights, in float16."""
    made, texts, prediction = KINDS[kind]
    with torch.device("meta"):
        unet, vae = made(), sd_vae()
    vae.register_to_config(
        scaling_factor=0.13025 if kind == "sdxl" else 0.18215, force_upcast=kind == "sdxl"
    )
    _drawn(unet).save_pretrained(folder / "unet")
    _drawn(vae).save_pretrained(folder / "vae")
    DDPMScheduler(**SCHEDULE, prediction_type=prediction).save_pretrained(folder / "scheduler")
    for k, facts in enumerate(texts):
        place = folder / "second" if k else folder
        save_text_encoder(_text(*facts, with_projection=bool(k)), place)
        for part in ("text_encoder", "tokenizer") if k else ():
            (place / part).rename(folder / f"{part}_2")
    index = {"_class_name": "DiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    write_json(folder / "model_index.json", index)


def _text(width: int, layers: int, act: str, with_projection: bool) -> TextEncoder:
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )

    vocabulary, merges = learn_merges(WORDS)
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        projection_dim=width,
        hidden_act=act,
    )
    with torch.device("meta"):
        model = (CLIPTextModelWithProjection if with_projection else CLIPTextModel)(config)
    return TextEncoder(_drawn(model), tokenizer, 77)


@torch.no_grad()
def _drawn(model: Any) -> Any:
    """A model from the device without memory, with weights that keep what passes at its size: the same
    numbers over and over, since billions take minutes to draw."""
    model = model.half().to_empty(device="cpu")
    drawn = 0.02 * torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).half()
    for value in model.parameters():
        for part in value.view(-1).split(len(drawn)):
            part.copy_(drawn[: len(part)])
    for part in model.modules():
        if isinstance(part, nn.GroupNorm | nn.LayerNorm):
            part.weight.fill_(1)
    return model


@torch.no_grad()
def measure(folder: Path, precision: str) -> dict[str, Any]:
    """Load it, encode two texts, and predict the noise with guidance; seconds, and gigabytes at the peak."""
    from sdtool.lifting.sds import guided_noise
    from sdtool.priors.loading import load_base

    found: dict[str, Any] = {"precision": precision, "threads": torch.get_num_threads()}
    began, worked = time.perf_counter(), time.process_time()

    def lap(name: str) -> None:
        nonlocal began, worked
        found[f"{name}_s"] = round(time.perf_counter() - began, 1)
        found[f"{name}_cpu_s"] = round(time.process_time() - worked, 1)
        found[f"{name}_peak_gb"] = round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1
        )
        began, worked = time.perf_counter(), time.process_time()

    prior = load_base(folder, dtype=PRECISIONS[precision])
    found["unet_parameters"] = sum(p.numel() for p in prior.unet.parameters())
    lap("load")
    text, empty = prior.encode_text(["a corgi"]), prior.encode_text([""])
    lap("texts")
    size = prior.sample_size
    x = torch.randn(1, 4, size, size, generator=torch.Generator().manual_seed(0))
    noise = guided_noise(prior, x, torch.tensor([500]), text, empty, 7.5)
    lap("guided")
    assert noise.shape == x.shape
    return found | {"latents": size, "finite": bool(noise.isfinite().all())}


if __name__ == "__main__":
    what, one, other = sys.argv[1:]
    if what == "make":
        make(one, Path(other))
    else:
        print(json.dumps(measure(Path(one), other)))
