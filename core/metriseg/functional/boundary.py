"""Distances to the boundary of a truth, and what is made of them.

Maps are made of masks ``(N, C, *S)`` and have their shape. In all of them a pixel where ``valid``,
``(N, *S)`` bool, is false is neither inside nor outside a mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metriseg.distances import distance_to, inside_distance, label_distance_transform
from metriseg.neighbours import inner_boundary, shifted
from metriseg.offsets import axis_neighbours
from metriseg.statistics import RegionStatistics, sums_by_label

__all__ = [
    "boundary_share",
    "contour_length",
    "decode_truncated_distance",
    "difference_over_union",
    "distance_penalty",
    "false_mass",
    "label_boundary_share",
    "rectified_region_map",
    "region_wise",
    "reversed_distance_map",
    "truncated_distance_map",
]

#: By how much a distance may exceed a whole number and still be that number, relatively: the
#: rounding of single-precision squares.
ROUNDING = 1e-6


def reversed_distance_map(
    masks: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    normalize: bool = True,
    valid: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Within each mask, a number that grows toward its boundary; 0 outside.

    With d the distance to the nearest pixel outside and D the largest of the mask, D - d; or,
    normalized, 1 - (d - h) / (D - h) with the smallest spacing h: 1 beside the boundary, 0 where
    the mask is deepest, and 1 everywhere in a mask that is nowhere deeper than h. A mask that is
    the whole image has no boundary, and 0.

    Caliva et al. 2019, arXiv:1908.03679.

    >>> import torch
    >>> reversed_distance_map(torch.tensor([[[False, True, True, True]]]))
    tensor([[[0.0000, 1.0000, 0.5000, 0.0000]]], dtype=torch.float64)
    """
    distance = inside_distance(masks, spacing, valid=valid, dtype=dtype)
    deepest = _largest(distance)
    if not normalize:
        return torch.where(distance > 0, deepest - distance, 0.0)
    shell = 1.0 if spacing is None else min(spacing)
    depth = deepest - shell
    flat = depth <= ROUNDING * shell
    share = torch.where(flat, 0.0, (distance - shell) / torch.where(flat, 1.0, depth))
    return torch.where(distance > 0, 1 - share, 0.0)


