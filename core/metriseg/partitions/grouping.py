"""Entries of a contingency table, and how those of the same pair of regions are added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import Labels, as_labels, of_one_type

#: Pending values are merged when they are more than this, and more than those merged so far.
PENDING = 1 << 20
#: Of pixels in a table: distances add two numbers of them, in int64.
MOST = 1 << 62
#: Places a count are given to keys, which then need no order.
PLACES = 4
#: What a part that waits counts for beside its values.
PART = 64


class Cells(NamedTuple):
    """Label pairs x and y ``(cells,)``; values ``(cells,)`` or ``(cells, measures)``.

    Labels are int64, and uint64 on a side that has one above 2^63 - 1: equal ones are of one type.
    """

    x: Labels
    y: Labels
    values: NDArray[Any]
    features: NDArray[np.float64] | None


def concatenate(parts: Sequence[Cells]) -> Cells:
    """All entries in turn; of the same kind."""
    if len(parts) == 1:
        return parts[0]
    return Cells(
        np.concatenate(of_one_type([part.x for part in parts])),
        np.concatenate(of_one_type([part.y for part in parts])),
        np.concatenate([part.values for part in parts]),
        None
        if parts[0].features is None
        else np.concatenate([part.features for part in parts if part.features is not None]),
    )


def group(cells: Cells) -> Cells:
    """One entry a pair of labels, sorted by x and then y; entries without any measure are gone."""
    if len(cells.x) == 0:
        return of_labels_in_one_form(cells)
    keys = pair_keys(cells.x, cells.y)
    if _are_dense(keys, cells):
        return _counted_in_place(keys, cells)
    order, starts = _in_order(keys)
    values = np.add.reduceat(cells.values[order], starts, axis=0)
    features = None
    if cells.features is not None:
        features = np.add.reduceat(cells.features[order], starts, axis=0)
    heads = order[starts]
    grouped = Cells(cells.x[heads], cells.y[heads], values, features)
    present: Any = (values.reshape(len(values), -1) > 0).any(1)
    if present.all():
        return of_labels_in_one_form(grouped)
    return of_labels_in_one_form(selected(grouped, present))


def _are_dense(keys: NDArray[np.int64], cells: Cells) -> bool:
    """Whether a place for every key is little, and sums of these counts are exact as floats."""
    is_plain = cells.features is None and cells.values.ndim == 1
    return (
        is_plain
        and cells.values.dtype == np.int64
        and int(keys.max()) < PLACES * len(keys)
        and total_count(cells.values) < 1 << 53
    )


def _counted_in_place(keys: NDArray[np.int64], cells: Cells) -> Cells:
    """The same entries, without sorting them."""
    sums = np.bincount(keys, cells.values)
    present = np.flatnonzero(sums)
    place = np.empty(len(sums), np.int64)
    place[keys] = np.arange(len(keys))
    heads = place[present]
    values = sums[present].astype(np.int64)
    return of_labels_in_one_form(Cells(cells.x[heads], cells.y[heads], values, None))


def selected(cells: Cells, kept: NDArray[np.bool_]) -> Cells:
    """Some of the entries, as they are."""
    return Cells(*(None if part is None else part[kept] for part in cells))  # type: ignore[arg-type]


def of_labels_in_one_form(cells: Cells) -> Cells:
    """The same entries; where all large labels are gone, none of a type for them is left."""
    return cells._replace(x=as_labels(cells.x), y=as_labels(cells.y))


def _in_order(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The stable order of keys from 0, which it overwrites, and where each begins in it."""
    bits = (len(keys) - 1).bit_length()
    if int(keys.max()) >> (63 - bits):
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
    else:
        # key and place as one number: NumPy sorts numbers far faster than it sorts places by them
        keys <<= bits
        keys |= np.arange(len(keys))
        keys.sort()
        order = keys & ((1 << bits) - 1)
        keys >>= bits
    first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return order, np.flatnonzero(first)


def pair_keys(x: Labels, y: Labels) -> NDArray[np.int64]:
    """One number a pair, in the order of (x, y)."""
    low_x, low_y = int(x.min()), int(y.min())
    width = int(y.max()) - low_y + 1
    if (int(x.max()) - low_x + 1) * width < 2**63:
        keys: NDArray[np.int64] = _above(x, low_x) * width + _above(y, low_y)
        return keys
    _, x = np.unique(x, return_inverse=True)
    names, y = np.unique(y, return_inverse=True)
    dense: NDArray[np.int64] = x * len(names) + y
    return dense


def _above(labels: Labels, low: int) -> NDArray[np.int64]:
    """How far above the lowest, which int64 holds."""
    return (labels - labels.dtype.type(low)).astype(np.int64, copy=False)


class CellSum:
    """A running sum of entries: parts wait, and are merged when they have become many."""

    def __init__(self) -> None:
        self._merged: Cells | None = None
        self._pending: list[Cells] = []
        self._waiting = 0
        self._counted = 0

    def add(self, cells: Cells) -> None:
        """Have these entries, grouped, wait to be merged.

        Raises:
            ValueError: when they are of another kind than those that are there.
        """
        known = self._pending[0] if self._pending else self._merged
        if known is not None:
            same_kind(known, cells)
        counted = self._counted + total_count(cells.values)
        few_enough("values", counted)
        self._counted = counted
        self._pending.append(cells)
        self._waiting += cells.values.size + PART
        if self._waiting > max(PENDING, 0 if self._merged is None else self._merged.values.size):
            self.total()

    def total(self) -> Cells | None:
        """All entries, merged and grouped; None when none were ever added."""
        if self._pending:
            parts = ([] if self._merged is None else [self._merged]) + self._pending
            self._merged = parts[0] if len(parts) == 1 else group(concatenate(parts))
            self._pending, self._waiting = [], 0
        return self._merged


def added_up(parts: Iterable[Cells | None]) -> Cells | None:
    """The sum of grouped entries; None where nothing holds any."""
    total = CellSum()
    for cells in parts:
        if cells is not None:
            total.add(cells)
    return total.total()


def total_count(values: NDArray[Any]) -> int:
    """What counts add up to (of several, the largest sum), exactly; 0 of weights."""
    if values.dtype != np.int64 or not values.size:
        return 0
    # halves, whose sums can't leave int64
    high, low = (values >> 32).sum(0), (values & 0xFFFFFFFF).sum(0)
    return max(
        (int(above) << 32) + int(rest) for above, rest in zip(high.flat, low.flat, strict=True)
    )


def few_enough(name: str, counted: int) -> None:
    """Raise for counts whose sums, or twice these, int64 doesn't hold."""
    if counted >= MOST:
        raise ValueError(
            f"{name} must be counts that add up to less than 2^62, got {counted}: give larger ones"
            " as floating-point numbers"
        )


def same_kind(known: Cells, new: Cells) -> None:
    """Raise for entries that can't be of one table."""
    if known.values.dtype != new.values.dtype:
        raise ValueError(
            "weight must be given for all parts of a table or for none: one part counts pixels,"
            " another weighs them"
        )
    if known.values.shape[1:] != new.values.shape[1:]:
        raise ValueError(
            "weight must have the same number of measures in all parts of a table, got"
            f" {known.values.shape[1:] or 1} and {new.values.shape[1:] or 1}"
        )
    widths = [0 if part.features is None else part.features.shape[1] for part in (known, new)]
    if widths[0] != widths[1]:
        raise ValueError(
            f"features must be as many in all parts of a table, got {widths[0]} and {widths[1]}"
        )
