"""From what networks predict of objects to label maps, by the usual means."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from metriseg.components import connected_components
from metriseg.experiments.scikit_image import scikit_image

Labels: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Values: TypeAlias = NDArray[np.float64]

#: Pixels of what is an object though no seed lies in it.
UNSEEDED = 30


def three_classes(instances: Tensor) -> Tensor:
    """``(N, H, W)``: 0 background, 1 inside, 2 for pixels of an object beside anything else."""
    padded = nn.functional.pad(instances, (1, 1, 1, 1), value=-1)
    inside = torch.ones_like(instances, dtype=torch.bool)
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        height, width = instances.shape[1:]
        beside = padded[:, row : row + height, column : column + width]
        inside &= (beside == instances) | (beside < 0)
    return torch.where(instances > 0, torch.where(inside, 1, 2), 0)


def probabilities(logits: Tensor) -> Values:
    """``(C, H, W)`` by softmax."""
    values: Values = logits.double().softmax(0).numpy()
    return values


def components(where: Mask) -> Labels:
    """Numbered from 1; 0 elsewhere."""
    return pieces(where.astype(np.int64))


def pieces(labels: Labels) -> Labels:
    """The connected components of each label but 0, numbered from 1."""
    return np.where(labels > 0, connected_components(labels) + 1, 0)


def large(labels: Labels, least: int) -> Labels:
    """Without what has fewer pixels."""
    sizes = np.bincount(labels.ravel())
    return np.where(sizes[labels] < least, 0, labels)


def flood(landscape: Values, seeds: Labels, within: Mask) -> Labels:
    """Watershed from seeds."""
    flooded: NDArray[Any] = scikit_image("segmentation").watershed(landscape, seeds, mask=within)
    return flooded.astype(np.int64)


def flooded(landscape: Values, seeds: Labels, within: Mask, least: int = UNSEEDED) -> Labels:
    """Watershed from seeds; what none reaches is an object of its own if it is not tiny."""
    found = flood(landscape, seeds, within)
    others = large(components(within & (found == 0)), least)
    return np.where(others > 0, others + found.max(), found)


def distance_inside(where: Mask) -> Values:
    """From each pixel to the nearest outside of a mask, beyond the image too."""
    distance: Values = ndimage.distance_transform_edt(np.pad(where, 1))[1:-1, 1:-1]
    return distance


def finished(labels: Labels, whole: bool, least: int) -> Labels:
    """Where ``whole``, an object is connected; tiny ones join what they touch, or vanish."""
    kept = large(pieces(labels) if whole else labels, least)
    return flood(np.zeros(labels.shape), kept, labels > 0)
