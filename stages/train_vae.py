"""Train a small VAE from nothing: pictures of 128×128 become latents of 32×32 with four channels.

VIEWS are outputs of `sdtool render-ccm` that hold the maps `rgb` and `normal`; no captions are needed.
Its pictures have coverage as their fourth channel. The result is a diffusers folder (AutoencoderTiny)
for `sdtool train-base --vae`. Look at `samples/`: originals above, what comes out again below.

**Examples**

    sdtool render-ccm objs/ --out views-128/ --maps rgb,normal --random-yaw --size 128 --supersample 2

    sdtool train-vae views-128/ --out vae/
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record

MAPS = ("rgb", "normal")
SHOWN = 16  # pictures by which it is measured


def train_vae(
    views: Annotated[
        list[Path], typer.Argument(help="Folders of rendered views.", metavar="VIEWS")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("vae"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 4000,
    batch: Annotated[int, typer.Option(min=1, help="Pictures in a step.")] = 8,
    lr: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 1.5e-3,
    channels: Annotated[int, typer.Option(min=4, help="Channels of every layer.")] = 32,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    sample_every: Annotated[int, typer.Option(min=1, help="Steps between sample grids.")] = 1000,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, …", autocompletion=lambda: ["auto", "cpu", "cuda"])
    ] = "auto",
    mixed_precision: Annotated[
        str, typer.Option(help="no or bf16.", autocompletion=lambda: ["no", "bf16"])
    ] = "no",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier result.")
    ] = False,
) -> stage_record.Result:
    from sdtool.training.distributed import require_alone

    require_alone("train-vae")
    params = {"steps": steps, "batch": batch, "lr": lr, "channels": channels}
    params |= {"mixed_precision": mixed_precision, "seed": seed}
    record = stage_record.begin(
        out,
        "train-vae",
        params=params,
        inputs={f"views-{k}": folder for k, folder in enumerate(views)},
        overwrite=overwrite,
        owned=("samples/step-??????.png",),
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite trains it again", file=sys.stderr)
        return record.result()

    import numpy as np
    import torch

    from sdtool.io.images import grid, write_png
    from sdtool.priors.fresh import LATENTS, fresh_vae
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.data import Views
    from sdtool.training.distributed import Team
    from sdtool.training.loop import Plan, fit, to_device
    from sdtool.training.vae import FACTOR, Reconstruction, psnr, save_vae

    data = Views(views, MAPS)
    if data.size % FACTOR:
        raise UsageError(f"maps of {data.size} pixels; render with a --size that {FACTOR} divides")
    team = Team(device, mixed_precision)
    vae = fresh_vae(channels, seed).to(team.device)
    small = data.size // FACTOR
    chosen = np.random.default_rng(seed).permutation(len(data))[:SHOWN]
    shown = data.maps(chosen).to(team.device)

    def draw(generator, count):
        index = torch.randint(len(data), (count,), generator=generator)
        noise = torch.randn(count, LATENTS, small, small, generator=generator)
        return index, noise

    def share(step, index, noise):
        maps = data.maps(index.numpy()).contiguous(memory_format=torch.channels_last)
        return to_device(maps, team.device), to_device(noise, team.device)

    @torch.no_grad()
    def sample(step):
        found = vae.decode(vae.encode(shown).latents).sample
        rows = [(x[:, :3].cpu().float().movedim(1, -1).numpy() + 1) / 2 for x in (shown, found)]
        write_png(out / "samples" / f"step-{step:06d}.png", grid(np.concatenate(rows), len(shown)))

    print(f"{len(data)} maps of {len(data.uids)} objects on {team.device}", file=sys.stderr)
    plan = Plan(
        steps=steps,
        batch=batch,
        lr=lr,
        ema=0.99,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        sample_every=sample_every,
    )
    record.clear()
    objective, modules = Reconstruction(vae), {"vae": vae}
    loss = fit(objective, modules, draw, share, plan, out, seed=seed, team=team, sample=sample)
    quality = psnr(vae, shown)
    facts = params | {"maps": len(data), "loss": round(loss, 5), "psnr": round(quality, 2)}
    print(f"reconstruction: {quality:.1f} dB", file=sys.stderr)
    outputs = save_vae(vae.cpu(), out, facts)
    clear_checkpoints(out)
    counts = {"ok": len(data.uids), "failed": 0, "maps": len(data)}
    return record.finish(counts=counts, outputs=[*outputs, "log.jsonl", "samples"])
