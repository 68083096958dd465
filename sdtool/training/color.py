"""The training of a colour prior: pictures and maps of the same views, objects held out, and a measure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sdtool.errors import InputError, UsageError
from sdtool.io.shards import shard_paths
from sdtool.io.words import counted
from sdtool.priors.color import fresh_color
from sdtool.priors.prior import Prior
from sdtool.priors.sampling import ddim
from sdtool.training.conditions import Conditions
from sdtool.training.data import PromptTable, Views, counts, held_out
from sdtool.training.distributed import Processes
from sdtool.training.finetune import finetune, say_cut_captions
from sdtool.training.preflight import check_numbers, check_size, say_odd
from sdtool.training.samples import STEPS, Row
from sdtool.training.settings import TrainingSettings
from sdtool.training.text_cache import EncodedTexts, encode_texts
from sdtool.training.vae import FACTOR, LatentViews
from sdtool.training.work_files import LATENTS

PICTURE, MAP = "rgb", "ccm"
SHOWN, SIDES = 6, 3
"""Objects in a sample grid, and views of each."""

MEASURED, TIME = 256, 600
"""Views that the measure is taken on, and its noise level."""


@dataclass(frozen=True)
class ColorViews:
    """The same views twice: row i of `pictures` and of `maps` are one view of one object."""

    pictures: Views
    maps: Views

    @classmethod
    def read(
        cls, folders: list[Path], captions: dict[str, list[str]], keep: Callable[[str], bool]
    ) -> "ColorViews":
        """The views of captioned objects that `keep` (uid → bool) takes."""
        both = (Views(folders, (name,), captions, keep) for name in (PICTURE, MAP))
        return cls(*both)


@dataclass(frozen=True)
class TrainedColor:
    """A colour prior, facts of its training for its card, what was measured, and how many objects were
    left out for want of a caption."""

    prior: Prior
    facts: dict
    measure: dict
    uncaptioned: int

    @property
    def counts(self) -> dict[str, int]:
        """What the stage's record counts."""
        return counts(self.facts["objects"], self.facts["maps"], self.uncaptioned)


def check_maps(folders: list[Path]) -> None:
    """UsageError if a shard lacks the pictures or the maps of coordinates.

    `sdtool render-ccm` turns no object at random where it writes the latter.
    """
    from sdtool.io.shards import open_shard

    for path in (path for folder in folders for path in shard_paths(folder)):
        if missing := {PICTURE, MAP} - set(open_shard(path).maps):
            raise UsageError(
                f"{path} has no map {' or '.join(sorted(missing))}; render with --maps rgb,ccm",
                "VIEWS",
            )


def train_color(
    base: Prior,
    folders: list[Path],
    captions: dict[str, list[str]],
    settings: TrainingSettings,
    out: Path,
    *,
    roughness: float,
    seed: int,
    processes: Processes,
    ready: Callable[[], None] = lambda: None,
    start: Prior | None = None,
) -> TrainedColor:
    """Train a colour prior of `base` on the views in `folders`, and measure it.

    captions: uid → prompts. roughness: of `Conditions`. ready: called when all inputs have been read, before
    anything is written. start: a colour prior of this base to go on from.
    """
    check_maps(folders)
    everything = Views(folders, (PICTURE,), captions)
    if left_out := everything.say_uncaptioned():
        processes.say(left_out)
    wanted = base.sample_size * (FACTOR if base.is_latent else 1)
    check_size(everything, wanted, f"{base.name} works on pictures of", "VIEWS", "--base")
    unseen = held_out(everything.drawn)
    views = ColorViews.read(folders, captions, lambda uid: uid not in unseen)
    held = ColorViews.read(folders, captions, lambda uid: uid in unseen)
    for half in (everything, Views(folders, (MAP,), captions)):
        check_numbers(half, processes)
    say_odd(views.pictures, settings.batch, processes)
    prior = (start or fresh_color(base)).to(processes.device)
    base = base.to(processes.device)
    prompts = PromptTable(views.pictures, captions, ("",))
    say_cut_captions(base.text_encoder, prompts.table, processes)
    ready()

    chosen = _evenly(len(held.pictures), MEASURED)
    shown = _shown(held.pictures) if settings.sample_every else np.zeros(0, int)
    asked = [captions[uid][0] for uid in held.pictures.uids]
    encoded = encode_texts(prior, [*prompts.table, *asked], out, processes=processes)
    said = (
        f"{counted(len(views.maps), 'view')} of {counted(len(views.maps.uids), 'object')}, "
        f"{counted(len(prompts.table), 'prompt')}; {counted(len(unseen), 'object')} held out"
    )
    processes.say(f"{said}; on {processes.device}")
    conditions = Conditions(views.maps, prior.sample_size, roughness)
    latents = None
    if prior.vae is not None:
        latents = LatentViews(views.pictures, prior.vae, out / LATENTS)
    loss = finetune(
        prior,
        views.pictures,
        prompts,
        settings,
        out,
        seed=seed,
        processes=processes,
        rows=partial(color_rows, prior, held, shown, captions, encoded, seed=seed),
        lookup=encoded.lookup,
        latents=latents,
        conditions=conditions,
    )
    measure = color_errors(prior, base, held, chosen, captions, encoded, seed=seed)
    processes.say("error of colours: " + ", ".join(f"{k} {v}" for k, v in measure.items()))
    facts: dict = {
        "maps": len(views.maps),
        "objects": len(views.maps.uids),
        "held_out": len(unseen),
    }
    facts |= {"loss": round(loss, 5), "camera": everything.camera}
    return TrainedColor(prior, facts, measure, len(everything.uncaptioned))


