"""A prior that answers the guided prediction in one pass (Meng et al. 2022, stage one of their distillation).

The guidance scale goes in beside the time, through diffusers' own hook for it (`time_cond_proj_dim`), which
latent consistency models use in the same way. Without a scale the UNet answers as it always did, so one
folder serves as a plain prior and as a guided one.
"""

import torch
from diffusers.models import UNet2DConditionModel
from torch import nn

from sdtool.errors import InputError
from sdtool.priors.prior import GUIDANCE_NUMBERS, Prior


def fresh_guided(teacher: Prior, scales: tuple[float, float]) -> Prior:
    """A copy of a prior with a hook for guidance scales, which do not change its answers yet.

    scales: the least and the most that it will be asked for. Shares the teacher's text encoder and VAE.
    """
    if teacher.guidance is not None:
        raise InputError(
            f"{teacher.name} answers guided predictions already; name what it came from"
        )
    if teacher.unet.config["time_cond_proj_dim"] is not None:
        raise InputError(f"{teacher.name} already uses the hook that the guidance scale needs")
    config = {**teacher.unet.config, "time_cond_proj_dim": GUIDANCE_NUMBERS}
    config.pop(
        "_use_default_values", None
    )  # else diffusers resets what the teacher left at default
    unet = UNet2DConditionModel.from_config(config).to(teacher.device, teacher.unet.dtype)
    missing, unexpected = unet.load_state_dict(teacher.unet.state_dict(), strict=False)
    assert not unexpected and missing == ["time_embedding.cond_proj.weight"]
    nn.init.zeros_(unet.time_embedding.cond_proj.weight)
    return Prior(
        unet.to(memory_format=torch.channels_last),
        teacher.text,
        teacher.alphas_cumprod,
        prediction=teacher.prediction,
        vae=teacher.vae,
        normal_suffix=teacher.normal_suffix,
        vocabulary=teacher.vocabulary,
        name=f"{teacher.name}, guided",
        text_folder=teacher.text_folder,
        guidance=scales,
    )


def without_guidance(config: dict, state: dict) -> tuple[dict, dict]:
    """A UNet's configuration and state without the hook for guidance scales, for what is trained from it."""
    state = {name: value for name, value in state.items() if ".cond_proj." not in name}
    return {**config, "time_cond_proj_dim": None}, state
