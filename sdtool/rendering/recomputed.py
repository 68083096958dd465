"""Values whose graph is not kept: it is built again in the backward pass (gradient checkpointing).

Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
"""

from collections.abc import Callable, Sequence

import torch

Run = Callable[[], tuple[torch.Tensor, ...]]


def recomputed(run: Run, parameters: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """run(), called again when gradients are asked for; so it must give the same both times.

    parameters: the leaves that get gradients. run may ask torch for gradients itself.
    """
    return _Recomputed.apply(run, *parameters)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, run, *parameters):
        ctx.run, ctx.parameters = run, parameters
        ctx.set_materialize_grads(False)
        return run()

    @staticmethod
    def backward(ctx, *pulls):
        with torch.enable_grad():
            values = ctx.run()
        pairs = [
            (value, pull)
            for value, pull in zip(values, pulls, strict=True)
            if pull is not None and value.requires_grad
        ]
        wanted = [
            p for p, needed in zip(ctx.parameters, ctx.needs_input_grad[1:], strict=True) if needed
        ]
        if not pairs or not wanted:
            return (None,) * (1 + len(ctx.parameters))
        heads, grads = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(heads, wanted, grads, allow_unused=True))
        return None, *(next(found) if needed else None for needed in ctx.needs_input_grad[1:])
