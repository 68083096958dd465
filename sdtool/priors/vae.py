"""A tiny VAE: 128×128 pictures ↔ 32×32 latents of four channels, small enough to train in minutes.

`sdtool.priors.fresh` makes it. While it learns, noise on the latents and a penalty on their size make
neighbouring latents mean similar pictures, which diffusion needs; and latents at half resolution must
give the picture at half resolution (Kouzelis et al. 2025, EQ-VAE), so that a base may start on those.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import nn
from torch.nn.functional import avg_pool2d

from sdtool.files import write_json, write_text
from sdtool.priors.data import Views
from sdtool.priors.fresh import LATENTS
from sdtool.priors.prior import vae_encode

FACTOR = 4  # pixels of a picture along one latent pixel
NOISE, PENALTY, CENTRE = 0.1, 1e-3, 0.05
GREY_SHARE = 0.7


def over(maps: torch.Tensor, color: torch.Tensor) -> torch.Tensor:
    """Maps (N, 4, H, W) (see `sdtool.ccm`) → pictures (N, 3, H, W) in [−1, 1] over plain backgrounds.

    color: (N, 3), or (N, 1) for greys, sRGB in [0, 1]. The maps are premultiplied around mid-grey.
    """
    return maps[:, :3] + (2 * color - 1)[:, :, None, None] * (1 - maps[:, 3:]) / 2


def random_colors(uniforms: torch.Tensor) -> torch.Tensor:
    """Background colours (N, 3), most of them grey, from uniform numbers (N, 4) in [0, 1)."""
    is_grey = uniforms[:, 3:] < GREY_SHARE
    return torch.where(is_grey, uniforms[:, :1], uniforms[:, :3])


class Reconstruction(nn.Module):
    """How far a VAE's pictures are from the originals, at full and at half resolution."""

    def __init__(self, vae: AutoencoderTiny):
        super().__init__()
        self.vae = vae

    def forward(self, image: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """A scalar. image: (N, 3, H, W) in [−1, 1]. noise: (N, 4, H/4, W/4), standard normal."""
        z = self.vae.encode(image).latents
        half = avg_pool2d(z, 2) + NOISE * avg_pool2d(noise, 2)
        loss = self._error(z + NOISE * noise, image) + self._error(half, avg_pool2d(image, 2))
        return loss + PENALTY * (z**2).mean() + CENTRE * (z.mean(dim=(0, 2, 3)) ** 2).mean()

    def _error(self, z: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Squared and absolute error of the picture in z, and absolute error of its edges."""
        error = self.vae.decode(z).sample.float() - image
        edges = sum(error.diff(dim=dim).abs().mean() for dim in (-1, -2))
        return (error**2).mean() + 0.1 * (error.abs().mean() + edges)


@torch.no_grad()
def latent_scale(vae: AutoencoderTiny, images: torch.Tensor) -> float:
    """The scaling factor by which latents of `images` (N, 3, H, W) get variance 1."""
    return 1.0 / float(vae.encode(images).latents.std())


@torch.no_grad()
def psnr(vae: AutoencoderTiny, images: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of the reconstruction of `images` (N, 3, H, W) in [−1, 1]."""
    error = vae.decode(vae.encode(images).latents).sample - images
    return float(-10 * torch.log10(((error / 2) ** 2).mean()))


def save_vae(vae: AutoencoderTiny, folder: Path, scale: float, facts: dict) -> list[str]:
    """Write the VAE as a diffusers folder with a card; return the names of what was written."""
    vae.register_to_config(scaling_factor=round(scale, 4))
    vae.save_pretrained(folder, safe_serialization=True)
    write_json(folder / "sdtool.json", facts)
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    write_text(folder / "README.md", f"{CARD}\n| training | |\n|---|---|\n{rows}\n")
    names = ["config.json", "diffusion_pytorch_model.safetensors", "sdtool.json", "README.md"]
    return names


CARD = """# A tiny VAE for toy pictures

An AutoencoderTiny of diffusers' kind, trained from nothing by `sdtool train-vae` on renders of colours
and normals over plain backgrounds: 3×128×128 ↔ 4×32×32.
"""


class LatentViews:
    """Latents of all pictures of some views, written once to a file that is mapped into memory.

    The same interface as `Views.maps`: rows (B,) → (B, 4, h, w) float32, times the scaling factor.
    Each picture has a background of its own grey: over one and the same, a prior could not tell an
    object's grey parts from its absent ones.
    """

    def __init__(self, views: Views, vae: nn.Module, path: Path, batch: int = 64):
        self.views, self.size = views, views.size // FACTOR
        shape = (len(views), LATENTS, self.size, self.size)
        uniforms = np.random.default_rng(0).random((len(views), 1), np.float32)
        self.grey = torch.from_numpy(uniforms)
        self.table = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        for start in range(0, len(views), batch):
            rows = np.arange(start, min(start + batch, len(views)))
            with torch.no_grad():
                pictures = over(views.maps(rows), self.grey[rows])
                self.table[rows] = vae_encode(vae, pictures).numpy()

    def maps(self, index: np.ndarray) -> torch.Tensor:
        """Rows (B,) → (B, 4, h, w) float32 latents."""
        return torch.from_numpy(self.table[np.asarray(index)].astype(np.float32))
