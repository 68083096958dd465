"""How a prior is trained: the settings of the loop, and the learning rate of every step."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sdtool.errors import UsageError
from sdtool.training.tensorboard import require_tensorboard
from sdtool.training.trackers import Tracker, require_tracker

Decay = Literal["step", "cosine", "linear", "constant"]
Optimizer = Literal["adamw", "adafactor"]

NO_END = 10**12
"""So many steps are no bound: the time is."""

RATE, SMALL_RATE, ADAPTERS_RATE = 2e-5, 5e-4, 4
"""Learning rates of an AGP: of others' bases, of our own small ones; and how many times that of adapters."""


def agp_rate(small: bool, lora: int = 0) -> float:
    """The learning rate of an AGP where none is named. small: its base is one of our own. lora: the rank of
    its adapters, 0 for none."""
    return (SMALL_RATE if small else RATE) * (ADAPTERS_RATE if lora else 1)


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    batch: samples in a step, over all processes and all its parts. accumulate: parts that each
    process takes its share of a batch in. decay: of the learning rate after the warm-up: "step"
    (×0.2 for the last 30%), "cosine" or "linear" (to zero), or "constant". ema: decay of the averaged
    weights. max_grad_norm: largest norm of the gradient. text_dropout: share of empty prompts.
    camera_jitter: degrees (standard deviation) by which the camera that is told is wrong.
    half_resolution: the first share of the steps, which run at half resolution; or a share that is
    spread over all of them (spread_half). logit_normal: share
    of the samples whose noise is of middling strength (see `loop.draw_times`), instead of uniform.
    gradient_checkpointing: of the UNet. keep_checkpoints: how many of them stay. sample_every: steps
    between sample grids; 0 for none. exam_every: between exams; 0 for the one at the end alone. tracker:
    of curves. until: hours after which the training ends; its schedule follows the time; 0 for none.
    can_save: the command has --accumulate, --gradient-checkpointing and --lora.
    """

    steps: int
    batch: int = 32
    accumulate: int = 1
    lr: float = 1e-3
    warmup: int = 100
    decay: Decay = "step"
    optimizer: Optimizer = "adamw"
    max_grad_norm: float = 1.0
    ema: float = 0.995
    text_dropout: float = 0.1
    camera_jitter: float = 0.0
    half_resolution: float = 0.0
    spread_half: bool = False
    logit_normal: float = 0.0
    gradient_checkpointing: bool = False
    mixed_precision: Literal["no", "bf16"] = "no"
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    sample_every: int = 500
    tensorboard: bool = False
    tracker: Tracker | None = None
    exam_every: int = 0
    until: float = 0.0
    can_save: bool = False

    def check(self, processes: int = 1) -> None:
        """UsageError if so many processes cannot follow it, by name of the option."""
        if self.batch % (parts := processes * self.accumulate):
            raise UsageError(
                f"--batch {self.batch} cannot be shared by {processes} processes with --accumulate "
                f"{self.accumulate}; choose a multiple of {parts}",
                "--batch",
                "--accumulate",
            )
        if self.tensorboard or self.tracker == "tensorboard":
            require_tensorboard()
        elif self.tracker:
            require_tracker(self.tracker)

    def params(self) -> dict[str, Any]:
        """What changes the result, for the record of a stage."""
        leave_out = {"gradient_checkpointing", "checkpoint_every", "keep_checkpoints"}
        leave_out |= {"sample_every", "tensorboard", "can_save", "exam_every", "tracker"}
        found = {name: value for name, value in asdict(self).items() if name not in leave_out}
        return found | ({"steps": None} if self.steps == NO_END else {})

    def is_half(self, step: int, done: float | None = None) -> bool:
        """Whether step `step` (from 0) runs at half resolution. done: the share of the training before it,
        where that is not for the steps to say."""
        share = self.half_resolution
        if self.spread_half:
            return int((step + 1) * share) > int(step * share)
        return step < share * self.steps if done is None else done < share

    def learning_rate(self, step: int, done: float | None = None) -> float:
        """The learning rate of step `step` (from 0): linear warm-up times the decay. done: as above."""
        rate = self.lr * min(1.0, (step + 1) / max(1, self.warmup))
        done = step / self.steps if done is None else done
        if self.decay == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * done))
        if self.decay == "linear":
            return rate * (1 - done)
        return rate * (0.2 if self.decay == "step" and done >= 0.7 else 1.0)
