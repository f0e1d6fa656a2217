"""Losses of the dependence between the windows of prediction and truth."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import TableLoss
from metriseg.options import LossOptions
from metriseg.passes import question_entropies
from metriseg.reduction import counted_classes, mean
from metriseg.statistics import RegionStatistics

__all__ = ["RegionMutualInformationLoss"]


class RegionMutualInformationLoss(TableLoss):
    r"""Region mutual information loss: what the prediction doesn't tell of the truth's windows.

    .. math:: \ell_c = \lambda\,\overline{\mathrm{BCE}}_c
              + \frac{1-\lambda}{2d} \ln\det(M_c + \epsilon I), \quad
              M = \Sigma_{YY} - \Sigma_{YP} (\Sigma_{PP} + \epsilon I)^{-1} \Sigma_{YP}^\top

    averaged over classes, then over images. Every window of side r is a vector of :math:`d = r^k`
    values (k spatial dimensions), and :math:`\Sigma` are the unnormalised covariances of these
    vectors over the windows of an image, always in float64; BCE is the mean binary cross-entropy
    over the image's pixels. The second term has no zero: it is never below
    :math:`\frac12\ln\epsilon` (-3.80), grows with the number of windows, and at a perfect
    prediction is near :math:`\frac12\ln 2\epsilon` (-3.45) where the labels vary and
    :math:`\frac12\ln\epsilon`, without gradient, where they don't. So it is with one window; an
    image without any has the first term alone.

    Only windows of wholly valid pixels count, and after pooling a pixel is valid if all of its
    block are. A window weighs the mean of its pixels' weights. ``reduction="sum"`` sums over
    classes as the authors do.

    Args:
        radius: the side r of a window, >= 1.
        downsample: side of the blocks that average pooling takes to one pixel first, >= 1; None
            for no pooling.
        epsilon: on the diagonals, > 0.
        bce_weight: lambda in [0, 1].
        activation: "sigmoid" (one channel, or one question a class) or "identity".
        reduction: "mean", "sum" or "none", then ``(N, C)``.

    Source: Zhao et al. 2019, "Region mutual information loss for semantic segmentation",
    arXiv:1910.12037.

    >>> import torch
    >>> loss = RegionMutualInformationLoss(radius=1, downsample=None, bce_weight=0.0)
    >>> loss(torch.zeros(1, 1, 5), torch.tensor([[0, 0, 1, 1, 1]]))   # ln(6/5 + 5e-4) / 2
    tensor(0.0914)
    """

    activations: ClassVar[tuple[Activation, ...]] = ("sigmoid", "identity")
    defaults: ClassVar[LossOptions] = {"activation": "sigmoid"}

    def __init__(
        self,
        radius: int = 3,
        downsample: int | None = 4,
        epsilon: float = 5e-4,
        bce_weight: float = 0.5,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.radius = validation.whole_number("radius", radius, low=1)
        self.downsample = validation.optional(
            validation.whole_number, "downsample", downsample, low=1
        )
        self.epsilon = validation.number("epsilon", epsilon, low=0.0, open_low=True)
        self.bce_weight = validation.number("bce_weight", bce_weight, low=0.0, high=1.0)

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        unexplained = F.region_mutual_information(
            batch.probabilities,
            batch.dense_target,
            batch.weight,
            radius=self.radius,
            downsample=self.downsample,
            epsilon=self.epsilon,
        )
        values = torch.lerp(unexplained, self._cross_entropy(batch), self.bce_weight)
        return values, counted_classes(batch, "all", per_image=True)

    def _cross_entropy(self, batch: Batch) -> Tensor:
        """``(N, C)``: the mean binary cross-entropy over the pixels of every image."""
        if batch.has_labels and batch.activation == "sigmoid":
            pixels = batch.logits[0, 0].numel()
            mass = batch.logits.new_full((1, 1), float(pixels))
            if batch.weight is not None:
                mass = batch.weight.flatten(1).sum(1, keepdim=True)
            return mean(question_entropies(batch), mass)
        costs = F.binary_cross_entropy(
            batch.log_probabilities, batch.log_complements, batch.target
        ).flatten(2)
        weight = costs.new_ones(costs[:, :1].shape)
        if batch.weight is not None:
            weight = batch.weight.flatten(1).unsqueeze(1)
        return mean((costs * weight).sum(2), weight.sum(2))
