"""Small data for the tests of priors: shards of views of flat shapes, their captions, and bases with
random weights in the layouts of Stable Diffusion and DeepFloyd IF."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from sdtool.geometry.cameras import orbit
from sdtool.priors.models import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from sdtool.priors.text import TextEncoder, fresh_text_encoder

COLORS = {"red": (0.9, 0.1, 0.1), "blue": (0.1, 0.2, 0.9)}
SHAPES = ("disc", "square")


def write_views(folder: Path, *, size: int = 16, objects: int = 8, views: int = 4, seed: int = 0):
    """Write a shard with the maps rgb, normal and ccm, and captions.jsonl; return `folder`."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size - 0.5
    masks = {"disc": x**2 + y**2 < 0.12, "square": (abs(x) < 0.3) & (abs(y) < 0.3)}
    maps, c2w, owner, captions = {"rgb": [], "normal": [], "ccm": []}, [], [], []
    for k in range(objects):
        color, shape = list(COLORS)[k % 2], SHAPES[k // 2 % 2]
        captions.append(
            {
                "uid": f"object-{k}",
                "caption": f"a {color} {shape}",
                "source": "test",
                "annotation": f"{shape} no. {k}",
                "alternatives": [{"caption": f"some {color} thing", "score": 0.5}],
            }
        )
        for azimuth in rng.uniform(-np.pi, np.pi, views):
            flat = np.ones((size, size))
            s, c = np.sin(azimuth), np.cos(azimuth)
            values = {
                "rgb": np.stack([flat * part for part in COLORS[color]]),
                "normal": np.stack([flat * (s + 1) / 2, flat * 0.5, flat * (c + 1) / 2]),
                "ccm": np.stack([0.5 + x * c, 0.5 - y, 0.5 - x * s]),
            }
            for name, value in values.items():
                cover = masks[shape].astype(float)[None]
                maps[name].append(np.concatenate([(2 * value - 1) * cover, 2 * cover - 1]))
            c2w.append(orbit(azimuth, 0.2, 1.5)[0])
            owner.append(k)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.stack(values).astype(np.float16) for name, values in maps.items()}
    tensors |= {"c2w": np.stack(c2w), "object": np.array(owner, np.int32)}
    header = {"uids": json.dumps([line["uid"] for line in captions]), "fov": "45.0"}
    save_file(tensors, folder / "views-00000.safetensors", metadata=header)
    lines = [json.dumps(line) + "\n" for line in captions]
    (folder / "captions.jsonl").write_text("".join(lines))
    return folder


# Bases


def small_unet(channels: int, out: int, size: int) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=channels,
        out_channels=out,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        cross_attention_dim=32,
        norm_num_groups=4,
    )


def write_stable_diffusion(folder: Path, captions: list[str]) -> Path:
    """A Stable Diffusion folder as diffusers itself writes it (noise, 8×8 latents); return it."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.18215,
    )
    text = fresh_text_encoder(captions, width=32, layers=1, length=77)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text.model,
        tokenizer=text.tokenizer,
        unet=small_unet(4, 4, 8),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            steps_offset=1,
            clip_sample=False,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def write_deepfloyd(folder: Path) -> Path:
    """A folder like DeepFloyd IF's first stage: its kinds of blocks, three channels of 16×16 pixels,
    a learned variance, a T5 text encoder, a cosine schedule; return it."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        act_fn="gelu",
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        attention_head_dim=8,
        cross_attention_dim=16,
        norm_num_groups=4,
        encoder_hid_dim=32,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
        time_embedding_act_fn="gelu",
    )
    size = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    letters = [(letter, -3.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *letters]
    unet.save_pretrained(folder / "unet")
    T5EncoderModel(T5Config(vocab_size=40, **size)).save_pretrained(folder / "text_encoder")
    T5Tokenizer(vocab=vocabulary, extra_ids=0).save_pretrained(folder / "tokenizer")
    DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", variance_type="learned_range", thresholding=True
    ).save_pretrained(folder / "scheduler")
    return folder


# SDXL, and bases in one file


def write_sdxl(folder: Path, captions: list[str], *, latents: int = 8) -> Path:
    """SDXL's structure in a few channels, as diffusers itself writes it: two text encoders of 16 and 24
    channels with one layer more than is used, pooled text and sizes, a VAE that asks for float32."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    torch.manual_seed(0)
    one = fresh_text_encoder(captions, width=16, layers=2, length=77)
    two = fresh_text_encoder(captions, width=24, layers=3, length=77)
    first = CLIPTextModel(clip_config(one, "quick_gelu"))
    second = CLIPTextModelWithProjection(clip_config(two, "gelu"))
    unet = UNet2DConditionModel(
        sample_size=latents,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=[1, 2],
        attention_head_dim=[1, 1],
        cross_attention_dim=16 + 24,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
    )
    two.tokenizer.pad_token = "!"
    StableDiffusionXLPipeline(
        vae=small_vae(scaling_factor=0.13025, force_upcast=True),
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=one.tokenizer,
        tokenizer_2=two.tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCALED, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def write_version(folder: Path, captions: list[str], *, prediction: str = "epsilon") -> Path:
    """Stable Diffusion 1 or 2 as the folder's name begins, v1 or v2, in a few channels; return it."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.manual_seed(0)
    is_v2 = folder.name.startswith("v2")
    text = fresh_text_encoder(captions, width=16, layers=2, length=77)
    config = clip_config(text, "gelu" if is_v2 else "quick_gelu")
    if is_v2:
        text.tokenizer.pad_token = "!"
    unet = UNet2DConditionModel(
        sample_size=96 if prediction == "v_prediction" else 64,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=[1, 1] if is_v2 else 8,
        cross_attention_dim=16,
        use_linear_projection=is_v2,
    )
    StableDiffusionPipeline(
        vae=small_vae(scaling_factor=0.18215),
        text_encoder=CLIPTextModel(config),
        tokenizer=text.tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            **SCALED, prediction_type=prediction, clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def clip_config(text: TextEncoder, act: str) -> CLIPTextConfig:
    """Of a small encoder with one head, as each 64 channels have one at full size."""
    return CLIPTextConfig(
        **{**text.model.config.to_dict(), "hidden_act": act, "num_attention_heads": 1}
    )


def small_vae(**options) -> AutoencoderKL:
    """Eight pixels a latent, as every Stable Diffusion has them."""
    return AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        **options,
    )
