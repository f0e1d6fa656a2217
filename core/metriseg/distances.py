"""Euclidean distances to the nearest pixel of a set, batched over images and classes.

On the CPU the `edt <https://pypi.org/project/edt/>`_ package does the work where it is installed
(``pip install 'metriseg[fast]'``) and SciPy where it isn't; on other devices PyTorch itself, as a
lower envelope of parabolas along one axis after the other (Felzenszwalb & Huttenlocher 2012,
doi:10.4086/toc.2012.v008a019). All give the same numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import validation

#: Values that one step of the transform on an accelerator holds at once.
STEP_VALUES = 1 << 26
#: Pixels of an image from which on edt is given several threads.
SIZE_WORTH_THREADS = 1 << 15


def distance_transform(
    mask: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The distance of every true pixel to the nearest false one, in each mask.

    Args:
        mask: ``(N, C, *S)`` bool, in one to three dimensions.
        spacing: the size of a pixel along every axis, each above zero; None for all ones.
        dtype: of the result. Whole-numbered spacing gives exact squares of distances.

    Returns:
        ``(N, C, *S)``: 0 at false pixels, and everywhere in a mask without a false pixel.

    Raises:
        ValueError: for a mask that is no bool tensor of such a shape, and for other spacings.

    >>> import torch
    >>> distance_transform(torch.tensor([[[False, True, True, True]]]))
    tensor([[[0., 1., 2., 3.]]], dtype=torch.float64)
    """
    steps = _checked(mask, spacing)
    distances: Tensor = _distances(mask, steps, dtype)
    return distances


