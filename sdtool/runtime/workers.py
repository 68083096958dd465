"""What holds in every worker, of whatever engine: its limits, its end, and what its errors become."""

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from sdtool.errors import ObjectError, OutOfMemoryError, SdtoolError

Item = TypeVar("Item")
Output = TypeVar("Output")


def attempt(function: Callable[[Item], Output], item: Item) -> Output | ObjectError:
    """`function(item)`; or the ObjectError that it, or something unforeseen in it, amounts to."""
    try:
        return function(item)
    except ObjectError as error:
        return error
    except SdtoolError:
        raise
    except OSError as error:  # a loader names what it cannot read: this is a full disk, or the like
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        raise SdtoolError(f"{where}{error.strerror or error}") from None
    except MemoryError:
        return OutOfMemoryError("it needs more memory than a worker may use")
    except Exception as error:
        return ObjectError("internal-error", f"{type(error).__name__}: {error}")


def worker_died() -> ObjectError:
    """What becomes of an item whose worker process ended by itself."""
    return ObjectError("worker-died", "its worker process died, perhaps for want of memory")


def timed_out(timeout: float) -> ObjectError:
    """What becomes of an item that took too long."""
    return ObjectError("timeout", f"it took longer than {timeout:g} seconds")


_began: list[int] = []


def is_worker() -> bool:
    """Whether this process is one of several that share the machine's cores."""
    return bool(_began) or multiprocessing.parent_process() is not None


def begin_worker(memory: int = 0) -> None:
    """Make this process a worker: one thread, bounded memory, and an end when its parent ends."""
    _began.append(memory)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if memory:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    end_with_parent()


def end_with_parent() -> None:
    """From now on this process ends when its parent does: one that is killed cannot tell its workers,
    and they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_end, args=(parent.sentinel,), daemon=True).start()


def _wait_and_end(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
