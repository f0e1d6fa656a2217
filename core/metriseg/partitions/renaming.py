"""New names for the labels of a side of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metriseg.arrays import Labels, as_labels, host, integer_array, of_one_type, place_in
from metriseg.partitions.label_maps import not_negative


def renamed(name: str, labels: Labels, names: Any) -> Labels:
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


def _by_mapping(name: str, labels: Labels, names: Mapping[Any, Any]) -> Labels:
    if not names:
        return labels
    old = as_labels(integer_array(name, list(names.keys())))
    new = _new_names(name, list(names.values()))
    if old.ndim != 1 or new.shape != old.shape:
        raise ValueError(f"{name} must map labels to labels, got {names!r}")
    order = np.argsort(old)
    old, new = old[order], new[order]
    places, are_named = place_in(old, labels)
    new, labels = of_one_type([new, labels])
    return np.where(are_named, new[places], labels)


def _new_names(name: str, given: Any) -> Labels:
    array = host(name, given)
    found = as_labels(integer_array(name, given) if array.size else array)
    not_negative(name, found.reshape(-1))
    return found
