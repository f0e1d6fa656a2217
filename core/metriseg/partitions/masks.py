"""Which pixels of a label map count when it is compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.partitions.label_maps import label_array

__all__ = ["boundary_mask"]


def boundary_mask(
    labels: Any,
    width: float,
    *,
    spacing: Sequence[float] | None = None,
    axis: int | None = None,
) -> NDArray[np.bool_]:
    r"""The pixels that are further than a distance from the boundaries between labels.

    .. math:: m(u) = \Bigl[\, \min_{v \in B} \lVert u - v \rVert > w \,\Bigr]

    with the boundary B of the pixels that have another label beside them along an axis. Where a
    boundary truly runs is known to a pixel or two at best: so the true map's are left out, as
    ``contingency_table(truth, found, mask=boundary_mask(truth, 2))``.

    Args:
        labels: integer label map ``(*S)``: NumPy array or tensor.
        width: w, at least 0, in pixels, or in the unit of ``spacing``. 0 leaves out the boundary
            itself, a pixel on each of its sides.
        spacing: the size of a pixel along every axis, each above 0; None for all ones.
        axis: along which sections stand that are looked at one by one, with no boundary between
            them: CREMI's way, whose sections are 40 nm apart and 4 nm fine, has ``axis=0``. None
            for the volume as one.

    Returns:
        ``(*S)`` bool: True where a pixel counts; everywhere where there is one label.

    Raises:
        ValueError: for what is no label map, or another bad argument.

    Source: CREMI, the MICCAI challenge on circuit reconstruction from electron microscopy images,
    2016, cremi.org (whose evaluation leaves out what is within 25 nm of a boundary in its section).

    >>> boundary_mask([7, 7, 7, 7, 2, 2, 2], 1).astype(int)
    array([1, 1, 0, 0, 0, 0, 1])
    >>> boundary_mask([[7, 7, 7], [2, 2, 2]], 0, axis=0).all()
    np.True_
    """
    array = label_array("labels", labels)
    reach = arguments.number("width", width, low=0.0)
    steps = checked_spacing(spacing, array.ndim)
    if axis is None:
        return _far_from_boundaries(array, reach, steps)
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise ValueError(f"axis must be an axis of labels or None, got {axis!r}")
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"axis must be one of the {array.ndim} of labels, got {axis}")
    along = int(axis) % array.ndim
    counts = np.empty(array.shape, np.bool_)
    within = [step for place, step in enumerate(steps) if place != along]
    for section, of_section in zip(
        np.moveaxis(array, along, 0), np.moveaxis(counts, along, 0), strict=True
    ):
        of_section[...] = _far_from_boundaries(section, reach, within)
    return counts


def _far_from_boundaries(
    labels: NDArray[Any], width: float, spacing: Sequence[float]
) -> NDArray[np.bool_]:
    from scipy.ndimage import distance_transform_edt

    boundary = np.zeros(labels.shape, np.bool_)
    for axis in range(labels.ndim):
        seen, marked = np.moveaxis(labels, axis, 0), np.moveaxis(boundary, axis, 0)
        differs = seen[1:] != seen[:-1]
        marked[1:] |= differs
        marked[:-1] |= differs
    if width == 0 or not boundary.any():
        return ~boundary
    far: NDArray[np.bool_] = distance_transform_edt(~boundary, sampling=spacing) > width
    return far


def checked_spacing(given: Sequence[float] | None, dimensions: int) -> list[float]:
    """The size of a pixel along every axis."""
    if given is None:
        return [1.0] * dimensions
    if isinstance(given, str) or not hasattr(given, "__len__") or len(given) != dimensions:
        raise ValueError(f"spacing must be {dimensions} numbers, one an axis, got {given!r}")
    return [
        arguments.number(f"spacing[{place}]", step, low=0.0, open_low=True)
        for place, step in enumerate(given)
    ]
