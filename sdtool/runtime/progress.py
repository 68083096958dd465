"""Progress on stderr for long work: count, rate, failures so far, time left. Silent without a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Bar:
    """Handed out by `progress`."""

    def __init__(self, bar, task, unit: str, done: int):
        self._bar, self._task, self._unit, self._place = bar, task, unit, done
        self._start, self._done, self._failed = time.monotonic(), 0, 0

    def advance(self, count: int = 1, failed: int = 0, note: str = "") -> None:
        """Move on by `count`; `failed` of them failed; `note` is shown at the end of the line."""
        self._done += count
        self._place += count
        self._failed += failed
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        text = f"{rate:.1f} {self._unit}/s"
        if self._failed:
            text += f", {self._failed} failed"
        if note:
            text += f", {note}"
        self._bar.update(self._task, advance=count, text=text)

    def move_to(self, place: int, note: str = "") -> None:
        """Be at `place` of the total, which may lie before where it was."""
        self.advance(place - self._place, note=note)

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, highlight=False, markup=False)


@contextmanager
def progress(
    title: str, total: int | None, unit: str, done: int = 0, shown: bool = True
) -> Iterator[Bar]:
    """A progress bar of `total` units (None: unknown), `done` of them ready before; none if not `shown`."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not (shown and sys.stderr.isatty())) as bar:
        task = bar.add_task(title, total=total, completed=done, text="")
        yield Bar(bar, task, unit, done)
