"""A prior with what it is told of a step's views: how it predicts noise there, at any guidance."""

from dataclasses import dataclass
from typing import Any

import torch

from sdtool.lifting import sds


@dataclass(frozen=True)
class Told:
    """prior: see `sdtool.lifting.sds`. text, empty: (N, L, D), or (1, L, D) for all. c2w: (N, 4, 4). rescale,
    against, ccm: see `sds.guided_noise`. one_pass: the prior answers guided predictions in one pass. phi:
    what learns the score of the views, for `sdtool.lifting.vsd` alone."""

    prior: Any
    text: torch.Tensor
    empty: torch.Tensor
    c2w: torch.Tensor | None = None
    rescale: float = 0.0
    against: sds.Against | None = None
    ccm: torch.Tensor | None = None
    one_pass: bool = False
    phi: Any = None

    @torch.no_grad()
    def noise(self, x_t: torch.Tensor, t: torch.Tensor, scale: float) -> torch.Tensor:
        """ε̂(x_t) of (N, C, h, w) at t (N,): without the text for a scale of 0, with it for 1, guided else."""
        if scale in (0, 1):
            text = (self.empty if scale == 0 else self.text).expand(len(x_t), -1, -1)
            where = {} if self.ccm is None else {"ccm": self.ccm}
            return self.prior.predict_noise(x_t, t, text, self.c2w, **where)
        return sds.guided_noise(
            self.prior, x_t, t, self.text, self.unguided, scale,
            self.c2w, self.rescale, self.against, self.ccm,
        )  # fmt: skip

    @property
    def unguided(self) -> torch.Tensor | None:
        """`empty`, or None for a prior that needs no second pass."""
        return None if self.one_pass else self.empty

    def alpha_bar(self, t: torch.Tensor) -> torch.Tensor:
        """ᾱ at times (N,), as (N, 1, 1, 1); 1 below 0, where there is no noise."""
        found = self.prior.alphas_cumprod[t.clamp(min=0)]
        return torch.where(t < 0, torch.ones_like(found), found).view(-1, 1, 1, 1)

    def moved(
        self, x_s: torch.Tensor, guess: torch.Tensor, s: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:
        """One deterministic DDIM step from times s to t (Song et al. 2021, eq. 12), up or down: the noise
        stays, the clean sample that it leaves stays."""
        before, after = self.alpha_bar(s), self.alpha_bar(t)
        clean = (x_s - (1 - before).sqrt() * guess) / before.sqrt()
        return after.sqrt() * clean + (1 - after).sqrt() * guess

    def inverted(self, x: torch.Tensor, t: torch.Tensor, steps: int, scale: float) -> torch.Tensor:
        """x (N, C, h, w), clean, brought to times t (N,) by `steps` steps of DDIM inversion, guided so."""
        s = torch.full_like(t, -1)
        for k in range(1, steps + 1):
            after = ((t + 1) * k // steps) - 1
            guess = self.noise(x, s.clamp(min=0), scale)
            x, s = self.moved(x, guess, s, after), after
        return x
