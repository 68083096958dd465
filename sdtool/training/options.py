"""Options of the stages that train, declared once: `steps: Steps = 1000` in a stage's signature.

They are the fields of `sdtool.training.settings.TrainingSettings`, in the same order, and what else
trainings share. What every stage has stands in `sdtool.runtime.options`.
"""

from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.runtime.options import RUNNING
from sdtool.training import settings, trackers

TRAINING, WATCHING = "Training", "Watching and measuring"  # panels of a stage's help

Captions = Annotated[Path, typer.Option(help="captions.jsonl, or the folder that holds it.")]


def _above_zero(given: typer.CallbackParam, value: float | None) -> float | None:
    """The value, or a UsageError where it is 0: nothing would be learned."""
    if value == 0:
        option = given.opts[0]
        raise UsageError(f"with {option} 0 nothing is learned; give a number above 0", option)
    return value


Steps = Annotated[int, typer.Option(min=1, help="Training steps.", rich_help_panel=TRAINING)]
StepsOrTime = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Training steps. [default: 1000, or as many as --until leaves time for]",
        rich_help_panel=TRAINING,
    ),
]
Until = Annotated[
    float | None,
    typer.Option(
        min=0,
        callback=_above_zero,
        metavar="HOURS",
        help="Train for so long; the learning rate follows the time. With --steps: what ends first.",
        rich_help_panel=TRAINING,
    ),
]
Batch = Annotated[
    int, typer.Option(min=1, help="Maps in a step, over all processes.", rich_help_panel=TRAINING)
]
Accumulate = Annotated[
    int,
    typer.Option(
        min=1, help="Parts that a share of a batch is taken in.", rich_help_panel=TRAINING
    ),
]


LearningRate = Annotated[
    float,
    typer.Option(min=0, help="Learning rate.", callback=_above_zero, rich_help_panel=TRAINING),
]
LearningRateOrBase = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Learning rate. [default: 2e-5; 5e-4 for tiny and what train-base made; with --lora four "
        "times as much]",
        callback=_above_zero,
        rich_help_panel=TRAINING,
    ),
]
Warmup = Annotated[
    int,
    typer.Option(
        min=0, help="Steps over which the rate rises from zero.", rich_help_panel=TRAINING
    ),
]
Decay = Annotated[
    settings.Decay,
    typer.Option(
        help="How it falls after that; step: ×0.2 for the last 30%.",
        rich_help_panel=TRAINING,
    ),
]
Optimizer = Annotated[
    settings.Optimizer,
    typer.Option(help="adafactor needs less memory.", rich_help_panel=TRAINING),
]
MaxGradNorm = Annotated[
    float,
    typer.Option(
        min=0, help="Largest norm of a gradient.", callback=_above_zero, rich_help_panel=TRAINING
    ),
]
Ema = Annotated[
    float,
    typer.Option(min=0, max=1, help="Decay of the averaged weights.", rich_help_panel=TRAINING),
]
TextDropout = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Share of empty prompts, for guidance.", rich_help_panel=TRAINING
    ),
]
CameraJitter = Annotated[
    float,
    typer.Option(
        min=0,
        help="Degrees (standard deviation) by which the camera that is told is wrong.",
        rich_help_panel=TRAINING,
    ),
]
HalfResolution = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Share of the steps at half resolution, first.", rich_help_panel=TRAINING
    ),
]
LogitNormal = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Share of samples with noise of middling strength (logit-normal timesteps).",
        rich_help_panel=TRAINING,
    ),
]
GradientCheckpointing = Annotated[
    bool,
    typer.Option(
        "--gradient-checkpointing",
        help="Less memory, a third more time.",
        rich_help_panel=TRAINING,
    ),
]
Lora = Annotated[
    int,
    typer.Option(
        min=0,
        help="Train adapters of this rank, not the whole UNet; 0: the UNet.",
        rich_help_panel=TRAINING,
    ),
]

SampleEvery = Annotated[
    int,
    typer.Option(
        min=0,
        help="Steps between sample grids; 0 draws none, not at the end either.",
        rich_help_panel=WATCHING,
    ),
]
ExamEvery = Annotated[
    int,
    typer.Option(
        min=0,
        help="Steps between exams, for curves; 0: the one at the end alone.",
        rich_help_panel=WATCHING,
    ),
]
Tensorboard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Curves too, in OUT/tensorboard.", rich_help_panel=WATCHING),
]
Tracker = Annotated[
    trackers.Tracker | None,
    typer.Option(
        help="Curves in wandb (offline) or trackio, kept in OUT; tensorboard is --tensorboard.",
        rich_help_panel=WATCHING,
    ),
]

CheckpointEvery = Annotated[
    int, typer.Option(min=1, help="Steps between checkpoints.", rich_help_panel=RUNNING)
]
KeepCheckpoints = Annotated[
    int, typer.Option(min=1, help="How many of them stay.", rich_help_panel=RUNNING)
]
Fp16 = Annotated[
    bool, typer.Option("--fp16", help="Store float16 weights.", rich_help_panel=RUNNING)
]
