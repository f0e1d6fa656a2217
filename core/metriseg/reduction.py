"""From values of pixels, or of classes in groups, to one number."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from metriseg.batch import Batch
from metriseg.options import Classes, Reduction
from metriseg.statistics import sums_by_label


def pixel_mass(batch: Batch) -> Tensor:
    """The number of valid pixels, or the sum of their weights."""
    if batch.measure is not None:
        return batch.measure.sum()
    return batch.logits.new_full((), float(batch.logits[:, 0].numel()))


def counted_classes(batch: Batch, classes: Classes, *, per_image: bool) -> Tensor:
    """``(G, C)`` bool: the groups with a valid pixel, of them the classes to be averaged.

    What region losses tell from their statistics, for tables made of anything else.
    """
    valid = batch.valid
    groups, classes_of = batch.logits.shape[:2]
    if batch.annotation is not None:
        counted = (batch.annotation > 0).flatten(2).any(2)
    elif valid is None:
        counted = batch.logits.new_full((groups, classes_of), batch.logits[0, 0].numel() > 0)
        counted = counted.bool()
    else:
        counted = valid.flatten(1).any(1, keepdim=True).expand(groups, classes_of)
    if classes == "present":
        counted = counted & _present(batch)
    return counted if per_image else counted.any(0, keepdim=True)


def _present(batch: Batch) -> Tensor:
    """``(N, C)`` bool: whether a pixel that counts has some of the class."""
    if batch.has_labels:
        labels = batch.target.flatten(1).unsqueeze(1)
        mass = torch.ones_like(labels, dtype=batch.logits.dtype)
        if batch.annotation is not None:
            mass = over_target(batch.annotation, batch.target).flatten(1).unsqueeze(1)
        elif batch.valid is not None:
            mass = batch.valid.flatten(1).unsqueeze(1).to(mass.dtype)
        return sums_by_label(mass, labels, batch.num_classes) > 0
    target = batch.target.flatten(2)
    if batch.valid is not None:
        target = torch.where(batch.valid.flatten(1).unsqueeze(1), target, 0.0)
    return (target > 0).any(2)


def reduce_pixels(
    values: Tensor, weight: Tensor | None, reduction: Reduction, mass: Tensor
) -> Tensor:
    """``(N, *S)`` values, weighted; their mean divides by ``mass``."""
    weighted = values if weight is None else values * weight
    if reduction == "none":
        return weighted
    if reduction == "sum":
        return weighted.sum()
    return mean(weighted.sum(), mass)


def reduce_table(
    values: Tensor,
    counted: Tensor,
    factors: Tensor | None,
    reduction: Reduction,
    shares: Tensor | None = None,
) -> Tensor:
    """``(G, C)`` values, weighted by class; the mean over classes, then over groups.

    Args:
        values: of every class in every group.
        counted: which of them count, bools of the same shape.
        factors: ``(C,)`` weights of the classes; None for all ones.
        reduction: "mean", "sum" or "none".
        shares: ``(C,)``, what a class adds to the divisor of the mean; None for its weight.
    """
    factor = counted.to(values.dtype) if factors is None else counted * factors
    weighted = torch.where(factor > 0, values * factor, 0.0)
    if reduction == "none":
        return weighted
    if reduction == "sum":
        return weighted.sum()
    masses = (factor if shares is None else counted * shares).sum(1)
    groups = mean(weighted.sum(1), masses)
    return mean(groups.sum(), (masses > 0).sum())


def mean(total: Tensor, mass: Tensor) -> Tensor:
    """total / mass, and 0, still connected, where there is no mass."""
    return total / torch.where(mass > 0, mass, 1)


def over_target(values: Tensor, target: Tensor) -> Tensor:
    """sum_c t_c v_c, ``(N, *S)``, of values ``(N, C, *S)``: with labels that at the label."""
    if target.is_floating_point():
        return (target * values).sum(1)
    return values.gather(1, target.unsqueeze(1)).squeeze(1)


def beside_classes(factors: Tensor, values: Tensor) -> Tensor:
    """``(C,)`` in a shape that multiplies ``(N, C, *S)``."""
    return factors.view(-1, *(1,) * (values.ndim - 2))


def connected(value: Tensor, loss: nn.Module) -> Tensor:
    """The same value, with a gradient (of zero) to everything that the loss learns."""
    for parameter in loss.parameters():
        value = value + nothing_of(parameter)
    return value


def total_of(parts: Iterable[Tensor], logits: Tensor) -> Tensor:
    """The sum of some values; of none 0, connected to the logits (a gradient of zeros costs)."""
    values = list(parts)
    return functools.reduce(torch.add, values) if values else nothing_of(logits)


def nothing_of(tensor: Tensor) -> Tensor:
    """Zero, connected to ``tensor`` (0 times its sum would be NaN where it holds an infinity)."""
    return tensor.flatten()[:0].sum()
