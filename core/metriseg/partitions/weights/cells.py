"""What weights read off a table, in floating point: one number a cell, and the total."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.partitions.table import Table, symmetric_differences


def shared_sizes(table: Table) -> NDArray[np.float64]:
    """``(cells,)`` or ``(cells, measures)``: the measure of the intersection."""
    return table.values.astype(np.float64)


def x_sizes(table: Table) -> NDArray[np.float64]:
    """``(cells,)``: the measure of the region of x."""
    sizes: NDArray[np.float64] = table.x_sizes[table.x_index].astype(np.float64)
    return sizes


def y_sizes(table: Table) -> NDArray[np.float64]:
    """``(cells,)``: the measure of the region of y."""
    sizes: NDArray[np.float64] = table.y_sizes[table.y_index].astype(np.float64)
    return sizes


def outside_sizes(table: Table) -> NDArray[np.float64]:
    """The measure of the symmetric difference, of the same shape."""
    return symmetric_differences(table).astype(np.float64)


def shared_columns(table: Table) -> NDArray[np.float64]:
    """``(cells, measures)``, also of a table of one."""
    return shared_sizes(table).reshape(len(table.values), -1)


def outside_columns(table: Table) -> NDArray[np.float64]:
    """The measure of the symmetric difference, of that shape."""
    return outside_sizes(table).reshape(len(table.values), -1)


def total_size(table: Table) -> Any:
    """The measure of the domain; of a stack, one a table."""
    return np.asarray(table.total, np.float64)
