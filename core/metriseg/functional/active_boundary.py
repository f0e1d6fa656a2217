"""The directions in which a predicted boundary should move: (N, C, H, W) to values (N, H, W).

Wang et al. 2022, "Active boundary loss for semantic segmentation", arXiv:2102.02696.
Labels are ``(N, H, W)``, ``valid`` is ``(N, H, W)`` bool, None for all pixels. A pixel that isn't
valid is nowhere: it has no boundary, its label is no other label, no direction leads to it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import distances
from metriseg.neighbours import shifted

__all__ = [
    "active_boundary",
    "boundary_distance",
    "divergence",
    "label_changes",
    "nearest_direction",
    "neighbour_divergence",
    "predicted_boundary",
]

#: Rows and columns from a pixel to the neighbours, in the order in which the first nearest wins.
DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (-1, 1), (1, 1), (-1, -1), (1, -1))
DOWN, RIGHT = DIRECTIONS[0], DIRECTIONS[3]
#: The distance to the boundary at a place where there is no pixel.
FAR = 1e5
#: The threshold of the divergence is the first of these that few enough pixels pass.
FIRST_THRESHOLD, THRESHOLD_GROWTH, LAST_THRESHOLD = 1e-5, 1.2, 1e39


def active_boundary(
    log_probabilities: Tensor,
    labels: Tensor,
    *,
    boundary_share: float,
    max_distance: float,
    label_smoothing: float,
    valid: Tensor | None = None,
    frozen: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Values and, as bools, the predicted boundary pixels that have a direction; both (N, H, W).

    Args:
        log_probabilities: ``(N, C, H, W)``, what the gradient reaches.
        labels: ``(N, H, W)``.
        boundary_share: of an image's valid pixels, at most so many are the core of its boundary.
        max_distance: where the weight of a pixel stops growing.
        label_smoothing: share of the truth spread over all directions.
        valid: as above.
        frozen: log-probabilities that decide where the boundary is and what the neighbours are,
            constants to the gradient; None for ``log_probabilities`` themselves, detached.
    """
    fixed = (log_probabilities if frozen is None else frozen).detach()
    distance = boundary_distance(labels, valid).to(fixed.dtype)
    direction = nearest_direction(distance, valid)
    moving = predicted_boundary(fixed, boundary_share, valid) & (direction < len(DIRECTIONS))
    scores = neighbour_divergence(fixed, log_probabilities, valid).log_softmax(1)
    aimed = scores.gather(1, direction.clamp(max=len(DIRECTIONS) - 1).unsqueeze(1)).squeeze(1)
    spread = label_smoothing / len(DIRECTIONS)
    cost = -(1 - label_smoothing - spread) * aimed - spread * scores.sum(1)
    weighted = cost * (distance.clamp(max=max_distance) / max_distance)
    return torch.where(moving, weighted, 0.0), moving


