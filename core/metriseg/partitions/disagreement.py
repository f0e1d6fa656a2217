"""Where two partitions disagree: what each pixel adds to their distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import Labels, as_labels, integer_array, place_in
from metriseg.partitions.contingency import ContingencyTable
from metriseg.partitions.table import symmetric_differences

__all__ = ["disagreement_map"]


def disagreement_map(table: ContingencyTable, x: Any, y: Any) -> NDArray[np.float64]:
    r"""What every pixel adds to the partition distance.

    .. math:: g(u) = \mu(x(u) \triangle y(u)) = a_k + b_l - 2 C_{kl}, \qquad
        \sum_u w(u)\,g(u) = \rho(X, Y)

    x(u) is the region of x that holds the pixel u: g counts the pixels that are in one region
    with u by one partition, and not by the other. The maps may be any part of those that the
    table was made of, such as a slice of a volume or a tile of an image.

    Args:
        table: of one measure, of the whole maps.
        x: integer label map ``(*S)``.
        y: label map of the same shape.

    Returns:
        ``(*S)``: 0 … N, 0 where both regions are the same set, and where a pixel is not in the
        table (ignored, or of weight 0).

    Raises:
        ValueError: for different shapes, labels that are no integers, a table of several measures.

    >>> from metriseg.partitions import contingency_table, partition_distance
    >>> x, y = [[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]]
    >>> table = contingency_table(x, y)
    >>> disagreement_map(table, x, y)
    array([[2., 2., 4.],
           [4., 2., 2.]])
    >>> partition_distance(table)
    16.0
    """
    table.one_measure("disagreement_map")
    cell = cells_of_pixels(table, x, y)
    apart = symmetric_differences(table).astype(np.float64)
    found: NDArray[np.float64] = np.where(cell < 0, 0.0, apart[cell])
    return found


def cells_of_pixels(table: ContingencyTable, x: Any, y: Any) -> NDArray[np.int64]:
    """``(*S)``: the cell of the table that every pixel is in, -1 where it is in none."""
    x, y = _labels("x", x), _labels("y", y)
    if x.shape != y.shape:
        raise ValueError(f"y must have the shape of x, {x.shape}, got {y.shape}")
    row, in_x = place_in(table.x_labels, x)
    column, in_y = place_in(table.y_labels, y)
    regions = len(table.y_labels)
    cell, in_both = place_in(table.x_index * regions + table.y_index, row * regions + column)
    return np.where(in_x & in_y & in_both, cell, -1)


def _labels(name: str, labels: Any) -> Labels:
    return as_labels(integer_array(name, labels))
