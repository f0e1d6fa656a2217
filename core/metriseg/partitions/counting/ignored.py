"""The labels whose pixels are left out."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import host, is_among, is_tensor
from metriseg.partitions.grouping import Cells, selected

Ignore: TypeAlias = int | Collection[int] | Mapping[str, int | Collection[int]] | None


class IgnoredLabels(NamedTuple):
    """The labels left out on each side."""

    x: tuple[int, ...]
    y: tuple[int, ...]


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


def _labels(name: str, given: Any) -> tuple[int, ...]:
    if given is None:
        return ()
    if is_tensor(given):
        given = host(name, given)
    try:
        listed = [given] if isinstance(given, (str, bytes)) else list(given)
    except TypeError:
        # one number: of Python, or an array of no axis
        listed = [given]
    return tuple(_label(name, one, given) for one in listed)


def _label(name: str, one: Any, given: Any) -> int:
    is_truth = isinstance(one, bool) or str(getattr(one, "dtype", "")).endswith("bool")
    try:
        label = operator.index(one)
    except (TypeError, ValueError, RuntimeError):
        label = None
    if is_truth or label is None:
        raise ValueError(f"{name} must be an integer label or several, got {given!r}")
    if not -(2**63) <= label < 2**64:
        raise ValueError(f"{name} must hold labels within int64 or uint64, got {one!r}")
    return label


def without_ignored(cells: Cells, ignored: IgnoredLabels) -> Cells:
    """The entries whose labels count on both sides."""
    drop: NDArray[np.bool_] | None = None
    for labels, names in zip((cells.x, cells.y), ignored, strict=True):
        if names:
            found = is_among(labels, names)
            drop = found if drop is None else drop | found
    if drop is None or not drop.any():
        return cells
    return selected(cells, ~drop)
