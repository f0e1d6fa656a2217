"""The options that losses share, each declared once.

A family's base class says what a word means (``Args:`` of its docstring), what its default is
(``defaults``) and which values it takes (``__init__``). A loss names the words that it takes by
the type of its ``**options``; a ``defaults`` of its own holds those that differ.
:mod:`metriseg.composition` writes all of them where people look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar

from torch import Tensor

from metriseg import validation
from metriseg.batch import Activation

Reduction = Literal["mean", "sum", "none"]
ClassWeight = Sequence[float] | Tensor | None
Classes = Literal["all", "present"]
Overlap = Literal["product", "minimum"]


class PredictionOptions(TypedDict, total=False):
    """How logits and labels are read."""

    activation: Activation
    ignore_index: int | None


class ClassOptions(TypedDict, total=False):
    """What the classes count."""

    class_weight: ClassWeight
    include_background: bool


class ReductionOption(TypedDict, total=False):
    """How values become one."""

    reduction: Reduction


class LossOptions(PredictionOptions, ClassOptions, ReductionOption, total=False):
    """What every loss of classes takes: :class:`~metriseg.losses.base.SegmentationLoss`."""


class SpacingOption(TypedDict, total=False):
    """In which unit distances are measured."""

    spacing: Sequence[float] | None


class DistanceOptions(SpacingOption, LossOptions, total=False):
    """What losses of distances take: :class:`~metriseg.losses.base.DistanceLoss`."""


class SmoothOption(TypedDict, total=False):
    """What is added to a ratio."""

    smooth: float | tuple[float, float]


class ClassesOption(TypedDict, total=False):
    """Which classes are averaged."""

    classes: Classes


class PerImageOption(TypedDict, total=False):
    """What a group is."""

    per_image: bool


class GroupOptions(ClassesOption, PerImageOption, LossOptions, total=False):
    """What losses take whose sums are neither smoothed nor added over ranks."""


class StatisticsOptions(PerImageOption, total=False):
    """What every loss of region statistics takes."""

    sync: bool


class OverlapOption(TypedDict, total=False):
    """What prediction and truth have in common."""

    overlap: Overlap


class PowerOptions(SmoothOption, ClassesOption, StatisticsOptions, LossOptions, total=False):
    """What region losses take whose sums are of powers."""


class RegionOptions(
    SmoothOption, OverlapOption, ClassesOption, StatisticsOptions, LossOptions, total=False
):
    """What most region losses take: :class:`~metriseg.losses.base.RegionLoss`."""


O = TypeVar("O", bound=Mapping[str, Any])  # noqa: E741


def chosen_options(loss: type, given: O) -> O:
    """A family's options, all of them: those given, else the defaults of the class.

    Raises:
        UnknownArgumentError: for a word that the family doesn't have.
    """
    defaults = default_options(loss)
    validation.refuse_words(loss.__name__, given, defaults)
    return {**defaults, **given}  # type: ignore[return-value]


def default_options(loss: type) -> dict[str, Any]:
    """The default of every option, of the class or of the nearest base that has one."""
    return {
        word: default
        for base in reversed(loss.__mro__)
        for word, default in vars(base).get("defaults", {}).items()
    }
