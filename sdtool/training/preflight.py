"""What is said of the data before a training starts, with counts: an error where it cannot go on, a line
on stderr where it can."""

from collections import Counter
from pathlib import Path

import numpy as np

from sdtool.errors import InputError, UsageError
from sdtool.io.words import counted
from sdtool.runtime.progress import progress
from sdtool.training.data import Views
from sdtool.training.distributed import Processes

AT_ONCE = 8 << 20  # bytes that are looked through at a time, so that they stay in a cache
NAMED = 3  # objects and shards that a sentence names
EXPONENT = 0x7C00  # of a float16: all its bits are set in NaN and infinities, and in nothing else


def check_size(views: Views, wanted: int, name: str, option: str, *more: str) -> None:
    """UsageError, blaming `option` and more, if the maps are not of `wanted` pixels a side.

    name: what follows "but", such as "the base tiny works on".
    """
    if views.size == wanted:
        return
    raise UsageError(
        f"the {counted(len(views), 'map')} of {counted(len(views.drawn), 'object')} are "
        f"{views.size}×{views.size}, but {name} {wanted}×{wanted}; render with --size {wanted}",
        option,
        *more,
    )


def say_odd(views: Views, batch: int, processes: Processes) -> None:
    """Say what is odd and can go on: a batch of more maps than there are to train on, one object alone."""
    if batch > len(views):
        processes.say(
            f"--batch {batch} is more than the {counted(len(views), 'map')} of "
            f"{counted(len(views.drawn), 'object')}: a step takes some of them several times"
        )
    if len(views.drawn) == 1:
        processes.say(
            f"there is one object only to train on, {views.drawn[0]}, with {counted(len(views), 'map')}: "
            "nothing else will be learned"
        )


def check_numbers(views: Views, processes: Processes) -> None:
    """InputError, with counts and names, if a map or a camera of `views` holds what is no number.

    All are read, by the main process; the others wait.
    """
    processes.on_main(lambda: _refuse_damaged(views))


def _refuse_damaged(views: Views) -> None:
    found = damaged(views)
    if not found:
        return
    rows = Counter((path.name, uid) for path, uid, _ in found)
    shards = {path for path, _, _ in found}
    kinds = Counter(what for _, _, what in found)
    some = ", ".join(f"{uid} in {name}" for name, uid in list(rows)[:NAMED])
    more = ", …" if len(rows) > NAMED else ""
    counts = " and ".join(f"{counted(n, kind)} of {len(views)}" for kind, n in kinds.items())
    of = counted(len(rows), "object")
    raise InputError(
        f"{counts} hold what is no number (NaN or infinity), of {of}: {some}{more}; remove "
        f"{counted(len(shards), 'shard')} of {len(views.shards)}, first {min(shards)}, and render again "
        "with: sdtool render-ccm"
    )


def damaged(views: Views) -> list[tuple[Path, str, str]]:
    """Shard, uid and "map" or "camera" of each row of `views` that holds a NaN or an infinity."""
    found = []
    with progress("reading", len(views), "maps") as bar:
        for k, shard in enumerate(views.shards):
            of_shard = views.shard == k
            for m, name in enumerate(views.names):
                rows = np.flatnonzero(of_shard & (views.map == m))
                if not len(rows):
                    continue
                tables = {"map": shard.maps[name]} | ({"camera": shard.c2w} if m == 0 else {})
                for what, table in tables.items():
                    if wrong := not_finite(table):
                        used = rows[np.isin(views.row[rows], wrong)]
                        uids = (views.uids[k] for k in views.object[used].tolist())
                        found += [(shard.path, uid, what) for uid in uids]
                bar.advance(len(rows))
    return found


def not_finite(table: np.ndarray) -> list[int]:
    """The rows of (N, …) that hold a NaN or an infinity; read in parts."""
    size = max(1, AT_ONCE // max(1, table[:1].nbytes))
    found: list[int] = []
    for start in range(0, len(table), size):
        part = np.ascontiguousarray(table[start : start + size])
        if part.dtype == np.float16:  # bits are compared faster than numpy looks at halves
            wrong = (part.view(np.uint16) & EXPONENT) == EXPONENT
        else:
            wrong = ~np.isfinite(part)
        if wrong.any():
            rows = np.flatnonzero(wrong.reshape(len(part), -1).any(axis=1))
            found += (rows + start).tolist()
    return found
