"""Physically based shading: glTF 2.0's metallic-roughness material under an environment's light.

Everything is torch, differentiable, and runs where its tensors are.
"""

import torch
import torch.nn.functional as F

from sdtool.rendering.environment import Environment

DIELECTRIC = 0.04  # F0 of what is not metal
SHOULDER = 0.8  # 0.91 sRGB-encoded


def shade_pbr(
    base_color: torch.Tensor,
    roughness: torch.Tensor,
    metallic: torch.Tensor,
    normal: torch.Tensor,
    view: torch.Tensor,
    environment: Environment,
) -> torch.Tensor:
    """Linear radiance (P, 3) ≥ 0 that P surface points send to the eye; `tone` makes it a colour.

    base_color: (P, 3) sRGB-encoded, in [0, 1]. roughness, metallic: (P, 1) in [0, 1]. normal: (P, 3)
    unit. view: (P, 3) unit, toward the eye.

    The split sum (Karis 2013), with the light that bounces between microfacets (Fdez-Agüera 2019):
    a white surface of any roughness under light of 1 from everywhere sends out 1. As in glTF's
    appendix B a metal and a dielectric are shaded, then mixed by `metallic`.
    """
    color = srgb_to_linear(base_color)
    cosine = (normal * view).sum(-1, keepdim=True)
    a, b = environment.lobe(cosine.clamp(1e-4, 1), roughness)
    reflected = environment.radiance(2 * cosine * normal - view, roughness)
    matt = environment.irradiance(normal)
    direct, bounced = _reflectance(color, a, b)
    metal = direct * reflected + bounced * matt
    direct, bounced = _reflectance(torch.full_like(a, DIELECTRIC), a, b)
    under = color * (1 - direct - bounced)  # what enters a dielectric takes its colour
    dielectric = direct * reflected + (bounced + under) * matt
    return dielectric + metallic * (metal - dielectric)


def _reflectance(
    f0: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares of light that one bounce and that more bounces between microfacets reflect."""
    direct = f0 * a + b
    missed = 1 - a - b
    mean = f0 + (1 - f0) / 21  # of Schlick's Fresnel over a hemisphere
    return direct, direct * mean / (1 - missed * mean) * missed


def tone(radiance: torch.Tensor) -> torch.Tensor:
    """Linear radiance ≥ 0 → sRGB-encoded colour in [0, 1].

    Radiance up to `SHOULDER` keeps its colour. What is brighter bends toward 1 where a clip would
    end its shading and its gradient: half of a white object is brighter than 1 under any light that
    shows mid-grey as mid-grey.
    """
    room = 1 - SHOULDER
    bent = 1 - room * torch.exp((SHOULDER - radiance.clamp(min=SHOULDER)) / room)
    return linear_to_srgb(torch.where(radiance > SHOULDER, bent, radiance.clamp(min=0)))


def perturbed_normal(normal: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
    """Unit normals (P, 3) tilted by the part of `detail` (P, 3) that is tangent to the surface.

    A frame of tangents made from a normal alone jumps somewhere on every closed surface, and so
    would the relief; a vector in world axes does not. Hence there is no frame here: who bakes a
    normal map turns the result into the frame of its own texture coordinates.
    """
    along = (detail * normal).sum(-1, keepdim=True)
    return F.normalize(normal + detail - along * normal, dim=-1)


def srgb_to_linear(color: torch.Tensor) -> torch.Tensor:
    """sRGB-encoded [0, 1] → linear [0, 1] (IEC 61966-2-1), as `sdtool.geometry.meshes` does for arrays."""
    curve = ((color.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(color <= 0.04045, color / 12.92, curve)


def linear_to_srgb(color: torch.Tensor) -> torch.Tensor:
    """Linear [0, 1] → sRGB-encoded [0, 1] (IEC 61966-2-1), as `sdtool.geometry.meshes` does for arrays."""
    curve = 1.055 * color.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(color <= 0.0031308, color * 12.92, curve)
