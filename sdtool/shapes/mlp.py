"""A small perceptron after an encoding: no biases, ReLU between, as in tiny-cuda-nn's fused ones."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn


class MLP(nn.Module):
    """(P, inputs) → (P, outputs) through `layers` hidden layers of `hidden` units.

    weights: `layers` + 1 matrices (out, in), uniform in ±√(6 / (in + out)) (Glorot). Without
    biases a zero input gives zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int = 64,
        layers: int = 2,
        *,
        generator: torch.Generator,
    ):
        super().__init__()
        sizes = [inputs, *[hidden] * layers, outputs]
        if layers < 1 or min(sizes) < 1:
            raise ValueError(f"an MLP has a hidden layer and no empty one, not sizes {sizes}")
        self.weights = nn.ParameterList()
        for before, after in pairwise(sizes):
            draw = torch.rand(after, before, generator=generator, device=generator.device)
            self.weights.append(nn.Parameter((2 * draw - 1) * (6 / (before + after)) ** 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (P, outputs), without a function on them."""
        *hidden, last = self.weights
        for weight in hidden:
            x = F.relu(F.linear(x, weight))
        return F.linear(x, last)
