"""What a weight of regions is, and how weights add up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.partitions.table import Table
from metriseg.partitions.weights.cells import shared_columns

__all__ = ["RegionWeight", "WeightMultiple", "WeightOfMeasure", "WeightSum"]


class RegionWeight(ABC):
    r"""A weight :math:`\varphi` of pairs of regions.

    Weights add up, and are multiplied by numbers above 0: the distance of ``2 * a + b`` is twice
    that of a, plus that of b. A sum is a metric when all its terms are, a multiple when its weight
    is.

    >>> from metriseg.partitions import ArbitraryWeight, UnionWeight, UnitWeight
    >>> weight = UnitWeight() + 2 * UnionWeight()
    >>> weight.is_metric, (weight + ArbitraryWeight(lambda pairs: pairs.x_sizes)).is_metric
    (True, False)
    """

    # a NumPy number on the left leaves the product to __rmul__
    __array_ufunc__ = None

    @property
    @abstractmethod
    def is_metric(self) -> bool:
        """Whether the distance is proved to be a metric, for pixel measures above 0."""

    @property
    def root_is_metric(self) -> bool:
        """Whether the distance's root is proved to be a metric: that of a metric is one."""
        return self.is_metric

    @abstractmethod
    def cells(self, table: Table) -> NDArray[np.float64]:
        r"""``(cells,)``: the terms :math:`\varphi\,\mu(x_k \triangle y_l)\,\mu(x_k \cap y_l)`."""

    def bound(self, table: Table) -> Any:
        """What no distance on the table's domain exceeds, the same for all its partitions.

        Raises:
            ValueError: where the table doesn't say.
        """
        raise ValueError(
            f"normalized must be False for {type(self).__name__}: the table sets its distance"
            " no bound"
        )

    def of_measure(self, index: int) -> RegionWeight:
        """This weight on one of several measures of a table, so that it adds to others.

        >>> from metriseg.partitions import KernelWeight, UnionWeight
        >>> both = UnionWeight().of_measure(0) + 0.5 * KernelWeight()
        >>> from metriseg.partitions import contingency_table, weighted_partition_distance
        >>> table = contingency_table([0, 0], [0, 1], weight=[[1.0, 1.0], [0.0, 2.0]])
        >>> weighted_partition_distance(table, both)
        2.0
        """
        return WeightOfMeasure(self, arguments.whole_number("index", index))

    def __add__(self, other: object) -> RegionWeight:
        if not isinstance(other, RegionWeight):
            return NotImplemented
        return WeightSum((*_terms(self), *_terms(other)))

    def __radd__(self, other: object) -> RegionWeight:
        """So that ``sum(weights)`` works."""
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: float) -> RegionWeight:
        return WeightMultiple(self, arguments.number("factor", factor, low=0.0, open_low=True))

    __rmul__ = __mul__


@dataclass(frozen=True)
class WeightSum(RegionWeight):
    r"""A sum of weights: :math:`\rho = \sum_i \rho_i`; a metric when all terms are."""

    terms: tuple[RegionWeight, ...]

    @property
    def is_metric(self) -> bool:
        return all(term.is_metric for term in self.terms)

    @property
    def root_is_metric(self) -> bool:
        """Roots add up as the lengths of the sides of a box: to that of its diagonal."""
        return all(term.root_is_metric for term in self.terms)

    def cells(self, table: Table) -> NDArray[np.float64]:
        total = self.terms[0].cells(table)
        for term in self.terms[1:]:
            total = total + term.cells(table)
        return total

    def bound(self, table: Table) -> Any:
        return sum(term.bound(table) for term in self.terms)


@dataclass(frozen=True)
class _OfOneWeight(RegionWeight):
    """What is made of one weight, and a metric when that is."""

    weight: RegionWeight

    @property
    def is_metric(self) -> bool:
        return self.weight.is_metric

    @property
    def root_is_metric(self) -> bool:
        return self.weight.root_is_metric


@dataclass(frozen=True)
class WeightMultiple(_OfOneWeight):
    r"""A positive multiple of a weight: a metric when the weight is."""

    factor: float

    def cells(self, table: Table) -> NDArray[np.float64]:
        return self.factor * self.weight.cells(table)

    def bound(self, table: Table) -> Any:
        return self.factor * self.weight.bound(table)


@dataclass(frozen=True)
class WeightOfMeasure(_OfOneWeight):
    """A weight on one measure of several: a metric where that measure is above 0 everywhere."""

    index: int

    def cells(self, table: Table) -> NDArray[np.float64]:
        part = table.measure(self.index)
        terms = np.zeros(len(table.values))
        # cells of measure 0 are in the table, not in its part
        terms[shared_columns(table)[:, self.index] > 0] = self.weight.cells(part)
        return terms

    def bound(self, table: Table) -> Any:
        return self.weight.bound(table.measure(self.index))


def _terms(weight: RegionWeight) -> tuple[RegionWeight, ...]:
    return weight.terms if isinstance(weight, WeightSum) else (weight,)
