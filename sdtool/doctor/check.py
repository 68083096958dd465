"""One check: a thing that is really tried, and what came of it."""

import contextlib
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from sdtool.errors import MissingDependencyError

State = Literal["ok", "missing", "failed"]


class Absent(Exception):
    """What a check needs is not here, and nothing is broken. cure: how to get it."""

    def __init__(self, why: str, cure: str = ""):
        super().__init__(why)
        self.cure = cure


@dataclass(frozen=True)
class Check:
    """run: tries the thing; returns a few words on what it did, raises if it does not work.

    core: part of every sdtool: if it does not work, sdtool does not. cure: how to get the thing.
    module: the optional package that it needs, by the name that Python imports.
    """

    name: str
    run: Callable[[], str]
    core: bool = False
    cure: str = ""
    module: str = ""


@dataclass(frozen=True)
class Finding:
    """What came of a check. detail: what was done, or why not, in one line."""

    name: str
    core: bool
    state: State
    seconds: float
    detail: str
    cure: str

    def sentence(self) -> str:
        """Why the thing does not work, and its cure, as part of a sentence."""
        return f"{self.name} is {self.state}: {self.detail}" + (f"; {self.cure}" * bool(self.cure))


def attempt(check: Check) -> Finding:
    """Run one check; whatever it raises becomes its finding."""
    start = time.perf_counter()
    state: State = "failed"
    cure = check.cure
    try:
        if check.module and find_spec(check.module) is None:
            raise Absent(f"the package {check.module} is not installed")
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detail = check.run()
        state, cure = "ok", ""
    except Absent as absent:
        state, detail, cure = "missing", str(absent), absent.cure or cure
    except Exception as error:
        detail = _first_line(error)
        if check.core and isinstance(error, ModuleNotFoundError):
            cure = "pip install sdtool"  # installs what its dependencies lack
    seconds = time.perf_counter() - start
    return Finding(check.name, check.core, state, round(seconds, 3), detail, cure)


def expect(holds: bool, complaint: str) -> None:
    """ArithmeticError with the complaint unless it holds: it ran, but its answer is wrong."""
    if not holds:
        raise ArithmeticError(complaint)


def _first_line(error: Exception) -> str:
    """An error in one line; of a package that is there but cannot be imported, why it cannot."""
    if isinstance(error, MissingDependencyError) and isinstance(error.__context__, ImportError):
        error = error.__context__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
