"""Perp-Neg (Armandpour et al. 2023): words for views between front, side and back, and against the others.

The prompt of a camera between two sides is a mixture of their embeddings. Front and side are negative
prompts, of which only the part counts that is perpendicular to what the prompt asks for, so that a view is
held off a wrong side without being held off the object. How strongly, as a function of the azimuth, is as in
the authors' code.
"""

import math
from typing import NamedTuple

import torch

from sdtool.geometry.cameras import azimuth_elevation
from sdtool.lifting.prompts import ABOVE, OVERHEAD, SIDE, SIDES, Prompts

Decay = tuple[float, float, float]
AHEAD: Decay = (4.0, 0.5, -2.426)
"""a, b, c of a · exp(−b · r) + c: between front and side, the weight against either where the view has the
share r of it; 0 at r = 1."""
BEHIND_FROM_FRONT: Decay = (1.0, 0.5, 0.967)
"""Against the front between side and back, where the view has the share r of the side."""
BEHIND_FROM_SIDE: Decay = (1.0, 0.5, -0.606)


class Words(NamedTuple):
    """For N cameras, on the CPU: the share (N, 4) float32 of each of `SIDES` in the prompt, and weights
    (N, 2) float32 ≥ 0 against front and side."""

    share: torch.Tensor
    against: torch.Tensor


def words_for(c2w: torch.Tensor) -> Words:
    """For cameras (N, 4, 4) on the CPU. From overhead, nothing is mixed and nothing is against."""
    azimuth, elevation = (torch.from_numpy(a).double() for a in azimuth_elevation(c2w.numpy()))
    quarter = azimuth.abs() / (math.pi / 2)  # 0 in front, 1 at the side, 2 behind
    front, back = (1 - quarter).clamp(min=0), (quarter - 1).clamp(min=0)
    side = 1 - front - back
    share = torch.stack([front, side, back, torch.zeros_like(side)], dim=1)
    ahead = torch.stack([_decayed(AHEAD, front), _decayed(AHEAD, side)], dim=1)
    behind = torch.stack(
        [_decayed(BEHIND_FROM_FRONT, side), _decayed(BEHIND_FROM_SIDE, side)], dim=1
    )
    against = torch.where((quarter < 1)[:, None], ahead, behind)
    above = (elevation > float(OVERHEAD))[:, None]
    share = torch.where(above, torch.eye(len(SIDES), dtype=share.dtype)[ABOVE], share)
    return Words(share.float(), torch.where(above, 0.0, against).float())


def _decayed(numbers: Decay, share: torch.Tensor) -> torch.Tensor:
    a, b, c = numbers
    return (a * torch.exp(-b * share) + c).clamp(min=0)


def embeddings(
    prompts: Prompts, c2w: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Of prompts by view: (N, L, C) for cameras (N, 4, 4), and `sdtool.lifting.sds.Against` for them."""
    sides, found = prompts.text, words_for(c2w)
    share, weights = (part.to(sides.device, non_blocking=True) for part in found)
    mixed = torch.einsum("ns,slc->nlc", share, sides)
    return mixed, (sides[: SIDE + 1].expand(len(c2w), -1, -1, -1), weights)
