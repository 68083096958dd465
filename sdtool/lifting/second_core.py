"""When a lift on a CPU has a helper process for half of its priors' work, and how it gets it."""

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from sdtool.priors.prior import Prior
from sdtool.priors.split import Halves, Helper, split
from sdtool.runtime.engine import available_cores
from sdtool.runtime.workers import is_worker

FEWEST = 40
"""Steps from which a helper is worth its start, which takes a core for seconds."""

_kept: list[Helper] = []
"""The helper of the last lift, for the next one."""


def may_split(device: str, processes: int) -> bool:
    """Whether priors compute in two halves: on a CPU, with cores for two processes, unless this is itself
    one of several workers. That decides the bits of a lift; whether there is a helper does not."""
    cpu = torch.device(device).type == "cpu"
    return processes > 1 and cpu and available_cores() > 1 and not is_worker()


def begin() -> Helper:
    """A helper, which imports what it needs while this process does so too."""
    atexit.register(end)
    if not (_kept and _kept[0].is_alive):
        _kept[:] = [Helper()]
    return _kept[0]


def end() -> None:
    """End the helper, if there is one."""
    while _kept:
        _kept.pop().close()


@contextmanager
def halves(
    priors: Sequence[Prior],
    names: tuple[str, str, str],
    helper: Helper | None,
    is_traced: bool = False,
) -> Iterator[Halves]:
    """While it lasts, the priors compute in two halves, the second by the helper as soon as it is ready.

    names: of base, AGP and colour prior, "" for none. is_traced: so are their UNets.
    """
    threads = max(1, available_cores() // 2)
    if helper is not None:
        helper.load(*names, priors[0].unet.dtype, threads, is_traced)
    with split(priors, helper, threads) as found:
        yield found
