"""The published conditions on weights that should make the weighted distance a metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metriseg import arguments
from metriseg.partitions.contingency import ContingencyTable, contingency_table
from metriseg.partitions.label_maps import label_array
from metriseg.partitions.table import symmetric_differences

__all__ = ["WeightConditions", "satisfies_weight_conditions"]

#: Weights of the pairs of regions: one number, or ``(m, n)``, or ``(cells,)`` from a function.
Phi: TypeAlias = Callable[[ContingencyTable], ArrayLike] | Sequence[ArrayLike]


@dataclass(frozen=True)
class Condition:
    """Whether a condition holds, and by how much: 0 or above, or, of an equation, at 0."""

    holds: bool
    residual: float

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class WeightConditions:
    r"""The conditions that should make the weighted functional obey the triangle inequality.

    True if all four hold. Then the inequality does too; but of positive weights only those that
    are 1 wherever regions meet satisfy them for all three orders of a triple.

    Attributes:
        restriction: H_U, for all three pairs: the weights leave the sizes of regions as they are,
            :math:`\sum_l \lambda_{kl} |x_k \cap y_l| = |x_k|` and
            :math:`\sum_k \lambda_{kl} |x_k \cap y_l| = |y_l|`. Residual: the largest difference.
        weights: :math:`\lambda_{kl} + 1 \ge \mu_{ki} + \theta_{li}` wherever three regions meet.
            Residual: the least difference.
        rows: for all i, with :math:`g_{kl} = |x_k \cap y_l \cap z_i|`,
            :math:`\sum_k (1 - \mu_{ki}) \sum_{l \ne l'} g_{kl} g_{kl'} \ge 0`. Residual: the least.
        columns: for all i, :math:`\sum_l (1 - \theta_{li}) \sum_{k \ne k'} g_{kl} g_{k'l} \ge 0`.
            Residual: the least.
        triangle: what they are for, :math:`\rho(X, Z) + \rho(Z, Y) - \rho(X, Y) \ge 0`. Not one of
            the conditions.
        distances: :math:`\rho(X, Y), \rho(X, Z), \rho(Z, Y)`.
    """

    restriction: Condition
    weights: Condition
    rows: Condition
    columns: Condition
    triangle: Condition
    distances: tuple[float, float, float]

    def __bool__(self) -> bool:
        return bool(self.restriction and self.weights and self.rows and self.columns)

    def __str__(self) -> str:
        xy, xz, zy = self.distances
        said = (
            ("restriction H_U", self.restriction),
            ("lambda + 1 >= mu + theta", self.weights),
            ("sum over rows", self.rows),
            ("sum over columns", self.columns),
            (f"triangle {xy:g} <= {xz:g} + {zy:g}", self.triangle),
        )
        return "\n".join(
            f"{name}: {'holds' if one else 'broken'} ({one.residual:g})" for name, one in said
        )


def satisfies_weight_conditions(
    x: Any, y: Any, z: Any, phi: Phi, *, tolerance: float = 1e-9
) -> WeightConditions:
    r"""The paper's conditions on the weights of three partitions, one by one.

    They concern the triangle inequality :math:`\rho(X, Y) \le \rho(X, Z) + \rho(Z, Y)` of

    .. math:: \rho(X, Y) = \sum_{kl} \varphi(x_k, y_l)\,|x_k \triangle y_l|\,|x_k \cap y_l|

    with :math:`\lambda_{kl} = \varphi(x_k, y_l)`, :math:`\mu_{ki} = \varphi(x_k, z_i)` and
    :math:`\theta_{li} = \varphi(y_l, z_i)`; for another order of the three call it with that.

    Args:
        x: label map.
        y: label map of the same shape.
        z: label map of the same shape.
        phi: a function of the table of a pair that gives ``(cells,)`` weights, called for (X, Y),
            (X, Z) and (Y, Z); or lambda, mu and theta, each a number or a matrix over the regions
            in the order of their labels. Finite, above 0.
        tolerance: what rounding may do, as a share of what is compared; not negative.

    Returns:
        Each condition's truth and residual; true if all hold.

    Raises:
        ValueError: for label maps that :func:`contingency_table` refuses, and other weights.

    Reference: A. Kovtunenko, S. Mashtalir, Metrical loss functions for image segmentation based
    on convolutional neural networks, Applied Aspects of Information Technology 9(2), 2026,
    doi:10.15276/aait.09.2026.12, conditions (5) to (11).

    H_U alone doesn't give the triangle inequality:

    >>> alpha = [[0.75, 1.5], [1.5, 0.5]]
    >>> print(satisfies_weight_conditions(
    ...     [0, 0, 0, 1, 1], [0, 0, 1, 0, 1], [0, 0, 1, 2, 3], (alpha, 1, 1)))
    restriction H_U: holds (0)
    lambda + 1 >= mu + theta: broken (-0.5)
    sum over rows: holds (0)
    sum over columns: holds (0)
    triangle 13 <= 6 + 6: broken (-1)
    """
    slack = arguments.number("tolerance", tolerance, low=0.0)
    x, y, z = (label_array(name, one) for name, one in (("x", x), ("y", y), ("z", z)))
    tables = contingency_table(x, y), contingency_table(x, z), contingency_table(y, z)
    lambda_, mu, theta = _three_weights(phi, tables)
    k, m, i, d = _triple_cells(x, y, z)
    xy, xz, yz = (
        _place(table, rows, columns)
        for table, rows, columns in zip(tables, (k, k, m), (m, i, i), strict=True)
    )
    pixels = tables[0].total
    balance = lambda_[xy] + 1 - mu[xz] - theta[yz]
    unmoved = max(
        _size_change(table, weights)
        for table, weights in zip(tables, (lambda_, mu, theta), strict=True)
    )
    rho_xy, rho_xz, rho_zy = (
        _weighted(table, weights)
        for table, weights in zip(tables, (lambda_, mu, theta), strict=True)
    )

    def above(residual: float, scale: float) -> Condition:
        return Condition(residual >= -slack * scale, residual)

    return WeightConditions(
        restriction=Condition(unmoved <= slack * pixels, unmoved),
        weights=above(float(balance.min()), 1 + float(lambda_.max())),
        rows=above(_least_sum(tables[1], mu, xz, d), pixels**2),
        columns=above(_least_sum(tables[2], theta, yz, d), pixels**2),
        triangle=above(rho_xz + rho_zy - rho_xy, rho_xy),
        distances=(rho_xy, rho_xz, rho_zy),
    )


def _three_weights(
    phi: Phi, tables: tuple[ContingencyTable, ...]
) -> tuple[NDArray[np.float64], ...]:
    """``(cells,)`` of each table."""
    if callable(phi):
        return tuple(_positive(np.asarray(phi(one)), len(one.values), one) for one in tables)
    if isinstance(phi, str) or not hasattr(phi, "__len__") or len(phi) != 3:
        raise ValueError(f"phi must be a function of a table, or three weights, got {phi!r}")
    return tuple(
        _positive(np.asarray(one), None, table) for one, table in zip(phi, tables, strict=True)
    )


def _positive(
    given: NDArray[Any], cells: int | None, table: ContingencyTable
) -> NDArray[np.float64]:
    allowed = (table.shape,) if cells is None else ((cells,),)
    if given.shape not in ((), *allowed):
        raise ValueError(f"phi must give a number or shape {allowed[0]}, got {given.shape}")
    weights = np.asarray(given, np.float64)
    if weights.ndim == 2:
        weights = weights[table.x_index, table.y_index]
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("phi must be finite and above 0")
    return np.broadcast_to(weights, table.values.shape)


def _triple_cells(x: Any, y: Any, z: Any) -> tuple[NDArray[np.int64], ...]:
    """Where three regions meet: their places, and the number of pixels."""
    places = [np.unique(labels, return_inverse=True)[1].reshape(-1) for labels in (x, y, z)]
    (k, m, i), count = np.unique(np.stack(places), axis=1, return_counts=True)
    return k, m, i, count


def _place(
    table: ContingencyTable, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The cells that pairs of regions have in a table."""
    width = table.shape[1]
    found: NDArray[np.int64] = np.searchsorted(
        table.x_index * width + table.y_index, rows * width + columns
    )
    return found


def _size_change(table: ContingencyTable, weights: NDArray[np.float64]) -> float:
    """The most that a weighted row or column sum differs from the size of its region."""
    held = weights * table.values
    rows = np.bincount(table.x_index, held) - table.x_sizes
    columns = np.bincount(table.y_index, held) - table.y_sizes
    return float(max(abs(rows).max(), abs(columns).max()))


def _least_sum(
    table: ContingencyTable,
    weights: NDArray[np.float64],
    place: NDArray[np.int64],
    meeting: NDArray[np.int64],
) -> float:
    """min over z_i of the sum over the other side of (1 - weight) sum of products g g'."""
    products = table.values.astype(np.float64) ** 2 - np.bincount(place, meeting.astype(float) ** 2)
    return float(np.bincount(table.y_index, (1 - weights) * products).min())


def _weighted(table: ContingencyTable, weights: NDArray[np.float64]) -> float:
    return float((weights * symmetric_differences(table) * table.values).sum())
