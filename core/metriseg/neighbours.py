"""What stands next to a pixel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as nnf


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


def axis_neighbours(dimensions: int) -> Iterator[tuple[int, ...]]:
    """The offsets of the two neighbours along every axis: 4 in 2-D, 6 in 3-D."""
    for axis in range(dimensions):
        for step in (-1, 1):
            yield tuple(step if other == axis else 0 for other in range(dimensions))


def window(radius: int, dimensions: int) -> Iterator[tuple[int, ...]]:
    """The offsets of a square window around a pixel, itself left out."""
    for offset in itertools.product(range(-radius, radius + 1), repeat=dimensions):
        if any(offset):
            yield offset


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


def half_neighbours(dimensions: int, reach: int) -> Iterator[tuple[int, ...]]:
    """One of every two opposite steps to a neighbour that differs in up to ``reach`` axes.

    >>> list(half_neighbours(2, 1))
    [(0, 1), (1, 0)]
    """
    for offset in itertools.product((-1, 0, 1), repeat=dimensions):
        moved = [step for step in offset if step]
        if 0 < len(moved) <= reach and moved[0] > 0:
            yield offset
