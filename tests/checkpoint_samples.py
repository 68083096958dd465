"""A pipeline's folder as one file, with the names that the first code of Stable Diffusion gave: what
diffusers' `from_single_file` undoes, written the other way round."""

import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
AROUND = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def write_checkpoint(folder: Path, path: Path, **more: torch.Tensor) -> Path:
    """Write what is in a folder of Stable Diffusion 1, 2 (where its name begins with v2) or SDXL into one
    file, and CLIP's vocabulary beside it; return the file."""
    parts = {p.parent.name: load_file(p) for p in folder.glob("*/*.safetensors")}
    tensors = {f"model.diffusion_model.{k}": v for k, v in unet_names(parts["unet"]).items()}
    tensors |= {f"first_stage_model.{k}": v for k, v in vae_names(parts["vae"]).items()}
    text = {k.removeprefix("text_model."): v for k, v in parts["text_encoder"].items()}
    if "text_encoder_2" in parts:
        at, second = "conditioner.embedders", parts["text_encoder_2"]
        tensors |= {f"{at}.0.transformer.text_model.{k}": v for k, v in text.items()}
        tensors |= {f"{at}.1.model.{k}": v for k, v in open_clip_names(second).items()}
    elif folder.name.startswith("v2"):
        last = 1 + max(int(k.split(".")[2]) for k in text if k.startswith("encoder.layers"))
        copied = {
            k.replace("layers.0.", f"layers.{last}."): v
            for k, v in text.items()
            if ".layers.0." in k
        }
        text = open_clip_names(text | copied)  # the last layer, which is not used
        tensors |= {f"cond_stage_model.model.{k}": v for k, v in text.items()}
    else:
        tensors |= {f"cond_stage_model.transformer.text_model.{k}": v for k, v in text.items()}
    tensors |= {
        "alphas_cumprod": torch.ones(1000),
        "model_ema.decay": torch.tensor(0.9999),
    }  # not used
    for head in [name for name in tensors if name.endswith("token_embedding.weight")]:
        at = head.removesuffix("token_embedding.weight")
        is_clip = at.endswith("embeddings.")
        unused = (
            {"position_ids": torch.arange(77)[None]}
            if is_clip
            else {"logit_scale": torch.tensor(4.6)}
        )
        tensors |= {at + name: value for name, value in unused.items()}
    save_file({k: v.clone().contiguous() for k, v in (tensors | more).items()}, path)
    shutil.copytree(folder / "tokenizer", path.parent / "tokenizer", dirs_exist_ok=True)
    return path


def unet_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """diffusers' names of a UNet's tensors → those of a checkpoint."""
    layers = 1 + max(int(k.split(".")[3]) for k in state if k.startswith("down_blocks.0.resnets"))
    attends = {k.split(".")[1] for k in state if re.match(r"up_blocks\.\d+\.attentions", k)}

    def renamed(name: str) -> str:
        for ours, theirs in AROUND.items():
            if name.startswith(f"{ours}."):
                return name.replace(ours, theirs, 1)
        if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
            place = 1 if match[1] == "attentions" else 2 * int(match[2])
            return f"middle_block.{place}.{inner(match[3])}"
        kind, block, part, layer, rest = re.match(
            r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name
        ).groups()
        block, layer = int(block), int(layer)
        if part == "downsamplers":
            return f"input_blocks.{(layers + 1) * (block + 1)}.0.op.{rest.removeprefix('conv.')}"
        if part == "upsamplers":
            second = 2 if str(block) in attends else 1
            return f"output_blocks.{(layers + 1) * block + layers}.{second}.{rest}"
        k = (layers + 1) * block + layer + (kind == "down")
        side = "input" if kind == "down" else "output"
        return f"{side}_blocks.{k}.{int(part == 'attentions')}.{inner(rest)}"

    def inner(rest: str) -> str:
        head, _, tail = rest.partition(".")
        return f"{RESNET[head]}.{tail}" if head in RESNET else rest

    return {renamed(name): value for name, value in state.items()}


def vae_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """diffusers' names of a VAE's tensors → those of a checkpoint, whose attention is of 1×1 convolutions."""
    top = max(int(k.split(".")[2]) for k in state if "up_blocks" in k)
    linear = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    found = {}
    for name, value in state.items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{top - int(m[1])}.block", new)
        new = re.sub(
            r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{top - int(m[1])}.upsample", new
        )
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        if "mid_block.attentions.0" in new:
            new = new.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
            for ours, theirs in linear.items():
                if f".{ours}." in new:
                    new = new.replace(ours, theirs)
                    value = value[..., None, None] if value.dim() == 2 else value
        found[new] = value
    return found


def open_clip_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """transformers' names of a CLIP text model → OpenCLIP's, with queries, keys and values in one tensor."""
    found, names = (
        {},
        {
            "embeddings.token_embedding.weight": "token_embedding.weight",
            "embeddings.position_embedding.weight": "positional_embedding",
            "final_layer_norm.weight": "ln_final.weight",
            "final_layer_norm.bias": "ln_final.bias",
        },
    )
    layers = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj"}
    layers |= {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for name, value in state.items():
        name = name.removeprefix("text_model.")
        if name in names:
            found[names[name]] = value
        elif name == "text_projection.weight":
            found["text_projection"] = value.T
        elif match := re.match(r"encoder\.layers\.(\d+)\.(.*)\.(weight|bias)", name):
            at = f"transformer.resblocks.{match[1]}"
            if match[2].endswith("q_proj"):
                rows = [state[_like(state, name, f"{part}_proj")] for part in "qkv"]
                found[f"{at}.attn.in_proj_{match[3]}"] = torch.cat(rows)
            elif match[2] in layers:
                found[f"{at}.{layers[match[2]]}.{match[3]}"] = value
    return found


def _like(state: dict[str, torch.Tensor], name: str, part: str) -> str:
    """The full name of another projection of the same attention."""
    wanted = name.replace("q_proj", part)
    return next(full for full in state if full.removeprefix("text_model.") == wanted)
