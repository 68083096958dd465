"""Training of the bundled judge: `python -m sdtool.evaluating.judge_training --out sdtool/tiny/judge`.

Views of toys, of compositions of simple solids and, if there are any, of real assets are made first
(`samples`, `judge_views`), half of them spoiled. Then the network of `viewnet` learns: the side that a view
shows, from sound ones that face +Z; the kind, from toys; of all whether the views contradict each
other, and whether there is a front; and of each view, whether it shows the flaw, from spoiled ones beside
the same without their flaw. Some two hours of one CPU core.
"""

import argparse
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from sdtool.evaluating.judge_views import UNIT, azimuths, write_views
from sdtool.evaluating.samples import HELD_OUT, read_assets, samples
from sdtool.evaluating.viewnet import BINS, ViewNet, load_judge
from sdtool.toyverse.catalogue import CATEGORIES

BATCH = 8
KNOWN = ("kind", "sound", "front", "faces")
ODD = 0.1  # of what is seen: a view so changed by a flaw shows it
SPREAD = 0.6  # of a bin: how far the target of a side reaches into its neighbours


class Views:
    """Batches of what `write_views` wrote, changed a little each time."""

    def __init__(self, folder: Path):
        self.views = np.load(folder / "views.npy", mmap_mode="r")
        with np.load(folder / "samples.npz") as facts:
            self.facts = {name: facts[name] for name in facts.files}

    def batch(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """BATCH models from AROUND sides, half of them pairs of a spoiled one and its twin: views, azimuths
        (B, N) in bins, what of each view its flaw changes (B, N), NaN where nobody knows, and kind, sound,
        front, faces (B,)."""
        twins = np.nonzero(self.facts["twin"])[0]
        pairs = rng.choice(twins, min(BATCH // 4, len(twins)), replace=False)
        others = rng.choice(len(self.facts["first"]), BATCH - 2 * len(pairs), replace=False)
        chosen = np.concatenate([pairs - 1, pairs, others])
        seen = torch.from_numpy(self.views[chosen].astype(np.float32) / UNIT)
        changed = torch.full(seen.shape[:2], torch.nan)
        changed[torch.from_numpy(self.facts["sound"][chosen] > 0)] = 0
        spoiled, twin = seen[: len(pairs)], seen[len(pairs) : 2 * len(pairs)]
        covered = torch.maximum(spoiled[..., 3], twin[..., 3]).clamp(min=0).sum((2, 3)) + 1
        changed[: len(pairs)] = (spoiled - twin).abs().amax(-1).sum((2, 3)) / covered
        azimuth = azimuths(self.facts["first"][chosen])
        for k in range(BATCH):
            if rng.random() < 0.5:  # its mirror image, from the other side
                seen[k] = seen[k].flip(2) * torch.tensor([-1.0, 1, 1, 1])
                seen[k] = seen[k].flip(0)
                changed[k] = changed[k].flip(0)
                azimuth[k] = -azimuth[k][::-1]
            if rng.random() < 0.25:  # coarser
                small = functional.avg_pool2d(seen[k].permute(0, 3, 1, 2), 2)
                seen[k] = functional.interpolate(small, scale_factor=2, mode="bilinear").permute(
                    0, 2, 3, 1
                )
            if rng.random() < 0.3:  # uneven
                noise = torch.from_numpy(rng.standard_normal(seen[k].shape, np.float32))
                noise[..., 3] = 0
                seen[k] += noise * float(rng.uniform(0, 0.2)) * seen[k][..., 3:]
            shift = rng.integers(-2, 3, 2).tolist()
            seen[k] = seen[k].roll(shift, (1, 2))
        return {
            "views": seen,
            "azimuth": torch.from_numpy(azimuth).float() * BINS / (2 * np.pi),
            "changed": changed,
            **{name: torch.from_numpy(self.facts[name][chosen]) for name in KNOWN},
        }


def losses(net: ViewNet, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cross entropies in nats: of whether a view shows the flaw, of the side, of the kind, of what the model
    is, each of those of which it is known."""
    side, kind, model, odd = net(data["views"])
    gap = torch.arange(BINS) - data["azimuth"][..., None]
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
    changed = data["changed"]
    clear = (changed < 0.5 * ODD) | (changed > ODD)  # neither NaN nor in between
    of_view = functional.binary_cross_entropy_with_logits(
        odd, (changed > ODD).float(), weight=clear.float(), reduction="sum"
    )
    return {
        "odd": of_view / clear.sum().clamp(min=1),
        "side": (of_side * faces).sum() / faces.sum().clamp(min=1),
        "kind": (of_kind * named).sum() / named.sum().clamp(min=1),
        "model": of_model.mean(),
    }


def train(
    out: Path,
    folder: Path,
    steps: int,
    seed: int,
    threads: int,
    facts: dict,
    start: Path | None = None,
) -> None:
    """Train on what `write_views` wrote into `folder`, from the judge in `start` or from nothing, and save; a
    line on stdout every 100 steps."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 17])
    views = Views(folder)
    net = ViewNet(known_kinds()) if start is None else load_judge(start)[0].train()
    known = [*map(net.categories.index, known_kinds()), -1]
    views.facts["kind"] = np.array(known)[views.facts["kind"]]
    adam = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(adam, 2e-3, total_steps=steps, pct_start=0.05)
    recent: deque[list[float]] = deque(maxlen=100)
    began = time.monotonic()
    for step in range(1, steps + 1):
        parts = losses(net, views.batch(rng))
        loss = parts["side"] + 0.2 * parts["kind"] + 2 * parts["model"] + parts["odd"]
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        plan.step()
        recent.append([value.item() for value in parts.values()])
        if step % 100 == 0:
            means = dict(zip(parts, np.mean(recent, axis=0).round(3).tolist(), strict=True))
            print(step, f"{time.monotonic() - began:.0f} s", means, flush=True)
        if step % 500 == 0 or step == steps:
            minutes = round((time.monotonic() - began) / 60, 1)
            net.save(out, {**facts, "steps": step, "seed": seed, "minutes": minutes})


def known_kinds() -> list[str]:
    """The Toyverse's kinds that are not held out."""
    return [name for name in CATEGORIES if name not in HELD_OUT]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--assets", type=Path, nargs="*", default=[], help="Folders of real assets."
    )
    parser.add_argument("--start", type=Path, help="Folder of a judge to go on from.")
    parser.add_argument("--views", type=Path, help="Folder of the views, made if it holds none.")
    asked = parser.parse_args()
    assets = [mesh for folder in asked.assets for mesh in read_assets(folder)]
    facts = {"samples": asked.samples, "assets": [folder.name for folder in asked.assets]}
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.views or Path(scratch)
        if not (folder / "samples.npz").is_file():
            rng = np.random.default_rng([asked.seed, 16])
            write_views(folder, samples(rng, assets), asked.samples, rng, known_kinds())
        train(asked.out, folder, asked.steps, asked.seed, asked.threads, facts, asked.start)


if __name__ == "__main__":
    main()
