"""Run one function over many items: here, over local processes, or over a Ray cluster.

One bad item never ends the run. Whatever happens to it (an exception, a worker that dies or hangs)
comes back as that item's ObjectError.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

from sdtool.errors import ObjectError, SdtoolError
from sdtool.runtime.workers import attempt, begin_worker, timed_out, worker_died

Item = TypeVar("Item")
Output = TypeVar("Output")


Engine = Literal["local", "ray"]
"""Where the work runs: on this machine, or on a Ray cluster."""

RECYCLE = 2000
"""Objects after which a worker process makes room for a fresh one, where a stage says nothing else."""


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_items(
    function: Callable[[Item], Output],
    items: Iterable[Item],
    *,
    workers: int = 0,
    engine: Engine = "local",
    timeout: float = 0.0,
    recycle: int = 0,
    memory: int = 0,
    gpus: Sequence[str] = (),
) -> Generator[tuple[Item, Output | ObjectError], None, None]:
    """Yield (item, `function(item)`) for every item, in the order of completion.

    In the place of the output stands an ObjectError if the function raised one, or raised something
    unforeseen (``internal-error``), or its worker process died (``worker-died``, for example for want
    of memory) or took longer than `timeout` seconds (``timeout``). Other SdtoolErrors end the run.

    items: drawn as workers become free. Like `function`, they must be picklable.
    workers: processes of one thread each; 0 takes every core; 1 runs in this process, which nothing
    protects from a crash or a hang. timeout: seconds an item may take, 0 for no limit. recycle: items
    after which a worker process is replaced, 0 for never. memory: bytes of address space a worker may
    use (then it sees a MemoryError), 0 for no limit. gpus: devices as CUDA_VISIBLE_DEVICES names them:
    each worker sees one, and there are as many workers at most; Ray hands out its own.
    """
    if engine == "ray":
        from sdtool.runtime.engine_ray import map_on_ray

        yield from map_on_ray(function, items, workers, timeout, recycle, memory, bool(gpus))
        return
    workers = workers or len(gpus) or available_cores()
    if gpus:
        workers = min(workers, len(gpus))
    if workers == 1:
        for item in items:
            yield item, attempt(function, item)
        return
    yield from _map_on_processes(function, items, workers, timeout, recycle, memory, gpus)


def _map_on_processes(
    function: Callable,
    items: Iterable,
    workers: int,
    timeout: float,
    recycle: int,
    memory: int,
    gpus: Sequence[str],
) -> Iterator[tuple]:
    waiting = iter(items)
    team: list[_Worker] = []
    try:
        while True:
            while len(team) < workers and (item := next(waiting, _NONE)) is not _NONE:
                free = [gpu for gpu in gpus if gpu not in {worker.gpu for worker in team}]
                team.append(_Worker(function, item, memory, free[0] if free else ""))
            if not team:
                return
            patience = min(worker.patience(timeout) for worker in team)
            limit = None if patience == float("inf") else patience
            awake = multiprocessing.connection.wait([worker.pipe for worker in team], limit)
            for worker in list(team):
                outcome = worker.poll(worker.pipe in awake, timeout)
                if outcome is _NONE:
                    continue
                done, tired = worker.item, worker.is_dead or worker.count == recycle
                following = _NONE if tired else next(waiting, _NONE)
                if following is _NONE:
                    worker.end()
                    team.remove(worker)
                else:
                    worker.give(following)
                yield done, outcome
    finally:
        for worker in team:
            worker.end()


_NONE = object()


class _Worker:
    """A process with a pipe of its own, so that its death disturbs no other; it has one item at a
    time, the first one as soon as it has started."""

    def __init__(self, function: Callable, item: object, memory: int, gpu: str):
        self.gpu = gpu
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far, function, memory), daemon=True)
        with _seeing(gpu):
            self.process.start()
        far.close()
        self.item, self.count, self.is_dead = item, 0, False
        self.since: float | None = None  # when its item was given to it; None: it has not started

    def give(self, item: object) -> None:
        """Send the next item."""
        self.item, self.since = item, time.monotonic()
        with suppress(BrokenPipeError):  # it has died: the next poll finds out
            self.pipe.send(item)

    def patience(self, timeout: float) -> float:
        """Seconds that its item may still take."""
        if not timeout or self.since is None:
            return float("inf")
        return max(0.0, self.since + timeout - time.monotonic())

    def poll(self, has_spoken: bool, timeout: float) -> Any:
        """The outcome of its item; _NONE if that is still at work."""
        if has_spoken:
            try:
                message = self.pipe.recv()
            except (EOFError, OSError):
                if self.since is None:
                    raise SdtoolError(
                        "a worker process cannot start; --workers 1 works in this process"
                    ) from None
                self.is_dead = True
                return worker_died()
            if self.since is None:  # it has started
                self.give(self.item)
                return _NONE
            if isinstance(message, SdtoolError) and not isinstance(message, ObjectError):
                raise message
            self.count += 1
            return message
        self.is_dead = self.patience(timeout) == 0
        return timed_out(timeout) if self.is_dead else _NONE

    def end(self) -> None:
        """Stop the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def _seeing(gpu: str) -> Iterator[None]:
    """Processes that are started meanwhile see this GPU alone; all of them if it is empty."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        yield
    finally:
        if gpu and before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        elif gpu and before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _serve(pipe: multiprocessing.connection.Connection, function: Callable, memory: int) -> None:
    """What a worker process does: say that it has started, then turn items into outcomes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its parent's to handle
    begin_worker(memory)
    pipe.send("ready")
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            outcome = attempt(function, item)
        except SdtoolError as error:
            outcome = error
        pipe.send(outcome)
