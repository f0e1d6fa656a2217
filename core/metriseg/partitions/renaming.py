"""New names for the labels of a side of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import host, integer_array, signed
from metriseg.partitions.label_maps import not_negative


def renamed(name: str, labels: NDArray[np.int64], names: Any) -> NDArray[np.int64]:
    """The new name of each label.

    Args:
        name: of the argument, for errors.
        labels: not negative.
        names: a mapping from labels, of which those it lacks keep their name; or an array, which
            has the new name of the label i at the place i.
    """
    if names is None:
        return labels
    if isinstance(names, Mapping):
        return _by_mapping(name, labels, names)
    lookup = _new_names(name, names)
    if lookup.ndim != 1 or (len(labels) and int(labels.max()) >= len(lookup)):
        raise ValueError(
            f"{name} must be a mapping, or an array (labels,) with a place for each label up to"
            f" {int(labels.max()) if len(labels) else 0}, got shape {lookup.shape}"
        )
    return lookup[labels]


def _by_mapping(
    name: str, labels: NDArray[np.int64], names: Mapping[Any, Any]
) -> NDArray[np.int64]:
    if not names:
        return labels
    old = signed(name, integer_array(name, list(names.keys())))
    new = _new_names(name, list(names.values()))
    if old.ndim != 1 or new.shape != old.shape:
        raise ValueError(f"{name} must map labels to labels, got {names!r}")
    order = np.argsort(old)
    old, new = old[order], new[order]
    places = np.searchsorted(old, labels).clip(max=len(old) - 1)
    return np.where(old[places] == labels, new[places], labels)


def _new_names(name: str, given: Any) -> NDArray[np.int64]:
    array = host(name, given)
    found = signed(name, integer_array(name, array) if array.size else array)
    not_negative(name, found.reshape(-1))
    return found
