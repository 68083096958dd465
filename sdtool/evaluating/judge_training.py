"""Training of the bundled judge: `python -m sdtool.evaluating.judge_training --out sdtool/tiny/judge`.

The network of `viewnet` learns from toys without end (`samples`): the side that a view shows, from
sound ones; the kind, from all; and whether a model is sound. An hour of one CPU core.
"""

import argparse
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from sdtool.evaluating.samples import Sample, samples
from sdtool.evaluating.viewnet import BINS, ViewNet
from sdtool.evaluating.views import normal_views
from sdtool.toyverse.catalogue import CATEGORIES

AROUND, BATCH = 12, 8
SPREAD = 0.6  # of a bin: how far the target of a side reaches into its neighbours


def batch(
    rng: np.random.Generator, stream: Iterator[Sample], categories: list[str]
) -> dict[str, torch.Tensor]:
    """BATCH models from AROUND sides: views, azimuths (B, N) in bins, kinds (B,), sound (B,) 0 or 1."""
    found = [next(stream) for _ in range(BATCH)]
    views, azimuths = [], []
    for one in found:
        azimuth = rng.uniform(0, 2 * np.pi) + np.arange(AROUND) * 2 * np.pi / AROUND
        elevation = np.radians(rng.uniform(-5, 35))
        mesh = one.mesh.with_positions(one.mesh.v_pos * rng.uniform(0.85, 1.0))
        views.append(normal_views(mesh, azimuth, elevation))
        azimuths.append(azimuth * BINS / (2 * np.pi))
    return {
        "views": torch.from_numpy(np.stack(views)),
        "azimuth": torch.from_numpy(np.stack(azimuths)).float(),
        "kind": torch.tensor([categories.index(one.category) for one in found]),
        "sound": torch.tensor([float(not one.flaw) for one in found]),
    }


def losses(net: ViewNet, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cross entropies in nats: of the side (sound models only), of the kind, of being sound."""
    side, kind, sound = net(data["views"])
    gap = torch.arange(BINS) - data["azimuth"][..., None]
    gap = (gap + BINS / 2) % BINS - BINS / 2
    target = (-0.5 * (gap / SPREAD) ** 2).softmax(-1)
    of_side = -(target * side.log_softmax(-1)).sum(-1).mean(-1)
    kinds = data["kind"][:, None].expand(kind.shape[:2])
    return {
        "side": (of_side * data["sound"]).sum() / data["sound"].sum().clamp(min=1),
        "kind": functional.cross_entropy(kind.flatten(0, 1), kinds.flatten()),
        "sound": functional.binary_cross_entropy_with_logits(sound, data["sound"]),
    }


def train(out: Path, steps: int, seed: int, threads: int) -> None:
    """Train and save; a line on stdout every 100 steps."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 17])
    categories, stream = list(CATEGORIES), samples(rng)
    net = ViewNet(categories)
    adam = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    plan = torch.optim.lr_scheduler.OneCycleLR(adam, 2e-3, total_steps=steps, pct_start=0.05)
    recent: deque[list[float]] = deque(maxlen=100)
    began = time.monotonic()
    for step in range(1, steps + 1):
        parts = losses(net, batch(rng, stream, categories))
        loss = parts["side"] + 0.3 * parts["kind"] + 2 * parts["sound"]
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
            net.save(out, {"steps": step, "seed": seed, "minutes": minutes})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    train(asked.out, asked.steps, asked.seed, asked.threads)


if __name__ == "__main__":
    main()
