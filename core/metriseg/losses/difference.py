"""Overlap losses that look at how far prediction and truth are apart at every pixel."""

from __future__ import annotations

import abc
from typing import ClassVar, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import OverlapLoss
from metriseg.options import GroupOptions, RegionOptions, SmoothOption
from metriseg.statistics import RegionStatistics, region_statistics

__all__ = ["DicePlusPlusLoss", "NoiseRobustDiceLoss"]


class DifferenceOptions(SmoothOption, GroupOptions, total=False):
    """Their sums are not added over ranks."""


class DifferenceLoss(OverlapLoss):
    """A loss of region statistics and of sums that are no function of them."""

    weighs_classes: ClassVar[bool] = True

    def __init__(self, **options: Unpack[DifferenceOptions]) -> None:
        super().__init__(**options)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({1.0})

    @abc.abstractmethod
    def differences(self, batch: Batch) -> tuple[Tensor, ...]:
        """The sums of every class in every image, each ``(N, C)``."""

    @abc.abstractmethod
    def distance(self, s: RegionStatistics, *differences: Tensor) -> Tensor:
        """The loss of every class in every group, ``(G, C)``."""

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        s, differences = statistics, self.differences(batch)
        if s is None:
            s = region_statistics(batch, self.moments, overlap_moments=self.overlap_moments)
        if not self.per_image:
            s = s.pooled()
            differences = tuple(part.sum(0, keepdim=True) for part in differences)
        return self.distance(s, *differences), self.counted(s)


class DicePlusPlusLoss(DifferenceLoss):
    r"""Dice++ loss: a Dice loss that forgives errors the network isn't sure of.

    .. math:: \ell_c = 1 - \frac{2 I_c + \epsilon}{2 I_c + \sum (p_c (1 - t_c))^\gamma
              + \sum ((1 - p_c)\, t_c)^\gamma + \epsilon}, \quad I_c = \sum p_c t_c

    averaged over classes, then over images. At :math:`\gamma = 1` it is the Dice loss; larger ones
    make small errors cost less than certain ones, which keeps probabilities from 0 and 1. Values
    lie in [0, 1], 0 at a perfect hard prediction; a class neither there nor predicted costs 0.

    Args:
        gamma: >= 1; the authors find 2 best.

    Source: Yeung et al. 2021, "Calibrating the Dice loss to handle neural network overconfidence
    for biomedical image segmentation", arXiv:2111.00528 (their code adds to half of numerator and
    denominator).

    >>> import torch
    >>> loss = DicePlusPlusLoss(gamma=2.0, smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5]]]), torch.tensor([[1, 0]])
    >>> loss(p, target)                    # 1 - 1.5 / (1.5 + 1/4 + 1/16)
    tensor(0.1724)
    """

    def __init__(self, gamma: float = 2.0, **options: Unpack[DifferenceOptions]) -> None:
        super().__init__(**options)
        self.gamma = validation.number("gamma", gamma, low=1.0)

    def differences(self, batch: Batch) -> tuple[Tensor, ...]:
        return (
            F.powered_errors(batch.probabilities, batch.target, self.gamma, batch.finest_weight),
        )

    def distance(self, s: RegionStatistics, *differences: Tensor) -> Tensor:
        (wrong,) = differences
        return F.dice_plus_plus_error(s, wrong, self.smooth_pair)


class NoiseRobustDiceLoss(DifferenceLoss):
    r"""Noise-robust Dice loss: between V-Net's Dice loss and the mean absolute error.

    .. math:: \ell_c = \frac{\sum |p_c - t_c|^\gamma}{\sum p_c^2 + \sum t_c^2 + \epsilon}

    averaged over classes. At :math:`\gamma = 2` it is the loss of V-Net,
    :class:`~metriseg.PowerDiceLoss` of power 2; the smaller :math:`\gamma`, the less do single
    large errors, which wrong labels are, outweigh the others. Values lie in [0, 1] at
    :math:`\gamma = 2` and in :math:`[0, \infty)` below, 0 at a perfect prediction, soft or hard; a
    class neither there nor predicted costs 0. An absent class that is predicted with p everywhere
    costs :math:`p^{\gamma - 2}`, which falls as p grows: that pulls the wrong way, so that by
    default only present classes of the whole batch are averaged.

    Args:
        gamma: in [1, 2].
        smooth: epsilon >= 0, or a pair: those of numerator and denominator of one minus the loss.

    Source: Wang et al. 2020, "A noise-robust framework for automatic segmentation of COVID-19
    pneumonia lesions from CT images", doi:10.1109/TMI.2020.3000314.

    >>> import torch
    >>> loss = NoiseRobustDiceLoss(gamma=1.0, smooth=0.0, activation="identity")
    >>> p, target = torch.tensor([[[.75, .5]]]), torch.tensor([[1, 0]])
    >>> loss(p, target)                    # (1/4 + 1/2) / (9/16 + 1/4 + 1)
    tensor(0.4138)
    """

    defaults: ClassVar[RegionOptions] = {"classes": "present", "per_image": False}

    def __init__(self, gamma: float = 1.5, **options: Unpack[DifferenceOptions]) -> None:
        super().__init__(**options)
        self.gamma = validation.number("gamma", gamma, low=1.0, high=2.0)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({2.0})

    def differences(self, batch: Batch) -> tuple[Tensor, ...]:
        return (
            F.powered_difference(
                batch.probabilities, batch.target, self.gamma, batch.finest_weight
            ),
        )

    def distance(self, s: RegionStatistics, *differences: Tensor) -> Tensor:
        (difference,) = differences
        return F.noise_robust_dice(s, difference, self.smooth_pair)
