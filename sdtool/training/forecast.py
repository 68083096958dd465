"""What a training will cost, said before its first step, and what its first steps did cost.

A rehearsal computes losses and gradients of one part of a batch, and throws them away: no bit of the
training depends on it. Memory is the model of `sdtool.training.memory` with the activations that were
measured; time is that of the rehearsal, without what the optimiser adds, until two real steps are done.
"""

import time
from collections.abc import Callable

import torch
from torch import nn

from sdtool.training.distributed import Processes
from sdtool.training.memory import (
    LiveBytes,
    Peak,
    advice,
    counts,
    free_bytes,
    held,
    now_held,
)
from sdtool.training.settings import NO_END, TrainingSettings

FEW, SMALL = 20, 1e9
"""A training of fewer steps, of fewer bytes of parameters, is over before a rehearsal is."""

QUICK = 5.0
"""Seconds: a part of a batch on a CPU that takes less is timed again, when the caches are warm."""

LOOKED = 2  # the real steps that are measured


class Forecast:
    """Says what a training costs. The arguments are those of `loop.fit`; the objective is on its device.

    passes: steps that were done before → passes of one map through the UNet, for the sample grids and exams
    that are left.
    """

    def __init__(
        self,
        objective: nn.Module,
        values: list[nn.Parameter],
        draw: Callable[..., tuple[torch.Tensor, ...]],
        share: Callable[..., tuple],
        settings: TrainingSettings,
        processes: Processes,
        *,
        seed: int,
        passes: Callable[[int], int] = lambda done: 0,
    ):
        self.objective, self.values, self.settings = objective, values, settings
        self.draw, self.share, self.processes, self.seed = draw, share, processes, seed
        self.passes_after, self.size = (
            passes,
            settings.batch // (processes.size * settings.accumulate),
        )
        self.held = held(objective, values, settings, processes.size)
        self.peak: Peak | None = None
        self.expected, self.done, self.mark = 0, 0, 0.0
        self.start, self.left = 0, settings.steps
        self.passes, self.looks = 0, 0.0  # that are left, and the seconds that they take

    def rehearse(self, start: int = 0, spent: float = 0.0) -> None:
        """Rehearse a part of a batch and say what a step holds and what is left of the training takes.

        start, spent: the steps that were done before, and the seconds that they took. Nothing in short
        trainings of small models.
        """
        settings, device = self.settings, self.processes.device
        self.start, self.left, self.passes = start, settings.steps - start, self.passes_after(start)
        if self.left < FEW and self.held.parameters < SMALL:
            return
        before, free = now_held(device), free_bytes(device)
        rows = self.draw(torch.Generator().manual_seed(self.seed), settings.batch)
        rows = tuple(row[: self.size] for row in rows)
        share = settings.half_resolution
        is_half = share >= 1 and not settings.spread_half
        seconds = self._part(rows, is_half)
        if device.type == "cpu" and seconds < QUICK:
            seconds = self._part(rows, is_half)
        activations, warm = self._activations(rows, is_half)
        seconds = seconds if device.type == "cpu" else warm
        mean = seconds
        if 0 < share and not is_half:
            mean = (1 - share) * seconds + share * self._part(rows, True)
        for value in self.values:
            value.grad = None
        held = self.held
        more = held.gradients + (0 if start else held.moments) + held.buckets + activations
        self.expected, self.looks = before + more, self.passes * seconds / (3 * self.size)
        self.processes.say(self._memory(activations))
        if more > free > 0:
            self.processes.say(
                f"that is {said_bytes(more)} more than is held now, and {said_bytes(free)} are free: "
                f"{advice(settings)}"
            )
        self.processes.say(self._time(mean * settings.accumulate, spent))
        self.peak, self.mark = Peak(device), self._now()

    def step(self) -> None:
        """A real step is done; after the second say what they took."""
        if self.peak is None or self.done == LOOKED:
            return
        self.done += 1
        if self.done < LOOKED:
            self.mark = self._now()  # the first one is slower: it makes the optimiser's moments
            return
        seconds, most = self._now() - self.mark, self.peak.bytes()
        said = f"measured: the second step took {said_seconds(seconds)}"
        if most:
            of = " of the whole process" if self.processes.device.type == "cpu" else ""
            said += (
                f"; the first two {said_bytes(most)}{of} at most, where "
                f"{said_bytes(self.expected)} were expected"
            )
        if self.settings.steps < NO_END and not self.settings.until:
            total = said_seconds(seconds * self.left + self.looks)
            said += f"; so {total} {'for what is left' if self.start else 'in all'}"
        self.processes.say(said)

    def _part(self, rows: tuple[torch.Tensor, ...], is_half: bool) -> float:
        """Losses and gradients of a part of a batch; the seconds that it took."""
        begun = self._now()
        given = self.share(is_half, *rows)
        with self.processes.autocast():
            loss = self.objective(*given)
        loss.backward()
        return self._now() - begun

    def _activations(self, rows: tuple[torch.Tensor, ...], is_half: bool) -> tuple[int, float]:
        """Bytes that a part of a batch needs beside what is held all the time, and its seconds.

        The gradients are there already, so that they do not count."""
        device = self.processes.device
        if device.type == "cpu" or not counts(device):
            with LiveBytes() as live:
                seconds = self._part(rows, is_half)
            return live.peak, seconds
        peak, before = Peak(device), now_held(device)
        seconds = self._part(rows, is_half)
        return max(0, peak.bytes() - before), seconds

    def _now(self) -> float:
        if self.processes.device.type != "cpu":
            torch.accelerator.synchronize(self.processes.device)
        return time.monotonic()

    def _memory(self, activations: int) -> str:
        held, settings = self.held, self.settings
        parts = [
            f"parameters {said_bytes(held.parameters)}",
            f"running averages {said_bytes(held.averages)}",
            f"gradients {said_bytes(held.gradients)}",
            f"moments of {settings.optimizer} {said_bytes(held.moments)}",
        ]
        if held.buckets:
            parts.append(f"buckets of gradients {said_bytes(held.buckets)}")
        maps = f"{self.size} map{'s' if self.size != 1 else ''}"
        parts.append(f"activations of {maps} at a time {said_bytes(activations)}, as rehearsed")
        total = said_bytes(held.total + activations)
        return f"a step holds {total} at most: {', '.join(parts)}"

    def _time(self, seconds: float, spent: float) -> str:
        settings, one = self.settings, f"about {said_seconds(seconds)}"
        ends = ""
        if self.looks:
            ends = f", and {self.passes:,} passes for grids and exams {said_seconds(self.looks)}"
        if settings.until:
            fits = int(max(0.0, 3600 * settings.until - spent) / max(seconds, 1e-9))
            most = f", of {self.left:,} at most" if settings.steps < NO_END else ""
            rest = (
                f"what is left of {settings.until:g} hours"
                if spent
                else f"{settings.until:g} hours"
            )
            return f"a step takes {one}: {fits:,} fit into {rest}{most}{ends}"
        takes = said_seconds(self.left * seconds)
        return f"a step takes {one}, without the optimiser's part: {self.left:,} take {takes}{ends}"


def said_end(settings: TrainingSettings, spent: float) -> str:
    """Where a training that continues will end, after "continuing after step N"."""
    steps = f" of {settings.steps}" if settings.steps < NO_END else ""
    return steps + (
        f", {said_seconds(spent)} of {settings.until:g} hours" if settings.until else ""
    )


def said_bytes(count: float) -> str:
    """Bytes in words, such as "17.3 GB" or "35 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def said_seconds(seconds: float) -> str:
    """A time in words, such as "2 h 10 min", "35 min", "4.2 s" or "80 ms"."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.2g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
