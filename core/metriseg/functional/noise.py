"""Values a pixel that forgive wrong labels, from log-probabilities (N, C, *S) and a target.

A target is as in :mod:`metriseg.functional.pixel`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metriseg.functional.pixel import cross_entropy, expected_over_target, is_class

__all__ = [
    "binary_generalized_cross_entropy",
    "binary_symmetric_cross_entropy",
    "generalized_cross_entropy",
    "symmetric_cross_entropy",
]


def generalized_cross_entropy(
    log_probabilities: Tensor, target: Tensor, q: float, truncation: float | None = None
) -> Tensor:
    """sum_c t_c (1 - p_c^q) / q, (N, *S), with max(p_c, ``truncation``) in place of p_c.

    Zhang & Sabuncu 2018, arXiv:1805.07836.

    >>> import torch
    >>> log_p = torch.tensor([[0.25], [0.75]]).log()[None]
    >>> generalized_cross_entropy(log_p, torch.tensor([[0]]), q=0.5)     # (1 - 1/2) / (1/2)
    tensor([[1.]])
    """
    if not target.is_floating_point():
        return _tempered(expected_over_target(log_probabilities, target), q, truncation)
    return expected_over_target(_tempered(log_probabilities, q, truncation), target)


def binary_generalized_cross_entropy(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    q: float,
    truncation: float | None = None,
) -> Tensor:
    """t_c (1 - p_c^q) / q + (1 - t_c)(1 - (1 - p_c)^q) / q, (N, C, *S)."""
    if not target.is_floating_point():
        own = is_class(target, log_probabilities)
        return _tempered(torch.where(own, log_probabilities, log_complements), q, truncation)
    on_yes = target * _tempered(log_probabilities, q, truncation)
    return on_yes + (1 - target) * _tempered(log_complements, q, truncation)


def symmetric_cross_entropy(
    log_probabilities: Tensor,
    target: Tensor,
    alpha: float,
    beta: float,
    log_zero: float,
    label_weight: Tensor | None = None,
) -> Tensor:
    """w (-alpha sum_c t_c ln p_c - beta sum_c p_c ln t_c), (N, *S), no logarithm of t below
    ``log_zero``.

    ``label_weight`` (C,) are weights of the labels: in the first sum every term has its own, and
    the second sum that of what the pixel is, sum_c w_c t_c. Wang et al. 2019, arXiv:1908.06112.

    >>> import torch
    >>> log_p = torch.tensor([[0.5], [0.5]]).log()[None]
    >>> symmetric_cross_entropy(log_p, torch.tensor([[1]]), 1.0, 0.1, -4.0)      # ln 2 + 0.1 4/2
    tensor([[0.8931]])
    """
    if not target.is_floating_point():
        log_p = expected_over_target(log_probabilities, target)
        # what isn't of the label is 1 - p, and each of it costs -log_zero
        value = beta * log_zero * torch.expm1(log_p) - alpha * log_p
        return value if label_weight is None else value * label_weight[target]
    backward = -(log_probabilities.exp() * _logarithm(target, log_zero)).sum(1)
    if label_weight is not None:
        target = target * label_weight.view(-1, *(1,) * (target.ndim - 2))
        backward = backward * target.sum(1)
    return alpha * cross_entropy(log_probabilities, target) + beta * backward


def binary_symmetric_cross_entropy(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    alpha: float,
    beta: float,
    log_zero: float,
) -> Tensor:
    """:func:`symmetric_cross_entropy` of the answers "yes" and "no" to every class, (N, C, *S)."""
    if not target.is_floating_point():
        own = is_class(target, log_probabilities)
        log_p = torch.where(own, log_probabilities, log_complements)
        return beta * log_zero * torch.expm1(log_p) - alpha * log_p
    forward = -target * log_probabilities - (1 - target) * log_complements
    on_yes = log_probabilities.exp() * _logarithm(target, log_zero)
    on_no = log_complements.exp() * _logarithm(1 - target, log_zero)
    return alpha * forward - beta * (on_yes + on_no)


def _tempered(log_p: Tensor, q: float, truncation: float | None) -> Tensor:
    """(1 - p^q) / q, which for q to 0 is -ln p."""
    if truncation is not None:
        log_p = log_p.clamp(min=math.log(truncation))
    return -torch.expm1(q * log_p) / q


def _logarithm(values: Tensor, log_zero: float) -> Tensor:
    """ln t, and ``log_zero`` where that is less."""
    return values.clamp(min=math.exp(log_zero)).log()
