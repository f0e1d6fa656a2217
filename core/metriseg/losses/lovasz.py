"""Losses that are Lovász extensions of the Jaccard loss."""

from __future__ import annotations

import abc
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import OverlapLoss
from metriseg.options import GroupOptions, RegionOptions
from metriseg.passes import label_errors
from metriseg.reduction import counted_classes
from metriseg.statistics import RegionStatistics, has_label_logs

__all__ = ["LovaszHingeLoss", "LovaszSoftmaxLoss"]


class _LovaszLoss(OverlapLoss):
    """The Lovász extension of the Jaccard loss, of errors that a subclass names.

    Args:
        per_image: an order of errors, and a mean, for each image, or one for the batch.

    Raises:
        ValueError: for soft labels (a Jaccard loss of sets has none).
    """

    weighs_classes: ClassVar[bool] = True

    def __init__(self, **options: Unpack[GroupOptions]) -> None:
        super().__init__(**options)

    @abc.abstractmethod
    def errors(self, batch: Batch, own: Tensor) -> Tensor:
        """``(N, C, *S)``: how wrong every pixel is; ``own`` are those of the class."""

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        if not batch.has_labels:
            validation.hard_target(batch.target, exclusive=not batch.one_vs_rest, valid=batch.valid)
        own = batch.masks
        errors, masks = (self._rows(values) for values in (self.errors(batch, own), own))
        weight = None if batch.weight is None else self._rows(batch.weight.unsqueeze(1))
        if batch.annotation is not None:
            weight = self._rows(batch.annotation)
        averaged = self.classes_among(batch.num_classes)
        counted = counted_classes(batch, averaged, per_image=self.per_image)
        return F.lovasz_jaccard(errors, masks, weight), counted

    def _rows(self, values: Tensor) -> Tensor:
        """``(N, C, *S)`` to ``(G, C, P)``: all pixels of a group in one axis."""
        rows = values.flatten(2)
        return rows if self.per_image else rows.transpose(0, 1).flatten(1).unsqueeze(0)


class LovaszSoftmaxLoss(_LovaszLoss):
    r"""Lovász-Softmax loss: the convex extension of the Jaccard loss to errors of probabilities.

    .. math:: \ell_c = \sum_i m_{(i)} \bigl(J_i - J_{i-1}\bigr), \quad
              m = |t_c - p_c|,\; m_{(1)} \ge m_{(2)} \ge \dots

    where :math:`J_i` is the Jaccard loss of class c if exactly the i pixels of largest error were
    wrong; averaged over classes, then over groups. At hard predictions it is the Jaccard loss
    itself. A class that isn't there costs its largest probability. Values lie in [0, 1], 0 at a
    perfect hard prediction, 1 where every pixel is wrong.

    Args:
        classes: "present" to average the classes that the target holds, or "all".

    Source: Berman et al. 2018, "The Lovász-Softmax loss: a tractable surrogate for the optimization
    of the intersection-over-union measure in neural networks", arXiv:1705.08790.

    >>> import torch
    >>> loss = LovaszSoftmaxLoss(activation="identity")
    >>> loss(torch.tensor([[[.75, .5], [.25, .5]]]), torch.tensor([[0, 1]]))   # mean of .375, .5
    tensor(0.4375)
    """

    defaults: ClassVar[RegionOptions] = {"classes": "present", "per_image": False}

    def errors(self, batch: Batch, own: Tensor) -> Tensor:
        if has_label_logs(batch):
            return label_errors(batch)
        return torch.where(own, 1 - batch.probabilities, batch.probabilities)


class LovaszHingeLoss(_LovaszLoss):
    r"""Lovász hinge: the convex extension of the Jaccard loss to hinge errors of raw logits.

    .. math:: \ell_c = \sum_i \max(m_{(i)}, 0) \bigl(J_i - J_{i-1}\bigr), \quad
              m = 1 - (2 t_c - 1) z_c,\; m_{(1)} \ge m_{(2)} \ge \dots

    where :math:`J_i` is the Jaccard loss of class c if exactly the i pixels of largest error were
    wrong; averaged over classes, then over groups. Every channel is a yes-or-no question whose
    answer is the sign of the logit z. A class that isn't there costs its largest error. Values lie
    in [0, oo), 0 at a perfect prediction of margin 1: once every logit is right and at least 1 away
    from 0.

    Args:
        activation: "sigmoid": the logits are those of one question a channel.

    Source: Berman et al. 2018, "The Lovász-Softmax loss: a tractable surrogate for the optimization
    of the intersection-over-union measure in neural networks", arXiv:1705.08790, section 3.1.

    >>> import torch
    >>> loss = LovaszHingeLoss()
    >>> loss(torch.tensor([[[.5, -.5, -2.]]]), torch.tensor([[1, 1, 0]]))      # (1.5 + .5) / 2
    tensor(1.)
    """

    activations: ClassVar[tuple[Activation, ...]] = ("sigmoid",)
    defaults: ClassVar[RegionOptions] = {"activation": "sigmoid"}

    def errors(self, batch: Batch, own: Tensor) -> Tensor:
        z = batch.masked_logits
        # errors that the hinge takes to 0 add nothing, wherever they stand in the order
        return torch.relu(1 - torch.where(own, z, -z))
