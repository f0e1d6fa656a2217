"""Label maps as they come: checked, and with small names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import Labels, as_labels, host, integer_array, is_tensor


def label_array(name: str, labels: Any) -> NDArray[Any]:
    """As a NumPy array that may be a label map."""
    if of_zarr(labels) and not hasattr(labels, "dtype"):
        raise ValueError(
            f"{name} must hold integer labels, got a Zarr group: give one of its arrays"
        )
    array = labels if is_tensor(labels) else host(name, labels)
    at_least_one(name, array.shape)
    return integer_array(name, labels if isinstance(labels, (list, tuple)) else array)


def check_labels(name: str, labels: Any) -> None:
    """Raise for an array, of whatever kind, that can't be a label map."""
    at_least_one(name, labels.shape)
    if labels.dtype.kind not in "biu":
        raise ValueError(f"{name} must hold integer labels, got dtype {labels.dtype}")


def at_least_one(name: str, shape: tuple[int, ...]) -> None:
    """Raise for a map of no pixels."""
    if 0 in shape:
        raise ValueError(f"{name} must hold at least one pixel, got shape {tuple(shape)}")


def same_shape(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """Raise for maps of different pixels."""
    if x != y:
        raise ValueError(f"y must have the shape of x, {tuple(x)}, got {tuple(y)}")


def not_negative(name: str, labels: Labels) -> None:
    """Raise for a negative label, once those that are ignored are gone."""
    if len(labels) and int(labels.min()) < 0:
        raise ValueError(
            f"{name} must hold labels that are not negative (or ignored), got {int(labels.min())}"
        )


def relabelled(name: str, labels: Any) -> NDArray[Any]:
    """The same partition with labels 0, 1, … in their order, in the smallest type that holds them.

    Raises:
        ValueError: for labels that are no integers or negative, or no pixels.
    """
    array = label_array(name, labels)
    flat = array.reshape(-1)
    heads = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    seen = as_labels(flat[heads])
    if int(seen.min()) < 0:
        raise ValueError(f"{name} must hold labels that are not negative, got {int(seen.min())}")
    names, index = np.unique(seen, return_inverse=True)
    small = index.reshape(-1).astype(np.min_scalar_type(len(names) - 1))
    return np.repeat(small, np.diff(heads, append=flat.size)).reshape(array.shape)


def of_zarr(values: Any) -> bool:
    """Whether this is an array or a group of Zarr; told without importing Zarr."""
    return type(values).__module__.partition(".")[0] == "zarr"
