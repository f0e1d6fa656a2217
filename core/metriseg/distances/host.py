"""In host memory: by the package edt, or by SciPy."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

#: Pixels of an image from which on edt is given several threads.
SIZE_WORTH_THREADS = 1 << 15


def of_masks(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    """Distances within each mask to its nearest false pixel."""
    found = of_labels(mask, None, steps, dtype)
    if found is not None:
        return found
    result = torch.zeros(mask.shape, dtype=root_dtype(dtype))
    planes, distances = mask.numpy(), result.numpy()
    for index in np.ndindex(*mask.shape[:2]):
        plane = planes[index]
        if plane.any() and not plane.all():
            np.sqrt(_squared_of_one(plane, steps), out=distances[index], dtype=distances.dtype)
    return result.to(dtype)


def of_labels(
    mask: Tensor, valid: Tensor | None, steps: list[float], dtype: torch.dtype
) -> Tensor | None:
    """In one pass, where no pixel is in several masks; None where that isn't so.

    Inside each class, the nearest pixel of another class, or of none, is the nearest one outside.
    """
    if edt_package() is None or mask.shape[1] < 2:
        return None
    labels = _as_labels(mask)
    if labels is None:
        return None
    result = torch.zeros(mask.shape, dtype=root_dtype(dtype))
    _add_within(result, labels, within_labels(labels, valid, steps))
    return result.to(dtype)


def nearest(mask: Tensor, steps: list[float]) -> Tensor:
    """Of every pixel the place of the nearest true pixel of its mask, 0 where there is none."""
    result = torch.zeros(mask.shape, dtype=torch.int64)
    planes, places = mask.numpy(), result.numpy()
    for index in np.ndindex(*mask.shape[:2]):
        plane = planes[index]
        if plane.any():
            # of several SciPy takes the first where the last axis goes slowest: here that is the
            # image's first
            found = ndimage.distance_transform_edt(
                ~plane.T, sampling=steps[::-1], return_distances=False, return_indices=True
            )
            places[index] = np.ravel_multi_index(tuple(found[::-1]), plane.shape).T
    return result


def squared_fields(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    """Of the two distances of a pixel to both sides one is 0, so both have room in one tensor."""
    result = torch.zeros(mask.shape, dtype=dtype)
    planes, squared = mask.numpy(), result.numpy()
    labels = _as_labels(mask) if edt_package() is not None and mask.shape[1] > 1 else None
    for index in np.ndindex(*mask.shape[:2]):
        plane = planes[index]
        if plane.any() and not plane.all():
            squared[index] = _squared_of_one(~plane, steps)
            if labels is None:
                squared[index] += _squared_of_one(plane, steps)
    if labels is not None:
        _add_within(result, labels, _squared_within_labels(labels, None, steps))
    return result


def _add_within(result: Tensor, labels: Tensor, within: Tensor) -> None:
    """Add what is known within each label to the channel of that label, if it has one."""
    in_one = labels < result.shape[1]
    own = torch.where(in_one, labels, 0).unsqueeze(1)
    result.scatter_add_(1, own, torch.where(in_one, within, 0.0).to(result.dtype).unsqueeze(1))


def _as_labels(mask: Tensor) -> Tensor | None:
    """``(N, *S)`` where no pixel is in several masks (C where it is in none), else None."""
    planes, classes = mask.numpy(), mask.shape[1]
    inside = np.count_nonzero(planes)
    if inside > planes[:, 0].size or inside > np.count_nonzero(planes.any(1)):
        return None
    labels = np.full(planes[:, 0].shape, classes, dtype=np.min_scalar_type(classes))
    for number in range(classes):
        labels -= planes[:, number].view(np.uint8) * labels.dtype.type(classes - number)
    return torch.from_numpy(labels.astype(np.int64))


def root_dtype(dtype: torch.dtype) -> torch.dtype:
    """What roots are taken in: NumPy knows no bfloat16."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float64


@functools.cache
def edt_package() -> ModuleType | None:
    """The package edt, if it is installed."""
    try:
        import edt
    except ImportError:
        return None
    module: ModuleType = edt
    return module


