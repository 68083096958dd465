"""A prior that answers the guided prediction in one pass.

Beside its prediction p_c of what a text asks for, the UNet gives the direction of the guidance, δ = p_c − p_u
(p_u: without the text), in as many further channels; then p_u + s·δ = p_c + (s − 1)·δ for every scale s.
Meng et al. (2022) tell the scale to the network instead, which must then learn each scale's answer.
"""

import torch

from sdtool.errors import InputError
from sdtool.priors.adapters import whole_state
from sdtool.priors.models import UNet2DConditionModel
from sdtool.priors.prior import Prior


def fresh_guided(teacher: Prior) -> Prior:
    """A copy of a prior with channels for the direction of its guidance, which are zero still, also where it
    was guided before. Shares the teacher's text encoder and VAE.
    """
    config, state = plain_unet(teacher)
    if config["out_channels"] != teacher.channels:
        raise InputError(
            f"{teacher.name} predicts more than noise; its guidance cannot be distilled"
        )
    config["out_channels"] *= 2
    unet = UNet2DConditionModel.from_config(config).to(teacher.device, teacher.unet.dtype)
    for name in ("conv_out.weight", "conv_out.bias"):
        state[name] = torch.cat([state[name], torch.zeros_like(state[name])])
    unet.load_state_dict(state)
    return with_unet(teacher, unet, f"{teacher.name}, guided", is_guided=True)


def with_unet(
    prior: Prior, unet: UNet2DConditionModel, name: str, is_guided: bool = False
) -> Prior:
    """A prior that is like another but for its UNet and its name."""
    return Prior(
        unet.to(memory_format=torch.channels_last),  # type: ignore[call-arg]  # wants a self
        prior.text,
        prior.alphas_cumprod,
        prediction=prior.prediction,
        vae=prior.vae,
        normal_suffix=prior.normal_suffix,
        vocabulary=prior.vocabulary,
        name=name,
        text_folder=prior.text_folder,
        is_guided=is_guided,
    )


def plain_unet(prior: Prior) -> tuple[dict, dict[str, torch.Tensor]]:
    """Configuration and state of a prior's UNet, without a direction of the guidance and with its adapters
    merged, for what is trained from it."""
    return unguided(prior, whole_state(prior.unet))


def unguided(prior: Prior, state: dict[str, torch.Tensor]) -> tuple[dict, dict[str, torch.Tensor]]:
    """Configuration of a prior's UNet and its state, which is given, without a direction of the guidance."""
    config = dict(prior.unet.config)
    config.pop("_use_default_values", None)  # else diffusers resets what the prior left at default
    if prior.is_guided:
        config["out_channels"] = prior.channels
        for name in ("conv_out.weight", "conv_out.bias"):
            state[name] = state[name][: prior.channels]
    return config, state
