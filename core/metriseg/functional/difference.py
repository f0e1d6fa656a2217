"""Sums of how far x and y are apart, of every class in every image.

They are no region statistics: no functions of sums of powers. x is ``(N, C, *S)``, y a target:
labels ``(N, *S)`` or masks ``(N, C, *S)``; ``weight`` is ``(N, *S)`` of the pixels, ``(N, C, *S)``
of every class at them, or None.
"""

from __future__ import annotations

from torch import Tensor

__all__ = [
    "absolute_difference",
    "one_sided_differences",
    "powered_difference",
    "powered_errors",
]


def absolute_difference(x: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """``(N, C)``: sum |x - y|."""
    return _summed(apart(x, target).abs(), weight)


def powered_difference(
    x: Tensor, target: Tensor, power: float, weight: Tensor | None = None
) -> Tensor:
    """``(N, C)``: sum |x - y|^power, with a power >= 1.

    >>> import torch
    >>> powered_difference(torch.tensor([[[.5, 1.]]]), torch.tensor([[[0., .5]]]), 2.0)
    tensor([[0.5000]])
    """
    return _summed(apart(x, target).abs().pow(power), weight)


def powered_errors(x: Tensor, target: Tensor, power: float, weight: Tensor | None = None) -> Tensor:
    """``(N, C)``: sum (x (1 - y))^power + ((1 - x) y)^power, with a power >= 1.

    Of labels it is :func:`powered_difference`.

    >>> import torch
    >>> powered_errors(torch.tensor([[[.5, 1.]]]), torch.tensor([[[1., .5]]]), 2.0)
    tensor([[0.5000]])
    """
    if not target.is_floating_point():
        return powered_difference(x, target, power, weight)
    errors = (x * (1 - target)).pow(power) + ((1 - x) * target).pow(power)
    return _summed(errors, weight)


def one_sided_differences(
    x: Tensor, target: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``(N, C)`` each: sum max(x - y, 0) and sum max(y - x, 0); where x is y both have slope 0.

    >>> import torch
    >>> one_sided_differences(torch.tensor([[[.5, 1.]]]), torch.tensor([[[1., .75]]]))
    (tensor([[0.2500]]), tensor([[0.5000]]))
    """
    difference = apart(x, target)
    return _summed(difference.relu(), weight), _summed((-difference).relu(), weight)


def apart(x: Tensor, target: Tensor) -> Tensor:
    """``(N, C, *S)``: x - y; of labels with y their one-hot form, which isn't made."""
    if target.is_floating_point():
        return x - target
    own = target.unsqueeze(1)
    return x.scatter(1, own, x.gather(1, own) - 1)


def _summed(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is not None:
        values = values * (weight if weight.ndim == values.ndim else weight.unsqueeze(1))
    return values.flatten(2).sum(2)
