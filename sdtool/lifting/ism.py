"""Interval Score Matching (Liang et al. 2024, LucidDreamer): two points of one path.

The sample is brought to time s = t − δ_T by unconditional DDIM inversion in strides of δ_S, and from there to
t in one step more, so that x_s and x_t lie on one deterministic path and no noise is drawn. Then

    residual = ε_guided(x_t, t) − ε_u(x_s, s)

which agrees for the same sample whenever it is asked, where SDS points elsewhere with every draw.
"""

import torch

from sdtool.lifting.told import Told

INTERVAL, STRIDE = 0.05, 0.2
"""δ_T and δ_S, as shares of the schedule (the paper's 50 and 200 of 1000)."""


def residual(
    told: Told, x: torch.Tensor, t: torch.Tensor, noise: torch.Tensor, scale: float
) -> torch.Tensor:
    """x: (N, C, h, w); t: (N,); no noise is needed. Returns the residual, like x."""
    last = len(told.prior.alphas_cumprod)
    s = (t - round(INTERVAL * last)).clamp(min=0)
    steps = max(1, -(-int(s.max()) // round(STRIDE * last)))
    x_s = told.inverted(x, s, steps, 0)
    without = told.noise(x_s, s, 0)
    x_t = told.moved(x_s, without, s, t)
    return told.noise(x_t, t, scale) - without
