"""TensorBoard beside log.jsonl: the same numbers as curves."""

from collections.abc import Callable
from pathlib import Path

from sdtool.errors import MissingDependencyError


def require_tensorboard() -> type:
    """TensorBoard's writer; MissingDependencyError if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingDependencyError(
            "--tensorboard needs a package: pip install 'sdtool[tensorboard]'"
        ) from None
    return SummaryWriter


def open_tensorboard(folder: Path, after: int) -> Callable[[dict], None]:
    """A function that takes lines of log.jsonl and adds them to the curves in `folder`.

    after: the steps that were done before; points beyond them, of a run that was killed, go.
    """
    writer = require_tensorboard()(str(folder), purge_step=after + 1 if after else None)

    def write(line: dict) -> None:
        for name, value in line.items():
            if name != "step":
                name = name if "/" in name else f"training/{name}"
                writer.add_scalar(name.replace(" ", "-"), value, line["step"])
        writer.flush()

    return write
