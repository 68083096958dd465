"""Train a small VAE from nothing: pictures of 128×128 become latents of 32×32 with four channels.

VIEWS are outputs of `sdtool render-ccm` that hold the maps `rgb` and `normal`; no captions are needed.
Its pictures have coverage as their fourth channel. The result is a diffusers folder (AutoencoderTiny)
for `sdtool train-base --vae`. Look at `samples/`: originals above, what comes out again below.

Examples:

    sdtool render-ccm objs/ --out views-128/ --maps rgb,normal --random-yaw --size 128 --supersample 2

    sdtool train-vae views-128/ --out vae/
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.runtime.options import Device, MixedPrecision, Out, Overwrite, Seed
from sdtool.training.options import Batch, CheckpointEvery, LearningRate, SampleEvery, Steps
from sdtool.training.settings import TrainingSettings
from sdtool.training.work_files import SAMPLES, sample_name

MAPS = ("rgb", "normal")
SHOWN = 16  # pictures by which it is measured


def train_vae(
    views: Annotated[
        list[Path], typer.Argument(help="Folders of rendered views.", metavar="VIEWS")
    ],
    out: Out = Path("vae"),
    channels: Annotated[int, typer.Option(min=4, help="Channels of every layer.")] = 32,
    steps: Steps = 4000,
    batch: Batch = 8,
    lr: LearningRate = 1.5e-3,
    sample_every: SampleEvery = 1000,
    checkpoint_every: CheckpointEvery = 500,
    device: Device = "auto",
    mixed_precision: MixedPrecision = "no",
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    settings = TrainingSettings(
        steps=steps,
        batch=batch,
        lr=lr,
        ema=0.99,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        sample_every=sample_every,
    )
    from sdtool.training.distributed import Processes, require_alone

    require_alone("train-vae")
    params: dict[str, Any] = {"steps": steps, "batch": batch, "lr": lr, "channels": channels}
    params |= {"mixed_precision": mixed_precision, "seed": seed}
    record = stage_record.begin(
        out,
        "train-vae",
        params=params,
        inputs={f"views-{k}": folder for k, folder in enumerate(views)},
        overwrite=overwrite,
        owned=(SAMPLES,),
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite trains it again", file=sys.stderr)
        return record.result()

    import numpy as np
    import torch

    from sdtool.io.images import grid, write_png
    from sdtool.io.words import counted
    from sdtool.priors.fresh import LATENTS, fresh_vae
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.data import Views, counts
    from sdtool.training.loop import fit, to_device
    from sdtool.training.memory import out_of_memory_named
    from sdtool.training.preflight import check_numbers, say_odd
    from sdtool.training.vae import FACTOR, Reconstruction, psnr, save_vae

    data = Views(views, MAPS)
    if data.size % FACTOR:
        raise UsageError(
            f"maps of {data.size} pixels; render with a --size that {FACTOR} divides", "VIEWS"
        )
    processes = Processes(device, mixed_precision)
    check_numbers(data, processes)
    say_odd(data, batch, processes)
    vae = fresh_vae(channels, seed)
    objective = Reconstruction(vae).to(processes.device)
    small = data.size // FACTOR
    chosen = np.random.default_rng(seed).permutation(len(data))[:SHOWN]
    shown = data.maps(chosen).to(processes.device)

    def draw(generator, count):
        index = torch.randint(len(data), (count,), generator=generator)
        noise = torch.randn(count, LATENTS, small, small, generator=generator)
        return index, noise

    def share(is_half, index, noise):
        maps = data.maps(index.numpy()).contiguous(memory_format=torch.channels_last)
        return to_device(maps, processes.device), to_device(noise, processes.device)

    @torch.no_grad()
    def sample(step):
        found = vae.decode(vae.encode(shown).latents).sample
        rows = [(x[:, :3].cpu().float().movedim(1, -1).numpy() + 1) / 2 for x in (shown, found)]
        write_png(out / sample_name(step), grid(np.concatenate(rows), len(shown)))

    said = f"{counted(len(data), 'map')} of {counted(len(data.uids), 'object')}"
    print(f"{said} on {processes.device}", file=sys.stderr)
    record.clear()
    with out_of_memory_named(settings):
        loss = fit(
            objective,
            {"vae": vae},
            draw,
            share,
            settings,
            out,
            seed=seed,
            processes=processes,
            sample=sample,
        )
    quality = psnr(vae, shown)
    facts = params | {"maps": len(data), "loss": round(loss, 5), "psnr": round(quality, 2)}
    print(f"reconstruction: {quality:.1f} dB", file=sys.stderr)
    outputs = save_vae(vae.cpu(), out, facts)
    clear_checkpoints(out)
    outputs += ["log.jsonl", *(["samples"] if (out / "samples").is_dir() else [])]
    return record.finish(counts=counts(len(data.uids), len(data)), outputs=outputs)
