"""Guidance in one pass: a prior learns what its two passes, with the text and without, give (after Meng et
al. 2022; see `sdtool.priors.guided`)."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from sdtool.errors import UsageError
from sdtool.io.words import counted
from sdtool.priors.guided import fresh_guided
from sdtool.priors.prior import Prior
from sdtool.training.data import PromptTable, Views
from sdtool.training.distributed import Processes
from sdtool.training.finetune import finetune
from sdtool.training.preflight import check_numbers, check_size, say_odd
from sdtool.training.settings import TrainingSettings
from sdtool.training.text_cache import encode_texts
from sdtool.training.vae import FACTOR, LatentViews
from sdtool.training.work_files import LATENTS

TYPICAL = 8.0  # guidance scale at which an error of the direction is weighed
BANDS = ((50, 350), (350, 650), (650, 950))  # timesteps in which it is measured
MEASURED = 128  # maps


class GuidedObjective(nn.Module):
    """How far the student is from the teacher's prediction with the text, and from its direction of guidance.

    empty: (1, L, C), the embedding of the empty prompt. What both predict (noise or v) is linear in the
    noise, so guidance may be applied to it as it is.
    """

    empty: torch.Tensor

    def __init__(self, student: Prior, teacher: Prior, empty: torch.Tensor):
        super().__init__()
        self.prior = student
        self.held = [teacher]  # not a submodule: it neither trains nor moves
        self.register_buffer("empty", empty)

    def forward(
        self,
        x: torch.Tensor,
        noise: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        c2w: torch.Tensor | None,
        ccm: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """A scalar. x, noise: (B, C, h, w). t: (B,). text: (B, L, C). c2w: (B, 4, 4) or None."""
        noisy = self.prior.add_noise(x, noise, t)
        goals = two_passes(self.held[0], noisy, t, text, self.empty, c2w)
        plain, direction = self.prior.predict_both(noisy, t, text, c2w)
        error = F.mse_loss(plain, goals[0])
        return error + (TYPICAL - 1) ** 2 * F.mse_loss(direction, goals[1])


@torch.no_grad()
def two_passes(
    teacher: Prior,
    noisy: torch.Tensor,
    t: torch.Tensor,
    text: torch.Tensor,
    empty: torch.Tensor,
    c2w: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the teacher predicts with the text, and how that differs from without; (B, C, h, w) each."""
    texts = torch.cat([empty.expand(len(text), -1, -1), text])
    cameras = None if c2w is None else torch.cat([c2w] * 2)
    found = teacher.predict(torch.cat([noisy] * 2), torch.cat([t] * 2), texts, cameras)
    without, with_text = found.chunk(2)
    return with_text, with_text - without


def distill(
    teacher: Prior,
    folders: list[Path],
    captions: dict[str, list[str]],
    settings: TrainingSettings,
    out: Path,
    *,
    seed: int,
    processes: Processes,
    ready: Callable[[], None] = lambda: None,
) -> tuple[Prior, dict]:
    """A prior that answers the teacher's guided predictions in one pass, and facts for its card.

    folders: CCMs with their cameras for an AGP; pictures and normals for a base of `train-base`. UsageError
    if the maps do not fit. ready: called when all inputs have been read, before anything is written.
    """
    names = ("ccm",) if teacher.has_camera else ("rgb", "normal")
    factor = FACTOR if teacher.is_latent else 1
    if not teacher.takes_maps:
        raise UsageError(
            f"{teacher.name} draws plain pictures; AGPs and bases of train-base can be distilled",
            "PRIOR",
        )
    views = Views(folders, names, captions)
    if said := views.say_uncaptioned():
        processes.say(said)
    check_size(views, teacher.sample_size * factor, f"{teacher.name} works on", "VIEWS")
    check_numbers(views, processes)
    say_odd(views, settings.batch, processes)
    ready()
    suffixes = ("",) if teacher.has_camera else ("", teacher.normal_suffix)
    prompts = PromptTable(views, captions, suffixes, lambda p, s: teacher.fitted(p, s)[0])
    teacher = teacher.to(processes.device)
    student = fresh_guided(teacher)
    processes.say(
        f"{counted(len(views), 'map')} of {counted(len(views.uids), 'object')}, "
        f"{counted(len(prompts.table), 'prompt')}; on {processes.device.type}"
    )
    text = teacher.text_encoder
    encoded = encode_texts(student, prompts.table, out, processes=processes)
    latents = None
    if teacher.vae is not None:
        with processes.autocast():
            latents = LatentViews(views, teacher.vae, out / LATENTS)
    objective = GuidedObjective(student, teacher, encoded.lookup(torch.tensor([0])))
    loss = finetune(
        student,
        views,
        prompts,
        settings,
        out,
        seed=seed,
        processes=processes,
        rows=list,
        lookup=encoded.lookup,
        latents=latents,
        objective=objective,
    )
    with processes.autocast():
        error = measure(objective, latents or views, views, prompts, encoded.lookup, seed)
    student.text = text
    facts: dict = {"maps": len(views), "objects": len(views.uids), "loss": round(loss, 6)}
    facts |= {"uncaptioned": len(views.uncaptioned)} if views.uncaptioned else {}
    return student, facts | {"guidance_error": error}


@torch.no_grad()
def measure(objective: GuidedObjective, images, views: Views, prompts, lookup, seed: int) -> dict:
    """How far one pass is from two: name of a band of timesteps → error of the guided prediction as a share
    of what guidance changes, at the scale `TYPICAL`, on some of the maps."""
    ask = torch.Generator().manual_seed(seed)
    index = torch.randint(len(views), (MEASURED,), generator=ask)
    numbers = prompts.draw(views, index.numpy(), 0.0, ask)
    student, teacher = objective.prior, objective.held[0]
    device, found = student.device, {}
    x = images.maps(index.numpy()).to(device)
    text = lookup(numbers).to(device)
    c2w = views.cameras(index.numpy()).to(device) if student.has_camera else None
    scale = torch.full((len(x),), TYPICAL, device=device)
    for low, high in BANDS:
        t = torch.randint(low, high, (len(x),), generator=ask).to(device)
        noisy = student.add_noise(x, torch.randn(x.shape, generator=ask).to(device), t)
        plain, direction = two_passes(teacher, noisy, t, text, objective.empty, c2w)
        change = (TYPICAL - 1) * direction
        guess = student.predict(noisy, t, text, c2w, guidance=scale)
        ratio = (guess - plain - change).norm() / change.norm().clamp(min=1e-12)
        found[f"{low}-{high - 1}"] = round(float(ratio), 4)
    return found
