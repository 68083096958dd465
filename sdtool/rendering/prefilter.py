"""Split-sum image-based lighting, worked out ahead (Karis 2013; Ramamoorthi & Hanrahan 2001).

Maps are equirectangular, (3, H, W): row 0 is +Y; the middle column looks along −Z, and columns to
its right toward +X, as a camera that looks down −Z would see them.
"""

from functools import lru_cache
from typing import TypedDict, Unpack

import torch

from sdtool.geometry.harmonics import ORTHONORMAL, spherical_harmonics

ROUGHNESS_LEVELS = 6  # evenly from 0 to 1
GOLDEN = 0.6180339887498949


class Kind(TypedDict, total=False):
    """Of what precision new tensors are, and where; torch's own defaults if not said."""

    dtype: torch.dtype
    device: torch.device


def texel_directions(height: int, width: int, **kind: Unpack[Kind]) -> torch.Tensor:
    """(height, width, 3) unit directions of the texel centres."""
    theta = (torch.arange(height, **kind) + 0.5) * (torch.pi / height)
    phi = (torch.arange(width, **kind) + 0.5) * (2 * torch.pi / width)
    theta, phi = torch.meshgrid(theta, phi, indexing="ij")
    sine = theta.sin()
    return torch.stack([-sine * phi.sin(), theta.cos(), sine * phi.cos()], dim=-1)


def row_areas(height: int, **kind: Unpack[Kind]) -> torch.Tensor:
    """(height,) share of the sphere that each row covers; their sum is 1."""
    edge = torch.cos(torch.arange(height + 1, **kind) * (torch.pi / height))
    return (edge[:-1] - edge[1:]) / 2


def diffuse_coefficients(image: torch.Tensor) -> torch.Tensor:
    """(9, 3) c with Y(n) @ c = E(n)/π, the light that a white matt surface sends out; Y: orthonormal
    spherical harmonics.

    The clamped cosine keeps π, 2π/3 and π/4 of the orders 0, 1 and 2 (Ramamoorthi & Hanrahan,
    equation 8); what higher orders would add is at most a few percent.
    """
    _, height, width = image.shape
    kind: Kind = {"dtype": image.dtype, "device": image.device}
    weight = row_areas(height, **kind)[:, None, None] * (4 * torch.pi / width)
    basis = spherical_harmonics(texel_directions(height, width, **kind), ORTHONORMAL) * weight
    kept = torch.tensor([1.0] + [2 / 3] * 3 + [1 / 4] * 5, **kind)
    return kept[:, None] * torch.einsum("hwk,chw->kc", basis, image)


def specular_levels(image: torch.Tensor) -> torch.Tensor:
    """(levels, 3, H, W): the map as a GGX lobe around each direction sees it, by roughness.

    Karis' first sum with n = v = r: the mean radiance weighted by D(h)·(n·l). A kernel between two
    rows depends on the difference of their columns only: rows are convolved by Fourier transform.
    """
    _, height, width = image.shape
    kind: Kind = {"dtype": image.dtype, "device": image.device}
    theta = (torch.arange(height, **kind) + 0.5) * (torch.pi / height)
    phi = torch.arange(width // 2 + 1, **kind) * (2 * torch.pi / width)
    cosine = theta.cos()[:, None, None] * theta.cos()[None, :, None]
    cosine = cosine + theta.sin()[:, None, None] * theta.sin()[None, :, None] * phi.cos()
    column = torch.arange(width, device=image.device)
    unfolded = torch.minimum(column, width - column)
    spectrum = torch.view_as_real(torch.fft.rfft(image, dim=-1)).permute(2, 1, 0, 3)
    spectrum = spectrum.reshape(-1, height, 6)  # (frequency, row, colour and part)
    levels = [image]
    for level in range(1, ROUGHNESS_LEVELS):
        roughness = level / (ROUGHNESS_LEVELS - 1)
        weight = ggx(cosine, roughness**4) * cosine.clamp(min=0)
        weight = weight * row_areas(height, **kind)[None, :, None]  # (to row, from row, shift)
        kernel = torch.fft.rfft(weight[..., unfolded], dim=-1).real  # the kernel is even
        total = kernel[:, :, 0].sum(1)
        blurred = torch.bmm(kernel.permute(2, 0, 1), spectrum).reshape(-1, height, 3, 2)
        blurred = torch.view_as_complex(blurred.permute(2, 1, 0, 3).contiguous())
        image = torch.fft.irfft(blurred, n=width, dim=-1) / total[:, None]
        levels.append(image.clamp(min=0))  # rounding beside a bright light
    return torch.stack(levels)


def ggx(cosine: torch.Tensor, alpha2: float) -> torch.Tensor:
    """GGX's D, up to a factor, for light at `cosine` from a mirror direction that is the normal."""
    return (0.5 * (1 - cosine) * (1 - alpha2) + alpha2) ** -2


@lru_cache(maxsize=4)
def split_sum_table(size: int = 32, samples: int = 1597) -> torch.Tensor:
    """(2, size, size) float32 (A, B) by roughness (rows) and √(n·v) (columns), each from 0 to 1.

    Karis' second sum: a GGX lobe under light from everywhere reflects F0·A + B. Smith's
    height-correlated shadowing as in glTF 2.0, Schlick's Fresnel. The lobe's normals form a
    Fibonacci lattice; `samples` is a Fibonacci number. Kept in memory: do not write to it.
    """
    line = torch.linspace(0, 1, size, dtype=torch.float64) ** 2
    alpha, n_v = line.clamp(min=1e-6)[:, None, None], line.clamp(min=1e-4)[None, :, None]
    share = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
    phi = torch.pi * ((share * samples * GOLDEN) % 1)
    place, weight = share**2 * (3 - 2 * share), 6 * share * (1 - share) / samples  # dense at ends
    n_h = ((1 - place) / (1 + (alpha**2 - 1) * place)).sqrt()
    v_h = (1 - n_v**2).sqrt() * (1 - n_h**2).clamp(min=0).sqrt() * phi.cos() + n_v * n_h
    n_l = 2 * v_h * n_h - n_v
    lit = (n_l > 0) & (v_h > 0)
    n_l, v_h = n_l.clamp(min=1e-9), v_h.clamp(1e-9, 1)
    shadow_of_light = n_v * (n_l**2 * (1 - alpha**2) + alpha**2).sqrt()
    shadow_of_eye = n_l * (n_v**2 * (1 - alpha**2) + alpha**2).sqrt()
    visible = 0.5 / (shadow_of_light + shadow_of_eye)
    value = torch.where(lit, 4 * visible * n_l * v_h / n_h, 0.0) * weight
    fresnel = (1 - v_h) ** 5
    return torch.stack([((1 - fresnel) * value).sum(-1), (fresnel * value).sum(-1)]).float()