def label_changes(labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """(N, H, W) bool: where the label below, or on the right, is another one.

    >>> import torch
    >>> label_changes(torch.tensor([[[0, 1, 1], [0, 1, 1]]])).int()
    tensor([[[1, 0, 0],
             [1, 0, 0]]], dtype=torch.int32)
    """
    boundary = torch.zeros_like(labels, dtype=torch.bool)
    for offset in (DOWN, RIGHT):
        other = shifted(labels, offset) != labels
        boundary = boundary | (other & _pair_exists(labels, valid, offset))
    return boundary


def boundary_distance(labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """(N, H, W) float64: max(d - 1, 0), d to the nearest boundary pixel; 0 without a boundary."""
    boundary = label_changes(labels, valid).unsqueeze(1)
    return (distances.distance_to(boundary).squeeze(1) - 1).clamp(min=0)


def nearest_direction(distance: Tensor, valid: Tensor | None = None) -> Tensor:
    """(N, H, W) int64: the direction of the smallest distance, the first of several; 8 is to stay.

    Args:
        distance: ``(N, H, W)``.
        valid: as above.
    """
    candidates = distance if valid is None else torch.where(valid, distance, FAR)
    around = [shifted(candidates, offset, fill=FAR) for offset in DIRECTIONS]
    choices = torch.stack([*around, candidates], 1)
    # argmin alone doesn't promise the first of several on every device
    order = torch.arange(choices.shape[1], device=distance.device).view(-1, 1, 1)
    nearest = choices == choices.amin(1, keepdim=True)
    return torch.where(nearest, order, choices.shape[1]).amin(1)


def predicted_boundary(
    log_probabilities: Tensor, share: float, valid: Tensor | None = None
) -> Tensor:
    """(N, H, W) bool: around the pixels where the prediction changes most, 3 x 3 pixels.

    These are the ones whose :func:`divergence` to the pixels below and on the right exceeds the
    smallest of the thresholds 1e-5 * 1.2^k that at most the share of the valid pixels exceeds.
    """
    change = divergence(log_probabilities, valid)
    core = change > _threshold(change, share, valid).view(-1, 1, 1)
    spread = nnf.max_pool2d(core.to(change.dtype).unsqueeze(1), 3, stride=1, padding=1)
    grown = spread.squeeze(1) > 0
    return grown if valid is None else grown & valid


def divergence(log_probabilities: Tensor, valid: Tensor | None = None) -> Tensor:
    """(N, H, W): KL(P_i, P_below) + KL(P_i, P_right), without those that aren't there."""
    total = torch.zeros_like(log_probabilities[:, 0])
    probabilities = log_probabilities.exp()
    for offset in (DOWN, RIGHT):
        other = shifted(log_probabilities, offset)
        one = (probabilities * (log_probabilities - other)).sum(1)
        total = total + torch.where(_pair_exists(one, valid, offset), one, 0.0)
    return total


def neighbour_divergence(
    neighbours: Tensor, log_probabilities: Tensor, valid: Tensor | None = None
) -> Tensor:
    """(N, 8, H, W): KL(P_neighbour, P_i) in every direction.

    Beyond the image stands the nearest pixel of its edge, in place of an ignored neighbour the
    pixel itself.

    Args:
        neighbours: log-probabilities ``(N, C, H, W)`` of the pixels as neighbours.
        log_probabilities: those of the pixels themselves.
        valid: as above.
    """
    probabilities = neighbours.exp()
    # sum_c P ln P needs no second look at all classes for every direction
    certainty = _framed((probabilities * neighbours).sum(1, keepdim=True))
    around = _framed(probabilities)
    exists = None if valid is None else _framed(valid.to(neighbours.dtype).unsqueeze(1)) > 0
    found = []
    for offset in DIRECTIONS:
        crossed = (_seen(around, offset) * log_probabilities).sum(1)
        one = _seen(certainty, offset).squeeze(1) - crossed
        if exists is not None:
            one = torch.where(_seen(exists, offset).squeeze(1), one, 0.0)
        found.append(one)
    return torch.stack(found, 1)


def _framed(values: Tensor) -> Tensor:
    """With a frame of one pixel that repeats the edge."""
    return nnf.pad(values, (1, 1, 1, 1), mode="replicate")


def _seen(framed: Tensor, offset: tuple[int, int]) -> Tensor:
    """The neighbours at an offset, a view of what has the frame."""
    row, column = offset
    height, width = framed.shape[2] - 2, framed.shape[3] - 2
    return framed.narrow(2, 1 + row, height).narrow(3, 1 + column, width)


def _pair_exists(like: Tensor, valid: Tensor | None, offset: tuple[int, int]) -> Tensor:
    """(N, H, W) bool: whether a pixel and its neighbour are both in the image and valid."""
    here = torch.ones_like(like, dtype=torch.bool) if valid is None else valid
    return here & shifted(here, offset)


def _threshold(change: Tensor, share: float, valid: Tensor | None) -> Tensor:
    """(N,): the smallest threshold that at most the share of each image's valid pixels exceeds.

    With room for m pixels that is the first threshold not below the (m + 1)-th largest value.
    """
    values = change.flatten(1)
    pixels = values.shape[1]
    counted = torch.ones_like(values) if valid is None else valid.flatten(1).to(values.dtype)
    room = (share * counted.sum(1, keepdim=True)).floor().long()
    most = min(math.floor(share * pixels) + 2, pixels)
    largest = nnf.pad(values.topk(most, dim=1).values, (0, 1))
    crossing = largest.gather(1, room.clamp(max=most))
    thresholds = values.new_tensor(_THRESHOLDS)
    return thresholds[torch.searchsorted(thresholds, crossing).clamp(max=len(_THRESHOLDS) - 1)]


def _powers() -> list[float]:
    """Grown step by step, so that each is rounded as the authors' loop rounds it."""
    thresholds = [FIRST_THRESHOLD]
    while thresholds[-1] < LAST_THRESHOLD:
        thresholds.append(thresholds[-1] * THRESHOLD_GROWTH)
    return thresholds


_THRESHOLDS = _powers()
