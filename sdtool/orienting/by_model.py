"""The way objects face, by a model that looks at pictures of them from all around."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from sdtool.captioning.views import views_around
from sdtool.errors import ObjectError
from sdtool.io.ledger import Ledger
from sdtool.io.objects import ObjectRecord
from sdtool.orienting.answer import answer
from sdtool.orienting.orient_anything import AZIMUTHS, SIDE, OrientAnything
from sdtool.runtime.engine import map_items
from sdtool.runtime.prefetch import prefetch
from sdtool.runtime.progress import progress


def orient_by_model(
    items: Callable[[], Iterator[tuple[int, ObjectRecord]]],
    total: int,
    ledger: Ledger,
    model: OrientAnything,
    turns: int,
    views: int,
    pool: dict[str, Any],
) -> None:
    """Bring a line for every object into the ledger; arguments as `orient_by_agp` has them."""
    todo = (entry for entry in items() if entry[0] not in ledger)
    with progress("orienting", total, "objects", done=ledger.count) as bar:
        for (index, item), images in prefetch(map_items(partial(_render, views), todo, **pool)):
            line: dict[str, Any] | ObjectError
            if isinstance(images, ObjectError):
                line = images
            else:
                azimuths, has_front = model(images)
                line = by_pictures(item.uid, azimuths, has_front, turns)
            ledger.add_line(index, item.uid, line)
            bar.advance(failed=isinstance(line, ObjectError))


def _render(views: int, entry: tuple[int, ObjectRecord]) -> np.ndarray:
    """The pictures of one object, evenly around, the first from +Z (run by a worker)."""
    return views_around(entry[1].path, views, SIDE)


def by_pictures(
    uid: str, azimuths: torch.Tensor, has_front: torch.Tensor, turns: int
) -> dict[str, Any] | ObjectError:
    """The line of an object by what the model sees in N pictures from evenly around it.

    azimuths: (N, 360) log-probabilities of where the camera stands from the front. has_front: (N,).
    View v stands at v·360°/N, so that a front at azimuth f is seen from v·360°/N − f: the views' means
    of the log-probabilities are those of f, and a turn is as probable as the fronts that are nearest to
    it, times how probably there is a front.
    """
    if not (torch.isfinite(azimuths).all() and torch.isfinite(has_front).all()):
        return ObjectError("non-finite", f"the model's answer for {uid} is not a number")
    front = torch.arange(AZIMUTHS)
    count = len(azimuths)
    seen = [azimuths[v, (round(v * 360 / count) - front) % AZIMUTHS] for v in range(count)]
    chance = torch.stack(seen).double().mean(dim=0).softmax(-1)
    nearest = (((-front % AZIMUTHS) * turns + AZIMUTHS // 2) // AZIMUTHS) % turns
    by_turn = torch.zeros(turns, dtype=torch.float64).index_add_(0, nearest, chance)
    best = int(by_turn.argmax())
    sure = float(by_turn[best] * has_front.double().mean())
    more = {"front": round(float(has_front.mean()), 4)}
    return answer(uid, best * 360 / turns, sure, "model", **more)
