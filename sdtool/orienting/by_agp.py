"""The way an object faces, by what the aligned geometric prior (AGP) finds most likely.

An AGP has learnt the maps of objects that face +Z: from the text and from where the camera stands it
knows which side is to be seen, with which coordinates. So of several turns of an object it predicts the
noise best in the maps of the turn under which the object faces +Z. What is compared is the whole
error of the prediction under camera and caption, a bound on the maps' log-likelihood (DDPM, eq. 12 and
14), not its difference from what the AGP says without the caption, nor from its errors at other
cameras: a map's coordinates betray its camera, whichever way the object faces.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from sdtool.captioning.phrases import caption_from_words
from sdtool.errors import ObjectError
from sdtool.io.ledger import Ledger
from sdtool.io.objects import ObjectRecord, object_rng
from sdtool.orienting.answer import answer
from sdtool.orienting.turned import TurnSettings, turned_maps
from sdtool.priors.prior import Prior
from sdtool.runtime.engine import map_items
from sdtool.runtime.prefetch import prefetch
from sdtool.runtime.progress import progress

TIMES = (0.6, 0.8, 0.95)
"""Noise levels, as shares of the schedule: high ones, at which text and camera say the most."""

TEMPERATURE = 0.2
"""How far a turn's error lies above the least, as a share of it, where it is e times less probable."""

Items = Callable[[], Iterator[tuple[int, ObjectRecord]]]


def orient_by_agp(
    items: Items,
    total: int,
    ledger: Ledger,
    prior: Prior,
    settings: TurnSettings,
    captions: dict[str, list[str]],
    temperature: float,
    seed: int,
    batch: int,
    pool: dict[str, Any],
) -> None:
    """Bring a line for every object into the ledger.

    items: gives (place in the listing, record) of every object, each time from the beginning; total:
    how many they are. captions: uid → prompts, of which the first counts; who has none is known by
    its name. temperature: see `probabilities`. batch: maps that the prior looks at at once. pool:
    options of `map_items` for the worker processes, which render ahead.
    """
    todo = (entry for entry in items() if entry[0] not in ledger)
    with progress("orienting", total, "objects", done=ledger.count) as bar:
        for (index, item), found in prefetch(
            map_items(partial(turned_maps, settings), todo, **pool)
        ):
            line: dict[str, Any] | ObjectError
            if isinstance(found, ObjectError):
                line = found
            else:
                text = captions[item.uid][0] if item.uid in captions else prompt_of(item, seed)
                maps, c2w = (torch.from_numpy(part) for part in found)
                error = turn_errors(prior, maps, c2w, text, seed, item.uid, batch)
                line = by_errors(item.uid, settings, error, text, temperature)
                unknown = prior.unknown_words(text)
                if unknown and not isinstance(line, ObjectError):
                    line["unknown"] = unknown
            ledger.add_line(index, item.uid, line)
            bar.advance(failed=isinstance(line, ObjectError))


def prompt_of(item: ObjectRecord, seed: int) -> str:
    """A prompt from the object's own words; "" if they say nothing."""
    try:
        return caption_from_words(item, seed=seed)[0]["caption"]
    except ObjectError:
        return ""


@torch.no_grad()
def turn_errors(
    prior: Prior,
    maps: torch.Tensor,
    c2w: torch.Tensor,
    text: str,
    seed: int,
    uid: str,
    batch: int = 16,
) -> np.ndarray:
    """(T,) float64: for each of T turns the mean of (ε̂ − ε)² over views, pixels and `TIMES`.

    maps: (T, V, 4, h, w) and c2w (T, V, 4, 4) from `turned_maps`. Turns have the same noise: that of
    the view, drawn from seed and uid alone.
    """
    turns, views = maps.shape[:2]
    generator = torch.Generator().manual_seed(int(object_rng(seed, uid).integers(2**62)))
    clean = prior.encode_map(maps.flatten(0, 1)).to(prior.device)
    cameras = c2w.flatten(0, 1).to(prior.device)
    embedded = prior.encode_text([text])
    last, errors = len(prior.alphas_cumprod) - 1, []
    for level in TIMES:
        noise = torch.randn((views, *clean.shape[1:]), generator=generator).to(prior.device)
        noise = noise.repeat(turns, 1, 1, 1)
        for part in torch.arange(len(clean), device=prior.device).split(batch):
            t = torch.full((len(part),), int(level * last), device=prior.device)
            noisy = prior.add_noise(clean[part], noise[part], t)
            words = embedded.expand(len(part), -1, -1)
            guess = prior.predict_noise(noisy, t, words, cameras[part])
            errors.append((guess - noise[part]).square().mean(dim=(1, 2, 3)))
    mean = torch.cat(errors).view(len(TIMES), turns, views).double().mean(dim=(0, 2))
    return mean.cpu().numpy()


def probabilities(error: np.ndarray, temperature: float = TEMPERATURE) -> np.ndarray:
    """(T,) errors of the turns → (T,) how probable each one is; they add up to 1.

    softmax(−e / (temperature · min e)): what counts is by what share an error exceeds the least. Of an
    object that looks alike from several sides all of these get their part, and none is sure.
    """
    above = (error - error.min()) / max(float(error.min()), 1e-12)
    weight = np.exp(-np.minimum(above / temperature, 700))
    return weight / weight.sum()


def by_errors(
    uid: str, settings: TurnSettings, error: np.ndarray, text: str, temperature: float = TEMPERATURE
) -> dict[str, Any] | ObjectError:
    """The line of an object whose turns have these errors (T,), or what is wrong with them."""
    if not np.isfinite(error).all():
        return ObjectError("non-finite", f"the AGP's answer for {uid} is not a number")
    chance = probabilities(error, temperature)
    best = int(chance.argmax())
    more = {"caption": text, "errors": [float(f"{e:.5g}") for e in error]}
    return answer(uid, settings.degrees()[best], chance[best], "agp", **more)
