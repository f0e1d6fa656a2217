"""Values a pixel, from log-probabilities (N, C, *S) and a target.

A target is either labels (N, *S), int64 in 0 … C-1, or soft labels (N, C, *S).
"""

from __future__ import annotations

import torch
from torch import Tensor

from metriseg.functional.power import guarded_power


def expected_over_target(values: Tensor, target: Tensor) -> Tensor:
    """sum_c t_c v_c: (N, C, *S) and a target to (N, *S). With labels, v at the label."""
    if target.is_floating_point():
        return (target * values).sum(1)
    return values.gather(1, target.unsqueeze(1)).squeeze(1)


def cross_entropy(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """-sum_c t_c ln p_c, (N, *S)."""
    return -expected_over_target(log_probabilities, target)


def focal(log_probabilities: Tensor, target: Tensor, gamma: float) -> Tensor:
    """-sum_c t_c (1 - p_c)^gamma ln p_c, (N, *S). Lin et al. 2017, arXiv:1708.02002."""
    if target.is_floating_point():
        return expected_over_target(_focal_term(log_probabilities, gamma), target)
    return _focal_term(expected_over_target(log_probabilities, target), gamma)


def binary_cross_entropy(
    log_probabilities: Tensor, log_complements: Tensor, target: Tensor
) -> Tensor:
    """-t_c ln p_c - (1 - t_c) ln(1 - p_c), (N, C, *S)."""
    return binary_focal(log_probabilities, log_complements, target, 0.0, None)


def binary_focal(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    gamma: float,
    alpha: float | None,
) -> Tensor:
    """-a t_c (1 - p_c)^gamma ln p_c - (1 - a)(1 - t_c) p_c^gamma ln(1 - p_c), (N, C, *S).

    ``alpha=None`` leaves both factors a and 1 - a out. Lin et al. 2017, arXiv:1708.02002.
    """
    on_positive, on_negative = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    if not target.is_floating_point():
        positive = _is_class(target, log_probabilities)
        term = _focal_term(torch.where(positive, log_probabilities, log_complements), gamma)
        if alpha is None:
            return term
        return torch.where(positive, on_positive * term, on_negative * term)
    positive = on_positive * target * _focal_term(log_probabilities, gamma)
    return positive + on_negative * (1 - target) * _focal_term(log_complements, gamma)


def mime(probabilities: Tensor, target: Tensor, a: float, b: float) -> Tensor:
    """omega_c p_c with omega = -a t + b (1 - t), (N, C, *S).

    Kervadec & de Bruijne 2023, "On the dice loss gradient and the ways to mimic it".
    """
    if target.is_floating_point():
        return (b - (a + b) * target) * probabilities
    own = _is_class(target, probabilities)
    return torch.where(own, -a * probabilities, b * probabilities)


def inverse_frequency_weights(target: Tensor, num_classes: int) -> Tensor:
    """w_c = N / N_c over the labels of ``target``, 0 for a class that is absent.

    >>> import torch
    >>> inverse_frequency_weights(torch.tensor([[0, 1, 2], [0, 1, 1]]), 3)
    tensor([3., 2., 6.])
    """
    counts = torch.bincount(target.flatten(), minlength=num_classes)
    weights = target.numel() / counts.clamp(min=1)
    return torch.where(counts > 0, weights, 0.0)


def _focal_term(log_p: Tensor, gamma: float) -> Tensor:
    if gamma == 0:
        return -log_p
    return -guarded_power(-torch.expm1(log_p), gamma) * log_p


def _is_class(target: Tensor, values: Tensor) -> Tensor:
    """(N, C, *S) bool: whether the label is the class of the channel."""
    classes = torch.arange(values.shape[1], device=values.device)
    return target.unsqueeze(1) == classes.view(-1, *(1,) * (target.ndim - 1))
