"""The families of weights that leave the distance, or its root, a metric; each with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.partitions.table import Table
from metriseg.partitions.weights.algebra import RegionWeight
from metriseg.partitions.weights.cells import (
    outside_columns,
    outside_sizes,
    shared_columns,
    shared_sizes,
    total_size,
    x_sizes,
    y_sizes,
)

__all__ = [
    "DiceWeight",
    "FeatureWeight",
    "KernelWeight",
    "PowerWeight",
    "ProductMeasure",
    "SizeWeight",
    "UnionWeight",
    "UnitWeight",
]


@dataclass(frozen=True)
class UnitWeight(RegionWeight):
    r"""No weight: :math:`\varphi = 1`, the plain
    :func:`~metriseg.partitions.partition_distance`.

    .. math:: \rho(X, Y) = \sum_{kl} \mu(x_k \triangle y_l)\,\mu(x_k \cap y_l)

    **A metric** for every measure, because :math:`\mu(A \triangle B)` is one of sets; also because
    it is the measure of the pairs of pixels that one partition joins and the other parts. Its root
    is Euclidean. At most N².

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> weighted_partition_distance(table, UnitWeight())
    16.0
    """

    is_metric = True

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("UnitWeight")
        return outside_sizes(table) * shared_sizes(table)

    def bound(self, table: Table) -> Any:
        return total_size(table) ** 2


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

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> weighted_partition_distance(table, UnionWeight())
    3.6
    """

    is_metric = True

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("UnionWeight")
        # a cell has measure, and so has the union around it
        outside, shared = outside_sizes(table), shared_sizes(table)
        return outside / (outside + shared) * shared

    def bound(self, table: Table) -> Any:
        return total_size(table)


@dataclass(frozen=True)
class DiceWeight(RegionWeight):
    r"""By the sizes together: the Dice distance of each pixel's two regions, summed.

    .. math:: \varphi(x, y) = \frac1{\mu(x) + \mu(y)}, \qquad
        \rho(X, Y) = \sum_{kl} \Bigl(1 - \frac{2 C_{kl}}{a_k + b_l}\Bigr)\,C_{kl}
        = N - \sum_{kl} \frac{2 C_{kl}^2}{a_k + b_l}

    **Its root is a metric**, and Euclidean: because :math:`1 / (a + b)` is the integral of
    :math:`e^{-ta} e^{-tb}` over t, the sum that is taken from N is an inner product, of every
    partition with itself N. So :math:`\sqrt\rho` is :math:`1/\sqrt2` of the distance of two points.
    Whether :math:`\rho` itself obeys the triangle inequality isn't known, so ``is_metric`` is
    False: search takes ``Measure("root", root, True, "lower")`` of the function ``root`` below. As
    a distance of sets, Dice's is no metric. Below N; divided by N it is the mean Dice distance
    over pixels.

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> def root(table):
    ...     return np.sqrt(weighted_partition_distance(table, DiceWeight()))
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> round(weighted_partition_distance(table, DiceWeight()), 4), round(float(root(table)), 4)
    (2.6667, 1.633)
    >>> DiceWeight().is_metric, DiceWeight().root_is_metric
    (False, True)
    """

    is_metric = False
    root_is_metric = True

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("DiceWeight")
        outside, shared = outside_sizes(table), shared_sizes(table)
        return outside / (outside + 2 * shared) * shared

    def bound(self, table: Table) -> Any:
        return total_size(table)


