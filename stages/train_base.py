"""Train a small text-to-image base prior from nothing.

VIEWS are outputs of `sdtool render-ccm` that hold the maps `rgb` and `normal`; both are used, taken
in turn at random, and the prompt of a normal map ends in ", normal map". The cameras are not used:
like any text-to-image model, this prior knows what things look like, but not from where.

The result is a folder in diffusers' layout. With `--vae`, a folder that `sdtool train-vae` wrote, it
works on latents, a quarter of the pictures' size; without, in pixel space. Pictures have coverage as
their fourth channel. Either way 32×32 trains on one CPU core in about an hour.

Examples:

    sdtool render-ccm objs/ --out views/ --maps rgb,normal --size 32

    sdtool train-base views/ --captions captions/ --out base/ --steps 3000

    sdtool train-base views-128/ --captions captions/ --vae vae/ --out base/ --steps 3000
"""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.io.captions import captions_in, read_captions
from sdtool.runtime.options import Device, MixedPrecision, Out, Overwrite, Seed
from sdtool.training.options import (
    Batch,
    Captions,
    CheckpointEvery,
    Ema,
    Fp16,
    HalfResolution,
    LearningRate,
    LogitNormal,
    SampleEvery,
    Steps,
    TextDropout,
)
from sdtool.training.settings import TrainingSettings
from sdtool.training.work_files import LATENTS, SAMPLES

if TYPE_CHECKING:
    from sdtool.priors.prior import Prior

MAPS = ("rgb", "normal")


def train_base(
    views: Annotated[
        list[Path], typer.Argument(help="Folders of rendered views.", metavar="VIEWS")
    ],
    captions: Captions,
    out: Out = Path("base"),
    vae: Annotated[
        Path | None, typer.Option(help="Folder of a VAE: train on latents.", show_default=False)
    ] = None,
    width: Annotated[
        int, typer.Option(min=8, help="Channels of the first level; a multiple of 8.")
    ] = 32,
    steps: Steps = 3000,
    batch: Batch = 32,
    lr: LearningRate = 1e-3,
    ema: Ema = 0.995,
    text_dropout: TextDropout = 0.1,
    half_resolution: HalfResolution = 0.4,
    logit_normal: LogitNormal = 0.7,
    sample_every: SampleEvery = 500,
    checkpoint_every: CheckpointEvery = 250,
    device: Device = "auto",
    mixed_precision: MixedPrecision = "no",
    fp16: Fp16 = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    settings = TrainingSettings(
        steps=steps,
        batch=batch,
        lr=lr,
        ema=ema,
        text_dropout=text_dropout,
        half_resolution=half_resolution,
        logit_normal=logit_normal,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        sample_every=sample_every,
    )
    if width % 8:
        raise UsageError(f"--width {width} is not a multiple of 8", "--width")
    captions = captions_in(captions)
    from sdtool.training.distributed import Processes, require_alone

    require_alone("train-base")
    params = settings.params() | {"width": width, "fp16": fp16, "seed": seed}
    inputs: dict[str, Path | None] = {f"views-{k}": folder for k, folder in enumerate(views)}
    inputs |= {"captions": captions, "vae": vae}
    record = stage_record.begin(
        out,
        "train-base",
        params=params,
        inputs=inputs,
        overwrite=overwrite,
        owned=(SAMPLES, LATENTS),
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite trains it again", file=sys.stderr)
        return record.result()

    from sdtool.io.words import counted
    from sdtool.priors.fresh import NORMAL_SUFFIX, fresh_base, save_base
    from sdtool.priors.loading import load_vae
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.data import PromptTable, Views, counts
    from sdtool.training.finetune import finetune, say_cut_captions
    from sdtool.training.preflight import check_numbers, say_odd
    from sdtool.training.samples import base_rows, grid_cost, sample_prompts
    from sdtool.training.vae import FACTOR, LatentViews

    prompts_of = read_captions(captions)
    data = Views(views, MAPS, prompts_of)
    codec, factor = (load_vae(vae), FACTOR) if vae else (None, 1)
    if data.size % (8 * factor):
        raise UsageError(
            f"maps of {data.size} pixels; render with a --size that {8 * factor} divides",
            "VIEWS",
            *(["--vae"] if vae else []),
        )
    processes = Processes(device, mixed_precision)
    if left_out := data.say_uncaptioned():
        processes.say(left_out)
    check_numbers(data, processes)
    say_odd(data, batch, processes)
    texts = sorted({text for uid in data.uids for text in prompts_of[uid]})
    prior = fresh_base(texts, size=data.size // factor, width=width, seed=seed, vae=codec)
    joined = partial(_joined, prior)
    prompts = PromptTable(data, prompts_of, ("", NORMAL_SUFFIX), joined)
    shown = sample_prompts(prompts_of, data.uids)
    prior = prior.to(processes.device)
    said = f"{counted(len(data), 'map')} of {counted(len(data.uids), 'object')}"
    said += f", {counted(len(prompts.table), 'prompt')}"
    processes.say(f"{said}, {data.size}×{data.size}, on {prior.device}")
    texts = [text + NORMAL_SUFFIX for text in texts]
    say_cut_captions(prior.text_encoder, texts, processes, NORMAL_SUFFIX)
    if shown and sample_every:
        processes.say(f"each sample grid is {grid_cost(len(shown))[1]}")
    record.clear()
    latents = None
    if codec:
        with processes.autocast():
            latents = LatentViews(data, codec, out / LATENTS)
    loss = finetune(
        prior,
        data,
        prompts,
        settings,
        out,
        seed=seed,
        processes=processes,
        rows=lambda: base_rows(prior, shown, seed=seed),
        latents=latents,
    )
    facts = params | {"maps": len(data), "objects": len(data.uids), "loss": round(loss, 5)}
    outputs = save_base(prior.cpu(), out, facts=facts, fp16=fp16)
    clear_checkpoints(out)
    (out / LATENTS).unlink(missing_ok=True)
    outputs += ["log.jsonl", *(["samples"] if (out / "samples").is_dir() else [])]
    found = counts(len(data.uids), len(data), len(data.uncaptioned))
    return record.finish(counts=found, outputs=outputs)


def _joined(prior: "Prior", prompt: str, suffix: str) -> str:
    """The prompt, as it is or with what its normals are asked by, which is never what is cut."""
    return prior.fitted(prompt, suffix)[0] if suffix else prompt
