"""Two label maps, what weighs their pixels, and what the measures make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg import partitions
from metriseg.partitions import ContingencyTable, Measure, contingency_table
from metriseg.partitions.counting import Ignore
from metriseg.partitions.table import Unit, in_unit


@dataclass(frozen=True)
class Row:
    """A line of the result.

    Attributes:
        metric: its name in :data:`~metriseg.partitions.MEASURES`.
        family: what weighs it, "" where nothing does.
        value: of the two partitions.
        normalized: the same within 0 … 1, None where there is no such form.
        unit: of the value, "" for a pure number.
        is_metric: whether it obeys the axioms of a metric.
        best: the value of equal partitions.
    """

    metric: str
    family: str
    value: float
    normalized: float | None
    unit: str
    is_metric: bool
    best: float


@dataclass(frozen=True)
class Family:
    """A family of weights under which the partition distance stays a metric.

    Attributes:
        weight: makes the weight, for a number of pixels.
        measures: the pixel measures of an image that it is of, None for counts.
        features: the pixel features of an image that it is of, None without.
        of_color: whether these are of colours, else of brightness.
        unit: of the distance.
    """

    weight: Callable[[int], Any]
    measures: Callable[[Any], Any] | None = None
    features: Callable[[Any], Any] | None = None
    of_color: bool = False
    unit: str = "pixels²"

    @property
    def needs_image(self) -> bool:
        return self.measures is not None or self.features is not None


def families() -> Mapping[str, Family]:
    """By the names that ``--family`` takes."""

    def kernel(pixels: int) -> Any:
        return partitions.KernelWeight()

    def unlike(greatest: float) -> Callable[[int], Any]:
        """The greatest difference counts as all the pixels."""
        return lambda pixels: partitions.FeatureWeight(pixels / greatest)

    return {
        "intensity-kernel": Family(kernel, measures=partitions.intensity_bins),
        "color-kernel": Family(kernel, measures=partitions.color_bins, of_color=True),
        "texture-kernel": Family(kernel, measures=partitions.texture_bins),
        "intensity-features": Family(unlike(1), features=partitions.intensity_features),
        "color-features": Family(unlike(100), features=partitions.color_features, of_color=True),
        "texture-features": Family(unlike(1), features=partitions.texture_features),
        "union": Family(lambda pixels: partitions.UnionWeight(), unit="pixels"),
    }


class Misused(ValueError):
    """A name or a combination of options that the command line doesn't have."""


class Comparison:
    """Two label maps, and what to weigh them by.

    Args:
        x: label map.
        y: label map of the same shape.
        image: of that shape, or with three colours; or None.
        ignore: labels to leave out, of x and of y.
        mask: the pixels that count; None counts all.
        names: new names of the labels of x and y, for what is of objects, where 0 is the
            background; None where the labels are so already.
        unit: of information.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        image: Any,
        ignore: Ignore,
        mask: Any = None,
        names: tuple[Any, Any] = (None, None),
        unit: Unit = "nats",
    ) -> None:
        self.x, self.y, self.image, self.ignore, self.names = x, y, image, ignore, names
        self.mask, self.unit = mask, unit
        self.table = self._count()

    @property
    def is_colored(self) -> bool:
        """Whether there is an image that has colours in the sense of sRGB."""
        return self.image is not None and self.image.ndim == len(self.x.shape) + 1 == 3

    def row(self, measure: Measure) -> Row:
        """What a measure makes of them."""
        table = self.table
        if measure.needs == "features":
            table = self._described()
        elif measure.needs == "objects":
            table = table.relabel(*self.names)
        normalized = measure.normalized
        is_information = measure.unit == "nats"
        value = measure(table)
        return Row(
            metric=measure.name,
            family="",
            value=float(in_unit(self.unit, value)) if is_information else value,
            normalized=None if normalized is None else normalized(table),
            unit=self.unit if is_information else measure.unit,
            is_metric=measure.is_metric,
            best=measure.best,
        )

    def weighted_row(self, name: str, family: Family) -> Row:
        """The partition distance with the weights of a family."""
        weight = family.weight(self.table.total)
        table = self._count(
            weight=None if family.measures is None else family.measures(self._seen(family)),
            features=None if family.features is None else family.features(self._seen(family)),
        )
        distance = partitions.weighted_partition_distance
        # with features the greatest distance depends on the image
        is_bounded = family.features is None
        return Row(
            metric="weighted_partition_distance",
            family=name,
            value=distance(table, weight),
            normalized=distance(table, weight, normalized=True) if is_bounded else None,
            unit=family.unit,
            is_metric=weight.is_metric,
            best=0.0,
        )

    def _seen(self, family: Family) -> NDArray[Any]:
        return within_unit(self.image) if family.of_color else brightness(self.image, self.x.ndim)

    def _described(self) -> ContingencyTable:
        """With features of the regions, for measures that need them."""
        if self.image is None:
            raise Misused("metrics of region features need an image: --weights image.png")
        if self.is_colored:
            return self._count(features=partitions.color_features(within_unit(self.image)))
        seen = brightness(self.image, self.x.ndim)
        return self._count(features=partitions.intensity_features(seen))

    def _count(self, weight: Any = None, features: Any = None) -> ContingencyTable:
        return contingency_table(
            self.x, self.y, weight=weight, features=features, mask=self.mask, ignore=self.ignore
        )


def within_unit(image: NDArray[Any]) -> NDArray[np.float64]:
    """Values in 0 … 1: of the whole range of an unsigned type, else of the range that occurs.

    Floating-point values that are in 0 … 1 stay as they are.
    """
    values = image.astype(np.float64)
    if image.dtype.kind == "u":
        return values / np.iinfo(image.dtype).max
    low, high = float(values.min()), float(values.max())
    if image.dtype.kind == "b" or (image.dtype.kind == "f" and low >= 0 and high <= 1):
        return values
    return (values - low) / ((high - low) or 1.0)


def brightness(image: NDArray[Any], dimensions: int) -> NDArray[np.float64]:
    """``(*S)`` of so many dimensions, in 0 … 1: of colours the luma of Rec. 601."""
    values = within_unit(image)
    if image.ndim == dimensions:
        return values
    luma: NDArray[np.float64] = (values @ np.array([0.299, 0.587, 0.114])).clip(0, 1)
    return luma
