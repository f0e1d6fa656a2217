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
    """``above / below``, 0 where ``below`` isn't above 0."""
    there = below > 0
    return torch.where(there, above / torch.where(there, below, 1.0), 0.0)


def set_costs(weighting: Weighting, outside: Tensor, inside: Tensor, truth: Tensor) -> SetCosts:
    r"""Jaccard's or Dice's distance of sets of measure ``inside + outside`` and ``truth``.

    ``inside`` is what they share, ``outside`` what only the first has. An estimate of these may be
    below 0; it counts as 0 in a divisor, which so is never below ``truth``. 0 where all are.
    """
    more = outside.clamp(min=0)
    alive = (outside >= 0).to(outside.dtype)
    if weighting == "union":
        whole = truth + more
        share = quotient(inside, whole)
        one = quotient(torch.ones_like(whole), whole)
        return SetCosts(quotient(more + (truth - inside), whole), -one, share * one * alive)
    shared = inside.clamp(min=0)
    whole = truth + more + shared
    one = quotient(torch.ones_like(whole), whole)
    share = 2 * inside * one
    growing = (inside >= 0).to(inside.dtype)
    return SetCosts(
        quotient(more + shared + (truth - 2 * inside), whole),
        (share * growing - 2) * one,
        share * one * alive,
    )
