"""What the priors are told: the prompt, maybe with the side that is seen, and what is not wanted."""

from collections.abc import Callable

import numpy as np
import torch

from sdtool.geometry.cameras import azimuth_elevation

SIDES = ("front view", "side view", "back view", "overhead view")
FRONT, SIDE, BACK, ABOVE = range(len(SIDES))
WITHIN, OVERHEAD = np.radians(45), np.radians(60)


class Prompts:
    """Text embeddings of one prompt for a prior.

    by_view: add to the prompt from where it is seen (DreamFusion, section 3.2). negative: what the
    unconditional side of the guidance is told. in_words: (prompt, what must stay at its end) → what the
    prior is told, and the words that do not fit into its encoder; `prior.fitted` by default.

    cut, cut_negative: the words of the prompt and of the negative one that the prior is not told.
    """

    def __init__(
        self,
        prior,
        prompt: str,
        by_view: bool,
        negative: str = "",
        in_words: Callable[[str, str], tuple[str, str]] | None = None,
    ):
        endings = [f", {side}" for side in SIDES] if by_view else [""]
        told = [(in_words or prior.fitted)(prompt, ending) for ending in endings]
        self.negative = negative
        self.cut_negative = prior.fitted(negative, "")[1]
        self.cut = max((cut for _, cut in told), key=len)
        with torch.no_grad():
            self.empty = prior.encode_text([negative])
            self.text = prior.encode_text([text for text, _ in told])

    def at(self, c2w: torch.Tensor) -> torch.Tensor:
        """(N, L, C) embeddings for cameras (N, 4, 4); (1, L, C) if the view does not matter."""
        if len(self.text) == 1:
            return self.text
        return self.text[side_of(c2w).to(self.text.device, non_blocking=True)]


def side_of(c2w: torch.Tensor) -> torch.Tensor:
    """(N,) int64 index into `SIDES` of what cameras (N, 4, 4) see, on the CPU: the front is within 45° of
    +Z, the back within 45° of −Z; overhead is from 60° up."""
    azimuth, elevation = azimuth_elevation(c2w.numpy())
    turn = np.abs(azimuth)
    side = np.where(turn < WITHIN, FRONT, np.where(turn > np.pi - WITHIN, BACK, SIDE))
    return torch.from_numpy(np.where(elevation > OVERHEAD, ABOVE, side))
