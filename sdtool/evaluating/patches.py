"""What the patches of a view show, and how likely each is part of what contradicts the other views."""

import torch
from torch import nn
from torch.nn import functional

PATCHES = 8
"""Patches a side of a view; PATCHES² = 64 of a view."""
WIDE = 64  # numbers that say what one patch shows
COVERED = 0.1  # of a patch, at least, is covered where something may be wrong
HIGHEST = 24  # patches of a model whose mean is looked at


class Patches(nn.Module):
    """inputs: channels of the features of patches."""

    def __init__(self, inputs: int):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(WIDE, PATCHES, PATCHES))
        self.shows = nn.Conv2d(inputs, WIDE, 1)
        self.mix = nn.Conv2d(WIDE, WIDE, 3, padding=1)
        self.part = nn.Conv2d(WIDE, 1, 1)

    def forward(
        self, features: torch.Tensor, covered: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """features: (B, N, C, 8, 8) of the patches of B models from N sides; covered: (B, N, 8, 8), the
        share of each that shows something.

        Returns of each view (B, N, 2·WIDE) what its patches show, on average and at most; of each patch
        (B, N, 8, 8) a logit of whether it shows the flaw; and of each model (B, 4) how high these are.
        """
        count, around = features.shape[:2]
        shown = functional.silu(self.shows(features.flatten(0, 1)) + self.place)
        shown = shown + functional.silu(self.mix(shown))
        part = self.part(shown).view(count, around, PATCHES, PATCHES)
        there = covered > COVERED
        mask = there.view(-1, 1, PATCHES, PATCHES)
        mean = (shown * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1)
        most = shown.masked_fill(~mask, -1e3).amax((2, 3)).clamp(min=-2)
        views = torch.cat([mean, most], dim=1).view(count, around, -1)
        return views, part, _worst(part, there)


def _worst(part: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """(B, 4) of logits of patches (B, N, 8, 8), where something is: the highest, the mean of each view's
    highest, the mean of the HIGHEST, and the logit of the share that shows a flaw; a quarter of each."""
    flat = part.masked_fill(~there, -20.0).flatten(2)
    highest = flat.amax(2)
    share = flat.sigmoid().sum((1, 2)) / there.sum((1, 2, 3)).clamp(min=1)
    each = [
        highest.amax(1),
        highest.mean(1),
        flat.flatten(1).topk(HIGHEST, dim=1).values.mean(1),
        share.clamp(1e-3, 1 - 1e-3).logit(),
    ]
    return torch.stack(each, dim=1) / 4
