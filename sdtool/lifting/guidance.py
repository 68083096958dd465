"""The two priors' pull on rendered maps: λ_ori · SDS(base) + λ_align · SDS(AGP) (paper, section 3.2)."""

import torch
import torch.nn.functional as F

from sdtool import schedules, sds
from sdtool.lifting.config import Phase


class Guidance:
    """Text embeddings and score distillation of a base prior and an AGP for one prompt.

    base, agp: objects with `encode_text`, `encode_image`, `predict_noise`, `add_noise`,
    `alphas_cumprod` (a `sdtool.priors` Prior). lambda_ori, lambda_align multiply the phases' weights;
    0 leaves a prior out. scale multiplies the phases' guidance scales.
    """

    def __init__(
        self,
        base,
        agp,
        prompt: str,
        lambda_ori: float = 1.0,
        lambda_align: float = 1.0,
        scale: float = 1.0,
    ):
        self.base, self.agp, self.scale = base, agp, scale
        self.lambda_ori, self.lambda_align = lambda_ori, lambda_align
        with torch.no_grad():
            self.text = {
                "rgb": base.encode_text(["", prompt]),
                "normal": base.encode_text(["", base.normal_prompt(prompt)]),
            }
            self.text_agp = agp.encode_text(["", prompt])

    def loss(
        self,
        maps: dict[str, torch.Tensor],
        c2w: torch.Tensor,
        phase: Phase,
        progress: float,
        strength: float,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """A scalar whose gradient is the weighted sum of both SDS gradients, and each one's size.

        maps: name → (N, 4, H, W). c2w: (N, 4, 4). progress: share of the phase that is done.
        strength: factor on the guidance scales (lowered after a rollback).
        """
        upper = schedules.linear(*phase.t_high, end=0.7)(progress)
        late = int(progress >= 0.25)
        total, sizes = torch.zeros(()), {}
        weight = self.lambda_align * phase.lambda_align[late]
        if weight > 0:
            x = self.agp.encode_map(_resize(maps["ccm"], self.agp.sample_size))
            scale = phase.scale_align * self.scale * strength
            term = self._term(self.agp, x, self.text_agp, scale, phase, upper, generator, c2w)
            sizes["align"] = term.detach().item()
            total = total + weight * term
        weight = self.lambda_ori * phase.lambda_ori[late]
        if self.lambda_align == 0 and phase.scene != "color":
            weight = self.lambda_ori  # without an AGP the base must lead from the first step
        if weight > 0:
            x = self._base_image(maps[phase.sees], generator)
            scale = phase.scale_ori * self.scale * strength
            text = self.text[phase.sees]
            term = self._term(self.base, x, text, scale, phase, upper, generator, None)
            sizes["ori"] = term.detach().item()
            total = total + weight * term
        return total, sizes

    def _term(self, prior, x, text, scale, phase, upper, generator, c2w) -> torch.Tensor:
        """One prior's SDS loss on x (N, C, h, w); text: (2, L, C), the empty prompt first."""
        t = sds.sample_t(len(x), (phase.t_low, upper), len(prior.alphas_cumprod), generator)
        noise = torch.randn(x.shape, generator=generator)
        return sds.sds_loss(
            prior, x, t, noise, text[1:], text[:1], scale, c2w=c2w, weighting=phase.weighting
        )

    def _base_image(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A map in the base's own space: as it is if the base takes maps, else as a picture over a
        random grey, which no part of the shape can pass for."""
        if not self.base.takes_maps:
            grey = 2 * torch.rand((len(image), 1, 1, 1), generator=generator) - 1
            image = image[:, :3] + grey * (1 - image[:, 3:]) / 2
        return self.base.encode_image(image)


def _resize(image: torch.Tensor, size: int) -> torch.Tensor:
    """Average (or enlarge) square maps (N, C, H, W) to size × size."""
    if image.shape[-1] == size:
        return image
    if image.shape[-1] % size == 0:
        return F.avg_pool2d(image, image.shape[-1] // size)
    return F.interpolate(image, (size, size), mode="area")
