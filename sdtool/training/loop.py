"""The training loop of every prior, and its exact restart.

One generator draws everything random, every checkpoint holds it, and every process draws the
same whole batch and computes its share: a run that was killed and continued ends with the same
bits on a CPU, and the number of processes changes sums in their last digits only.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sdtool.priors.prior import Prior
from sdtool.runtime.progress import progress
from sdtool.training.checkpoints import State, last_checkpoint, save_checkpoint
from sdtool.training.course import Course
from sdtool.training.distributed import Processes
from sdtool.training.forecast import Forecast, said_end
from sdtool.training.log import LOG_EVERY, Log, check_finite, check_last, check_weights
from sdtool.training.memory import out_of_memory_named
from sdtool.training.settings import TrainingSettings

# choose(generator, count) → what a batch is made of: CPU tensors with one row for each sample
Choose = Callable[[torch.Generator, int], tuple[torch.Tensor, ...]]
# load(*rows) → clean x (B, C, H, W), text, c2w (B, 4, 4) or None, ccm (B, 4, H, W) or None
Load = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]]
# what an objective takes, images (B, C, H, W) first
Given = tuple[torch.Tensor, *tuple[torch.Tensor | None, ...]]


def train(
    prior: Prior,
    trained: Mapping[str, nn.Module],
    choose: Choose,
    load: Load,
    settings: TrainingSettings,
    out: Path,
    *,
    seed: int,
    processes: Processes | None = None,
    embed: Callable[[torch.Tensor], torch.Tensor] = lambda text: text,
    sample: Callable[[int], None] = lambda step: None,
    examine: Callable[[int], dict[str, float]] = lambda step: {},
    objective: nn.Module | None = None,
    passes: Callable[[int], int] = lambda done: 0,
) -> float:
    """Train the modules `trained` of `prior` to predict what it predicts (DDPM, eq. 14, for noise).

    choose: draws whole batches, alike in every process. load: fetches a process's share of one.
    embed: turns what `load` gives as text into (B, L, C) embeddings, where gradients flow. objective: in
    the place of `Objective`. The rest is `fit`'s.
    """
    processes = processes or Processes(str(prior.device), settings.mixed_precision)
    prior, device = prior.to(processes.device), processes.device

    def draw(generator: torch.Generator, count: int) -> tuple[torch.Tensor, ...]:
        rows = choose(generator, count)
        t = draw_times(prior.alphas_cumprod, count, settings.logit_normal, generator)
        return (*rows, t, torch.randint(2**62, (count,), generator=generator))

    def share(is_half: bool, *rows: torch.Tensor) -> Given:
        *chosen, t, seeds = rows
        x, text, c2w, ccm = load(*chosen)
        x, text = to_device(x, device), to_device(text, device)
        c2w = None if c2w is None else to_device(c2w, device)
        ccm = None if ccm is None else to_device(ccm, device)
        if is_half:
            x = F.avg_pool2d(x, 2)  # as a render would be: maps are premultiplied
            ccm = None if ccm is None else F.avg_pool2d(ccm, 2)
        noise = seeded_noise(seeds, x.shape[1:], device)
        return x, noise, to_device(t, device), text, c2w, ccm

    if settings.gradient_checkpointing:
        prior.unet.enable_gradient_checkpointing()
    objective = objective or Objective(prior, embed)
    with plain_attention(prior), out_of_memory_named(settings):
        loss = fit(
            objective,
            trained,
            draw,
            share,
            settings,
            out,
            seed=seed,
            processes=processes,
            sample=sample,
            examine=examine,
            passes=passes,
        )
    if settings.gradient_checkpointing:
        prior.unet.disable_gradient_checkpointing()
    return loss


def draw_times(
    alphas_cumprod: torch.Tensor, count: int, logit_normal: float, generator: torch.Generator
) -> torch.Tensor:
    """(count,) int64 times on the CPU: a share `logit_normal` of them from the middle, the rest uniform.

    In the middle, where shapes are decided, log(ᾱ/(1 − ᾱ)) is normal with mean −1 and deviation 2: the
    logit-normal density of Esser et al. 2024, shifted to noisier times. Uniform times of a linear
    schedule spend half of a training where hardly anything of so small an image is left.
    """
    ratio = -torch.logit(alphas_cumprod.double().cpu())  # grows with time
    normal = 1 + 2 * torch.randn(count, generator=generator, dtype=torch.float64)
    middle = torch.searchsorted(ratio, normal).clamp(max=len(ratio) - 1)
    uniform = torch.randint(len(ratio), (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < logit_normal, middle, uniform)


def fit(
    objective: nn.Module,
    trained: Mapping[str, nn.Module],
    draw: Choose,
    share: Callable[..., Given],
    settings: TrainingSettings,
    out: Path,
    *,
    seed: int,
    processes: Processes,
    sample: Callable[[int], None] = lambda step: None,
    examine: Callable[[int], dict[str, float]] = lambda step: {},
    passes: Callable[[int], int] = lambda done: 0,
) -> float:
    """Minimise `objective(*share(is_half, *rows))`, a scalar, over the modules `trained`.

    draw: draws the rows of whole batches, alike in every process. share: what the objective takes,
    of a process's rows, at half resolution if `is_half`. At the end the modules hold the averaged (EMA)
    weights.
    sample(step) is called in the main process, with the averaged weights in place, every
    `settings.sample_every` steps and at the end, unless that is 0; examine(step)
    every `settings.exam_every`, for numbers by name. passes: steps that were done → passes of one map
    through the UNet that looking at the result costs from there on, for the forecast. Writes log.jsonl and
    checkpoints into `out`, and continues from the last whole one found there. Returns the mean loss of the
    last logged stretch.
    """
    settings.check(processes.size)
    parameters = {
        f"{m}.{n}": p for m, module in trained.items() for n, p in module.named_parameters()
    }
    values = list(parameters.values())
    for value in values:
        value.requires_grad_(True)
    average = {name: value.detach().clone() for name, value in parameters.items()}
    optimizer, generator = new_optimizer(values, settings), torch.Generator().manual_seed(seed)
    sums = torch.zeros(2, device=processes.device)
    state = State(parameters, average, optimizer, generator, sums)
    found = processes.on_main(lambda: last_checkpoint(out, processes.say))
    start = state.restore(found) if found else 0
    if start:
        processes.say(f"continuing after step {start}{said_end(settings, state.spent)}")
    told = Forecast(objective, values, draw, share, settings, processes, seed=seed, passes=passes)
    told.rehearse(start, state.spent)
    course = Course(settings, start, state.spent, processes=processes.size, agree=processes.on_main)
    on_cpu = processes.device.type == "cpu"
    log = Log(out, start, course, settings, writes=processes.is_main, on_cpu=on_cpu)
    alone, objective = objective, processes.prepare(objective)
    samples = settings.sample_every > 0 and processes.is_main
    examines = settings.exam_every > 0 and processes.is_main
    with progress("training", course.total, "steps", done=start, shown=processes.is_main) as bar:
        is_last = False
        while not is_last:
            done, rate = course.done + 1, course.learning_rate
            rows = draw(generator, settings.batch)
            side = gradients(objective, share, rows, course.is_half, settings, processes, sums)
            sums[1] += nn.utils.clip_grad_norm_(values, settings.max_grad_norm)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            keep = min(settings.ema, done / (9 + done))
            get_ema_multi_avg_fn(keep)(list(average.values()), values, done)

            course.advance()
            told.step()
            is_last, saves = course.is_over, done % settings.checkpoint_every == 0
            logs = is_last or done % LOG_EVERY == 0
            if logs or saves:
                processes.on_main(lambda: check_finite(sums, done))  # noqa: B023
            if logs:
                log.write(done, processes.mean(sums), lr=rate, size=side)
                sums.zero_()
            if saves or is_last:
                processes.on_main(lambda: check_weights(average, done))  # noqa: B023
            if saves and not is_last and processes.is_main:
                state.spent = course.spent
                save_checkpoint(out, done, state, settings.keep_checkpoints)
            draws = samples and done % settings.sample_every == 0
            asks = examines and done % settings.exam_every == 0
            if (draws or asks) and not is_last:
                swap(parameters, average)
                if draws:
                    sample(done)
                if asks:
                    log.exam(done, examine(done))
                swap(parameters, average)
                log.restart(done)
            bar.advance(note=log.note)
    swap(parameters, average)
    size = settings.batch // (processes.size * settings.accumulate)
    with processes.autocast():
        part = [row[:size] for row in rows]
        processes.on_main(lambda: check_last(alone, share(False, *part), done))
    for value in values:
        value.requires_grad_(False)
    if samples:
        sample(course.done)
    log.close()
    return log.loss


def gradients(
    objective: nn.Module,
    share: Callable[..., Given],
    rows: tuple[torch.Tensor, ...],
    is_half: bool,
    settings: TrainingSettings,
    processes: Processes,
    sums: torch.Tensor,
) -> int:
    """Give the parameters the gradients of a batch's mean loss, by which sums[0] grows; return the images'
    side. Each process computes its share of the rows, in as many parts as the settings say."""
    size = settings.batch // (processes.size * settings.accumulate)
    for part in range(settings.accumulate):
        first = (part * processes.size + processes.index) * size
        given = share(is_half, *(row[first : first + size] for row in rows))
        is_last_part = part + 1 == settings.accumulate
        with nullcontext() if is_last_part else processes.no_sync(objective):
            with processes.autocast():
                loss = objective(*given)
            (loss / settings.accumulate).backward()
        sums[0] += loss.detach() / settings.accumulate
    return given[0].shape[-1]


class Objective(nn.Module):
    """The loss on a share of a batch, as the one module whose gradients the processes average."""

    def __init__(self, prior: Prior, embed: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.prior, self.embed = prior, embed

    def forward(
        self,
        x: torch.Tensor,
        noise: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        c2w: torch.Tensor | None,
        ccm: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared error. x, noise: (B, C, h, w). t: (B,). c2w: (B, 4, 4) or None. ccm: (B, 4, h, w)
        or None."""
        noisy = self.prior.add_noise(x, noise, t)
        guess = self.prior.predict(noisy, t, self.embed(text), c2w, ccm)
        return F.mse_loss(guess, self.prior.target(x, noise, t))


