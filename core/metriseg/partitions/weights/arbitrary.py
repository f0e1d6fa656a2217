"""Weights that are any function of two regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.partitions.table import Table
from metriseg.partitions.weights.algebra import RegionWeight
from metriseg.partitions.weights.cells import outside_sizes, shared_sizes, x_sizes, y_sizes

__all__ = ["ArbitraryWeight", "RegionPairs"]


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
        self.x_sizes = x_sizes(table)
        self.y_sizes = y_sizes(table)
        self.shared = shared_sizes(table)

    @property
    def apart(self) -> NDArray[np.float64]:
        """The measure of their symmetric difference, 0 where they are equal."""
        return outside_sizes(self._table)

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

    >>> from metriseg.partitions import contingency_table, weighted_partition_distance
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
