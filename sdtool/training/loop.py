"""The training loop of every prior, and its exact restart.

One generator draws everything random, every checkpoint holds it, and every process of a team draws
the same whole batch and computes its share: a run that was killed and continued ends with the same
bits on a CPU, and the number of processes changes sums in their last digits only.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sdtool.errors import UsageError
from sdtool.priors.prior import Prior
from sdtool.runtime.progress import progress
from sdtool.training.checkpoints import State, last_checkpoint, save_checkpoint
from sdtool.training.distributed import Team
from sdtool.training.log import LOG_EVERY, Log, check_finite
from sdtool.training.tensorboard import require_board

DECAYS = ("step", "cosine", "linear", "constant")
OPTIMIZERS = ("adamw", "adafactor")


@dataclass(frozen=True)
class Plan:
    """How to train.

    batch: samples in a step, over all processes and all its parts. accumulate: parts that each
    process takes its share of a batch in. decay: of the learning rate after the warm-up: "step"
    (×0.2 for the last 30%), "cosine" or "linear" (to zero), or "constant". grow: the first share of
    the steps runs at half resolution. ema: decay of the averaged weights. clip: largest norm of the
    gradient. focus: share of the samples whose noise is of middling strength (see `draw_times`), instead
    of uniform. recompute: gradient checkpointing in the UNet. keep: how many checkpoints stay.
    """

    steps: int
    batch: int = 32
    lr: float = 1e-3
    warmup: int = 100
    decay: str = "step"
    focus: float = 0.0
    grow: float = 0.0
    ema: float = 0.995
    clip: float = 1.0
    accumulate: int = 1
    recompute: bool = False
    optimizer: str = "adamw"
    mixed_precision: str = "no"
    checkpoint_every: int = 500
    keep: int = 2
    sample_every: int = 500
    tensorboard: bool = False

    def check(self, processes: int = 1) -> None:
        """UsageError if it cannot be followed, by name of the option."""
        if self.decay not in DECAYS:
            raise UsageError(f"--decay {self.decay} is unknown; use {' or '.join(DECAYS)}")
        if self.optimizer not in OPTIMIZERS:
            known = " or ".join(OPTIMIZERS)
            raise UsageError(f"--optimizer {self.optimizer} is unknown; use {known}")
        if self.batch % (parts := processes * self.accumulate):
            raise UsageError(
                f"--batch {self.batch} cannot be shared by {processes} processes with --accumulate "
                f"{self.accumulate}; choose a multiple of {parts}"
            )
        if self.tensorboard:
            require_board()

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (from 0): linear warm-up times the decay."""
        rate = self.lr * min(1.0, (step + 1) / max(1, self.warmup))
        done = step / self.steps
        if self.decay == "cosine":
            return rate * 0.5 * (1 + math.cos(math.pi * done))
        if self.decay == "linear":
            return rate * (1 - done)
        return rate * (0.2 if self.decay == "step" and done >= 0.7 else 1.0)


# choose(generator, count) → what a batch is made of: CPU tensors with one row for each sample
Choose = Callable[[torch.Generator, int], tuple[torch.Tensor, ...]]
# load(*rows) → clean x (B, C, H, W), text, c2w (B, 4, 4) or None
Load = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]


