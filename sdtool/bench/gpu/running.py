"""Run checks one after another in a process of their own, each within its time.

A GPU that has met an illegal address is lost to its process, and a kernel that hangs cannot be
interrupted: so whatever fails ends that process, and the next check begins in a fresh one.
"""

import faulthandler
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from sdtool.bench.gpu.figures import Absent, Figure, Sheet
from sdtool.bench.gpu.setup import Setup
from sdtool.errors import SdtoolError
from sdtool.runtime.apart import how_it_ended
from sdtool.runtime.workers import end_with_parent

LEAST = 2.0
"""Seconds: with less time left no check is begun."""

State = Literal["running", "passed", "failed", "skipped", "not run"]


@dataclass(frozen=True)
class Check:
    """One thing to find out. title, about: for the page. share: of the whole time, that it may take.

    run(setup, sheet): puts figures into the sheet; raises Absent if what it needs is not here.
    It is sent to another process, so it must be a function of a module.
    """

    name: str
    title: str
    about: str
    share: float
    run: Callable[[Setup, Sheet], None]


@dataclass
class Outcome:
    """What became of a check so far. error: why it failed, was skipped or not run, in one line."""

    check: Check
    state: State = "running"
    seconds: float = 0.0
    error: str = ""
    figures: list[Figure] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against it: it passed, or what it needs is not here."""
        return self.state in ("passed", "skipped")


def run_checks(
    checks: Sequence[Check],
    setup: Setup,
    describe: Callable[[Setup], dict[str, Any]],
    *,
    seconds: float,
    log: Path,
    on_change: Callable[[dict[str, Any], list[Outcome]], None],
) -> list[Outcome]:
    """The outcome of every check, in order.

    describe: what the machine is, found first in each such process; its SdtoolError ends it all. seconds: for
    all checks together. log: takes what they print, and what went wrong in full. on_change: called with
    the machine and the outcomes so far, after every figure and every end.
    """
    end, outcomes = time.monotonic() + seconds, []
    worker = _Worker(setup, log)
    try:
        ((kind, machine),) = worker.messages(describe, seconds)
        if kind != "machine":
            raise machine if isinstance(machine, SdtoolError) else SdtoolError(str(machine))
        for check in checks:
            outcome = Outcome(check)
            outcomes.append(outcome)
            began, left = time.monotonic(), end - time.monotonic()
            if left < LEAST:
                outcome.state, outcome.error = "not run", f"the {seconds:.0f} s were over"
                on_change(machine, outcomes)
                continue
            if worker.is_gone:
                worker = _Worker(setup, log)
                list(worker.messages(describe, left))  # makes the process ready
            for kind, content in worker.messages(check, min(left, check.share * seconds)):
                outcome.seconds = time.monotonic() - began
                if kind == "figure":
                    outcome.figures.append(content)
                else:
                    outcome.state, outcome.error = kind, content
                on_change(machine, outcomes)
    finally:
        worker.end()
    return outcomes


class _Worker:
    """The process, and a pipe to it."""

    def __init__(self, setup: Setup, log: Path):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        # no daemon: checks have worker processes of their own, which end with it
        self.process = context.Process(target=_serve, args=(far, setup, str(log)))
        self.process.start()
        far.close()
        self.is_gone = False

    def messages(self, task: Any, seconds: float) -> Iterator[tuple[Any, Any]]:
        """What it says about a task: figures, then an end within so many seconds of its start."""
        wrong, deadline = False, time.monotonic() + seconds
        try:
            self.pipe.send(task)
            while True:
                if not self.pipe.poll(max(0.0, deadline - time.monotonic())):
                    yield "failed", f"it took longer than {seconds:.0f} s"
                    break
                kind, content = self.pipe.recv()
                wrong |= kind == "figure" and content.verdict == "wrong"
                if kind == "passed" and wrong:
                    kind, content = "failed", "not all is as it must be"
                    yield kind, content
                    return
                yield kind, content
                if kind == "failed":
                    break
                if kind != "figure":
                    return
        except (EOFError, OSError):
            self.process.join()
            yield "failed", how_it_ended(self.process.exitcode)
        self.end()

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.is_gone = True


def _serve(pipe: Connection, setup: Setup, log: str) -> None:
    """What the process does: run what it is sent, until something fails."""
    end_with_parent()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    faulthandler.enable(descriptor)  # where native code crashes, the log says who called it
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        is_check = isinstance(task, Check)
        try:
            if is_check:
                print(f"\n{task.title}", file=sys.stderr, flush=True)
                task.run(setup, Sheet(lambda one: pipe.send(("figure", one)), setup.judges_goals))
                pipe.send(("passed", ""))
            else:
                pipe.send(("machine", task(setup)))
        except Absent as absent:
            pipe.send(("skipped", str(absent)))
        except Exception as error:
            traceback.print_exc()
            refused = not is_check and isinstance(error, SdtoolError)
            pipe.send(("failed", error if refused else _one_line(error)))
            sys.stderr.flush()
            return


def _one_line(error: Exception) -> str:
    """An error's kind, unless it is our own, and the first line of what it says."""
    lines = str(error).strip().splitlines() or [""]
    kind = "" if isinstance(error, SdtoolError) else f"{type(error).__name__}: "
    return (kind + lines[0]).rstrip(": ")
