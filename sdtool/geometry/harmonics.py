"""Spherical harmonics: smooth functions of a direction, for light and for what lies behind an object."""

import math

import torch

ORTHONORMAL = 1 / math.sqrt(4 * math.pi)
"""The root mean square with which the integral of each one's square over the sphere is 1."""


def spherical_harmonics(direction: torch.Tensor, rms: float = 1.0) -> torch.Tensor:
    """The nine real spherical harmonics of degree 0, 1 and 2 at unit directions (..., 3): (..., 9).

    By degree, then by order: 1; y, z, x; xy, yz, 3z² − 1, xz, x² − y². Scaled so that the mean of each
    one's square over the sphere is rms², and of a product of two, 0.
    """
    x, y, z = direction.unbind(-1)
    a, b, c = math.sqrt(3) * rms, math.sqrt(15) * rms, math.sqrt(5) / 2 * rms
    values = [torch.full_like(x, rms)]
    values += [a * y, a * z, a * x]
    values += [b * x * y, b * y * z, c * (3 * z * z - 1), b * x * z, b / 2 * (x * x - y * y)]
    return torch.stack(values, dim=-1)
