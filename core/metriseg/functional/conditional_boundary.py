"""What the neighbours of a boundary pixel ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.functional.embedding import unit_vectors
from metriseg.functional.pixel import cross_entropy
from metriseg.neighbours import largest_along
from metriseg.offsets import window

__all__ = ["conditional_boundary", "label_boundary", "local_class_mean", "neighbour_similarity"]


Pair = tuple[Tensor, Tensor]


def conditional_boundary(
    features: Tensor,
    log_probabilities: Tensor,
    labels: Tensor,
    right: Tensor,
    valid: Tensor,
    width: int,
    radius: int,
) -> tuple[Pair, tuple[Pair, Pair, Pair]]:
    """The terms of the conditional boundary loss, each ``(N, *S)``.

    Wu et al. 2023, doi:10.1109/TIP.2023.3290519.

    Args:
        features: ``(N, D, *S)``, finite.
        log_probabilities: ``(N, C, *S)``.
        labels: ``(N, *S)``.
        right: ``(N, *S)`` bool, the valid pixels that are classified rightly.
        valid: ``(N, *S)`` bool.
        width: how far the boundary reaches, in pixels.
        radius: of the square window around a pixel.

    Returns:
        Sums and numbers of the pairs with neighbours; then values, and which of them count, of
        the distance to the neighbours' mean, and of the cross-entropies of the mean of those that
        are right and of the mean of all.
    """
    boundary = label_boundary(labels, valid, width)
    # ln p is the scores up to a constant at each pixel, which the softmax of a mean forgets
    scores = log_probabilities
    both, witnesses = local_class_mean(
        torch.cat([features.detach(), scores], 1), labels, right, radius
    )
    centers, shown = both[:, : features.shape[1]], both[:, features.shape[1] :]
    every, companions = local_class_mean(scores, labels, valid, radius)
    distance = (features - centers).square().mean(1)
    anchors = boundary & right & (witnesses > 0)
    sums, numbers = neighbour_similarity(features, labels, right, radius)
    return (sums * boundary, numbers * boundary), (
        (distance, anchors),
        (cross_entropy(shown.log_softmax(1), labels), anchors),
        (cross_entropy(every.log_softmax(1), labels), boundary & (companions > 0)),
    )


def label_boundary(labels: Tensor, valid: Tensor, width: int) -> Tensor:
    """``(N, *S)`` bool: the valid pixels with another valid label within ``width`` pixels.

    Distance is that of a square window (diagonal steps count as one).

    >>> import torch
    >>> labels = torch.tensor([[0, 0, 0, 1, 1]])
    >>> label_boundary(labels, torch.ones(1, 5, dtype=torch.bool), width=1)
    tensor([[False, False,  True,  True, False]])
    """
    values = labels.float().unsqueeze(1)
    counted = valid.unsqueeze(1)
    highest = _running_maximum(torch.where(counted, values, -torch.inf), width)
    lowest = -_running_maximum(torch.where(counted, -values, -torch.inf), width)
    return ((highest > values) | (lowest < values)).squeeze(1) & valid


def _running_maximum(values: Tensor, width: int) -> Tensor:
    """The maximum over a square window, one axis after the other."""
    for axis in range(values.ndim - 2):
        values = largest_along(values, axis, width)
    return values


def local_class_mean(
    values: Tensor, labels: Tensor, chosen: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """The mean over a pixel's neighbours of its own label, and how many these are.

    Args:
        values: ``(N, D, *S)``, finite.
        labels: ``(N, *S)``.
        chosen: ``(N, *S)`` bool, the pixels that may serve as neighbours.
        radius: of the square window around a pixel, the pixel itself left out.

    Returns:
        ``(N, D, *S)``, 0 where there is no such neighbour, and ``(N, *S)``.
    """
    total, count = _NeighbourSum.apply(values, labels, torch.where(chosen, labels, -1), radius)
    return total / count.clamp(min=1).unsqueeze(1), count


class _NeighbourSum(torch.autograd.Function):
    """The sum over a pixel's neighbours that have its own label, and how many these are.

    ``labels`` are the pixels' own, ``shown`` those that neighbours see. Who is whose neighbour is
    mutual: the gradient is such a sum, with the two exchanged.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, labels: Tensor, shown: Tensor, radius: int
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(labels, shown)
        ctx.radius = radius
        total, count = torch.zeros_like(values), torch.zeros_like(values[:, 0])
        space = labels.ndim - 1
        for value, label in zip(
            _around(values, space, radius), _around(shown, space, radius, fill=-1), strict=True
        ):
            own = (label == labels).to(values.dtype)
            total.addcmul_(value, own.unsqueeze(1))
            count += own
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        labels, shown = ctx.saved_tensors
        # a pixel that isn't shown has no neighbour of label -1
        slope, _ = _NeighbourSum.apply(grads[0], shown, labels, ctx.radius)
        return slope, None, None, None


