"""Overlap losses that are 0 at the truth also where labels are soft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Unpack

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.difference import DifferenceLoss, DifferenceOptions
from metriseg.losses.region import TVERSKY_SYNONYMS
from metriseg.options import RegionOptions
from metriseg.statistics import RegionStatistics

__all__ = ["DiceSemimetricLoss", "JaccardMetricLoss", "TverskySemimetricLoss"]

Form = Literal["norms", "product"]


class _SoftMasksLoss(DifferenceLoss):
    """What soft masks have in common, of their norms or of their product.

    Args:
        form: "norms" or "product", see above; they differ between soft masks.
    """

    defaults: ClassVar[RegionOptions] = {"smooth": 1e-3}

    def __init__(self, form: Form = "norms", **options: Unpack[DifferenceOptions]) -> None:
        super().__init__(**options)
        validation.one_of("form", form, ("norms", "product"))
        self.form = form

    def differences(self, batch: Batch) -> tuple[Tensor, ...]:
        return (F.absolute_difference(batch.probabilities, batch.target, batch.finest_weight),)


class JaccardMetricLoss(_SoftMasksLoss):
    r"""Jaccard metric loss: a Jaccard loss that is 0 at the truth also where labels are soft.

    .. math:: \ell_c = 1 - \frac{A_c - D_c + \epsilon}{A_c + D_c + \epsilon}
              \;\text{("norms")}, \quad
              \ell_c = 1 - \frac{I_c + \epsilon}{I_c + D_c + \epsilon} \;\text{("product")}

    with :math:`A = \sum |p + t|,\ D = \sum |p - t|,\ I = \sum p t`, averaged over classes, then
    over images. At ``smooth=0`` both forms are metrics on soft masks, and the Jaccard loss on hard
    labels. Values lie in [0, 1], 0 at a perfect prediction, soft or hard; a class neither there nor
    predicted costs 0. Where p equals t the slope of :math:`|p - t|` is 0.

    Source: Wang et al. 2023, "Jaccard metric losses: optimizing the Jaccard index with soft
    labels", arXiv:2302.05666.

    >>> import torch
    >>> loss = JaccardMetricLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.5, .5]]]), torch.tensor([[.5, 0.]]))     # 1 - (1.5 - .5) / (1.5 + .5)
    tensor(0.5000)
    """

    def distance(self, s: RegionStatistics, *differences: Tensor) -> Tensor:
        (difference,) = differences
        if self.form == "norms":
            total = s.predicted[1.0] + s.target[1.0]
            return F.jaccard_metric(total, difference, self.smooth_pair)
        return F.jaccard_metric_of_product(s.overlap[1.0], difference, self.smooth_pair)


class DiceSemimetricLoss(_SoftMasksLoss):
    r"""Dice semimetric loss: a Dice loss that is 0 at the truth also where labels are soft.

    .. math:: \ell_c = 1 - \frac{A_c - D_c + \epsilon}{A_c + \epsilon}
              \;\text{("norms")}, \quad
              \ell_c = 1 - \frac{2 I_c + \epsilon}{2 I_c + D_c + \epsilon} \;\text{("product")}

    with :math:`A = \sum |p + t|,\ D = \sum |p - t|,\ I = \sum p t`, averaged over classes, then
    over images. At ``smooth=0`` both forms are semimetrics on soft masks (symmetric, and 0 for
    equal ones alone), and the Dice loss on hard labels. Values lie in [0, 1], 0 at a perfect
    prediction, soft or hard; a class neither there nor predicted costs 0. Where p equals t the
    slope of :math:`|p - t|` is 0. The form of norms is ``DiceLoss(overlap="minimum")``, with more
    digits where it is small.

    Args:
        form: "norms" (the authors' first loss) or "product" (their second), see above; they differ
            between soft masks.

    Source: Wang et al. 2023, "Dice semimetric losses: optimizing the Dice score with soft labels",
    arXiv:2303.16296.

    >>> import torch
    >>> loss = DiceSemimetricLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.5, .5]]]), torch.tensor([[.5, 0.]]))     # 1 - (1.5 - .5) / 1.5
    tensor(0.3333)
    """

    def distance(self, s: RegionStatistics, *differences: Tensor) -> Tensor:
        (difference,) = differences
        if self.form == "norms":
            total = s.predicted[1.0] + s.target[1.0]
            return F.dice_semimetric(total, difference, self.smooth_pair)
        return F.dice_semimetric_of_product(s.overlap[1.0], difference, self.smooth_pair)


class TverskySemimetricLoss(_SoftMasksLoss):
    r"""Compatible Tversky loss: a Tversky loss that is 0 at the truth also where labels are soft.

    .. math:: \ell_c = 1 - \frac{O_c + \epsilon}{O_c + w_{FP} \sum \max(p_c - t_c, 0)
              + w_{FN} \sum \max(t_c - p_c, 0) + \epsilon}

    with :math:`O = \sum \min(p, t)` ("norms", for it is half of :math:`\sum |p + t| - |p - t|`) or
    :math:`O = \sum p t` ("product"), averaged over classes, then over images. At ``smooth=0`` it is
    the Tversky loss on hard labels, and on all labels :class:`DiceSemimetricLoss` with both weights
    0.5 and :class:`JaccardMetricLoss` with both 1. Values lie in [0, 1], 0 at a perfect prediction,
    soft or hard; a class neither there nor predicted costs 0. Where p equals t the slope is 0. The
    form of norms is ``TverskyLoss(overlap="minimum")``, with more digits where it is small.

    Args:
        fp_weight: price of false positives, >= 0.
        fn_weight: price of false negatives, >= 0.
        form: "norms" (the authors') or "product", see above; they differ between soft masks.

    Raises:
        ValueError: for ``alpha`` and ``beta``: papers and libraries disagree which of them is the
            price of a false positive.

    Source: Wang et al. 2023, "Dice semimetric losses: optimizing the Dice score with soft labels",
    arXiv:2303.16296 (their alpha is ``fp_weight``).

    >>> import torch
    >>> loss = TverskySemimetricLoss(0.5, 0.5, smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.5, .5]]]), torch.tensor([[.5, 0.]]))     # 1 - .5 / (.5 + .5 / 2)
    tensor(0.3333)
    """

    synonyms: ClassVar[Mapping[str, str]] = TVERSKY_SYNONYMS

    def __init__(
        self,
        fp_weight: float = 0.3,
        fn_weight: float = 0.7,
        form: Form = "norms",
        **options: Unpack[DifferenceOptions],
    ) -> None:
        super().__init__(form, **options)
        self.fp_weight = validation.number("fp_weight", fp_weight, low=0.0)
        self.fn_weight = validation.number("fn_weight", fn_weight, low=0.0)

    def differences(self, batch: Batch) -> tuple[Tensor, ...]:
        return F.one_sided_differences(batch.probabilities, batch.target, batch.finest_weight)

    def distance(self, s: RegionStatistics, *differences: Tensor) -> Tensor:
        above, below = differences
        overlap = s.overlap[1.0]
        if self.form == "norms":
            overlap = (s.predicted[1.0] + s.target[1.0] - above - below) / 2
        return F.tversky_semimetric(
            overlap, above, below, self.fp_weight, self.fn_weight, self.smooth_pair
        )
