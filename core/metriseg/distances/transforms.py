"""The transforms, as they are called: arguments, their checks, and examples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metriseg import validation
from metriseg.distances import host, operators

__all__ = [
    "distance_field",
    "distance_to",
    "distance_transform",
    "inside_distance",
    "label_distance_transform",
    "nearest_pixel",
    "signed_distance_map",
]


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
    distances: Tensor = operators.distances(mask, steps, dtype)
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
    distances: Tensor = operators.inside_distances(mask, valid, _checked(mask, spacing), dtype)
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
    to the nearest pixel outside and h the smallest spacing (1 without one), so that a pixel that is
    h from outside has 0: with equal spacings every outermost pixel of the mask, else those along
    the finest axis. A mask that is empty, or the whole image, has the map 0.

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
        field: Tensor = operators.fields(mask, steps, exponent, dtype)
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
    distances: Tensor = operators.label_distances(labels, valid, steps, dtype)
    return distances


def nearest_pixel(mask: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Which true pixel of its mask is nearest to a pixel, found on the CPU.

    Args:
        mask: ``(N, C, *S)`` bool, in one to three dimensions.
        spacing: as in :func:`distance_transform`.

    Returns:
        ``(N, C, *S)`` int64, places in the flattened image: of several that are as near, the first
        (as far as sums of squares of their distances are exact); 0 in a mask without a true pixel.

    >>> import torch
    >>> nearest_pixel(torch.tensor([[[False, True, False, True]]]))
    tensor([[[1, 1, 1, 3]]])
    """
    return host.nearest(mask.cpu(), _checked(mask, spacing)).to(mask.device)


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
