"""Entries that a caller states."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import LARGEST, Labels, as_labels, host, is_large
from metriseg.partitions.counting.planes import check_features, check_measure
from metriseg.partitions.grouping import Cells, few_enough, total_count
from metriseg.partitions.label_maps import label_array, not_negative


def given_cells(x: Any, y: Any, values: Any, features: Any) -> Cells:
    """Entries that a caller states, checked."""
    xs, ys = _given_labels("x", x), _given_labels("y", y)
    data = _numbers("values", values)
    data = data.astype(np.float64) if data.dtype.kind == "f" else _counts(data)
    check_measure("values", bool((data >= 0).all()) and bool(np.isfinite(data).all()))
    sums = None if features is None else _numbers("features", features).astype(np.float64)
    entries = xs.shape
    fits = len(entries) == 1 and ys.shape == entries == data.shape[:1] and data.ndim <= 2
    if not (fits and (sums is None or (sums.ndim == 2 and sums.shape[:1] == entries))):
        came = [part.shape for part in (xs, ys, data, sums) if part is not None]
        raise ValueError(
            "values must have shape (cells,) or (cells, R), features (cells, F), and x and y"
            f" (cells,), got x, y, values, features of {', '.join(map(str, came))}"
        )
    if sums is not None:
        check_features(bool(np.isfinite(sums).all()))
    few_enough("values", total_count(data))
    return Cells(xs, ys, data, sums)


def _numbers(name: str, given: Any) -> NDArray[Any]:
    numbers = host(name, given)
    if numbers.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {numbers.dtype}")
    return numbers


def _counts(values: NDArray[Any]) -> NDArray[np.int64]:
    if is_large(values.dtype) and values.size and int(values.max()) > LARGEST:
        raise ValueError(
            f"values must hold counts up to 2^63 - 1, got {int(values.max())}: give larger ones as"
            " floating-point numbers"
        )
    return values.astype(np.int64)


def _given_labels(name: str, given: Any) -> Labels:
    labels = host(name, given)
    found = as_labels(label_array(name, given) if labels.size else labels)
    not_negative(name, found)
    return found
