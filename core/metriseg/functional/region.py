"""Formulas of region statistics, each a table (G, C), of generalized Dice (G, 1).

In the formulas I is the overlap, S the predicted and Y the target mass of a class in a group;
``smooth`` is the pair (added to the numerator, added to the denominator). An index lies in [0, 1];
a class that is neither there nor predicted has index 1, also when nothing is added.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.batch import PROBABILITY_MARGIN
from metriseg.functional.power import guarded_power
from metriseg.statistics import RegionStatistics

__all__ = [
    "binary_unified_focal_tversky",
    "dice_index",
    "dice_plus_plus_error",
    "exponential_logarithmic_dice",
    "focal_tversky",
    "generalized_dice_index",
    "jaccard_index",
    "log_cosh",
    "matthews_correlation_error",
    "noise_robust_dice",
    "penalized_index",
    "power_dice_index",
    "power_jaccard_index",
    "sensitivity_specificity",
    "smoothed_matthews_correlation_error",
    "tversky_index",
    "unified_focal_tversky",
]

Smooth = tuple[float, float]
Weighting = Literal["square", "simple", "uniform"]

#: How a class is weighted by its volume: the exponent of one over it.
WEIGHTINGS: dict[str, float] = {"square": 2.0, "simple": 1.0, "uniform": 0.0}


def dice_index(s: RegionStatistics, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """2 I / (S + Y). Dice 1945, doi:10.2307/1932409.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> dice_index(RegionStatistics({1.0: one}, {1.0: 2 * one}, {1.0: 2 * one}, 4 * one))
    tensor([[0.5000]])
    """
    return ratio(2 * s.overlap[1.0], s.predicted[1.0] + s.target[1.0], smooth)


def dice_plus_plus_error(s: RegionStatistics, wrong: Tensor, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """1 - 2 I / (2 I + wrong), of the sums of powers of both kinds of error.

    Yeung et al. 2021, arXiv:2111.00528.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> dice_plus_plus_error(RegionStatistics({1.0: one}, {}, {}, 4 * one), 0.5 * one)  # .5 / 2.5
    tensor([[0.2000]])
    """
    return shortfall(wrong, 2 * s.overlap[1.0] + wrong, smooth)


def noise_robust_dice(
    s: RegionStatistics, difference: Tensor, smooth: Smooth = (0.0, 0.0)
) -> Tensor:
    """D / (sum p^2 + sum t^2), of the sum D of powers of |p - t|.

    Smoothed it is one minus a ratio, as 1 - (sum p^2 + sum t^2 - D + a) / (sum p^2 + sum t^2 + b).
    Wang et al. 2020, doi:10.1109/TMI.2020.3000314.
    """
    return shortfall(difference, s.predicted[2.0] + s.target[2.0], smooth)


def exponential_logarithmic_dice(
    s: RegionStatistics, gamma: float, smooth: Smooth = (1.0, 1.0)
) -> Tensor:
    """(-ln Dice)^gamma; an index below 1e-7, possible where nothing is added, counts as 1e-7.

    Wong et al. 2018, arXiv:1809.00076.
    """
    missed, claimed, _ = s.errors
    error = shortfall(missed + claimed, s.predicted[1.0] + s.target[1.0], smooth).clamp(min=0.0)
    # each side of one half from what is small there, and keeps its digits
    near = error < 0.5
    index = torch.where(near, 1.0, dice_index(s, smooth).clamp(PROBABILITY_MARGIN, 1.0))
    entropy = -torch.where(near, torch.log1p(-torch.where(near, error, 0.0)), index.log())
    return guarded_power(entropy, gamma)


def jaccard_index(s: RegionStatistics, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """I / (S + Y - I). Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x."""
    overlap = s.overlap[1.0]
    return ratio(overlap, s.predicted[1.0] + s.target[1.0] - overlap, smooth)


def power_jaccard_index(s: RegionStatistics, power: float, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """I / (sum t^q + sum p^q - I) with q = ``power`` in [1, 2].

    Duque-Arias et al. 2021, doi:10.5220/0010304005610568.
    """
    overlap = s.overlap[1.0]
    return ratio(overlap, s.target[power] + s.predicted[power] - overlap, smooth)


def power_dice_index(s: RegionStatistics, power: float, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """2 I / (sum t^q + sum p^q) with q = ``power`` in [1, 2].

    Power 2 is V-Net's Dice coefficient, Milletari et al. 2016, arXiv:1606.04797.
    """
    return ratio(2 * s.overlap[1.0], s.target[power] + s.predicted[power], smooth)


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
    return ratio(overlap, mass, smooth)


def tversky_error(
    s: RegionStatistics, fp_weight: float, fn_weight: float, smooth: Smooth = (0.0, 0.0)
) -> Tensor:
    """1 - Tversky index, from the errors themselves: a small one keeps its digits."""
    missed, claimed, _ = s.errors
    wrong = fp_weight * claimed + fn_weight * missed
    return shortfall(wrong, s.overlap[1.0] + wrong, smooth)


def focal_tversky(
    s: RegionStatistics,
    fp_weight: float,
    fn_weight: float,
    gamma: float,
    smooth: Smooth = (0.0, 0.0),
) -> Tensor:
    """(1 - Tversky index)^(1/gamma), of finite slope at 0.

    Abraham & Khan 2018, arXiv:1810.07842.
    """
    error = tversky_error(s, fp_weight, fn_weight, smooth)
    return guarded_power(_not_below_zero(error), 1 / gamma)


def log_cosh(x: Tensor) -> Tensor:
    """ln cosh x, with the slope tanh x, exact near 0 and without overflow far from it.

    >>> import torch
    >>> log_cosh(torch.tensor([1e-4, 1e4]))
    tensor([5.0000e-09, 9.9993e+03])
    """
    # cosh x = 1 + 2 sinh^2(x/2): nothing cancels, but the square overflows, so only near 0
    is_near = x.abs() <= 1
    near = torch.log1p(2 * torch.sinh(torch.where(is_near, x, 0.0) / 2).square())
    far = x.abs() + nnf.softplus(-2 * x.abs()) - math.log(2)
    return torch.where(is_near, near, far)


def matthews_correlation_error(s: RegionStatistics, smooth: Smooth = (0.0, 0.0)) -> Tensor:
    """1 - (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)).

    ``smooth`` is added to TP and TN of the numerator, of the denominator: so many pixels of each
    answer that are right. Where the denominator is 0 the coefficient counts as 0, but a prediction
    without an error has error 0. Matthews 1975, doi:10.1016/0005-2795(75)90109-9.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> statistics = RegionStatistics({1.0: one}, {1.0: 2 * one}, {1.0: 2 * one}, 4 * one)
    >>> matthews_correlation_error(statistics)              # all four are 1: no correlation
    tensor([[1.]])
    """
    count = torch.where(s.count > 0, s.count, 1.0)
    hits, rejected, missed, claimed = (part / count for part in _confusion(s))
    # so many pixels are a share of the image too
    upper, lower = smooth[0] / count, smooth[1] / count
    above = (hits + upper) * (rejected + upper) - claimed * missed
    right, left = hits + lower, rejected + lower
    square = (right + claimed) * (right + missed) * (left + claimed) * (left + missed)
    # square - above^2 in terms that are all positive, and small where few pixels are wrong
    correct, wrong = right * left, claimed * missed
    across, along = right * missed + claimed * left, right * claimed + missed * left
    short = 4 * correct * wrong + (correct + wrong) * (across + along) + across * along
    if smooth[0] != smooth[1]:
        taken = (lower - upper) * (hits + rejected + upper + lower)
        short = short + taken * (correct - wrong + above)
    return _one_minus_correlation(above, square, short, claimed + missed == 0)


def smoothed_matthews_correlation_error(s: RegionStatistics, smooth: Smooth) -> Tensor:
    """1 - (TP TN - FP FN + a) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN) + b), in pixels.

    ``smooth`` is a, b; a prediction without an error has error 0.
    """
    hits, rejected, missed, claimed = _confusion(s)
    above = hits * rejected - claimed * missed + smooth[0]
    square = (hits + claimed) * (hits + missed) * (rejected + claimed) * (rejected + missed)
    square = square + smooth[1]
    defined = square > 0
    index = torch.where(defined, above / torch.where(defined, square, 1.0).sqrt(), 0.0)
    return torch.where(claimed + missed == 0, 0.0, 1 - index)


def _confusion(s: RegionStatistics) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """True positives and negatives, false negatives and positives."""
    missed, claimed, rejected = s.errors
    outside = _not_everywhere(s.count - s.target[1.0], s) > 0
    claimed, rejected = (torch.where(outside, part, 0.0) for part in (claimed, rejected))
    return s.overlap[1.0], rejected, missed, claimed


def _not_everywhere(outside: Tensor, s: RegionStatistics) -> Tensor:
    """0 in place of the millionth that rounding may leave outside a class that is everywhere."""
    return torch.where(outside > 8 * torch.finfo(outside.dtype).eps * s.count, outside, 0.0)


def _one_minus_correlation(above: Tensor, square: Tensor, short: Tensor, perfect: Tensor) -> Tensor:
    """1 - above / sqrt(square), of ``short`` = square - above^2, which a high one is made of."""
    defined = square > 0
    root = torch.where(defined, square, 1.0).sqrt()
    high = defined & (above > 0)
    near = short / (root * (root + torch.where(high, above, 1.0)))
    far = 1 - torch.where(defined, above, 0.0) / root
    return torch.where(defined, torch.where(high, near, far), torch.where(perfect, 0.0, 1.0))


def sensitivity_specificity(s: RegionStatistics, sensitivity_weight: float) -> Tensor:
    """r sum t (1 - p)^2 / sum t + (1 - r) sum (1 - t) p^2 / sum (1 - t).

    r is ``sensitivity_weight``. The squares are expanded into moments 1 and 2. A mean over nothing
    is 0. Brosch et al. 2015, doi:10.1007/978-3-319-24574-4_1.
    """
    overlap, square, inside = s.overlap[1.0], s.overlap[2.0], s.target[1.0]
    missed = inside - 2 * overlap + square
    claimed = s.predicted[2.0] - square
    outside = _not_everywhere(s.count - inside, s)
    on_inside, on_outside = _mean_square(missed, inside), _mean_square(claimed, outside)
    return sensitivity_weight * on_inside + (1 - sensitivity_weight) * on_outside


def generalized_dice_index(
    s: RegionStatistics,
    weighting: Weighting = "square",
    class_weight: Tensor | None = None,
    smooth: Smooth = (0.0, 0.0),
    *,
    scaled: bool = True,
) -> Tensor:
    """2 sum_c w_c I_c / sum_c w_c (S_c + Y_c), (G, 1), with w = 1 / Y^2, 1 / Y or 1.

    A class that is absent from a group gets the largest finite w of the group; all are divided by
    that one, so that what is smoothed doesn't depend on the volumes, unless ``scaled`` is False:
    then what is smoothed are sums of 1 / Y^2 themselves. ``class_weight`` (C)
    multiplies w; classes of weight 0 are left out, also of that rule. A group that has none of
    the classes has index 1 (unless the weighting is uniform). Sudre et al. 2017, arXiv:1707.03237.

    >>> import torch
    >>> I, S, Y = (torch.tensor([values]) for values in ([1., 0.], [2., 2.], [2., 0.]))
    >>> generalized_dice_index(RegionStatistics({1.0: I}, {1.0: S}, {1.0: Y}, S + Y))  # w = 1/4
    tensor([[0.3333]])
    """
    weight = s.target[1.0].detach().pow(-WEIGHTINGS[weighting])
    known = torch.isfinite(weight)
    if class_weight is not None:
        known = known & (class_weight > 0)
    largest = torch.where(known, weight, 0.0).amax(1, keepdim=True)
    weight = torch.where(known, weight / torch.where(largest > 0, largest, 1.0), 1.0)
    if class_weight is not None:
        weight = weight * class_weight
    overlap = (weight * s.overlap[1.0]).sum(1, keepdim=True)
    mass = (weight * (s.predicted[1.0] + s.target[1.0])).sum(1, keepdim=True)
    unit: float | Tensor = 1.0 if scaled else torch.where(largest > 0, largest, 1.0)
    added = (smooth[0] / unit, smooth[1] / unit)
    return torch.where(known.any(1, keepdim=True), ratio(2 * overlap, mass, added), 1.0)


def penalized_index(index: Tensor, penalty: float) -> Tensor:
    """index / (1 + k (1 - index)) with k = ``penalty`` >= 0: 0 and 1 stay, between them it falls.

    Yang et al. 2019, "Major vessel segmentation on X-ray coronary angiography using deep networks
    with a novel penalty loss function".
    """
    return index / (1 + penalty * (1 - index))


def _mean_square(total: Tensor, mass: Tensor) -> Tensor:
    there = mass > 0
    return torch.where(there, _not_below_zero(total) / torch.where(there, mass, 1.0), 0.0)


def _not_below_zero(x: Tensor) -> Tensor:
    """0 in place of what rounding took below it; the slope stays 1."""
    return x + (x.clamp(min=0) - x).detach()


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
    error = tversky_error(s, 1 - delta, delta, smooth).clamp(min=0.0)
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
    missed, claimed, rejected = s.errors
    wrong = delta * claimed + (1 - delta) * missed
    background = shortfall(wrong, rejected + wrong, smooth).clamp(min=0.0)
    foreground = tversky_error(s, 1 - delta, delta, smooth).clamp(min=0.0)
    return (guarded_power(background, exponents[0]) + guarded_power(foreground, exponents[1])) / 2


def shortfall(wrong: Tensor, mass: Tensor, smooth: Smooth) -> Tensor:
    """One minus the smoothed quotient of mass - wrong over mass; 0 where the denominator is 0."""
    denominator = mass + smooth[1]
    empty = denominator == 0
    quotient = (wrong + (smooth[1] - smooth[0])) / torch.where(empty, 1.0, denominator)
    return torch.where(empty, 0.0, quotient)


def ratio(
    numerator: Tensor, denominator: Tensor, smooth: tuple[float | Tensor, float | Tensor]
) -> Tensor:
    """The smoothed quotient, 1 where the denominator is 0."""
    denominator = denominator + smooth[1]
    empty = denominator == 0
    quotient = (numerator + smooth[0]) / torch.where(empty, 1.0, denominator)
    return torch.where(empty, 1.0, quotient)
