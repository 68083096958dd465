"""Stable Diffusion's networks in their real shapes, or scaled, with random weights."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from sdtool.priors.models import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from sdtool.priors.prior import Prior

TOKENS = 77  # of a text


def sd21_unet(channels: int = 320, latent: int = 64) -> UNet2DConditionModel:
    """Stable Diffusion 2.1-base's UNet; `channels` scales it, with heads of 64 channels as there."""
    heads = channels // 64
    return UNet2DConditionModel(
        sample_size=latent,
        in_channels=4,
        out_channels=4,
        block_out_channels=(channels, 2 * channels, 4 * channels, 4 * channels),
        attention_head_dim=[heads, 2 * heads, 4 * heads, 4 * heads],
        cross_attention_dim=1024 * channels // 320,
        use_linear_projection=True,
    )


def sd_vae(channels: int = 320) -> AutoencoderKL:
    """Stable Diffusion's VAE, scaled alike (to multiples of its 32 groups)."""
    widths = [max(1, round(part * channels / 320 / 32)) * 32 for part in (128, 256, 512, 512)]
    return AutoencoderKL(
        block_out_channels=tuple(widths),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )


def flops(channels: int, latent: int) -> float:
    """Floating-point operations of one sample, forward and backward, counted without computing."""
    with torch.device("meta"):
        unet = sd21_unet(channels, latent)
        x, text = torch.empty(1, 4, latent, latent), torch.empty(1, TOKENS, 1024 * channels // 320)
        with FlopCounterMode(display=False) as counter:
            unet(x, torch.zeros(1), encoder_hidden_states=text).sample.sum().backward()
    return counter.get_total_flops()


def random_prior(unet: UNet2DConditionModel) -> Prior:
    """A prior of this UNet, without a text encoder."""
    return Prior(unet, None, DDPMScheduler().alphas_cumprod, name="random weights")
