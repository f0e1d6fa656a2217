"""Losses that are a mean over pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.losses.base import DistanceLoss, PixelLoss, SegmentationLoss
from metriseg.options import DistanceOptions, LossOptions, Reduction
from metriseg.reduction import beside_classes, mean, over_target, pixel_mass, reduce_pixels
from metriseg.statistics import RegionStatistics, has_label_logs, label_log_probabilities

__all__ = [
    "CrossEntropyLoss",
    "DistanceMapCrossEntropyLoss",
    "FocalLoss",
    "MimeLoss",
    "NegativeMimeLoss",
    "TopKLoss",
]

Normalize = Literal["pixels", "weights"]


def seen_log_probabilities(batch: Batch) -> Tensor:
    """ln p for formulas of the target: ``(N, *S)`` at the labels where that is enough."""
    return label_log_probabilities(batch) if has_label_logs(batch) else batch.log_probabilities


def labelled_values(
    loss: SegmentationLoss,
    batch: Batch,
    exclusive: Callable[..., Tensor],
    question: Callable[..., Tensor],
    *parameters: Any,
    dense: bool = False,
) -> Tensor:
    """``(N, *S)``: what every pixel costs, with the class weights of ``loss``.

    Args:
        exclusive: the formula for exclusive classes, of log-probabilities and target.
        question: the formula for yes-or-no questions, of log-probabilities, those of the
            complements, and target; the mean over the questions is taken.
        parameters: what either takes besides.
        dense: whether the exclusive formula looks at all classes, also of labels.
    """
    target = batch.target
    log_p = batch.log_probabilities if dense else seen_log_probabilities(batch)
    if batch.one_vs_rest:
        values = question(log_p, batch.log_complements, target, *parameters)
        return loss.mean_over_classes(values, batch)
    return loss.at_target(lambda t: exclusive(log_p, t, *parameters), batch)


def cross_entropies(
    loss: SegmentationLoss,
    batch: Batch,
    label_smoothing: float = 0.0,
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``(N, *S)``: the cross-entropy of every pixel, with the class weights of ``loss``.

    Raises:
        ValueError: for ``pos_weight`` with exclusive classes, or for another number of them.
    """
    target = batch.target
    log_p = batch.log_probabilities if label_smoothing else seen_log_probabilities(batch)
    if not batch.one_vs_rest:
        if label_smoothing and batch.annotation is not None:
            raise ValueError(
                "label_smoothing gives exclusive classes a share of every label, and weight says"
                " that some aren't annotated: leave out one of the two"
            )
        if pos_weight is not None:
            raise ValueError(
                "pos_weight is for yes-or-no questions (sigmoid), got"
                f" {batch.num_classes} exclusive classes: these have weights of classes"
            )
        values = loss.at_target(lambda t: F.cross_entropy(log_p, t), batch)
        if label_smoothing:
            factors = loss.class_factors(batch, loss.background_of_pixels)
            entropies = log_p if factors is None else log_p * beside_classes(factors, log_p)
            values = torch.lerp(values, -entropies.mean(1), label_smoothing)
        return values
    if pos_weight is not None:
        pos_weight = _one_a_class("pos_weight", pos_weight, batch)
    log_q = batch.log_complements
    costs = F.binary_cross_entropy(log_p, log_q, target, pos_weight)
    if label_smoothing:
        on_yes = log_p if pos_weight is None else log_p * beside_classes(pos_weight, log_p)
        costs = torch.lerp(costs, -(on_yes + log_q) / 2, label_smoothing)
    return loss.mean_over_classes(costs, batch)


def _one_a_class(name: str, numbers: Tensor, batch: Batch) -> Tensor:
    """``(C,)`` from as many numbers, or from one."""
    if numbers.numel() not in (1, batch.num_classes):
        raise ValueError(
            f"{name} must be one number or one for each of the {batch.num_classes} classes,"
            f" got {numbers.numel()}"
        )
    return numbers.expand(batch.num_classes)


