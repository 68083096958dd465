"""The sample grids of a training: which prompts they show, and a row of eight pictures for each."""

import torch

from sdtool.geometry.cameras import view_range
from sdtool.priors.prior import Prior
from sdtool.priors.sampling import ddim
from sdtool.training.distributed import Processes
from sdtool.training.identification import turntable_cameras
from sdtool.training.text_cache import EncodedTexts

STEPS = 20  # of the sampler

PICTURES = 8  # in a row

# label, (8, 3, H, W) pictures in [0, 1]
Row = tuple[str, torch.Tensor]


def sample_prompts(captions: dict[str, list[str]], uids: list[str], count: int = 6) -> list[str]:
    """The first captions of these objects, `count` of them or fewer, evenly from the sorted list."""
    known = sorted({captions[uid][0] for uid in uids})
    return [known[k * len(known) // count] for k in range(min(count, len(known)))]


def grid_cost(prompts: int, steps: int = STEPS) -> tuple[int, str]:
    """What a grid of so many prompts costs: passes of one picture through the UNet, and in words.

    A row has eight pictures, and guidance takes each step twice, with the prompt and without.
    """
    passes = prompts * PICTURES * steps * 2
    rows = f"{prompts} prompt{'s' if prompts != 1 else ''} × {PICTURES} pictures"
    return passes, f"{rows} × {steps} steps × 2 for guidance: {passes:,} passes of the UNet"


def agp_rows(
    prior: Prior,
    prompts: list[str],
    encoded: EncodedTexts,
    camera: dict,
    *,
    seed: int,
    processes: Processes,
) -> list[Row]:
    """A row for each prompt: its maps from eight azimuths.

    camera: how the training's cameras were drawn (`Views.camera`).
    """
    cameras, rows = turntable_cameras(PICTURES, view_range=view_range(camera)).to(prior.device), []
    for prompt in prompts:
        text, empty = encoded([prompt, ""]).split(1)
        text, generator = text.expand(len(cameras), -1, -1), torch.Generator().manual_seed(seed)
        with processes.autocast():
            x = ddim(prior, text, empty, generator=generator, c2w=cameras, steps=STEPS)
        rows.append((prompt, prior.decode_image(x)))
    return rows


@torch.no_grad()
def base_rows(prior: Prior, prompts: list[str], *, seed: int) -> list[Row]:
    """A row for each prompt: four pictures and four maps of normals."""
    half, empty, rows = PICTURES // 2, prior.encode_text([""]), []
    for prompt in prompts:
        text = prior.encode_text([prompt] * half + [prior.normal_prompt(prompt)] * half)
        generator = torch.Generator().manual_seed(seed)
        x = ddim(prior, text, empty, generator=generator, steps=STEPS)
        rows.append((prompt, prior.decode_image(x)))
    return rows
