"""The generalized Wasserstein Dice score, from probabilities (N, C, *S) and labels (N, *S).

``distances`` is the matrix M (C, C) of distances between classes: symmetric, not negative, zero on
the diagonal, its maximum 1. Fidon et al. 2017, arXiv:1707.00478.
"""

from __future__ import annotations

from torch import Tensor

from metriseg.functional.region import Smooth, ratio
from metriseg.statistics import sums_by_label

__all__ = [
    "class_volumes",
    "volume_weighted_wasserstein_dice_index",
    "wasserstein_dice_index",
    "wasserstein_map",
]


def wasserstein_map(probabilities: Tensor, labels: Tensor, distances: Tensor) -> Tensor:
    """sum_l M[t, l] p_l, (N, *S): what it takes to move all probability to the label.

    >>> import torch
    >>> M = torch.tensor([[0., 1., 1.], [1., 0., .5], [1., .5, 0.]])
    >>> wasserstein_map(torch.tensor([[[.7], [.2], [.1]]]), torch.tensor([[1]]), M)  # .7 + .5 .1
    tensor([[0.7500]])
    """
    return (distances[labels].movedim(-1, 1) * probabilities).sum(1)


def wasserstein_dice_index(
    wasserstein: Tensor,
    labels: Tensor,
    measure: Tensor,
    distances: Tensor,
    background: int,
    smooth: Smooth = (0.0, 0.0),
    *,
    per_image: bool = True,
) -> Tensor:
    """2 TP / (2 TP + sum W), (G, 1), with TP = sum M[t, b] (M[t, b] - W), b = ``background``.

    ``wasserstein`` is W, ``measure`` what a pixel counts, both (N, *S).
    """
    reach = distances[:, background][labels]
    hits = _group_sums(measure * reach * (reach - wasserstein), per_image)
    errors = _group_sums(measure * wasserstein, per_image)
    return ratio(2 * hits, 2 * hits + errors, smooth)


def volume_weighted_wasserstein_dice_index(
    wasserstein: Tensor,
    labels: Tensor,
    measure: Tensor,
    volumes: Tensor,
    smooth: Smooth = (0.0, 0.0),
    *,
    per_image: bool = True,
) -> Tensor:
    """2 sum a (1 - W) / sum a (2 - W), (G, 1), with a = 1 / (volume of the label's class + 1).

    ``volumes`` are :func:`class_volumes`. Tilborghs et al. 2020, arXiv:2007.15546.
    """
    inverse = (1 / (volumes + 1)).expand(labels.shape[0], -1)
    inverse = inverse.gather(1, labels.flatten(1)).view(labels.shape)
    hits = _group_sums(measure * inverse * (1 - wasserstein), per_image)
    mass = _group_sums(measure * inverse * (2 - wasserstein), per_image)
    return ratio(2 * hits, mass, smooth)


def class_volumes(
    labels: Tensor, measure: Tensor, num_classes: int, *, per_image: bool = True
) -> Tensor:
    """(G, C): the measure of every class's pixels, in each image or in all of them."""
    values, labels = measure.flatten(1).unsqueeze(1), labels.flatten(1).unsqueeze(1)
    volumes = sums_by_label(values, labels, num_classes).to(measure.dtype)
    return volumes if per_image else volumes.sum(0, keepdim=True)


def _group_sums(values: Tensor, per_image: bool) -> Tensor:
    sums = values.flatten(1).sum(1, keepdim=True)
    return sums if per_image else sums.sum(0, keepdim=True)
