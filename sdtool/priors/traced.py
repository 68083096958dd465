"""A frozen UNet as TorchScript: the same operators without the Python between them.

A small UNet's calls spend a quarter to a half of their time in Python (docs/performance.md). Each size of
batch is recorded once it has been called often enough to be worth the second that this takes. Record and UNet
give the same bits, so it does not matter to a result when that was.
"""

import warnings
import weakref
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from sdtool.priors.added import flat, nested

_records: weakref.WeakKeyDictionary[nn.Module, dict[tuple, Any]] = weakref.WeakKeyDictionary()
"""What was recorded of each UNet. Kept as long as it is: torch gives no memory of a record back, so a
hundred prompts in one process must share theirs."""


RECORD_AT = 25
"""The call of a size of batch at which it is recorded: that takes the time of as many."""


class Answer(NamedTuple):
    """What a UNet of diffusers returns, as far as `Prior` looks at it."""

    sample: torch.Tensor


class TracedUNet(nn.Module):
    """A frozen UNet on a CPU, recorded for every size of batch that it is called with often.

    Looks like the UNet itself to `Prior`. While gradients are recorded it is called as it is.
    """

    def __init__(self, unet: nn.Module):
        super().__init__()
        self.unet = unet
        self.found = _records.setdefault(unet, {})
        self.calls: Counter[tuple] = Counter()

    @property
    def config(self) -> Any:
        return self.unet.config

    @property
    def dtype(self) -> torch.dtype:
        return cast(torch.dtype, self.unet.dtype)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, **conditions: Any) -> Any:
        if torch.is_grad_enabled():
            return self.unet(sample, timestep, **conditions)
        given = {"sample": sample, "timestep": timestep, **flat(conditions)}
        key = tuple((name, one.shape, one.stride()) for name, one in given.items())
        if key not in self.found:
            self.calls[key] += 1
            if self.calls[key] < RECORD_AT:
                return Answer(self.unet(sample, timestep, **conditions).sample)
            self.found[key] = _recorded(self.unet, given)
        return Answer(self.found[key](*given.values()))


class _Called(nn.Module):
    """A UNet whose arguments are in a fixed order, as recording wants it."""

    def __init__(self, unet: nn.Module, names: list[str]):
        super().__init__()
        self.unet, self.names = unet, names

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        named = dict(zip(self.names, given, strict=True))
        sample, timestep = named.pop("sample"), named.pop("timestep")
        return self.unet(sample, timestep, **nested(named), return_dict=False)[0]


def _recorded(unet: nn.Module, given: Mapping[str, torch.Tensor]) -> Any:
    called = _Called(unet, list(given)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that are constants now: each has its own record
        traced = torch.jit.trace(called, tuple(given.values()), check_trace=False)
        return torch.jit.freeze(traced)


@contextmanager
def traced(*priors: Any):
    """While it lasts, these priors' UNets are recorded ones."""
    whole = [prior.unet for prior in priors]
    try:
        for prior in priors:
            prior.unet = TracedUNet(prior.unet)
        yield
    finally:
        for prior, unet in zip(priors, whole, strict=True):
            prior.unet = unet
