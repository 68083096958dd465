"""How far a training has come: by its steps, or by the time that it was given, and when it ends."""

import time
from collections.abc import Callable

from sdtool.training.settings import NO_END, TrainingSettings

AGREED = 10  # steps after which many processes ask the main one for the time again


class Course:
    """The place in a training. done: steps before now. spent: seconds before now, of earlier runs of it.

    With `settings.until`, what is nearer its end counts: the time or, where a number was asked for, the
    steps. agree: calls a function in the main process, and every process gets its answer
    (`Processes.on_main`). clock: seconds.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        done: int = 0,
        spent: float = 0.0,
        *,
        processes: int = 1,
        agree: Callable[[Callable[[], float]], float] = lambda function: function(),
        clock: Callable[[], float] = time.monotonic,
    ):
        self.settings, self.done, self.limit = settings, done, 3600 * settings.until
        self._every, self._agree, self._clock = AGREED if processes > 1 else 1, agree, clock
        self._begun, self.spent = clock() - spent, spent

    @property
    def total(self) -> int | None:
        """Steps in all; None where only the time ends it."""
        return None if self.settings.steps == NO_END else self.settings.steps

    def advance(self) -> None:
        """A step is done: look at the clock, where time counts."""
        self.done += 1
        if self.limit and self.done % self._every == 0:
            self.spent = self._agree(lambda: self._clock() - self._begun)

    @property
    def is_over(self) -> bool:
        """Whether no step is to follow."""
        return self.done >= self.settings.steps or bool(self.limit and self.spent >= self.limit)

    @property
    def share(self) -> float | None:
        """How much of the training is done, in [0, 1]; None where its steps alone say so."""
        if not self.limit:
            return None
        return min(1.0, max(self.spent / self.limit, self.done / self.settings.steps))

    @property
    def learning_rate(self) -> float:
        """Of the step that comes."""
        return self.settings.learning_rate(self.done, self.share)

    @property
    def is_half(self) -> bool:
        """Whether the step that comes runs at half resolution."""
        return self.settings.is_half(self.done, self.share)

    def seconds_left(self, seconds: float) -> float:
        """Until the end, where a step takes so many seconds."""
        by_steps = seconds * (self.settings.steps - self.done)
        return min(by_steps, max(0.0, self.limit - self.spent)) if self.limit else by_steps
