"""A training step of an AGP with Stable Diffusion 2.1's UNet and random weights.

    python -m sdtool.bench training --channels 320 --latent 64 --batch 64 --steps 20 \\
        --device cuda --mixed-precision bf16

Without options it is small enough for two CPU cores.
"""

import argparse
import json
import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers.utils import logging
from rich.table import Table
from safetensors.numpy import save_file
from torch import nn

from sdtool.bench.clocks import WARM, clock, peak, reset_peak, synchronize, timed
from sdtool.bench.stable_diffusion import TOKENS, flops, random_prior, sd21_unet, sd_vae
from sdtool.geometry.cameras import orbit
from sdtool.priors.agp import fresh_agp
from sdtool.priors.prior import Prior
from sdtool.training.data import Views
from sdtool.training.distributed import Processes
from sdtool.training.loop import Objective, seeded_noise, train
from sdtool.training.settings import TrainingSettings

ALONE = "the UNet alone, forward and backward"
OURS = "finetune-agp, the whole step"
STOCK = "stock text-to-image loop: VAE and text in every step"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """What is measured, and where."""
    parser = argparse.ArgumentParser(prog="python -m sdtool.bench training")
    parser.add_argument("--channels", type=int, default=64, help="of the first level; SD 2.1: 320")
    parser.add_argument("--latent", type=int, default=32, help="side of the maps; SD 2.1: 64")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="that are timed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--mixed-precision", choices=["no", "bf16"], default="no")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    return parser.parse_args(arguments)


def training(folder: Path, arguments: Sequence[str] = ()) -> Table:
    """Our loop, the UNet alone in it, and the stock text-to-image loop, at an equal batch."""
    given = options(arguments)
    logging.set_verbosity_error()
    processes = Processes(given.device, given.mixed_precision)
    unet = sd21_unet(given.channels, given.latent)
    prior = fresh_agp(random_prior(unet), torch.Generator().manual_seed(0)).to(processes.device)
    del unet
    rows = compared(prior, processes, given, folder)
    title = (
        f"Training a UNet of {given.channels} channels at {given.latent}×{given.latent}, batch "
        f"{given.batch}, {given.mixed_precision} mixed precision, on {processes.device.type}: "
        f"{flops(given.channels, given.latent) / 1e12:.3g} TFLOP forward and backward a sample"
    )
    if processes.device.type == "cpu":
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        title += f"; CPU time of {torch.get_num_threads()} threads; peak memory {most:.1f} GB"
    table = Table("loop", title=title, title_justify="left")
    for heading in ("ms a step", "samples/s", "UNet's share", "peak memory"):
        table.add_column(heading, justify="right")
    alone = rows[ALONE][0]
    for name, (seconds, most) in rows.items():
        memory = f"{most / 2**30:.1f} GB" if most else "–"
        rate = f"{given.batch / seconds:.2f}"
        table.add_row(name, f"{1000 * seconds:.0f}", rate, f"{alone / seconds:.1%}", memory)
    return table


def compared(
    prior: Prior, processes: Processes, given: argparse.Namespace, folder: Path
) -> dict[str, tuple[float, int]]:
    """`ALONE`, `OURS`, `STOCK`, at an equal batch: seconds of a step, bytes at most on an accelerator.

    prior: an AGP on the device of `processes`. given: as `options` gives it; its channels and latent
    are those of the prior.
    """
    width = prior.unet.config["cross_attention_dim"]
    if given.gradient_checkpointing:
        prior.unet.enable_gradient_checkpointing()
    return {
        ALONE: unet_alone(prior, processes, given, width),
        OURS: our_loop(prior, processes, given, width, folder),
        STOCK: stock_loop(prior, processes, given, width),
    }


# The three loops: each returns the seconds of a step, and the peak memory on an accelerator


