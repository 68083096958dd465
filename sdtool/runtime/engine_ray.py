"""The Ray side of `sdtool.runtime.engine`: a local Ray, or the cluster that RAY_ADDRESS names."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sdtool.errors import MissingDependencyError, ObjectError, UsageError
from sdtool.runtime.workers import attempt, begin_worker, timed_out, worker_died

START = 60.0  # seconds that Ray may take to start a worker, beyond an item's own time
TRIES = 5  # of starting a local Ray, which gives itself 30 s, too few on a machine that is busy


def map_on_ray(
    function: Callable,
    items: Iterable,
    workers: int,
    timeout: float,
    recycle: int,
    memory: int,
    on_gpus: bool,
) -> Iterator[tuple[Any, Any | ObjectError]]:
    """`sdtool.runtime.engine.map_items` over Ray; one CPU per item, and files on a disk that all nodes share.

    workers: items at a time; 0 takes all CPUs of the cluster. on_gpus: each item takes a GPU besides,
    which is all that it sees, and 0 workers are all GPUs.
    """
    ray = _ray()
    began = not ray.is_initialized()
    if began:
        _join(ray)
    kind = "GPU" if on_gpus else "CPU"
    task = ray.remote(num_cpus=1, num_gpus=int(on_gpus), max_retries=0, max_calls=recycle)(_work)
    waiting = iter(items)
    pending: dict[Any, tuple[Any, float]] = {}  # by Ray's reference: the item, and since when
    cancelled: set[Any] = set()
    try:
        if not (most := int(ray.cluster_resources().get(kind, 0))):
            raise UsageError(
                f"Ray knows of no {kind}; add --device cpu, or start it where one is", "--engine"
            )
        workers = workers or most
        while True:
            while len(pending) < workers:
                try:
                    item = next(waiting)
                except StopIteration:
                    break
                pending[task.remote(function, item, memory)] = (item, time.monotonic())
            if not pending:
                return
            ready, _ = ray.wait(list(pending), timeout=1.0)
            for reference in ready:
                item, _ = pending.pop(reference)
                try:
                    outcome = ray.get(reference)
                except (ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError):
                    died = reference not in cancelled
                    outcome = worker_died() if died else timed_out(timeout)
                except ray.exceptions.OutOfMemoryError:
                    outcome = worker_died()
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                cancelled.discard(reference)
                yield item, outcome
            for reference, (_, since) in pending.items() if timeout else ():
                late = time.monotonic() - since > timeout + START
                if late and reference not in cancelled:
                    cancelled.add(reference)
                    ray.cancel(reference, force=True)
    finally:
        if began:
            ray.shutdown()


def _work(function: Callable, item: Any, memory: int) -> Any:
    begin_worker(memory)
    return attempt(function, item)


def _ray() -> Any:
    """The module, or the sentence that says how to get it."""
    for name, value in (
        ("RAY_USAGE_STATS_ENABLED", "0"),
        ("RAY_AUTH_MODE", "disabled"),
        (
            "RAY_NUM_REDIS_GET_RETRIES",
            "120",
        ),  # seconds in which its own server must answer; else 20
    ):
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise MissingDependencyError(
            "--engine ray needs the package ray; install it with: pip install 'sdtool[ray]'"
        ) from None
    return ray


def _join(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS", "")
    for tries_left in reversed(range(1 if address else TRIES)):
        try:
            if address:
                ray.init(log_to_driver=False)
            else:
                ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
            return
        except Exception as error:  # of its own slow start Ray says so by a plain Exception
            if tries_left and "timed out" in str(error):
                ray.shutdown()
                continue
            raise UsageError(
                f"Ray ({address or 'a local one'}) cannot be reached or started: {error}",
                "--engine",
            ) from None
