"""Distances of two sets by their measures, with their slopes: what a pixel costs."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from metriseg import validation

__all__ = ["SetCosts", "Weighting", "check_weighting", "quotient", "set_costs"]

Weighting = Literal["union", "sum"]


class SetCosts(NamedTuple):
    """Distances of two sets, and their derivatives by what is shared and what only one has."""

    cost: Tensor
    by_inside: Tensor
    by_outside: Tensor


def check_weighting(weighting: object) -> None:
    validation.one_of("weighting", weighting, ("union", "sum"))


def quotient(above: Tensor, below: Tensor) -> Tensor:
    """``above / below``, 0 where ``below`` is 0, or so small that its inverse isn't finite."""
    there = below > torch.finfo(below.dtype).tiny
    return torch.where(there, above / torch.where(there, below, 1.0), 0.0)


def set_costs(
    weighting: Weighting, outside: Tensor, inside: Tensor, truth: Tensor, *, noisy: bool = False
) -> SetCosts:
    r"""Jaccard's or Dice's distance of sets of measure ``inside + outside`` and ``truth``.

    ``inside`` is what they share, ``outside`` what only the first has. Estimates of these, which
    are ``noisy``, may be below 0: they then count as 0 in a divisor, which so is never below
    ``truth``, and pull nothing there. 0 where all measures are.
    """
    more, shared = outside.clamp(min=0), inside.clamp(min=0)
    if weighting == "union":
        whole = truth + more
        apart, share, pull = more + (truth - inside), quotient(inside, whole), -1.0
    else:
        whole = truth + more + shared
        apart, share, pull = more + shared + (truth - 2 * inside), quotient(2 * inside, whole), -2.0
    each = quotient(torch.ones_like(whole), whole)
    by_outside = share * each
    by_inside = pull * each
    if weighting == "sum":
        by_inside = by_inside + (torch.where(inside >= 0, by_outside, 0.0) if noisy else by_outside)
    if noisy:
        by_outside = torch.where(outside >= 0, by_outside, 0.0)
    return SetCosts(quotient(apart, whole), by_inside, by_outside)