def _squared_of_one(plane: NDArray[np.bool_], steps: list[float]) -> NDArray[Any]:
    """Of one mask with true and false pixels."""
    edt = edt_package()
    if edt is not None:
        return _by_edt(edt, plane, steps)
    (box,) = ndimage.find_objects(plane.astype(np.int8))
    room = _with_a_margin(box)
    squared = np.zeros(plane.shape)
    squared[room] = _by_scipy(plane[room], steps)
    return squared


def _with_a_margin(box: tuple[slice, ...]) -> tuple[slice, ...]:
    """The nearest pixel outside a region touches it: it lies in its box, or one beyond."""
    return tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)


def _by_scipy(plane: NDArray[np.bool_], steps: list[float]) -> NDArray[Any]:
    """From where the nearest false pixel is: whole squares without a root in between."""
    nearest = ndimage.distance_transform_edt(
        plane, sampling=steps, return_distances=False, return_indices=True
    )
    largest = sum((side * step) ** 2 for side, step in zip(plane.shape, steps, strict=True))
    whole = largest < 2**31 and all(step.is_integer() for step in steps)
    squared = np.zeros(plane.shape, dtype=np.int32 if whole else np.float64)
    for axis, (places, step) in enumerate(zip(nearest, steps, strict=True)):
        own = np.arange(plane.shape[axis], dtype=np.int32).reshape(
            -1, *(1,) * (plane.ndim - 1 - axis)
        )
        away = ((places - own) * (int(step) if whole else step)).astype(squared.dtype, copy=False)
        squared += away * away
    return squared


def _by_edt(edt: ModuleType, labels: NDArray[Any], steps: list[float]) -> NDArray[np.float32]:
    anisotropy = steps[0] if labels.ndim == 1 else tuple(steps)
    threads = torch.get_num_threads() if labels.size >= SIZE_WORTH_THREADS else 1
    squared: NDArray[np.float32] = edt.edtsq(
        labels, anisotropy=anisotropy, black_border=False, parallel=threads
    )
    return squared


def within_labels(labels: Tensor, valid: Tensor | None, steps: list[float]) -> Tensor:
    """``(N, *S)``: distances to the nearest other label, on the CPU."""
    return torch.from_numpy(np.sqrt(_squared_within_labels(labels, valid, steps).numpy()))


def _squared_within_labels(labels: Tensor, valid: Tensor | None, steps: list[float]) -> Tensor:
    squared = np.zeros(tuple(labels.shape))
    edt = edt_package()
    for number, image in enumerate(labels.numpy()):
        counted = None if valid is None else valid[number].numpy()
        seen = image if counted is None else image[counted]
        if seen.size == 0 or (seen == seen.flat[0]).all():
            continue
        # from 1 on: 0 is what doesn't count
        numbered = image.astype(np.int64) - (int(seen.min()) - 1)
        if counted is not None:
            numbered = np.where(counted, numbered, 0)
        if edt is not None:
            squared[number] = _by_edt(edt, numbered, steps)
        else:
            squared[number] = _region_by_region(numbered, steps)
        for found in _beside_what_is_ignored(numbered):
            own = numbered == found
            squared[number][own] = _squared_of_one(own | (numbered == 0), steps)[own]
    return torch.from_numpy(squared)


def _region_by_region(labels: NDArray[Any], steps: list[float]) -> NDArray[Any]:
    """Squared distances to the nearest pixel of another label, 0 where the label is 0."""
    squared = np.zeros(labels.shape)
    found, numbers = np.unique(labels, return_inverse=True)
    numbered = numbers.reshape(labels.shape) + bool(found[0] != 0)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        room = _with_a_margin(box)
        own = numbered[room] == number
        squared[room][own] = _by_scipy(own, steps)[own]
    return squared


def _beside_what_is_ignored(labels: NDArray[Any]) -> NDArray[Any]:
    """The labels with a pixel beside one of label 0: to others none of these is the nearest."""
    beside = [labels[:0].ravel()]
    for axis in range(labels.ndim if (labels == 0).any() else 0):
        along = np.moveaxis(labels, axis, 0)
        before, behind = along[:-1], along[1:]
        beside += [before[behind == 0], behind[before == 0]]
    found = np.unique(np.concatenate(beside))
    return found[found > 0]