def plain_attention(prior: Prior) -> AbstractContextManager:
    """On a CPU, attention between few pixels trains up to 1.4 times faster without torch's flash kernel."""
    is_small = prior.device.type == "cpu" and prior.sample_size <= 32
    return sdpa_kernel(SDPBackend.MATH) if is_small else nullcontext()


def new_optimizer(values: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW, fused into one kernel where torch can; or Adafactor, which keeps no second copy."""
    if settings.optimizer == "adafactor":
        return torch.optim.Adafactor(values, lr=settings.lr)
    try:
        return torch.optim.AdamW(values, lr=settings.lr, fused=True)
    except RuntimeError:  # torch has none for this device
        return torch.optim.AdamW(values, lr=settings.lr)


def seeded_noise(seeds: torch.Tensor, shape: torch.Size, device: torch.device) -> torch.Tensor:
    """(B,) int64 seeds → (B, *shape) float32 normal noise: a sample's own, whoever shares a batch."""
    generator = torch.Generator(device)
    drawn = [
        torch.randn(shape, generator=generator.manual_seed(seed), device=device)
        for seed in seeds.tolist()
    ]
    return torch.stack(drawn)


def to_device(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Send a tensor so that the accelerator need not be waited for."""
    if value.device == device or device.type == "cpu":
        return value
    if device.type == "mps":  # shares its memory with the CPU; there is nothing to pin
        return value.to(device)
    if value.device.type != "cpu":  # only the CPU's memory can be pinned
        return value.to(device)
    return value.pin_memory().to(device, non_blocking=True)


@torch.no_grad()
def swap(parameters: Mapping[str, torch.Tensor], average: Mapping[str, torch.Tensor]) -> None:
    """Exchange the values of the parameters with their averages."""
    for name, value in parameters.items():
        held = value.detach().clone()
        value.copy_(average[name])
        average[name].copy_(held)
