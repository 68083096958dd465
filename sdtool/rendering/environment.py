"""The light around an object: an equirectangular map, from an .hdr file or a neutral studio of our own.

Map convention: row 0 is +Y; the middle column looks along −Z, and columns to its right toward +X:
what a camera sees that stands at the origin and looks down −Z. The object's front (+Z) is lit by
the left and right edges. Radiance is linear.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from sdtool.errors import InputError
from sdtool.geometry.harmonics import ORTHONORMAL, spherical_harmonics
from sdtool.rendering import prefilter
from sdtool.rendering.hdr import read_hdr

SIZE = (128, 256)
EXPOSURE = 0.81
"""Mean radiance over the sphere that maps are scaled to, unless an exposure is given.

So a rough mid-grey object under the neutral light comes out at its base colour on average, seen
from where cameras stand. Less than 1: its surface reflects some light beside what its colour sends
back, and cameras see more of the top, which gets more.
"""


@dataclass(frozen=True, eq=False)
class Environment:
    """Light prefiltered for split-sum shading. Make it with `environment`; lookups are differentiable.

    diffuse: (9, 3) irradiance / π in spherical harmonics. specular: (3, levels, H + 2, W + 2) the
    map at roughness levels evenly from 0 to 1, with a border that closes the sphere. table: (2, n, n),
    see `split_sum_table`. azimuth: radians by which the light is turned, from +Z toward +X.
    """

    diffuse: torch.Tensor
    specular: torch.Tensor
    table: torch.Tensor
    azimuth: float = 0.0

    def to(self, *args, **kwargs) -> "Environment":
        """The same light on another device or of another dtype: `torch.Tensor.to`'s arguments."""
        tensors = (self.diffuse, self.specular, self.table)
        diffuse, specular, table = (tensor.to(*args, **kwargs) for tensor in tensors)
        return replace(self, diffuse=diffuse, specular=specular, table=table)

    def turned(self, azimuth: float) -> "Environment":
        """The light turned further about +Y by radians, from +Z toward +X; costs nothing."""
        return replace(self, azimuth=self.azimuth + azimuth)

    def irradiance(self, normal: torch.Tensor) -> torch.Tensor:
        """(P, 3) irradiance / π at unit normals (P, 3): what a white matt surface sends out."""
        basis = spherical_harmonics(self._turn_back(normal), ORTHONORMAL)
        return (basis @ self.diffuse).clamp(min=0)

    def radiance(self, direction: torch.Tensor, roughness: torch.Tensor) -> torch.Tensor:
        """(P, 3) light from unit directions (P, 3), blurred for roughness (P, 1) in [0, 1]."""
        x, y, z = self._turn_back(direction).unbind(-1)
        flat2 = x * x + z * z
        at_pole = flat2 < 1e-12  # where the azimuth has no gradient
        phi = torch.atan2(torch.where(at_pole, 0.0, x), torch.where(at_pole, 1.0, -z))
        theta = torch.atan2((flat2 + 1e-12).sqrt(), y)
        _, levels, height, width = self.specular.shape
        at = torch.stack(
            [
                phi / torch.pi * ((width - 2) / width),
                (2 * theta / torch.pi - 1) * ((height - 2) / height),
                (2 * roughness[:, 0].clamp(0, 1) - 1) * ((levels - 1) / levels),
            ],
            dim=-1,
        )
        value = F.grid_sample(
            self.specular[None], at[None, None, None], "bilinear", "border", False
        )
        return value.reshape(3, -1).T

    def lobe(self, n_v: torch.Tensor, roughness: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(P, 1) A and B of the split sum at n·v (P, 1) in (0, 1] and roughness (P, 1)."""
        at = torch.cat([2 * n_v.sqrt() - 1, 2 * roughness.clamp(0, 1) - 1], dim=-1)
        value = F.grid_sample(self.table[None], at[None, None], "bilinear", "border", True)
        return tuple(value.reshape(2, -1, 1))

    def _turn_back(self, direction: torch.Tensor) -> torch.Tensor:
        """World directions → directions of the map."""
        if self.azimuth == 0.0:
            return direction
        cosine, sine = math.cos(self.azimuth), math.sin(self.azimuth)
        x, y, z = direction.unbind(-1)
        return torch.stack([cosine * x - sine * z, y, sine * x + cosine * z], dim=-1)


def environment(
    image: torch.Tensor, exposure: float | None = None, size: tuple[int, int] = SIZE
) -> Environment:
    """Prefilter an equirectangular map (H, W, 3) of linear radiance, finite and not negative.

    It is averaged down to `size`, then multiplied by `exposure`; None scales its mean over the
    sphere to `EXPOSURE`.
    """
    image = F.adaptive_avg_pool2d(image.movedim(-1, 0), size)
    if exposure is None:
        mean = (prefilter.row_areas(size[0]).to(image) * image.mean((0, 2))).sum()
        exposure = EXPOSURE / float(mean.clamp(min=1e-12))
    image = image * exposure
    specular = prefilter.specular_levels(image).transpose(0, 1)
    closed = F.pad(specular, (1, 1, 0, 0), mode="circular")
    beyond = closed.roll(size[1] // 2, dims=-1)  # over a pole the map goes on at the other side
    closed = torch.cat([beyond[:, :, :1], closed, beyond[:, :, -1:]], dim=2)
    return Environment(
        prefilter.diffuse_coefficients(image), closed, prefilter.split_sum_table().to(image)
    )


def read_environment(path: str | Path, exposure: float | None = None) -> Environment:
    """The light of an equirectangular Radiance picture, twice as wide as high; see `environment`."""
    image = read_hdr(path)
    height, width, _ = image.shape
    if width != 2 * height:
        raise InputError(
            f"{path} has {width} × {height} pixels; an equirectangular map is twice as wide as high"
        )
    if exposure is None and not image.any():
        raise InputError(f"{path} is black; give a picture with light in it")
    return environment(torch.from_numpy(image), exposure)


# The neutral studio: radiance of the surroundings, and soft boxes of
# (azimuth, elevation, half width, half height) in degrees, and radiance
GROUND, HORIZON, ZENITH = 0.6, 0.9, 0.75
SOFT_BOXES = (
    (38.0, 38.0, 30.0, 22.0, 5.2),  # key: to the front's right, above
    (-55.0, 15.0, 30.0, 30.0, 1.6),  # fill
    (160.0, 34.0, 28.0, 16.0, 3.5),  # two rims, behind
    (-125.0, 24.0, 26.0, 18.0, 2.8),
)
EDGE = 6.0  # degrees over which a box fades out


@lru_cache(maxsize=1)
def neutral_environment() -> Environment:
    """A grey studio with soft light from the front's right above, and enough of it all around."""
    return environment(neutral_map(*SIZE))


def neutral_map(height: int, width: int) -> torch.Tensor:
    """(height, width, 3) float32 radiance of the neutral studio, not scaled."""
    direction = prefilter.texel_directions(height, width)
    x, y, z = direction.unbind(-1)
    above = HORIZON + (ZENITH - HORIZON) * y.clamp(min=0)
    below = HORIZON + (GROUND - HORIZON) * (4 * y).clamp(-1, 0).abs()
    light = torch.where(y > 0, above, below)
    azimuth, elevation = torch.rad2deg(torch.atan2(x, z)), torch.rad2deg(torch.asin(y))
    for box_azimuth, box_elevation, half_width, half_height, radiance in SOFT_BOXES:
        turn = (azimuth - box_azimuth + 180) % 360 - 180
        across = turn.abs() * torch.cos(torch.deg2rad(torch.tensor(box_elevation))) - half_width
        up = (elevation - box_elevation).abs() - half_height
        outside = torch.maximum(across, up) / EDGE
        fade = (0.5 - outside).clamp(0, 1)
        light = light + radiance * fade**2 * (3 - 2 * fade)
    return light[..., None].expand(-1, -1, 3).contiguous()
