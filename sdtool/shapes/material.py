"""What a surface is made of, point by point: a field's values as a metallic-roughness material."""

from collections.abc import Callable
from typing import NamedTuple, TypedDict

import torch
from torch import nn

from sdtool.shapes.field import Field
from sdtool.shapes.hashgrid import HashGrid, backend_for

CHANNELS = 8
COLOR, ROUGHNESS = (0.03, 0.97), (0.08, 0.9)  # Fantasia3D's ranges
FIRST_ROUGHNESS, FIRST_METALLIC = 0.7, 0.02


class MaterialValues(NamedTuple):
    """A material at P points.

    base_color: (P, 3) sRGB-encoded in [0.03, 0.97]. roughness: (P, 1) in [0.08, 0.9].
    metallic: (P, 1) in [0, 1]. detail: (P, 3) in world axes; its tangent part tilts the normal.
    """

    base_color: torch.Tensor
    roughness: torch.Tensor
    metallic: torch.Tensor
    detail: torch.Tensor


class Material(nn.Module):
    """`MaterialValues` at positions (P, 3), from a field of positions (P, 3) → (P, 8), unbounded.

    Where the field is 0 the surface is mid-grey, rough (0.7), not metal and smooth. metallic: the
    most that a point may have, in [0, 1]; 0 forbids metal. detail: the most that each coordinate of
    the relief may have; 0.5 tilts a normal by up to 41°, 0 switches it off. The field is the state.
    """

    def __init__(
        self,
        field: Callable[[torch.Tensor], torch.Tensor],
        metallic: float = 1.0,
        detail: float = 0.5,
    ):
        super().__init__()
        self.field, self.metallic, self.detail = field, metallic, detail

    def forward(self, points: torch.Tensor) -> MaterialValues:
        color, rough, metal, detail = self.field(points).split([3, 1, 1, 3], dim=-1)
        first = (FIRST_ROUGHNESS - ROUGHNESS[0]) / (ROUGHNESS[1] - ROUGHNESS[0])
        return MaterialValues(
            _between(COLOR, color, 0.5),
            _between(ROUGHNESS, rough, first),
            _between((0.0, self.metallic), metal, FIRST_METALLIC),
            self.detail * torch.tanh(detail),
        )


class MaterialOptions(TypedDict):
    """Options of `hash_material` that a lift keeps, to make the same again."""

    log2_table: int
    metallic: float
    detail: float


def hash_material(
    half_extent: float,
    *,
    log2_table: int = 14,
    metallic: float = 1.0,
    detail: float = 0.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Material:
    """A `Material` over a hash grid of 16 levels and a perceptron of 2×32, on `device`, over ±half_extent."""
    generator = torch.Generator().manual_seed(seed)
    backend = backend_for(torch.device(device))
    grid = HashGrid(log2_table=log2_table, backend=backend, generator=generator)
    field = Field(grid, CHANNELS, half_extent, hidden=32, generator=generator)
    return Material(field, metallic, detail).to(device)


def _between(bounds: tuple[float, float], value: torch.Tensor, first: float) -> torch.Tensor:
    """Unbounded values → `bounds`; 0 becomes the share `first` of the way."""
    low, high = bounds
    shift = torch.logit(torch.tensor(first, dtype=torch.float64)).item()
    return low + (high - low) * torch.sigmoid(value + shift)
