"""`make gpu-check`: try and measure everything on a GPU, in at most eight minutes.

    python -m sdtool.bench gpu --out DIR

Needs pip's packages alone; nothing is downloaded. Full-size pipelines are made on the spot, with random
weights in Stable Diffusion 2.1's configuration (6 GB in DIR while it runs). Writes DIR/gpu-check.json,
DIR/gpu-check.md and DIR/gpu-check.log as figures become known. A check that fails is recorded, and the
next one goes on. The exit code is 1 if anything is not as it must be; a goal of speed or memory that is
missed is no failure.
"""

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdtool.bench.gpu.checks import CHECKS
from sdtool.bench.gpu.machine import describe, device_for
from sdtool.bench.gpu.page import LOG, PAGE, write_results
from sdtool.bench.gpu.running import Check, Outcome, run_checks
from sdtool.bench.gpu.setup import Setup
from sdtool.errors import UsageError

MINUTES, PATIENCE = 8.0, 60.0
"""For all checks, on a GPU and on a CPU, where nothing is measured and others may share the cores."""


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """What is checked, where, and into which folder the results go."""
    parser = argparse.ArgumentParser(
        prog="python -m sdtool.bench gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1, cpu")
    parser.add_argument("--small", action="store_true", help="at reduced size, to try the checks")
    parser.add_argument(
        "--only", action="append", default=[], choices=list(CHECKS), help="repeatable"
    )
    parser.add_argument("--minutes", type=float, help="for all checks [default: 8 on a GPU]")
    return parser.parse_args(arguments)


def gpu_check(arguments: Sequence[str]) -> int:
    """Run the checks; the path of the page on stdout. Returns the exit code."""
    given = options(arguments)
    if given.device.partition(":")[0] == "cpu" and not given.small:
        raise UsageError("--device cpu takes hours at full size; add --small", "--device")
    if given.minutes is not None and not 0 < given.minutes < math.inf:
        raise UsageError(f"--minutes {given.minutes:g} is no time to check in", "--minutes")
    device = device_for(given.device)
    minutes = given.minutes or (PATIENCE if device == "cpu" else MINUTES)
    try:
        given.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = f"--out {given.out} cannot be made a directory ({error.strerror}); name another"
        raise UsageError(said, "--out") from None
    checks = [check for name, check in CHECKS.items() if not given.only or name in given.only]
    work = Path(tempfile.mkdtemp(prefix="gpu-check-", dir=given.out)).resolve()
    (given.out / LOG).unlink(missing_ok=True)
    try:
        outcomes = run_checks(
            checks,
            Setup(device, given.small, work),
            describe,
            seconds=60 * minutes,
            log=given.out / LOG,
            on_change=_Reporter(given.out),
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(given.out / PAGE)
    return 0 if all(outcome.is_sound for outcome in outcomes) else 1


class _Reporter:
    """Writes the results so far, and says on stderr what became of each check."""

    def __init__(self, out: Path):
        self.out, self.said = out, 0

    def __call__(self, machine: dict[str, Any], outcomes: list[Outcome]) -> None:
        write_results(self.out, machine, outcomes)
        for outcome in outcomes[self.said :]:
            if outcome.state == "running":
                return
            self.said += 1
            print(_line(outcome.check, outcome), file=sys.stderr)


def _line(check: Check, outcome: Outcome) -> str:
    why = f": {outcome.error}" if outcome.error else ""
    wrong = [f.name for f in outcome.figures if f.verdict in ("wrong", "missed")]
    named = f" ({'; '.join(wrong)})" if wrong else ""
    return f"{check.title}: {outcome.state} after {outcome.seconds:.0f} s{why}{named}"
