"""A Dice loss that knows which confusions are worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import OverlapLoss
from metriseg.options import LossOptions, PerImageOption, SmoothOption
from metriseg.statistics import RegionStatistics

__all__ = ["GeneralizedWassersteinDiceLoss"]

Distances = Sequence[Sequence[float]] | Tensor | None


class WassersteinOptions(SmoothOption, PerImageOption, LossOptions, total=False):
    """Its one value is of all classes."""


class GeneralizedWassersteinDiceLoss(OverlapLoss):
    r"""Generalized Wasserstein Dice loss: errors count by the distance of the confused classes.

    .. math:: \ell = 1 - \frac{2\, TP + \epsilon}{2\, TP + \sum_n W_n + \epsilon}, \quad
              W_n = \sum_l M_{t_n l}\, p_{n l}, \quad
              TP = \sum_n M_{t_n b}\, (M_{t_n b} - W_n)

    with the matrix M of distances between classes and the background b, averaged over images. Under
    ``weighting="GDL"`` :math:`\ell = 1 - (2 \sum_n a_n (1 - W_n) + \epsilon) / (\sum_n a_n (2 -
    W_n) + \epsilon)`, where a is one over the volume of the true class plus one. Values lie in [0,
    1] if no class is farther from another than from the background (else in [0, 2]), 0 at a perfect
    hard prediction; an image of background alone costs 0 if it is exact and almost 1 otherwise.
    Soft labels have no meaning here: the distance of a pixel to itself would not be 0.

    Args:
        distances: M, ``(C, C)``: symmetric, >= 0, 0 on the diagonal; it is divided by its maximum.
            None for 1 between any two classes.
        background: label b of the background, whose agreement earns nothing.
        weighting: "default", or "GDL" for classes weighted by one over their volume, the background
            as any other.
        activation: "softmax" or "identity".
        class_weight: C numbers >= 0, what a pixel of each true class counts.
        include_background: False counts no pixel whose label is 0.
        reduction: "mean", "sum" or "none", then ``(G, 1)``.

    Raises:
        ValueError: for distances or a background that don't fit the number of classes.

    Source: Fidon et al. 2017, "Generalised Wasserstein Dice score for imbalanced multi-class
    segmentation using holistic convolutional networks", arXiv:1707.00478; "GDL": Tilborghs et al.
    2020, arXiv:2007.15546.

    >>> import torch
    >>> M = [[0.0, 1.0, 1.0], [1.0, 0.0, 0.5], [1.0, 0.5, 0.0]]
    >>> loss = GeneralizedWassersteinDiceLoss(M, smooth=0.0, activation="identity")
    >>> p = torch.tensor([[[1., .5], [0., .5], [0., 0.]]])   # W = (0, .5), TP = 1 (1 - .5)
    >>> loss(p, torch.tensor([[0, 1]]))                      # 1 - 1 / (1 + .5)
    tensor(0.3333)
    """

    columns_are_classes: ClassVar[bool] = False
    activations: ClassVar[tuple[Activation, ...]] = ("softmax", "identity")

    distances: Tensor | None

    def __init__(
        self,
        distances: Distances = None,
        background: int = 0,
        weighting: Literal["default", "GDL"] = "default",
        **options: Unpack[WassersteinOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("weighting", weighting, ("default", "GDL"))
        exact = validation.distance_matrix(distances)
        self.keep_numbers("distances", exact)
        self.background = validation.whole_number("background", background)
        if exact is not None and self.background >= len(exact):
            raise ValueError(
                f"background must be one of the {len(exact)} classes of distances, got {background}"
            )
        self.weighting = weighting

    def distances_between(self, batch: Batch) -> Tensor:
        """M, ``(C, C)``, for the classes of the batch and in its precision."""
        classes = batch.num_classes
        validation.enough_classes(self, classes, 2)
        if self.background >= classes:
            raise ValueError(
                f"background must be one of the {classes} classes, got {self.background}"
            )
        distances = self.numbers("distances", batch.logits)
        if distances is None:
            return 1 - torch.eye(classes, dtype=batch.logits.dtype, device=batch.logits.device)
        if len(distances) != classes:
            raise ValueError(
                f"distances must have a row for each of the {classes} classes, got {len(distances)}"
            )
        return distances

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        distances, labels = self.distances_between(batch), batch.labels
        measure = self.pixel_factors(batch)
        wasserstein = F.wasserstein_map(batch.probabilities, labels, distances)
        smooth = self.smooth_pair
        if self.weighting == "GDL":
            weight = torch.ones_like(measure) if batch.weight is None else batch.weight
            volumes = F.class_volumes(labels, weight, batch.num_classes, per_image=self.per_image)
            index = F.volume_weighted_wasserstein_dice_index(
                wasserstein, labels, measure, volumes, smooth, per_image=self.per_image
            )
        else:
            index = F.wasserstein_dice_index(
                wasserstein,
                labels,
                measure,
                distances,
                self.background,
                smooth,
                per_image=self.per_image,
            )
        counted = (measure > 0).flatten(1).any(1, keepdim=True)
        return 1 - index, counted if self.per_image else counted.any(0, keepdim=True)
