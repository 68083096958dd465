"""Captioning a whole listing by looking: render, ask a model, let CLIP choose (after Cap3D)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sdtool.captioning.cap3d import clean_caption, rank_candidates
from sdtool.captioning.phrases import caption_from_words
from sdtool.captioning.views import views_around
from sdtool.errors import ObjectError
from sdtool.io.ledger import Ledger
from sdtool.io.objects import ObjectRecord, object_rng
from sdtool.runtime.engine import map_items
from sdtool.runtime.prefetch import prefetch
from sdtool.runtime.progress import progress

if TYPE_CHECKING:
    from sdtool.captioning.vision_models import Captioner, Scorer

Block = list[tuple[int, ObjectRecord, np.ndarray | ObjectError]]
"""(place in the listing, record, pictures (V, H, W, 3) uint8 or what is wrong) of some objects."""


@dataclass(frozen=True)
class SamplingSettings:
    """What is asked of the models: `samples` captions of at most `length` tokens of each view."""

    views: int = 8
    size: int = 384
    samples: int = 5
    length: int = 40
    top_p: float = 0.9
    temperature: float = 1.0


def caption_by_models(
    items: Callable[[], Iterator[tuple[int, ObjectRecord]]],
    total: int,
    ledger: Ledger,
    captioner: "Captioner",
    scorer: "Scorer",
    settings: SamplingSettings,
    seed: int,
    batch: int,
    pool: dict[str, Any],
) -> None:
    """Bring a line for every object into the ledger, `batch` objects at a time.

    items: gives (place in the listing, record) of every object, each time from the beginning;
    total: how many they are. pool: options of `map_items` for the worker processes; they render what
    comes next while the models look at what is ready.
    """
    with progress("captioning", total, "objects", done=ledger.count) as bar:
        for block in prefetch(_blocks(items, ledger, settings, batch, pool)):
            lines = _caption_block(block, captioner, scorer, settings, seed)
            with ledger.gathering():
                for (index, item, _), line in zip(block, lines, strict=True):
                    if index not in ledger:
                        ledger.add_line(index, item.uid, line)
                        bar.advance(failed=isinstance(line, ObjectError))


def _blocks(items, ledger: Ledger, settings: SamplingSettings, batch: int, pool: dict[str, Any]):
    """Yield blocks of objects as they are rendered.

    A block holds the same objects in every run, since a model may round differently in other
    company; a block of which nothing is missing is passed over.
    """
    sizes: dict[int, int] = {}

    def jobs() -> Iterator[tuple[int, int, ObjectRecord]]:
        for number, block in enumerate(_batched(items(), batch)):
            if all(index in ledger for index, _ in block):
                continue
            sizes[number] = len(block)
            yield from ((number, index, item) for index, item in block)

    rendered: dict[int, Block] = {}
    results = map_items(partial(_render, settings), jobs(), **pool)
    for (number, index, item), pictures in results:
        block = rendered.setdefault(number, [])
        block.append((index, item, pictures))
        if len(block) == sizes[number]:
            yield sorted(rendered.pop(number), key=lambda entry: entry[0])


def _render(settings: SamplingSettings, job: tuple[int, int, ObjectRecord]) -> np.ndarray:
    """The pictures of one object (run by a worker)."""
    return views_around(job[2].path, settings.views, settings.size)


def _caption_block(
    block: Block, captioner: "Captioner", scorer: "Scorer", settings: SamplingSettings, seed: int
) -> list[dict[str, Any] | ObjectError]:
    """A line, or what is wrong, for each object of a block."""
    lines: dict[int, dict[str, Any] | ObjectError] = {
        index: trouble for index, _, trouble in block if isinstance(trouble, ObjectError)
    }
    good = [(i, item, p) for i, item, p in block if not isinstance(p, ObjectError)]
    if not good:
        return list(lines.values())
    shape = (settings.views, settings.samples, settings.length)
    images = np.concatenate([pictures for _, _, pictures in good])
    draws = np.concatenate([object_rng(seed, item.uid).random(shape) for _, item, _ in good])
    said = captioner.sample(images, draws, settings.top_p, settings.temperature)
    said = [[clean_caption(text) for text in texts] for texts in said]  # by image
    fits = scorer.fit(images, said)
    for place, (index, item, _) in enumerate(good):
        own = range(place * settings.views, (place + 1) * settings.views)
        models = {"captioner": captioner.identity, "clip": scorer.identity}
        texts, scores = [said[i] for i in own], [fits[i][:, own] for i in own]
        lines[index] = _line(item, texts, scores, captioner.kind, models, seed)
    return [lines[index] for index, _, _ in block]


def _line(
    item: ObjectRecord, texts: list, scores: list, source: str, models: dict[str, str], seed: int
) -> dict[str, Any] | ObjectError:
    """The line of one object: see `rank_candidates` for texts and scores."""
    if not any(text for said in texts for text in said):
        message = f"{models['captioner']} said nothing of {item.uid} that could be a caption"
        return ObjectError("no-words", message)
    chosen = rank_candidates(texts, scores)
    try:
        words, is_sure = caption_from_words(item, seed=seed)
    except ObjectError:
        words, is_sure = {"annotation": ""}, False
    winners = chosen["winners"]
    others = [{"caption": w["caption"], "source": source, **w} for w in winners[1:]]
    if is_sure and all(words["caption"] != winner["caption"] for winner in winners):
        others.append({"caption": words["caption"], "source": words["source"]})
    return {
        "uid": item.uid,
        "caption": chosen["caption"],
        "source": source,
        "score": chosen["score"],
        "annotation": words["annotation"],
        "alternatives": others,
        "candidates": chosen["candidates"],
        "models": models,
    }


def _batched(items, size: int) -> Iterator[list]:
    block = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
