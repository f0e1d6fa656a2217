"""Losses that are Lovász extensions of the Jaccard loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import Classes, ClassWeight, Reduction, TableLoss, counted_classes
from metriseg.statistics import RegionStatistics


class LovaszSoftmaxLoss(TableLoss):
    r"""Lovász-Softmax loss: the convex extension of the Jaccard loss to errors of probabilities.

    .. math:: \ell_c = \sum_i m_{(i)} \bigl(J_i - J_{i-1}\bigr), \quad
              m = |t_c - p_c|,\; m_{(1)} \ge m_{(2)} \ge \dots

    where :math:`J_i` is the Jaccard loss of class c if exactly the i pixels of largest error were
    wrong; averaged over classes, then over groups. At hard predictions it is the Jaccard loss
    itself. A class that isn't there costs its largest probability. Values lie in [0, 1], 0 at a
    perfect hard prediction, 1 where every pixel is wrong. Shapes as in
    :class:`~metriseg.losses.base.SegmentationLoss`.

    Args:
        classes: "present" to average the classes that the target holds, or "all".
        per_image: an order of errors, and a mean, for each image, or one for the batch.
        activation: "softmax", "sigmoid" (one channel, or one question a class) or "identity".
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; the mean divides by their sum.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then ``(G, C)``.

    Raises:
        ValueError: for an argument outside its domain, for logits, targets or weights of the
            wrong shape, type or range, and for soft labels (a Jaccard loss of sets has none).

    Source: Berman et al. 2018, "The Lovász-Softmax loss: a tractable surrogate for the optimization
    of the intersection-over-union measure in neural networks", arXiv:1705.08790.

    >>> import torch
    >>> loss = LovaszSoftmaxLoss(activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))   # mean of .375, .5
    tensor(0.4375)
    """

    def __init__(
        self,
        *,
        classes: Classes = "present",
        per_image: bool = False,
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
        validation.one_of("classes", classes, ("all", "present"))
        self.classes = classes
        self.per_image = bool(per_image)

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        own = _hard_masks(batch)
        p = batch.probabilities
        values = _extension(torch.where(own, 1 - p, p), own, batch.weight, per_image=self.per_image)
        return values, counted_classes(batch, self.classes, per_image=self.per_image)


class LovaszHingeLoss(TableLoss):
    r"""Lovász hinge: the convex extension of the Jaccard loss to hinge errors of raw logits.

    .. math:: \ell_c = \sum_i \max(m_{(i)}, 0) \bigl(J_i - J_{i-1}\bigr), \quad
              m = 1 - (2 t_c - 1) z_c,\; m_{(1)} \ge m_{(2)} \ge \dots

    where :math:`J_i` is the Jaccard loss of class c if exactly the i pixels of largest error were
    wrong; averaged over classes, then over groups. Every channel is a yes-or-no question whose
    answer is the sign of the logit z. A class that isn't there costs its largest error. Values lie
    in [0, oo), 0 at a perfect prediction of margin 1: once every logit is right and at least 1
    away from 0. Shapes as in :class:`~metriseg.losses.base.SegmentationLoss`.

    Args:
        classes: "all", or "present" to average the classes that the target holds.
        per_image: an order of errors, and a mean, for each image, or one for the batch.
        activation: "sigmoid": the logits are those of one question a channel.
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0; the mean divides by their sum.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then ``(G, C)``.

    Raises:
        ValueError: for an argument outside its domain, for logits, targets or weights of the
            wrong shape, type or range, and for soft labels (a Jaccard loss of sets has none).

    Source: Berman et al. 2018, "The Lovász-Softmax loss: a tractable surrogate for the optimization
    of the intersection-over-union measure in neural networks", arXiv:1705.08790, section 3.1.

    >>> import torch
    >>> loss = LovaszHingeLoss()
    >>> loss(torch.tensor([[[.5, -.5, -2.]]]), torch.tensor([[1, 1, 0]]))      # (1.5 + .5) / 2
    tensor(1.)
    """

    activations: ClassVar[tuple[Activation, ...]] = ("sigmoid",)

    def __init__(
        self,
        *,
        classes: Classes = "all",
        per_image: bool = True,
        activation: Activation = "sigmoid",
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
        validation.one_of("classes", classes, ("all", "present"))
        self.classes = classes
        self.per_image = bool(per_image)

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        own = _hard_masks(batch)
        z = batch.masked_logits
        # errors that the hinge takes to 0 add nothing, wherever they stand in the order
        errors = torch.relu(1 - torch.where(own, z, -z))
        values = _extension(errors, own, batch.weight, per_image=self.per_image)
        return values, counted_classes(batch, self.classes, per_image=self.per_image)


def _hard_masks(batch: Batch) -> Tensor:
    """``(N, C, *S)`` bool, of a target that holds nothing between 0 and 1."""
    if not batch.has_labels:
        validation.hard_target(batch.target, exclusive=not batch.one_vs_rest, valid=batch.valid)
    return batch.masks


def _extension(errors: Tensor, own: Tensor, weight: Tensor | None, *, per_image: bool) -> Tensor:
    """``(G, C)``: the Lovász extension for every class in every group."""
    if weight is not None:
        weight = _rows(weight.unsqueeze(1), per_image)
    return F.lovasz_jaccard(_rows(errors, per_image), _rows(own, per_image), weight)


def _rows(values: Tensor, per_image: bool) -> Tensor:
    """``(N, C, *S)`` to ``(G, C, P)``: all pixels of a group in one axis."""
    rows = values.flatten(2)
    return rows if per_image else rows.transpose(0, 1).flatten(1).unsqueeze(0)
