"""How Detectron2 builds and calls a loss: a head owns it, settles what the user left open, logs."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from detectron2.utils.events import get_event_storage, has_event_storage
from torch import Tensor

from metriseg import (
    Batch,
    Convention,
    RegionStatistics,
    TableLoss,
    validation,
)
from metriseg.batch import Activation
from metriseg.binding import keyword
from metriseg.catalogue import parts_of
from metriseg.composition import argument_types
from metriseg.losses.combination import CombinedLoss

#: The map in which a mask head says what each region is: ``(R,)`` int64.
CATEGORY = "category"

#: What a loss takes that no head owns.
ACTIVATION_WITHOUT_A_HEAD = "softmax"


@dataclass(frozen=True)
class Seen:
    """What the losses of a head get to see.

    Attributes:
        stem: the stock loss's key in the head's result.
        num_channels: of the logits.
        activation: for losses that were given none.
        smooth: for losses that were given none; None leaves them their own.
        points: whether the pixels are samples, which have no neighbours.
        regions: whether each is a problem of its own with one channel; its category is then the
            map ``CATEGORY``.
        num_categories: of the regions; None where it isn't known.
    """

    stem: str
    num_channels: int
    activation: Activation
    smooth: float | None = None
    points: bool = False
    regions: bool = False
    num_categories: int | None = None

    @classmethod
    def of_regions(cls, stem: str, num_categories: int | None, *, points: bool = False) -> Seen:
        """A channel a region, as the mask heads have it."""
        return cls(stem, 1, "sigmoid", 1.0, points, True, num_categories)

    @classmethod
    def of_classes(cls, stem: str, num_classes: int, *, points: bool = False) -> Seen:
        """A channel a class, as the semantic heads have it."""
        return cls(stem, num_classes, "softmax", points=points)


_IGNORING = (
    "the head decides what is ignored: a semantic one by MODEL.SEM_SEG_HEAD.IGNORE_VALUE, a mask"
    " head nothing"
)


class Detectron2Convention(Convention):
    """The core's words without ``ignore_index``, and ``loss_weight``.

    ``activation=None`` and ``smooth=None``, the defaults, are for the head to settle.
    """

    note: ClassVar[str] = """In Detectron2: ``loss_weight`` (>= 0, default 1.0) multiplies the loss;
