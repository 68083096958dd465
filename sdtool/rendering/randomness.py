"""Random numbers by a hash: each place has its own, on every device and in whatever order it is asked.

The hash is PCG's of 32 bits (Jarzynski and Olano 2020, Hash Functions for GPU Rendering).
"""

import torch

FACTOR, OFFSET, MIXER = 747796405, 2891336453, 277803737
LOW = 0xFFFFFFFF


def hashed(number: torch.Tensor) -> torch.Tensor:
    """int64 numbers in [0, 2^32), of any shape, to others of that range."""
    state = (number * FACTOR + OFFSET) & LOW
    word = (((state >> ((state >> 28) + 4)) ^ state) * MIXER) & LOW
    return (word >> 22) ^ word


def begin(seed: int) -> int:
    """What a seed in [0, 2^32) brings into the numbers of all places."""
    return int(hashed(torch.tensor(seed)))


def uniform(begun: int, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """float32 in [0, 1), in steps of 2^−24, for places (row, column).

    begun: of `begin`. row, column: int64 in [0, 2^32), broadcast against each other.
    """
    word = hashed((hashed((row + begun) & LOW) + column) & LOW)
    return (word >> 8).float() * 2.0**-24


def drawn_seed(generator: torch.Generator) -> int:
    """A seed for `begin`, from a generator."""
    drawn = torch.randint(2**32, (), generator=generator, device=generator.device)
    return int(drawn)
