"""The contingency table of two partitions: how much of the domain each pair of regions shares.

Everything that compares two partitions is a function of this table. It is sparse (only pairs that
meet have an entry), and additive: the tables of the tiles of an image, of the slices of a volume
or of the ranks of a process group add up to exactly the table of the whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import Labels
from metriseg.partitions.counting import Ignore, counted_cells, given_cells, ignored_labels
from metriseg.partitions.grouping import (
    Cells,
    CellSum,
    added_up,
    group,
    of_labels_in_one_form,
    selected,
)
from metriseg.partitions.renaming import renamed
from metriseg.partitions.stack import TableStack
from metriseg.partitions.table import Measured, Signatures, Table, sum_by
from metriseg.partitions.table_files import read_table, write_table

__all__ = ["ContingencyTable", "contingency_table"]

#: The most entries that :meth:`ContingencyTable.to_dense` writes without being asked for more.
DENSE = 1 << 26


class ContingencyTable(Measured):
    r"""Sparse table :math:`C_{kl} = \mu(x_k \cap y_l)` of two partitions, additive.

    Made by :func:`contingency_table`; ``ContingencyTable()`` is the empty table, to be filled by
    :meth:`update`. Entries are sorted by the label of x, then of y, so that equal tables have
    equal arrays, however they were put together.

    The measure :math:`\mu` counts pixels (``values`` is int64) or sums a pixel's weight (float64).
    A table may carry several measures of the same cells at once (``values`` of shape
    ``(cells, measures)``) and, beside them, sums of pixel features.

    >>> table = contingency_table([0, 0, 7, 7], [3, 3, 3, 4])
    >>> table
    ContingencyTable(2 x 2 regions, 3 cells, total 4)
    >>> table.x_labels, table.y_labels
    (array([0, 7]), array([3, 4]))
    >>> table.to_dense()
    array([[2, 0],
           [1, 1]])
    >>> half = contingency_table([0, 0], [3, 3])
    >>> (half + contingency_table([7, 7], [3, 4])) == table
    True
    """

    def __init__(self) -> None:
        self._sum = CellSum()
        self._derived: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """The entries alone, merged: what a copy or another process needs."""
        return {"_cells": self._sum.total()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state["_cells"])

    def _start(self, cells: Cells | None) -> None:
        """Hold these entries, and nothing else."""
        self._sum, self._derived = CellSum(), {}
        if cells is not None:
            self._sum.add(cells)

    # Filling it

    def update(
        self,
        x: Any,
        y: Any,
        *,
        weight: Any = None,
        features: Any = None,
        mask: Any = None,
        ignore: Ignore = None,
        progress: bool = False,
    ) -> ContingencyTable:
        """Add the pixels of two label maps, in place; arguments as in :func:`contingency_table`."""
        ignored = ignored_labels(ignore)
        # apart at first, so that bad input leaves this table as it was
        part = added_up(counted_cells(x, y, weight, features, mask, ignored, progress))
        if part is not None:
            self._add(part)
        return self

    def merge(self, other: ContingencyTable) -> ContingencyTable:
        """Add another table, in place.

        Raises:
            ValueError: when one counts pixels and the other weighs them, or the numbers of
                measures or features differ.
        """
        if not isinstance(other, ContingencyTable):
            raise ValueError(f"other must be a ContingencyTable, got {type(other).__name__}")
        cells = other._sum.total()
        if cells is not None:
            self._add(cells)
        return self

    def __add__(self, other: ContingencyTable) -> ContingencyTable:
        if not isinstance(other, ContingencyTable):
            return NotImplemented
        return ContingencyTable().merge(self).merge(other)

    def __radd__(self, other: object) -> ContingencyTable:
        """So that ``sum(tables)`` works."""
        return ContingencyTable().merge(self) if other == 0 else NotImplemented

    def all_reduce(self, group: Any = None) -> ContingencyTable:
        """Make this the sum of the tables of all ranks of ``torch.distributed``, in place.

        Every rank must call it, also one whose table is empty. All get the same table, to the
        last bit. Without a process group nothing happens.
        """
        from metriseg.partitions.collective import gather_cells

        gathered = gather_cells(self._sum.total(), group)
        if gathered is not None:
            self._start(None)
            for cells in gathered:
                self._add(cells)
        return self

    def _add(self, cells: Cells) -> None:
        self._sum.add(cells)
        self._derived = {}

    # Reading it

    @property
    def cells(self) -> Cells:
        """The entries: labels of x and y, values, sums of features.

        Raises:
            ValueError: when no pixel was ever counted.
        """
        cells = self._sum.total()
        if cells is None or len(cells.x) == 0:
            raise ValueError(
                "the contingency table is empty: no pixel was counted (all ignored, of weight 0,"
                " or none given)"
            )
        return cells

    @property
    def is_empty(self) -> bool:
        """Whether no pixel was counted."""
        cells = self._sum.total()
        return cells is None or len(cells.x) == 0

    @property
    def values(self) -> NDArray[Any]:
        """``(cells,)``, or ``(cells, measures)`` of a table of several: int64 or float64."""
        return self.cells.values

    @property
    def x_labels(self) -> Labels:
        """``(m,)``: the labels of x, ascending: int64, or uint64 with one above 2^63 - 1."""
        return self._index("x")[0]

    @property
    def y_labels(self) -> Labels:
        """``(n,)``: the labels of y, ascending."""
        return self._index("y")[0]

    @property
    def x_index(self) -> NDArray[np.int64]:
        """``(cells,)``: the region of x that a cell belongs to, ascending."""
        return self._index("x")[1]

    @property
    def y_index(self) -> NDArray[np.int64]:
        """``(cells,)``: the region of y that a cell belongs to."""
        return self._index("y")[1]

    def _index(self, side: str) -> tuple[Labels, NDArray[np.int64]]:
        if side not in self._derived:
            labels, index = np.unique(getattr(self.cells, side), return_inverse=True)
            self._derived[side] = (labels, index.reshape(-1))
        found: tuple[Labels, NDArray[np.int64]] = self._derived[side]
        return found

    @property
    def x_sizes(self) -> NDArray[Any]:
        """``(m,)`` or ``(m, measures)``: the measure of each region of x."""
        return self._margin("x_sizes", self.x_index, len(self.x_labels))

    @property
    def y_sizes(self) -> NDArray[Any]:
        """``(n,)`` or ``(n, measures)``: the measure of each region of y."""
        return self._margin("y_sizes", self.y_index, len(self.y_labels))

    def _margin(self, name: str, index: NDArray[np.int64], regions: int) -> NDArray[Any]:
        if name not in self._derived:
            with np.errstate(over="ignore"):
                self._derived[name] = _finite(sum_by(index, self.values, regions))
        margin: NDArray[Any] = self._derived[name]
        return margin

    @property
    def x_features(self) -> NDArray[np.float64]:
        """``(m, features)``: the mean of every pixel feature over each region of x."""
        return self._mean_features(self.x_index, self.x_sizes)

    @property
    def y_features(self) -> NDArray[np.float64]:
        """``(n, features)``: the mean of every pixel feature over each region of y."""
        return self._mean_features(self.y_index, self.y_sizes)

    def _mean_features(self, index: NDArray[np.int64], sizes: NDArray[Any]) -> NDArray[np.float64]:
        features = self.cells.features
        if features is None:
            raise ValueError(
                "features must be given to contingency_table here: this table holds no pixel"
                " features to describe its regions by"
            )
        sums = sum_by(index, features, len(sizes))
        first = sizes if sizes.ndim == 1 else sizes[:, 0]
        if not first.all():
            raise ValueError(
                "weight must have a first measure above 0 in every region here: the mean of a"
                " feature over a region of measure 0 has no meaning"
            )
        means: NDArray[np.float64] = sums / first[:, None]
        return means

    @property
    def shape(self) -> tuple[int, int]:
        """Regions of x, regions of y."""
        return len(self.x_labels), len(self.y_labels)

    @property
    def total(self) -> Any:
        """The measure of the domain: an int for counts, a float, or one a measure."""
        with np.errstate(over="ignore"):
            total = _finite(self.values.sum(0))
        return total.item() if total.ndim == 0 else total

    def measure(self, index: int) -> ContingencyTable:
        """The table of one of several measures; cells of measure 0 are gone.

        Features stay with the first measure, which weighs them; the others' tables have none.
        """
        cells = self.cells
        columns = cells.values.reshape(len(cells.x), -1)
        if not 0 <= index < columns.shape[1]:
            raise ValueError(f"index must be in 0 … {columns.shape[1] - 1}, got {index!r}")
        features = None if index > 0 else cells.features
        one = Cells(cells.x, cells.y, columns[:, index], features)
        return self._of(of_labels_in_one_form(selected(one, one.values > 0)))

    @property
    def T(self) -> ContingencyTable:
        """With x and y exchanged."""
        cells = self.cells
        return self._of(group(Cells(cells.y, cells.x, cells.values, cells.features)))

    def relabel(
        self,
        x: Mapping[int, int] | Any = None,
        y: Mapping[int, int] | Any = None,
    ) -> ContingencyTable:
        """The table of the relabelled maps, without the maps; this one stays as it is.

        Labels that get one name become one region. All get their new names at once, so that
        ``{1: 2, 2: 1}`` exchanges two.

        Args:
            x: new names of the labels of x: a mapping, where labels that it lacks keep their
                name; or an array, with the new name of the label i at the place i, as in
                ``x[labels]``. None keeps all.
            y: those of y.

        Returns:
            A table of the same measures and features, and of the same total.

        Raises:
            ValueError: for names that are no integers, negative or above 2^64 - 1, and arrays
                that lack a label of the table.

        >>> table = contingency_table([0, 1, 2, 2], [3, 3, 4, 5])
        >>> table.relabel({2: 1}, {4: 9}) == contingency_table([0, 1, 1, 1], [3, 3, 9, 5])
        True
        """
        cells, given = self._sum.total(), {"x": x, "y": y}
        if cells is None or len(cells.x) == 0:
            for side, names in given.items():
                renamed(side, np.empty(0, np.int64), names)
            return ContingencyTable().merge(self)
        new = {}
        for side, names in given.items():
            labels, index = self._index(side)
            new[side] = renamed(side, labels, names)[index]
        return self._of(group(Cells(new["x"], new["y"], cells.values, cells.features)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the entries to one ``.npz`` file, compressed and without pickle.

        The file takes its place when it is complete: where writing fails, an old one stays.
        """
        write_table(path, self._sum.total())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ContingencyTable:
        """The table that :meth:`save` wrote, equal to the one that was saved.

        Raises:
            OSError: where there is no file that may be read.
            ValueError: for a file of another kind or version, or one that is broken.
        """
        table = cls()
        table._start(read_table(path))
        return table

    def to_dense(self, *, limit: int = DENSE) -> NDArray[Any]:
        """``(m, n)`` array, or ``(m, n, measures)``.

        Raises:
            ValueError: when it would have more than ``limit`` entries.
        """
        m, n = self.shape
        if m * n * self.measures > limit:
            raise ValueError(
                f"limit is {limit:,} entries, and the dense table of {m:,} x {n:,} regions would"
                f" have {m * n * self.measures:,}: read x_index, y_index and values, or"
                " to_scipy(), or raise limit"
            )
        dense = np.zeros((m, n, *self.values.shape[1:]), self.values.dtype)
        dense[self.x_index, self.y_index] = self.values
        return dense

    def to_scipy(self) -> Any:
        """The table as ``scipy.sparse.csr_array``, of one measure."""
        from scipy import sparse

        self.one_measure("to_scipy")
        return sparse.csr_array((self.values, (self.x_index, self.y_index)), shape=self.shape)

    # What distances are made of

    def sum_cells(self, values: NDArray[Any]) -> Any:
        """Sum over cells ``(cells, …)``."""
        return values.sum(0)

    def sum_x(self, values: NDArray[Any]) -> Any:
        """Sum over the regions of x ``(m, …)``."""
        return values.sum(0)

    def sum_y(self, values: NDArray[Any]) -> Any:
        """Sum over the regions of y ``(n, …)``."""
        return values.sum(0)

    def per_x(self, value: Any) -> Any:
        """One number a table, as one a region of x."""
        return value

    def per_y(self, value: Any) -> Any:
        """One number a table, as one a region of y."""
        return value

    def per_cell(self, value: Any) -> Any:
        """One number a table, as one a cell."""
        return value

    def signatures(self) -> Iterator[Signatures]:
        """What each table's regions weigh and are like: of this one alone."""
        yield Signatures(self.x_sizes, self.x_features, self.y_sizes, self.y_features)

    def singles(self) -> Iterator[Table]:
        """This table, as the only one."""
        yield self

    def result(self, value: Any) -> Any:
        """What a distance returns: a float here, an array for a stack of tables."""
        return float(value)

    def _of(self, cells: Cells) -> ContingencyTable:
        table = ContingencyTable()
        table._start(cells)
        return table

    @classmethod
    def from_cells(
        cls,
        x: Any,
        y: Any,
        values: Any,
        features: Any = None,
    ) -> ContingencyTable:
        """A table of given entries.

        Args:
            x: label of x of each entry, ``(cells,)``; pairs may come up repeatedly.
            y: label of y of each entry.
            values: measure of each entry, ``(cells,)`` or ``(cells, R)``; whole numbers count.
            features: sums of pixel features, ``(cells, F)``.

        Raises:
            ValueError: for labels that :func:`contingency_table` refuses, negative or infinite
                values, or other shapes.
        """
        table = cls()
        table._add(group(given_cells(x, y, values, features)))
        return table

    @classmethod
    def stack(cls, tables: Sequence[ContingencyTable]) -> TableStack:
        """Many tables at once: a distance of the stack is an array, one number a table."""
        return TableStack(tables)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ContingencyTable):
            return NotImplemented
        ours, theirs = self._sum.total(), other._sum.total()
        if ours is None or theirs is None or self.is_empty or other.is_empty:
            return self.is_empty and other.is_empty
        return all(
            (a is None and b is None)
            or (a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b))
            for a, b in zip(ours, theirs, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.is_empty:
            return "ContingencyTable(empty)"
        m, n = self.shape
        several = f", {self.measures} measures" if self.values.ndim == 2 else ""
        total = f"{self.total:g}" if isinstance(self.total, float) else f"{self.total}"
        return (
            f"ContingencyTable({m} x {n} regions, {len(self.values)} cells{several}, total {total})"
        )


def _finite(sums: Any) -> Any:
    """Raise for sums of weights that float64 doesn't hold."""
    if not np.isfinite(sums).all():
        raise ValueError(
            "weight must add up to what float64 holds, at most 1.8e308: multiply it by a constant"
        )
    return sums


def contingency_table(
    x: Any,
    y: Any,
    *,
    weight: Any = None,
    features: Any = None,
    mask: Any = None,
    ignore: Ignore = None,
    progress: bool = False,
) -> ContingencyTable:
    r"""Count, sparsely, the pixels that each region of x shares with each region of y.

    .. math:: C_{kl} = \mu(x_k \cap y_l) = \sum_{u \in x_k \cap y_l} w(u)

    Label maps are made of runs: runs are counted, not pixels, in blocks that fit the cache. No
    dense table is made and no label is one-hot encoded, so time is O(pixels) and memory is
    O(runs of a block + cells). Memory-mapped arrays are read block by block, and Zarr arrays
    chunk by chunk. When one of the arrays is a Dask array, its chunks are counted where Dask runs
    them, on the threads of this machine or on a ``dask.distributed`` cluster, and their tables
    merged in a tree: the table is the same, and no more than the chunks at work is in memory.

    Args:
        x: integer label map of any dimension and shape: NumPy array or anything ``np.asarray``
            takes, torch tensor on the CPU or an accelerator, Dask or Zarr array (extra
            ``scale``). Labels are arbitrary numbers from 0 to 2^64 - 1.
        y: label map of the same shape; of another kind or other chunks if need be.
        weight: the measure of each pixel (area, volume, probability mass, any density): finite,
            not negative, of x's shape; or ``(R, *S)`` for R measures in one table, such as the
            bins of :func:`~metriseg.partitions.intensity_bins`. None counts pixels.
        features: ``(F, *S)`` finite numbers, of which each region's mean is kept beside the
            table, weighted by the (first) measure: see ``x_features``.
        mask: bool, of x's shape: the pixels that count, such as
            :func:`~metriseg.partitions.boundary_mask` gives. What the others hold is not looked
            at. None counts all.
        ignore: a label, or several: pixels that have it in *either* map are left out. A mapping
            names the sides: ``{"x": 0}`` leaves out what has the label 0 in x, whatever y says
            there; ``{"x": 0, "y": [0, 255]}`` has labels of its own for each. An ignored label may
            be negative.
        progress: whether to show a bar on standard error: by rich (extra ``scale``), and by Dask
            itself for Dask arrays. What an accelerator counts has none: it takes too short.

    Returns:
        The table; empty when every pixel is ignored or of weight 0.

    Raises:
        ValueError: for different shapes, empty maps, labels that are no integers or
            negative, weights that are negative or not finite, features that are not finite, a mask
            of another type or shape, Dask arrays of unknown chunk sizes.
        ImportError: when a bar is asked for and rich is missing.

    >>> table = contingency_table([[0, 0], [1, 255]], [[5, 6], [6, 6]], ignore={"x": 255})
    >>> table.to_dense()
    array([[1, 1],
           [0, 1]])
    """
    return ContingencyTable().update(
        x, y, weight=weight, features=features, mask=mask, ignore=ignore, progress=progress
    )
