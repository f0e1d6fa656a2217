"""Dice losses of all classes at once, weighted by their volumes."""

from __future__ import annotations

import abc
from typing import ClassVar, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.functional.region import WEIGHTINGS, Weighting
from metriseg.losses.base import RegionLoss
from metriseg.options import LossOptions, OverlapOption, SmoothOption, StatisticsOptions
from metriseg.statistics import RegionStatistics

__all__ = ["GeneralizedDiceLoss", "PenaltyGeneralizedDiceLoss"]


class GeneralizedDiceOptions(
    SmoothOption, OverlapOption, StatisticsOptions, LossOptions, total=False
):
    """Those of region losses, without a choice of classes."""


class _AllClassesLoss(RegionLoss):
    """A region loss with one value for all classes of a group, class weights inside its sums.

    Args:
        weighting: "square" (w = 1 / Y^2), "simple" (1 / Y) or "uniform" (1).
        smooth: epsilon >= 0, or a pair (numerator, denominator), in pixels of the class with the
            largest w.
        class_weight: C numbers >= 0 that multiply w; a class of weight 0 is left out altogether.
        include_background: False leaves class 0 out.
        reduction: "mean", "sum" or "none", then ``(G, 1)``.
    """

    columns_are_classes: ClassVar[bool] = False

    def __init__(
        self, weighting: Weighting = "square", **options: Unpack[GeneralizedDiceOptions]
    ) -> None:
        super().__init__(**options)
        validation.one_of("weighting", weighting, tuple(WEIGHTINGS))
        self.weighting = weighting

    @abc.abstractmethod
    def from_statistics(self, s: RegionStatistics, class_weight: Tensor | None = None) -> Tensor:
        """The loss of every group, ``(G, 1)``."""

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        s = self.statistics(batch, statistics)
        return self.from_statistics(s, self.class_factors(batch)), (s.count > 0).any(
            1, keepdim=True
        )


class GeneralizedDiceLoss(_AllClassesLoss):
    r"""Generalized Dice loss: one Dice loss of all classes, each weighted by its volume.

    .. math:: \ell = 1 - \frac{2 \sum_c w_c I_c + \epsilon}{\sum_c w_c (S_c + Y_c) + \epsilon},
              \quad I_c = \sum p_c t_c,\; S_c = \sum p_c,\; Y_c = \sum t_c

    averaged over images, with :math:`w = Y^{-2}`, :math:`Y^{-1}` or 1, divided by the largest w of
    the group, which are constants of the target. A class that is absent has that largest w; a group
    that has none of the classes costs 0 (with uniform weights, which are finite all the same, what
    the formula says). With one channel the weights cancel at ``smooth=0``: the Dice loss. Values
    lie in [0, 1], 0 at a perfect hard prediction.

    Source: Sudre et al. 2017, "Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations", arXiv:1707.03237.

    >>> import torch
    >>> loss = GeneralizedDiceLoss(smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]])
    >>> loss(p, target)                              # w = 1 for both: 1 - 2 1.25 / (2 + 2)
    tensor(0.3750)
    """

    def from_statistics(self, s: RegionStatistics, class_weight: Tensor | None = None) -> Tensor:
        return 1 - F.generalized_dice_index(s, self.weighting, class_weight, self.smooth_pair)


class PenaltyGeneralizedDiceLoss(_AllClassesLoss):
    r"""Penalty generalized Dice loss: a generalized Dice loss that is steeper near the truth.

    .. math:: \ell = 1 - \frac{GD}{1 + k (1 - GD)}, \quad GD =
              \frac{2 \sum_c w_c I_c + \epsilon}{\sum_c w_c (S_c + Y_c) + \epsilon}

    averaged over images, with :math:`w = Y^{-2}`, :math:`Y^{-1}` or 1 and the sums of
    :class:`GeneralizedDiceLoss`, which penalty 0 is; absent classes are treated alike. Values lie
    in [0, 1], 0 at a perfect hard prediction.

    Args:
        penalty: k >= 0; the slope is multiplied by 1 + k at the truth, divided by it at the worst.
        smooth: epsilon >= 0, or a pair (numerator, denominator), the first not above the second,
            in pixels of the class with the largest w.

    Source: Yang et al. 2019, "Major vessel segmentation on X-ray coronary angiography using deep
    networks with a novel penalty loss function", Medical Imaging with Deep Learning.

    >>> import torch
    >>> loss = PenaltyGeneralizedDiceLoss(penalty=1.0, smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]])
    >>> loss(p, target)                              # GD = 0.625: 1 - 0.625 / 1.375
    tensor(0.5455)
    """

    def __init__(
        self,
        penalty: float = 2.5,
        weighting: Weighting = "square",
        **options: Unpack[GeneralizedDiceOptions],
    ) -> None:
        super().__init__(weighting, **options)
        validation.index_smoothing(self.smooth)
        self.penalty = validation.number("penalty", penalty, low=0.0)

    def from_statistics(self, s: RegionStatistics, class_weight: Tensor | None = None) -> Tensor:
        index = F.generalized_dice_index(s, self.weighting, class_weight, self.smooth_pair)
        return 1 - F.penalized_index(index, self.penalty)
