"""The two priors' pull on rendered maps: λ_ori · SDS(base) + λ_align · SDS(AGP) (paper, section 3.2).

A colour prior may stand in the base's place where a phase is about colours, which the paper does not have.
"""

import math

import torch

from sdtool.errors import UsageError
from sdtool.lifting import schedules, sds, vsd
from sdtool.lifting.config import Phase
from sdtool.lifting.distillation import distill
from sdtool.lifting.perp_neg import embeddings
from sdtool.lifting.prompts import Prompts
from sdtool.lifting.told import Told
from sdtool.priors.prior import resized

# SweetDreamer's authors tell the base a list of such words in both stages, and the AGP none in the second;
# Fantasia3D tells it none. These are our own words.
_POOR = (
    "low quality, blurry, noisy, cropped, out of frame, text, watermark, duplicate, deformed, ugly"
)
NOT_WANTED = {
    "normal": _POOR,
    "rgb": f"{_POOR}, monochrome, oversaturated, harsh shadows, sketch",
}


class Guidance:
    """Text embeddings and score distillation of a base prior and an AGP for one prompt.

    base, agp: objects with `encode_text`, `encode_image`, `predict_noise`, `add_noise`,
    `alphas_cumprod` (a `sdtool.priors` Prior); texts are encoded at once, and never again. lambda_ori,
    lambda_align multiply the phases' weights; 0 leaves a prior out. scale multiplies the phases' guidance
    scales. by_view: tell both priors the side that is seen. perp_neg: tell the base by Perp-Neg, which
    needs by_view. negative: what is not wanted, told to both priors. Without one, a base of an open
    vocabulary (open_words) is told `NOT_WANTED`, of normals or of colours, and the AGP nothing.
    color: a colour prior, for the phases whose `guide` it is. one_pass: ask priors that can answer guided
    predictions in one pass for them. cut, cut_negative: words of the prompt, and of what is not wanted,
    that do not fit into the encoders. phis: what learns beside a phase, where that distils by `vsd`.
    """

    def __init__(
        self,
        base,
        agp,
        prompt: str,
        lambda_ori: float = 1.0,
        lambda_align: float = 1.0,
        scale: float = 1.0,
        by_view: bool = False,
        negative: str = "",
        open_words: bool = False,
        perp_neg: bool = False,
        color=None,
        one_pass: bool = True,
    ):
        if perp_neg and not by_view:
            raise UsageError(
                "--perp-neg works on the words for views, which a small base is not told by itself; add "
                "--view-prompts",
                "--perp-neg",
            )
        self.base, self.agp, self.scale, self.perp_neg = base, agp, scale, perp_neg
        self.color, self.phis = color, vsd.Phis()
        self.lambda_ori, self.lambda_align, self.one_pass = lambda_ori, lambda_align, one_pass
        told = NOT_WANTED if open_words and not negative else dict.fromkeys(NOT_WANTED, negative)
        normal = Prompts(base, prompt, by_view, told["normal"], base.fitted_normal)
        pictures = Prompts(base, prompt, by_view, told["rgb"])
        self.prompts = {"rgb": pictures, "normal": normal, "normal_latent": normal}
        self.prompts_agp = Prompts(agp, prompt, by_view, negative)
        told_all = [normal, pictures, self.prompts_agp]
        if color is not None:
            self.prompts_color = Prompts(color, prompt, by_view, negative)
            told_all.append(self.prompts_color)
        self.cut = max((told.cut for told in told_all), key=len)
        self.cut_negative = max((told.cut_negative for told in told_all), key=len)

    @property
    def device(self) -> torch.device:
        """Where both priors are, and where the maps should be."""
        return self.base.device

    def base_weight(self, phase: Phase, progress: float) -> float:
        """The weight of the base, or of the colour prior in its place, at a share of the phase; 0 where it is
        not asked."""
        weight = self.lambda_ori * schedules.step(phase.lambda_ori, (0.25,))(progress)
        align = self.lambda_align * schedules.step(phase.lambda_align, (0.25,))(progress)
        if self.lambda_align == 0 < max(phase.lambda_align):
            return max(self.lambda_ori, weight)  # without the AGP it must lead from the first step
        if align == 0:
            return weight
        due = round(progress * phase.steps) % phase.ori_every == 0
        return weight * phase.ori_every if due else 0.0

    def loss(
        self,
        maps: dict[str, torch.Tensor],
        c2w: torch.Tensor,
        phase: Phase,
        progress: float,
        strength: float,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A scalar whose gradient is the weighted sum of both SDS gradients, and each one's size, a scalar,
        beside the losses of what learns (`vsd.Phis.losses`).

        maps: name → (N, 4, H, W). c2w: (N, 4, 4). progress: share of the phase that is done.
        strength: factor on the guidance scales (lowered after a rollback).
        """
        upper = schedules.linear(*phase.t_high, end=phase.t_until)(progress)
        levels = max(phase.t_low, upper - phase.t_band) if phase.t_band else phase.t_low, upper
        total, sizes = torch.zeros(()), dict[str, torch.Tensor]()
        weight = self.lambda_align * schedules.step(phase.lambda_align, (0.25,))(progress)
        if weight > 0:
            x = self.agp.encode_map(resized(maps["ccm"], phase.latent or self.agp.sample_size))
            scale = phase.scale_align * self.scale * strength
            term = self._term(self.agp, x, self.prompts_agp, scale, phase, levels, generator, c2w)
            sizes["align"] = term.detach()
            total = total + weight * term * _as_large(phase, self.agp)
        weight = self.base_weight(phase, progress)
        if weight > 0 and phase.guide == "color":
            term = self._color_term(maps, phase, levels, strength, generator, c2w)
            sizes["color"] = term.detach()
            total = total + weight * term
        elif weight > 0:
            x = self._base_image(maps, phase, generator)
            scale = phase.scale_ori * self.scale * strength
            text = self.prompts[phase.sees]
            term = self._term(self.base, x, text, scale, phase, levels, generator, c2w)
            sizes["ori"] = term.detach()
            total = total + weight * term * _as_large(phase, self.base)
        return total, sizes | self.phis.losses()

    def _color_term(self, maps, phase, levels, strength, generator, c2w) -> torch.Tensor:
        """The colour prior's SDS loss on the picture; the map of coordinates is told, not changed."""
        if self.color is None:
            raise UsageError(
                f"the {phase.name} phase is to be guided by a colour prior, and there is none; name one, "
                f"or: --set {phase.name}.guide=base",
                "--color-prior",
                f"--set {phase.name}.guide",
            )
        x = self.color.encode_image(maps["rgb"])
        ccm = resized(maps["ccm"].detach(), self.color.sample_size)
        scale = phase.scale_ori * self.scale * strength
        told = (self.prompts_color, scale, phase, levels, generator, c2w)
        return self._term(self.color, x, *told, ccm=ccm)

    def _term(self, prior, x, prompts, scale, phase, levels, generator, c2w, ccm=None):
        """One prior's SDS loss on x (N, C, h, w), a scalar; a base ignores the cameras. ccm: (N, 4, h, w)
        for a colour prior."""
        t = sds.sample_t(len(x), levels, len(prior.alphas_cumprod), generator)
        noise = torch.randn(x.shape, generator=generator)
        empty, against = prompts.empty, None
        if self.perp_neg and prior is self.base:
            text, against = embeddings(prompts, c2w)
        else:
            text = prompts.at(c2w)
        c2w = c2w.to(x.device, non_blocking=True)
        rescale = phase.rescale if prior is self.base else 0.0  # the authors' AGP goes without
        once = self.one_pass and sds.answers_guided(prior, prompts.negative, rescale, against)
        phi = self.phis.of(self._name(prior), prior, phase) if phase.distill == vsd.NAME else None
        told = Told(prior, text, empty, c2w, rescale, against, ccm, once, phi)
        return distill(phase.distill, told, x, t, noise, scale, phase.weighting)

    def _name(self, prior) -> str:
        """Of a prior, as `phis` are kept by."""
        return next(name for name in ("agp", "base", "color") if getattr(self, name) is prior)

    def _base_image(
        self, maps: dict[str, torch.Tensor], phase: Phase, generator: torch.Generator
    ) -> torch.Tensor:
        """What the base sees, in its own space.

        Maps as they are if the base takes maps, else pictures over a random grey, which no part of the
        shape can pass for, or over the scene's own background. "normal_latent": normals and mask
        themselves as the latent (Fantasia3D).
        """
        image = maps["rgb" if phase.sees == "rgb" else "normal"]
        if phase.sees != "rgb" and phase.normal_turn:
            each = (2, len(image)) if phase.turns == "view" else ()
            turn = (2 * torch.rand(each, generator=generator) - 1) * math.radians(phase.normal_turn)
            tilt, turn = turn if phase.turns == "view" else (None, turn)
            image = torch.cat([_turned(image[:, :3], turn, tilt), image[:, 3:]], dim=1)
        if phase.sees == "normal_latent":
            if not self.base.takes_maps:  # Fantasia3D: to Stable Diffusion the mask is 0 and 1
                image = torch.cat([image[:, :3], (image[:, 3:] + 1) / 2], dim=1)
            return self.base.encode_map(resized(image, phase.latent or self.base.sample_size))
        if not self.base.takes_maps:
            behind = 2 * torch.rand((len(image), 1, 1, 1), generator=generator) - 1
            behind = behind.to(image.device, non_blocking=True)
            if "backdrop" in maps and torch.rand((), generator=generator) < phase.backdrop:
                behind = maps["backdrop"]
            image = image[:, :3] + behind * (1 - image[:, 3:]) / 2
        return self.base.encode_image(image, phase.latent)


def _as_large(phase: Phase, prior) -> float:
    """A factor by which a rendered pixel is pulled as it would be at the prior's own size: the loss is a sum
    over the pixels that a prior sees."""
    return (prior.sample_size / phase.latent) ** 2 if phase.latent else 1.0


def _turned(
    normals: torch.Tensor, angle: torch.Tensor, tilt: torch.Tensor | None = None
) -> torch.Tensor:
    """World normals (N, 3, H, W), turned about +X by `tilt`, then about +Y by `angle`, in radians: () for
    all views, or (N,)."""
    angle = angle.to(normals.device, non_blocking=True)[..., None, None]
    c, s = torch.cos(angle), torch.sin(angle)
    x, y, z = normals.unbind(dim=1)
    if tilt is not None:
        tilt = tilt.to(normals.device, non_blocking=True)[..., None, None]
        y, z = (
            torch.cos(tilt) * y - torch.sin(tilt) * z,
            torch.sin(tilt) * y + torch.cos(tilt) * z,
        )
    return torch.stack([c * x + s * z, y, c * z - s * x], dim=1)
