"""What a training says of itself: log.jsonl, curves for TensorBoard, and the end of the progress line."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch

from sdtool.errors import SdtoolError
from sdtool.io.files import append_jsonl, read_jsonl, trim_jsonl
from sdtool.priors.weights import no_number
from sdtool.training.course import Course
from sdtool.training.settings import TrainingSettings
from sdtool.training.tensorboard import open_tensorboard
from sdtool.training.trackers import open_tracker

LOG, LOG_EVERY = "log.jsonl", 50


class Log:
    """Writes a line every LOG_EVERY steps and at the end. Only the main process writes (`writes`).

    start: steps that were done before; lines after them are of a run that was killed, and go. course: where
    the training is, and so how long it still takes.
    """

    def __init__(
        self,
        out: Path,
        start: int,
        course: Course,
        settings: TrainingSettings,
        *,
        writes: bool,
        on_cpu: bool = True,
    ):
        self.path, self.course, self.batch = out / LOG, course, settings.batch
        self.writes, self.note, self.loss = writes, "", float("nan")
        self.clock, self.since = time.monotonic(), start
        self.curves: list[Callable[[dict], None]] = []
        self.ends: list[Callable[[], None]] = []
        if writes:
            out.mkdir(parents=True, exist_ok=True)
            trim_jsonl(self.path, lambda line: line["step"] <= start)
            self._open_curves(out, start, settings, on_cpu)

    def _open_curves(self, out: Path, start: int, settings: TrainingSettings, on_cpu: bool) -> None:
        if settings.tensorboard or settings.tracker == "tensorboard":
            self.curves.append(open_tensorboard(out / "tensorboard", start))
        if settings.tracker and settings.tracker != "tensorboard":
            write, end = open_tracker(settings.tracker, out, settings.params(), on_cpu)
            self.curves.append(write)
            self.ends.append(end)

    def write(self, done: int, sums: torch.Tensor, *, lr: float, size: int) -> None:
        """A line after `done` steps. sums: (2,), loss and gradient norm summed since the last one."""
        count = (done - 1) % LOG_EVERY + 1
        loss, norm = (sums / count).tolist()
        seconds = (time.monotonic() - self.clock) / max(1, done - self.since)
        self.loss, self.note = loss, f"loss {loss:.4f}, {self.batch / seconds:.1f} samples/s"
        line = {"step": done, "loss": round(loss, 6), "gradient": round(norm, 6)}
        line |= {"lr": float(f"{lr:.6g}"), "size": size}
        line |= {"samples_per_s": round(self.batch / seconds, 2)}
        line |= {"seconds_left": round(self.course.seconds_left(seconds))}
        if self.writes:
            append_jsonl(self.path, line)
        for curve in self.curves:
            curve(line)
        self.restart(done)

    def exam(self, done: int, numbers: dict[str, float]) -> None:
        """What exams after `done` steps have measured, as curves."""
        for curve in self.curves:
            curve({"step": done} | {f"exam/{name}": v for name, v in numbers.items()})

    def close(self) -> None:
        """End the runs of trackers."""
        for end in self.ends:
            end()

    def restart(self, done: int) -> None:
        """Measure the speed from here on: what came before was not training."""
        self.clock, self.since = time.monotonic(), done


def last_step(out: Path) -> int:
    """The step of the last line of the log in `out`."""
    return max(line["step"] for line in read_jsonl(out / LOG))


def check_finite(sums: torch.Tensor, step: int) -> None:
    """SdtoolError if a loss or a gradient has become infinite or no number."""
    if not torch.isfinite(sums).all():
        loss, norm = sums.tolist()
        raise _broke(f"before step {step}: loss {loss}, gradient {norm}")


def check_weights(weights: Mapping[str, torch.Tensor], step: int) -> None:
    """SdtoolError if a step has left trained weights that are infinite or no numbers."""
    if name := no_number(weights.items()):
        raise _broke(f"in step {step}: the weights {name} hold what is no number (NaN or infinity)")


@torch.no_grad()
def check_last(objective: Callable[..., torch.Tensor], given: Iterable, step: int) -> None:
    """SdtoolError if the loss is infinite or no number with the weights as they are now: no other step looks
    at what the last one has done. given: what the objective takes, of the last batch."""
    if not math.isfinite(loss := float(objective(*given))):
        raise _broke(f"in step {step}: loss {loss} after it")


def _broke(how: str) -> SdtoolError:
    return SdtoolError(f"training broke {how}; lower --lr")
