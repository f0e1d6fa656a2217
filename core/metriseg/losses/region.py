"""Losses that are functions of region statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation
from metriseg.losses.base import Classes, ClassWeight, Reduction, RegionLoss
from metriseg.statistics import RegionStatistics


class DiceLoss(RegionLoss):
    r"""Dice loss: one minus the Dice coefficient of every class.

    .. math:: \ell_c = 1 - \frac{2 I_c + \epsilon}{S_c + Y_c + \epsilon}, \quad
              I_c = \sum p_c t_c,\; S_c = \sum p_c,\; Y_c = \sum t_c

    averaged over classes, then over images. Values lie in [0, 1], 0 at a perfect hard prediction;
    a class neither there nor predicted costs 0. Shapes as in
    :class:`~metriseg.losses.base.SegmentationLoss`.

    Args:
        smooth: epsilon >= 0, or a pair (numerator, denominator).
        classes: "all", or "present" to average the classes that the target holds.
        per_image: sums over each image (mean over images), or over the batch.
        sync: sum the statistics over ranks, with gradient; needs ``per_image=False``.
        activation: "softmax", "sigmoid" (one channel, or one question a class) or "identity".
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; the mean divides by their sum.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then ``(G, C)``.

    Raises:
        ValueError: for an argument outside its domain, and for logits, targets or weights of the
            wrong shape, type or range.

    Source: Azad et al. 2023, "Loss functions in the era of semantic segmentation",
    arXiv:2312.05391, equations 6 and 7.

    >>> import torch
    >>> loss = DiceLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.3810)
    """

    def __init__(
        self,
        *,
        smooth: float | tuple[float, float] = 1e-5,
        classes: Classes = "all",
        per_image: bool = True,
        sync: bool = False,
        activation: Activation = "softmax",
        ignore_index: int | None = None,
        class_weight: ClassWeight = None,
        include_background: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            smooth=smooth,
            classes=classes,
            per_image=per_image,
            sync=sync,
            activation=activation,
            ignore_index=ignore_index,
            class_weight=class_weight,
            include_background=include_background,
            reduction=reduction,
        )

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.dice_index(s, self.smooth_pair)


class JaccardLoss(RegionLoss):
    r"""Jaccard loss: one minus the soft intersection over union of every class.

    .. math:: \ell_c = 1 - \frac{I_c + \epsilon}{S_c + Y_c - I_c + \epsilon}, \quad
              I_c = \sum p_c t_c,\; S_c = \sum p_c,\; Y_c = \sum t_c

    averaged over classes, then over images. Values lie in [0, 1], 0 at a perfect hard prediction;
    a class neither there nor predicted costs 0. Shapes as in
    :class:`~metriseg.losses.base.SegmentationLoss`.

    Args:
        smooth: epsilon >= 0, or a pair (numerator, denominator).
        classes: "all", or "present" to average the classes that the target holds.
        per_image: sums over each image (mean over images), or over the batch.
        sync: sum the statistics over ranks, with gradient; needs ``per_image=False``.
        activation: "softmax", "sigmoid" (one channel, or one question a class) or "identity".
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; the mean divides by their sum.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then ``(G, C)``.

    Raises:
        ValueError: for an argument outside its domain, and for logits, targets or weights of the
            wrong shape, type or range.

    Source: Rahman & Wang 2016, "Optimizing intersection-over-union in deep neural networks for
    image segmentation", doi:10.1007/978-3-319-50835-1_22.

    >>> import torch
    >>> loss = JaccardLoss(smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.5500)
    """

    def __init__(
        self,
        *,
        smooth: float | tuple[float, float] = 1e-5,
        classes: Classes = "all",
        per_image: bool = True,
        sync: bool = False,
        activation: Activation = "softmax",
        ignore_index: int | None = None,
        class_weight: ClassWeight = None,
        include_background: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            smooth=smooth,
            classes=classes,
            per_image=per_image,
            sync=sync,
            activation=activation,
            ignore_index=ignore_index,
            class_weight=class_weight,
            include_background=include_background,
            reduction=reduction,
        )

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.jaccard_index(s, self.smooth_pair)


class PowerJaccardLoss(RegionLoss):
    r"""Power Jaccard loss: a Jaccard loss whose union is taken of powers.

    .. math:: \ell_c = 1 - \frac{I_c + \epsilon}
              {\sum t_c^q + \sum p_c^q - I_c + \epsilon}, \quad I_c = \sum p_c t_c

    with the power q in [1, 2], averaged over classes. Power 1 is the Jaccard loss. Values lie in
    [0, 1], 0 at a perfect hard prediction; a class neither there nor predicted costs 0. Shapes as
    in :class:`~metriseg.losses.base.SegmentationLoss`.

    Args:
        power: q in [1, 2]; above 2 the loss has its minimum inside (0, 1) and below zero.
        smooth: epsilon >= 0, or a pair (numerator, denominator).
        classes: "all", or "present" to average the classes that the target holds.
        per_image: sums over each image (mean over images), or over the batch.
        sync: sum the statistics over ranks, with gradient; needs ``per_image=False``.
        activation: "softmax", "sigmoid" (one channel, or one question a class) or "identity".
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; the mean divides by their sum.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then ``(G, C)``.

    Raises:
        ValueError: for an argument outside its domain, and for logits, targets or weights of the
            wrong shape, type or range.

    Source: Duque-Arias et al. 2021, "On power Jaccard losses for semantic segmentation",
    hal-03139997, equation 3, with the sums taken inside the ratio as in the authors' code.

    >>> import torch
    >>> loss = PowerJaccardLoss(power=2.0, smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.3394)
    """

    def __init__(
        self,
        power: float = 1.5,
        *,
        smooth: float | tuple[float, float] = 1e-5,
        classes: Classes = "all",
        per_image: bool = False,
        sync: bool = False,
        activation: Activation = "softmax",
        ignore_index: int | None = None,
        class_weight: ClassWeight = None,
        include_background: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            smooth=smooth,
            classes=classes,
            per_image=per_image,
            sync=sync,
            activation=activation,
            ignore_index=ignore_index,
            class_weight=class_weight,
            include_background=include_background,
            reduction=reduction,
        )
        self.power = validation.number("power", power, low=1.0, high=2.0)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({1.0, self.power})

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.power_jaccard_index(s, self.power, self.smooth_pair)


class TverskyLoss(RegionLoss):
    r"""Tversky loss: an overlap loss with a price for each kind of error.

    .. math:: \ell_c = 1 - \frac{TP_c + \epsilon}
              {TP_c + w_{FP}\, FP_c + w_{FN}\, FN_c + \epsilon}

    with :math:`TP = \sum p t,\ FP = \sum p (1 - t),\ FN = \sum (1 - p) t`, averaged over classes,
    then over images. At ``smooth=0`` both weights 0.5 give the Dice loss and both 1 the Jaccard
    loss. Values lie in [0, 1], 0 at a perfect hard prediction; a class neither there nor predicted
    costs 0. Shapes as in :class:`~metriseg.losses.base.SegmentationLoss`.

    Args:
        fp_weight: price of false positives, >= 0.
        fn_weight: price of false negatives, >= 0.
        smooth: epsilon >= 0, or a pair (numerator, denominator).
        classes: "all", or "present" to average the classes that the target holds.
        per_image: sums over each image (mean over images), or over the batch.
        sync: sum the statistics over ranks, with gradient; needs ``per_image=False``.
        activation: "softmax", "sigmoid" (one channel, or one question a class) or "identity".
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; the mean divides by their sum.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then ``(G, C)``.

    Raises:
        ValueError: for an argument outside its domain, and for logits, targets or weights of the
            wrong shape, type or range. ``alpha`` and ``beta`` are refused: papers and libraries
            disagree which of them is the price of a false positive.

    Source: Salehi et al. 2017, "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", arXiv:1706.05721 (their alpha is ``fp_weight``).

    >>> import torch
    >>> loss = TverskyLoss(fp_weight=0.3, fn_weight=0.7, smooth=0.0, activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))
    tensor(0.3809)
    """

    synonyms: ClassVar[Mapping[str, str]] = {
        "alpha": "say 'fp_weight' for the price of false positives and 'fn_weight' for that of"
        " false negatives (in the original paper alpha is fp_weight; elsewhere it is the other)",
        "beta": "say 'fn_weight' for the price of false negatives and 'fp_weight' for that of"
        " false positives (in the original paper beta is fn_weight; elsewhere it is the other)",
    }

    def __init__(
        self,
        fp_weight: float = 0.3,
        fn_weight: float = 0.7,
        *,
        smooth: float | tuple[float, float] = 1e-5,
        classes: Classes = "all",
        per_image: bool = True,
        sync: bool = False,
        activation: Activation = "softmax",
        ignore_index: int | None = None,
        class_weight: ClassWeight = None,
        include_background: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            smooth=smooth,
            classes=classes,
            per_image=per_image,
            sync=sync,
            activation=activation,
            ignore_index=ignore_index,
            class_weight=class_weight,
            include_background=include_background,
            reduction=reduction,
        )
        self.fp_weight = validation.number("fp_weight", fp_weight, low=0.0)
        self.fn_weight = validation.number("fn_weight", fn_weight, low=0.0)

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.tversky_index(s, self.fp_weight, self.fn_weight, self.smooth_pair)
