"""The Jaccard loss that is a metric between soft masks."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import Classes, ClassWeight, Reduction, TableLoss
from metriseg.statistics import RegionStatistics, region_statistics

Form = Literal["norms", "product"]


class JaccardMetricLoss(TableLoss):
    r"""Jaccard metric loss: a Jaccard loss that is 0 at the truth also where labels are soft.

    .. math:: \ell_c = 1 - \frac{A_c - D_c + \epsilon}{A_c + D_c + \epsilon}
              \;\text{("norms")}, \quad
              \ell_c = 1 - \frac{I_c + \epsilon}{I_c + D_c + \epsilon} \;\text{("product")}

    with :math:`A = \sum |p + t|,\ D = \sum |p - t|,\ I = \sum p t`, averaged over classes, then
    over images. At ``smooth=0`` both forms are metrics on soft masks, and the Jaccard loss on hard
    labels. Values lie in [0, 1], 0 at a perfect prediction, soft or hard; a class neither there
    nor predicted costs 0. Where p equals t the slope of :math:`|p - t|` is 0. Shapes as in
    :class:`~metriseg.losses.base.SegmentationLoss`.

    Args:
        form: "norms" or "product", see above; they differ between soft masks.
        smooth: epsilon >= 0, or a pair (numerator, denominator).
        classes: "all", or "present" to average the classes that the target holds.
        per_image: sums over each image (mean over images), or over the batch.
        activation: "softmax", "sigmoid" (one channel, or one question a class) or "identity".
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; the mean divides by their sum.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then ``(G, C)``.

    Raises:
        ValueError: for an argument outside its domain, and for logits, targets or weights of the
            wrong shape, type or range.

    Source: Wang et al. 2023, "Jaccard metric losses: optimizing the Jaccard index with soft
    labels", arXiv:2302.05666.

    >>> import torch
    >>> loss = JaccardMetricLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.5, .5]]]), torch.tensor([[.5, 0.]]))     # 1 - (1.5 - .5) / (1.5 + .5)
    tensor(0.5000)
    """

    def __init__(
        self,
        form: Form = "norms",
        *,
        smooth: float | tuple[float, float] = 1e-3,
        classes: Classes = "all",
        per_image: bool = True,
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
        validation.one_of("form", form, ("norms", "product"))
        validation.one_of("classes", classes, ("all", "present"))
        validation.smoothing(smooth)
        self.form = form
        self.smooth = smooth
        self.classes = classes
        self.per_image = bool(per_image)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({1.0})

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        s = region_statistics(batch, self.moments) if statistics is None else statistics
        difference = _difference(batch)
        if not self.per_image:
            s, difference = s.pooled(), difference.sum(0, keepdim=True)
        smooth = validation.smoothing(self.smooth)
        if self.form == "norms":
            total = s.predicted[1.0] + s.target[1.0]
            values = F.jaccard_metric(total, difference, smooth)
        else:
            values = F.jaccard_metric_of_product(s.overlap[1.0], difference, smooth)
        counted = s.count > 0
        return values, counted & (s.target[1.0] > 0) if self.classes == "present" else counted


def _difference(batch: Batch) -> Tensor:
    """``(N, C)``: sum |p - t| of every class in every image.

    No region statistic: it isn't a function of sums of powers.
    """
    p = batch.probabilities
    if batch.has_labels:
        own = batch.target.unsqueeze(1)
        apart = p.scatter(1, own, p.gather(1, own) - 1)
    else:
        apart = p - batch.target
    apart = apart.abs()
    if batch.weight is not None:
        apart = apart * batch.weight.unsqueeze(1)
    return apart.flatten(2).sum(2)
