"""A tiny VAE: 128×128 maps ↔ 32×32 latents of four channels, small enough to train in minutes.

A map holds colours (or normals) and coverage (see `sdtool.geometry.ccm`): without coverage, a prior could not
tell the parts of an object that have the colour of the background from absent ones.
`sdtool.priors.fresh` makes it. A penalty keeps its latents near the maps themselves at a quarter of the
size, with details hidden in small deviations: such latents are as easy to learn as small pictures, may
be averaged down, and resemble canonical coordinate maps, which the AGP draws in their place.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, mse_loss

from sdtool.io.files import disk_errors, write_json, write_text
from sdtool.priors.fact_rows import fact_rows
from sdtool.priors.fresh import LATENTS
from sdtool.priors.models import AutoencoderKL, AutoencoderTiny, save_model
from sdtool.priors.prior import vae_encode
from sdtool.training.data import Views

FACTOR = 4  # pixels of a picture along one latent pixel
NOISE, ANCHOR = 0.1, 1.0


class Reconstruction(nn.Module):
    """How far a VAE's maps are from the originals, at full and at half resolution."""

    def __init__(self, vae: AutoencoderTiny):
        super().__init__()
        self.vae = vae

    def forward(self, maps: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """A scalar. maps: (N, 4, H, W) in [−1, 1]. noise: (N, 4, H/4, W/4), standard normal."""
        z = self.vae.encode(maps).latents
        half = avg_pool2d(z, 2) + NOISE * avg_pool2d(noise, 2)
        loss = self._error(z + NOISE * noise, maps) + self._error(half, avg_pool2d(maps, 2))
        return loss + ANCHOR * mse_loss(z.float(), avg_pool2d(maps, FACTOR))

    def _error(self, z: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Squared and absolute error of the maps in z, and absolute error of their edges."""
        error = self.vae.decode(z).sample.float() - maps
        edges = sum(error.diff(dim=dim).abs().mean() for dim in (-1, -2))
        return (error**2).mean() + 0.1 * (error.abs().mean() + edges)


@torch.no_grad()
def psnr(vae: AutoencoderTiny, maps: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of the reconstruction of `maps` (N, 4, H, W) in [−1, 1]."""
    error = vae.decode(vae.encode(maps).latents).sample - maps
    return float(-10 * torch.log10(((error / 2) ** 2).mean()))


def save_vae(vae: AutoencoderTiny, folder: Path, facts: dict) -> list[str]:
    """Write the VAE as a diffusers folder with a card; return the names of what was written."""
    save_model(vae, folder)
    write_json(folder / "sdtool.json", facts)
    rows = fact_rows(facts)
    write_text(folder / "README.md", f"{CARD}\n| training | |\n|---|---|\n{rows}\n")
    names = ["config.json", "diffusion_pytorch_model.safetensors", "sdtool.json", "README.md"]
    return names


CARD = """# A tiny VAE for toy pictures

An AutoencoderTiny of diffusers' kind, trained from nothing by `sdtool train-vae` on renders of colours
and normals: 4×128×128 ↔ 4×32×32. Its pictures have coverage as the fourth channel: they are
(2·colour − 1)·coverage and 2·coverage − 1.
"""


class LatentViews:
    """Latents of all maps of some views, written once to a file that is mapped into memory.

    The same interface as `Views.maps`: rows (B,) → (B, 4, h, w) float32.
    """

    def __init__(
        self, views: Views, vae: AutoencoderKL | AutoencoderTiny, path: Path, batch: int = 64
    ):
        self.views, self.size = views, views.size // FACTOR
        shape = (len(views), LATENTS, self.size, self.size)
        with disk_errors(path):
            self.table = np.lib.format.open_memmap(path, "w+", np.float16, shape)
            if hasattr(os, "posix_fallocate"):  # later, a full disk would end the process
                with open(path, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        for start in range(0, len(views), batch):
            rows = np.arange(start, min(start + batch, len(views)))
            with torch.no_grad():
                latents = vae_encode(vae, views.maps(rows).to(vae.device))
            self.table[rows] = latents.cpu().numpy()

    def maps(self, index: np.ndarray) -> torch.Tensor:
        """Rows (B,) → (B, 4, h, w) float32 latents."""
        return torch.from_numpy(self.table[np.asarray(index)].astype(np.float32))