def label_options(
    loss: SegmentationLoss,
    label_smoothing: float,
    pos_weight: float | Sequence[float] | Tensor | None,
) -> None:
    """Check and keep what :func:`cross_entropies` takes beside the loss."""
    share: Any = validation.number("label_smoothing", label_smoothing, low=0.0, high=1.0)
    loss.label_smoothing = share
    if not (pos_weight is None or _is_list(pos_weight)):
        pos_weight = [validation.number("pos_weight", pos_weight, low=0.0, open_low=True)]  # type: ignore[arg-type]
    loss.keep_numbers("pos_weight", validation.class_weights(pos_weight, "pos_weight"))


def focal_alpha(loss: SegmentationLoss, alpha: float | Sequence[float] | Tensor | None) -> None:
    """Check and keep the alpha of a focal loss: a number in [0, 1], or numbers >= 0."""
    if alpha is None or not _is_list(alpha):
        share: Any = validation.optional(validation.number, "alpha", alpha, low=0.0, high=1.0)
        loss.alpha = share
    else:
        loss.keep_numbers("alpha", validation.class_weights(alpha, "alpha"))


def _is_list(value: object) -> bool:
    return (
        not isinstance(value, str) and getattr(value, "ndim", int(isinstance(value, Sequence))) > 0
    )


def cross_entropy_mass(loss: SegmentationLoss, batch: Batch, normalize: Normalize) -> Tensor:
    """What the mean of the cross-entropies divides by: pixels, or the class weights they met."""
    factors = loss.class_factors(batch, loss.background_of_pixels)
    met = loss.label_weight(batch)
    if normalize == "pixels" or (factors is None and met is None):
        return pixel_mass(batch)
    if met is not None:
        return (met if batch.measure is None else met * batch.measure).sum()
    assert factors is not None
    if batch.one_vs_rest:
        total = pixel_mass(batch) * factors.sum()
        if batch.annotation is not None:
            total = (batch.annotation * beside_classes(factors, batch.annotation)).sum()
        return total / loss.num_included(batch)
    if batch.has_labels:
        met = factors[batch.target]
    else:
        met = (batch.target * beside_classes(factors, batch.target)).sum(1)
    return (met if batch.measure is None else met * batch.measure).sum()


def alpha_in(loss: SegmentationLoss, batch: Batch) -> float | Tensor | None:
    """The loss's alpha: a number, or one for every class of the batch in its precision."""
    alpha: Any = loss.alpha
    if not isinstance(alpha, Tensor):
        return alpha  # type: ignore[no-any-return]
    exact = loss.numbers("alpha", batch.logits)
    assert exact is not None
    if exact.numel() != batch.num_classes:
        raise ValueError(
            f"alpha must be a number, or one for each of the {batch.num_classes} classes,"
            f" got {exact.numel()}"
        )
    return exact


def focal_values(
    loss: SegmentationLoss, batch: Batch, gamma: float, alpha: float | Tensor | None
) -> Tensor:
    """``(N, *S)``: the focal loss of every pixel, with the class weights of ``loss``."""
    return labelled_values(loss, batch, F.focal, F.binary_focal, gamma, alpha)


