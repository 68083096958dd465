"""Classifier Score Distillation (Yu et al. 2023): what the text adds, and nothing else.

Guidance splits the guided prediction into the unconditional one and s·(ε_c − ε_u), the score of an implicit
classifier p(y | x_t). CSD keeps the latter alone:

    residual = s·(ε_c(x_t) − ε_u(x_t))

No noise is subtracted, so the sample is not drawn toward the prior's mean, and only the classifier's peak
stops it.
"""

import torch

from sdtool.lifting.told import Told


def residual(
    told: Told, x: torch.Tensor, t: torch.Tensor, noise: torch.Tensor, scale: float
) -> torch.Tensor:
    """x, noise: (N, C, h, w); t: (N,); returns the residual, like x."""
    x_t = told.prior.add_noise(x, noise, t)
    return scale * (told.noise(x_t, t, 1) - told.noise(x_t, t, 0))