def distance_penalty(
    masks: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    exclusive: bool,
    normalize: bool = True,
    valid: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The reversed distance of every pixel within its class, of foreground and background apart.

    ``(N, C, *S)``; with exclusive masks ``(N, 1, *S)``, that within the class which a pixel has.
    """

    def within(these: Tensor) -> Tensor:
        return reversed_distance_map(these, spacing, normalize=normalize, valid=valid, dtype=dtype)

    inside = within(masks)
    return inside.sum(1, keepdim=True) if exclusive else inside + within(~masks)


def rectified_region_map(
    masks: Tensor,
    spacing: Sequence[float] | None = None,
    *,
    valid: Tensor | None = None,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """-d / D within each mask, 1 elsewhere, 0 where nothing is valid.

    d is the distance to the nearest pixel outside and D the largest of the mask. A mask that is
    the whole image has no boundary, and 0. Valverde & Tohka 2023, arXiv:2108.01405.

    >>> import torch
    >>> rectified_region_map(torch.tensor([[[False, True, True]]]))
    tensor([[[ 1.0000, -0.5000, -1.0000]]], dtype=torch.float64)
    """
    distance = inside_distance(masks, spacing, valid=valid, dtype=dtype)
    deepest = _largest(distance)
    inside = -distance / torch.where(deepest > 0, deepest, 1.0)
    found = torch.where(masks, inside, 1.0)
    return found if valid is None else torch.where(valid.unsqueeze(1), found, 0.0)


def region_wise(probabilities: Tensor, region_map: Tensor) -> Tensor:
    """z_c p_c, (N, C, *S): linear in the prediction, whatever the map.

    With signed distances it is the boundary loss (Kervadec et al. 2021, arXiv:1812.07032), with
    any other map the region-wise loss (Valverde & Tohka 2023, arXiv:2108.01405).
    """
    return region_map * probabilities


def boundary_share(masks: Tensor, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The share of each mask's pixels that stand on its boundary, (N, C); 1/2 of an empty mask.

    On the boundary are those with a neighbour along an axis that is outside the mask or beyond
    the image. A pixel of weight 0 is no neighbour; the others count by their weight, (N, *S).

    >>> import torch
    >>> boundary_share(torch.ones(1, 1, 4, 4, dtype=torch.bool), None, torch.float32)
    tensor([[0.7500]])
    """
    if weight is None:
        edge = inner_boundary(masks).flatten(2).sum(2).to(dtype)
        area = masks.flatten(2).sum(2).to(dtype)
    else:
        counted = (weight > 0).unsqueeze(1)
        mass = weight.to(dtype).unsqueeze(1)
        masks = masks & counted
        edges = masks & inner_boundary(masks | ~counted)
        edge = torch.where(edges, mass, 0.0).flatten(2).sum(2)
        area = torch.where(masks, mass, 0.0).flatten(2).sum(2)
    return torch.where(area > 0, edge / torch.where(area > 0, area, 1.0), 0.5)


def label_boundary_share(
    labels: Tensor, num_classes: int, weight: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """:func:`boundary_share` of the classes of a label map ``(N, *S)``, (N, num_classes).

    >>> import torch
    >>> label_boundary_share(torch.tensor([[0, 0, 0, 1]]), 2, None, torch.float32)
    tensor([[0.6667, 1.0000]])
    """
    counted = torch.ones_like(labels, dtype=torch.bool) if weight is None else weight > 0
    interior = counted
    # small numbers are compared faster
    names = labels.to(torch.int16) if num_classes < 1 << 15 else labels
    for offset in axis_neighbours(labels.ndim - 1):
        # beyond the image stands no class
        alike = shifted(names, offset, fill=-1) == names
        if weight is not None:
            alike = alike | ~shifted(counted, offset, fill=1.0)
        interior = interior & alike
    mass = counted.to(dtype) if weight is None else weight.to(dtype)
    flat = labels.flatten(1).unsqueeze(1)
    edges = torch.where(interior, 0.0, mass).flatten(1).unsqueeze(1)
    edge = sums_by_label(edges, flat, num_classes)
    area = sums_by_label(mass.flatten(1).unsqueeze(1), flat, num_classes)
    there = area > 0
    return torch.where(there, edge / torch.where(there, area, 1.0), 0.5).to(dtype)


def difference_over_union(
    s: RegionStatistics, alpha: Tensor | float, smooth: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """(Z + Y - 2 I) / (Z + Y - (1 + alpha) I), (G, C), with squared cardinalities Z and Y.

    alpha = -1 gives the Dice loss of squares, 0 the Jaccard loss of squares. A class that is
    neither there nor predicted has 0 where nothing is added. Sun et al. 2023, arXiv:2308.00220.

    Args:
        s: statistics with the moments 1 and 2.
        alpha: below 1, one number or (G, C).
        smooth: added to the numerator and to the denominator.
    """
    both, overlap = s.predicted[2.0] + s.target[2.0], s.overlap[1.0]
    denominator = both - (1 + alpha) * overlap + smooth[1]
    empty = denominator == 0
    ratio = (both - 2 * overlap + smooth[0]) / torch.where(empty, 1.0, denominator)
    return torch.where(empty, 0.0, ratio)


def truncated_distance_map(
    objects: Tensor,
    bins: int,
    spacing: Sequence[float] | None = None,
    *,
    valid: Tensor | None = None,
) -> Tensor:
    """min(ceil(d), bins - 1) with d the distance to the nearest pixel not of the object.

    Args:
        objects: ``(N, *S)`` integers, a number each object; 0 is none, and has distance 0.
        bins: how many values the result may have, two or more.
        spacing: the size of a pixel along every axis; None for all ones.
        valid: ``(N, *S)`` bool; where it is false the result is 0.

    Returns:
        ``(N, *S)`` int64. An object that is the whole image is nowhere near its end: bins - 1.

    Source: Hayder et al. 2017, "Boundary-aware instance segmentation", arXiv:1612.03129, with the
    distance taken to the background, so that no pixel of an object has distance 0.

    >>> import torch
    >>> truncated_distance_map(torch.tensor([[0, 1, 1, 1, 1, 2]]), bins=3)
    tensor([[0, 1, 2, 2, 1, 1]])
    """
    if bins < 2:
        raise ValueError(f"bins must be 2 or more, got {bins}")
    distance = label_distance_transform(objects, spacing, valid=valid)
    whole = (distance * (1 - ROUNDING)).ceil().clamp(max=bins - 1).long()
    whole = torch.where(distance > 0, whole, bins - 1)
    there = objects != 0 if valid is None else (objects != 0) & valid
    return torch.where(there, whole, 0)


def decode_truncated_distance(bins: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Masks out of predicted distances: the union of the disks that surely lie within.

    A pixel in bin k is farther than k - 1 from the nearest pixel outside its object, so the disk
    of radius k - 1 around it belongs to the object; bin 0 is background. The bins of
    :func:`truncated_distance_map` give back exactly the pixels that are in some object, and where
    pixels within are missed, disks around others cover them.

    Args:
        bins: ``(N, K, *S)``: a logit or probability for each of K bins; the largest counts.
        spacing: the size of a pixel along every axis; None for all ones.

    Returns:
        ``(N, *S)`` bool.

    Source: Hayder et al. 2017, "Boundary-aware instance segmentation", arXiv:1612.03129.

    >>> import torch
    >>> bins = torch.tensor([[0, 0, 2, 0, 0, 0]])                     # one pixel, two from the end
    >>> decode_truncated_distance(torch.nn.functional.one_hot(bins, 3).movedim(-1, 1))
    tensor([[False,  True,  True,  True, False, False]])
    """
    found = bins.argmax(1, keepdim=True)
    radii = torch.arange(bins.shape[1] - 1, device=bins.device)
    radii = radii.view(-1, *(1,) * (bins.ndim - 2))
    # disks of every radius around the pixels whose own is as large
    seeds = found > radii
    distances = distance_to(seeds, spacing)
    some = seeds.flatten(2).any(2).view(*seeds.shape[:2], *(1,) * (bins.ndim - 2))
    return (some & (distances * (1 - ROUNDING) <= radii)).any(1)


def contour_length(
    probabilities: Tensor, eps: float = 1e-8, *, valid: Tensor | None = None
) -> Tensor:
    """sqrt(sum over axes of (difference to the next pixel)^2 + eps), (N, C, *S).

    The total variation, a pixel each. A difference to a pixel beyond the image, or to one that
    doesn't count, is 0.

    >>> import torch
    >>> contour_length(torch.tensor([[[0., 1., 1.]]]), eps=1e-12)
    tensor([[[1.0000e+00, 1.0000e-06, 1.0000e-06]]])
    """
    dimensions = probabilities.ndim - 2
    squares = torch.full_like(probabilities, eps)
    everywhere = probabilities.new_ones(1, 1, *probabilities.shape[2:])
    counted = everywhere if valid is None else valid.unsqueeze(1).to(probabilities.dtype)
    for axis in range(dimensions):
        ahead = tuple(int(other == axis) for other in range(dimensions))
        both = (shifted(counted, ahead) * counted).to(torch.bool)
        difference = shifted(probabilities, ahead) - probabilities
        squares = squares + torch.where(both, difference, 0.0) ** 2
    return squares.sqrt()


def false_mass(probabilities: Tensor, target: Tensor, fp_weight: float = 1.0) -> Tensor:
    """fp_weight p (1 - t) + (1 - p) t, (N, C, *S)."""
    return fp_weight * probabilities * (1 - target) + (1 - probabilities) * target


def _largest(distance: Tensor) -> Tensor:
    """Of every map of (N, C, *S), in a shape that stands beside it."""
    return distance.flatten(2).amax(2).view(*distance.shape[:2], *(1,) * (distance.ndim - 2))
