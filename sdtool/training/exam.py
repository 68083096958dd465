"""The exam of an AGP: maps of objects that its training does not see, and what is measured on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sdtool.errors import InputError
from sdtool.io.objects import read_lvis
from sdtool.priors.prior import Prior
from sdtool.training.data import Views
from sdtool.training.identification import (
    AZIMUTHS,
    BANDS,
    HALVES,
    TIMES,
    band_losses,
    text_identification,
    view_identification,
)
from sdtool.training.text_cache import EncodedTexts

CHOICES = 10
"""Of how many categories the right one is to be found."""


@dataclass(frozen=True)
class Exam:
    """Maps (N, 4, h, w), their cameras (N, 4, 4) and captions; `categories` holds for some of the
    rows the prompts of K categories, the true one first."""

    maps: torch.Tensor
    c2w: torch.Tensor
    captions: list[str]
    categories: dict[int, list[str]]
    objects: int

    @property
    def prompts(self) -> list[str]:
        """Every text that it needs."""
        return [*self.captions, *(text for row in self.categories.values() for text in row)]

    @property
    def passes(self) -> int:
        """What it costs: passes of one map through the UNet (`take_exam`).

        Each map with every camera, each that has a category with every text of its row, both at all
        `TIMES`; and each map at two times of every band.
        """
        candidates = AZIMUTHS * len(self.maps) + sum(map(len, self.categories.values()))
        return candidates * len(TIMES) + BANDS * HALVES * len(self.maps)


def read_categories(listings: list[Path], in_words: Callable[[str], str]) -> dict[str, str]:
    """The prompt of each object's category: uid → `in_words("coffee table")`.

    listings: `objects.jsonl` files; an object's first entry of "lvis" counts, and who has none has no
    category. Of a name like "bat_(animal)" what stands before the bracket is taken.
    """
    found = {}
    for path in listings:
        for uid, names in read_lvis(path):
            name = names[0].partition("(")[0].replace("_", " ").strip().lower() if names else ""
            if name:
                found[uid] = in_words(name)
    if listings and not found:
        raise InputError(
            f"{listings[0]} names no category (lvis) of any object; leave out --objects"
        )
    return found


def draw_exam(
    views: Views,
    captions: dict[str, list[str]],
    category_of: dict[str, str],
    count: int,
    generator: torch.Generator,
) -> Exam:
    """An exam of `count` maps drawn from `views`.

    captions: uid → prompts, of which the first one counts. category_of: uid → the prompt of its
    category, of every object whose category is known, whether it is examined or not: the wrong
    answers are drawn from them.
    """
    chosen = torch.randperm(len(views), generator=generator)[:count].numpy()
    uids = [views.uids[k] for k in views.object[chosen]]
    known, categories = sorted(set(category_of.values())), {}
    for row, uid in enumerate(uids):
        right = category_of.get(uid)
        others = [text for text in known if text != right]
        if right and others:
            order = torch.randperm(len(others), generator=generator)[: CHOICES - 1].tolist()
            categories[row] = [right, *(others[k] for k in order)]
    return Exam(
        views.maps(chosen),
        views.cameras(chosen),
        [captions[uid][0] for uid in uids],
        categories,
        len(set(uids)),
    )


@torch.no_grad()
def take_exam(
    prior: Prior,
    exam: Exam,
    encoded: EncodedTexts,
    generator: torch.Generator,
) -> dict:
    """What the prior knows: {"maps", "objects", "view_identification", "loss", …}, shares in [0, 1].

    encoded: at least the exam's `prompts`. Formulas: `sdtool.training.identification`.
    """
    text = encoded(exam.captions).cpu()
    facts: dict[str, Any] = {"maps": len(exam.maps), "objects": exam.objects}
    share = view_identification(prior, exam.maps, exam.c2w, text, generator=generator)
    facts["view_identification"] = round(share, 4)
    if rows := list(exam.categories):
        texts = torch.stack([encoded(exam.categories[row]).cpu() for row in rows])
        share = text_identification(
            prior, exam.maps[rows], exam.c2w[rows], texts, generator=generator
        )
        facts["category_identification"] = round(share, 4)
        facts["category_maps"], facts["category_choices"] = len(rows), texts.shape[1]
    losses = band_losses(prior, exam.maps, exam.c2w, text, generator=generator)
    facts["loss"] = {band: round(loss, 5) for band, loss in losses.items()}
    return facts


def in_words(facts: dict) -> str:
    """One line for the terminal."""
    said = f"view identification {facts['view_identification']:.1%} of {facts['maps']} maps"
    if "category_identification" in facts:
        share, choices = facts["category_identification"], facts["category_choices"]
        said += f", category {share:.1%} of {facts['category_maps']} (1 of {choices})"
    return f"{said}, loss by timestep " + ", ".join(f"{b}: {v}" for b, v in facts["loss"].items())
