"""Entries of label maps in host memory, or mapped into it: run by run, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import as_labels, host
from metriseg.partitions.counting.blocks import Region, block_shape, regions
from metriseg.partitions.counting.ignored import IgnoredLabels, without_ignored
from metriseg.partitions.counting.planes import (
    check_features,
    check_mask,
    check_measure,
    check_planes,
)
from metriseg.partitions.counting.progress import watched
from metriseg.partitions.grouping import Cells, group
from metriseg.partitions.label_maps import label_array, not_negative, same_shape

#: Pixels read at once: their temporaries stay in the cache of a core.
BLOCK = 1 << 16


def cells_of_arrays(
    x: Any,
    y: Any,
    weight: Any,
    features: Any,
    ignored: IgnoredLabels,
    progress: bool = False,
    mask: Any = None,
) -> Iterator[Cells]:
    """Entries of two label maps in host memory, or mapped into it, a block of pixels at a time."""
    x, y = label_array("x", x), label_array("y", y)
    same_shape(x.shape, y.shape)
    weights = None if weight is None else _planes("weight", weight, x.shape)
    single = weights is not None and np.ndim(weight) == x.ndim
    described = None if features is None else _planes("features", features, x.shape)
    counted = None if mask is None else host("mask", mask)
    if counted is not None:
        check_mask(counted.dtype, counted.shape, x.shape)
    # in the order of memory, so that blocks are read through and not copied together
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    x, y = x.transpose(order), y.transpose(order)
    counted = None if counted is None else counted.transpose(order)
    for region in watched(regions(x.shape, block_shape(x.shape, BLOCK)), progress):
        xs, ys = x[region].reshape(-1), y[region].reshape(-1)
        kept = _kept_pixels(counted, region)
        if kept is not None:
            if not len(kept):
                continue
            xs, ys = xs[kept], ys[kept]
        heads = _run_heads(xs, ys)
        values: NDArray[Any] = np.diff(heads, append=len(xs))
        if weights is not None:
            mass = _block_of_planes(weights, order, region, kept)
            check_measure("weight", bool((mass >= 0).all()) and bool(np.isfinite(mass).all()))
            values = np.add.reduceat(mass, heads, axis=1).T
            values = np.ascontiguousarray(values[:, 0] if single else values)
        sums = None
        if described is not None:
            seen = _block_of_planes(described, order, region, kept)
            check_features(bool(np.isfinite(seen).all()))
            if weights is not None:
                seen = seen * mass[0]
            sums = np.ascontiguousarray(np.add.reduceat(seen, heads, axis=1).T)
        cells = without_ignored(
            Cells(as_labels(xs[heads]), as_labels(ys[heads]), values, sums), ignored
        )
        not_negative("x", cells.x)
        not_negative("y", cells.y)
        # neighbouring rows cross the same regions: few entries are left of a block's runs
        yield group(cells)


def _run_heads(xs: NDArray[Any], ys: NDArray[Any]) -> NDArray[np.int64]:
    """Where a run of pixels begins that are alike in both."""
    change = np.ones(len(xs), np.bool_)
    np.not_equal(xs[1:], xs[:-1], out=change[1:])
    change[1:] |= ys[1:] != ys[:-1]
    return np.flatnonzero(change)


def _kept_pixels(mask: NDArray[np.bool_] | None, region: Region) -> NDArray[np.int64] | None:
    """The places of the region's pixels that count; None where all do."""
    if mask is None:
        return None
    flat = mask[region].reshape(-1)
    return None if flat.all() else np.flatnonzero(flat)


def _block_of_planes(
    planes: NDArray[Any],
    order: Sequence[int],
    region: Region,
    kept: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """``(R, pixels)`` of the region of maps whose axes are put in this order."""
    turned = planes.transpose(0, *(axis + 1 for axis in order))
    block = np.asarray(turned[(slice(None), *region)], np.float64).reshape(len(planes), -1)
    return block if kept is None else block[:, kept]


def _planes(name: str, given: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Those given as ``(R, *shape)``."""
    values = host(name, given)
    check_planes(name, tuple(values.shape), shape)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {values.dtype}")
    return values[None] if values.ndim == len(shape) else values
