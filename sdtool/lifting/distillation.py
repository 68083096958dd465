"""The ways to distil a prior's score into a shape: one table, behind the one function that the loop calls.

Each method is a function of the clean sample, the time and the noise that says by what residual the sample is
to be moved; what they have in common is `Told`, which knows how the prior predicts noise. Score distillation
itself is `sdtool.lifting.sds`.
"""

from collections.abc import Callable

import torch

from sdtool.lifting import csd, ism, sdi, sds, vsd
from sdtool.lifting.told import Told

Method = Callable[[Told, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""(told, x (N, C, h, w) without gradient, t (N,), noise like x, guidance scale) → the residual, like x."""

METHODS: dict[str, Method] = {
    "csd": csd.residual,
    "ism": ism.residual,
    "sdi": sdi.residual,
    vsd.NAME: vsd.residual,
}
"""Name → what it does, beside "sds" itself."""

NAMES = ("sds", *METHODS)
"""Of `--distill`."""


def distill(
    method: str,
    told: Told,
    x: torch.Tensor,
    t: torch.Tensor,
    noise: torch.Tensor,
    scale: float,
    weighting: str,
) -> torch.Tensor:
    """A scalar whose gradient with respect to x (N, C, h, w) is w(t)·residual, by a method of `NAMES`.

    t: (N,) int64. noise: like x. scale: classifier-free guidance. weighting: a name of `sds.WEIGHTINGS`.
    """
    if method == "sds":
        return sds.sds_loss(
            told.prior, x, t, noise, told.text, told.unguided, scale, c2w=told.c2w,
            weighting=weighting, rescale=told.rescale, against=told.against, ccm=told.ccm,
        )  # fmt: skip
    t, noise = (given.to(x.device, non_blocking=True) for given in (t, noise))
    residual = METHODS[method](told, x.detach(), t, noise, scale)
    return sds.pulled(x, residual, told.prior.alphas_cumprod[t], weighting)
