"""What all losses share: the user's door, the activation, weights and reductions."""

from __future__ import annotations

import abc
import contextlib
import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack, cast

import torch
from torch import Tensor, nn

from metriseg import validation
from metriseg.batch import Activation, Batch, full_precision
from metriseg.composition import compose
from metriseg.losses.label_sets import holds_numbers, spread_label_sets
from metriseg.options import (
    Classes,
    DistanceOptions,
    LossOptions,
    Overlap,
    Reduction,
    RegionOptions,
    chosen_options,
)
from metriseg.reduction import (
    beside_classes,
    connected,
    mean,
    nothing_of,
    over_target,
    pixel_mass,
    reduce_pixels,
    reduce_table,
)
from metriseg.statistics import RegionStatistics, region_statistics

__all__ = [
    "DistanceLoss",
    "OverlapLoss",
    "PixelLoss",
    "RegionLoss",
    "SegmentationLoss",
    "TableLoss",
]


class SegmentationLoss(nn.Module, abc.ABC):
    """Base class: from logits and a target to a loss.

    A subclass holds hyper-parameters, each under the name of its constructor argument, and says in
    :meth:`evaluate` what the loss is and in :meth:`reduced` how its values become one. Options that
    losses share are passed on, ``**options: Unpack[LossOptions]``, and composed into signature and
    docstring of the subclass (:mod:`metriseg.composition`).

    Args:
        activation: "softmax", "sigmoid" (one channel, or one question a class) or "identity".
        ignore_index: label of the pixels that don't count.
        class_weight: C numbers >= 0.
        include_background: False gives class 0 weight zero.
        reduction: "mean", "sum" or "none", then the unreduced shape.

    Shape:
        - logits: ``(N, C, *S)`` with one spatial dimension or more, any floating dtype.
        - target: ``(N, *S)`` integer labels, or ``(N, C, *S)`` one-hot or soft labels.
        - weight: ``(N, *S)``; a pixel of weight 2 counts as two, one of weight 0 doesn't exist. Or
          ``(N, C, *S)`` or ``(N, C)``: a class is in no sum and no mean where its weight is 0.
        - output: a scalar, or with ``reduction="none"`` the unreduced shape.

    Raises:
        ValueError: for an argument outside its domain, and for logits, targets or weights of the
            wrong shape, type or range.
    """

    #: What an option is where the caller doesn't say; a subclass names those that differ.
    defaults: ClassVar[LossOptions] = {
        "activation": "softmax",
        "ignore_index": None,
        "class_weight": None,
        "include_background": True,
        "reduction": "mean",
    }

    #: Foreign names of arguments -> what to say when somebody uses one.
    synonyms: ClassVar[Mapping[str, str]] = {}
    #: The activations under which the loss has a meaning.
    activations: ClassVar[tuple[Activation, ...]] = ("softmax", "sigmoid", "identity")
    #: The maps that a loader may have computed beforehand for it.
    map_names: ClassVar[tuple[str, ...]] = ()
    #: Whether its region statistics must keep the digits of small errors.
    needs_errors: bool = False
    #: What its region statistics count as common to prediction and truth.
    overlap: Overlap = "product"
    #: Whether two class weights may weigh the two labels of a single channel.
    labels_have_weights: ClassVar[bool] = False
    #: Whether it has a meaning where some of the classes aren't annotated.
    weighs_classes: ClassVar[bool] = False
    #: The labels that stand for one of several classes; None for a loss that knows no such.
    label_sets: Mapping[int, Sequence[int]] | None = None
    #: Whether a single channel is foreground, and counts when the background is left out.
    lone_channel_is_foreground: ClassVar[bool] = False

    activation: Activation
    ignore_index: int | None
    include_background: bool
    reduction: Reduction
    class_weight: Tensor | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        validation.KNOWN_MAPS.update(cls.map_names)
        # a framework's class brings a signature in the framework's words
        if "__signature__" not in vars(cls):
            compose(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> SegmentationLoss:
        validation.refuse_unknown(cls, kwargs, cls.synonyms)
        return super().__new__(cls)

    def __init__(self, **options: Unpack[LossOptions]) -> None:
        super().__init__()
        chosen = chosen_options(type(self), options)
        validation.one_of("activation", chosen["activation"], self.activations)
        validation.one_of("reduction", chosen["reduction"], ("mean", "sum", "none"))
        self.activation = chosen["activation"]
        self.ignore_index = validation.label("ignore_index", chosen["ignore_index"])
        self.include_background = validation.flag(
            "include_background", chosen["include_background"]
        )
        self.reduction = chosen["reduction"]
        self._exact: dict[str, Any] = {}
        self._looked_at: set[torch.device] = set()
        self.keep_numbers("class_weight", validation.class_weights(chosen["class_weight"]))

    def keep_numbers(self, name: str, exact: Tensor | None) -> None:
        """Float64 numbers as an argument: a buffer that no checkpoint holds."""
        buffer = None if exact is None else exact.to(torch.get_default_dtype())
        self.register_buffer(name, buffer, persistent=False)
        if exact is not None:
            self._exact[name] = exact.tolist()

    def numbers(self, name: str, like: Tensor) -> Tensor | None:
        """Such an argument in the precision of a tensor, with all its digits."""
        kept: Tensor | None = getattr(self, name)
        if kept is None:
            return None
        return like.new_tensor(self._exact[name]) if like.dtype == torch.float64 else kept.to(like)

    def possible_activations(self) -> tuple[Activation, ...]:
        """Those under which this very loss has a meaning."""
        return self.activations

    def fitting_activation(self, usual: Activation) -> Activation:
        """The usual one, if the loss has a meaning under it, else its first."""
        possible = self.possible_activations()
        return usual if usual in possible else possible[0]

    @property
    def name(self) -> str:
        """What the loss is called in a log: ``PowerJaccardLoss`` is ``power_jaccard``."""
        return name_in_log(type(self))

    @property
    def moments(self) -> frozenset[float]:
        """The exponents of the region statistics that the loss is made of."""
        return frozenset()

    @property
    def overlap_moments(self) -> frozenset[float]:
        """Those of the overlaps among them."""
        return frozenset({1.0}) if self.moments else frozenset()

    def wants_label_logs(self, batch: Batch) -> bool:
        """Whether it looks at the logarithms at the labels, which statistics can take along."""
        return False

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
        counted: Tensor | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """As :meth:`forward`, for callers (the frameworks) who decide these matters themselves.

        ``reduction=None`` is the loss's own (a compound's terms each have theirs); ``counted`` is
        that of :class:`~metriseg.Batch`.
        """
        validation.logits_shape(logits)
        possible = self.possible_activations()
        validation.one_of("activation", activation, possible)
        if activation == "softmax" and "sigmoid" not in possible:
            # no advice to choose what would be refused
            validation.enough_classes(self, logits.shape[1], 2)
        validation.map_names(maps)
        for parameter in self.parameters():
            validation.same_device("what the loss learns", parameter, logits)
        if self.label_sets and holds_numbers(target, logits):
            target, weight = spread_label_sets(
                target, logits, self.label_sets, ignore_index, weight
            )
            ignore_index = None
        with full_precision(logits), self._values_checked_once(logits, activation):
            batch = Batch.from_tensors(
                logits,
                target,
                activation=activation,
                ignore_index=ignore_index,
                weight=weight,
                counted=counted,
                maps=maps,
                features=features,
            )
            if activation == "identity" and "sigmoid" not in possible and batch.num_classes > 1:
                validation.rows_sum_to_one("logits", self, batch.logits, batch.valid)
            return self.value(batch, reduction=reduction)

    def _values_checked_once(
        self, logits: Tensor, activation: Activation
    ) -> contextlib.AbstractContextManager[None]:
        """On every device the first input that is to be probabilities is looked at.

        Raw scores in their place would train, and badly, without a word.
        """
        seen = logits.device in self._looked_at or torch.compiler.is_compiling()
        if activation != "identity" or seen:
            return contextlib.nullcontext()
        self._looked_at.add(logits.device)
        return validation.debug()

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
        reduction = reduction or self.reduction
        if batch.annotation is not None:
            batch = self.annotated(batch)
        # without a pixel there is nothing to look at, unless other ranks wait for the sums
        if batch.logits.numel() == 0 and not getattr(self, "sync", False):
            return connected(self.of_nothing(batch, reduction), self)
        return connected(self.reduced(batch, reduction, statistics), self)

    def of_nothing(self, batch: Batch, reduction: Reduction) -> Tensor:
        """The value of a batch without a pixel: 0, or without reduction a value for none."""
        return batch.logits[:, 0] if reduction == "none" else nothing_of(batch.logits)

    def annotated(self, batch: Batch) -> Batch:
        """A batch whose classes have weights of their own, as the loss takes it.

        Raises:
            ValueError: for a loss that has no meaning without one of the classes.
        """
        if not self.weighs_classes:
            raise ValueError(
                "weight of classes, (N, C) or (N, C, *S), says where a class isn't annotated, and"
                f" {type(self).__name__} has no meaning without one of them: give (N, *S)"
            )
        return batch

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

    @property
    def background_of_pixels(self) -> bool:
        """Whether class 0 counts in values of pixels; in a sum, parts may differ about it."""
        return self.include_background

    def class_factors(self, batch: Batch, background: bool | None = None) -> Tensor | None:
        """``(C,)``: class weights, 0 for an excluded background; None for all ones.

        Args:
            batch: whose classes.
            background: whether class 0 counts; None for ``include_background``.
        """
        background = self.include_background if background is None else background
        weight, classes = self.numbers("class_weight", batch.logits), batch.num_classes
        if self.label_weight(batch) is not None:
            weight = None
        if weight is not None:
            weight = self.spread_class_weight(weight, classes)
        if background or (classes == 1 and self.lone_channel_is_foreground):
            return weight
        if classes == 1:
            raise ValueError("include_background=False leaves nothing of logits with one class")
        foreground = torch.arange(classes, device=batch.logits.device) > 0
        if weight is None:
            return foreground.to(batch.logits.dtype)
        return torch.where(foreground, weight, 0.0)

    def label_weight(self, batch: Batch) -> Tensor | None:
        """``(N, *S)``: of two weights and one channel, the first for label 0, the second for 1."""
        if batch.num_classes > 1 or not self.labels_have_weights:
            return None
        weight = self.numbers("class_weight", batch.logits)
        if weight is None or weight.numel() != 2:
            return None
        return torch.lerp(weight[0], weight[1], batch.target[:, 0])

    def at_target(self, formula: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        """``(N, *S)``: a formula linear in the target, each class weighted."""
        factors = self.class_factors(batch, self.background_of_pixels)
        if factors is None:
            return formula(batch.target)
        if batch.has_labels:
            return formula(batch.target) * factors[batch.target]
        return formula(batch.target * beside_classes(factors, batch.target))

    def mean_over_classes(self, values: Tensor, batch: Batch) -> Tensor:
        """``(N, *S)``: the weighted mean of what yes-or-no questions cost, ``(N, C, *S)``."""
        of_labels = self.label_weight(batch)
        if of_labels is not None:
            return values[:, 0] * of_labels
        factors = self.class_factors(batch, self.background_of_pixels)
        if batch.annotation is not None:
            weighted = values * batch.annotation
            if factors is not None:
                weighted = weighted * beside_classes(factors, values)
            return mean(weighted.sum(1) / self.num_included(batch), self.annotated_mass(batch))
        if factors is None:
            return values.mean(1)
        weighted = values * beside_classes(factors, values)
        return weighted.sum(1) / self.num_included(batch)

    def annotated_mass(self, batch: Batch) -> Tensor:
        """``(N, *S)``: what a pixel counts where classes have weights of their own.

        The weight of its label; of yes-or-no questions the mean of theirs.
        """
        assert batch.annotation is not None
        if not batch.one_vs_rest:
            return over_target(batch.annotation, batch.target)
        included = self.num_included(batch)
        return batch.annotation[:, batch.num_classes - included :].sum(1) / included

    def pixel_factors(self, batch: Batch) -> Tensor:
        """``(N, *S)``: every pixel's weight times that of its class, 0 where ignored."""
        labels, factors = batch.labels, self.class_factors(batch)
        share = batch.logits.new_ones(labels.shape) if batch.weight is None else batch.weight
        if factors is None:
            return share
        # one channel holds two labels, and has one weight
        return share * (factors if batch.num_classes == 1 else factors[labels])

    def num_included(self, batch: Batch) -> int:
        """The number of classes that a pixel's value is made of."""
        if batch.num_classes == 1 and self.lone_channel_is_foreground:
            return 1
        return batch.num_classes - (not self.background_of_pixels)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments as they now stand: ``type(loss)(**loss.arguments())``."""
        return {
            name: copy.deepcopy(self._exact[name]) if name in self._exact else getattr(self, name)
            for name in inspect.signature(type(self)).parameters
        }

    def extra_repr(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        return ", ".join(
            f"{name}={value!r}"
            for name, value in self.arguments().items()
            if not isinstance(value, nn.Module)
            and not (name in defaults and repr(value) == repr(defaults[name].default))
        )


compose(SegmentationLoss)


def name_in_log(loss: type) -> str:
    """A class's name in small letters, its words apart, without "Loss"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", loss.__name__.removesuffix("Loss"))
    return words.lower()


class PixelLoss(SegmentationLoss):
    """A loss with a value at every pixel.

    ``reduction="mean"`` divides by the number of valid pixels (the sum of their weights),
    ``"none"`` gives ``(N, *S)`` with 0 at ignored pixels.

    Args:
        reduction: "mean", "sum" or "none", then ``(N, *S)``.
    """

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        return reduce_pixels(self.evaluate(batch), batch.weight, reduction, self.mass(batch))

    def annotated(self, batch: Batch) -> Batch:
        batch = super().annotated(batch)
        return dataclasses.replace(batch, weight=self.annotated_mass(batch))

    def mass(self, batch: Batch) -> Tensor:
        """What the mean divides by."""
        return pixel_mass(batch)


class DistanceLoss(PixelLoss):
    """A loss of pixels that measures distances to the boundary of the truth.

    Args:
        spacing: the size of a pixel along every axis, each > 0; None for all ones.
        ignore_index: label of the pixels that don't count, neither inside nor outside a class.
    """

    defaults: ClassVar[DistanceOptions] = {"spacing": None}

    def __init__(self, **options: Unpack[DistanceOptions]) -> None:
        super().__init__(**cast(LossOptions, options))
        self.spacing = validation.spacing(chosen_options(type(self), options)["spacing"])


class TableLoss(SegmentationLoss):
    """A loss with a value for every class in every group: each image, or the batch as one.

    A subclass defines :meth:`table`. ``reduction="mean"`` takes the mean over classes, then over
    groups; a group without a valid pixel, or without a class to average, leaves the mean.
    ``"none"`` gives the weighted table ``(G, C)``.

    Args:
        class_weight: C numbers >= 0; the mean divides by their sum.
        reduction: "mean", "sum" or "none", then ``(G, C)``.
    """

    #: Whether the columns of the table are classes; else it has one, which no class weighs.
    columns_are_classes: ClassVar[bool] = True

    @abc.abstractmethod
    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        """The values ``(G, C)`` and, as bools of the same shape, which of them count."""

    def evaluate(self, batch: Batch) -> Tensor:
        return self.table(batch, None)[0]

    def of_nothing(self, batch: Batch, reduction: Reduction) -> Tensor:
        nothing = nothing_of(batch.logits)
        if reduction != "none":
            return nothing
        groups = len(batch.logits) if getattr(self, "per_image", True) else 1
        return nothing.expand(groups, batch.num_classes if self.columns_are_classes else 1)

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        values, counted = self.table(batch, statistics)
        return self.reduced_table(values, counted, batch, reduction)

    def reduced_table(
        self, values: Tensor, counted: Tensor, batch: Batch, reduction: Reduction
    ) -> Tensor:
        """A table and what of it counts, weighted by class and reduced."""
        factors = self.class_factors(batch) if self.columns_are_classes else None
        return reduce_table(values, counted, factors, reduction)


class OverlapLoss(TableLoss):
    """A loss that measures in every group how prediction and truth of a class overlap.

    A subclass may take fewer of the options: it names them by the type of its ``**options``.

    Args:
        smooth: epsilon >= 0, or a pair (numerator, denominator).
        overlap: "product" for the sum of p t, or "minimum" for that of min(p, t), with which a loss
            of soft labels is 0 where the prediction equals them (Wang et al. 2023,
            arXiv:2303.16296). Of hard labels both are the same.
        classes: "all", or "present" to average the classes that the target holds.
        per_image: sums over each image (mean over images), or over the batch.
        sync: sum the statistics over ranks, with gradient; needs ``per_image=False``.
    """

    defaults: ClassVar[RegionOptions] = {
        "smooth": 1e-5,
        "overlap": "product",
        "classes": "all",
        "per_image": True,
        "sync": False,
    }

    classes: Classes
    per_image: bool
    sync: bool

    def __init__(self, **options: Unpack[RegionOptions]) -> None:
        super().__init__(**cast(LossOptions, options))
        chosen = chosen_options(type(self), options)
        validation.one_of("classes", chosen["classes"], ("all", "present"))
        validation.one_of("overlap", chosen["overlap"], ("product", "minimum"))
        self.smooth = chosen["smooth"]
        self.overlap = chosen["overlap"]
        self.classes = chosen["classes"]
        self.per_image = validation.flag("per_image", chosen["per_image"])
        self.sync = validation.flag("sync", chosen["sync"])
        if self.sync and self.per_image:
            raise ValueError("sync=True sums statistics over ranks: it needs per_image=False")

    @property
    def smooth(self) -> float | tuple[float, float]:
        """What is added, as it was given; :attr:`smooth_pair` is that to numerator, denominator."""
        return self._smooth

    @smooth.setter
    def smooth(self, value: float | tuple[float, float]) -> None:
        self.smooth_pair = validation.smoothing(value)
        self._smooth = value

    def counted(self, s: RegionStatistics) -> Tensor:
        """``(G, C)`` bool: the groups with a pixel, of them the classes to be averaged."""
        counted = s.count > 0
        present = self.classes_among(counted.shape[1]) == "present"
        return counted & (s.target[1.0] > 0) if present else counted

    def classes_among(self, num_classes: int) -> Classes:
        """Which of so many classes are averaged; a framework may tell one from several."""
        return self.classes


class RegionLoss(OverlapLoss):
    """A loss that is a function of :class:`~metriseg.statistics.RegionStatistics`.

    A subclass defines :meth:`from_statistics`, and :attr:`moments` where it needs more than sums.
    """

    weighs_classes: ClassVar[bool] = True

    @property
    def moments(self) -> frozenset[float]:
        return frozenset({1.0})

    @abc.abstractmethod
    def from_statistics(self, s: RegionStatistics) -> Tensor:
        """The loss of every class in every group, ``(G, C)``."""

    def statistics(self, batch: Batch, known: RegionStatistics | None = None) -> RegionStatistics:
        """This loss's groups of the batch, from per-image statistics if they are known."""
        s = known
        if s is None:
            s = region_statistics(
                batch,
                self.moments,
                overlap_moments=self.overlap_moments,
                errors=self.needs_errors,
                overlap=self.overlap,
                label_logs=self.wants_label_logs(batch),
            )
        if not self.per_image:
            s = s.pooled()
        return s.all_reduce() if self.sync else s

    def table(self, batch: Batch, statistics: RegionStatistics | None) -> tuple[Tensor, Tensor]:
        s = self.statistics(batch, statistics)
        return self.from_statistics(s), self.counted(s)