``ignore_index`` is the head's ``ignore_value``; ``activation`` and ``smooth`` default to what the
head that owns the loss needs: "sigmoid" and 1.0 in a mask head, "softmax" and the core's default
in a semantic head. In a mask head ``class_weight`` has a number for every category and weighs the
regions of that category: the mean over regions becomes a weighted mean, or, for a region loss with
``per_image=False``, a region of weight 2 counts as two."""

    foreign_words: ClassVar[Mapping[str, str]] = {
        "weight": "say 'loss_weight' for the weight of the whole loss, 'class_weight' for those of"
        " the classes",
        "ignore_index": _IGNORING,
        "ignore_value": _IGNORING,
    }

    #: What a mask head says beside what a loader may.
    map_names: ClassVar[tuple[str, ...]] = (CATEGORY,)

    #: Where in a YAML config the loss stands; empty where it was built in Python.
    place: str = ""
    #: What the head that owns it shows it; None while none does.
    seen: Seen | None = None
    #: Whether it is shown targets between 0 and 1 that it has no meaning for.
    rounds: bool = False
    loss_weight: float
    #: ``(K,)``: set by a mask head, in place of ``class_weight``.
    category_weight: Tensor | None

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        words = {name: word for name, word in core.items() if name != "ignore_index"}
        for name in words.keys() & {"activation", "smooth"}:
            words[name] = words[name].replace(
                default=None, annotation=f"{words[name].annotation} | None"
            )
        return {**words, "loss_weight": keyword("loss_weight", 1.0, float)}

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        words = {name: _plain(value) for name, value in arguments.items() if name in core}
        for name in words.keys() & {"activation", "smooth"}:
            if words[name] is None:
                words[name] = core[name].default
        return words

    @classmethod
    def hints(cls) -> dict[str, Any]:
        """The annotation of every constructor argument."""
        core = cls.__mro__[cls.__mro__.index(Convention) + 1]
        return {**argument_types(core), "loss_weight": float}

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        self.loss_weight = validation.number("loss_weight", arguments["loss_weight"], low=0.0)
        self.register_buffer("category_weight", None, persistent=False)
        if "activation" in arguments:
            self.activation = arguments["activation"]

    def settle(self, seen: Seen, log_as: str) -> None:
        """Fill in what the user left to the head that owns this loss; called as it is built.

        Args:
            seen: what the head shows it. Regions are weighed by ``class_weight``.
            log_as: its key in the head's result.

        Raises:
            ValueError: for a ``class_weight`` of another length or that the loss can't have there,
                for ``reduction="none"``, and for a loss that a head of another kind owns.
        """
        if self.seen not in (None, seen):
            raise ValueError(
                "it is a loss of another head already: every head wants one of its own"
            )
        self.seen = seen
        if self.reduction == "none":
            raise ValueError("reduction must be 'mean' or 'sum' in a head, got 'none'")
        if seen.regions and seen.points:
            (_, entry), *_ = parts_of(self)
            self.rounds = entry is not None and not entry.soft_targets
        given = self.arguments()
        if given["activation"] is None:
            self.activation = self.fitting_activation(seen.activation)
        if seen.smooth is not None and "smooth" in given and given["smooth"] is None:
            self.smooth = seen.smooth
        self._settle_loss_within(seen)
        if seen.regions and self.class_weight is not None:
            if seen.num_categories is None:
                raise ValueError(
                    "class_weight weighs the regions of each category, and a head of class-agnostic"
                    " masks has to be told how many there are: say num_categories"
                )
            if self.class_weight.numel() != seen.num_categories:
                raise ValueError(
                    "class_weight must have a number for each of the"
                    f" {seen.num_categories} categories, got {self.class_weight.numel()}"
                )
            if isinstance(self, CombinedLoss) and self.per_image:
                raise ValueError(
                    "class_weight can't weigh regions of a loss with two means, over regions and"
                    " over pixels: say per_image=False, or a CompoundLoss of its terms"
                )
            self.category_weight, self.class_weight = self.class_weight, None

    def _settle_loss_within(self, seen: Seen) -> None:
        """What a loss of objects does not say of the region loss that it is made of."""
        within = getattr(self, "loss", None)
        if within is None or seen.smooth is None:
            return
        given = self.arguments()["loss"]
        if given is None or (
            isinstance(given, Detectron2Convention) and given.arguments().get("smooth") is None
        ):
            within.smooth = seen.smooth

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        ignore_index: int | None = None,
        weight: Tensor | None = None,
        counted: Tensor | None = None,
        maps: Mapping[str, Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """The loss of a prediction; ``ignore_index`` is the calling head's.

        ``counted`` is that of :class:`metriseg.Batch`.
        """
        return self.compute(
            logits,
            target,
            activation=self.activation or self.fitting_activation(ACTIVATION_WITHOUT_A_HEAD),
            ignore_index=ignore_index,
            weight=weight,
            counted=counted,
            maps=maps,
            features=features,
        )

    def value(
        self,
        batch: Batch,
        *,
        reduction: str | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        if self.rounds:
            # what lies between 0 and 1 has no meaning for it
            batch = dataclasses.replace(batch, target=(batch.target > 0.5).to(batch.target))
        if self.category_weight is None:
            value = super().value(batch, reduction=reduction, statistics=statistics)
        else:
            value = self._weighing_regions(batch, reduction or self.reduction, statistics)
        return self.loss_weight * value

    def _weighing_regions(
        self, batch: Batch, reduction: str, statistics: RegionStatistics | None
    ) -> Tensor:
        weight = self.category_weight.to(batch.logits)[batch.maps[CATEGORY]]
        if not (isinstance(self, TableLoss) and getattr(self, "per_image", True)):
            # the given statistics know nothing of these weights
            pixels = batch.logits[:, 0]
            everywhere = weight.view(-1, *[1] * (pixels.ndim - 1)).expand_as(pixels)
            if batch.weight is not None:
                everywhere = everywhere * batch.weight
            weighted = dataclasses.replace(batch, weight=everywhere)
            return super().value(weighted, reduction=reduction)
        regions = super().value(batch, reduction="none", statistics=statistics)[:, 0]
        if getattr(self, "classes", "all") == "present":
            weight = weight * (batch.target > 0).flatten(1).any(1)
        total = torch.where(weight > 0, weight * regions, 0.0).sum()
        if reduction == "sum":
            return total
        mass = weight.sum()
        return total / torch.where(mass > 0, mass, 1.0)


class CompoundConvention(Detectron2Convention):
    """A loss whose terms are losses: they are settled one by one, and logged one by one."""

    note: ClassVar[str] = """In Detectron2: ``loss_weight`` (>= 0, default 1.0) multiplies the sum.
Each weighted term is logged beside the loss, as ``loss_mask/dice``, before a ``LOSS_WEIGHT`` of
the head. Schedules count iterations."""

    #: What the terms' scalars are filed under.
    log_as: str

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        super().adopt(arguments)
        for term in self.terms:
            if not isinstance(term, Detectron2Convention):
                raise ValueError(
                    f"terms must be losses of metriseg_detectron2, got {type(term).__module__}."
                    f"{type(term).__qualname__}"
                )
        self.log_as = self.name

    def settle(self, seen: Seen, log_as: str) -> None:
        self.seen, self.log_as = seen, log_as
        for name, term in zip(self.term_names, self.terms, strict=True):
            term.settle(seen, f"{log_as}/{name}")
        self.activation = self.terms[0].activation

    def current_step(self) -> int:
        return get_event_storage().iter if has_event_storage() else self.step

    def report(self, values: Mapping[str, Tensor]) -> None:
        if not has_event_storage():
            return
        for name, value in values.items():
            get_event_storage().put_scalar(
                f"{self.log_as}/{name}", self.loss_weight * value.detach()
            )


def _plain(value: Any) -> Any:
    """LazyConfig's containers as lists and dictionaries; what they hold may be modules."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
