"""Variational Score Distillation (Wang et al. 2023, ProlificDreamer): the noise of what is rendered now.

SDS takes the drawn noise for what the views themselves would answer, as if there were one view. VSD learns
their answer: ε_φ is the prior itself with low-rank adapters and the camera c, trained beside the shape to
denoise its views (section 3.2, algorithm 1):

    residual = ε_guided(x_t; y) − ε_φ(x_t; y, c)
    φ ← AdamW step on E‖ε_φ(x_t; y, c) − ε‖²

Both expectations share one draw of t and ε: ε_φ answers once, before its step. So φ learns at the noise
levels at which it is asked, and a step needs no further randomness. Once the views are what the prior draws
for y, φ is the prior, and at a guidance of 1 nothing pulls any more. φ of a prior that answers guided
predictions in one pass starts from its prediction with the text, without the direction of the guidance.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from sdtool.lifting.told import Told

if TYPE_CHECKING:
    from sdtool.lifting.config import Phase

NAME = "vsd"


def residual(
    told: Told, x: torch.Tensor, t: torch.Tensor, noise: torch.Tensor, scale: float
) -> torch.Tensor:
    """x, noise: (N, C, h, w); t: (N,); returns the residual, like x. φ, `told.phi`, takes a step."""
    if told.phi is None:
        raise ValueError("variational score distillation needs φ, which no one has begun")
    x_t = told.prior.add_noise(x, noise, t)
    return told.noise(x_t, t, scale) - told.phi.learn(told, x_t, t, noise)


class Phi:
    """ε_φ of one prior in one phase, and its AdamW.

    prior: as in `sdtool.lifting.sds`, a module; its parameters with gradient are φ. lr: learning rate. dtype:
    what its pass computes in.
    """

    def __init__(self, prior: Any, lr: float, dtype: torch.dtype = torch.float32):
        self.prior, self.dtype = prior, dtype
        self.loss: torch.Tensor | None = None
        """Of the last step: |ε_φ − ε|² per view, summed over what the prior sees; a scalar."""
        self.named = [(name, p) for name, p in prior.named_parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW([p for _, p in self.named], lr=lr)

    def learn(
        self, told: Told, x_t: torch.Tensor, t: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """ε_φ(x_t), without gradient, and then one step toward the noise that is in x_t.

        x_t, noise: (N, C, h, w); t: (N,).
        """
        text = told.text.expand(len(x_t), -1, -1)
        where = {} if told.ccm is None else {"ccm": told.ccm}
        is_half = self.dtype in (torch.float16, torch.bfloat16)
        with torch.enable_grad(), torch.autocast(x_t.device.type, self.dtype, is_half):
            guess = self.prior.predict_noise(x_t, t, text, told.c2w, **where)
            loss = (guess - noise).square().sum() / len(x_t)
        self.loss = loss.detach()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for gradient in (p.grad for _, p in self.named if p.grad is not None):
            gradient.nan_to_num_(0.0, 0.0, 0.0)  # of a step that the loop takes back
        self.optimiser.step()
        return guess.detach()

    def state(self) -> dict[str, torch.Tensor]:
        """φ and its AdamW's state: "value/NAME", and "KEY/NAME" of each key there."""
        inner = self.optimiser.state
        return {f"value/{name}": p.detach() for name, p in self.named} | {
            f"{key}/{name}": value
            for name, p in self.named
            for key, value in inner.get(p, {}).items()
        }

    @torch.no_grad()
    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a `state`."""
        adam: dict[int, dict[str, torch.Tensor]] = {}
        for index, (name, p) in enumerate(self.named):
            p.copy_(state[f"value/{name}"])
            keys = [key for key, _, of in (one.partition("/") for one in state) if of == name]
            adam[index] = {key: state[f"{key}/{name}"] for key in keys if key != "value"}
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": adam, "param_groups": groups})


class Phis:
    """ε_φ of each prior that a phase asks: new with each phase, as the scene's own Adam is."""

    def __init__(self) -> None:
        self.made: dict[str, Phi] = {}
        self.kept: dict[str, torch.Tensor] = {}

    def begin(self, state: Mapping[str, torch.Tensor]) -> None:
        """Forget all, and go on from a `state`; an empty one begins anew."""
        self.made, self.kept = {}, dict(state)

    def state(self) -> dict[str, torch.Tensor]:
        """Of every φ, "WHICH/...", also of those that were not asked since `begin`."""
        now = {
            f"{which}/{k}": v for which, phi in self.made.items() for k, v in phi.state().items()
        }
        return self.kept | now

    def losses(self) -> dict[str, torch.Tensor]:
        """Of each φ that has taken a step since this was asked last, its loss, as "phi_WHICH"."""
        found = {f"phi_{k}": phi.loss for k, phi in self.made.items() if phi.loss is not None}
        for phi in self.made.values():
            phi.loss = None
        return found

    def of(self, which: str, prior: Any, phase: "Phase") -> Phi:
        """φ of a prior; which: its name in the state. At first φ predicts what the prior does."""
        if which not in self.made:
            from sdtool.priors.lora import fresh_phi

            drawn = torch.Generator().manual_seed(0)
            phi = Phi(fresh_phi(prior, phase.vsd_rank, drawn), phase.vsd_lr, prior.unet.dtype)
            begin = f"{which}/"
            kept = {k.removeprefix(begin): v for k, v in self.kept.items() if k.startswith(begin)}
            if kept:
                phi.restore(kept)
            self.made[which] = phi
        return self.made[which]


def check(phases: Iterable["Phase"]) -> None:
    """MissingDependencyError if a phase distils so, and peft, which makes the adapters, is not there."""
    if any(phase.distill == NAME for phase in phases):
        from sdtool.priors.lora import library

        library("--distill vsd")
