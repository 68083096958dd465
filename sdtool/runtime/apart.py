"""Try something in a process of its own: native code that crashes ends that process, and no other."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import warnings
from collections.abc import Callable
from typing import Any

from sdtool.errors import SdtoolError
from sdtool.runtime.workers import end_with_parent


def apart(function: Callable[..., Any], *arguments: Any, seconds: float = 300.0) -> Any:
    """`function(*arguments)` in a fresh process, which can print to stderr only.

    Both are sent there, so the function must be one of a module. What it raises is raised here.
    SdtoolError if the process dies, or takes longer than so many seconds.
    """
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(far, function, arguments), daemon=True)
    process.start()
    far.close()
    try:
        if not near.poll(seconds):
            raise SdtoolError(f"it took longer than {seconds:g} s")
        answer, error = near.recv()
    except (EOFError, OSError):
        process.join()
        raise SdtoolError(how_it_ended(process.exitcode)) from None
    finally:
        process.kill()
        process.join()
        near.close()
    if error is not None:
        raise error
    return answer


def how_it_ended(code: int | None) -> str:
    """Why a process is gone that nobody stopped, by its exit code as `multiprocessing` has it."""
    if code is None or code >= 0 or code == -signal.SIGKILL:
        return f"its process died (exit code {code}), perhaps for want of memory"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process crashed ({name}, {signal.strsignal(-code)})"


def _serve(
    pipe: multiprocessing.connection.Connection, function: Callable, arguments: tuple
) -> None:
    """What the process does: answer once."""
    end_with_parent()
    os.dup2(2, 1)  # stdout is its parent's answer
    warnings.simplefilter("ignore")
    try:
        pipe.send((function(*arguments), None))
    except Exception as error:
        try:
            pipe.send((None, error))
        except Exception:  # one that cannot be sent
            pipe.send((None, RuntimeError(f"{type(error).__name__}: {error}")))