def distance_to(
    seeds: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The distance of every pixel to the nearest seed; 0 everywhere without a seed.

    Args and shapes as in :func:`distance_transform`.
    """
    return distance_transform(~seeds, spacing, dtype=dtype)


def inside_distance(
    mask: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    valid: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Within each mask, the distance to the nearest pixel outside it; 0 outside.

    Args:
        mask: ``(N, C, *S)`` bool.
        spacing: as in :func:`distance_transform`.
        valid: ``(N, *S)`` bool: pixels that don't count are neither inside nor outside, and
            have distance 0. None counts all.
        dtype: of the result.
    """
    if valid is None:
        return distance_transform(mask, spacing, dtype=dtype)
    distances: Tensor = _inside_distances(mask, valid, _checked(mask, spacing), dtype)
    return distances


def signed_distance_map(
    target: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    valid: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The distance to each mask: positive outside, not above zero inside.

    Outside it is the distance d to the nearest pixel of the mask, inside -(d - h), d being that
    to the nearest pixel outside and h the smallest spacing (1 without one), so that the mask's
    outermost pixels have 0. A mask that is empty, or the whole image, has the map 0.

    Args:
        target: masks ``(N, C, *S)``, bool or of zeros and ones.
        spacing: as in :func:`distance_transform`.
        valid: ``(N, *S)`` bool: pixels that don't count are neither inside nor outside, and
            have the value 0. None counts all.
        dtype: of the result.

    Source: Kervadec et al. 2021, "Boundary loss for highly unbalanced segmentation",
    arXiv:1812.07032.

    >>> import torch
    >>> signed_distance_map(torch.tensor([[[0, 0, 1, 1, 1]]]))
    tensor([[[ 2.,  1.,  0., -1., -2.]]], dtype=torch.float64)
    """
    mask = target if target.dtype == torch.bool else target > 0.5
    inside, outside = _both_sides(mask, spacing, valid, dtype)
    shell = 1.0 if spacing is None else min(spacing)
    return torch.where(inside > 0, shell - inside, outside)


def distance_field(
    mask: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    valid: Tensor | None = None,
    exponent: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The distance of every pixel to the other side of each mask's edge, to a power.

    Within a mask it is the distance to the nearest pixel outside, outside that to the nearest
    pixel of the mask. A mask that is empty, or the whole image, has the field 0.

    Args:
        mask: ``(N, C, *S)`` bool.
        spacing: as in :func:`distance_transform`.
        valid: ``(N, *S)`` bool: pixels that don't count are neither inside nor outside, and
            have the value 0. None counts all.
        exponent: above zero; 2 costs less than any other.
        dtype: of the result.

    Source: Karimi & Salcudean 2020, "Reducing the Hausdorff distance in medical image
    segmentation with convolutional neural networks", arXiv:1904.10030.

    >>> import torch
    >>> distance_field(torch.tensor([[[False, False, True, True, True]]]))
    tensor([[[2., 1., 1., 2., 3.]]], dtype=torch.float64)
    """
    steps = _checked(mask, spacing)
    validation.number("exponent", exponent, low=0.0, open_low=True)
    if valid is None:
        field: Tensor = _fields(mask, steps, exponent, dtype)
        return field
    inside, outside = _both_sides(mask, spacing, valid, dtype)
    return (inside + outside).pow_(exponent)


def _both_sides(
    mask: Tensor, spacing: Sequence[float] | None, valid: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Distances within each mask to its outside, and outside it to the mask, each 0 elsewhere."""
    inside = inside_distance(mask, spacing, valid=valid, dtype=dtype)
    if valid is None:
        return inside, distance_to(mask, spacing, dtype=dtype)
    counted = valid.unsqueeze(1)
    outside = distance_to(mask & counted, spacing, dtype=dtype)
    return inside, torch.where(counted & ~mask, outside, 0.0)


def label_distance_transform(
    labels: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    valid: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The distance of every pixel to the nearest pixel with another label.

    Args:
        labels: ``(N, *S)`` integers.
        spacing: as in :func:`distance_transform`.
        valid: ``(N, *S)`` bool: pixels that don't count have no label, and distance 0. None
            counts all.
        dtype: of the result.

    Returns:
        ``(N, *S)``; 0 everywhere in an image with one label.

    >>> import torch
    >>> label_distance_transform(torch.tensor([[7, 7, 7, 2, 2]]))
    tensor([[3., 2., 1., 1., 2.]], dtype=torch.float64)
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        raise ValueError("labels must be an integer tensor of shape (N, *S)")
    steps = _checked(labels.unsqueeze(1), spacing, name="labels")
    distances: Tensor = _label_distances(labels, valid, steps, dtype)
    return distances


def _checked(mask: Tensor, spacing: Sequence[float] | None, name: str = "mask") -> list[float]:
    if not isinstance(mask, Tensor) or (name == "mask" and mask.dtype != torch.bool):
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{name} must be a bool tensor of shape (N, C, *S), got {found}")
    dimensions = mask.ndim - 2
    if not 1 <= dimensions <= 3:
        raise ValueError(
            f"{name} must have one to three spatial dimensions, got shape {tuple(mask.shape)}"
        )
    steps = validation.spacing(spacing)
    if steps is None:
        return [1.0] * dimensions
    if len(steps) != dimensions:
        raise ValueError(
            f"spacing must have a number for each of the {dimensions} spatial axes, got {spacing!r}"
        )
    return list(steps)


@torch.library.custom_op(
    "metriseg::distances",
    mutates_args=(),
    schema="(Tensor mask, float[] steps, ScalarType dtype) -> Tensor",
)
def _distances(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    """An operator of its own, so that compiled losses need not look inside."""
    return _of_masks(mask, steps, dtype)


@_distances.register_fake
def _(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    return mask.new_empty(mask.shape, dtype=dtype)


@torch.library.custom_op(
    "metriseg::inside_distances",
    mutates_args=(),
    schema="(Tensor mask, Tensor valid, float[] steps, ScalarType dtype) -> Tensor",
)
def _inside_distances(
    mask: Tensor, valid: Tensor, steps: list[float], dtype: torch.dtype
) -> Tensor:
    counted = valid.unsqueeze(1)
    own = mask & counted
    if own.device.type == "cpu":
        found = _of_labels(own, valid, steps, dtype)
        if found is not None:
            return found
    # an empty mask has no pixel to measure from: without a false pixel it costs nothing
    some = own.flatten(2).any(2).view(*own.shape[:2], *(1,) * (own.ndim - 2))
    distances = _of_masks(~(counted & ~mask & some), steps, dtype)
    return torch.where(own, distances, 0.0)


@_inside_distances.register_fake
def _(mask: Tensor, valid: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    return mask.new_empty(mask.shape, dtype=dtype)


@torch.library.custom_op(
    "metriseg::distance_fields",
    mutates_args=(),
    schema="(Tensor mask, float[] steps, float exponent, ScalarType dtype) -> Tensor",
)
def _fields(mask: Tensor, steps: list[float], exponent: float, dtype: torch.dtype) -> Tensor:
    if mask.device.type != "cpu":
        squared = _envelopes(mask, steps).add_(_envelopes(~mask, steps))
    else:
        squared = _squared_fields(mask, steps, _root_dtype(dtype))
    return (squared if exponent == 2 else squared.pow_(exponent / 2)).to(dtype)


@_fields.register_fake
def _(mask: Tensor, steps: list[float], exponent: float, dtype: torch.dtype) -> Tensor:
    return mask.new_empty(mask.shape, dtype=dtype)


@torch.library.custom_op(
    "metriseg::label_distances",
    mutates_args=(),
    schema="(Tensor labels, Tensor? valid, float[] steps, ScalarType dtype) -> Tensor",
)
def _label_distances(
    labels: Tensor, valid: Tensor | None, steps: list[float], dtype: torch.dtype
) -> Tensor:
    if labels.device.type == "cpu" or labels.numel() == 0:
        return _within_labels(labels, valid, steps).to(dtype)
    if valid is None:
        return _label_envelopes(labels, steps).sqrt_().to(dtype)
    found, numbered = torch.unique(labels, return_inverse=True)
    numbers = torch.arange(len(found), device=labels.device)
    own = numbered.unsqueeze(1) == numbers.view(-1, *(1,) * (labels.ndim - 1))
    squared = torch.where(own, _envelopes(own | ~valid.unsqueeze(1), steps), 0.0).sum(1)
    return torch.where(valid, squared, 0.0).sqrt_().to(dtype)


@_label_distances.register_fake
def _(labels: Tensor, valid: Tensor | None, steps: list[float], dtype: torch.dtype) -> Tensor:
    return labels.new_empty(labels.shape, dtype=dtype)


def _of_masks(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    if mask.numel() == 0:
        return mask.new_zeros(mask.shape, dtype=dtype)
    if mask.device.type != "cpu":
        return _envelopes(mask, steps).sqrt_().to(dtype)
    found = _of_labels(mask, None, steps, dtype)
    if found is not None:
        return found
    result = torch.zeros(mask.shape, dtype=_root_dtype(dtype))
    planes, distances = mask.numpy(), result.numpy()
    for index in np.ndindex(*mask.shape[:2]):
        plane = planes[index]
        if plane.any() and not plane.all():
            np.sqrt(_squared_of_one(plane, steps), out=distances[index], dtype=distances.dtype)
    return result.to(dtype)


def _squared_fields(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    """Of the two distances of a pixel to both sides one is 0, so both have room in one tensor."""
    result = torch.zeros(mask.shape, dtype=dtype)
    planes, squared = mask.numpy(), result.numpy()
    labels = _as_labels(mask) if _edt() is not None and mask.shape[1] > 1 else None
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


def _of_labels(
    mask: Tensor, valid: Tensor | None, steps: list[float], dtype: torch.dtype
) -> Tensor | None:
    """In one pass, where no pixel is in several masks; None where that isn't so.

    Inside each class, the nearest pixel of another class, or of none, is the nearest one outside.
    """
    if _edt() is None or mask.shape[1] < 2:
        return None
    labels = _as_labels(mask)
    if labels is None:
        return None
    result = torch.zeros(mask.shape, dtype=_root_dtype(dtype))
    _add_within(result, labels, _within_labels(labels, valid, steps))
    return result.to(dtype)


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


def _root_dtype(dtype: torch.dtype) -> torch.dtype:
    """What roots are taken in: NumPy knows no bfloat16."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float64


def _exact(tensor: Tensor) -> torch.dtype:
    """Double precision, where the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


@functools.cache
def _edt() -> ModuleType | None:
    """The package edt, if it is installed."""
    try:
        import edt
    except ImportError:
        return None
    module: ModuleType = edt
    return module


def _squared_of_one(plane: NDArray[np.bool_], steps: list[float]) -> NDArray[Any]:
    """Of one mask with true and false pixels."""
    edt = _edt()
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


def _within_labels(labels: Tensor, valid: Tensor | None, steps: list[float]) -> Tensor:
    """``(N, *S)``: distances to the nearest other label, on the CPU."""
    return torch.from_numpy(np.sqrt(_squared_within_labels(labels, valid, steps).numpy()))


def _squared_within_labels(labels: Tensor, valid: Tensor | None, steps: list[float]) -> Tensor:
    squared = np.zeros(tuple(labels.shape))
    edt = _edt()
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


def _envelopes(mask: Tensor, steps: list[float]) -> Tensor:
    """Squared distances on any device, one axis after the other."""
    exact = _exact(mask)
    squared = _along_last_axis(mask, steps[-1], exact)
    for axis in range(2, mask.ndim - 1):
        lines = squared.movedim(axis, -1)
        squared = _lower_envelope(lines, steps[axis - 2]).movedim(-1, axis)
    return torch.where(torch.isinf(squared), 0.0, squared)


def _along_last_axis(mask: Tensor, step: float, dtype: torch.dtype) -> Tensor:
    """Squared distances to the nearest false pixel of the same line; infinite without one."""
    places = torch.arange(mask.shape[-1], device=mask.device, dtype=dtype)
    before = torch.where(mask, -math.inf, places).cummax(-1).values
    behind = torch.where(mask, math.inf, places).flip(-1).cummin(-1).values.flip(-1)
    return (torch.minimum(places - before, behind - places) * step) ** 2


def _lower_envelope(squared: Tensor, step: float, labels: Tensor | None = None) -> Tensor:
    """min over j of (squared[j] + (step (i - j))^2) along the last axis, for every i.

    With labels, squared[j] counts as 0 where i and j have different ones.
    """
    length = squared.shape[-1]
    places = torch.arange(length, device=squared.device, dtype=squared.dtype) * step
    parabolas = (places.unsqueeze(1) - places) ** 2
    lines = squared.reshape(-1, length)
    line_labels = None if labels is None else labels.reshape(-1, length)
    result = torch.empty_like(lines)
    rows = max(1, STEP_VALUES // max(length * length, 1))
    for start in range(0, len(lines), rows):
        part = lines[start : start + rows].unsqueeze(1)
        if line_labels is not None:
            seen = line_labels[start : start + rows]
            part = torch.where(seen.unsqueeze(2) == seen.unsqueeze(1), part, 0.0)
        result[start : start + rows] = (part + parabolas).amin(2)
    return result.view(squared.shape)


def _label_envelopes(labels: Tensor, steps: list[float]) -> Tensor:
    """Squared distances ``(N, *S)`` to the nearest other label, on any device.

    The same lower envelopes: seen from a pixel, a pixel of its own label on another line is as
    far from the nearest other label as that line's distances say, any other is one itself.
    """
    squared = _along_last_axis_of_labels(labels, steps[-1])
    for axis in range(1, labels.ndim - 1):
        lines = _lower_envelope(
            squared.movedim(axis, -1), steps[axis - 1], labels.movedim(axis, -1)
        )
        squared = lines.movedim(-1, axis)
    return torch.where(torch.isinf(squared), 0.0, squared)


def _along_last_axis_of_labels(labels: Tensor, step: float) -> Tensor:
    length, exact = labels.shape[-1], _exact(labels)
    places = torch.arange(length, device=labels.device, dtype=exact)
    changes = labels[..., 1:] != labels[..., :-1]
    # the last pixel of the run before, the first pixel of the run behind
    before = nnf.pad(torch.where(changes, places[:-1], -math.inf), (1, 0), value=-math.inf)
    behind = nnf.pad(torch.where(changes, places[1:], math.inf), (0, 1), value=math.inf)
    before = before.cummax(-1).values
    behind = behind.flip(-1).cummin(-1).values.flip(-1)
    return (torch.minimum(places - before, behind - places) * step) ** 2
