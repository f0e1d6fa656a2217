"""What all losses share: the user's door, the activation, weights and reductions."""

from __future__ import annotations

import abc
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from metriseg import validation
from metriseg.batch import Activation, Batch, full_precision
from metriseg.statistics import RegionStatistics, region_statistics

Reduction = Literal["mean", "sum", "none"]
ClassWeight = Sequence[float] | Tensor | None
Classes = Literal["all", "present"]


class SegmentationLoss(nn.Module, abc.ABC):
    """Base class: from logits and a target to a loss.

    A subclass holds hyper-parameters, each under the name of its constructor argument, and says in
    :meth:`evaluate` what the loss is and in :meth:`reduce` how its values become one.

    Shape:
        - logits: ``(N, C, *S)`` with one spatial dimension or more, any floating dtype.
        - target: ``(N, *S)`` integer labels, or ``(N, C, *S)`` one-hot or soft labels.
        - weight: ``(N, *S)``; a pixel of weight 2 counts as two, one of weight 0 doesn't exist.
        - output: a scalar, or with ``reduction="none"`` the unreduced shape.
    """

    #: Foreign names of arguments -> what to say when somebody uses one.
    synonyms: ClassVar[Mapping[str, str]] = {}
    #: The activations under which the loss has a meaning.
    activations: ClassVar[tuple[Activation, ...]] = ("softmax", "sigmoid", "identity")
    #: Whether a single channel is foreground, and counts when the background is left out.
    lone_channel_is_foreground: ClassVar[bool] = False

    activation: Activation
    ignore_index: int | None
    include_background: bool
    reduction: Reduction
    class_weight: Tensor | None

    def __new__(cls, *args: Any, **kwargs: Any) -> SegmentationLoss:
        validation.refuse_unknown(cls, kwargs, cls.synonyms)
        return super().__new__(cls)

    def __init__(
        self,
        *,
        activation: Activation = "softmax",
        ignore_index: int | None = None,
        class_weight: ClassWeight = None,
        include_background: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        validation.one_of("activation", activation, self.activations)
        validation.one_of("reduction", reduction, ("mean", "sum", "none"))
        self.activation = activation
        self.ignore_index = validation.label("ignore_index", ignore_index)
        self.include_background = bool(include_background)
        self.reduction = reduction
        exact = validation.class_weights(class_weight)
        self._exact_class_weight = None if exact is None else tuple(exact.tolist())
        buffer = None if exact is None else exact.to(torch.get_default_dtype())
        self.register_buffer("class_weight", buffer, persistent=False)

    def possible_activations(self) -> tuple[Activation, ...]:
        """Those under which this very loss has a meaning."""
        return self.activations

    @property
    def name(self) -> str:
        """What the loss is called in a log: ``PowerJaccardLoss`` is ``power_jaccard``."""
        return re.sub(
            r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__.removesuffix("Loss")
        ).lower()

    @property
    def moments(self) -> frozenset[float]:
        """The exponents of the region statistics that the loss is made of."""
        return frozenset()

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss of a prediction; shapes as in the class description."""
        return self.compute(
            logits,
            target,
            weight=weight,
            maps=maps,
            features=features,
            activation=self.activation,
            ignore_index=self.ignore_index,
        )

    def compute(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        activation: Activation,
        ignore_index: int | None,
        reduction: Reduction | None = None,
        weight: Tensor | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """As :meth:`forward`, for callers (the frameworks) who decide these matters themselves.

        ``reduction=None`` is the loss's own (a compound's terms each have theirs).
        """
        validation.logits_shape(logits)
        validation.one_of("activation", activation, self.possible_activations())
        with full_precision(logits):
            batch = Batch.from_tensors(
                logits,
                target,
                activation=activation,
                ignore_index=ignore_index,
                weight=weight,
                maps=maps,
                features=features,
            )
            return self.value(batch, reduction=reduction)

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        """The reduced loss of a batch.

        Args:
            batch: prediction and truth.
            reduction: in place of the loss's own.
            statistics: per image, with at least this loss's moments, if they are known already.
        """
        return connected(self.reduced(batch, reduction or self.reduction, statistics), self)

    @abc.abstractmethod
    def evaluate(self, batch: Batch) -> Tensor:
        """The unreduced loss, not yet weighted: ``(N, *S)`` or ``(G, C)``."""

    @abc.abstractmethod
    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        """The values of :meth:`evaluate`, weighted and reduced."""

    def spread_class_weight(self, weight: Tensor, num_classes: int) -> Tensor:
        """``(C,)`` from the numbers given; a framework's class may understand fewer."""
        if weight.numel() != num_classes:
            raise ValueError(
                f"class_weight must have a number for each of the {num_classes} classes,"
                f" got {weight.numel()}"
            )
        return weight

    def class_factors(self, batch: Batch) -> Tensor | None:
        """``(C,)``: class weights, 0 for an excluded background; None for all ones."""
        weight, classes = self.class_weight, batch.num_classes
        if weight is not None:
            if batch.logits.dtype == torch.float64:
                weight = batch.logits.new_tensor(self._exact_class_weight)
            weight = self.spread_class_weight(weight.to(batch.logits), classes)
        if self.include_background or (classes == 1 and self.lone_channel_is_foreground):
            return weight
        if classes == 1:
            raise ValueError("include_background=False leaves nothing of logits with one class")
        foreground = torch.arange(classes, device=batch.logits.device) > 0
        if weight is None:
            return foreground.to(batch.logits.dtype)
        return torch.where(foreground, weight, 0.0)

    def at_target(self, formula: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        """``(N, *S)``: a formula linear in the target, each class weighted."""
        factors = self.class_factors(batch)
        if factors is None:
            return formula(batch.target)
        if batch.has_labels:
            return formula(batch.target) * factors[batch.target]
        return formula(batch.target * beside_classes(factors, batch.target))

    def mean_over_classes(self, values: Tensor, batch: Batch) -> Tensor:
        """``(N, *S)``: the weighted mean of what yes-or-no questions cost, ``(N, C, *S)``."""
        factors = self.class_factors(batch)
        if factors is None:
            return values.mean(1)
        weighted = values * beside_classes(factors, values)
        return weighted.sum(1) / self.num_included(batch)

    def num_included(self, batch: Batch) -> int:
        """The number of classes, without an excluded background."""
        if batch.num_classes == 1 and self.lone_channel_is_foreground:
            return 1
        return batch.num_classes - (not self.include_background)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments as they now stand: ``type(loss)(**loss.arguments())``."""
        found = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        if self._exact_class_weight is not None:
            found["class_weight"] = list(self._exact_class_weight)
        return found

    def extra_repr(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        return ", ".join(
            f"{name}={value!r}"
            for name, value in self.arguments().items()
            if not isinstance(value, nn.Module) and repr(value) != repr(defaults[name].default)
        )


class PixelLoss(SegmentationLoss):
    """A loss with a value at every pixel.

    ``reduction="mean"`` divides by the number of valid pixels (the sum of their weights),
    ``"none"`` gives ``(N, *S)`` with 0 at ignored pixels.
    """

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        return reduce_pixels(self.evaluate(batch), batch.weight, reduction, self.mass(batch))

    def mass(self, batch: Batch) -> Tensor:
        """What the mean divides by."""
        return pixel_mass(batch)


class TableLoss(SegmentationLoss):
    """A loss with a value for every class in every group: each image, or the batch as one.

    A subclass defines :meth:`table`. ``reduction="mean"`` takes the mean over classes, then over
    groups; a group without a valid pixel, or without a class to average, leaves the mean.
    ``"none"`` gives the weighted table ``(G, C)``.
    """

    @abc.abstractmethod
    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        """The values ``(G, C)`` and, as bools of the same shape, which of them count."""

    def evaluate(self, batch: Batch) -> Tensor:
        return self.table(batch, None)[0]

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        values, counted = self.table(batch, statistics)
        return reduce_table(values, counted, self.column_factors(batch), reduction)

    def column_factors(self, batch: Batch) -> Tensor | None:
        """``(C,)``: what the columns of the table weigh; a table of one column has none."""
        return self.class_factors(batch)


class RegionLoss(TableLoss):
    """A loss that is a function of :class:`~metriseg.statistics.RegionStatistics`.

    A subclass defines :meth:`from_statistics`, and :attr:`moments` where it needs more than sums.
    """

    classes: Classes
    per_image: bool
    smooth: float | tuple[float, float]
    sync: bool

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
            activation=activation,
            ignore_index=ignore_index,
            class_weight=class_weight,
            include_background=include_background,
            reduction=reduction,
        )
        validation.one_of("classes", classes, ("all", "present"))
        if sync and per_image:
            raise ValueError("sync=True sums statistics over ranks: it needs per_image=False")
        validation.smoothing(smooth)
        self.smooth = smooth
        self.classes = classes
        self.per_image = bool(per_image)
        self.sync = bool(sync)

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({1.0})

    @property
    def smooth_pair(self) -> tuple[float, float]:
        """What is added to numerator and denominator."""
        return validation.smoothing(self.smooth)

    @abc.abstractmethod
    def from_statistics(self, s: RegionStatistics) -> Tensor:
        """The loss of every class in every group, ``(G, C)``."""

    def statistics(self, batch: Batch, known: RegionStatistics | None = None) -> RegionStatistics:
        """This loss's groups of the batch, from per-image statistics if they are known."""
        s = region_statistics(batch, self.moments) if known is None else known
        if not self.per_image:
            s = s.pooled()
        return s.all_reduce() if self.sync else s

    def counted(self, s: RegionStatistics) -> Tensor:
        """``(G, C)`` bool: the groups with a pixel, of them the classes to be averaged."""
        counted = s.count > 0
        return counted & (s.target[1.0] > 0) if self.classes == "present" else counted

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        s = self.statistics(batch, statistics)
        return self.from_statistics(s), self.counted(s)


def pixel_mass(batch: Batch) -> Tensor:
    """The number of valid pixels, or the sum of their weights."""
    if batch.weight is not None:
        return batch.weight.sum()
    return batch.logits.new_full((), float(batch.logits[:, 0].numel()))


def counted_classes(batch: Batch, classes: Classes, *, per_image: bool) -> Tensor:
    """``(G, C)`` bool: the groups with a valid pixel, of them the classes to be averaged.

    What :meth:`RegionLoss.counted` tells from statistics, for tables made of anything else.
    """
    target, valid = batch.dense_target.flatten(2), batch.valid
    if valid is None:
        counted = target.new_ones(target.shape[:2], dtype=torch.bool)
        counted = counted & (target.shape[2] > 0)
    else:
        target = torch.where(valid.flatten(1).unsqueeze(1), target, 0.0)
        counted = valid.flatten(1).any(1, keepdim=True).expand(target.shape[:2])
    if classes == "present":
        counted = counted & (target > 0).any(2)
    return counted if per_image else counted.any(0, keepdim=True)


def pixel_factors(loss: SegmentationLoss, batch: Batch) -> Tensor:
    """``(N, *S)``: every pixel's weight times that of its class, 0 where ignored."""
    labels, factors = batch.labels, loss.class_factors(batch)
    share = batch.logits.new_ones(labels.shape) if batch.weight is None else batch.weight
    if factors is None:
        return share
    # one channel holds two labels, and has one weight
    return share * (factors if batch.num_classes == 1 else factors[labels])


def reduce_pixels(
    values: Tensor, weight: Tensor | None, reduction: Reduction, mass: Tensor
) -> Tensor:
    """``(N, *S)`` values, weighted; their mean divides by ``mass``."""
    weighted = values if weight is None else values * weight
    if reduction == "none":
        return weighted
    if reduction == "sum":
        return weighted.sum()
    return mean(weighted.sum(), mass)


def reduce_table(
    values: Tensor, counted: Tensor, factors: Tensor | None, reduction: Reduction
) -> Tensor:
    """``(G, C)`` values, weighted by class; the mean over classes, then over groups."""
    factor = counted.to(values.dtype) if factors is None else counted * factors
    weighted = torch.where(factor > 0, values * factor, 0.0)
    if reduction == "none":
        return weighted
    if reduction == "sum":
        return weighted.sum()
    masses = factor.sum(1)
    groups = mean(weighted.sum(1), masses)
    return mean(groups.sum(), (masses > 0).sum())


def mean(total: Tensor, mass: Tensor) -> Tensor:
    """total / mass, and 0, still connected, where there is no mass."""
    return total / torch.where(mass > 0, mass, 1)


def beside_classes(factors: Tensor, values: Tensor) -> Tensor:
    """``(C,)`` in a shape that multiplies ``(N, C, *S)``."""
    return factors.view(-1, *(1,) * (values.ndim - 2))


def connected(value: Tensor, loss: nn.Module) -> Tensor:
    """The same value, with a gradient (of zero) to everything that the loss learns."""
    for parameter in loss.parameters():
        value = value + nothing_of(parameter)
    return value


def nothing_of(tensor: Tensor) -> Tensor:
    """Zero, connected to ``tensor`` (0 times its sum would be NaN where it holds an infinity)."""
    return tensor.flatten()[:0].sum()
