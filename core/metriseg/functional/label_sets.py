"""Formulas of pixels that may be one of several classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg.statistics import RegionStatistics

__all__ = [
    "exclusion_cross_entropy",
    "exclusion_dice",
    "joined_classes",
    "marginal_cross_entropy",
]


def marginal_cross_entropy(log_probabilities: Tensor, members: Tensor) -> Tensor:
    """``(N, *S)``: -ln of the probability of all classes that a pixel may be together.

    Args:
        log_probabilities: ``(N, C, *S)`` of exclusive classes.
        members: ``(N, C, *S)``, above 0 for every class that a pixel may be: one or more, but not
            all.

    >>> p = torch.tensor([[[.5], [.25], [.25]]])
    >>> marginal_cross_entropy(p.log(), torch.tensor([[[0.], [1.], [1.]]]))     # ln 2
    tensor([[0.6931]])
    """
    possible = members > 0
    inside = torch.where(possible, log_probabilities, -torch.inf).logsumexp(1)
    outside = torch.where(possible, -torch.inf, log_probabilities).logsumexp(1)
    # from both sides, so that a small one keeps its digits
    return nnf.softplus(outside - inside)


def exclusion_cross_entropy(probabilities: Tensor, members: Tensor) -> Tensor:
    """``(N, C, *S)``: ln(1 + p) of every class that a pixel can't be, else 0.

    Shi et al. 2021, arXiv:2007.03868, with their epsilon of 1.

    >>> exclusion_cross_entropy(torch.tensor([[[.5], [.5]]]), torch.tensor([[[1.], [0.]]]))
    tensor([[[0.0000],
             [0.4055]]])
    """
    return torch.where(members > 0, 0.0, probabilities.log1p())


def exclusion_dice(s: RegionStatistics) -> Tensor:
    """2 E / (S + T), with E the predicted mass where a class can't be, and T all such pixels.

    Shi et al. 2021, arXiv:2007.03868.
    """
    _, claimed, _ = s.errors
    mass = s.predicted[1.0] + s.count - s.target[1.0]
    return 2 * claimed / torch.where(mass > 0, mass, 1.0)


def joined_classes(members: Tensor) -> Tensor:
    """``(G, C)`` int64: of every class the first of those that pixels join it with.

    Classes are joined when a pixel may be either, and through others too.

    Args:
        members: ``(G, C, P)``, above 0 for every class that a pixel may be.

    >>> joined_classes(torch.tensor([[[1., 0.], [0., 1.], [0., 1.]]]))     # 0, and 1 or 2
    tensor([[0, 1, 1]])
    """
    possible = (members > 0).to(torch.float32)
    classes = members.shape[1]
    joined = possible @ possible.transpose(1, 2) + torch.eye(classes, device=members.device)
    for _ in range((classes - 1).bit_length()):
        # what is joined with what is joined
        joined = ((joined @ joined) > 0).to(torch.float32)
    return (joined > 0).int().argmax(2)
