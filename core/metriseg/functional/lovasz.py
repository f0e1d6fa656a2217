"""The Lovász extension of the Jaccard loss: exact on sets, convex and piecewise linear between."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["lovasz_jaccard"]

#: Errors that are brought into order at once: their order and what follows from it take ten times
#: the memory of the errors themselves.
SORTED_VALUES = 1 << 21


def lovasz_jaccard(errors: Tensor, foreground: Tensor, weight: Tensor | None = None) -> Tensor:
    """sum_i e_(i) (J_i - J_(i-1)) over the errors in falling order.

    J_i is the Jaccard loss of a prediction that is wrong at the i pixels of largest error and
    right elsewhere; the value doesn't depend on the order of equal errors. Where nothing is
    foreground J_i is 1, and the value the largest error. Berman et al. 2018, arXiv:1705.08790.

    Args:
        errors: ``(G, C, P)``, none negative: 0 is right, for hard predictions 1 is wrong.
        foreground: ``(G, C, P)`` bool: the truth.
        weight: ``(G, 1, P)``: mass of each pixel, or ``(G, C, P)`` of each class there, None for
            all ones. Where it is 0, an error
            must be finite and has no effect.

    Returns:
        ``(G, C)``, differentiable in the errors; where errors are equal, with one of their
        subgradients, that in which earlier pixels come first.

    >>> import torch
    >>> truth = torch.tensor([[[True, True, False]]])
    >>> lovasz_jaccard(torch.tensor([[[0.0, 1.0, 1.0]]]), truth)   # masks of 2 and 2 share 1 of 3
    tensor([[0.6667]])
    >>> lovasz_jaccard(torch.tensor([[[0.0, 0.5, 0.5]]]), truth)
    tensor([[0.3333]])
    """
    if torch.compiler.is_compiling():
        # traced as one, and nothing to save by hand
        slopes = torch.empty_like(errors)
        _increments(errors.detach(), foreground, weight, slopes)
        return (slopes * errors).sum(-1)
    value: Tensor = _Extension.apply(errors, foreground, weight)
    return value


class _Extension(torch.autograd.Function):
    """The sum, which keeps its slopes for the backward pass and nothing else."""

    @staticmethod
    def forward(ctx: Any, errors: Tensor, foreground: Tensor, weight: Tensor | None) -> Tensor:
        groups, classes, pixels = errors.shape
        values = errors.new_empty(groups, classes)
        slopes = torch.empty_like(errors) if ctx.needs_input_grad[0] else None
        width = min(classes, max(1, SORTED_VALUES // max(pixels, 1)))
        height = max(1, SORTED_VALUES // max(pixels * classes, 1))
        for group in range(0, groups, height):
            for first in range(0, classes, width):
                rows = slice(group, group + height), slice(first, first + width)
                masses = None if weight is None else weight[rows[0]]
                if masses is not None and masses.shape[1] > 1:
                    masses = masses[:, rows[1]]
                place = None if slopes is None else slopes[rows]
                values[rows] = _increments(errors[rows], foreground[rows], masses, place)
        ctx.save_for_backward(slopes)
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return slopes * grads[0].unsqueeze(-1), None, None


@torch.no_grad()
def _increments(
    errors: Tensor, foreground: Tensor, weight: Tensor | None, slopes: Tensor | None
) -> Tensor:
    """The values ``(G, C)``; into ``slopes`` goes J_i - J_(i-1) of every pixel, at its place.

    The increments in closed form: differences of nearly equal numbers would keep few digits. A
    pixel of the truth takes its mass w out of an intersection over a union U that stays, any
    other adds w to the union that an intersection I is divided by,

        J_i - J_(i-1) = w / U_i   and   (I_i / U_(i-1)) w / U_i.
    """
    ordered, order = errors.sort(dim=-1, descending=True, stable=True)
    own = foreground.gather(-1, order)
    if weight is None:
        total = foreground.sum(-1, keepdim=True, dtype=errors.dtype)
        left = total - own.cumsum(-1, dtype=errors.dtype)
        rank = torch.arange(1, errors.shape[-1] + 1, dtype=errors.dtype, device=errors.device)
        union = left + rank
        before: Tensor = union - 1
        own[..., :1] |= total == 0
        share = left.div_(before).masked_fill_(own, 1.0).div_(union)
    else:
        total = torch.where(foreground, weight, 0.0).sum(-1, keepdim=True)
        mass = weight.expand_as(errors).gather(-1, order)
        found = torch.where(own, mass, 0.0).cumsum(-1)
        unions = torch.cat([total, total + torch.where(own, 0.0, mass).cumsum(-1)], -1)
        before, union = unions[..., :-1], unions[..., 1:]
        # without truth, the first pixel that counts makes J leap from 0 to 1
        share = torch.where(own | (before == 0), 1.0, (total - found).clamp(min=0) / before)
        share = share * (mass / torch.where(union == 0, 1.0, union))
    if slopes is not None:
        slopes.scatter_(-1, order, share)
    return (share * ordered).sum(-1)
