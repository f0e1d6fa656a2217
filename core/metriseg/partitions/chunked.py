"""Contingency tables of arrays larger than memory: Zarr arrays by chunk, Dask arrays by graph."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from itertools import repeat
from typing import Any

import numpy as np

from metriseg.partitions.contingency import ContingencyTable, IgnoredLabels
from metriseg.partitions.progress import watched
from metriseg.partitions.runs import (
    block_shape,
    check_labels,
    check_planes,
    host,
    is_chunked,
    is_dask,
    regions,
    same_shape,
)

#: Pixels of a Zarr array read at once where its chunks are smaller.
READ = 1 << 20
#: Tables merged by one task of Dask.
FAN_IN = 8


def add_chunks(
    table: ContingencyTable,
    x: Any,
    y: Any,
    weight: Any,
    features: Any,
    ignore: IgnoredLabels,
    progress: bool,
) -> ContingencyTable:
    """Add the pixels of two label maps, one of the arrays being of chunks, to the table."""
    arrays: list[Any] = [
        one if one is None or is_chunked(one) else host(one) for one in (x, y, weight, features)
    ]
    _check(*arrays)
    if any(is_dask(one) for one in arrays):
        return table.merge(_by_graph(arrays, ignore, progress))
    for part in watched(_parts(arrays), progress):
        x, y, weight, features = (
            None if one is None else np.asarray(one[(..., *part)]) for one in arrays
        )
        table.update(x, y, weight=weight, features=features, ignore=ignore._asdict())
    return table


def _check(x: Any, y: Any, weight: Any, features: Any) -> None:
    """What can be told before anything is read."""
    for name, one in (("x", x), ("y", y), ("weight", weight), ("features", features)):
        if one is not None and any(math.isnan(length) for length in one.shape):
            raise ValueError(
                f"{name} must have known chunk sizes, got shape {one.shape}: call its"
                " compute_chunk_sizes()"
            )
    check_labels("x", x)
    check_labels("y", y)
    same_shape(x.shape, y.shape)
    for name, planes in (("weight", weight), ("features", features)):
        if planes is not None:
            check_planes(name, planes.shape, x.shape)


def _parts(arrays: Sequence[Any]) -> list[tuple[slice, ...]]:
    """Regions of whole chunks, of the first array that has chunks."""
    shape = arrays[0].shape
    lead = next(one for one in arrays if is_chunked(one))
    chunk = lead.chunks[lead.ndim - len(shape) :]
    grid = [-(-length // step) for length, step in zip(shape, chunk, strict=True)]
    together = block_shape(grid, max(1, READ // math.prod(chunk)))
    return regions(shape, [n * step for n, step in zip(together, chunk, strict=True)])


def _by_graph(arrays: Sequence[Any], ignore: IgnoredLabels, progress: bool) -> ContingencyTable:
    """The chunks' tables, merged by a tree of tasks."""
    delayed = import_module("dask").delayed
    shape = arrays[0].shape
    lead = next(one for one in arrays if is_dask(one))
    chunks = lead.chunks[lead.ndim - len(shape) :]
    count = delayed(partial(_table_of_chunk, ignore=ignore._asdict()))
    merge = delayed(_merged)
    tables = [
        count(*blocks) for blocks in zip(*(_blocks(one, chunks) for one in arrays), strict=False)
    ]
    while len(tables) > 1:
        tables = [merge(tables[i : i + FAN_IN]) for i in range(0, len(tables), FAN_IN)]
    return _computed(tables[0], progress)


def _blocks(values: Any, chunks: tuple[tuple[int, ...], ...]) -> Iterator[Any]:
    """The parts of an array under each chunk of the label map, to be computed."""
    if values is None:
        return repeat(None)
    planes = (-1,) * (values.ndim - len(chunks))
    if is_dask(values):
        aligned = values.rechunk((*planes, *chunks))
    else:
        # unnamed: a name would be a hash of all its pixels
        from_array = import_module("dask.array").from_array
        aligned = from_array(values, chunks=(*planes, *chunks), name=False)
    return iter(aligned.to_delayed().ravel())


def _table_of_chunk(
    x: Any, y: Any, weight: Any, features: Any, ignore: dict[str, Any]
) -> ContingencyTable:
    table = ContingencyTable()
    if x.size:
        table.update(x, y, weight=weight, features=features, ignore=ignore)
        table._compact()
    return table


def _merged(tables: Sequence[ContingencyTable]) -> ContingencyTable:
    whole = ContingencyTable()
    for table in tables:
        whole.merge(table)
    whole._compact()
    return whole


def _computed(table: Any, progress: bool) -> ContingencyTable:
    """Where Dask computes by now: a cluster if it has a client, else this machine."""
    if not progress:
        result: ContingencyTable = table.compute()
        return result
    client = getattr(import_module("dask.base").get_scheduler(), "__self__", None)
    if client is None:
        with import_module("dask.diagnostics").ProgressBar(out=sys.stderr):
            result = table.compute()
    else:
        future = client.compute(table)
        with redirect_stdout(sys.stderr):
            import_module("distributed").progress(future)
        result = future.result()
    return result
