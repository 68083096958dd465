"""Run a command and watch it: seconds, and the peak memory of all its processes together."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """What a command took. peak: bytes of resident memory of the command and all its children at
    once, a page that several share counted once (proportional set size, sampled)."""

    seconds: float
    peak: int
    stdout: str


def run_watched(arguments: list[str], every: float = 0.1, **environment: str) -> Run:
    """Run `python -m ARGUMENTS` to its end. CalledProcessError if it exits with neither 0 nor 3."""
    command = [sys.executable, "-m", *arguments]
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    lines: list[str] = []
    assert process.stdout is not None  # it is a pipe
    reader = threading.Thread(target=lines.extend, args=(process.stdout,))
    reader.start()
    while process.poll() is None:
        peak = max(peak, sum(map(_memory, _tree(process.pid))))
        time.sleep(every)
    reader.join()
    if process.returncode not in (0, 3):
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(time.perf_counter() - began, peak, "".join(lines))


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    except OSError:
        return [pid]
    return [pid, *(found for child in text.split() for found in _tree(int(child)))]


def _memory(pid: int) -> int:
    """Proportional set size in bytes; 0 of a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if "Pss:" in line), 0)
