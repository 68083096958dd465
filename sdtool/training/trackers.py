"""Curves of a training in wandb or trackio beside log.jsonl, through Accelerate's own trackers.

Both write into the training's folder and need no network: wandb offline, unless the variable WANDB_MODE says
otherwise; trackio into its own database there.
"""

import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from sdtool.errors import MissingDependencyError

Tracker = Literal["tensorboard", "wandb", "trackio"]


def require_tracker(name: str) -> None:
    """MissingDependencyError if the package of a tracker is not installed."""
    if find_spec(name) is None:
        raise MissingDependencyError(
            f"--tracker {name} needs a package: pip install 'sdtool[{name}]'"
        )


def tracker_options(name: str, out: Path) -> dict[str, Any]:
    """What a tracker's own `init` is given: a run named after the folder `out`, kept in it."""
    run = out.resolve().name
    if name == "wandb":
        mode = os.environ.get("WANDB_MODE", "offline")
        return {"name": run, "group": run, "dir": str(out), "mode": mode}
    os.environ.setdefault("TRACKIO_DIR", str(out.resolve() / "trackio"))  # read when it is imported
    return {"name": run, "resume": "allow", "embed": False}


def open_tracker(
    name: str, out: Path, params: dict[str, Any], on_cpu: bool
) -> tuple[Callable[[dict], None], Callable[[], None]]:
    """A function that takes lines of log.jsonl, and one that ends the run.

    params: of the training, kept with it. What the package prints goes to stderr: stdout is for results.
    """
    from sdtool.training.distributed import accelerate_tracker

    require_tracker(name)
    with redirect_stdout(sys.stderr):
        tracker = accelerate_tracker(name, tracker_options(name, out), on_cpu)
        tracker.store_init_configuration({k: v for k, v in params.items() if v is not None})

    def write(line: dict) -> None:
        named = {k if "/" in k else f"training/{k}": v for k, v in line.items() if k != "step"}
        with redirect_stdout(sys.stderr):
            tracker.log(named, step=line["step"])

    def finish() -> None:
        with redirect_stdout(sys.stderr):
            tracker.finish()

    return write, finish
