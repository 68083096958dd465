"""A training step of an AGP with Stable Diffusion 2.1's UNet and random weights.

    python -m sdtool.bench training --channels 320 --latent 64 --batch 64 --steps 20 \\
        --device cuda --mixed-precision bf16

Without options it is small enough for two CPU cores.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.utils import logging
from rich.table import Table
from safetensors.numpy import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sdtool.geometry.cameras import orbit
from sdtool.priors.agp import fresh_agp
from sdtool.priors.prior import Prior
from sdtool.training.data import Views
from sdtool.training.distributed import Team
from sdtool.training.loop import Objective, Plan, seeded_noise, train

TOKENS, WARM = 77, 2


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """What is measured, and where."""
    parser = argparse.ArgumentParser(prog="python -m sdtool.bench training")
    parser.add_argument("--channels", type=int, default=64, help="of the first level; SD 2.1: 320")
    parser.add_argument("--latent", type=int, default=32, help="side of the maps; SD 2.1: 64")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="that are timed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--mixed-precision", default="no")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    return parser.parse_args(arguments)


def training(folder: Path, arguments: Sequence[str] = ()) -> Table:
    """Our loop, the UNet alone in it, and the stock text-to-image loop, at an equal batch."""
    given = options(arguments)
    logging.set_verbosity_error()
    team = Team(given.device, given.mixed_precision)
    unet, width = sd21_unet(given.channels, given.latent), 1024 * given.channels // 320
    prior = fresh_agp(_prior(unet), torch.Generator().manual_seed(0)).to(team.device)
    del unet
    if given.recompute:
        prior.unet.enable_gradient_checkpointing()
    rows = {
        "the UNet alone, forward and backward": unet_alone(prior, team, given, width),
        "finetune-agp, the whole step": our_loop(prior, team, given, width, folder),
        "stock text-to-image loop: VAE and text in every step": stock_loop(
            prior, team, given, width
        ),
    }
    title = (
        f"Training a UNet of {given.channels} channels at {given.latent}×{given.latent}, batch "
        f"{given.batch}, {given.mixed_precision} mixed precision, on {team.device.type}: "
        f"{flops(given.channels, given.latent) / 1e12:.3g} TFLOP forward and backward a sample"
    )
    if team.device.type == "cpu":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        title += f"; CPU time of {torch.get_num_threads()} threads; peak memory {peak:.1f} GB"
    table = Table("loop", title=title, title_justify="left")
    for heading in ("ms a step", "samples/s", "UNet's share", "peak memory"):
        table.add_column(heading, justify="right")
    alone = rows["the UNet alone, forward and backward"][0]
    for name, (seconds, peak) in rows.items():
        memory = f"{peak / 2**30:.1f} GB" if peak else "–"
        rate = f"{given.batch / seconds:.2f}"
        table.add_row(name, f"{1000 * seconds:.0f}", rate, f"{alone / seconds:.1%}", memory)
    return table


# The three loops: each returns the seconds of a step, and the peak memory on an accelerator


def unet_alone(prior: Prior, team: Team, given, width: int) -> tuple[float, int]:
    """Forward, loss and backward on tensors that are already there."""
    prior.unet.requires_grad_(True)
    objective = team.prepare(Objective(prior, lambda text: text))
    device, shape = team.device, (4, given.latent, given.latent)
    noise = seeded_noise(torch.arange(given.batch), shape, device)
    t = torch.arange(given.batch, device=device) * 7 % 1000
    text = noise.new_ones(given.batch, TOKENS, width)
    c2w = torch.eye(4, device=device).expand(given.batch, 4, 4)

    def step():
        objective(noise.clamp(-1, 1), noise, t, text, c2w).backward()
        prior.unet.zero_grad(set_to_none=True)

    return timed(step, given.steps, device)


def our_loop(prior: Prior, team: Team, given, width: int, folder: Path) -> tuple[float, int]:
    """`sdtool.training.loop.train` itself, fed from a shard and a file of embeddings."""
    data = Views([write_shard(folder, given.latent)], ("ccm",), {"object": ["a thing"]})
    table = np.memmap(folder / "text", np.float16, "w+", shape=(64, TOKENS, width))
    marks: list[float] = []

    def choose(generator, count):
        if len(marks) in (WARM, WARM + given.steps):
            _synchronize(team.device)
        marks.append(_clock(team.device))
        index = torch.randint(len(data), (count,), generator=generator)
        return index, torch.randint(len(table), (count,), generator=generator)

    def load(index, numbers):
        text = torch.from_numpy(table[numbers.numpy()]).to(team.device).float()
        return prior.encode_map(data.maps(index.numpy())), text, data.cameras(index.numpy())

    plan = Plan(steps=WARM + given.steps + 1, batch=given.batch, recompute=given.recompute)
    _reset_peak(team.device)
    train(prior, {"unet": prior.unet}, choose, load, plan, folder / "ours", seed=0, team=team)
    if given.recompute:
        prior.unet.enable_gradient_checkpointing()
    return (marks[WARM + given.steps] - marks[WARM]) / given.steps, _peak(team.device)


def stock_loop(prior: Prior, team: Team, given, width: int) -> tuple[float, int]:
    """What diffusers' text-to-image example does: pictures through the VAE, words through the text
    encoder, both frozen and in half precision where training is; AdamW, no averaged weights."""
    from transformers import CLIPTextConfig, CLIPTextModel

    device = team.device
    dtype = torch.bfloat16 if given.mixed_precision == "bf16" else torch.float32
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=23,
            num_attention_heads=max(1, width // 64),
            max_position_embeddings=TOKENS,
        )
    )
    vae = sd_vae(given.channels)
    for frozen in (text_encoder, vae):
        frozen.requires_grad_(False).to(device, dtype)
    prior.unet.requires_grad_(True)
    objective = team.prepare(Objective(prior, lambda text: text))
    values = list(prior.unet.parameters())
    optimizer = torch.optim.AdamW(values, lr=1e-5)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(given.batch, 3, 8 * given.latent, 8 * given.latent, generator=generator)
    ids = torch.randint(49408, (given.batch, TOKENS), generator=generator)
    c2w = torch.eye(4, device=device).expand(given.batch, 4, 4)

    def step():
        with torch.no_grad():
            latent = vae.encode((2 * images - 1).to(device, dtype)).latent_dist.mean.float()
            text = text_encoder(ids.to(device)).last_hidden_state.float()
        t = torch.randint(1000, (given.batch,), generator=generator).to(device)
        noise = torch.randn(latent.shape, generator=generator).to(device)
        objective(latent * 0.18215, noise, t, text, c2w).backward()
        nn.utils.clip_grad_norm_(values, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return timed(step, given.steps, device)


# Models of the real shapes, with random weights


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


def _prior(unet: UNet2DConditionModel) -> Prior:
    return Prior(unet, None, DDPMScheduler().alphas_cumprod, name="random weights")


def write_shard(folder: Path, latent: int, count: int = 256) -> Path:
    """A shard of `count` maps of noise, as `render-ccm` lays them out."""
    rng = np.random.default_rng(0)
    tensors = {
        "ccm": rng.uniform(-1, 1, (count, 4, latent, latent)).astype(np.float16),
        "c2w": orbit(rng.uniform(-3, 3, count), 0.2, 1.5),
        "object": np.zeros(count, np.int32),
    }
    (folder / "shards").mkdir(exist_ok=True)
    path = folder / "shards" / "ccm-00000.safetensors"
    save_file(tensors, path, metadata={"uids": json.dumps(["object"])})
    return path.parent


# Clocks and memory


def timed(step: Callable[[], None], count: int, device: torch.device) -> tuple[float, int]:
    """Seconds of a step, after some to warm up, and the peak memory on an accelerator."""
    _reset_peak(device)
    for _ in range(WARM):
        step()
    _synchronize(device)
    start = _clock(device)
    for _ in range(count):
        step()
    _synchronize(device)
    return (_clock(device) - start) / count, _peak(device)


def _clock(device: torch.device) -> float:
    """Seconds; on a CPU of its own work only, since others may share it."""
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _reset_peak(device: torch.device) -> None:
    if device.type != "cpu":
        torch.get_device_module(device).reset_peak_memory_stats()


def _peak(device: torch.device) -> int:
    return 0 if device.type == "cpu" else torch.get_device_module(device).max_memory_allocated()
