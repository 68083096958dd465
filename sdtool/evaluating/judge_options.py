"""The options of `python -m sdtool.evaluating.judge_training`, checked before any work."""

import argparse
import math
from pathlib import Path

from sdtool.errors import UsageError
from sdtool.runtime.devices import choose_device

LEAST = {"steps": 1, "batch": 1, "samples": 1, "seed": 0, "threads": 1, "workers": 1}


def options(description: str, given: list[str] | None = None) -> argparse.Namespace:
    """What was asked for, with `device` a torch device; UsageError for what cannot work.

    width, looks: None where they were not given.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--batch", type=int, default=8, help="Models in a step.")
    parser.add_argument("--lr", type=float, default=2e-3, help="Largest learning rate.")
    parser.add_argument("--width", type=int, help="Channels of the first layer. [default: 20]")
    parser.add_argument("--looks", type=int, help="Numbers that describe a view. [default: 256]")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="Processes that make views.")
    parser.add_argument(
        "--assets", type=Path, nargs="*", default=[], help="Folders of real assets."
    )
    parser.add_argument(
        "--mutants",
        type=float,
        default=0.0,
        help="Share of the real assets that get other proportions, in [0, 1].",
    )
    parser.add_argument("--start", type=Path, help="Folder of a judge to go on from.")
    parser.add_argument("--views", type=Path, help="Folder of the views, made if it holds none.")
    asked = parser.parse_args(given)
    for name, least in LEAST.items():
        if getattr(asked, name) < least:
            said = f"--{name} {getattr(asked, name)} is too few; give {least} or more"
            raise UsageError(said, f"--{name}")
    if not 0 <= asked.mutants <= 1:
        said = f"--mutants {asked.mutants} is no share; give one from 0 to 1, such as 0.75"
        raise UsageError(said, "--mutants")
    if not 0 < asked.lr < math.inf:
        raise UsageError(f"--lr {asked.lr} is no learning rate; give one such as 0.002", "--lr")
    if asked.width is not None and (asked.width < 20 or asked.width % 20):
        raise UsageError(f"--width {asked.width} is not a multiple of 20; give one", "--width")
    if asked.looks is not None and (asked.looks < 2 or asked.looks % 2):
        said = f"--looks {asked.looks} is not an even number from 2 on; give one"
        raise UsageError(said, "--looks")
    for name in ("out", "views", "start"):
        path = getattr(asked, name)
        if path is not None and path.exists() and not path.is_dir():
            raise UsageError(f"--{name} {path} is a file; name a folder", f"--{name}")
    asked.device = choose_device(asked.device)
    return asked
