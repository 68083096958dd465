"""Training of the bundled judge: `python -m sdtool.evaluating.judge_training --out sdtool/tiny/judge`.

Views of toys, of things of no kind that are made of toys (`chimeras`) or of simple solids (`compositions`)
and, if there are any, of real assets, some in other proportions (`mutants`), are made first (`samples`,
`judge_views`), half of them spoiled. Then the network of `viewnet` learns: the side that a view shows, from
sound ones that face +Z; the kind, from toys; of all whether the views contradict each other, and whether
there is a front; and of each view and of each patch of it, whether it shows the flaw, from spoiled ones
beside the same without their flaw. Some two hours of one CPU core.
"""

import argparse
import copy
import multiprocessing
import signal
import tempfile
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from sdtool.errors import SdtoolError, UsageError
from sdtool.evaluating.judge_batches import Views
from sdtool.evaluating.judge_options import options
from sdtool.evaluating.judge_views import write_views
from sdtool.evaluating.modules import one_sentence
from sdtool.evaluating.patches import COVERED, PATCHES
from sdtool.evaluating.samples import HELD_OUT, read_assets, samples
from sdtool.evaluating.viewnet import BINS, LOOKS, ViewNet, load_judge
from sdtool.evaluating.views import SIZE
from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.catalogue import CATEGORIES

ODD = 0.1  # of what is seen: a view so changed by a flaw shows it
PART = 0.12  # of a patch, likewise
SPREAD = 0.6  # of a bin: how far the target of a side reaches into its neighbours
SHARE = {"side": 1.0, "kind": 0.1, "model": 2.0, "odd": 1.0, "part": 2.0}  # of the loss
AVERAGED = 50  # weights are averaged over about the last fiftieth of the steps


