"""Entries of a contingency table, and how those of the same pair of regions are added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Cells(NamedTuple):
    """Label pairs x and y ``(cells,)``; values ``(cells,)`` or ``(cells, measures)``."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    values: NDArray[Any]
    features: NDArray[np.float64] | None


def concatenate(parts: Sequence[Cells]) -> Cells:
    """All entries in turn; of the same kind."""
    if len(parts) == 1:
        return parts[0]
    return Cells(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.values for part in parts]),
        None
        if parts[0].features is None
        else np.concatenate([part.features for part in parts if part.features is not None]),
    )


def group(cells: Cells) -> Cells:
    """One entry a pair of labels, sorted by x and then y; entries without any measure are gone."""
    if len(cells.x) == 0:
        return cells
    order, starts = _in_order(pair_keys(cells.x, cells.y))
    values = np.add.reduceat(cells.values[order], starts, axis=0)
    features = None
    if cells.features is not None:
        features = np.add.reduceat(cells.features[order], starts, axis=0)
    heads = order[starts]
    grouped = Cells(cells.x[heads], cells.y[heads], values, features)
    present = values > 0 if values.ndim == 1 else (values > 0).any(1)
    if present.all():
        return grouped
    return Cells(*(None if part is None else part[present] for part in grouped))  # type: ignore[arg-type]


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


def pair_keys(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number a pair, in the order of (x, y)."""
    low_x, low_y = int(x.min()), int(y.min())
    width = int(y.max()) - low_y + 1
    if (int(x.max()) - low_x + 1) * width < 2**63:
        keys: NDArray[np.int64] = (x - low_x) * width + (y - low_y)
        return keys
    _, x = np.unique(x, return_inverse=True)
    names, y = np.unique(y, return_inverse=True)
    dense: NDArray[np.int64] = x * len(names) + y
    return dense
