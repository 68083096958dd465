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
Out = Annotated[Path, typer.Option(help="Folder to write.")]
