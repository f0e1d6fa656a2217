"""The connected components of a label map: from classes to segments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.arrays import host, integer_array
from metriseg.offsets import half_neighbours

#: Numbers that a library holds, and one more for what doesn't count.
_FEW = 2**32 - 4

#: What connected-components-3d takes: its connectivity, by dimensions and ours.
_LIBRARY: dict[tuple[int, int], Any] = {
    (2, 1): 4,
    (2, 2): 8,
    (3, 1): 6,
    (3, 2): 18,
    (3, 3): 26,
}


def connected_components(
    labels: Any, *, connectivity: int = 1, valid: Any = None
) -> NDArray[np.int64]:
    """The maximal connected sets of pixels with one label, numbered from 0.

    Every label has components, 0 as well: a partition of the whole map. They are numbered in the
    order of their first pixels.

    Args:
        labels: integer label map of any dimension: NumPy array, or tensor (read on the CPU).
        connectivity: in how many axes neighbours may differ, 1 … dimensions: in 2-D 1 is four
            neighbours and 2 is eight.
        valid: bool, of the map's shape: the pixels that count. The others, whatever label they
            have, are walls: no component holds one or leads through one. None counts all.

    Returns:
        ``labels.shape``, int64; -1 where a pixel doesn't count.

    Raises:
        ValueError: for labels that are no integers, another connectivity, or ``valid`` of another
            shape or type.

    >>> connected_components([[1, 1, 0], [0, 0, 1]])
    array([[0, 0, 1],
           [2, 2, 3]])
    >>> connected_components([[1, 1, 0], [0, 0, 1]], connectivity=2)
    array([[0, 0, 1],
           [1, 1, 0]])
    >>> connected_components([[1, 1, 1]], valid=[[True, False, True]])
    array([[ 0, -1,  1]])
    """
    array = integer_array("labels", labels)
    dimensions = max(array.ndim, 1)
    reach = arguments.whole_number("connectivity", connectivity, low=1)
    if reach > dimensions:
        raise ValueError(f"connectivity must be in 1 … {dimensions}, got {connectivity!r}")
    counted = None if valid is None else _mask(valid, array.shape)
    if array.size == 0:
        return np.zeros(array.shape, np.int64)
    dense = _small_numbers(array)
    if counted is not None:
        # a number that no label has: no type of the caller's is asked to hold another
        dense = np.where(counted, dense, int(dense.max()) + 1)
    found = _by_library(dense, reach)
    if found is None:
        found = _by_graph(dense, reach)
    if counted is None:
        return _by_first_pixel(found)
    numbered = np.full(array.shape, -1)
    numbered[counted] = _by_first_pixel(found[counted])
    return numbered


def _small_numbers(array: NDArray[Any]) -> NDArray[np.int64]:
    """Other names for the labels, from 0 on, which libraries hold."""
    low, high = int(array.min()), int(array.max())
    if high - low < _FEW:
        wide = array if array.dtype.itemsize == 8 else array.astype(np.int64)
        return (wide - wide.dtype.type(low)).astype(np.int64, copy=False)
    # a run of equal pixels has one name
    heads = _run_heads(array.ravel())
    _, names = np.unique(array.ravel()[heads], return_inverse=True)
    lengths = np.diff(heads, append=array.size)
    return np.repeat(names.astype(np.int64), lengths).reshape(array.shape)


def _run_heads(flat: NDArray[Any]) -> NDArray[np.intp]:
    """Where a pixel differs from the one before it."""
    return np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))


def _mask(valid: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = host("valid", valid)
    if mask.dtype != np.bool_ or mask.shape != shape:
        raise ValueError(
            f"valid must be bool of the shape of labels, {shape}, got {mask.dtype} of {mask.shape}"
        )
    return mask


def _by_library(dense: NDArray[np.int64], reach: int) -> NDArray[np.int64] | None:
    code = _LIBRARY.get((dense.ndim, reach))
    if code is None:
        return None
    try:
        import cc3d
    except ImportError:
        return None
    # from 1: 0 is its background
    labelled: NDArray[Any] = cc3d.connected_components(
        np.add(dense, 1, dtype=np.uint32, order="C", casting="unsafe"), connectivity=code
    )
    return labelled


def _by_graph(dense: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """As the components of the graph of equal neighbours."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components as components_of_graph

    place = np.arange(dense.size).reshape(dense.shape)
    starts, ends = [], []
    for offset in half_neighbours(dense.ndim, reach):
        here = tuple(slice(max(-step, 0), min(-step, 0) or None) for step in offset)
        there = tuple(slice(max(step, 0), min(step, 0) or None) for step in offset)
        equal = dense[here] == dense[there]
        starts.append(place[here][equal])
        ends.append(place[there][equal])
    if not starts:
        return place
    tail, head = np.concatenate(starts), np.concatenate(ends)
    joined = np.ones(len(tail), np.bool_)
    graph = sparse.coo_array((joined, (tail, head)), shape=(dense.size, dense.size))
    found: NDArray[np.int64] = components_of_graph(graph, directed=False)[1].astype(np.int64)
    return found.reshape(dense.shape)


def _by_first_pixel(found: NDArray[Any]) -> NDArray[np.int64]:
    """The same components, numbered in the order of their first pixels."""
    if found.size == 0:
        return np.zeros(found.shape, np.int64)
    flat = found.ravel()
    heads = _run_heads(flat)
    names = flat[heads]
    first = np.full(int(names.max()) + 1, found.size)
    # of several that are written to one place, the last stays
    first[names[::-1]] = heads[::-1]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    numbered: NDArray[np.int64] = rank[found]
    return numbered
