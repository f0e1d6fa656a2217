"""The labels whose pixels are left out."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metriseg.partitions.grouping import Cells

Ignore: TypeAlias = int | Collection[int] | Mapping[str, int | Collection[int]] | None


class IgnoredLabels(NamedTuple):
    """The labels left out on each side."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]


def ignored_labels(ignore: Ignore, *, name: str = "ignore") -> IgnoredLabels:
    """``ignore``, or what the argument is called, in one form.

    Raises:
        ValueError: for what is no label, collection of labels, or mapping from "x" and "y".
    """
    if isinstance(ignore, Mapping):
        if not set(ignore) <= {"x", "y"}:
            raise ValueError(
                f"{name} must name the sides 'x' and 'y', got {sorted(map(str, ignore))}"
            )
        return IgnoredLabels(_labels(name, ignore.get("x")), _labels(name, ignore.get("y")))
    both = _labels(name, ignore)
    return IgnoredLabels(both, both)


def _labels(name: str, given: Any) -> NDArray[np.int64]:
    if given is None:
        return np.empty(0, np.int64)
    try:
        listed = [given] if isinstance(given, (str, bytes)) else list(given)
    except TypeError:
        # one number: of Python, or an array of no axis
        listed = [given]
    return np.array([_label(name, one, given) for one in listed], np.int64)


def _label(name: str, one: Any, given: Any) -> int:
    is_truth = isinstance(one, bool) or str(getattr(one, "dtype", "")).endswith("bool")
    try:
        label = operator.index(one)
    except (TypeError, ValueError, RuntimeError):
        label = None
    if is_truth or label is None:
        raise ValueError(f"{name} must be an integer label or several, got {given!r}")
    if not -(2**63) <= label < 2**63:
        raise ValueError(f"{name} must hold labels within int64, got {one!r}")
    return label


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
