"""Region statistics of objects, one group each."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from metriseg.statistics import RegionStatistics, sums_by_label

__all__ = ["object_statistics"]


def object_statistics(
    probabilities: Tensor,
    inside: Tensor,
    outside: Tensor,
    objects: tuple[Tensor, Tensor],
    numbers: tuple[int, int],
    *,
    weight: Tensor | None = None,
    moments: Collection[float] = (1.0,),
    complements: Tensor | None = None,
) -> RegionStatistics:
    """The statistics of every object beside the part of the background that is compared with it.

    Sums over objects and over parts of the background, each in one pass whatever their number, are
    put together: no object is looked at twice.

    Args:
        probabilities: ``(R, P)``, those of the class of a row.
        inside: ``(R, P)`` int64, the object that a pixel is in, -1 for none.
        outside: ``(R, P)`` int64, the part of the background that a pixel is in, -1 for none.
        objects: ``(G,)`` twice, the numbers of the objects that are asked for and of their parts of
            the background.
        numbers: how many numbers objects and parts have.
        weight: ``(R, P)``; None for all ones.
        moments: the exponents of the sums.
        complements: ``(R, P)``, 1 - p with all its digits, where the errors are wanted.

    Returns:
        ``(G, 1)`` statistics.

    >>> import torch
    >>> p = torch.tensor([[.5, .25, 1., .25]])
    >>> first, both = torch.tensor([0, 1]), (torch.tensor([[0, -1, 1, -1]]), 2)
    >>> s = object_statistics(
    ...     p, both[0], torch.tensor([[-1, 0, -1, 0]]), (first, torch.zeros_like(first)), (2, 1)
    ... )
    >>> s.overlap[1.0].flatten(), s.predicted[1.0].flatten()
    (tensor([0.5000, 1.0000]), tensor([1.0000, 1.5000]))
    """
    share = torch.ones_like(probabilities) if weight is None else weight

    def sums(values: Tensor) -> tuple[Tensor, Tensor]:
        """``(G, 1)`` twice: those within every object, and within its background."""
        found = []
        for own, number, chosen in zip((inside, outside), numbers, objects, strict=True):
            # what is in none is summed apart
            place = torch.where(own < 0, number, own).view(1, 1, -1)
            total = sums_by_label((values * share).view(1, 1, -1), place, number + 1)[0]
            found.append(total[chosen].unsqueeze(1).to(values.dtype))
        return found[0], found[1]

    mass = sums(torch.ones_like(probabilities))
    powers = {q: sums(probabilities if q == 1.0 else probabilities.pow(q)) for q in moments}
    errors = []
    if complements is not None:
        missed, rejected = sums(complements)
        errors = [missed, powers[1.0][1], rejected]
    return RegionStatistics(
        {q: within for q, (within, _) in powers.items()},
        {q: within + around for q, (within, around) in powers.items()},
        dict.fromkeys({1.0, *moments}, mass[0]),
        mass[0] + mass[1],
        *errors,
    )
