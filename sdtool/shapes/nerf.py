"""A radiance field over a hash grid (Instant-NGP), and the light behind it: what NeRF lifting optimises."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from sdtool.geometry.harmonics import spherical_harmonics
from sdtool.shapes.density import SHARPNESS
from sdtool.shapes.field import Field
from sdtool.shapes.hashgrid import HashGrid, backend_for
from sdtool.shapes.mlp import MLP

BLOB_CENTRE, BLOB_FLOOR, BLOB_WIDTH = 4.0, -8.0, 0.2
"""The first raw density falls from 4 to −8 as exp(−r² / 2·0.2²); it is 0 at r = 0.18 units."""

HARMONICS = [0, 3, 1, 2, 4, 5, 7, 8, 6]
"""The order in which the background's perceptron takes the spherical harmonics: 1; x, y, z; xy, yz, xz,
x² − y², 3z² − 1. Saved weights hang on it."""


class RadianceField(nn.Module):
    """Density and albedo at points (P, 3) in [−half_extent, half_extent]³, in world units.

    density(x) = 8 · softplus(field(x)₀ + blob(x)) ≥ 0, in absorption per world unit (DreamFusion,
    appendix A.2): at raw 10 a layer of 0.03 units stops 91% of a ray. albedo(x) = sigmoid(field(x)₁₋₃),
    sRGB-encoded. A new field is a soft grey blob with a haze of 0.003 per unit round it.

    The blob is constant, so that the parameters of the field are the whole state.
    """

    def __init__(
        self,
        grid: HashGrid,
        half_extent: float,
        hidden: int = 64,
        layers: int = 1,
        *,
        generator: torch.Generator,
    ):
        super().__init__()
        self.half_extent = half_extent
        self.field = Field(grid, 4, half_extent, hidden, layers, generator=generator)

    def forward(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Density (P,) and albedo (P, 3) in (0, 1)."""
        values = self.field(points)
        return _density(values[:, 0] + blob(points)), torch.sigmoid(values[:, 1:])

    def raw(self, points: torch.Tensor) -> torch.Tensor:
        """(P,) the density before the softplus: smoother, hence better to extract a surface from."""
        return self.field(points)[:, 0] + blob(points)

    def density(self, points: torch.Tensor) -> torch.Tensor:
        """(P,) absorption per world unit."""
        return _density(self.raw(points))

    def with_normal(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Density (P,), albedo (P, 3) and the outward normal (P, 3) = −∇density / |∇density|.

        The softplus rises everywhere, so the direction is that of −∇raw. Where torch records
        gradients, the normal has one itself: a loss on normals trains the field.
        """
        values, slope = self.field.with_gradient(points)
        first = blob(points)
        slope = slope - ((first - BLOB_FLOOR) / BLOB_WIDTH**2)[:, None] * points
        normal = -F.normalize(slope, dim=-1, eps=1e-8)
        return _density(values[:, 0] + first), torch.sigmoid(values[:, 1:]), normal


def hash_radiance(
    half_extent: float,
    *,
    log2_table: int = 14,
    finest: int = 4096,
    levels: int = 16,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> RadianceField:
    """A new `RadianceField` over ±half_extent on `device`: a hash grid and a layer of 32 units.

    finest: corners a side of the finest of the grid's levels, of which there are two or more; the coarsest
    has 16.
    """
    generator = torch.Generator().manual_seed(seed)
    backend, scale = backend_for(torch.device(device)), (finest / 16) ** (1 / (levels - 1))
    grid = HashGrid(levels, 2, log2_table, 16, scale, backend=backend, generator=generator)
    return RadianceField(grid, half_extent, hidden=32, generator=generator).to(device)


def blob(points: torch.Tensor) -> torch.Tensor:
    """(P,) the raw density of a new field at points (P, 3). Its gradient is −x (blob − floor) / width²."""
    bell = torch.exp(points.square().sum(-1) / (-2 * BLOB_WIDTH**2))
    return BLOB_FLOOR + (BLOB_CENTRE - BLOB_FLOOR) * bell


def raw_level(density: float) -> float:
    """The raw value at which the density is `density` > 0: the inverse of 8 · softplus."""
    return math.log(math.expm1(density / SHARPNESS))


def _density(raw: torch.Tensor) -> torch.Tensor:
    return SHARPNESS * F.softplus(raw)


class Background(nn.Module):
    """The environment map: what a ray sees that meets nothing, by its direction alone.

    Unit directions (..., 3) → sRGB-encoded colour (..., 3) in (0, 1), through spherical harmonics
    up to degree 2 and a perceptron of one hidden layer; of low degree, so that it cannot draw the
    object itself.
    """

    def __init__(self, hidden: int = 32, *, generator: torch.Generator):
        super().__init__()
        self.mlp = MLP(len(HARMONICS), 3, hidden, layers=1, generator=generator)

    def forward(self, directions: torch.Tensor) -> torch.Tensor:
        # by columns: a list as an index is copied to an accelerator, which waits for that
        columns = spherical_harmonics(directions).unbind(-1)
        return torch.sigmoid(self.mlp(torch.stack([columns[k] for k in HARMONICS], dim=-1)))