def _evenly(total: int, count: int) -> np.ndarray:
    """`count` rows of `total`, or fewer, evenly from all."""
    return np.unique(np.linspace(0, total - 1, min(total, count)).round().astype(int))


def _shown(views: Views) -> np.ndarray:
    """The rows of a sample grid: the first views of objects evenly from the list."""
    rows = []
    for number in _evenly(len(views.uids), SHOWN).tolist():
        rows += np.flatnonzero(views.object == number)[:SIDES].tolist()
    return np.array(rows, int)


@torch.no_grad()
def color_rows(
    prior: Prior,
    views: ColorViews,
    rows: np.ndarray,
    captions: dict[str, list[str]],
    encoded: EncodedTexts,
    *,
    seed: int,
) -> list[Row]:
    """A row for each object of `rows`: of each of its views the map, what is drawn, and the true picture."""
    size, found = prior.sample_size, []
    for number in np.unique(views.maps.object[rows]).tolist():
        index, uid = rows[views.maps.object[rows] == number], views.maps.uids[number]
        ccm = _averaged(views.maps.maps(index), size).to(prior.device)
        text, empty = encoded([captions[uid][0], ""]).split(1)
        text, generator = text.expand(len(index), -1, -1), torch.Generator().manual_seed(seed)
        x = ddim(prior, text, empty, generator=generator, ccm=ccm, steps=STEPS)
        true = prior.encode_image(views.pictures.maps(index).to(prior.device))
        drawn = [over_white(ccm), prior.decode_image(x), prior.decode_image(true)]
        side = drawn[1].shape[-1]
        drawn[0] = torch.nn.functional.interpolate(drawn[0], size=(side, side))
        found.append((captions[uid][0], torch.stack(drawn, dim=1).flatten(0, 1).float().cpu()))
    return found


@torch.no_grad()
def color_errors(
    prior: Prior,
    base: Prior,
    views: ColorViews,
    rows: np.ndarray,
    captions: dict[str, list[str]],
    encoded: EncodedTexts,
    *,
    seed: int,
    batch: int = 32,
) -> dict:
    """How much the map tells: {"true_map", "opposite_map", "base", "maps", "objects", "t"}.

    mean over views x and the pixels inside of |D(x̂) − D(x)|, where x̂ is one denoising of x at t = 600 with
    the caption and without guidance, and D the decoder, colours in [0, 1]. x̂ is taken with the true
    map, with the same map turned half round about +Y (each pixel is said to lie on the opposite side),
    and from the base, with no map. All get the same noise.
    """
    generator, size, device = torch.Generator().manual_seed(seed), prior.sample_size, prior.device
    sums = dict.fromkeys(("true_map", "opposite_map", "base"), 0.0)
    inside = 0.0
    for part in torch.from_numpy(rows).split(batch):
        index = part.numpy()
        pictures, maps = views.pictures.maps(index), views.maps.maps(index)
        text = encoded([captions[views.maps.uids[k]][0] for k in views.maps.object[index]])
        x, ccm = prior.encode_image(pictures.to(device)), _averaged(maps, size).to(device)
        noise = torch.randn(x.shape, generator=generator).to(device)
        t = torch.full((len(x),), TIME * len(prior.alphas_cumprod) // 1000, device=device)
        noisy, true = prior.add_noise(x, noise, t), prior.decode_image(x)
        weight = _averaged((pictures[:, 3:] + 1) / 2, true.shape[-1]).to(device)
        inside += float(weight.sum())
        for name, guess in (
            ("true_map", prior.predict_noise(noisy, t, text, ccm=ccm)),
            ("opposite_map", prior.predict_noise(noisy, t, text, ccm=turned_round(ccm))),
            ("base", base.predict_noise(noisy, t, text)),
        ):
            a = prior.alphas_cumprod[t].view(-1, 1, 1, 1)
            clean = prior.decode_image((noisy - (1 - a).sqrt() * guess) / a.sqrt())
            sums[name] += float(((clean - true).abs().mean(dim=1, keepdim=True) * weight).sum())
    errors: dict = {name: round(value / max(inside, 1.0), 4) for name, value in sums.items()}
    objects = len(np.unique(views.maps.object[rows]))
    return errors | {"maps": len(rows), "objects": objects, "t": TIME}


def turned_round(ccm: torch.Tensor) -> torch.Tensor:
    """Maps (N, 4, h, w) whose pixels are said to lie on the opposite side: x and z mirrored about the
    middle, which is a half turn about +Y; the outline stays."""
    return ccm * torch.tensor([-1.0, 1.0, -1.0, 1.0], device=ccm.device).view(1, 4, 1, 1)


def over_white(image: torch.Tensor) -> torch.Tensor:
    """Maps (N, 4, h, w) as pictures (N, 3, h, w) in [0, 1] over white."""
    coverage = (image[:, 3:] + 1) / 2
    return ((image[:, :3] + coverage) / 2 + 1 - coverage).clamp(0, 1)


def _averaged(maps: torch.Tensor, size: int) -> torch.Tensor:
    """(N, C, H, W) → (N, C, size, size), where size divides H; exact, as maps are premultiplied."""
    if maps.shape[-1] % size:
        raise InputError(f"maps of {maps.shape[-1]} pixels cannot be averaged to {size}")
    return torch.nn.functional.avg_pool2d(maps, maps.shape[-1] // size)
