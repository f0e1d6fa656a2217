"""The Jaccard loss that is a metric between soft masks."""

from __future__ import annotations

from typing import ClassVar, Literal, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import OverlapLoss
from metriseg.options import GroupOptions, RegionOptions, SmoothOption
from metriseg.statistics import RegionStatistics, region_statistics

__all__ = ["JaccardMetricLoss"]

Form = Literal["norms", "product"]


class JaccardMetricOptions(SmoothOption, GroupOptions, total=False):
    """Its sums are not added over ranks."""


class JaccardMetricLoss(OverlapLoss):
    r"""Jaccard metric loss: a Jaccard loss that is 0 at the truth also where labels are soft.

    .. math:: \ell_c = 1 - \frac{A_c - D_c + \epsilon}{A_c + D_c + \epsilon}
              \;\text{("norms")}, \quad
              \ell_c = 1 - \frac{I_c + \epsilon}{I_c + D_c + \epsilon} \;\text{("product")}

    with :math:`A = \sum |p + t|,\ D = \sum |p - t|,\ I = \sum p t`, averaged over classes, then
    over images. At ``smooth=0`` both forms are metrics on soft masks, and the Jaccard loss on hard
    labels. Values lie in [0, 1], 0 at a perfect prediction, soft or hard; a class neither there nor
    predicted costs 0. Where p equals t the slope of :math:`|p - t|` is 0.

    Args:
        form: "norms" or "product", see above; they differ between soft masks.

    Source: Wang et al. 2023, "Jaccard metric losses: optimizing the Jaccard index with soft
    labels", arXiv:2302.05666.

    >>> import torch
    >>> loss = JaccardMetricLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.5, .5]]]), torch.tensor([[.5, 0.]]))     # 1 - (1.5 - .5) / (1.5 + .5)
    tensor(0.5000)
    """

    weighs_classes: ClassVar[bool] = True
    defaults: ClassVar[RegionOptions] = {"smooth": 1e-3}

    def __init__(self, form: Form = "norms", **options: Unpack[JaccardMetricOptions]) -> None:
        super().__init__(**options)
        validation.one_of("form", form, ("norms", "product"))
        self.form = form

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({1.0})

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        s = region_statistics(batch, self.moments) if statistics is None else statistics
        measure = batch.weight if batch.annotation is None else batch.annotation
        difference = F.absolute_difference(batch.probabilities, batch.target, measure)
        if not self.per_image:
            s, difference = s.pooled(), difference.sum(0, keepdim=True)
        if self.form == "norms":
            total = s.predicted[1.0] + s.target[1.0]
            values = F.jaccard_metric(total, difference, self.smooth_pair)
        else:
            values = F.jaccard_metric_of_product(s.overlap[1.0], difference, self.smooth_pair)
        return values, self.counted(s)
