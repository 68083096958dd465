"""Train a colour prior: a base prior that also sees where on the object each pixel lies.

VIEWS are outputs of `sdtool render-ccm --maps rgb,ccm`: pictures and canonical coordinate maps (CCMs) of
the same views, of objects that face +Z. The colour prior learns to draw the picture when it is given the
map, so that what it draws agrees between views and sits on the right parts. It needs no camera. In a lift
it guides the colours in the place of the base, which knows no sides (`sdtool lift --color-prior`).

The paper aligns the geometry only and leaves the appearance to the base: this is the same idea for colours,
and not the paper's.

**The base** is a folder that `sdtool train-base` wrote, or `tiny`. The pictures must have the size that it
draws: 128 for the tiny prior. The UNet begins as the base's, with four channels more, of zero weight.

**More data**: `--resume-from` begins with the weights of a colour prior instead of its base's.

**Lumps**: what is lifted has other outlines and coordinates than what is trained on. So each map is
spoiled at random: coordinates get smooth and fine errors of a standard deviation of up to `--roughness` (a
share of the object's box), and in half of the cases the outline grows or shrinks by a pixel or is
blurred, or the map has half its resolution. With `--roughness 0` the maps stay as they are.

**The measure**: one object in twenty is held out. On up to 256 of its views, one denoising from t = 600
shows how far the colours are from the true ones: with the true map, with the map of the opposite side, and
by the base without any. It goes into color.json and the model card, README.md. The grids in samples/ show of
each view its map, what was drawn, and the true picture.

Examples:

    sdtool render-ccm objs/ --out views/ --maps rgb,ccm --size 128 --distance 1.8

    sdtool finetune-color views/ --captions captions/ --base tiny --out color/ --steps 4000

    sdtool finetune-color views/ --captions captions/ --resume-from color/ --lr 2e-4 --out color2/
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.io.captions import captions_in, read_captions
from sdtool.runtime.options import Device, MixedPrecision, Out, Overwrite, Seed
from sdtool.training.options import (
    TRAINING,
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
from sdtool.training.work_files import LATENTS, SAMPLES, TEXTS

OWNED = (SAMPLES, LATENTS, TEXTS)  # of a run that was stopped


def finetune_color(
    views: Annotated[
        list[Path], typer.Argument(help="Folders of rendered views.", metavar="VIEWS")
    ],
    captions: Captions,
    base: Annotated[
        str | None,
        typer.Option(help="Base prior: a folder of train-base, or tiny. [default: tiny]"),
    ] = None,
    out: Out = Path("color"),
    resume_from: Annotated[
        str | None,
        typer.Option(
            help="A colour prior to go on from, on more data: a folder, or tiny; its base is kept."
        ),
    ] = None,
    roughness: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="Largest error of coordinates (standard deviation), as of lumpy shapes; 0: none.",
            rich_help_panel=TRAINING,
        ),
    ] = 0.04,
    steps: Steps = 3000,
    batch: Batch = 32,
    lr: LearningRate = 1e-3,
    ema: Ema = 0.995,
    text_dropout: TextDropout = 0.1,
    half_resolution: HalfResolution = 0.0,
    logit_normal: LogitNormal = 0.7,
    sample_every: SampleEvery = 500,
    checkpoint_every: CheckpointEvery = 250,
    device: Device = "auto",
    mixed_precision: MixedPrecision = "no",
    fp16: Fp16 = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> stage_record.Result:
    if resume_from is not None and base is not None:
        raise UsageError(
            f"--resume-from {resume_from} brings its own base; leave --base out",
            "--base",
            "--resume-from",
        )
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
    from sdtool.priors.cards import color_base_of
    from sdtool.priors.folder_check import check_local
    from sdtool.training.distributed import Processes, require_alone

    require_alone("finetune-color")
    captions = captions_in(captions)
    base = base or (color_base_of(resume_from) if resume_from is not None else "tiny")
    check_local(base)
    params = {"base": base} | settings.params()
    params |= {"roughness": roughness, "fp16": fp16, "seed": seed}
    params |= {} if resume_from is None else {"resume_from": resume_from}
    inputs: dict[str, Path | None] = {f"views-{k}": folder for k, folder in enumerate(views)}
    inputs |= {"captions": captions, "base": Path(base) if Path(base).is_dir() else None}
    if resume_from is not None and Path(resume_from).is_dir():
        inputs["resume-from"] = Path(resume_from)
    record = stage_record.begin(
        out,
        "finetune-color",
        params=params,
        inputs=inputs,
        overwrite=overwrite,
        owned=OWNED,
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite trains it again", file=sys.stderr)
        return record.result()

    from sdtool.priors.cards import stored_base
    from sdtool.priors.color import save_color
    from sdtool.priors.loading import load_base, load_color
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.color import train_color
    from sdtool.training.text_cache import clear_embeddings

    color = train_color(
        load_base(base),
        views,
        read_captions(captions),
        settings,
        out,
        roughness=roughness,
        seed=seed,
        processes=Processes(device, mixed_precision),
        ready=record.clear,
        start=None if resume_from is None else load_color(resume_from),
    )
    facts = params | color.facts | {"data": [stage_record.digest(folder) for folder in views]}
    outputs = save_color(
        color.prior.cpu(),
        out,
        base=stored_base(base, out),
        facts={key: value for key, value in facts.items() if key != "base"},
        measure=color.measure,
        fp16=fp16,
    )
    outputs += [name for name in ("log.jsonl", "samples") if (out / name).exists()]
    clear_checkpoints(out)
    clear_embeddings(out)
    (out / LATENTS).unlink(missing_ok=True)
    return record.finish(counts=color.counts, outputs=outputs)
