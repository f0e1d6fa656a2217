r"""Weights of the partition distance, by families, and which of them leave it a metric.

The weighted distance of two partitions :math:`X = \{x_k\}` and :math:`Y = \{y_l\}` is

.. math:: \rho(X, Y) = \sum_{kl} \varphi(x_k, y_l)\,\mu(x_k \triangle y_l)\,\mu(x_k \cap y_l)
    = \sum_u \mu(u)\,\delta\bigl(x(u), y(u)\bigr),
    \qquad \delta(A, B) = \varphi(A, B)\,\mu(A \triangle B)

with x(u) the region of X that holds pixel u. The second form settles most questions: where
:math:`\delta` is a metric of *sets*, :math:`\rho` is one of partitions, pixel by pixel. With an
arbitrary :math:`\varphi` it is none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg import validation
from metriseg.partitions.table import Table, symmetric_differences


class RegionWeight(ABC):
    r"""A weight :math:`\varphi` of pairs of regions.

    Weights add up, and are multiplied by numbers above 0: the distance of ``2 * a + b`` is twice
    that of a, plus that of b. A sum is a metric when all its terms are, a multiple when its weight
    is.

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

        >>> both = UnionWeight().of_measure(0) + 0.5 * KernelWeight()
        >>> from metriseg.partitions import contingency_table
        >>> table = contingency_table([0, 0], [0, 1], weight=[[1.0, 1.0], [0.0, 2.0]])
        >>> weighted_partition_distance(table, both)
        2.0
        """
        return WeightOfMeasure(self, validation.whole_number("index", index))

    def __add__(self, other: object) -> RegionWeight:
        if not isinstance(other, RegionWeight):
            return NotImplemented
        return WeightSum((*_terms(self), *_terms(other)))

    def __radd__(self, other: object) -> RegionWeight:
        """So that ``sum(weights)`` works."""
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: float) -> RegionWeight:
        return WeightMultiple(self, validation.number("factor", factor, low=0.0, open_low=True))

    __rmul__ = __mul__


@dataclass(frozen=True)
class WeightSum(RegionWeight):
    r"""A sum of weights: :math:`\rho = \sum_i \rho_i`; a metric when all terms are."""

    terms: tuple[RegionWeight, ...]

    @property
    def is_metric(self) -> bool:
        return all(term.is_metric for term in self.terms)

    def cells(self, table: Table) -> NDArray[np.float64]:
        total = self.terms[0].cells(table)
        for term in self.terms[1:]:
            total = total + term.cells(table)
        return total

    def bound(self, table: Table) -> Any:
        return sum(term.bound(table) for term in self.terms)


@dataclass(frozen=True)
class WeightMultiple(RegionWeight):
    r"""A positive multiple of a weight: a metric when the weight is."""

    weight: RegionWeight
    factor: float

    @property
    def is_metric(self) -> bool:
        return self.weight.is_metric

    def cells(self, table: Table) -> NDArray[np.float64]:
        return self.factor * self.weight.cells(table)

    def bound(self, table: Table) -> Any:
        return self.factor * self.weight.bound(table)


@dataclass(frozen=True)
class WeightOfMeasure(RegionWeight):
    """A weight on one measure of several: a metric where that measure is above 0 everywhere."""

    weight: RegionWeight
    index: int

    @property
    def is_metric(self) -> bool:
        return self.weight.is_metric

    def cells(self, table: Table) -> NDArray[np.float64]:
        part = table.measure(self.index)
        terms = np.zeros(len(table.values))
        # cells of measure 0 are in the table, not in its part
        terms[_columns(table)[:, self.index] > 0] = self.weight.cells(part)
        return terms

    def bound(self, table: Table) -> Any:
        return self.weight.bound(table.measure(self.index))


@dataclass(frozen=True)
class UnitWeight(RegionWeight):
    r"""No weight: :math:`\varphi = 1`, the plain
    :func:`~metriseg.partitions.partition_distance`.

    .. math:: \rho(X, Y) = \sum_{kl} \mu(x_k \triangle y_l)\,\mu(x_k \cap y_l)

    **A metric** for every measure, because :math:`\mu(A \triangle B)` is one of sets; also because
    it is the measure of the pairs of pixels that one partition joins and the other parts. Its root
    is Euclidean. At most N².

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> weighted_partition_distance(table, UnitWeight())
    16.0
    """

    is_metric = True

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("UnitWeight")
        return _outside(table) * _shared(table)

    def bound(self, table: Table) -> Any:
        return _total(table) ** 2


@dataclass(frozen=True)
class UnionWeight(RegionWeight):
    r"""By the size of the union: the Jaccard distance of each pixel's two regions, summed.

    .. math:: \varphi(x, y) = \frac1{\mu(x \cup y)}, \qquad
        \rho(X, Y) = \sum_{kl} \Bigl(1 - \frac{\mu(x_k \cap y_l)}{\mu(x_k \cup y_l)}\Bigr)
        \,\mu(x_k \cap y_l)

    **A metric**, because :math:`\mu(A \triangle B) / \mu(A \cup B)` is one of sets (Marczewski and
    Steinhaus). Small regions count as much, for each of their pixels, as large ones. Below N;
    divided by N it is the mean Jaccard distance over pixels.

    Reference: E. Marczewski, H. Steinhaus, On a certain distance of sets and the corresponding
    distance of functions, Colloquium Mathematicum 6, 1958, doi:10.4064/cm-6-1-319-327.

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> weighted_partition_distance(table, UnionWeight())
    3.6
    """

    is_metric = True

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("UnionWeight")
        # a cell has measure, and so has the union around it
        outside, shared = _outside(table), _shared(table)
        return outside / (outside + shared) * shared

    def bound(self, table: Table) -> Any:
        return _total(table)


@dataclass(frozen=True)
class PowerWeight(RegionWeight):
    r"""By a power of the difference: large disagreements count for less than their square.

    .. math:: \varphi(x, y) = \mu(x \triangle y)^{p - 1}, \qquad
        \rho(X, Y) = \sum_{kl} \mu(x_k \triangle y_l)^p\,\mu(x_k \cap y_l)

    **A metric**, because a concave growing function of a metric, 0 at 0 alone, is a metric, and
    :math:`t^p` is such a function. At most N to the power of p + 1.

    Args:
        power: in (0, 1]; 1 is no weight.

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([0, 0, 0, 0, 0], [0, 1, 1, 1, 1])
    >>> weighted_partition_distance(table, PowerWeight(0.5))
    6.0
    """

    power: float = 0.5

    is_metric = True

    def __post_init__(self) -> None:
        validation.number("power", self.power, low=0.0, high=1.0, open_low=True)

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("PowerWeight")
        powers: NDArray[np.float64] = _outside(table) ** self.power
        return powers * _shared(table)

    def bound(self, table: Table) -> Any:
        return _total(table) ** (self.power + 1)


@dataclass(frozen=True)
class SizeWeight(RegionWeight):
    r"""By the difference of the regions' sizes, in 1 … 1 + λ.

    .. math:: \varphi(x, y) = 1 + \lambda \frac{|\mu(x) - \mu(y)|}{\mu(x \triangle y)}

    It is 1 where a region has moved and :math:`1 + \lambda` where it has grown or shrunk.
    **A metric**: :math:`\mu(A \triangle B) + \lambda |\mu(A) - \mu(B)|` is a metric of sets plus a
    pseudometric. At most :math:`(1 + \lambda) N^2`.

    Args:
        scale: λ, finite and not negative.

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> weighted_partition_distance(table, SizeWeight()) # regions of 3 pixels all
    16.0
    """

    scale: float = 1.0

    is_metric = True

    def __post_init__(self) -> None:
        validation.number("scale", self.scale, low=0.0)

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("SizeWeight")
        grown = np.abs(_x_sizes(table) - _y_sizes(table))
        return (_outside(table) + self.scale * grown) * _shared(table)

    def bound(self, table: Table) -> Any:
        return (1 + self.scale) * _total(table) ** 2


@dataclass(frozen=True)
class FeatureWeight(RegionWeight):
    r"""By the difference of the regions' looks: brightness, colour, texture or any pixel feature.

    .. math:: \varphi(x, y) = 1 + \lambda \frac{d_f(x, y)}{\mu(x \triangle y)}, \qquad
        \rho(X, Y) = \sum_{kl} \bigl(\mu(x_k \triangle y_l) + \lambda\,d_f(x_k, y_l)\bigr)
        \,\mu(x_k \cap y_l)

    with :math:`d_f(x, y) = \lVert f(x) - f(y) \rVert_2` of the regions' mean features. **A
    metric**: a region's features follow from the region, so :math:`d_f` is a pseudometric of sets,
    and a metric of sets plus a pseudometric is a metric. Without the division by
    :math:`\mu(x \triangle y)` it is none: see :class:`ArbitraryWeight`.

    Args:
        scale: λ, finite and not negative: as how many pixels a difference of 1 counts.

    The table needs ``features``, such as :func:`~metriseg.partitions.intensity_features` of the
    image; without them it raises a ValueError.

    >>> from metriseg.partitions import contingency_table
    >>> grey = [[0.0, 0.0, 1.0]]
    >>> one, two = [0, 0, 0], [0, 0, 1]
    >>> table = contingency_table(one, two, features=grey)
    >>> weighted_partition_distance(table, FeatureWeight(3.0))
    8.0
    """

    scale: float = 1.0

    is_metric = True

    def __post_init__(self) -> None:
        validation.number("scale", self.scale, low=0.0)

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("FeatureWeight")
        apart = table.x_features[table.x_index] - table.y_features[table.y_index]
        unlike: NDArray[np.float64] = np.sqrt(np.square(apart).sum(1))
        return (_outside(table) + self.scale * unlike) * _shared(table)


@dataclass(frozen=True)
class ProductMeasure(RegionWeight):
    r"""Two densities: one measures the differences, the other the pixels that suffer them.

    .. math:: \rho(X, Y) = \sum_{kl} \mu(x_k \triangle y_l)\,\nu(x_k \cap y_l)

    **A metric** for densities above 0: :math:`\mu(A \triangle B)` is a metric of sets, summed over
    pixels u with the weight :math:`\nu(u)`. The densities may change places. Of densities that
    vanish somewhere, a pseudometric. At most :math:`\mu(U)\,\nu(U)`.

    Args:
        outside: which measure of the table is :math:`\mu`.
        inside: which is :math:`\nu`.

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([0, 0, 0], [0, 0, 1], weight=[[1, 1, 1], [5, 1, 1]])
    >>> weighted_partition_distance(table, ProductMeasure())
    8.0
    """

    outside: int = 0
    inside: int = 1

    is_metric = True

    def __post_init__(self) -> None:
        validation.whole_number("outside", self.outside)
        validation.whole_number("inside", self.inside)

    def cells(self, table: Table) -> NDArray[np.float64]:
        self._both(table)
        outside = _outside_of_columns(table)[:, self.outside]
        product: NDArray[np.float64] = outside * _columns(table)[:, self.inside]
        return product

    def bound(self, table: Table) -> Any:
        self._both(table)
        total = _total(table)
        if table.values.ndim == 1:
            return total**2
        return total[..., self.outside] * total[..., self.inside]

    def _both(self, table: Table) -> None:
        if max(self.outside, self.inside) >= table.measures:
            raise ValueError(
                f"ProductMeasure needs measures {self.outside} and {self.inside}, and the table"
                f" has {table.measures}: give contingency_table a weight of shape (R, *S)"
            )


@dataclass(frozen=True)
class KernelWeight(RegionWeight):
    r"""A weight for every *pair of pixels*, of low rank: all measures of the table together.

    .. math:: \rho(X, Y) = \sum_{u, v} m(u, v)\,\bigl|[u \sim_X v] - [u \sim_Y v]\bigr|
        = \sum_r \sum_{kl} f_r(x_k \triangle y_l)\,f_r(x_k \cap y_l), \qquad
        m(u, v) = \sum_r f_r(u)\,f_r(v)

    with :math:`f_r` the measures, in O(R) for each pixel. **A metric** for every kernel above 0
    off the diagonal: it is the m-measure of the pairs that one partition joins and the other parts.
    Its root is Euclidean. The bins of an image
    (:func:`~metriseg.partitions.intensity_bins`, ``color_bins``, ``texture_bins``) are such
    measures: pairs of like pixels weigh more. Where m is 0 for some pairs, a pseudometric. At most
    :math:`\sum_r f_r(U)^2`.

    >>> from metriseg.partitions import contingency_table
    >>> alike = [[1, 1, 1], [1, 1, 0]] # m is 2 for the first two pixels, else 1
    >>> table = contingency_table([0, 0, 0], [0, 1, 2], weight=alike)
    >>> weighted_partition_distance(table, KernelWeight())
    8.0
    """

    is_metric = True

    def cells(self, table: Table) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = (_outside_of_columns(table) * _columns(table)).sum(1)
        return summed

    def bound(self, table: Table) -> Any:
        squares = _total(table) ** 2
        return squares if table.values.ndim == 1 else squares.sum(-1)


class RegionPairs:
    """The pairs of regions that meet, one a cell, as an arbitrary weight sees them.

    All are arrays ``(cells,)``, features ``(cells, F)``.

    Attributes:
        x_sizes: the measure of the region of x.
        y_sizes: the measure of the region of y.
        shared: the measure of their intersection, above 0.
    """

    def __init__(self, table: Table) -> None:
        table.one_measure("ArbitraryWeight")
        self._table = table
        self.x_sizes = _x_sizes(table)
        self.y_sizes = _y_sizes(table)
        self.shared = _shared(table)

    @property
    def apart(self) -> NDArray[np.float64]:
        """The measure of their symmetric difference, 0 where they are equal."""
        return _outside(self._table)

    @property
    def x_features(self) -> NDArray[np.float64]:
        """``(cells, F)``: the mean features of the region of x; the table must have some."""
        features: NDArray[np.float64] = self._table.x_features[self._table.x_index]
        return features

    @property
    def y_features(self) -> NDArray[np.float64]:
        """``(cells, F)``: the mean features of the region of y; the table must have some."""
        features: NDArray[np.float64] = self._table.y_features[self._table.y_index]
        return features


@dataclass(frozen=True)
class ArbitraryWeight(RegionWeight):
    r"""Any function of two regions: **not a metric** in general, however natural it looks.

    .. math:: \rho(X, Y) = \sum_{kl} \varphi(x_k, y_l)\,\mu(x_k \triangle y_l)\,\mu(x_k \cap y_l)

    The distance is 0 for equal partitions alone, and symmetric where :math:`\varphi` is; the
    triangle inequality fails. Of three pixels of brightness 0, 0, 1 let
    :math:`\varphi(x, y)` be 1 plus the difference of the mean brightness. From the whole image to
    single pixels it is 26/3; by way of {1, 2}, {3} it is 6 + 2:

    >>> from metriseg.partitions import contingency_table
    >>> def brightness(pairs):
    ...     return 1 + np.abs(pairs.x_features - pairs.y_features)[:, 0]
    >>> def distance(x, y):
    ...     table = contingency_table(x, y, features=[[0.0, 0.0, 1.0]])
    ...     return weighted_partition_distance(table, ArbitraryWeight(brightness))
    >>> whole, pair, single = [0, 0, 0], [0, 0, 1], [0, 1, 2]
    >>> round(distance(whole, single), 4), distance(whole, pair), distance(pair, single)
    (8.6667, 6.0, 2.0)
    >>> ArbitraryWeight(brightness).is_metric
    False

    :class:`FeatureWeight` weighs the same difference and keeps the inequality.

    Args:
        phi: takes :class:`RegionPairs` and returns ``(cells,)`` finite numbers above 0.
            It should be symmetric in x and y, which isn't checked.

    Reference: A. Kovtunenko, S. Mashtalir, Applied Aspects of Information Technology 9, 2026,
    eq. (4), doi:10.15276/aait.09.2026.12.
    """

    phi: Callable[[RegionPairs], Any]

    is_metric = False

    def __post_init__(self) -> None:
        if not callable(self.phi):
            raise ValueError(f"phi must be a function of RegionPairs, got {self.phi!r}")

    def cells(self, table: Table) -> NDArray[np.float64]:
        pairs = RegionPairs(table)
        weights = np.asarray(self.phi(pairs))
        _check_phi(weights, len(pairs.shared))
        return weights.astype(np.float64) * pairs.apart * pairs.shared


#: φ = 1.
UNIT = UnitWeight()


def weighted_partition_distance(
    table: Table, weight: RegionWeight = UNIT, *, normalized: bool = False
) -> Any:
    r"""Weighted partition distance: a metric for the weights that have ``is_metric``.

    .. math:: \rho(X, Y) = \sum_{kl} \varphi(x_k, y_l)\,\mu(x_k \triangle y_l)\,\mu(x_k \cap y_l)

    Args:
        table: a contingency table, or a stack of them, of as many measures as the weight wants.
        weight: :class:`UnitWeight` (the default), :class:`UnionWeight`, :class:`PowerWeight`,
            :class:`SizeWeight`, :class:`FeatureWeight`, :class:`ProductMeasure`,
            :class:`KernelWeight`, sums and multiples of them: all metrics; or
            :class:`ArbitraryWeight`, which is none.
        normalized: divide by the weight's bound, which is the same for all partitions of the
            domain, so a metric stays one.

    Returns:
        0 exactly when the partitions are equal, else above 0; 0 … 1 normalized. A float, or an
        array for a stack.

    Raises:
        ValueError: for a table that lacks what the weight needs; for ``normalized`` with a weight
            whose bound the table doesn't tell (:class:`FeatureWeight`, :class:`ArbitraryWeight`).

    Reference: A. Kovtunenko, S. Mashtalir, Applied Aspects of Information Technology 9, 2026,
    eq. (4), doi:10.15276/aait.09.2026.12; the families that are metrics are this library's.

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> weighted_partition_distance(table, UnitWeight() + 10 * UnionWeight())
    52.0
    >>> weighted_partition_distance(table, UnionWeight(), normalized=True)
    0.6
    """
    if not isinstance(weight, RegionWeight):
        raise ValueError(
            f"weight must be a RegionWeight, got {type(weight).__name__}: a function of regions"
            " is given as ArbitraryWeight(phi)"
        )
    distance = table.sum_cells(weight.cells(table))
    if normalized:
        distance = distance / weight.bound(table)
    return table.result(distance)


def _terms(weight: RegionWeight) -> tuple[RegionWeight, ...]:
    return weight.terms if isinstance(weight, WeightSum) else (weight,)


def _shared(table: Table) -> NDArray[np.float64]:
    return table.values.astype(np.float64)


def _x_sizes(table: Table) -> NDArray[np.float64]:
    sizes: NDArray[np.float64] = table.x_sizes[table.x_index].astype(np.float64)
    return sizes


def _y_sizes(table: Table) -> NDArray[np.float64]:
    sizes: NDArray[np.float64] = table.y_sizes[table.y_index].astype(np.float64)
    return sizes


def _outside(table: Table) -> NDArray[np.float64]:
    return symmetric_differences(table).astype(np.float64)


def _columns(table: Table) -> NDArray[np.float64]:
    """``(cells, measures)``, also of a table of one."""
    return _shared(table).reshape(len(table.values), -1)


def _outside_of_columns(table: Table) -> NDArray[np.float64]:
    return _outside(table).reshape(len(table.values), -1)


def _total(table: Table) -> Any:
    return np.asarray(table.total, np.float64)


def _check_phi(weights: NDArray[Any], cells: int) -> None:
    if weights.shape != (cells,) or weights.dtype.kind not in "iuf":
        raise ValueError(
            f"phi must return a number for each of the {cells} cells, shape ({cells},),"
            f" got {weights.dtype} of shape {weights.shape}"
        )
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(
            "phi must return finite numbers above 0, got values from"
            f" {weights.min()} to {weights.max()}"
        )
