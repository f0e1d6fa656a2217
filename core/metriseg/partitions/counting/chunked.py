"""Entries of arrays larger than memory: by the chunks of a file, of Dask arrays by graph."""

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

from metriseg.arrays import host
from metriseg.partitions.counting.arrays import cells_of_arrays
from metriseg.partitions.counting.blocks import block_shape, regions
from metriseg.partitions.counting.ignored import IgnoredLabels
from metriseg.partitions.counting.planes import check_mask, check_planes
from metriseg.partitions.counting.progress import watched
from metriseg.partitions.grouping import Cells, added_up
from metriseg.partitions.label_maps import check_labels, of_zarr, same_shape
from metriseg.stored import StoredArray

#: Pixels of an array in a file read at once where its chunks are smaller.
READ = 1 << 20
#: The most read at once so that chunks of two files that differ are read once each.
ALIGNED = 1 << 24
_NAMES = ("x", "y", "weight", "features", "mask")
#: Chunks, or what they were merged to, that one task of Dask adds up.
FAN_IN = 8


def is_chunked(values: Any) -> bool:
    """Whether this is an array of chunks that are read when asked for: of Dask, or in a file."""
    return (
        is_dask(values)
        or isinstance(values, StoredArray)
        or (of_zarr(values) and hasattr(values, "chunks"))
    )


def is_dask(values: Any) -> bool:
    """Whether this is a Dask array; told without importing Dask."""
    return type(values).__module__.startswith("dask.array")


def cells_of_chunks(
    x: Any,
    y: Any,
    weight: Any,
    features: Any,
    mask: Any,
    ignored: IgnoredLabels,
    progress: bool,
) -> Iterator[Cells]:
    """Entries of two label maps, one of the arrays being of chunks."""
    arrays: list[Any] = [
        one if one is None or is_chunked(one) else host(name, one)
        for name, one in zip(_NAMES, (x, y, weight, features, mask), strict=True)
    ]
    _check(*arrays)
    if any(is_dask(one) for one in arrays):
        whole = _by_graph(arrays, ignored, progress)
        if whole is not None:
            yield whole
        return
    for part in watched(_parts(arrays), progress):
        cells = _cells_of_chunk(
            *(
                None if one is None else _part(name, one, part)
                for name, one in zip(_NAMES, arrays, strict=True)
            ),
            ignored=ignored,
        )
        if cells is not None:
            yield cells


def _part(name: str, array: Any, part: tuple[slice, ...]) -> Any:
    """A part of an array, read."""
    try:
        return np.asarray(array[(..., *part)])
    except Exception as error:  # every codec has exceptions of its own for a broken chunk
        where = ", ".join(f"{one.start}:{one.stop}" for one in part)
        raise ValueError(
            f"{name} must be an array whose chunks can be read, and [{where}] can't:"
            f" {error or type(error).__name__}"
        ) from error


def _check(x: Any, y: Any, weight: Any, features: Any, mask: Any) -> None:
    """What can be told before anything is read."""
    for name, one in zip(_NAMES, (x, y, weight, features, mask), strict=True):
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
    if mask is not None:
        check_mask(mask.dtype, mask.shape, x.shape)


def _parts(arrays: Sequence[Any]) -> list[tuple[slice, ...]]:
    """Regions of whole chunks: of all arrays that have them, else of the first of these."""
    shape = arrays[0].shape
    chunk = _common_chunk(
        [one.chunks[one.ndim - len(shape) :] for one in arrays if is_chunked(one)], shape
    )
    grid = [-(-length // step) for length, step in zip(shape, chunk, strict=True)]
    together = block_shape(grid, max(1, READ // math.prod(chunk)))
    return regions(shape, [n * step for n, step in zip(together, chunk, strict=True)])


def _common_chunk(chunks: Sequence[Sequence[int]], shape: Sequence[int]) -> Sequence[int]:
    """What holds whole chunks of each array, as far as that is little enough to be read at once.

    Where no such part is, chunks are read anew for every part that they reach into.
    """
    sides = list(zip(*chunks, strict=True))
    for side in (math.lcm, max):
        common = [min(side(*steps), length) for steps, length in zip(sides, shape, strict=True)]
        if math.prod(common) <= ALIGNED:
            return common
    return chunks[0]


def _by_graph(arrays: Sequence[Any], ignored: IgnoredLabels, progress: bool) -> Cells | None:
    """The chunks' entries, added up by a tree of tasks."""
    delayed = import_module("dask").delayed
    shape = arrays[0].shape
    lead = next(one for one in arrays if is_dask(one))
    chunks = lead.chunks[lead.ndim - len(shape) :]
    count = delayed(partial(_cells_of_chunk, ignored=ignored))
    add_up = delayed(added_up)
    sums = [
        count(*blocks) for blocks in zip(*(_blocks(one, chunks) for one in arrays), strict=False)
    ]
    while len(sums) > 1:
        sums = [add_up(sums[i : i + FAN_IN]) for i in range(0, len(sums), FAN_IN)]
    return _computed(sums[0], progress)


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


def _cells_of_chunk(
    x: Any, y: Any, weight: Any, features: Any, mask: Any, *, ignored: IgnoredLabels
) -> Cells | None:
    if not x.size:
        return None
    return added_up(cells_of_arrays(x, y, weight, features, ignored, mask=mask))


def _computed(whole: Any, progress: bool) -> Cells | None:
    """Where Dask computes by now: a cluster if it has a client, else this machine."""
    if not progress:
        result: Cells | None = whole.compute()
        return result
    client = getattr(import_module("dask.base").get_scheduler(), "__self__", None)
    if client is None:
        with import_module("dask.diagnostics").ProgressBar(out=sys.stderr):
            result = whole.compute()
    else:
        future = client.compute(whole)
        with redirect_stdout(sys.stderr):
            import_module("distributed").progress(future)
        result = future.result()
    return result
