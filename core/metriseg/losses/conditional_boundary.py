"""Losses that draw boundary pixels to the right neighbours."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import (
    ClassWeight,
    Reduction,
    SegmentationLoss,
    mean,
    pixel_factors,
    reduce_pixels,
)
from metriseg.statistics import RegionStatistics

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
    orthogonal. No boundary pixel with such neighbours: 0. Shapes as in
    :class:`~metriseg.losses.base.SegmentationLoss`.

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
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; means divide by the weights that they met.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" (pairs are summed too) or "none", then ``(N, *S)``.

    Raises:
        ValueError: for soft labels, for fewer than two classes, for an argument outside its domain,
            and for logits, targets, weights or features of the wrong shape, type or range.

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
        *,
        activation: Activation = "softmax",
        ignore_index: int | None = None,
        class_weight: ClassWeight = None,
        include_background: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            activation=activation,
            ignore_index=ignore_index,
            class_weight=class_weight,
            include_background=include_background,
            reduction=reduction,
        )
        self.window = validation.whole_number("window", window, low=3)
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, it has a pixel in the middle, got {window}")
        self.center_weight = validation.number("center_weight", center_weight, low=0.0)
        self.pair_weight = validation.number("pair_weight", pair_weight, low=0.0)
        self.classification_weight = validation.number(
            "classification_weight", classification_weight, low=0.0
        )
        self.boundary_width = (
            None
            if boundary_width is None
            else validation.whole_number("boundary_width", boundary_width, low=1)
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
        factors = pixel_factors(self, batch)
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
        labels, features = batch.labels, batch.embedding
        valid = torch.ones_like(labels, dtype=torch.bool) if batch.valid is None else batch.valid
        right = (batch.masked_logits.argmax(1) == labels) & valid
        boundary = F.label_boundary(labels, valid, self._width(labels))
        radius = self.window // 2

        # ln p is the scores up to a constant at each pixel, which the softmax of a mean forgets
        scores = batch.log_probabilities
        both, witnesses = F.local_class_mean(
            torch.cat([features.detach(), scores], 1), labels, right, radius
        )
        centers, shown = both[:, : features.shape[1]], both[:, features.shape[1] :]
        every, companions = F.local_class_mean(scores, labels, valid, radius)
        distance = (features - centers).square().mean(1)
        anchors = boundary & right & (witnesses > 0)

        sums, numbers = F.neighbour_similarity(features, labels, right, radius)
        pairs = sums * boundary, numbers * boundary

        half = self.classification_weight / 2
        return pairs, [
            (self.center_weight, distance, anchors),
            (half, F.cross_entropy(shown.log_softmax(1), labels), anchors),
            (half, F.cross_entropy(every.log_softmax(1), labels), boundary & (companions > 0)),
        ]

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
