"""The training loop of every prior, and its exact restart.

One generator draws everything random, and every checkpoint holds it: on a CPU a run that was killed
and continued ends with the same bits as one that was not.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from sdtool.errors import InputError, SdtoolError
from sdtool.files import append_jsonl, atomic_path, trim_jsonl
from sdtool.priors.prior import Prior
from sdtool.progress import progress

LOG, LOG_EVERY = "log.jsonl", 50


@dataclass(frozen=True)
class Plan:
    """How to train. `grow`: the first share of the steps runs at half resolution. `decay`: "step"
    (×0.2 for the last 30%) or "cosine" (to zero). `ema`: decay of the averaged weights."""

    steps: int
    batch: int = 32
    lr: float = 1e-3
    warmup: int = 100
    decay: str = "step"
    grow: float = 0.0
    ema: float = 0.995
    clip: float = 1.0
    mixed_precision: str = "no"
    checkpoint_every: int = 500
    sample_every: int = 500

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (from 0): linear warm-up, then constant, then decay."""
        rate = self.lr * min(1.0, (step + 1) / max(1, self.warmup))
        progress = step / self.steps
        if self.decay == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * progress))
        return rate * (0.2 if progress >= 0.7 else 1.0)


# draw(generator, batch) → clean x (B, C, H, W), text (B, L, C), c2w (B, 4, 4) or None
Draw = Callable[[torch.Generator, int], tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]


def train(
    prior: Prior,
    trained: dict[str, nn.Module],
    draw: Draw,
    plan: Plan,
    out: Path,
    *,
    seed: int,
    sample: Callable[[int], None] = lambda step: None,
) -> float:
    """Train the modules `trained` of `prior` to predict what it predicts (DDPM, eq. 14, for noise).

    At the end the modules hold the averaged (EMA) weights. sample(step) is called with the averaged
    weights in place, every `plan.sample_every` steps and at the end. Writes log.jsonl and
    checkpoint-NNNNNN.safetensors into `out`, and continues from the last one found there. Returns
    the mean loss of the last logged stretch.
    """
    out.mkdir(parents=True, exist_ok=True)
    parameters = {
        f"{m}.{n}": p for m, module in trained.items() for n, p in module.named_parameters()
    }
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    values, device = list(parameters.values()), prior.device
    optimizer = torch.optim.AdamW(values, lr=plan.lr, fused=True)
    average = {name: value.detach().clone() for name, value in parameters.items()}
    generator = torch.Generator().manual_seed(seed)
    start = load_checkpoint(out, parameters, average, optimizer, generator)
    trim_jsonl(out / LOG, lambda line: line["step"] <= start)  # those after it are done again
    if start:
        print(f"continuing after step {start} of {plan.steps}", file=sys.stderr)
    total, count, loss_shown, clock = 0.0, 0, math.nan, time.monotonic()
    note = ""
    with progress("training", plan.steps, "steps", done=start) as bar:
        for step in range(start, plan.steps):
            x, text, c2w = draw(generator, plan.batch)
            x = x.to(device)
            if step < plan.grow * plan.steps:
                x = F.avg_pool2d(
                    x, 2
                )  # maps are premultiplied, so this is what a render would give
            t = torch.randint(len(prior.alphas_cumprod), (len(x),), generator=generator).to(device)
            noise = torch.randn(x.shape, generator=generator).to(device)
            for group in optimizer.param_groups:
                group["lr"] = plan.rate(step)
            with torch.autocast(
                device.type, torch.bfloat16, enabled=plan.mixed_precision == "bf16"
            ):
                guess = prior.predict(prior.add_noise(x, noise, t), t, text, c2w)
            loss = F.mse_loss(guess, prior.target(x, noise, t))
            loss.backward()
            norm = nn.utils.clip_grad_norm_(values, plan.clip)
            if not torch.isfinite(norm):
                raise SdtoolError(
                    f"training broke at step {step}: the gradient is {norm}; lower --lr"
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            keep = min(plan.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(average.values()), [v.detach() for v in values], 1 - keep)
            total, count, done = total + loss.item(), count + 1, step + 1
            if done % LOG_EVERY == 0 or done == plan.steps:
                loss_shown, now = total / count, time.monotonic()
                speed = count * plan.batch / (now - clock)
                line = {"step": done, "loss": round(loss_shown, 6), "lr": plan.rate(step)}
                line |= {"size": x.shape[-1], "samples_per_s": round(speed, 2)}
                append_jsonl(out / LOG, line)
                note = f"loss {loss_shown:.4f}, {speed:.0f} samples/s"
                total, count, clock = 0.0, 0, now
            if done % plan.checkpoint_every == 0 and done < plan.steps:
                save_checkpoint(out, done, parameters, average, optimizer, generator)
            if done % plan.sample_every == 0 and done < plan.steps:
                swap(parameters, average)
                sample(done)
                swap(parameters, average)
                clock = time.monotonic()
            bar.advance(note=note)
    swap(parameters, average)
    for parameter in values:
        parameter.requires_grad_(False)
    sample(plan.steps)
    return loss_shown


@torch.no_grad()
def swap(parameters: dict[str, torch.Tensor], average: dict[str, torch.Tensor]) -> None:
    """Exchange the values of the parameters with their averages."""
    for name, value in parameters.items():
        held = value.detach().clone()
        value.copy_(average[name])
        average[name].copy_(held)


# Checkpoints: one safetensors file, its header a JSON record


def save_checkpoint(out, step, parameters, average, optimizer, generator) -> None:
    """Write checkpoint-NNNNNN.safetensors atomically; keep the last two."""
    tensors = {f"value/{name}": value.detach() for name, value in parameters.items()}
    tensors |= {f"average/{name}": value for name, value in average.items()}
    for name, value in parameters.items():
        tensors |= {f"{k}/{name}": v for k, v in optimizer.state[value].items()}
    tensors = {name: value.contiguous().cpu() for name, value in tensors.items()}
    tensors["generator"] = generator.get_state()
    with atomic_path(out / f"checkpoint-{step:06d}.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"sdtool": json.dumps({"step": step})})
    for old in sorted(out.glob("checkpoint-??????.safetensors"))[:-2]:
        old.unlink()


@torch.no_grad()
def load_checkpoint(out, parameters, average, optimizer, generator) -> int:
    """Continue from the newest checkpoint in `out`; return the number of steps done (0 if none)."""
    found = sorted(out.glob("checkpoint-??????.safetensors"))
    if not found:
        return 0
    with safe_open(found[-1], framework="pt") as file:
        names = {n.removeprefix("value/") for n in file.keys() if n.startswith("value/")}  # noqa: SIM118
        if names != parameters.keys():
            raise InputError(f"{found[-1]} is of another model; add --overwrite to begin anew")
        state = {}
        for k, (name, value) in enumerate(parameters.items()):
            value.copy_(file.get_tensor(f"value/{name}"))
            average[name].copy_(file.get_tensor(f"average/{name}"))
            state[k] = {"step": file.get_tensor(f"step/{name}")}
            for key in (
                "exp_avg",
                "exp_avg_sq",
            ):  # the fused kernel walks memory in the value's layout
                state[k][key] = torch.empty_like(value).copy_(file.get_tensor(f"{key}/{name}"))
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        generator.set_state(file.get_tensor("generator"))
        return json.loads(file.metadata()["sdtool"])["step"]


def clear_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a finished training, and what a kill left half-written."""
    for pattern in ("checkpoint-??????.safetensors", ".checkpoint-*.tmp.safetensors"):
        for path in out.glob(pattern):
            path.unlink()
