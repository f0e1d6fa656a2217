"""The labels whose pixels are left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metriseg.partitions.grouping import Cells

Ignore: TypeAlias = int | Collection[int] | Mapping[str, int | Collection[int]] | None


class IgnoredLabels(NamedTuple):
    """The labels left out on each side."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]


def ignored_labels(ignore: Ignore) -> IgnoredLabels:
    """``ignore`` in one form.

    Raises:
        ValueError: for what is no label, collection of labels, or mapping from "x" and "y".
    """
    if isinstance(ignore, Mapping):
        if not set(ignore) <= {"x", "y"}:
            raise ValueError(
                f"ignore must name the sides 'x' and 'y', got {sorted(map(str, ignore))}"
            )
        return IgnoredLabels(_labels(ignore.get("x")), _labels(ignore.get("y")))
    both = _labels(ignore)
    return IgnoredLabels(both, both)


def _labels(given: Any) -> NDArray[np.int64]:
    if given is None:
        return np.empty(0, np.int64)
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    for one in listed:
        if isinstance(one, bool) or not hasattr(one, "__index__"):
            raise ValueError(f"ignore must be an integer label or several, got {given!r}")
        if not -(2**63) <= int(one) < 2**63:
            raise ValueError(f"ignore must hold labels within int64, got {one!r}")
    return np.asarray(listed, np.int64)


def without_ignored(cells: Cells, ignored: IgnoredLabels) -> Cells:
    """The entries whose labels count on both sides."""
    drop: NDArray[np.bool_] | None = None
    for labels, names in zip((cells.x, cells.y), ignored, strict=True):
        for name in names:
            drop = labels == name if drop is None else drop | (labels == name)
    if drop is None or not drop.any():
        return cells
    kept = ~drop
    features = None if cells.features is None else cells.features[kept]
    return Cells(cells.x[kept], cells.y[kept], cells.values[kept], features)
