"""Losses that draw boundary pixels to the right neighbours."""

from __future__ import annotations

import math
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import SegmentationLoss
from metriseg.options import LossOptions, Reduction
from metriseg.reduction import mean, reduce_pixels
from metriseg.statistics import RegionStatistics

__all__ = ["ConditionalBoundaryLoss"]

#: A term that boundary pixels have once: its weight, its values and which of them count, (N, *S).
Term = tuple[float, Tensor, Tensor]


class ConditionalBoundaryLoss(SegmentationLoss):
    r"""Conditional boundary loss: a boundary pixel follows those neighbours that are right.

    .. math:: \ell = a\,\overline{\tfrac1D\|x - \bar x\|^2}
              + b\,\overline{(\cos(x, x') - [y = y'])^2}
              + \tfrac c2 \bigl(\overline{\mathrm{CE}(\bar z)} + \overline{\mathrm{CE}(\tilde z)}
              \bigr)

    Neighbours stand in a square window around a boundary pixel, itself left out. The first term
    takes boundary pixels that are classified rightly to the mean :math:`\bar x` of their rightly
    classified neighbours of the same class (detached); the second looks at every pair of a boundary
    pixel and a rightly classified neighbour x'; the third wants the mean of these neighbours, and
    of all of the same class, to be classified rightly. Averaged over the boundary pixels of each
    class and then over classes, the second over pairs. Values lie in :math:`[0, \infty)`; a perfect
    prediction has 0 only where embeddings of a class agree and those of different classes are
    orthogonal. No boundary pixel with such neighbours: 0.

    Embeddings x are the ``features`` given to the call, or the logits. The classifier is taken to
    be linear, so that the scores of a mean are the mean of the scores (of ln p under "identity");
    the third term's gradient therefore reaches the classifier too. A pixel's weight, and that of
    its class, is its share in the means.

    Args:
        window: side of the window, odd, >= 3.
        center_weight: a >= 0.
        pair_weight: b >= 0.
        classification_weight: c >= 0.
        boundary_width: how many pixels from another label the boundary reaches, >= 1, along axes or
            diagonals; None for 2 % of the image's diagonal, at least 1.
        activation: "softmax" or "identity".
        class_weight: C numbers >= 0; means divide by the weights that they met.
        reduction: "mean", "sum" (pairs are summed too) or "none", then ``(N, *S)``.

    Raises:
        ValueError: for soft labels, for fewer than two classes.

    Source: Wu et al. 2023, "Conditional boundary loss for semantic segmentation",
    doi:10.1109/TIP.2023.3290519.

    >>> import torch
    >>> loss = ConditionalBoundaryLoss(center_weight=0.0, classification_weight=0.0)
    >>> loss(torch.tensor([[[1., 0.], [0., 1.]]]), torch.tensor([[0, 1]]))   # right, orthogonal
    tensor(0.)
    """

    activations: ClassVar[tuple[Activation, ...]] = ("softmax", "identity")

    def __init__(
        self,
        window: int = 5,
        center_weight: float = 2.0,
        pair_weight: float = 1.0,
        classification_weight: float = 0.2,
        boundary_width: int | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.window = validation.odd_number("window", window, low=3)
        self.center_weight = validation.number("center_weight", center_weight, low=0.0)
        self.pair_weight = validation.number("pair_weight", pair_weight, low=0.0)
        self.classification_weight = validation.number(
            "classification_weight", classification_weight, low=0.0
        )
        self.boundary_width = validation.optional(
            validation.whole_number, "boundary_width", boundary_width, low=1
        )

    def evaluate(self, batch: Batch) -> Tensor:
        """``(N, *S)``: the sum of each boundary pixel's terms, over its pairs too."""
        (sums, _), terms = self._terms(batch)
        total = self.pair_weight * sums
        for weight, values, counted in terms:
            total = total + weight * torch.where(counted, values, 0.0)
        return total

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        factors = self.pixel_factors(batch)
        if reduction != "mean":
            return reduce_pixels(self.evaluate(batch), factors, reduction, factors.sum())
        (sums, numbers), terms = self._terms(batch)
        total = self.pair_weight * mean((sums * factors).sum(), (numbers * factors).sum())
        for weight, values, counted in terms:
            total = total + weight * (values * self._shares(batch, counted)).sum()
        return total

    def _terms(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], list[Term]]:
        """Sums and numbers of pairs, and the terms that a boundary pixel has once."""
        validation.enough_classes(self, batch.num_classes, 2)
        labels = batch.labels
        valid = torch.ones_like(labels, dtype=torch.bool) if batch.valid is None else batch.valid
        pairs, (distance, shown, every) = F.conditional_boundary(
            batch.embedding,
            batch.log_probabilities,
            labels,
            (batch.masked_logits.argmax(1) == labels) & valid,
            valid,
            self._width(labels),
            self.window // 2,
        )
        half = self.classification_weight / 2
        return pairs, [(self.center_weight, *distance), (half, *shown), (half, *every)]

    def _width(self, labels: Tensor) -> int:
        """How far the boundary reaches, in pixels."""
        if self.boundary_width is not None:
            return self.boundary_width
        return max(1, round(0.02 * math.hypot(*labels.shape[1:])))

    def _shares(self, batch: Batch, counted: Tensor) -> Tensor:
        """``(N, *S)``: what every pixel has in the mean over each class, then over classes."""
        labels, factors = batch.labels, self.class_factors(batch)
        mass = counted.to(batch.logits.dtype)
        if batch.weight is not None:
            mass = mass * batch.weight
        of_class = mass.new_zeros(batch.num_classes)
        masses = of_class.index_add(0, labels.flatten(), mass.flatten())
        present = (masses > 0).to(mass.dtype)
        parts = present if factors is None else present * factors
        return mass * mean(mean(parts, masses), parts.sum())[labels]