class CrossEntropyLoss(PixelLoss):
    r"""Cross-entropy: minus the log-likelihood of the true labels.

    .. math:: \ell = -\sum_c w_c\, t_c \ln p_c

    at every pixel, averaged over the valid pixels; with sigmoid probabilities :math:`-\frac1C
    \sum_c w_c\,[t_c \ln p_c + (1 - t_c) \ln(1 - p_c)]`. Values lie in :math:`[0, \infty)`, 0 at a
    perfect prediction.

    ``balance="image"`` weighs the answers of yes-or-no questions against each other, in every
    image and class by itself:

    .. math:: -\beta\, t_c \ln p_c - (1 - \beta)(1 - t_c) \ln(1 - p_c), \qquad
              \beta = 1 - \operatorname{mean} t_c

    with the mean over the valid pixels of the image. An image with one answer only has
    :math:`\beta \in \{0, 1\}` and costs nothing in that class, whatever is predicted.

    ``label_smoothing`` e puts :math:`(1 - e)\, t + e / C` in place of t, and :math:`(1 - e)\, t +
    e / 2` in yes-or-no questions, so that a perfect prediction no longer costs 0.

    Args:
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        normalize: what the mean divides by: "pixels", the number of valid pixels, or "weights",
            the sum of the class weights that these pixels met (as ``torch.nn.CrossEntropyLoss``).
        balance: "image" for positives that weigh the share of negatives and the other way round;
            for sigmoid (one channel, or one question a class) alone.
        label_smoothing: e in [0, 1], as in ``torch.nn.CrossEntropyLoss``; not beside ``balance``.
        pos_weight: what a positive weighs where a negative weighs 1: a number > 0, or one a
            class, as in ``torch.nn.BCEWithLogitsLoss``; for sigmoid alone, not beside ``balance``.

    Raises:
        ValueError: for ``balance`` or ``pos_weight`` with exclusive classes.

    Source: Azad et al. 2023, "Loss functions in the era of semantic segmentation",
    arXiv:2312.05391, equations 1 and 2. Balance: Xie & Tu 2015, "Holistically-nested edge
    detection", arXiv:1504.06375.

    >>> import torch
    >>> loss = CrossEntropyLoss(ignore_index=255)
    >>> loss(torch.zeros(1, 4, 2, 2), torch.tensor([[[0, 1], [2, 255]]]))   # ln 4
    tensor(1.3863)
    """

    weighs_classes: ClassVar[bool] = True
    labels_have_weights: ClassVar[bool] = True
    label_smoothing: float

    def __init__(
        self,
        *,
        normalize: Normalize = "pixels",
        balance: Literal["image"] | None = None,
        label_smoothing: float = 0.0,
        pos_weight: float | Sequence[float] | Tensor | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("normalize", normalize, ("pixels", "weights"))
        validation.one_of("balance", balance, ("image", None))
        label_options(self, label_smoothing, pos_weight)
        if balance is not None and (label_smoothing or pos_weight is not None):
            raise ValueError(
                "balance='image' weighs positives itself: leave out label_smoothing and pos_weight"
            )
        self.normalize = normalize
        self.balance = balance

    def wants_label_logs(self, batch: Batch) -> bool:
        return not self.label_smoothing and has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        if self.balance is None:
            return cross_entropies(
                self, batch, self.label_smoothing, self.numbers("pos_weight", batch.logits)
            )
        if not batch.one_vs_rest:
            raise ValueError(
                "balance='image' is for yes-or-no questions (sigmoid: one channel, or one question"
                f" a class), got {batch.num_classes} exclusive classes: these have weights of"
                " classes"
            )
        values = F.balanced_cross_entropy(
            batch.log_probabilities, batch.log_complements, batch.target, batch.finest_weight
        )
        return self.mean_over_classes(values, batch)

    def mass(self, batch: Batch) -> Tensor:
        return cross_entropy_mass(self, batch, self.normalize)


class TopKLoss(PixelLoss):
    r"""Top-k cross-entropy: the mean of the largest cross-entropies alone.

    .. math:: \ell = \frac{\sum_u m_u \ell_u}{\sum_u m_u}, \qquad
              \sum_u m_u = \max\left(1, n, \lfloor \tfrac{k}{100} \sum_u w_u \rfloor\right)

    with :math:`\ell_u` the cross-entropy of pixel u as in :class:`CrossEntropyLoss` (for yes-or-no
    questions their mean), n ``min_kept`` (or 0) and :math:`m_u \le w_u` the part of its weight that
    is among the largest of the batch; the last pixel may be kept in part. Ignored pixels take
    nothing of the budget. Values lie in :math:`[0, \infty)`, 0 at a perfect prediction.

    Class weights weigh the cross-entropies before the largest are chosen, and the mean divides by
    the mass that is kept. A ``threshold`` looks at the probability of the truth, exp of minus the
    cross-entropy, without class weights (an excluded background is no question then).

    Args:
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        percent: k in (0, 100].
        threshold: in (0, 1]; keeps in place of the k percent all pixels whose true label has a
            probability below (not of) it. Where none has, the loss is 0.
        min_kept: the least number of pixels of a batch to keep, >= 1; beside a ``threshold`` those
            whose true labels are least probable (online hard example mining). None for no such.
        reduction: "mean", "sum" (over what is kept) or "none", then ``(N, *S)``, 0 where a pixel
            isn't kept.

    Source: Wu, Shen & van den Hengel 2016, "Bridging category-level and instance-level semantic
    image segmentation", arXiv:1605.06885 (their threshold); the k percent as in Azad et al. 2023,
    arXiv:2312.05391, equation 3, divided by the number of pixels kept.

    >>> import torch
    >>> p = torch.tensor([[[.9, .8, .5, .4], [.1, .2, .5, .6]]])
    >>> TopKLoss(percent=50, activation="identity")(p, torch.tensor([[0, 0, 0, 0]])).exp()
    tensor(2.2361)
    """

    weighs_classes: ClassVar[bool] = True
    labels_have_weights: ClassVar[bool] = True

    def __init__(
        self,
        percent: float = 10.0,
        threshold: float | None = None,
        min_kept: int | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.min_kept = validation.optional(validation.whole_number, "min_kept", min_kept, low=1)
        self.percent = validation.number("percent", percent, low=0.0, high=100.0, open_low=True)
        self.threshold = validation.optional(
            validation.number, "threshold", threshold, low=0.0, high=1.0, open_low=True
        )

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        return cross_entropies(self, batch)

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        values, weight = self.evaluate(batch), batch.weight
        if batch.counted is not None and weight is not None:
            # a weight multiplies what its pixel costs, and the pixel is one
            values, weight = values * weight, batch.counted
        least = self.min_kept or 1
        if self.threshold is None:
            kept = F.largest_values(values, weight, self.percent, least)
        else:
            entropy = self.entropy_of_truth(batch)
            # a probability of exactly the threshold stays out, whatever logarithms round
            slack = 16 * torch.finfo(entropy.dtype).eps
            kept = (entropy > slack - math.log(self.threshold)).to(entropy.dtype)
            kept = kept if weight is None else kept * weight
            if self.min_kept is not None:
                hardest = F.largest_values(entropy, weight, 0.0, least)
                kept = torch.maximum(kept, hardest)
        return reduce_pixels(values, kept, reduction, kept.sum())

    def entropy_of_truth(self, batch: Batch) -> Tensor:
        """``(N, *S)``: minus the logarithm of the truth's probability, without class weights."""
        if batch.one_vs_rest:
            entropies = F.binary_cross_entropy(
                batch.log_probabilities, batch.log_complements, batch.target
            )
            included = self.num_included(batch)
            if batch.annotation is None:
                return entropies[:, batch.num_classes - included :].mean(1)
            total = (entropies * batch.annotation)[:, batch.num_classes - included :].sum(1)
            return mean(total / included, self.annotated_mass(batch))
        return F.cross_entropy(seen_log_probabilities(batch), batch.target)


class FocalLoss(PixelLoss):
    r"""Focal loss: cross-entropy that fades where the prediction is already good.

    .. math:: \ell = -\sum_c w_c\, \alpha_c\, t_c\, (1 - p_c)^\gamma \ln p_c

    at every pixel, averaged over the valid pixels; with sigmoid probabilities the mean over the
    classes of :math:`-\alpha t (1-p)^\gamma \ln p - (1-\alpha)(1-t)\, p^\gamma \ln(1-p)`.
    :math:`\gamma = 0` is cross-entropy. Values lie in :math:`[0, \infty)`, 0 at a perfect
    prediction.

    Args:
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        gamma: how fast the loss fades, >= 0.
        alpha: in [0, 1], the weight of positives, with 1 - alpha that of negatives; None leaves
            both out. With exclusive classes (softmax) class 0 is the negative. Or C numbers >= 0:
            what the positives of each class weigh, beside negatives of 1.

    Source: Lin et al. 2017, "Focal loss for dense object detection", arXiv:1708.02002.

    >>> import torch
    >>> FocalLoss(gamma=2.0)(torch.zeros(1, 2, 3), torch.tensor([[0, 1, 1]]))   # (1/2)^2 ln 2
    tensor(0.1733)
    """

    weighs_classes: ClassVar[bool] = True
    labels_have_weights: ClassVar[bool] = True
    alpha: float | Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | Tensor | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.gamma = validation.number("gamma", gamma, low=0.0)
        focal_alpha(self, alpha)

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        return focal_values(self, batch, self.gamma, alpha_in(self, batch))


class DistanceMapCrossEntropyLoss(DistanceLoss):
    r"""Distance-map cross-entropy: cross-entropy that weighs more near true boundaries.

    .. math:: \ell = -(1 + \Phi) \sum_c w_c\, t_c \ln p_c

    at every pixel, averaged over the valid pixels. :math:`\Phi` is the reversed distance to the
    nearest pixel of another class, D - d with D the largest d of the class in that image;
    normalized, :math:`1 - (d - h) / (D - h)` with h the smallest spacing (1 without one), which is
    1 beside a boundary and 0 where the class is deepest. An image of one class has no boundary and
    :math:`\Phi = 0`. Yes-or-no questions (sigmoid) have a :math:`\Phi` each, of foreground and
    background apart, and cost the mean over the classes, as in cross-entropy. Values lie in
    :math:`[0, \infty)`, 0 at a perfect prediction.

    Soft labels stand for the class where they exceed 1/2. A loader may give the map itself:
    ``maps={"penalty": ...}``, ``(N, *S)``.

    Args:
        class_weight: C numbers >= 0; with one channel also two, of the labels 0 and 1.
        map: "normalized" or "raw".

    Source: Caliva et al. 2019, "Distance map loss penalty term for semantic segmentation",
    arXiv:1908.03679.

    >>> import torch
    >>> loss = DistanceMapCrossEntropyLoss()
    >>> loss(torch.zeros(1, 2, 4), torch.tensor([[0, 0, 1, 1]]))   # (1 + 2 + 2 + 1) / 4 ln 2
    tensor(1.0397)
    """

    map_names: ClassVar[tuple[str, ...]] = ("penalty",)
    labels_have_weights: ClassVar[bool] = True

    def __init__(
        self,
        map: Literal["normalized", "raw"] = "normalized",
        **options: Unpack[DistanceOptions],
    ) -> None:
        super().__init__(**options)
        validation.one_of("map", map, ("normalized", "raw"))
        self.map = map

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        penalty = self._penalty(batch)
        if batch.one_vs_rest:
            values = F.binary_cross_entropy(
                batch.log_probabilities, batch.log_complements, batch.target
            )
            return self.mean_over_classes((1 + penalty) * values, batch)
        if has_label_logs(batch):
            log_p = (1 + penalty[:, 0]) * label_log_probabilities(batch)
            return self.at_target(lambda t: F.cross_entropy(log_p, t), batch)
        return self.at_target(
            lambda t: F.cross_entropy((1 + penalty) * batch.log_probabilities, t), batch
        )

    def _penalty(self, batch: Batch) -> Tensor:
        """Phi in a shape that multiplies (N, C, *S)."""
        loaded = batch.loaded("penalty", dense=False)
        if loaded is not None:
            return loaded.unsqueeze(1)
        return F.distance_penalty(
            batch.masks,
            self.spacing,
            # with labels, only the class that a pixel has is asked for
            exclusive=batch.has_labels and not batch.one_vs_rest,
            normalize=self.map == "normalized",
            valid=batch.valid,
            dtype=batch.logits.dtype,
        )


class ClassSumLoss(PixelLoss):
    """A pixel's value is the sum of what all classes cost, whatever its label."""

    weighs_classes: ClassVar[bool] = True

    def sum_over_classes(self, values: Tensor, batch: Batch) -> Tensor:
        """``(N, *S)``: the weighted sum of ``(N, C, *S)``."""
        factors = self.class_factors(batch)
        if factors is not None:
            values = values * beside_classes(factors, values)
        if batch.annotation is None:
            return values.sum(1)
        return mean((values * batch.annotation).sum(1), self.annotated_mass(batch))

    def annotated_mass(self, batch: Batch) -> Tensor:
        assert batch.annotation is not None
        return batch.annotation.mean(1)


class MimeLoss(ClassSumLoss):
    r"""Mime loss: a linear loss whose gradient mimics that of Dice.

    .. math:: \ell = \sum_c w_c\, \omega_c\, p_c, \qquad \omega = -a\,t + b\,(1 - t)

    at every pixel, averaged over the valid pixels. The gradient against the probabilities is the
    constant map :math:`\omega` over the number of pixels. Values lie in :math:`[-a, b]` for
    exclusive classes; a perfect prediction has :math:`-a`, not 0.

    Args:
        a: reward of probability on the true class, > 0.
        b: price of probability elsewhere, > 0.

    Source: Kervadec & de Bruijne 2023, "On the dice loss gradient and the ways to mimic it",
    equations 8 and 9 (where the text prints a = -1.9, the experiment has a = 1.9).

    >>> import torch
    >>> perfect = torch.tensor([[[9., -9.], [-9., 9.]]]) * 9
    >>> MimeLoss()(perfect, torch.tensor([[0, 1]]))
    tensor(-1.9000)
    """

    def __init__(self, a: float = 1.9, b: float = 0.1, **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        self.a = validation.number("a", a, low=0.0, open_low=True)
        self.b = validation.number("b", b, low=0.0, open_low=True)

    def wants_label_logs(self, batch: Batch) -> bool:
        return self._is_of_labels(batch)

    def _is_of_labels(self, batch: Batch) -> bool:
        alike = self.class_factors(batch) is None and batch.annotation is None
        return alike and has_label_logs(batch)

    def evaluate(self, batch: Batch) -> Tensor:
        if self._is_of_labels(batch):
            return F.mime_of_label(label_log_probabilities(batch).exp(), self.a, self.b)
        values = F.mime(batch.probabilities, batch.target, self.a, self.b)
        return self.sum_over_classes(values, batch)


class NegativeMimeLoss(PixelLoss):
    r"""Negative mime loss: minus the probability of the true class.

    .. math:: \ell = -\sum_c w_c\, t_c\, p_c

    at every pixel, averaged over the valid pixels. Values lie in :math:`[-1, 0]` for exclusive
    classes; a perfect prediction has -1, not 0. With fewer than three classes everything foreground
    is a trivial solution, so the loss asks for three.

    Args:
        activation: "softmax", "sigmoid" (one question a class) or "identity".

    Raises:
        ValueError: for fewer than three classes.

    Source: Kervadec & de Bruijne 2023, "On the dice loss gradient and the ways to mimic it",
    equation 10.

    >>> import torch
    >>> NegativeMimeLoss()(torch.zeros(1, 4, 3), torch.tensor([[0, 1, 3]]))
    tensor(-0.2500)
    """

    weighs_classes: ClassVar[bool] = True

    def wants_label_logs(self, batch: Batch) -> bool:
        return has_label_logs(batch)

    def annotated(self, batch: Batch) -> Batch:
        if batch.one_vs_rest and not batch.has_labels:
            raise ValueError(
                "weight of classes, (N, C) or (N, C, *S), is for labels here: with"
                " activation='sigmoid' and a target of masks give (N, *S)"
            )
        return super().annotated(batch)

    def annotated_mass(self, batch: Batch) -> Tensor:
        assert batch.annotation is not None
        return over_target(batch.annotation, batch.target)

    def evaluate(self, batch: Batch) -> Tensor:
        # with fewer, all foreground is a trivial solution
        validation.enough_classes(self, batch.num_classes, 3)
        if has_label_logs(batch):
            return self.at_target(lambda t: -label_log_probabilities(batch).exp(), batch)
        return self.at_target(lambda t: -F.expected_over_target(batch.probabilities, t), batch)
