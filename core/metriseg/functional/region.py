"""Overlap indices of region statistics, each a table (G, C) in [0, 1].

In the formulas I is the overlap, S the predicted and Y the target mass of a class in a group;
``smooth`` is the pair (added to the numerator, added to the denominator). A class that is neither
there nor predicted has index 1, also when nothing is added.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metriseg.batch import PROBABILITY_MARGIN
from metriseg.functional.power import guarded_power
from metriseg.statistics import RegionStatistics

Smooth = tuple[float, float]


def dice_index(s: RegionStatistics, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """2 I / (S + Y). Dice 1945, doi:10.2307/1932409.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> dice_index(RegionStatistics({1.0: one}, {1.0: 2 * one}, {1.0: 2 * one}, 4 * one))
    tensor([[0.5000]])
    """
    return _ratio(2 * s.overlap[1.0], s.predicted[1.0] + s.target[1.0], smooth)


def exponential_logarithmic_dice(
    s: RegionStatistics, gamma: float, smooth: Smooth = (1.0, 1.0)
) -> Tensor:
    """(-ln Dice)^gamma; an index below 1e-7, possible where nothing is added, counts as 1e-7.

    Wong et al. 2018, arXiv:1809.00076.
    """
    logarithm = dice_index(s, smooth).clamp(min=PROBABILITY_MARGIN).log()
    # rounding may leave the index above 1, and a negative base has no power
    return guarded_power((-logarithm).clamp(min=0.0), gamma)


def jaccard_index(s: RegionStatistics, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """I / (S + Y - I). Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x."""
    overlap = s.overlap[1.0]
    return _ratio(overlap, s.predicted[1.0] + s.target[1.0] - overlap, smooth)


def power_jaccard_index(s: RegionStatistics, power: float, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """I / (sum t^q + sum p^q - I) with q = ``power`` in [1, 2].

    Duque-Arias et al. 2021, doi:10.5220/0010304005610568.
    """
    overlap = s.overlap[1.0]
    return _ratio(overlap, s.target[power] + s.predicted[power] - overlap, smooth)


def tversky_index(
    s: RegionStatistics, fp_weight: float, fn_weight: float, smooth: Smooth = (0.0, 0.0)
) -> Tensor:
    """I / (I + fp_weight (S - I) + fn_weight (Y - I)).

    Salehi et al. 2017, arXiv:1706.05721.
    """
    overlap = s.overlap[1.0]
    false_positive = s.predicted[1.0] - overlap
    false_negative = s.target[1.0] - overlap
    mass = overlap + fp_weight * false_positive + fn_weight * false_negative
    return _ratio(overlap, mass, smooth)


def unified_focal_tversky(
    s: RegionStatistics,
    delta: float,
    exponents: tuple[float, float],
    smooth: Smooth = (0.0, 0.0),
) -> Tensor:
    """(1 - Tversky index)^e, e the first of ``exponents`` for class 0, the second for all others.

    ``delta`` is the price of a false negative, 1 - ``delta`` that of a false positive. Yeung et al.
    2022, arXiv:2102.04525.
    """
    error = (1 - tversky_index(s, 1 - delta, delta, smooth)).clamp(min=0.0)
    background, foreground = error[:, :1], error[:, 1:]
    powers = (guarded_power(background, exponents[0]), guarded_power(foreground, exponents[1]))
    return torch.cat(powers, 1)


def binary_unified_focal_tversky(
    s: RegionStatistics,
    delta: float,
    exponents: tuple[float, float],
    smooth: Smooth = (0.0, 0.0),
) -> Tensor:
    """:func:`unified_focal_tversky` of yes-or-no questions: the mean of "no" and "yes".

    The background of a question is what isn't in its class: its true positives are the true
    negatives, its false positives the false negatives.
    """
    overlap = s.overlap[1.0]
    false_positive, false_negative = s.predicted[1.0] - overlap, s.target[1.0] - overlap
    true_negative = s.count - s.target[1.0] - false_positive
    mass = true_negative + delta * false_positive + (1 - delta) * false_negative
    background = (1 - _ratio(true_negative, mass, smooth)).clamp(min=0.0)
    foreground = (1 - tversky_index(s, 1 - delta, delta, smooth)).clamp(min=0.0)
    return (guarded_power(background, exponents[0]) + guarded_power(foreground, exponents[1])) / 2


def _ratio(numerator: Tensor, denominator: Tensor, smooth: Smooth) -> Tensor:
    denominator = denominator + smooth[1]
    empty = denominator == 0
    quotient = (numerator + smooth[0]) / torch.where(empty, 1.0, denominator)
    return torch.where(empty, 1.0, quotient)
