"""A device that is not the CPU, for tests without one: it computes on the CPU and refuses mixtures.

Tensors say that they lie on "meta" and hold their values on the CPU. As with a real accelerator, an
operation on tensors of both devices fails, and so does numpy. `WAITS` notes what would make a program wait
for the device.
"""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
INDEXED = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
)
SIZED = (
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.repeat_interleave.Tensor,
    torch.ops.aten.bincount.default,
)
WAITS: Counter[str] = Counter()
"""How often since it was cleared: "fetched", values were copied from the device to the CPU; "sent", a copy to
the device was waited for; "sized", a result's size hung on values."""


class Elsewhere(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
            requires_grad=False,
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"Elsewhere({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


def run(function, args, kwargs):
    """What the dispatcher does: refuse a mixture, compute, and say where the result lies."""
    checked = args[:1] + args[2:] if function in INDEXED else args  # indices may lie on the CPU
    tensors = [x for x in tree_flatten((checked, kwargs))[0] if isinstance(x, torch.Tensor)]
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    here = [x for x in tensors if not isinstance(x, Elsewhere) and x.dim() > 0]
    if here and there and function not in MOVES:
        shapes = [tuple(x.shape) for x in here]
        raise RuntimeError(f"{function} on two devices; on the CPU are {shapes}")
    device = kwargs.get("device")
    _note(function, args, kwargs, there)
    away = bool(there) if device is None else torch.device(device) == DEVICE
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = function(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if function._schema.is_mutable and args and out is _inner(args[0]):
        return args[0]
    return tree_map(lambda x: Elsewhere(x) if away and isinstance(x, torch.Tensor) else x, out)


def _note(function, args, kwargs, there):
    """Count in `WAITS`."""
    if function is torch.ops.aten._local_scalar_dense.default:
        WAITS["fetched"] += isinstance(args[0], Elsewhere)
    elif function is torch.ops.aten._to_copy.default:
        to = kwargs.get("device")
        from_there = isinstance(args[0], Elsewhere)
        WAITS["fetched"] += from_there and to is not None and torch.device(to) != DEVICE
        sent = not from_there and to is not None and torch.device(to) == DEVICE
        WAITS["sent"] += sent and not kwargs.get("non_blocking")
    elif function is torch.ops.aten.copy_.default:
        to, source = (isinstance(one, Elsewhere) for one in args[:2])
        WAITS["fetched"] += source and not to
        WAITS["sent"] += to and not source and args[1].dim() > 0
    elif there and function in SIZED:
        WAITS["sized"] += 1
    elif there and function in INDEXED:
        masks = [x for x in args[1] if x is not None and x.dtype == torch.bool]
        WAITS["sized"] += len(masks)
        WAITS["sent"] += any(x is not None and not isinstance(x, Elsewhere) for x in args[1])


def _inner(x):
    return x.inner if isinstance(x, Elsewhere) else x


class Elsewheres(TorchDispatchMode):
    """While it lasts, `DEVICE` exists."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})
