"""Entries that a caller states."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.partitions.counting.planes import check_features, check_measure
from metriseg.partitions.grouping import Cells
from metriseg.partitions.label_maps import host, label_array, not_negative, signed


def given_cells(x: Any, y: Any, values: Any, features: Any) -> Cells:
    """Entries that a caller states, checked."""
    xs, ys = _given_labels("x", x), _given_labels("y", y)
    data = np.asarray(values)
    if data.dtype.kind not in "biuf":
        raise ValueError(f"values must hold real numbers, got dtype {data.dtype}")
    data = data.astype(np.float64 if data.dtype.kind == "f" else np.int64)
    check_measure("values", bool((data >= 0).all()) and bool(np.isfinite(data).all()))
    sums = None if features is None else np.asarray(features, np.float64)
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
    return Cells(xs, ys, data, sums)


def _given_labels(name: str, given: Any) -> NDArray[np.int64]:
    labels = host(given)
    found = signed(name, label_array(name, labels) if labels.size else labels)
    not_negative(name, found)
    return found
