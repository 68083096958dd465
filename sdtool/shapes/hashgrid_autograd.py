"""The hash grid's derivatives, for every backend that brings three operations of its own.

E(points, rows) is linear in the rows, and trilinear within a cell: so the operations of its first
derivatives, taken along a direction, are also those of its second ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from sdtool.shapes.hashgrid_layout import Level

Levels = tuple[Level, ...]


class Operations(NamedTuple):
    """What a backend computes; `along` is None or a direction (P, 3) at each point.

    gather(points, along, rows, levels): (P, levels · F) values; their derivatives along `along` if given.
    scatter(points, along, grad, shape, levels): the gradient, like rows, of Σ grad · gather in the rows.
    slope(points, along, rows, grad, levels): the gradient (P, 3) of Σ grad · gather in the points.
    """

    gather: Callable[..., torch.Tensor]
    scatter: Callable[..., torch.Tensor]
    slope: Callable[..., torch.Tensor]


def encode(
    points: torch.Tensor, rows: torch.Tensor, levels: Levels, operations: Operations
) -> torch.Tensor:
    """Trilinear values (P, levels · F) of a table `rows` (entries, F) at points (P, 3) in [0, 1].

    Differentiable twice in points and table, so that a loss on normals trains the table; a third
    derivative raises RuntimeError.
    """
    return _Encode.apply(points, rows, levels, operations)


def gradient(
    points: torch.Tensor,
    rows: torch.Tensor,
    pull: torch.Tensor,
    levels: Levels,
    operations: Operations,
) -> torch.Tensor:
    """The gradient (P, 3) of Σ pull · encode(points, rows) in the points; pull: (P, levels · F).

    Differentiable once in all three.
    """
    return _EncodeGradient.apply(points, rows, pull, levels, operations, (True, False))[0]


class _Encode(torch.autograd.Function):
    """E(points, rows)."""

    @staticmethod
    def forward(ctx, points, rows, levels, operations):
        ctx.save_for_backward(points, rows)
        ctx.levels, ctx.operations = levels, operations
        return operations.gather(points, None, rows, levels)

    @staticmethod
    def backward(ctx, grad):
        points, rows = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        given = points, rows, grad, ctx.levels, ctx.operations, wanted
        return *_EncodeGradient.apply(*given), None, None


class _EncodeGradient(torch.autograd.Function):
    """The gradients of Σ grad · E(points, rows) in the points and in the rows."""

    @staticmethod
    def forward(ctx, points, rows, grad, levels, operations, wanted):
        ctx.save_for_backward(points, rows, grad)
        ctx.levels, ctx.operations = levels, operations
        ctx.set_materialize_grads(False)
        _, scatter, slope = operations
        of_points = slope(points, None, rows, grad, levels) if wanted[0] else None
        of_rows = scatter(points, None, grad, rows.shape, levels) if wanted[1] else None
        return of_points, of_rows

    @staticmethod
    @once_differentiable
    def backward(ctx, along, change):
        """along (P, 3): a direction at each point. change: one in the table, like `rows`.

        E is linear in the rows, so a change of the table acts through E itself; the derivative
        along a direction is again linear in the rows.
        """
        points, rows, grad = ctx.saved_tensors
        levels, wanted = ctx.levels, ctx.needs_input_grad
        gather, scatter, slope = ctx.operations
        of_points, of_rows, of_grad = [], [], []
        if along is not None:
            if wanted[0]:
                of_points.append(slope(points, along, rows, grad, levels))
            if wanted[1]:
                of_rows.append(scatter(points, along, grad, rows.shape, levels))
            if wanted[2]:
                of_grad.append(gather(points, along, rows, levels))
        if change is not None:
            if wanted[0]:
                of_points.append(slope(points, None, change, grad, levels))
            if wanted[2]:
                of_grad.append(gather(points, None, change, levels))
        totals = (sum(parts) if parts else None for parts in (of_points, of_rows, of_grad))
        return *totals, None, None, None
