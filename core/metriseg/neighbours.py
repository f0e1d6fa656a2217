"""What stands next to a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.offsets import axis_neighbours

#: By the number of spatial dimensions.
MAX_POOL = {1: nnf.max_pool1d, 2: nnf.max_pool2d, 3: nnf.max_pool3d}


def shifted(values: Tensor, offset: Sequence[int], fill: float = 0.0) -> Tensor:
    """The value at the neighbour: ``result[u] = values[u + offset]``, ``fill`` beyond the image.

    Args:
        values: ``(N, C, *S)`` of any dtype; with as many spatial axes as ``offset`` has numbers,
            they are the last ones, so ``(N, *S)`` will do too.
        offset: steps along every spatial axis.
        fill: what stands outside.

    >>> import torch
    >>> shifted(torch.tensor([[[1., 2., 3.]]]), (1,), fill=9.0)
    tensor([[[2., 3., 9.]]])
    """
    if values.dtype == torch.bool:
        # inductor's C++ can't pad bools
        return shifted(values.to(torch.uint8), offset, fill) > 0
    margins: list[int] = []
    for step in reversed(offset):
        margins += [max(-step, 0), max(step, 0)]
    padded = nnf.pad(values, margins, value=fill)
    for position, step in enumerate(offset):
        axis = position - len(offset)
        padded = padded.narrow(axis, max(step, 0), values.shape[axis])
    return padded


def largest_along(values: Tensor, axis: int, width: int) -> Tensor:
    """The largest value within ``width`` pixels along one spatial axis, of ``(N, C, *S)``.

    >>> import torch
    >>> largest_along(torch.tensor([[[1., 0., 0., 2.]]]), 0, 1)
    tensor([[[1., 1., 2., 2.]]])
    """
    dimensions = values.ndim - 2
    side, margin = [1] * dimensions, [0] * dimensions
    side[axis], margin[axis] = 2 * width + 1, width
    found: Tensor = MAX_POOL[dimensions](values, side, stride=1, padding=margin)
    return found


def cross_sum(values: Tensor) -> Tensor:
    """The sum over a pixel and its neighbours along the axes, 0 beyond the image.

    Args:
        values: ``(N, C, *S)``.

    >>> import torch
    >>> cross_sum(torch.tensor([[[1., 2., 4.]]]))
    tensor([[[3., 7., 6.]]])
    """
    if torch.compiler.is_compiling():
        return _cross_sum(values)
    total: Tensor = _CrossSum.apply(values)
    return total


class _CrossSum(torch.autograd.Function):
    """Pixels are each other's neighbours: the gradient is such a sum itself."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _cross_sum(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return cross_sum(grads[0])


def _cross_sum(values: Tensor) -> Tensor:
    total = values.clone()
    for axis in range(2, values.ndim):
        rest = values.shape[axis] - 1
        total.narrow(axis, 1, rest).add_(values.narrow(axis, 0, rest))
        total.narrow(axis, 0, rest).add_(values.narrow(axis, 1, rest))
    return total


def inner_boundary(masks: Tensor, *, border: bool = True) -> Tensor:
    """The pixels of each mask that have a neighbour along an axis outside it.

    Args:
        masks: ``(N, C, *S)`` bool.
        border: whether beyond the image is outside.

    >>> import torch
    >>> inner_boundary(torch.tensor([[[True, True, True, False]]]), border=False)
    tensor([[[False, False,  True, False]]])
    """
    interior = masks
    for offset in axis_neighbours(masks.ndim - 2):
        interior = interior & shifted(masks, offset, fill=float(not border))
    return masks & ~interior
