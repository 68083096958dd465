"""Let a prior answer its guided prediction in one pass instead of two.

Classifier-free guidance asks a prior twice: with the text and without. The copy that this stage trains
gives both answers at once (after Meng et al. 2022): the one with the text as before, and how it differs
from the one without in further channels, from which guidance of any scale follows. A lift takes the one
pass wherever nothing is said not to be wanted, else the two. All else is as of PRIOR: the result is a
folder of the same kind.

PRIOR is an AGP that `finetune-agp` wrote, or a small base of `train-base`. VIEWS are what it was
trained on. A share of the steps, spread over all of them, runs at half resolution: a lift's first
phase may ask at half size, which costs a quarter.

Examples:

    sdtool distill-guidance agp/ ccm/ --captions captions/ --out agp-guided/

    sdtool distill-guidance base/ views/ --captions captions/ --out base-guided/
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import InputError
from sdtool.io import stage_record
from sdtool.io.captions import captions_in
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
    Steps,
    TextDropout,
)
from sdtool.training.settings import TrainingSettings
from sdtool.training.work_files import LATENTS, TEXTS


def distill_guidance(
    prior: Annotated[Path, typer.Argument(help="Folder of an AGP or a base.", metavar="PRIOR")],
    views: Annotated[
        list[Path], typer.Argument(help="Folders of rendered views.", metavar="VIEWS")
    ],
    captions: Captions,
    out: Out = Path("guided"),
    steps: Steps = 3000,
    batch: Batch = 32,
    lr: LearningRate = 5e-4,
    ema: Ema = 0.995,
    text_dropout: TextDropout = 0.1,
    half_resolution: HalfResolution = 0.4,
    logit_normal: LogitNormal = 0.3,
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
        spread_half=True,
        logit_normal=logit_normal,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        sample_every=0,
    )
    captions = captions_in(captions)
    from sdtool.priors.cards import ADAPTER, AGP_CARD

    if (prior / ADAPTER).is_file():
        raise InputError(
            f"{prior} is an AGP of adapters; make it whole first: sdtool merge-agp {prior}"
        )
    if not (prior / "unet").is_dir():
        raise InputError(f"{prior} is no folder of an AGP or a base: it holds no unet/")
    from sdtool.training.distributed import Processes, require_alone

    require_alone("distill-guidance")
    params = settings.params() | {"fp16": fp16, "seed": seed}
    inputs: dict[str, Path | None] = {f"views-{k}": folder for k, folder in enumerate(views)}
    record = stage_record.begin(
        out,
        "distill-guidance",
        params=params,
        inputs=inputs | {"prior": prior, "captions": captions},
        overwrite=overwrite,
        owned=(LATENTS, TEXTS),
        patient=True,
    )
    if record.is_done:
        print(f"{out} is already done; --overwrite trains it again", file=sys.stderr)
        return record.result()

    from sdtool.io.captions import read_captions
    from sdtool.priors.guided_folder import save_guided
    from sdtool.priors.loading import load_agp, load_base
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.data import counts
    from sdtool.training.guidance_distillation import distill
    from sdtool.training.text_cache import clear_embeddings

    load = load_agp if (prior / AGP_CARD).is_file() else load_base
    processes = Processes(device, mixed_precision)
    teacher, prompts_of = load(prior), read_captions(captions)
    student, facts = distill(
        teacher,
        views,
        prompts_of,
        settings,
        out,
        seed=seed,
        processes=processes,
        ready=record.clear,
    )
    errors = ", ".join(f"t {band}: {error:.0%}" for band, error in facts["guidance_error"].items())
    print(f"one pass differs from two by these shares of the guidance: {errors}", file=sys.stderr)
    outputs = save_guided(student.cpu(), prior, out, facts=params | facts, fp16=fp16)
    clear_checkpoints(out)
    clear_embeddings(out)
    (out / LATENTS).unlink(missing_ok=True)
    found = counts(facts["objects"], facts["maps"], facts.get("uncaptioned", 0))
    return record.finish(counts=found, outputs=[*outputs, "log.jsonl"])