def neighbour_similarity(
    features: Tensor, labels: Tensor, chosen: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """The costs of a pixel's directions against its neighbours', and how many these are.

    A neighbour of the same label costs ``(cos - 1)^2``, one of another label ``cos^2``.
    Wu et al. 2023, doi:10.1109/TIP.2023.3290519.

    Args:
        features: ``(N, D, *S)``, finite.
        labels: ``(N, *S)``.
        chosen: ``(N, *S)`` bool, the pixels that may serve as neighbours.
        radius: of the square window around a pixel, the pixel itself left out.

    Returns:
        ``(N, *S)`` sums and numbers.
    """
    found: tuple[Tensor, Tensor] = _Similarity.apply(
        unit_vectors(features), labels, torch.where(chosen, labels, -1), radius
    )
    return found


class _Similarity(torch.autograd.Function):
    """The costs of directions ``(N, D, *S)`` against those of neighbours, and their numbers.

    The gradient makes the cosines anew: kept, what they are made of would be a copy of the
    directions for every neighbour.
    """

    @staticmethod
    def forward(
        ctx: Any, directions: Tensor, labels: Tensor, shown: Tensor, radius: int
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(directions, labels, shown)
        ctx.radius = radius
        sums, numbers = torch.zeros_like(directions[:, 0]), torch.zeros_like(directions[:, 0])
        space = labels.ndim - 1
        for direction, label in zip(
            _around(directions, space, radius), _around(shown, space, radius, fill=-1), strict=True
        ):
            usable, same = label >= 0, label == labels
            cosine = (directions * direction).sum(1)
            sums += torch.where(usable, (cosine - same.to(cosine.dtype)).square(), 0.0)
            numbers += usable
        ctx.mark_non_differentiable(numbers)
        return sums, numbers

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        directions, labels, shown = ctx.saved_tensors
        grad, space, radius = grads[0], labels.ndim - 1, ctx.radius
        seen = torch.where(shown >= 0, 2.0, 0.0).to(grad.dtype)
        slope = torch.zeros_like(directions)
        # written over, unless derivatives of the gradient are wanted
        added = Tensor.addcmul if torch.is_grad_enabled() else Tensor.addcmul_
        around = (
            _around(values, space, radius, fill=fill)
            for values, fill in ((directions, 0.0), (labels, -1), (shown, -1), (grad, 0.0))
        )
        for direction, label, other, asked in zip(*around, strict=True):
            cosine = (directions * direction).sum(1)
            # what the pixel pays for this neighbour, and what this neighbour pays for the pixel
            paid = (cosine - (other == labels).to(cosine.dtype)) * (other >= 0) * 2 * grad
            back = (cosine - (label == shown).to(cosine.dtype)) * seen * asked
            slope = added(slope, (paid + back).unsqueeze(1), direction)
        return slope, None, None, None


def _around(values: Tensor, dimensions: int, radius: int, fill: float = 0.0) -> Iterator[Tensor]:
    """The values at every neighbour in a window: views of one padded copy, ``fill`` outside."""
    padded = nnf.pad(values, [radius] * (2 * dimensions), value=fill)
    first = values.ndim - dimensions
    for offset in window(radius, dimensions):
        view = padded
        for axis, step in enumerate(offset, start=first):
            view = view.narrow(axis, radius + step, values.shape[axis])
        yield view
