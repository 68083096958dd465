"""How well a half-made shape pleases both priors, at noise that its training has not seen.

The denoising error of a diffusion model bounds how improbable it holds what it looks at (Ho et al. 2020,
eq. 14): of two shapes made from one prompt, that with the smaller error is more like what the prior was
trained on. The AGP's is told the camera, so that a face on the back of a head is an error to it. No judge
is asked, so one that looks at the results later is independent of the choice.
"""

from collections.abc import Sequence

import numpy as np
import torch

from sdtool.geometry.cameras import ViewRange, turntable
from sdtool.lifting import sds
from sdtool.lifting.config import Phase
from sdtool.lifting.guidance import Guidance
from sdtool.priors.prior import resized

PRIORS = {"align", "ori"}
"""Names of the errors: of the AGP, of the base."""
VIEWS, ELEVATION = 8, 15.0
LEVELS = (0.3, 0.5, 0.7)
"""Shares of the noise schedule: below, details; above, hardly more than the prompt."""
SEED = 20231005
"""Of the noise; the same for all, so that they differ by their shapes alone."""


@torch.no_grad()
def prior_errors(
    scene, guidance: Guidance, phase: Phase, view_range: ViewRange
) -> dict[str, float]:
    """name → the mean of (ε̂ − ε)² over views, levels and channels, for each pixel of what is seen.

    "align" of the AGP on canonical coordinates, "ori" of the base on normals, each if it guides the lift;
    told the prompt, without guidance. NaN where nothing is seen.
    """
    c2w = turntable(VIEWS, view_range, ELEVATION)
    maps = scene.render(c2w, float(np.radians(view_range.fov)), phase.size)
    cameras = torch.from_numpy(c2w).to(guidance.device)
    found = {}
    if guidance.lambda_align > 0:
        ccm = resized(maps["ccm"], phase.latent or guidance.agp.sample_size)
        x = guidance.agp.encode_map(ccm)
        found["align"] = _error(guidance.agp, x, guidance.prompts_agp, cameras) / _seen(ccm)
    if guidance.lambda_ori > 0:
        normal = maps["normal"] if guidance.base.takes_maps else maps["normal"][:, :3]
        x = guidance.base.encode_image(normal, phase.latent)  # pictures stand before grey
        seen = _seen(maps["normal"])
        found["ori"] = _error(guidance.base, x, guidance.prompts["normal"], cameras) / seen
    return found


def _seen(maps: torch.Tensor) -> float:
    """The share of the pixels of (N, 4, h, w) that the shape covers; NaN if none."""
    return float((maps[:, 3] + 1).mean() / 2) or float("nan")


def _error(prior, x: torch.Tensor, prompts, c2w: torch.Tensor) -> float:
    """The mean of (ε̂ − ε)² of one prior on x (N, C, h, w)."""
    generator, last, errors = torch.Generator().manual_seed(SEED), len(prior.alphas_cumprod) - 1, []
    text = prompts.at(c2w.cpu())
    for level in LEVELS:
        noise = torch.randn(x.shape, generator=generator).to(x)
        t = torch.full((len(x),), int(level * last), device=x.device)
        x_t = prior.add_noise(x, noise, t)
        guess = sds.guided_noise(prior, x_t, t, text, text, 1.0, c2w)
        errors.append((guess - noise).square().mean())
    return float(torch.stack(errors).mean())


def ranked(errors: Sequence[dict[str, float]]) -> list[float]:
    """A score for each of the shapes, higher is better: minus its error, as a multiple of the mean of all
    shapes, averaged over the priors. −inf where an error is no number, or there is none."""
    names = sorted({name for one in errors for name in one})
    values = np.array([[one.get(name, np.nan) for name in names] for one in errors], np.float64)
    values[~np.isfinite(values).all(axis=1)] = np.nan  # (shapes, priors)
    if not names or np.isnan(values).all():
        return [float("-inf")] * len(errors)
    score = -(values / np.nanmean(values, axis=0)).mean(axis=1)
    return np.where(np.isnan(score), -np.inf, score).tolist()
