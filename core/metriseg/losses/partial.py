"""Losses for pixels of which only a set of classes is known."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Activation, Batch
from metriseg.losses.base import PixelLoss, RegionLoss
from metriseg.losses.label_sets import LabelSets, checked_label_sets, members, telling
from metriseg.losses.pixel import ClassSumLoss, seen_log_probabilities
from metriseg.options import (
    ClassesOption,
    LossOptions,
    PerImageOption,
    PowerOptions,
    PredictionOptions,
    Reduction,
    ReductionOption,
    SmoothOption,
    StatisticsOptions,
)
from metriseg.reduction import beside_classes
from metriseg.statistics import RegionStatistics, has_label_logs

__all__ = [
    "ExclusionCrossEntropyLoss",
    "ExclusionLoss",
    "LeafDiceLoss",
    "MarginalCrossEntropyLoss",
    "MarginalDiceLoss",
]

EXCLUSIVE: tuple[Activation, ...] = ("softmax", "identity")


class MarginalCrossEntropyLoss(PixelLoss):
    r"""Marginal cross-entropy: minus the log-likelihood of the classes that a pixel may be.

    .. math:: \ell = -\bar w_g \ln \sum_{c \in g} p_c

    at every pixel, with the set g of the classes that it may be, averaged over the valid pixels.
    With one class in every set it is cross-entropy. A pixel that may be any class doesn't count, as
    if ignored. Values lie in :math:`[0, \infty)`, 0 at a perfect prediction.

    Args:
        label_sets: labels that are no class -> the classes of which it is one, ``{4: [2, 3]}``;
            None where the target itself holds a 1 for every class that a pixel may be.
        activation: "softmax" or "identity".
        class_weight: C numbers >= 0; a pixel has the mean of those in its set.

    Shape:
        - logits: ``(N, C, *S)``, C >= 2.
        - target: ``(N, *S)`` labels of classes and of sets, or ``(N, C, *S)`` zeros and ones.
        - output: a scalar, or with ``reduction="none"`` ``(N, *S)``.

    Raises:
        ValueError: for sets that are none, whose label is a class or ignored, or that hold what is
            no class; for soft labels.

    Source: Shi et al. 2021, "Marginal loss and exclusion loss for partially supervised multi-organ
    segmentation", arXiv:2007.03868.

    >>> import torch
    >>> loss = MarginalCrossEntropyLoss({4: [2, 3]})
    >>> loss(torch.zeros(1, 4, 2), torch.tensor([[0, 4]]))         # (ln 4 + ln 2) / 2
    tensor(1.0397)
    """

    activations: ClassVar[tuple[Activation, ...]] = EXCLUSIVE

    def __init__(self, label_sets: LabelSets = None, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        self.label_sets = checked_label_sets(label_sets)

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        return super().reduced(telling(batch), reduction, statistics)

    def evaluate(self, batch: Batch) -> Tensor:
        validation.enough_classes(self, batch.num_classes, 2)
        if batch.has_labels:
            log_p = seen_log_probabilities(batch)
            return self.at_target(lambda t: F.cross_entropy(log_p, t), batch)
        possible = members(batch)
        number = possible.sum(1, keepdim=True)
        tells = (number > 0) & (number < batch.num_classes)
        # of what tells nothing the formula would be an infinity
        first = torch.zeros_like(possible[:1])
        first[:, 0] = 1.0
        values = F.marginal_cross_entropy(
            batch.log_probabilities, torch.where(tells, possible, first)
        )
        factors = self.class_factors(batch)
        if factors is not None:
            total = (possible * beside_classes(factors, possible)).sum(1)
            values = values * total / number.squeeze(1).clamp(min=1)
        return torch.where(tells.squeeze(1), values, 0.0)


class ExclusionCrossEntropyLoss(ClassSumLoss):
    r"""Exclusion cross-entropy: a price for probability on classes that a pixel can't be.

    .. math:: \ell = \sum_{c \notin g} w_c \ln(1 + p_c)

    at every pixel, with the set g of the classes that it may be, averaged over the valid pixels. It
    goes beside a marginal loss. Values lie in [0, ln 2 = 0.6931], or up to C ln(1 + 1/C) < 1 where
    a pixel can be none, 0 at a perfect prediction.

    Args:
        label_sets: labels that are no class -> the classes of which it is one, ``{4: [2, 3]}``;
            None where the target itself holds a 1 for every class that a pixel may be.
        activation: "softmax" or "identity".

    Shape:
        - logits: ``(N, C, *S)``, C >= 2.
        - target: ``(N, *S)`` labels of classes and of sets, or ``(N, C, *S)`` zeros and ones.
        - output: a scalar, or with ``reduction="none"`` ``(N, *S)``.

    Raises:
        ValueError: for sets that are none, whose label is a class or ignored, or that hold what is
            no class; for soft labels.

    Source: Shi et al. 2021, "Marginal loss and exclusion loss for partially supervised multi-organ
    segmentation", arXiv:2007.03868, with their epsilon of 1.

    >>> import torch
    >>> loss = ExclusionCrossEntropyLoss({4: [2, 3]}, activation="identity")
    >>> p = torch.tensor([[[.5, .5], [.5, 0.], [0., .5], [0., 0.]]])
    >>> loss(p, torch.tensor([[0, 4]]))                  # ln 1.5 at both pixels
    tensor(0.4055)
    """

    activations: ClassVar[tuple[Activation, ...]] = EXCLUSIVE

    def __init__(self, label_sets: LabelSets = None, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        self.label_sets = checked_label_sets(label_sets)

    def evaluate(self, batch: Batch) -> Tensor:
        validation.enough_classes(self, batch.num_classes, 2)
        if not batch.has_labels:
            members(batch)
        costs = F.exclusion_cross_entropy(batch.probabilities, batch.masks)
        return self.sum_over_classes(costs, batch)


class MarginalOptions(
    SmoothOption, ClassesOption, PerImageOption, PredictionOptions, ReductionOption, total=False
):
    """No weights of classes: what is joined would have several."""

    include_background: bool


class MarginalDiceLoss(RegionLoss):
    r"""Marginal Dice loss: the Dice loss of classes joined as far as the truth doesn't part them.

    .. math:: \ell_d = 1 - \frac{2 \sum q_d u_d + \epsilon}{\sum q_d + \sum u_d + \epsilon}, \quad
              q_d = \sum_{c \in d} p_c

    averaged over the joined classes d, then over images. Two classes are one in an image when a
    pixel of it may be either, and through others too; :math:`u_d` is 1 at the pixels whose set lies
    in d. An image with nothing but classes has its Dice loss. A pixel that may be any class doesn't
    count, as if ignored. Values lie in [0, 1], 0 at a perfect prediction; what is neither there nor
    predicted costs 0.

    Args:
        label_sets: labels that are no class -> the classes of which it is one, ``{4: [2, 3]}``;
            None where the target itself holds a 1 for every class that a pixel may be.
        activation: "softmax" or "identity".
        include_background: False leaves out class 0, with all that it is joined with.
        per_image: sums over each image, or over the batch, then with the classes joined that any
            image joins.
        reduction: "mean", "sum" or "none", then ``(G, C)``, what is joined in the column of its
            first class.

    Shape:
        - logits: ``(N, C, *S)``, C >= 2.
        - target: ``(N, *S)`` labels of classes and of sets, or ``(N, C, *S)`` zeros and ones.
        - output: a scalar, or with ``reduction="none"`` ``(G, C)``.

    Raises:
        ValueError: for sets that are none, whose label is a class or ignored, or that hold what is
            no class; for soft labels.

    Source: Shi et al. 2021, "Marginal loss and exclusion loss for partially supervised multi-organ
    segmentation", arXiv:2007.03868.

    >>> import torch
    >>> loss = MarginalDiceLoss({3: [1, 2]}, smooth=0.0, activation="identity")
    >>> p = torch.tensor([[[.75, .5], [.25, 0.], [0., .5]]])
    >>> loss(p, torch.tensor([[0, 3]]))    # as of .75, .5 and .25, .5: (1/3 + 3/7) / 2
    tensor(0.3810)
    """

    activations: ClassVar[tuple[Activation, ...]] = EXCLUSIVE
    # what is joined would have several weights
    weighs_classes: ClassVar[bool] = False

    def __init__(self, label_sets: LabelSets = None, **options: Unpack[MarginalOptions]) -> None:
        super().__init__(**options)
        self.label_sets = checked_label_sets(label_sets)

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.dice_index(s, self.smooth_pair)

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        validation.enough_classes(self, batch.num_classes, 2)
        if batch.has_labels:
            return super().table(batch, statistics)
        joined, first = self._joined(telling(batch))
        s = self.statistics(joined)
        return self.from_statistics(s), self.counted(s) & first

    def _joined(self, batch: Batch) -> tuple[Batch, Tensor]:
        """The batch with joined classes, each in the place of its first; which places these are."""
        possible = members(batch).flatten(2)
        groups = possible if self.per_image else possible.transpose(0, 1).flatten(1)[None]
        place = F.joined_classes(groups)
        classes = torch.arange(batch.num_classes, device=place.device)
        first = place == classes
        joins = (place.unsqueeze(1) == classes.unsqueeze(1)).to(batch.logits)
        joins = joins.expand(len(possible), -1, -1)
        p, target = (
            (joins @ one.flatten(2)).view(batch.logits.shape)
            for one in (batch.probabilities, possible)
        )
        target = (target > 0).to(p.dtype)
        return Batch(p, target, batch.weight, activation="identity", counted=batch.counted), first


class LeafDiceLoss(RegionLoss):
    r"""Leaf-Dice loss: a Dice loss whose truth is what is known for certain.

    .. math:: \ell_c = 1 - \frac{2 \sum p_c [g = \{c\}] + \epsilon}
              {\sum p_c^q + \sum [g = \{c\}] + \epsilon}

    averaged over classes, then over images, with the set g of the classes that a pixel may be. All
    pixels are in the sum of :math:`p_c^q`, so it also lowers what is predicted where only a set is
    known; a marginal cross-entropy beside it pulls the other way. Values lie in [0, 1], 0 at a
    perfect prediction without sets; a class neither there nor predicted costs 0.

    Args:
        label_sets: labels that are no class -> the classes of which it is one, ``{4: [2, 3]}``;
            None where the target itself holds a 1 for every class that a pixel may be.
        power: q in [1, 2].
        activation: "softmax" or "identity".

    Shape:
        - logits: ``(N, C, *S)``, C >= 2.
        - target: ``(N, *S)`` labels of classes and of sets, or ``(N, C, *S)`` zeros and ones.
        - output: a scalar, or with ``reduction="none"`` ``(G, C)``.

    Raises:
        ValueError: for sets that are none, whose label is a class or ignored, or that hold what is
            no class; for soft labels.

    Source: Fidon et al. 2021, "Label-set loss functions for partial supervision: application to
    fetal brain 3D MRI parcellation", arXiv:2107.03846; they add epsilon to the denominator alone,
    ``smooth=(0, 1e-5)``.

    >>> import torch
    >>> loss = LeafDiceLoss({4: [2, 3]}, smooth=(0.0, 1e-5), activation="identity")
    >>> p = torch.tensor([[[1., 0., 0.], [0., 1., 0.], [0., 0., 1.], [0., 0., 0.]]])
    >>> loss(p, torch.tensor([[0, 1, 4]]))    # 2 and 3 have no certain pixel
    tensor(0.5000)
    """

    activations: ClassVar[tuple[Activation, ...]] = EXCLUSIVE

    def __init__(
        self,
        label_sets: LabelSets = None,
        power: float = 2.0,
        **options: Unpack[PowerOptions],
    ) -> None:
        super().__init__(**options)
        self.label_sets = checked_label_sets(label_sets)
        self.power = validation.number("power", power, low=1.0, high=2.0)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({self.power})

    @property
    def overlap_moments(self) -> frozenset[float]:
        return frozenset({1.0})

    def statistics(self, batch: Batch, known: RegionStatistics | None = None) -> RegionStatistics:
        validation.enough_classes(self, batch.num_classes, 2)
        if batch.has_labels:
            return super().statistics(batch, known)
        possible = members(batch)
        certain = torch.where(possible.sum(1, keepdim=True) == 1, possible, 0.0)
        return super().statistics(dataclasses.replace(batch, target=certain))

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - F.power_dice_index(s, self.power, self.smooth_pair)


class ExclusionOptions(ClassesOption, StatisticsOptions, LossOptions, total=False):
    """There is nothing to smooth."""


class ExclusionLoss(RegionLoss):
    r"""Exclusion Dice loss: how a predicted class overlaps with the pixels that can't have it.

    .. math:: \ell_c = \frac{2 \sum p_c\, e_c}{\sum p_c + \sum e_c}, \quad e_c = [c \notin g]

    averaged over classes, then over images, with the set g of the classes that a pixel may be. It
    goes beside a marginal loss. Values lie in [0, 1], 0 at a perfect prediction, and for a class
    that no pixel excludes.

    Args:
        label_sets: labels that are no class -> the classes of which it is one, ``{4: [2, 3]}``;
            None where the target itself holds a 1 for every class that a pixel may be.
        activation: "softmax" or "identity".

    Shape:
        - logits: ``(N, C, *S)``, C >= 2.
        - target: ``(N, *S)`` labels of classes and of sets, or ``(N, C, *S)`` zeros and ones.
        - output: a scalar, or with ``reduction="none"`` ``(G, C)``.

    Raises:
        ValueError: for sets that are none, whose label is a class or ignored, or that hold what is
            no class; for soft labels.

    Source: Shi et al. 2021, "Marginal loss and exclusion loss for partially supervised multi-organ
    segmentation", arXiv:2007.03868.

    >>> import torch
    >>> loss = ExclusionLoss({3: [1, 2]}, activation="identity", reduction="none")
    >>> p = torch.tensor([[[.75, .5], [.25, 0.], [0., .5]]])
    >>> loss(p, torch.tensor([[0, 3]]))     # 2 (.5) / (1.25 + 1), 2 (.25) / (.25 + 1), 0
    tensor([[0.4444, 0.4000, 0.0000]])
    """

    needs_errors = True
    activations: ClassVar[tuple[Activation, ...]] = EXCLUSIVE

    def __init__(self, label_sets: LabelSets = None, **options: Unpack[ExclusionOptions]) -> None:
        super().__init__(**options)
        self.label_sets = checked_label_sets(label_sets)

    def statistics(self, batch: Batch, known: RegionStatistics | None = None) -> RegionStatistics:
        validation.enough_classes(self, batch.num_classes, 2)
        if not batch.has_labels:
            members(batch)
        return super().statistics(batch, known)

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return F.exclusion_dice(s)
