"""The weighted distance."""

from __future__ import annotations

from typing import Any

from metriseg.partitions.table import Table, within_floats
from metriseg.partitions.weights.algebra import RegionWeight
from metriseg.partitions.weights.families import UnitWeight

__all__ = ["UNIT", "weighted_partition_distance"]

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
            :class:`KernelWeight`, sums and multiples of them: all metrics; :class:`DiceWeight`, of
            which the root is one; or :class:`ArbitraryWeight`, which is none.
        normalized: divide by the weight's bound, which is the same for all partitions of the
            domain, so a metric stays one.

    Returns:
        0 exactly when the partitions are equal, else above 0; 0 … 1 normalized. A float, or an
        array for a stack.

    Raises:
        ValueError: for a table that lacks what the weight needs; for ``normalized`` with a weight
            whose bound the table doesn't tell (:class:`FeatureWeight`, :class:`ArbitraryWeight`);
            for measures so small or large that float64 doesn't hold their products.

    Reference: A. Kovtunenko, S. Mashtalir, Applied Aspects of Information Technology 9, 2026,
    eq. (4), doi:10.15276/aait.09.2026.12; the families that are metrics are this library's.

    >>> from metriseg.partitions import UnionWeight, UnitWeight, contingency_table
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

    def distance(table: Table) -> Any:
        return table.result(table.sum_cells(weight.cells(table)))

    def share(table: Table) -> Any:
        return table.result(table.sum_cells(weight.cells(table)) / weight.bound(table))

    found = within_floats("weighted_partition_distance", distance, table)
    return within_floats("weighted_partition_distance", share, table) if normalized else found
