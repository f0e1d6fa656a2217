"""Distances that stay metrics, or nearly, between soft masks x and y.

They are made of sums over the pixels of a class in a group, each ``(G, C)``: of x + y, of |x - y|,
or of its two sides max(x - y, 0) and max(y - x, 0), and of x y. ``smooth`` is the pair (added to
the numerator, added to the denominator) of the ratio that is taken from one. Two empty masks are at
distance 0, also when nothing is added.

Wang et al. 2023, "Jaccard metric losses", arXiv:2302.05666, and "Dice semimetric losses",
arXiv:2303.16296.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "dice_semimetric",
    "dice_semimetric_of_product",
    "jaccard_metric",
    "jaccard_metric_of_product",
    "tversky_semimetric",
]

Smooth = tuple[float, float]


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


def dice_semimetric_of_product(
    overlap: Tensor, difference: Tensor, smooth: Smooth = (0.0, 0.0)
) -> Tensor:
    """1 - 2 <x, y> / (2 <x, y> + |x - y|)."""
    return _one_minus_ratio(difference, 2 * overlap + difference, smooth)


def tversky_semimetric(
    overlap: Tensor,
    above: Tensor,
    below: Tensor,
    fp_weight: float,
    fn_weight: float,
    smooth: Smooth = (0.0, 0.0),
) -> Tensor:
    """1 - I / (I + fp_weight sum max(x - y, 0) + fn_weight sum max(y - x, 0)).

    The overlap I is sum min(x, y), which is (|x + y| - |x - y|) / 2, or <x, y>.

    >>> import torch
    >>> x, y = torch.tensor([.5, 1.]), torch.tensor([.75, 0.])
    >>> sides = (x - y).relu().sum(), (y - x).relu().sum()
    >>> tversky_semimetric(torch.minimum(x, y).sum(), *sides, 0.3, 0.8)    # .5 / (.5 + .5)
    tensor(0.5000)
    """
    wrong = fp_weight * above + fn_weight * below
    return _one_minus_ratio(wrong, overlap + wrong, smooth)


def _one_minus_ratio(shortfall: Tensor, denominator: Tensor, smooth: Smooth) -> Tensor:
    """1 - (d - s + a) / (d + b) as (s + b - a) / (d + b), which keeps the digits of a small s."""
    denominator = denominator + smooth[1]
    empty = denominator == 0
    quotient = (shortfall + (smooth[1] - smooth[0])) / torch.where(empty, 1.0, denominator)
    return torch.where(empty, 0.0, quotient)
