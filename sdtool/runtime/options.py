"""Options that many stages have, declared once: `seed: Seed = 0` in a stage's signature.

Choices are `Literal`s everywhere, bounds are `min=` and `max=`. What a stage alone has stands in it.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from sdtool.runtime.engine import Engine

RUNNING = "Running"  # the panel of a stage's help in which all of these stand


def _devices() -> list[str]:
    return ["auto", "cpu", "cuda"]


Device = Annotated[
    str,
    typer.Option(
        help="Where torch computes: auto, cpu, cuda, cuda:1, …",
        autocompletion=_devices,
        rich_help_panel=RUNNING,
    ),
]
LAST_SEED = 2**63 - 1
Seed = Annotated[
    int,
    typer.Option(min=0, max=LAST_SEED, help="Of everything random.", rich_help_panel=RUNNING),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Redo finished work.", rich_help_panel=RUNNING)
]
Workers = Annotated[
    int,
    typer.Option(
        min=0,
        help="Processes; 0: every core; 1: no process, no protection.",
        rich_help_panel=RUNNING,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        min=0, help="Seconds that one object may take; 0: no limit.", rich_help_panel=RUNNING
    ),
]
MaxMemory = Annotated[
    float,
    typer.Option(min=0, help="GB of one worker process; 0: no limit.", rich_help_panel=RUNNING),
]
EngineName = Annotated[
    Engine,
    typer.Option(
        help="Where the workers run: on this machine, or on a Ray cluster.", rich_help_panel=RUNNING
    ),
]
Rank = Annotated[
    int,
    typer.Option(
        min=0,
        envvar=["SLURM_PROCID"],
        show_default="0",
        help="Which of the ranks this is.",
        rich_help_panel=RUNNING,
    ),
]
WorldSize = Annotated[
    int,
    typer.Option(
        min=1,
        envvar=["SLURM_NTASKS"],
        show_default="1",
        help="Commands that share the work.",
        rich_help_panel=RUNNING,
    ),
]
MixedPrecision = Annotated[
    Literal["no", "bf16"],
    typer.Option(help="Number type of a training step.", rich_help_panel=RUNNING),
]
Agp = Annotated[str, typer.Option(help="AGP: a folder, tiny, or a hub id.")]
# Of the stages that pull a shape, or its looks, by the priors

Base = Annotated[
    str, typer.Option(help="Base prior: folder, file, tiny or hub id; default: the AGP's own.")
]
ColorPrior = Annotated[
    str,
    typer.Option(
        help="Colour prior: a folder, tiny, or none; default: the bundled one beside its AGP."
    ),
]
Appearance = Annotated[
    Literal["", "color", "pbr"],
    typer.Option(help="color, or pbr: a physically based material; default: the preset's."),
]
Environment = Annotated[
    str, typer.Option(help="Light on a pbr material: neutral, or an .hdr file.")
]
ViewPrompts = Annotated[
    bool | None,
    typer.Option(
        "--view-prompts/--no-view-prompts",
        help="Add 'front view', … to the prompt. [default: unless the base is a small one]",
        show_default=False,
    ),
]
Negative = Annotated[
    str,
    typer.Option(help="What is not wanted; a base of an open vocabulary has a default of its own."),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(
        help="Of the priors' weights; auto: fp32 on a CPU, else fp16, or bf16 if that overflows.",
        rich_help_panel=RUNNING,
    ),
]

LEAST_TEXTURE, LARGEST_TEXTURE = 32, 4096
"""Pixels a side of a texture that is written."""

PointSurface = Literal["off", "poisson", "pivot"]
"""How a surface is made of points (`sdtool.geometry.open3d_tools`)."""

Out = Annotated[Path, typer.Option(help="Folder to write.")]
