"""Many contingency tables side by side, so that a formula reads them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metriseg.partitions.grouping import Cells, same_kind
from metriseg.partitions.table import Measured, Signatures, Table, sum_by

__all__ = ["TableStack"]


class Single(Table, Protocol):
    """A contingency table, as a stack of them sees it."""

    @property
    def cells(self) -> Cells: ...
    @property
    def shape(self) -> tuple[int, int]: ...

    def measure(self, index: int) -> Single: ...


class TableStack(Measured):
    """Contingency tables of many pairs side by side, read by the same formulas.

    Its regions and cells are those of all the tables in turn, and its sums are taken table by
    table, so a distance of the stack is one array of numbers.

    >>> from metriseg.partitions import ContingencyTable, contingency_table, mirkin_distance
    >>> tables = [contingency_table([0, 1], [0, 0]), contingency_table([0, 1], [0, 1])]
    >>> mirkin_distance(ContingencyTable.stack(tables))
    array([2., 0.])

    Raises:
        ValueError: for no tables, an empty one, or tables of different kinds.
    """

    def __init__(self, tables: Sequence[Single]) -> None:
        if not tables:
            raise ValueError("tables must hold at least one table, got none")
        for table in tables[1:]:
            same_kind(tables[0].cells, table.cells)
        self._tables = tuple(tables)
        self._values = np.concatenate([table.values for table in tables])
        self.x_index = _in_turn([t.x_index for t in tables], [t.shape[0] for t in tables])
        self.y_index = _in_turn([t.y_index for t in tables], [t.shape[1] for t in tables])
        self.x_sizes = np.concatenate([table.x_sizes for table in tables])
        self.y_sizes = np.concatenate([table.y_sizes for table in tables])
        self.total = np.stack([np.asarray(table.total) for table in tables])
        described = tables[0].cells.features is not None
        self._features = (
            tuple(
                np.concatenate([getattr(table, name) for table in tables])
                for name in ("x_features", "y_features")
            )
            if described
            else None
        )
        self._owner = {
            "cells": np.repeat(np.arange(len(tables)), [len(t.values) for t in tables]),
            "x": np.repeat(np.arange(len(tables)), [t.shape[0] for t in tables]),
            "y": np.repeat(np.arange(len(tables)), [t.shape[1] for t in tables]),
        }

    def __len__(self) -> int:
        return len(self._tables)

    def measure(self, index: int) -> TableStack:
        """The stack of one of several measures of each table."""
        return TableStack([table.measure(index) for table in self._tables])

    @property
    def values(self) -> NDArray[Any]:
        """Of all cells: ``(cells,)``, or ``(cells, measures)``."""
        return self._values

    @property
    def x_features(self) -> NDArray[np.float64]:
        return self._region_features()[0]

    @property
    def y_features(self) -> NDArray[np.float64]:
        return self._region_features()[1]

    def _region_features(self) -> tuple[NDArray[np.float64], ...]:
        if self._features is None:
            raise ValueError(
                "features must be given to contingency_table here: these tables hold no pixel"
                " features to describe their regions by"
            )
        return self._features

    def sum_cells(self, values: NDArray[Any]) -> Any:
        return sum_by(self._owner["cells"], values, len(self))

    def sum_x(self, values: NDArray[Any]) -> Any:
        return sum_by(self._owner["x"], values, len(self))

    def sum_y(self, values: NDArray[Any]) -> Any:
        return sum_by(self._owner["y"], values, len(self))

    def per_x(self, value: Any) -> Any:
        return value[self._owner["x"]]

    def per_y(self, value: Any) -> Any:
        return value[self._owner["y"]]

    def per_cell(self, value: Any) -> Any:
        return value[self._owner["cells"]]

    def signatures(self) -> Iterator[Signatures]:
        """What each table's regions weigh and are like, table by table."""
        ends = [np.searchsorted(self._owner[side], np.arange(1, len(self))) for side in "xy"]
        parts = (
            np.split(values, ends[side])
            for side, values in (
                (0, self.x_sizes),
                (0, self.x_features),
                (1, self.y_sizes),
                (1, self.y_features),
            )
        )
        for four in zip(*parts, strict=True):
            yield Signatures(*four)

    def singles(self) -> Iterator[Table]:
        """The tables themselves."""
        yield from self._tables

    def result(self, value: Any) -> Any:
        return np.asarray(value, np.float64)


def _in_turn(indices: Sequence[NDArray[np.int64]], lengths: Sequence[int]) -> NDArray[np.int64]:
    """Indices into arrays of these lengths, as indices into their concatenation."""
    shifts = np.cumsum([0, *lengths[:-1]])
    return np.concatenate([one + shift for one, shift in zip(indices, shifts, strict=True)])
