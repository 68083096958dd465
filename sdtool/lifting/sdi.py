"""Score Distillation via Inversion (Lukoianov et al. 2024): the noise that DDIM would have had.

Score distillation is a DDIM path seen from its clean samples, but for the noise: DDIM's is the one that leads
from this sample to x_t, where SDS draws a new one at every step and so blurs what it makes. It is found by
inverting DDIM, and the inversion is guided away from the prompt as strongly as the path is to it (the authors
use 7.5 and −7.5):

    x_t = DDIM inversion of x to t, guided by −s
    κ = (x_t − √ᾱ_t·x) / √(1 − ᾱ_t)
    residual = ε_guided(x_t, t) − κ
"""

import torch

from sdtool.lifting.told import Told

STEPS = 5
"""Of the inversion (the authors' code takes 10 on Stable Diffusion)."""


def residual(
    told: Told, x: torch.Tensor, t: torch.Tensor, noise: torch.Tensor, scale: float
) -> torch.Tensor:
    """x: (N, C, h, w); t: (N,); no noise is needed. Returns the residual, like x."""
    x_t = told.inverted(x, t, STEPS, -scale)
    alpha = told.alpha_bar(t)
    kappa = (x_t - alpha.sqrt() * x) / (1 - alpha).sqrt()
    return told.noise(x_t, t, scale) - kappa
