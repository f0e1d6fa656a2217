"""Losses that are functions of region statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.losses.base import RegionLoss
from metriseg.options import (
    ClassesOption,
    LossOptions,
    PowerOptions,
    RegionOptions,
    StatisticsOptions,
)
from metriseg.statistics import RegionStatistics

__all__ = [
    "DiceLoss",
    "FocalTverskyLoss",
    "JaccardLoss",
    "LogCoshDiceLoss",
    "MatthewsCorrelationLoss",
    "PowerDiceLoss",
    "PowerJaccardLoss",
    "SensitivitySpecificityLoss",
    "TverskyLoss",
]

#: Which of them a false positive costs, papers and libraries disagree.
TVERSKY_SYNONYMS: Mapping[str, str] = {
    "alpha": "say 'fp_weight' for the price of false positives and 'fn_weight' for that of false"
    " negatives (in the original paper alpha is fp_weight; elsewhere it is the other)",
    "beta": "say 'fn_weight' for the price of false negatives and 'fp_weight' for that of false"
    " positives (in the original paper beta is fn_weight; elsewhere it is the other)",
}


class DiceLoss(RegionLoss):
    r"""Dice loss: one minus the Dice coefficient of every class.

    .. math:: \ell_c = 1 - \frac{2 I_c + \epsilon}{S_c + Y_c + \epsilon}, \quad
              I_c = \sum p_c t_c,\; S_c = \sum p_c,\; Y_c = \sum t_c

    averaged over classes, then over images. Values lie in [0, 1], 0 at a perfect hard prediction; a
    class neither there nor predicted costs 0.

    Source: Azad et al. 2023, "Loss functions in the era of semantic segmentation",
    arXiv:2312.05391, equations 6 and 7.

    >>> import torch
    >>> loss = DiceLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.3810)
    """

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.dice_index(s, self.smooth_pair)


class LogCoshDiceLoss(RegionLoss):
    r"""Log-cosh Dice loss: the Dice loss of every class, its slope taken away near the truth.

    .. math:: \ell_c = \ln\cosh\!\Bigl(1 - \frac{2 I_c + \epsilon}{S_c + Y_c + \epsilon}\Bigr),
              \quad I_c = \sum p_c t_c,\; S_c = \sum p_c,\; Y_c = \sum t_c

    averaged over classes, then over images. Its gradient is that of the Dice loss times the
    hyperbolic tangent of that loss, so it vanishes at a perfect prediction. Values lie in [0, ln
    cosh 1 = 0.4338], 0 at a perfect hard prediction; a class neither there nor predicted costs 0.

    Source: Jadon 2020, "A survey of loss functions for semantic segmentation", arXiv:2006.14822.

    >>> import torch
    >>> loss = LogCoshDiceLoss(smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]])
    >>> loss(p, target)                              # (ln cosh 1/3 + ln cosh 3/7) / 2
    tensor(0.0719)
    """

    defaults: ClassVar[RegionOptions] = {"smooth": 1.0}

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.log_cosh(1 - F.dice_index(s, self.smooth_pair))


class JaccardLoss(RegionLoss):
    r"""Jaccard loss: one minus the soft intersection over union of every class.

    .. math:: \ell_c = 1 - \frac{I_c + \epsilon}{S_c + Y_c - I_c + \epsilon}, \quad
              I_c = \sum p_c t_c,\; S_c = \sum p_c,\; Y_c = \sum t_c

    averaged over classes, then over images. Values lie in [0, 1], 0 at a perfect hard prediction; a
    class neither there nor predicted costs 0.

    Source: Rahman & Wang 2016, "Optimizing intersection-over-union in deep neural networks for
    image segmentation", doi:10.1007/978-3-319-50835-1_22.

    >>> import torch
    >>> loss = JaccardLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.5500)
    """

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.jaccard_index(s, self.smooth_pair)


class _PowerLoss(RegionLoss):
    """Sums of powers, over the batch unless told otherwise."""

    defaults: ClassVar[RegionOptions] = {"per_image": False}

    def __init__(self, power: float = 1.5, **options: Unpack[PowerOptions]) -> None:
        super().__init__(**options)
        self.power = validation.number("power", power, low=1.0, high=2.0)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({self.power})


class PowerDiceLoss(_PowerLoss):
    r"""Power Dice loss: a Dice loss whose denominator is taken of powers.

    .. math:: \ell_c = 1 - \frac{2 I_c + \epsilon}
              {\sum t_c^q + \sum p_c^q + \epsilon}, \quad I_c = \sum p_c t_c

    with the power q in [1, 2], averaged over classes. Power 1 is the Dice loss, power 2 the loss of
    V-Net. Values lie in [0, 1], 0 at a perfect hard prediction; a class neither there nor predicted
    costs 0.

    Args:
        power: q in [1, 2]; above 2 the loss falls below zero.

    Source: Duque-Arias et al. 2021, "On power Jaccard losses for semantic segmentation",
    hal-03139997, section 5; power 2: Milletari et al. 2016, "V-Net: fully convolutional neural
    networks for volumetric medical image segmentation", arXiv:1606.04797.

    >>> import torch
    >>> loss = PowerDiceLoss(power=2.0, smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]])
    >>> loss(p, target)                              # 1 - (1.5/1.8125 + 1/1.3125) / 2
    tensor(0.2053)
    """

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.power_dice_index(s, self.power, self.smooth_pair)


class PowerJaccardLoss(_PowerLoss):
    r"""Power Jaccard loss: a Jaccard loss whose union is taken of powers.

    .. math:: \ell_c = 1 - \frac{I_c + \epsilon}
              {\sum t_c^q + \sum p_c^q - I_c + \epsilon}, \quad I_c = \sum p_c t_c

    with the power q in [1, 2], averaged over classes. Power 1 is the Jaccard loss. Values lie in
    [0, 1], 0 at a perfect hard prediction; a class neither there nor predicted costs 0.

    Args:
        power: q in [1, 2]; above 2 the loss has its minimum inside (0, 1) and below zero.

    Source: Duque-Arias et al. 2021, "On power Jaccard losses for semantic segmentation",
    hal-03139997, equation 3, with the sums taken inside the ratio as in the authors' code.

    >>> import torch
    >>> loss = PowerJaccardLoss(power=2.0, smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.3394)
    """

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.power_jaccard_index(s, self.power, self.smooth_pair)


class _PricedLoss(RegionLoss):
    """Prices for the two kinds of error.

    Args:
        fp_weight: price of false positives, >= 0.
        fn_weight: price of false negatives, >= 0.

    Raises:
        ValueError: for ``alpha`` and ``beta``: papers and libraries disagree which of them is the
            price of a false positive.
    """

    synonyms: ClassVar[Mapping[str, str]] = TVERSKY_SYNONYMS

    def __init__(
        self, fp_weight: float = 0.3, fn_weight: float = 0.7, **options: Unpack[RegionOptions]
    ) -> None:
        super().__init__(**options)
        self.fp_weight = validation.number("fp_weight", fp_weight, low=0.0)
        self.fn_weight = validation.number("fn_weight", fn_weight, low=0.0)


class TverskyLoss(_PricedLoss):
    r"""Tversky loss: an overlap loss with a price for each kind of error.

    .. math:: \ell_c = 1 - \frac{TP_c + \epsilon}
              {TP_c + w_{FP}\, FP_c + w_{FN}\, FN_c + \epsilon}

    with :math:`TP = \sum p t,\ FP = \sum p (1 - t),\ FN = \sum (1 - p) t`, averaged over classes,
    then over images. At ``smooth=0`` both weights 0.5 give the Dice loss and both 1 the Jaccard
    loss. Values lie in [0, 1], 0 at a perfect hard prediction; a class neither there nor predicted
    costs 0.

    Source: Salehi et al. 2017, "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", arXiv:1706.05721 (their alpha is ``fp_weight``).

    >>> import torch
    >>> loss = TverskyLoss(fp_weight=0.3, fn_weight=0.7, smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.3809)
    """

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.tversky_index(s, self.fp_weight, self.fn_weight, self.smooth_pair)


class FocalTverskyLoss(_PricedLoss):
    r"""Focal Tversky loss: a root of the Tversky loss of every class, steep near the truth.

    .. math:: \ell_c = \Bigl(1 - \frac{TP_c + \epsilon}
              {TP_c + w_{FP}\, FP_c + w_{FN}\, FN_c + \epsilon}\Bigr)^{1/\gamma}

    with :math:`TP = \sum p t,\ FP = \sum p (1 - t),\ FN = \sum (1 - p) t`, averaged over classes,
    then over images. The exponent is *one over* gamma, as in the paper; some codes call the
    exponent itself gamma. Gamma 1 is the Tversky loss. Values lie in [0, 1], 0 at a perfect hard
    prediction, where the slope, in truth infinite, stops growing at a Tversky loss of 1e-6; a class
    neither there nor predicted costs 0.

    Args:
        gamma: in [1, 3].
        smooth: epsilon >= 0, or a pair (numerator, denominator), the first not above the second.

    Source: Abraham & Khan 2018, "A novel focal Tversky loss function with improved attention U-Net
    for lesion segmentation", arXiv:1810.07842.

    >>> import torch
    >>> loss = FocalTverskyLoss(0.5, 0.5, gamma=2.0, smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]])
    >>> loss(p, target)                              # (sqrt(1/3) + sqrt(3/7)) / 2
    tensor(0.6160)
    """

    needs_errors = True

    def __init__(
        self,
        fp_weight: float = 0.3,
        fn_weight: float = 0.7,
        gamma: float = 4 / 3,
        **options: Unpack[RegionOptions],
    ) -> None:
        super().__init__(fp_weight, fn_weight, **options)
        validation.index_smoothing(self.smooth)
        self.gamma = validation.number("gamma", gamma, low=1.0, high=3.0)

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.focal_tversky(s, self.fp_weight, self.fn_weight, self.gamma, self.smooth_pair)


class SensitivityOptions(ClassesOption, StatisticsOptions, LossOptions, total=False):
    """Those of region losses; there is no ratio to smooth."""


class SensitivitySpecificityLoss(RegionLoss):
    r"""Sensitivity-specificity loss: the mean squared errors inside and outside every class.

    .. math:: \ell_c = r\, \frac{\sum t_c (1 - p_c)^2}{\sum t_c}
              + (1 - r)\, \frac{\sum (1 - t_c)\, p_c^2}{\sum (1 - t_c)}

    averaged over classes, then over images. With hard labels the numerators are the sums of
    :math:`(p - t)^2 t` and :math:`(p - t)^2 (1 - t)`; with soft labels they are the expectation of
    these over a hard label drawn from t. A term with nothing to average, of a class that is nowhere
    or everywhere, is 0. Values lie in [0, 1], 0 at a perfect hard prediction.

    The squares are expanded into sums over the image, so in float32 a value is exact to about 1e-7
    times the number of pixels over those outside the class.

    Args:
        sensitivity_weight: r in [0, 1], the weight of the error inside; the authors try 0.01 to
            0.1, small because the inside is.

    Source: Brosch et al. 2015, "Deep convolutional encoder networks for multiple sclerosis lesion
    segmentation", doi:10.1007/978-3-319-24574-4_1.

    >>> import torch
    >>> loss = SensitivitySpecificityLoss(sensitivity_weight=0.5, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]])
    >>> loss(p, target)                              # (0.25^2 + 0.5^2) / 2 for both classes
    tensor(0.1562)
    """

    def __init__(
        self, sensitivity_weight: float = 0.05, **options: Unpack[SensitivityOptions]
    ) -> None:
        super().__init__(**options)
        self.sensitivity_weight = validation.number(
            "sensitivity_weight", sensitivity_weight, low=0.0, high=1.0
        )

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({2.0})

    @property
    def overlap_moments(self) -> frozenset[float]:
        return frozenset({1.0, 2.0})

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.sensitivity_specificity(s, self.sensitivity_weight)


class MatthewsCorrelationLoss(RegionLoss):
    r"""Matthews correlation loss: one minus the correlation of prediction and truth.

    .. math:: \ell_c = 1 - \frac{TP_c\, TN_c - FP_c\, FN_c}
              {\sqrt{(TP_c + FP_c)(TP_c + FN_c)(TN_c + FP_c)(TN_c + FN_c)}}

    with :math:`TP = \sum p t + \epsilon,\ TN = \sum (1 - p)(1 - t) + \epsilon,\ FP = \sum p (1 -
    t),\ FN = \sum (1 - p) t`, averaged over classes, then over images. It looks at the true
    negatives too, and treats a class and its complement alike. Values lie in [0, 2], 0 at a perfect
    hard prediction, 1 without correlation, 2 where every pixel is wrong.

    A class that is nowhere, or everywhere, has no correlation at ``smooth=0``: it costs 1 without a
    slope, unless nothing at all is wrong, which costs 0. Smoothed, an absent class of which F of N
    pixels are claimed costs :math:`1 - \sqrt{\epsilon (N - F + \epsilon)} / \sqrt{(\epsilon + F)(N
    + \epsilon)}`. (In single precision the true negatives of exclusive classes are exact to 1e-7 of
    all pixels: of a class that is predicted nearly everywhere no more digits are left.)

    Args:
        smooth: epsilon >= 0, so many pixels of each answer that are right, or a pair, those of
            numerator and denominator.

    Source: Abhishek & Hamarneh 2021, "Matthews correlation coefficient loss for deep convolutional
    networks: application to skin lesion segmentation", arXiv:2010.13454.

    >>> import torch
    >>> loss = MatthewsCorrelationLoss(smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[1., 0., 0., 0.]]]), torch.tensor([[1, 1, 0, 0]])
    >>> loss(p, target)         # TP 1, TN 2, FP 0, FN 1: 1 - 2 / sqrt(1 2 2 3)
    tensor(0.4226)
    """

    needs_errors = True

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.matthews_correlation_error(s, self.smooth_pair)
