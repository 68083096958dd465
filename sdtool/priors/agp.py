"""The aligned geometric prior (paper, section 3.1): a base prior that also sees the camera."""

from typing import Any

import torch
from torch import nn

from sdtool.errors import InputError
from sdtool.priors.guided import plain_unet, with_unet
from sdtool.priors.models import UNet2DConditionModel
from sdtool.priors.prior import CAMERA_NUMBERS, Prior


def fresh_agp(base: Prior, generator: torch.Generator) -> Prior:
    """An AGP that still equals its base: the same UNet with diffusers' hook for a vector.

    The camera passes through Linear–SiLU–Linear and is added to the time embedding. The last layer
    starts at zero, so the output is the base's bit for bit, whatever the camera. Shares the base's
    text encoder. generator: CPU, draws the first layer.

    In SDXL's kind, diffusers gives one width to this hook and to that of the sizes; the camera's twelve
    numbers are followed by zeros there.
    """
    check_base(base)
    config, state = plain_unet(base)
    unet = UNet2DConditionModel.from_config(config | camera_hook(base)).to(
        base.device, base.unet.dtype
    )
    missing, unexpected = unet.load_state_dict(state, strict=False)
    assert not unexpected and all(name.startswith("class_embedding.") for name in missing)
    start_camera(unet, generator)
    return Prior(
        unet.to(memory_format=torch.channels_last),
        base.text,
        base.alphas_cumprod,
        prediction=base.prediction,
        vocabulary=base.vocabulary,
        name=f"an AGP of {base.name}",
    )


def check_base(base: Prior) -> None:
    """InputError if no AGP can be made of a base."""
    if base.channels not in (3, 4):
        raise InputError(
            f"{base.name} works on {base.channels} channels; a canonical coordinate map has 4, or 3 "
            "without its coverage, so the AGP needs a base such as Stable Diffusion, DeepFloyd IF's "
            "first stage or the tiny one"
        )
    if base.unet.config["class_embed_type"] is not None:
        raise InputError(f"{base.name} already uses the hook that the camera needs")


def camera_hook(base: Prior) -> dict[str, Any]:
    """What the configuration of a base's UNet needs for the camera; of SDXL's kind, the width is there."""
    wide = {} if base.takes_sizes else {"projection_class_embeddings_input_dim": CAMERA_NUMBERS}
    return {"class_embed_type": "projection", **wide}


def start_camera(unet: Any, generator: torch.Generator) -> None:
    """Draw the camera's first layer; its last starts at zero."""
    first, last = unet.class_embedding.linear_1, unet.class_embedding.linear_2
    with torch.no_grad():
        draw = torch.randn(len(first.weight), CAMERA_NUMBERS, generator=generator)
        nn.init.zeros_(first.weight)
        first.weight[:, :CAMERA_NUMBERS] = draw / CAMERA_NUMBERS**0.5
        nn.init.zeros_(first.bias)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)


def plain_agp(agp: Prior) -> Prior:
    """An AGP to train further: its weights without a direction of the guidance, if it was distilled."""
    config, state = plain_unet(agp)
    unet = UNet2DConditionModel.from_config(config).to(agp.device, agp.unet.dtype)
    unet.load_state_dict(state)
    return with_unet(agp, unet, agp.name)


def jittered(c2w: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Cameras (N, 4, 4), each turned about the origin by a rotation vector (N, 3) in radians."""
    x, y, z = turns.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    rotation = torch.zeros(len(turns), 4, 4)
    rotation[:, :3, :3] = torch.linalg.matrix_exp(cross)  # Rodrigues' formula
    rotation[:, 3, 3] = 1
    return rotation @ c2w