@dataclass(frozen=True)
class PowerWeight(RegionWeight):
    r"""By a power of the difference: large disagreements count for less than their square.

    .. math:: \varphi(x, y) = \mu(x \triangle y)^{p - 1}, \qquad
        \rho(X, Y) = \sum_{kl} \mu(x_k \triangle y_l)^p\,\mu(x_k \cap y_l)

    **A metric**, because a concave growing function of a metric, 0 at 0 alone, is a metric, and
    :math:`t^p` is such a function. At most N to the power of p + 1.

    Args:
        power: in (0, 1]; 1 is no weight.

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> table = contingency_table([0, 0, 0, 0, 0], [0, 1, 1, 1, 1])
    >>> weighted_partition_distance(table, PowerWeight(0.5))
    6.0
    """

    power: float = 0.5

    is_metric = True

    def __post_init__(self) -> None:
        arguments.number("power", self.power, low=0.0, high=1.0, open_low=True)

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("PowerWeight")
        powers: NDArray[np.float64] = outside_sizes(table) ** self.power
        return powers * shared_sizes(table)

    def bound(self, table: Table) -> Any:
        return total_size(table) ** (self.power + 1)


@dataclass(frozen=True)
class SizeWeight(RegionWeight):
    r"""By the difference of the regions' sizes, in 1 … 1 + λ.

    .. math:: \varphi(x, y) = 1 + \lambda \frac{|\mu(x) - \mu(y)|}{\mu(x \triangle y)}

    It is 1 where a region has moved and :math:`1 + \lambda` where it has grown or shrunk.
    **A metric**: :math:`\mu(A \triangle B) + \lambda |\mu(A) - \mu(B)|` is a metric of sets plus a
    pseudometric. At most :math:`(1 + \lambda) N^2`.

    Args:
        scale: λ, finite and not negative.

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> table = contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]])
    >>> weighted_partition_distance(table, SizeWeight()) # regions of 3 pixels all
    16.0
    """

    scale: float = 1.0

    is_metric = True

    def __post_init__(self) -> None:
        arguments.number("scale", self.scale, low=0.0)

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("SizeWeight")
        grown = np.abs(x_sizes(table) - y_sizes(table))
        return (outside_sizes(table) + self.scale * grown) * shared_sizes(table)

    def bound(self, table: Table) -> Any:
        return (1 + self.scale) * total_size(table) ** 2


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

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> grey = [[0.0, 0.0, 1.0]]
    >>> one, two = [0, 0, 0], [0, 0, 1]
    >>> table = contingency_table(one, two, features=grey)
    >>> weighted_partition_distance(table, FeatureWeight(3.0))
    8.0
    """

    scale: float = 1.0

    is_metric = True

    def __post_init__(self) -> None:
        arguments.number("scale", self.scale, low=0.0)

    def cells(self, table: Table) -> NDArray[np.float64]:
        table.one_measure("FeatureWeight")
        apart = table.x_features[table.x_index] - table.y_features[table.y_index]
        unlike: NDArray[np.float64] = np.sqrt(np.square(apart).sum(1))
        return (outside_sizes(table) + self.scale * unlike) * shared_sizes(table)


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

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> table = contingency_table([0, 0, 0], [0, 0, 1], weight=[[1, 1, 1], [5, 1, 1]])
    >>> weighted_partition_distance(table, ProductMeasure())
    8.0
    """

    outside: int = 0
    inside: int = 1

    is_metric = True

    def __post_init__(self) -> None:
        arguments.whole_number("outside", self.outside)
        arguments.whole_number("inside", self.inside)

    def cells(self, table: Table) -> NDArray[np.float64]:
        self._both(table)
        outside = outside_columns(table)[:, self.outside]
        product: NDArray[np.float64] = outside * shared_columns(table)[:, self.inside]
        return product

    def bound(self, table: Table) -> Any:
        self._both(table)
        total = total_size(table)
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

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
    >>> alike = [[1, 1, 1], [1, 1, 0]] # m is 2 for the first two pixels, else 1
    >>> table = contingency_table([0, 0, 0], [0, 1, 2], weight=alike)
    >>> weighted_partition_distance(table, KernelWeight())
    8.0
    """

    is_metric = True

    def cells(self, table: Table) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = (outside_columns(table) * shared_columns(table)).sum(1)
        return summed

    def bound(self, table: Table) -> Any:
        squares = total_size(table) ** 2
        return squares if table.values.ndim == 1 else squares.sum(-1)
