"""How far probabilities are from what they say: penalties a pixel, errors a bin.

A target is labels (N, *S) or soft labels (N, C, *S).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.functional.difference import apart
from metriseg.statistics import summing_dtype

__all__ = ["average_calibration_error", "binned_differences", "neighbor_shares"]

_MEANS = (nnf.avg_pool1d, nnf.avg_pool2d, nnf.avg_pool3d)


def neighbor_shares(target: Tensor, window: int) -> Tensor:
    """``(N, C, *S)``: the mean of masks of that shape over a window around every pixel.

    Beyond the image there is no class. Murugesan et al. 2023, arXiv:2303.06268.

    Args:
        target: masks with 0 where pixels don't count.
        window: its side in pixels, odd.

    >>> import torch
    >>> neighbor_shares(torch.tensor([[[1., 1., 0., 0.]]]), window=3)
    tensor([[[0.6667, 0.6667, 0.3333, 0.0000]]])
    """
    dimensions = target.ndim - 2
    # the pooling itself refuses to pad an image that is smaller than the window
    padded = nnf.pad(target, [window // 2] * (2 * dimensions))
    return _MEANS[dimensions - 1](padded, window, stride=1)


def binned_differences(
    probabilities: Tensor,
    target: Tensor,
    bins: int,
    weight: Tensor | None = None,
    *,
    soft: bool = True,
) -> tuple[Tensor, Tensor]:
    """``(N, C, bins)`` each: the mass of every bin, and in it the sum of p - t.

    Hard bins are of equal width, open below and closed above (the first has 0 too). Of soft ones a
    probability belongs to the two whose centres are next to it, to each the more the nearer that is
    (beyond the outermost centres to one). ``weight`` is ``(N, *S)``, or ``(N, C, *S)`` of every
    class. Barfoot et al. 2024, arXiv:2403.06759 (hard), and 2025, arXiv:2506.03942 (soft).

    >>> import torch
    >>> p, t = torch.tensor([[[0.375, 1.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> binned_differences(p, t, bins=2)        # 0.375 is half way from 0.25 to 0.5
    (tensor([[[0.7500, 1.2500]]]), tensor([[[0.2812, 0.0938]]]))
    """
    p, difference = probabilities.flatten(2), apart(probabilities, target).flatten(2)
    # one number after another is added to a bin: single precision would lose the last ones
    precision = summing_dtype(p)
    if weight is None:
        mass = torch.ones_like(p)
    else:
        of_classes = weight.ndim == probabilities.ndim
        mass = (weight if of_classes else weight.unsqueeze(1)).flatten(2).expand_as(p)
    if soft:
        place = (p * bins - 0.5).clamp(0, bins - 1)
        first = place.detach().floor().clamp(max=bins - 2).long()
        share = place - first
        parts = [(first, mass * (1 - share)), (first + 1, mass * share)]
    else:
        edges = torch.arange(1, bins, device=p.device, dtype=p.dtype) / bins
        parts = [(torch.bucketize(p.detach(), edges), mass)]
    masses = p.new_zeros(*p.shape[:2], bins, dtype=precision)
    totals = torch.zeros_like(masses)
    for place, part in parts:
        masses = masses.scatter_add(2, place, part.to(precision))
        totals = totals.scatter_add(2, place, (part * difference).to(precision))
    return masses.to(p.dtype), totals.to(p.dtype)


def average_calibration_error(masses: Tensor, totals: Tensor, least: float) -> Tensor:
    """The mean of |total / mass| over bins, the last axis, that hold at least ``least``; 0 of none.

    >>> import torch
    >>> average_calibration_error(torch.tensor([2., 0., 4.]), torch.tensor([1., 0., -1.]), 0.01)
    tensor(0.3750)
    """
    held = (masses >= least) & (masses > 0)
    errors = torch.where(held, totals, 0.0).abs() / torch.where(held, masses, 1.0)
    return errors.sum(-1) / held.sum(-1).clamp(min=1)