def unet_alone(
    prior: Prior, processes: Processes, given: argparse.Namespace, width: int
) -> tuple[float, int]:
    """Forward, loss and backward on tensors that are already there."""
    prior.unet.requires_grad_(True)
    objective = processes.prepare(Objective(prior, lambda text: text))
    device, shape = processes.device, torch.Size((4, given.latent, given.latent))
    noise = seeded_noise(torch.arange(given.batch), shape, device)
    t = torch.arange(given.batch, device=device) * 7 % 1000
    text = noise.new_ones(given.batch, TOKENS, width)
    c2w = torch.eye(4, device=device).expand(given.batch, 4, 4)

    def step() -> None:
        with processes.autocast():
            loss = objective(noise.clamp(-1, 1), noise, t, text, c2w)
        loss.backward()
        prior.unet.zero_grad(set_to_none=True)

    return timed(step, given.steps, device)


def our_loop(
    prior: Prior, processes: Processes, given: argparse.Namespace, width: int, folder: Path
) -> tuple[float, int]:
    """`sdtool.training.loop.train` itself, fed from a shard and a file of embeddings."""
    data = Views([write_shard(folder, given.latent)], ("ccm",), {"object": ["a thing"]})
    table = np.memmap(folder / "text", np.float16, "w+", shape=(64, TOKENS, width))
    marks: list[float] = []

    def choose(generator, count):
        if len(marks) in (WARM, WARM + given.steps):
            synchronize(processes.device)
        marks.append(clock(processes.device))
        index = torch.randint(len(data), (count,), generator=generator)
        return index, torch.randint(len(table), (count,), generator=generator)

    def load(index, numbers):
        text = torch.from_numpy(table[numbers.numpy()]).to(processes.device).float()
        return prior.encode_map(data.maps(index.numpy())), text, data.cameras(index.numpy()), None

    settings = TrainingSettings(
        steps=WARM + given.steps + 1,
        batch=given.batch,
        gradient_checkpointing=given.gradient_checkpointing,
    )
    reset_peak(processes.device)
    train(
        prior,
        {"unet": prior.unet},
        choose,
        load,
        settings,
        folder / "ours",
        seed=0,
        processes=processes,
    )
    if given.gradient_checkpointing:
        prior.unet.enable_gradient_checkpointing()
    return (marks[WARM + given.steps] - marks[WARM]) / given.steps, peak(processes.device)


def stock_loop(
    prior: Prior, processes: Processes, given: argparse.Namespace, width: int
) -> tuple[float, int]:
    """What diffusers' text-to-image example does: pictures through the VAE, words through the text
    encoder, both frozen and in half precision where training is; AdamW, no averaged weights."""
    from transformers import CLIPTextConfig, CLIPTextModel

    device = processes.device
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
    frozen: tuple[nn.Module, ...] = (text_encoder, vae)
    for network in frozen:
        network.requires_grad_(False).to(device, dtype)
    prior.unet.requires_grad_(True)
    objective = processes.prepare(Objective(prior, lambda text: text))
    values = list(prior.unet.parameters())
    optimizer = torch.optim.AdamW(values, lr=1e-5)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(given.batch, 3, 8 * given.latent, 8 * given.latent, generator=generator)
    ids = torch.randint(49408, (given.batch, TOKENS), generator=generator)
    c2w = torch.eye(4, device=device).expand(given.batch, 4, 4)

    def step() -> None:
        with torch.no_grad():
            latent = vae.encode((2 * images - 1).to(device, dtype)).latent_dist.mean.float()
            text = text_encoder(ids.to(device)).last_hidden_state.float()
        t = torch.randint(1000, (given.batch,), generator=generator).to(device)
        noise = torch.randn(latent.shape, generator=generator).to(device)
        with processes.autocast():
            loss = objective(latent * 0.18215, noise, t, text, c2w)
        loss.backward()
        nn.utils.clip_grad_norm_(values, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return timed(step, given.steps, device)


# The data


def write_shard(folder: Path, latent: int, count: int = 256) -> Path:
    """A shard of `count` maps of noise, as `render-ccm` lays them out."""
    rng = np.random.default_rng(0)
    tensors = {
        "ccm": rng.uniform(-1, 1, (count, 4, latent, latent)).astype(np.float16),
        "c2w": orbit(rng.uniform(-3, 3, count), np.asarray(0.2), np.asarray(1.5)),
        "object": np.zeros(count, np.int32),
    }
    (folder / "shards").mkdir(exist_ok=True)
    path = folder / "shards" / "ccm-00000.safetensors"
    save_file(tensors, path, metadata={"uids": json.dumps(["object"])})
    return path.parent