def losses(net: ViewNet, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cross entropies in nats: of whether a view and a patch show the flaw, of the side, of the kind, of what
    the model is, each of those of which it is known."""
    side, kind, model, odd, part = net(data["views"])
    gap = torch.arange(BINS, device=side.device) - data["azimuth"][..., None]
    gap = (gap + BINS / 2) % BINS - BINS / 2
    target = (-0.5 * (gap / SPREAD) ** 2).softmax(-1)
    of_side = -(target * side.log_softmax(-1)).sum(-1).mean(-1)
    faces = data["faces"].float()
    of_kind = functional.cross_entropy(
        kind.transpose(1, 2),
        data["kind"][:, None].expand(kind.shape[:2]),
        ignore_index=-1,
        reduction="none",
    ).mean(-1)
    named = (data["kind"] >= 0).float()
    # what may be right: the contradiction; else with a front, without, or either
    sound, front = data["sound"].bool(), data["front"]
    right = torch.stack([~sound, sound & (front != 0), sound & (front != 1)], dim=1)
    of_model = -torch.where(right, model.log_softmax(-1), -torch.inf).logsumexp(-1)
    covered = functional.avg_pool2d(data["views"][..., 3].flatten(0, 1), SIZE // PATCHES)
    return {
        "odd": _of_flaw(odd, data["changed"], ODD),
        "part": _of_flaw(part, data["patches"], PART, covered.view_as(part) > COVERED),
        "side": (of_side * faces).sum() / faces.sum().clamp(min=1),
        "kind": (of_kind * named).sum() / named.sum().clamp(min=1),
        "model": of_model.mean(),
    }


def _of_flaw(
    logits: torch.Tensor, changed: torch.Tensor, much: float, where: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean cross entropy of whether more than `much` is changed, where that is clear."""
    clear = (changed < much / 2) | (changed > much)  # neither NaN nor in between
    if where is not None:
        clear = clear & where
    found = functional.binary_cross_entropy_with_logits(
        logits, (changed > much).float(), weight=clear.float(), reduction="sum"
    )
    return found / clear.sum().clamp(min=1)


def train(net: ViewNet, views: Views, asked: argparse.Namespace, facts: dict) -> None:
    """Train on views and save the averaged weights into `asked.out`; a line on stdout every 100 steps, and
    every 1,000 what `checked` says of them."""
    rng = np.random.default_rng([asked.seed, 17])
    adam = torch.optim.AdamW(net.parameters(), lr=asked.lr, weight_decay=0.05)
    warm = 0.05 if asked.steps > 20 else 0.04  # a rise within one step would divide by 0
    plan = torch.optim.lr_scheduler.OneCycleLR(
        adam, asked.lr, total_steps=asked.steps, pct_start=warm
    )
    averaged = copy.deepcopy(net)
    recent: deque[torch.Tensor] = deque(maxlen=100)
    began = time.monotonic()
    for step in range(1, asked.steps + 1):
        parts = losses(net, views.batch(asked.batch, rng))
        loss = torch.stack([SHARE[name] * value for name, value in parts.items()]).sum()
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        plan.step()
        average(averaged, net, step)
        recent.append(torch.stack(list(parts.values())).detach())
        minutes = round((time.monotonic() - began) / 60, 1)
        if step % 100 == 0:
            means = torch.stack(list(recent)).mean(dim=0).tolist()
            named = {name: round(mean, 3) for name, mean in zip(parts, means, strict=True)}
            print(step, f"{minutes} min", named, flush=True)
        if step % 1000 == 0 or step == asked.steps:
            found = checked(averaged, views)
            print(step, "held out:", found, flush=True)
            averaged.save(
                asked.out, {**facts, "steps": step, "minutes": minutes, "held_out": found}
            )


@torch.no_grad()
def average(averaged: ViewNet, net: ViewNet, step: int) -> None:
    """Move the averaged weights towards those after a step, quickly at first."""
    kept = step / (step + AVERAGED)
    for mean, value in zip(averaged.parameters(), net.parameters(), strict=True):
        mean.lerp_(value, 1 - kept)


@torch.no_grad()
def checked(net: ViewNet, views: Views) -> dict[str, float]:
    """Of the samples that are not learnt from, as they are: the cross entropy of what the model is in nats,
    and the area under the curve by which soundness tells sound from spoiled. Nothing of so few samples that
    all are learnt from."""
    if not len(views.held):
        return {}
    net.eval()
    loss, sound = [], []
    for rows in np.array_split(views.held, len(views.held) // 50 + 1):
        data = views.rows(rows)
        loss.append(losses(net, data)["model"].item() * len(rows))
        sound.append(1 - net(data["views"]).model.softmax(-1)[:, 0].cpu().numpy())
    net.train()
    score, truth = np.concatenate(sound), views.facts["sound"][views.held] > 0
    found = {"loss": round(sum(loss) / len(score), 4)}
    if truth.any() and not truth.all():
        good, bad = score[truth][:, None], score[~truth][None]
        found["area"] = round(float((good > bad).mean() + 0.5 * (good == bad).mean()), 4)
    return found


def make_views(
    folder: Path, assets: list[Mesh], count: int, seed: int, workers: int, mutants: float = 0.0
) -> None:
    """`write_views` of `count` samples into folders 0, 1, … of a folder, one for each process."""
    shares = [len(part) for part in np.array_split(np.arange(count), min(workers, count))]
    tasks = [
        (folder / str(k), assets, share, [seed, 16, k], mutants) for k, share in enumerate(shares)
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(tasks), context, initializer=_leave_interrupts) as pool:
        try:
            list(pool.map(_write_part, *zip(*tasks, strict=True)))
        except BrokenProcessPool:
            raise SdtoolError(
                "a process that made views was ended from outside, perhaps for want of memory; give fewer "
                "--workers"
            ) from None
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that began this one, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_part(
    folder: Path, assets: list[Mesh], count: int, seed: list[int], mutants: float = 0.0
) -> None:
    rng = np.random.default_rng(seed)
    drawn = samples(rng, assets, mutants=mutants)
    write_views(folder, drawn, count, rng, known_kinds())


def known_kinds() -> list[str]:
    """The Toyverse's kinds that are not held out."""
    return [name for name in CATEGORIES if name not in HELD_OUT]


def new_net(asked: argparse.Namespace) -> ViewNet:
    """A new network, or that of --start."""
    if asked.start is None:
        return ViewNet(known_kinds(), asked.width or 20, asked.looks or LOOKS)
    net = load_judge(asked.start)[0]
    for name, there in (("width", net.width), ("looks", net.wide)):
        if getattr(asked, name) not in (None, there):
            said = (
                f"--{name} {getattr(asked, name)}: the judge of --start has {there}; leave it out"
            )
            raise UsageError(said, f"--{name}", "--start")
    if missing := set(known_kinds()) - set(net.categories):
        said = f"the judge in {asked.start} knows no {min(missing)}; begin without --start"
        raise UsageError(said, "--start")
    return net


def run(asked: argparse.Namespace) -> None:
    """Make views, unless they are there, and train on them."""
    torch.set_num_threads(asked.threads)
    torch.manual_seed(asked.seed)
    net = new_net(asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.views or Path(scratch)
        if not any(folder.glob("*/samples.npz")):
            assets = [mesh for one in asked.assets for mesh in read_assets(one)]
            wanted = (asked.samples, asked.seed, asked.workers, asked.mutants)
            make_views(folder, assets, *wanted)
        numbers = np.array([*map(net.categories.index, known_kinds()), -1])
        views = Views(folder, numbers, asked.device, asked.seed)
        if asked.batch > len(views.learnt):
            said = f"--batch {asked.batch} is more than the {len(views.learnt)} samples that are learnt from"
            raise UsageError(f"{said}; give a smaller one, or make more --samples", "--batch")
        facts = {"samples": len(views), "assets": [one.name for one in asked.assets]}
        facts |= {"batch": asked.batch, "seed": asked.seed}
        train(net.to(asked.device).train(), views, asked, facts)


def main(given: list[str] | None = None) -> None:
    with one_sentence("judge_training"):
        run(options(__doc__.splitlines()[0], given))


if __name__ == "__main__":
    main()
