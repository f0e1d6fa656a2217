"""Distances that stay metrics, or nearly, between soft masks x and y.

They are made of sums over the pixels of a class in a group, each ``(G, C)``: of x + y, of |x - y|
and of x y. ``smooth`` is the pair (added to the numerator, added to the denominator) of the ratio
that is taken from one. Two empty masks are at distance 0, also when nothing is added.

Wang et al. 2023, "Jaccard metric losses", arXiv:2302.05666.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["absolute_difference", "dice_semimetric", "jaccard_metric", "jaccard_metric_of_product"]

Smooth = tuple[float, float]


def absolute_difference(x: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """``(N, C)``: sum |x - y| of every class in every image.

    No region statistic: it isn't a function of sums of powers.

    Args:
        x: ``(N, C, *S)``.
        target: y as labels ``(N, *S)`` or as masks ``(N, C, *S)``.
        weight: ``(N, *S)`` of the pixels, ``(N, C, *S)`` of every class at them, or None.
    """
    if target.is_floating_point():
        apart = x - target
    else:
        own = target.unsqueeze(1)
        apart = x.scatter(1, own, x.gather(1, own) - 1)
    apart = apart.abs()
    if weight is not None:
        apart = apart * (weight if weight.ndim == apart.ndim else weight.unsqueeze(1))
    return apart.flatten(2).sum(2)


def jaccard_metric(total: Tensor, difference: Tensor, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """1 - (|x + y| - |x - y|) / (|x + y| + |x - y|).

    >>> import torch
    >>> x, y = torch.tensor([.5, 1.]), torch.tensor([.5, 0.])
    >>> jaccard_metric((x + y).sum(), (x - y).abs().sum())      # 1 - (2 - 1) / (2 + 1)
    tensor(0.6667)
    """
    return _one_minus_ratio(2 * difference, total + difference, smooth)


def jaccard_metric_of_product(
    overlap: Tensor, difference: Tensor, smooth: Smooth = (0.0, 0.0)
) -> Tensor:
    """1 - <x, y> / (<x, y> + |x - y|)."""
    return _one_minus_ratio(difference, overlap + difference, smooth)


def dice_semimetric(total: Tensor, difference: Tensor, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """1 - (|x + y| - |x - y|) / |x + y|, the analogue for Dice: no metric, its triangles fail."""
    return _one_minus_ratio(difference, total, smooth)


def _one_minus_ratio(shortfall: Tensor, denominator: Tensor, smooth: Smooth) -> Tensor:
    """1 - (d - s + a) / (d + b) as (s + b - a) / (d + b), which keeps the digits of a small s."""
    denominator = denominator + smooth[1]
    empty = denominator == 0
    quotient = (shortfall + (smooth[1] - smooth[0])) / torch.where(empty, 1.0, denominator)
    return torch.where(empty, 0.0, quotient)
