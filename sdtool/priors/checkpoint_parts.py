"""The parts of a prior from one `.safetensors` file, by diffusers' `from_single_file`, without a network."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from sdtool.errors import InputError
from sdtool.io.files import write_json
from sdtool.priors.checkpoint import UNET, VAE, Checkpoint
from sdtool.priors.checkpoint_configs import SCHEDULE, text_config, unet_config, vae_config
from sdtool.priors.models import (
    AutoencoderKL,
    DDPMScheduler,
    UNet2DConditionModel,
    create_diffusers_clip_model_from_ldm,
)
from sdtool.priors.text import TextEncoder, encoder_of
from sdtool.priors.vocabulary import clip_tokenizer

LARGER = 96
"""Side of the latents of Stable Diffusion 2 at 768 pixels, which predicts v; at 512 it predicts noise."""


def checkpoint_unet(found: Checkpoint, dtype: torch.dtype) -> UNet2DConditionModel:
    """Its UNet, of the sample size that goes with what it predicts."""
    unet = _part(found, (UNET,), unet_config(found), _single(UNet2DConditionModel, dtype))
    if found.is_v2 and checkpoint_prediction(found, unet) == "v_prediction":
        unet.register_to_config(sample_size=LARGER)
    return unet


def checkpoint_vae(found: Checkpoint, dtype: torch.dtype) -> AutoencoderKL:
    """Its VAE."""
    return _part(found, (VAE,), vae_config(found), _single(AutoencoderKL, dtype))


def checkpoint_text_encoder(
    found: Checkpoint, dtype: torch.dtype, second: bool = False
) -> TextEncoder:
    """Its text encoder, or SDXL's second one, with CLIP's vocabulary from elsewhere."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    kind = CLIPTextModelWithProjection if second else CLIPTextModel
    prefix = f"conditioner.embedders.{int(second)}." if found.is_xl else "cond_stage_model."

    def load(tensors: dict[str, torch.Tensor], place: Path) -> Any:
        return create_diffusers_clip_model_from_ldm(
            kind, tensors, config=str(place), torch_dtype=dtype, local_files_only=True
        )

    config = text_config(found, second)
    tokenizer = clip_tokenizer(found.path, config["vocab_size"], config["pad_token_id"])
    return encoder_of(_part(found, (prefix,), config, load), tokenizer)


def checkpoint_scheduler(found: Checkpoint, unet: UNet2DConditionModel) -> DDPMScheduler:
    """Its noise schedule. unet: its own, or that of an AGP of it."""
    return DDPMScheduler(
        **SCHEDULE,
        prediction_type=checkpoint_prediction(found, unet),
        rescale_betas_zero_snr=found.is_without_signal,
    )


def checkpoint_prediction(found: Checkpoint, unet: UNet2DConditionModel) -> str:
    """What the UNet predicts: as something says, or as it does."""
    return found.prediction or measured_prediction(unet)


@torch.no_grad()
def measured_prediction(unet: UNet2DConditionModel) -> str:
    """ "epsilon" or "v_prediction", told from the UNet's answer to pure noise at the last time.

    There the noise is all that is in x, so a UNet that predicts it gives x back; v is −x₀ there, which has
    little to do with x.
    """
    config, generator = unet.config, torch.Generator().manual_seed(0)
    x = torch.randn((1, config["in_channels"], 16, 16), generator=generator).to(unet.device)
    text = x.new_zeros((1, 77, config["cross_attention_dim"]))
    labels = None
    if config["class_embed_type"]:
        labels = x.new_zeros((1, config["projection_class_embeddings_input_dim"])).to(unet.dtype)
    t = torch.tensor([999], device=unet.device)
    out = unet(x.to(unet.dtype), t, text.to(unet.dtype), class_labels=labels).sample.float()
    alike = torch.cosine_similarity(out.flatten(), x.flatten(), dim=0)
    return "epsilon" if alike > 0.5 else "v_prediction"


Load = Callable[[dict[str, torch.Tensor], Path], Any]


def _single(kind: Any, dtype: torch.dtype) -> Load:
    def load(tensors: dict[str, torch.Tensor], place: Path) -> Any:
        return kind.from_single_file(
            tensors, config=str(place), torch_dtype=dtype, local_files_only=True
        )

    return load


def _part(found: Checkpoint, prefixes: tuple[str, ...], config: dict[str, Any], load: Load) -> Any:
    """A model of the tensors whose names begin so; InputError if some are missing or no numbers."""
    with safe_open(found.path, framework="pt") as opened:
        tensors = {k: opened.get_tensor(k) for k in found.shapes if k.startswith(prefixes)}
    why = "a tensor is missing"
    with tempfile.TemporaryDirectory() as place:
        write_json(Path(place) / "config.json", config)
        try:
            model = load(tensors, Path(place))
        except (KeyError, ValueError, NotImplementedError, RuntimeError) as error:
            why, model = (str(error).strip() or type(error).__name__).splitlines()[0], None
    if model is None or any(p.device.type == "meta" for p in model.parameters()):
        raise InputError(
            f"{found.path} is not whole, or of another architecture than its other parts ({prefixes[0]}…: "
            f"{why}); download it again"
        )
    for name, value in model.named_parameters():
        if not torch.isfinite(value).all():
            raise InputError(
                f"{found.path} is damaged: {prefixes[0]}… has what is no number (NaN or infinity) in {name}; "
                "download it again"
            )
    return model.requires_grad_(False).eval()
