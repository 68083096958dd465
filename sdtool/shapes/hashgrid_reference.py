"""The hash grid in plain torch: slow, on any device, and what the fast backends are compared with.

Differentiable in points and table any number of times.
"""

import torch

from sdtool.shapes.hashgrid_layout import PRIMES, Level

CORNERS = torch.tensor([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)])
"""(8, 3) corners of a cell; corner k has x = bit 0, y = bit 1, z = bit 2 of k."""


def entries(corner: torch.Tensor, level: Level) -> torch.Tensor:
    """Numbers (...) of the table's entries of whole corner positions (..., 3) int64."""
    x, y, z = corner.unbind(-1)
    if level.hashed:
        index = x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]
    else:
        index = x + level.resolution * (y + level.resolution * z)
    return level.offset + index % level.size


def encode(points: torch.Tensor, rows: torch.Tensor, levels: tuple[Level, ...]) -> torch.Tensor:
    """Trilinear values (P, levels · F) of a table `rows` (entries, F) at points (P, 3) in [0, 1]."""
    corners = CORNERS.to(points.device, non_blocking=True)
    values = []
    for level in levels:
        position = points * level.scale + 0.5
        cell = position.detach().floor()
        upper = (position - cell)[:, None]  # (P, 1, 3)
        x, y, z = torch.where(corners == 1, upper, 1 - upper).unbind(-1)
        weight = x * y * z  # (P, 8); prod's own derivative divides and is less exact
        index = entries(cell.long()[:, None] + corners, level)  # (P, 8)
        picked = rows.index_select(0, index.reshape(-1)).reshape(*index.shape, rows.shape[1])
        values.append((weight[..., None] * picked).sum(1))
    return torch.cat(values, dim=-1)
