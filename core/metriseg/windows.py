"""Images cut into windows, for losses that compare pixels within them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.batch import Batch


def random_windows(
    batch: Batch, truth: Tensor, measure: Tensor, side: int
) -> tuple[Batch, Tensor, Tensor]:
    """The windows of a grid, laid at random, as images of their own.

    Args:
        batch: N images.
        truth: ``(N, *S)`` segments.
        measure: ``(N, *S)``.
        side: of a window, in pixels along every axis.

    Returns:
        The batch of N T windows, those of an image in a row; its truth, numbered from 0 a window;
        its measure, 0 beyond the image.
    """
    space = truth.shape[1:]
    shifts = [int(torch.randint(side, ())) if size > side else 0 for size in space]
    margins = [(shift, -(size + shift) % side) for size, shift in zip(space, shifts, strict=True)]

    def cut(values: Tensor) -> Tensor:
        """``(N, C, *S)`` as ``(N T, C, side, …)``."""
        padded = nnf.pad(values, [m for pair in reversed(margins) for m in pair])
        counts = [size // side for size in padded.shape[2:]]
        folded = padded.view(*values.shape[:2], *(n for count in counts for n in (count, side)))
        axes = len(counts)
        order = [0, *(2 + 2 * a for a in range(axes)), 1, *(3 + 2 * a for a in range(axes))]
        return folded.permute(order).reshape(
            len(values) * math.prod(counts), values.shape[1], *[side] * axes
        )

    measures = cut(measure.unsqueeze(1)).squeeze(1)
    segments = _renumbered(cut(truth.unsqueeze(1)).squeeze(1))
    logits = cut(batch.masked_logits)
    features = None if batch.features is None else cut(batch.embedding)
    windows = Batch(
        logits,
        torch.zeros_like(segments),
        measures,
        {},
        features,
        batch.activation,
    )
    return windows, segments, measures


def _renumbered(segments: Tensor) -> Tensor:
    """The same segments, numbered from 0 in each window."""
    if segments.numel() == 0:
        return segments
    owner = torch.arange(len(segments), device=segments.device) * (segments.max() + 1)
    names = segments + owner.view(-1, *[1] * (segments.ndim - 1))
    _, place = torch.unique(names, return_inverse=True)
    first = place.flatten(1).amin(1)
    renumbered: Tensor = place - first.view(-1, *[1] * (segments.ndim - 1))
    return renumbered