def train(
    prior: Prior,
    trained: dict[str, nn.Module],
    choose: Choose,
    load: Load,
    plan: Plan,
    out: Path,
    *,
    seed: int,
    team: Team | None = None,
    embed: Callable[[torch.Tensor], torch.Tensor] = lambda text: text,
    sample: Callable[[int], None] = lambda step: None,
) -> float:
    """Train the modules `trained` of `prior` to predict what it predicts (DDPM, eq. 14, for noise).

    choose: draws whole batches, alike in every process. load: fetches a process's share of one.
    embed: turns what `load` gives as text into (B, L, C) embeddings, where gradients flow. The rest
    is `fit`'s.
    """
    team = team or Team(str(prior.device), plan.mixed_precision)
    prior, device = prior.to(team.device), team.device

    def draw(generator: torch.Generator, count: int) -> tuple[torch.Tensor, ...]:
        rows = choose(generator, count)
        t = draw_times(prior.alphas_cumprod, count, plan.focus, generator)
        return (*rows, t, torch.randint(2**62, (count,), generator=generator))

    def share(step: int, *rows: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        *rows, t, seeds = rows
        x, text, c2w = (to_device(v, device) for v in load(*rows))
        if step < plan.grow * plan.steps:
            x = F.avg_pool2d(x, 2)  # as a render would be: maps are premultiplied
        noise = seeded_noise(seeds, x.shape[1:], device)
        return x, noise, to_device(t, device), text, c2w

    if plan.recompute:
        prior.unet.enable_gradient_checkpointing()
    objective = Objective(prior, embed)
    with plain_attention(prior):
        loss = fit(objective, trained, draw, share, plan, out, seed=seed, team=team, sample=sample)
    if plan.recompute:
        prior.unet.disable_gradient_checkpointing()
    return loss


def draw_times(
    alphas_cumprod: torch.Tensor, count: int, focus: float, generator: torch.Generator
) -> torch.Tensor:
    """(count,) int64 times on the CPU: a share `focus` of them from the middle, the rest uniform.

    In the middle, where shapes are decided, log(ᾱ/(1 − ᾱ)) is normal with mean −1 and deviation 2: the
    logit-normal density of Esser et al. 2024, shifted to noisier times. Uniform times of a linear
    schedule spend half of a training where hardly anything of so small an image is left.
    """
    ratio = -torch.logit(alphas_cumprod.double().cpu())  # grows with time
    normal = 1 + 2 * torch.randn(count, generator=generator, dtype=torch.float64)
    middle = torch.searchsorted(ratio, normal).clamp(max=len(ratio) - 1)
    uniform = torch.randint(len(ratio), (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < focus, middle, uniform)


def fit(
    objective: nn.Module,
    trained: dict[str, nn.Module],
    draw: Choose,
    share: Callable[..., tuple[torch.Tensor | None, ...]],
    plan: Plan,
    out: Path,
    *,
    seed: int,
    team: Team,
    sample: Callable[[int], None] = lambda step: None,
) -> float:
    """Minimise `objective(*share(step, *rows))`, a scalar, over the modules `trained`.

    draw: draws the rows of whole batches, alike in every process. share: what the objective takes,
    of a process's rows; `step` counts from 0. At the end the modules hold the averaged (EMA) weights.
    sample(step) is called in the main process, with the averaged weights in place, every
    `plan.sample_every` steps and at the end. Writes log.jsonl and checkpoints into `out`, and
    continues from the last whole one found there. Returns the mean loss of the last logged stretch.
    """
    plan.check(team.size)
    parameters = {
        f"{m}.{n}": p for m, module in trained.items() for n, p in module.named_parameters()
    }
    values = list(parameters.values())
    for value in values:
        value.requires_grad_(True)
    average = {name: value.detach().clone() for name, value in parameters.items()}
    optimizer, generator = new_optimizer(values, plan), torch.Generator().manual_seed(seed)
    sums = torch.zeros(2, device=team.device)
    state = State(parameters, average, optimizer, generator, sums)
    found = team.lead(lambda: last_checkpoint(out, team.say))
    start = state.restore(found) if found else 0
    if start:
        team.say(f"continuing after step {start} of {plan.steps}")
    facts = {"writes": team.is_main, "tensorboard": plan.tensorboard}
    log = Log(out, start, plan.steps, plan.batch, **facts)
    objective = team.prepare(objective)
    size = plan.batch // (team.size * plan.accumulate)
    with progress("training", plan.steps, "steps", done=start, shown=team.is_main) as bar:
        for done in range(start + 1, plan.steps + 1):
            rows = draw(generator, plan.batch)
            for part in range(plan.accumulate):
                first = (part * team.size + team.index) * size
                given = share(done - 1, *(row[first : first + size] for row in rows))
                with team.alone(objective) if part + 1 < plan.accumulate else nullcontext():
                    loss = objective(*given)
                    (loss / plan.accumulate).backward()
                sums[0] += loss.detach() / plan.accumulate
            sums[1] += nn.utils.clip_grad_norm_(values, plan.clip)
            for group in optimizer.param_groups:
                group["lr"] = plan.rate(done - 1)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            keep = min(plan.ema, done / (9 + done))
            torch._foreach_lerp_(list(average.values()), [v.detach() for v in values], 1 - keep)

            is_last, saves = done == plan.steps, done % plan.checkpoint_every == 0
            logs = is_last or done % LOG_EVERY == 0
            if logs or saves:
                team.lead(lambda: check_finite(sums, done))  # noqa: B023
            if logs:
                log.write(done, team.mean(sums), lr=plan.rate(done - 1), size=given[0].shape[-1])
                sums.zero_()
            if saves and not is_last and team.is_main:
                save_checkpoint(out, done, state, plan.keep)
            if done % plan.sample_every == 0 and not is_last and team.is_main:
                swap(parameters, average)
                sample(done)
                swap(parameters, average)
                log.restart(done)
            bar.advance(note=log.note)
    swap(parameters, average)
    for value in values:
        value.requires_grad_(False)
    if team.is_main:
        sample(plan.steps)
    return log.loss


class Objective(nn.Module):
    """The loss on a share of a batch, as the one module whose gradients a team averages."""

    def __init__(self, prior: Prior, embed: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.prior, self.embed = prior, embed

    def forward(self, x, noise, t, text, c2w) -> torch.Tensor:
        """Mean squared error. x, noise: (B, C, h, w). t: (B,). c2w: (B, 4, 4) or None."""
        noisy = self.prior.add_noise(x, noise, t)
        guess = self.prior.predict(noisy, t, self.embed(text), c2w)
        return F.mse_loss(guess, self.prior.target(x, noise, t))


def plain_attention(prior: Prior) -> AbstractContextManager:
    """On a CPU, attention between few pixels trains up to 1.4 times faster without torch's flash kernel."""
    is_small = prior.device.type == "cpu" and prior.sample_size <= 32
    return sdpa_kernel(SDPBackend.MATH) if is_small else nullcontext()


def new_optimizer(values: list[nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    """AdamW, fused into one kernel where torch can; or Adafactor, which keeps no second copy."""
    if plan.optimizer == "adafactor":
        return torch.optim.Adafactor(values, lr=plan.lr)
    try:
        return torch.optim.AdamW(values, lr=plan.lr, fused=True)
    except RuntimeError:  # torch has none for this device
        return torch.optim.AdamW(values, lr=plan.lr)


def seeded_noise(seeds: torch.Tensor, shape: torch.Size, device: torch.device) -> torch.Tensor:
    """(B,) int64 seeds → (B, *shape) float32 normal noise: a sample's own, whoever shares a batch."""
    generator = torch.Generator(device)
    drawn = [
        torch.randn(shape, generator=generator.manual_seed(seed), device=device)
        for seed in seeds.tolist()
    ]
    return torch.stack(drawn)


def to_device(value: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    """Send a tensor so that the accelerator need not be waited for."""
    if value is None or value.device == device or device.type == "cpu":
        return value
    if device.type == "mps":  # shares its memory with the CPU; there is nothing to pin
        return value.to(device)
    return value.pin_memory().to(device, non_blocking=True)


@torch.no_grad()
def swap(parameters: dict[str, torch.Tensor], average: dict[str, torch.Tensor]) -> None:
    """Exchange the values of the parameters with their averages."""
    for name, value in parameters.items():
        held = value.detach().clone()
        value.copy_(average[name])
        average[name].copy_(held)
