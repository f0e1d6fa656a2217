"""Losses whose probabilities say how often they are right."""

from __future__ import annotations

from typing import ClassVar, Literal, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import OverlapLoss, PixelLoss
from metriseg.losses.pixel import cross_entropies
from metriseg.options import GroupOptions, LossOptions
from metriseg.reduction import counted_classes
from metriseg.statistics import RegionStatistics, has_label_logs

__all__ = ["AverageCalibrationLoss", "NeighborAwareCalibrationLoss"]


class NeighborAwareCalibrationLoss(PixelLoss):
    r"""Neighbor-aware calibration loss: cross-entropy, and logits near the shares of the labels.

    .. math:: \ell = \ell_{CE} + \lambda\, \frac1C \sum_c w_c\, |\tau_c - z_c|^n, \qquad
              \tau_c = \operatorname{mean}_{v \in W} t_{c,v}

    at every pixel, averaged over the valid pixels, with :math:`\ell_{CE}` as in
    :class:`~metriseg.CrossEntropyLoss`, logits z, and :math:`\tau` the mean of the labels over a
    window W around the pixel. Beyond the image, and where pixels don't count, there is no class, so
    that the shares add up to less than 1. The penalty keeps logits small, and near boundaries even
    among the classes that meet there. Values lie in :math:`[0, \infty)`; there is no perfect
    prediction of value 0.

    Args:
        activation: "softmax" or "sigmoid" (one channel, or one question a class).
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        penalty_weight: lambda >= 0.
        window: the side of W in pixels, odd.
        norm: "l1" (n = 1) or "l2" (n = 2).

    Raises:
        ValueError: for an even window.

    Source: Murugesan et al. 2023, "Trust your neighbours: penalty-based constraints for model
    calibration", arXiv:2303.06268; the squares: arXiv:2401.14487.

    >>> import torch
    >>> loss = NeighborAwareCalibrationLoss(penalty_weight=1.0)
    >>> loss(torch.zeros(1, 2, 3), torch.tensor([[0, 0, 1]]))  # ln 2 + (2 + 3 + 2) / 3 / 2 / 3
    tensor(1.0820)
    """

    labels_have_weights: ClassVar[bool] = True
    activations: ClassVar[tuple[Activation, ...]] = ("softmax", "sigmoid")

    def __init__(
        self,
        penalty_weight: float = 0.1,
        window: int = 3,
        norm: Literal["l1", "l2"] = "l1",
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.penalty_weight = validation.number("penalty_weight", penalty_weight, low=0.0)
        self.window = validation.odd_number("window", window, low=1)
        validation.one_of("norm", norm, ("l1", "l2"))
        self.norm = norm

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        apart = F.neighbor_shares(batch.dense_target, self.window) - batch.masked_logits
        penalty = apart.abs() if self.norm == "l1" else apart.square()
        penalties = self.mean_over_classes(penalty, batch)
        return cross_entropies(self, batch) + self.penalty_weight * penalties


class AverageCalibrationLoss(OverlapLoss):
    r"""Average calibration error: how far probabilities are from frequencies, in the mean of bins.

    .. math:: \ell_c = \frac{1}{|B|} \sum_{b \in B} \left|
              \frac{\sum_u m_{b,u}\, p_{c,u}}{\sum_u m_{b,u}}
              - \frac{\sum_u m_{b,u}\, t_{c,u}}{\sum_u m_{b,u}} \right|

    averaged over classes, then over images. The membership :math:`m_{b,u}` of pixel u in bin b is a
    hat around the bin's centre that is 0 from the centres of its neighbours on ("soft"), or 1
    within the bin and 0 elsewhere, without a gradient ("hard"). B are the bins that hold anything.
    Every bin counts alike, however few pixels it has. Values lie in [0, 1], 0 at a perfect hard
    prediction, but also at others: it stands beside a loss of overlap or cross-entropy.

    Args:
        binning: "soft" or "hard".
        bins: how many, of equal width, >= 2.
        least_mass: a bin that holds less, in pixels, is empty, >= 0.
        per_image: bins of each image (mean over images), or of the batch.

    Source: Barfoot et al. 2025, "Average calibration losses for reliable uncertainty in medical
    image segmentation", arXiv:2506.03942; hard bins: Barfoot et al. 2024, "Average calibration
    error: a differentiable loss for improved reliability in image segmentation", arXiv:2403.06759.

    >>> import torch
    >>> loss = AverageCalibrationLoss(binning="hard", bins=2, activation="identity")
    >>> p, target = torch.tensor([[[.25, .25, .75, .75]]]), torch.tensor([[0, 1, 1, 1]])
    >>> loss(p, target)                        # (|1/4 - 1/2| + |3/4 - 1|) / 2
    tensor(0.2500)
    """

    weighs_classes: ClassVar[bool] = True

    def __init__(
        self,
        binning: Literal["soft", "hard"] = "soft",
        bins: int = 20,
        least_mass: float = 0.01,
        **options: Unpack[GroupOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("binning", binning, ("soft", "hard"))
        self.binning = binning
        self.bins = validation.whole_number("bins", bins, low=2)
        self.least_mass = validation.number("least_mass", least_mass, low=0.0)

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        masses, totals = F.binned_differences(
            batch.probabilities,
            batch.target,
            self.bins,
            batch.finest_weight,
            soft=self.binning == "soft",
        )
        if not self.per_image:
            masses, totals = masses.sum(0, keepdim=True), totals.sum(0, keepdim=True)
        averaged = self.classes_among(batch.num_classes)
        counted = counted_classes(batch, averaged, per_image=self.per_image)
        return F.average_calibration_error(masses, totals, self.least_mass), counted
