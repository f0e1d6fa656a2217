"""What distances are functions of: a contingency table, or many of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments

#: Of information.
Unit: TypeAlias = Literal["nats", "bits"]


class Signatures(NamedTuple):
    """Sizes ``(m,)`` and mean features ``(m, F)`` of the regions of x, and those of y."""

    x_sizes: NDArray[Any]
    x_features: NDArray[np.float64]
    y_sizes: NDArray[Any]
    y_features: NDArray[np.float64]


class Table(Protocol):
    """A contingency table, or a stack of them, as the formulas see it.

    Attributes:
        values: the measure of each cell, ``(cells,)`` or ``(cells, measures)``.
        x_index: the region of x that a cell belongs to, ``(cells,)``; so ``y_index``.
        x_sizes: the measure of each region of x, ``(m,)`` or ``(m, measures)``; so ``y_sizes``.
        x_features: the mean features of each region of x, ``(m, features)``; so ``y_features``.
        total: the measure of the domain; of a stack, one a table.
    """

    @property
    def values(self) -> NDArray[Any]: ...
    @property
    def x_index(self) -> NDArray[np.int64]: ...
    @property
    def y_index(self) -> NDArray[np.int64]: ...
    @property
    def x_sizes(self) -> NDArray[Any]: ...
    @property
    def y_sizes(self) -> NDArray[Any]: ...
    @property
    def x_features(self) -> NDArray[np.float64]: ...
    @property
    def y_features(self) -> NDArray[np.float64]: ...
    @property
    def total(self) -> Any: ...
    @property
    def measures(self) -> int: ...

    def one_measure(self, who: str) -> None: ...
    def counts(self, who: str) -> None: ...
    def measure(self, index: int) -> Table: ...

    def sum_cells(self, values: NDArray[Any]) -> Any: ...
    def sum_x(self, values: NDArray[Any]) -> Any: ...
    def sum_y(self, values: NDArray[Any]) -> Any: ...
    def per_x(self, value: Any) -> Any: ...
    def per_y(self, value: Any) -> Any: ...
    def per_cell(self, value: Any) -> Any: ...

    def signatures(self) -> Iterator[Signatures]: ...
    def singles(self) -> Iterator[Table]: ...
    def result(self, value: Any) -> Any: ...


class Measured:
    """Of how many measures the cells are, and of what kind: what a formula may insist on."""

    @property
    def values(self) -> NDArray[Any]:
        raise NotImplementedError

    @property
    def is_count(self) -> bool:
        """Whether it counts pixels."""
        return bool(self.values.dtype == np.int64)

    @property
    def measures(self) -> int:
        """How many measures the cells carry."""
        return 1 if self.values.ndim == 1 else self.values.shape[1]

    def one_measure(self, who: str) -> None:
        """Raise where a formula is of one measure and the table has several."""
        if self.values.ndim != 1:
            raise ValueError(
                f"{who} takes a table of one measure, got {self.measures}: choose one with"
                " table.measure(i)"
            )

    def counts(self, who: str) -> None:
        """Raise where a formula counts pairs of pixels and the table holds weights."""
        self.one_measure(who)
        if not self.is_count:
            raise ValueError(
                f"{who} counts pairs of pixels: it needs a table of counts, made without weight"
            )


def within_floats(who: str, formula: Callable[[Any], Any], table: Table) -> Any:
    """The formula's value of the table, which says whether two partitions differ.

    Raises:
        ValueError: where products of very small or very large weights leave the range of float64,
            and with them what the value would have been.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        value = formula(table)
    plain = np.isfinite(value) & (np.abs(value) >= np.finfo(np.float64).tiny)
    if np.all(plain):
        return value
    for single, fine in zip(table.singles(), np.atleast_1d(plain), strict=True):
        if not fine and symmetric_differences(single).any():
            _insist(who, formula, single)
    return value


def _insist(who: str, formula: Callable[[Any], Any], table: Table) -> None:
    """Compute again, and raise where that leaves the floats."""
    try:
        with np.errstate(over="raise", under="raise", invalid="raise"):
            fine = bool(np.all(np.isfinite(formula(table))))
    except FloatingPointError:
        fine = False
    if not fine:
        raise ValueError(
            f"weight must be of numbers whose products float64 holds for {who}, and these, of"
            f" total {np.max(table.total):g}, are too small or too large: multiply the weights by"
            " a constant"
        )


def sum_by(index: NDArray[np.int64], values: NDArray[Any], length: int) -> NDArray[Any]:
    """Sums of ``values`` (cells, …) with equal ``index``, in their own type."""
    sums = np.zeros((length, *values.shape[1:]), values.dtype)
    np.add.at(sums, index, values)
    return sums


def missing_information(values: NDArray[Any], whole: Any) -> NDArray[np.float64]:
    """-C ln(C / whole) of every cell's value C; exactly 0 of one that is all of it."""
    values = values.astype(np.float64)
    share, rest = values / whole, (whole - values) / whole
    # ln of a share near 1 would lose the digits in which it differs from 1
    logarithm = np.where(share > 0.5, np.log1p(-np.minimum(rest, 0.5)), np.log(share))
    terms: NDArray[np.float64] = -(values * logarithm) + 0.0
    return terms


def conditional_entropy(table: Table, whole: Any) -> Any:
    """-sum C/N ln(C / whole)."""
    terms = missing_information(table.values, whole)
    return table.sum_cells(terms) / np.asarray(table.total, np.float64)


def in_unit(unit: Unit, nats: Any) -> Any:
    """Information in that unit."""
    arguments.one_of("unit", unit, get_args(Unit))
    return nats if unit == "nats" else nats / np.log(2)


def ratio(numerator: Any, denominator: Any, *, empty: float) -> Any:
    """The quotient, ``empty`` where the denominator is 0."""
    whole = np.asarray(denominator, np.float64)
    return np.divide(numerator, whole, out=np.full(whole.shape, empty), where=whole != 0)


def symmetric_differences(table: Table) -> NDArray[Any]:
    """The measure of the symmetric difference of each cell's regions, shaped as the values.

    Neither bracket rounds below 0, and cells that fill both of their regions are at exactly 0.
    """
    shared = table.values
    apart: NDArray[Any] = (table.x_sizes[table.x_index] - shared) + (
        table.y_sizes[table.y_index] - shared
    )
    return apart
