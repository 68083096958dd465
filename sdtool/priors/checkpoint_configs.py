"""The configurations of a checkpoint's parts, as a diffusers folder would have them, from names and shapes.

Shapes say all but four things, which go by the kind: how attention is cut into heads, the size of pictures,
the VAE's scale, and the activation in the text encoder.
"""

from itertools import pairwise
from typing import Any

from sdtool.errors import InputError
from sdtool.priors.checkpoint import (
    CLIP,
    CLIP_XL,
    FIRST_CONVOLUTION,
    OPEN_CLIP,
    OPEN_CLIP_XL,
    UNET,
    VAE,
    Checkpoint,
)
from sdtool.priors.sizes import SIZES

HEAD = 64
"""Channels of a head of attention, but in the UNet of Stable Diffusion 1, which has eight everywhere."""

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}
"""That of every Stable Diffusion up to SDXL."""


def unet_config(found: Checkpoint) -> dict[str, Any]:
    """Of UNet2DConditionModel. Its sample size is that of the kind; of Stable Diffusion 2, which has two, the
    smaller."""
    shapes, levels, level = found.shapes, list[list[tuple[int, int]]](), list[tuple[int, int]]()
    for k in range(1, found.count(f"{UNET}input_blocks.")):
        at = f"{UNET}input_blocks.{k}."
        if f"{at}0.op.weight" in shapes:
            levels.append(level)
            level = []
        else:
            depth = found.count(f"{at}1.transformer_blocks.")
            level.append((shapes[f"{at}0.in_layers.2.weight"][0], depth))
    levels.append(level)
    middle = found.count(f"{UNET}middle_block.1.transformer_blocks.")
    channels = [level[0][0] for level in levels]
    depths = [level[0][1] for level in levels]
    layers = [max(1, depth) for depth in depths]
    is_even = all(set(level) == {level[0]} for level in levels)
    if not is_even or any(len(a) != len(b) for a, b in pairwise(levels)) or middle != layers[-1]:
        raise InputError(
            f"{found.path} has a UNet of another shape than Stable Diffusion's (a distilled or pruned one?); "
            "name the folder that its maker published"
        )
    crossed = next(n for n in shapes if n.startswith(UNET) and n.endswith("attn2.to_k.weight"))
    projection = crossed.split("transformer_blocks")[0] + "proj_in.weight"
    is_v1 = not (found.is_v2 or found.is_xl)
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": 128 if found.is_xl else 64,
        "in_channels": shapes[FIRST_CONVOLUTION][1],
        "out_channels": shapes[f"{UNET}out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": len(levels[0]),
        "down_block_types": ["CrossAttnDownBlock2D" if d else "DownBlock2D" for d in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if d else "UpBlock2D" for d in depths[::-1]],
        "transformer_layers_per_block": layers,
        "cross_attention_dim": shapes[crossed][1],
        # diffusers reads this as the number of heads
        "attention_head_dim": 8 if is_v1 else [max(1, c // HEAD) for c in channels],
        "use_linear_projection": len(shapes[projection]) == 2,
    }
    if found.is_xl:
        wide = shapes[f"{UNET}label_emb.0.0.weight"][1]
        pooled = shapes[f"{OPEN_CLIP_XL}text_projection"][1]
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": (wide - pooled) // SIZES,
            "projection_class_embeddings_input_dim": wide,
        }
    return config


def vae_config(found: Checkpoint) -> dict[str, Any]:
    """Of AutoencoderKL."""
    down, shapes = f"{VAE}encoder.down.", found.shapes
    levels = found.count(down)
    return {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [shapes[f"{down}{k}.block.0.conv1.weight"][0] for k in range(levels)],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "latent_channels": shapes[f"{VAE}post_quant_conv.weight"][0],
        "layers_per_block": found.count(f"{down}0.block."),
        "scaling_factor": 0.13025 if found.is_xl else 0.18215,
        "force_upcast": found.is_xl,
    }


def text_config(found: Checkpoint, second: bool = False) -> dict[str, Any]:
    """Of CLIPTextModel, or of SDXL's second encoder, CLIPTextModelWithProjection."""
    if second or found.is_v2:
        own = OPEN_CLIP_XL if second else OPEN_CLIP
        words, places = f"{own}token_embedding.weight", f"{own}positional_embedding"
        blocks, wide, act = f"{own}transformer.resblocks.", "mlp.c_fc.weight", "gelu"
    else:
        own = CLIP_XL if found.is_xl else CLIP
        words = f"{own}embeddings.token_embedding.weight"
        places = f"{own}embeddings.position_embedding.weight"
        blocks, wide, act = f"{own}encoder.layers.", "mlp.fc1.weight", "quick_gelu"
    shapes = found.shapes
    count, width = shapes[words]
    layers = found.count(blocks)
    return {
        "architectures": ["CLIPTextModelWithProjection" if second else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": count,
        "hidden_size": width,
        "intermediate_size": shapes[f"{blocks}0.{wide}"][0],
        # Stable Diffusion 2 was trained on what the layer before the last gives
        "num_hidden_layers": layers - 1 if found.is_v2 else layers,
        "num_attention_heads": max(1, width // HEAD),
        "max_position_embeddings": shapes[places][0],
        "projection_dim": shapes[f"{own}text_projection"][1] if second else width,
        "hidden_act": act,
        "bos_token_id": count - 2,
        "eos_token_id": count - 1,
        "pad_token_id": 0 if second or found.is_v2 else count - 1,
    }
