"""How the id of a face travels in a float32 image: as id + 1, 0 where nothing is.

float32 counts exactly up to 2^24. Beyond, the bits of the number take over, as nvdiffrast does it: a
float32 whose bits are the integer 0x4A800000 + id + 1, which goes on where the exact numbers end. All
images of one mesh hold ids in this form, whoever made them; `count` is the number of its faces.
"""

from typing import TYPE_CHECKING

import numpy as np

from sdtool.geometry.jit import njit

if TYPE_CHECKING:
    import torch

EXACT = 1 << 24
OFFSET = 0x4A800000


@njit(nogil=True)
def stored(number):
    """An integer id + 1 ≥ 0 → the float32 that stands for it."""
    if number <= EXACT:
        return np.float32(number)
    return np.int32(number + OFFSET).view(np.float32)


@njit(nogil=True)
def restored(value):
    """The inverse of `stored`."""
    if value <= EXACT:
        return np.int64(value)
    return np.int64(np.float32(value).view(np.int32)) - OFFSET


def from_array(values: np.ndarray, count: int) -> np.ndarray:
    """Stored ids (...) float32 → int64 id + 1."""
    if count <= EXACT:
        return values.astype(np.int64)
    plain, bits = np.minimum(values, EXACT).astype(np.int64), values.view(np.int32)
    return np.where(values > EXACT, bits.astype(np.int64) - OFFSET, plain)


def from_tensor(values: "torch.Tensor", count: int) -> "torch.Tensor":
    """Stored ids (...) of any float type → int64 id + 1."""
    if count <= EXACT:
        return values.long()
    import torch

    values = values.float()
    plain, bits = values.clamp(max=EXACT).long(), values.view(torch.int32)
    return torch.where(values > EXACT, bits.long() - OFFSET, plain)
