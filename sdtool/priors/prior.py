"""One contract for every diffusion prior: encode text and images, add noise, predict it.

Who holds a `Prior` never asks which model it is: a latent Stable Diffusion, a pixel-space model of
the DeepFloyd kind, SDXL with its two text encoders, the bundled tiny one, an aligned geometric prior
(AGP) that also sees the camera, or a colour prior that also sees a map of coordinates.
`sdtool.priors.loading` makes them from folders, files and hub ids.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category

import torch
import torch.nn.functional as F
from torch import nn

from sdtool.priors.added import added_conditions
from sdtool.priors.sizes import takes_sizes
from sdtool.priors.text import TextEncoder

if TYPE_CHECKING:  # at run time diffusers, slow to import, comes with the models only
    from diffusers.models import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

CAMERA_NUMBERS = 12
"""The camera condition: the upper 3×4 of c2w, row by row."""

CCM_CHANNELS = 4
"""Those of a canonical coordinate map, which a colour prior sees beside the noisy image."""


NO_SIGNAL = 2.0**-24
"""ᾱ where a schedule has 0, as diffusers' own samplers take it."""


class Prior(nn.Module):
    """A text-to-image diffusion model: UNet, text encoder, noise schedule and, if latent, VAE.

    alphas_cumprod: (T,) float32; a 0 at its end (zero terminal SNR) is taken for 2⁻²⁴, so that a clean image
    can be told from noise. prediction: what the UNet predicts: "epsilon", "v_prediction" or "sample".
    text_folder: where its text encoder can be read again. is_guided: further channels of the
    UNet's output are the direction of its guidance (`sdtool.priors.guided`). Everything is frozen until
    a trainer thaws it.
    """

    alphas_cumprod: torch.Tensor

    def __init__(
        self,
        unet: "UNet2DConditionModel",
        text: TextEncoder | None,
        alphas_cumprod: torch.Tensor,
        *,
        prediction: str = "epsilon",
        vae: "AutoencoderKL | AutoencoderTiny | None" = None,
        normal_suffix: str = "",
        vocabulary: Collection[str] | None = None,
        name: str = "",
        text_folder: Path | None = None,
        is_guided: bool = False,
    ):
        super().__init__()
        self.unet, self.text, self.vae, self.is_guided = unet, text, vae, is_guided
        signal = alphas_cumprod.float()
        signal = torch.where(signal == 0, NO_SIGNAL, signal)
        self.register_buffer("alphas_cumprod", signal, persistent=False)
        self.prediction, self.name, self.text_folder = prediction, name, text_folder
        self.normal_suffix = normal_suffix
        self.vocabulary = None if vocabulary is None else frozenset(vocabulary)
        self.requires_grad_(False).eval()

    # What the model is

    @property
    def channels(self) -> int:
        """Channels of the noisy image: 4 for latents and maps, 3 for plain pixels (DeepFloyd IF)."""
        return self.unet.config["in_channels"] - CCM_CHANNELS * self.has_ccm

    @property
    def sample_size(self) -> int:
        """Side of the square noisy image in the model's own space, e.g. 64 for SD 2.1-base."""
        return self.unet.config["sample_size"]

    @property
    def is_latent(self) -> bool:
        """True if images pass through a VAE."""
        return self.vae is not None

    @property
    def takes_maps(self) -> bool:
        """True if its images are maps of four channels, the last of them coverage (`sdtool.geometry.ccm`)."""
        if self.vae is not None:
            return self.vae.config.get("in_channels", 3) == 4
        return self.channels == 4

    @property
    def has_camera(self) -> bool:
        """True for an AGP: `predict_noise` then needs `c2w`."""
        return self.unet.config["class_embed_type"] == "projection"

    @property
    def has_ccm(self) -> bool:
        """True for a colour prior: `predict_noise` then needs `ccm`."""
        return self.unet.config["in_channels"] == 2 * CCM_CHANNELS

    @property
    def takes_sizes(self) -> bool:
        """True for SDXL's kind, whose UNet also sees a pooled text and the picture's size."""
        return takes_sizes(self.unet.config)

    @property
    def device(self) -> torch.device:
        """Where the model and its answers live."""
        return self.alphas_cumprod.device

    # Text

    @property
    def text_encoder(self) -> TextEncoder:
        """`text` where it is needed; ValueError if there is none, or none any more."""
        if self.text is None:
            raise ValueError(f"{self.name} has no text encoder")
        return self.text

    def encode_text(self, prompts: list[str]) -> torch.Tensor:
        """N prompts → (N, L, C) float32 embeddings; the empty prompt is the unconditional one.

        Where `takes_sizes` holds, the last row is the pooled text, filled up with zeros
        (`sdtool.priors.two_encoders`)."""
        return self.text_encoder(prompts)

    def fitted(self, prompt: str, ending: str = "") -> tuple[str, str]:
        """The prompt with an ending that must stay, such as ", front view", as it fits into the text
        encoder; and the words at the prompt's end that had to go for it ("" if none)."""
        return self.text_encoder.fitted(prompt, ending)

    def fitted_normal(self, prompt: str, ending: str = "") -> tuple[str, str]:
        """Like `fitted`, of the prompt that asks for surface normals."""
        return self.fitted(" ".join(prompt.split()), ending + self.normal_suffix)

    def normal_prompt(self, prompt: str) -> str:
        """The prompt that asks for surface normals; its last words go if the whole is too long."""
        return self.fitted_normal(prompt)[0]

    def unknown_words(self, prompt: str) -> list[str]:
        """The prompt's words, and signs as emoji, that a small prior has never met; empty for an open
        vocabulary."""
        if self.vocabulary is None:
            return []
        signs = [one for one in re.findall(r"[^\w\s!-~]+", prompt) if "So" in map(category, one)]
        return [word for word in words(prompt) if word not in self.vocabulary] + signs

    # Images

    def encode_image(self, image: torch.Tensor, size: int = 0) -> torch.Tensor:
        """Rendered images → the model's own space, differentiable: (N, channels, h, w) float32.

        image: what the model takes, of any size: maps (N, 4, H, W), which are premultiplied, or
        pictures (N, 3, H, W); in [−1, 1]. size: h and w, if not the model's own.
        """
        size = size or self.sample_size
        if self.vae is None:
            return resized(image, size)
        factor = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        return vae_encode(self.vae, resized(image, size * factor))

    def decode_image(self, x: torch.Tensor) -> torch.Tensor:
        """Clean samples (N, channels, h, w) → pictures (N, 3, H, W) in [0, 1], maps over white."""
        if self.vae is not None:
            scaled = (x / self.vae.config["scaling_factor"]).to(self.vae.dtype)
            x = self.vae.decode(scaled).sample.float()
        if x.shape[1] == 4:
            coverage = (x[:, 3:] + 1) / 2
            return ((x[:, :3] + coverage) / 2 + 1 - coverage).clamp(0, 1)
        return ((x + 1) / 2).clamp(0, 1)

    def encode_map(self, ccm: torch.Tensor) -> torch.Tensor:
        """A canonical coordinate map → what this model diffuses: (N, channels, h, w).

        ccm: (N, 4, h, w), (2·xyz − 1)·coverage and 2·coverage − 1. Four-channel models take it as it
        is, without the VAE. Three-channel ones take the coordinates alone, whose background is 0:
        mid-grey, the centre of the object's box, where surfaces are seldom seen.
        """
        return ccm[:, : self.channels]

    # Diffusion

    def add_noise(self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_t = √ᾱ_t·x + √(1 − ᾱ_t)·noise (DDPM, eq. 4). x, noise: (N, C, h, w); t: (N,) int64."""
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x + (1 - a).sqrt() * noise

    def predict_noise(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        c2w: torch.Tensor | None = None,
        ccm: torch.Tensor | None = None,
        guidance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The noise ε̂ in x, whatever the UNet itself predicts: (N, channels, h, w) float32.

        x: (N, channels, h, w) noisy. t: (N,) int64 in [0, T). text: (N, L, C) from `encode_text`.
        c2w: (N, 4, 4) cameras; an AGP needs them, every other prior ignores them. ccm: (N, 4, h, w)
        canonical coordinate maps of what the image shows; a colour prior needs them, no other does.
        guidance: (N,) scales s, if ε_u + s·(ε_c − ε_u) is wanted; only where `is_guided` holds.
        """
        out = self.predict(x, t, text, c2w, ccm, guidance)
        if self.prediction == "epsilon":
            return out
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        if self.prediction == "v_prediction":
            return a.sqrt() * out + (1 - a).sqrt() * x.float()
        return (x.float() - a.sqrt() * out) / (1 - a).sqrt()

    def predict(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        c2w: torch.Tensor | None = None,
        ccm: torch.Tensor | None = None,
        guidance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the UNet itself predicts, for training; arguments and shape as `predict_noise`."""
        plain, direction = self.predict_both(x, t, text, c2w, ccm)
        if guidance is None:
            return plain
        if not self.is_guided:
            raise ValueError(f"{self.name} answers no guided predictions")
        return plain + (guidance.view(-1, 1, 1, 1) - 1) * direction

    def predict_both(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        text: torch.Tensor,
        c2w: torch.Tensor | None = None,
        ccm: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the UNet predicts with the text, and the direction of the guidance if `is_guided`, which is
        how that differs from without; (N, channels, h, w) float32 each."""
        camera = None
        if self.has_camera:
            if c2w is None:
                raise ValueError(f"{self.name} is an AGP: it needs c2w")
            camera = self._camera(c2w)
        if self.has_ccm:
            if ccm is None:
                raise ValueError(f"{self.name} is a colour prior: it needs ccm")
            x = torch.cat([x, ccm.to(x.dtype)], dim=1)
        text = text.to(self.unet.dtype)
        more = {}
        if self.takes_sizes:
            text, added = added_conditions(self.unet.config, text, x.shape[-2:])
            more = {"added_cond_kwargs": added}
        out = self.unet(
            x.to(self.unet.dtype, memory_format=torch.channels_last),
            t,
            encoder_hidden_states=text,
            class_labels=camera,
            **more,
        ).sample.float()
        # models of the IF kind append a predicted variance
        return out[:, : self.channels], out[:, self.channels :]

    def _camera(self, c2w: torch.Tensor) -> torch.Tensor:
        """(N, 4, 4) → what the UNet takes of it: the 12 numbers, followed by zeros where its hook is wider
        (`sdtool.priors.agp.fresh_agp`)."""
        width = self.unet.config["projection_class_embeddings_input_dim"]
        camera = camera_vector(c2w).to(self.unet.dtype)
        return F.pad(camera, (0, width - CAMERA_NUMBERS)) if width > CAMERA_NUMBERS else camera

    def target(self, x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """What `predict` should give for clean x (N, C, h, w): the noise, v, or x itself.

        v = √ᾱ·ε − √(1 − ᾱ)·x (Salimans & Ho 2022, appendix D).
        """
        if self.prediction == "epsilon":
            return noise
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * noise - (1 - a).sqrt() * x if self.prediction == "v_prediction" else x


def vae_encode(vae: "AutoencoderKL | AutoencoderTiny", image: torch.Tensor) -> torch.Tensor:
    """Pictures (N, 3 or 4, H, W) in [−1, 1] → latents (N, C, h, w) float32, variance about 1."""
    out = vae.encode(image.to(vae.dtype))
    latent = out.latents if hasattr(out, "latents") else out.latent_dist.mean
    return latent.float() * vae.config["scaling_factor"]


def camera_vector(c2w: torch.Tensor) -> torch.Tensor:
    """(N, 4, 4) camera-to-world → (N, 12): its upper 3×4, row by row."""
    return c2w[:, :3, :].reshape(-1, CAMERA_NUMBERS)


def words(text: str) -> list[str]:
    """The lower-cased words of a text, in order."""
    return re.findall(r"[^\W\d_]+", text.lower())


def resized(image: torch.Tensor, size: int) -> torch.Tensor:
    """(N, C, H, W) → (N, C, size, size), for a model: averaged when shrinking, bilinear when growing."""
    if image.shape[-2:] == (size, size):
        return image
    if min(image.shape[-2:]) > size:
        return F.interpolate(image, size=(size, size), mode="area")
    return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
