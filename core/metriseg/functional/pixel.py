"""Values a pixel, from log-probabilities (N, C, *S) and a target.

A target is either labels (N, *S), int64 in 0 … C-1, or soft labels (N, C, *S). With labels, the
log-probabilities of exclusive classes may be those of the labels alone, (N, *S).
"""

from __future__ import annotations

import torch
from torch import Tensor

from metriseg.functional.power import guarded_power
from metriseg.reduction import beside_classes, over_target

__all__ = [
    "asymmetric_focal",
    "balanced_cross_entropy",
    "binary_asymmetric_focal",
    "binary_cross_entropy",
    "binary_focal",
    "binary_powered_cross_entropy",
    "cross_entropy",
    "expected_over_target",
    "focal",
    "inverse_frequency_weights",
    "label_weights",
    "largest_values",
    "mime",
    "mime_of_label",
    "powered_cross_entropy",
]


#: ln p above which -ln p is taken from the probabilities of the other classes.
NEAR_ONE = -0.1


def expected_over_target(values: Tensor, target: Tensor) -> Tensor:
    """sum_c t_c v_c: (N, C, *S) and a target to (N, *S). With labels, v at the label.

    Values at the labels, (N, *S), stay as they are.
    """
    if values.shape == target.shape and not target.is_floating_point():
        return values
    return over_target(values, target)


def cross_entropy(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """-sum_c t_c ln p_c, (N, *S)."""
    return -expected_over_target(log_probabilities, target)


def focal(
    log_probabilities: Tensor,
    target: Tensor,
    gamma: float,
    alpha: float | Tensor | None = None,
    epsilon: float = 0.0,
) -> Tensor:
    """-sum_c a_c t_c (1 - p_c)^gamma ln p_c, (N, *S). Lin et al. 2017, arXiv:1708.02002.

    Class 0, the background, has a = 1 - ``alpha``, all others a = ``alpha``; ``alpha`` of shape
    (C,) is the a of every class; None leaves the factor out. ``epsilon`` (1 - p_c)^(gamma + 1) is
    added to (1 - p_c)^gamma (-ln p_c): Leng et al. 2022, arXiv:2204.12511.

    >>> import torch
    >>> log_p = torch.tensor([[0.5], [0.5]]).log()[None]
    >>> focal(log_p, torch.tensor([[1]]), 1.0, epsilon=2.0)     # (ln 2)/2 + 2/4
    tensor([[0.8466]])
    """
    if not target.is_floating_point():
        term = _focal_term(expected_over_target(log_probabilities, target), gamma, epsilon)
        if alpha is None:
            return term
        if isinstance(alpha, Tensor):
            return alpha[target] * term
        if alpha == 0.5:
            return alpha * term
        return torch.where(target == 0, (1 - alpha) * term, alpha * term)
    term = _focal_term(log_probabilities, gamma, epsilon)
    if alpha is None:
        return expected_over_target(term, target)
    if isinstance(alpha, Tensor):
        return expected_over_target(beside_classes(alpha, term) * term, target)
    on_background = (1 - alpha) * expected_over_target(term[:, :1], target[:, :1])
    return on_background + alpha * expected_over_target(term[:, 1:], target[:, 1:])


def asymmetric_focal(
    log_probabilities: Tensor, target: Tensor, gamma: float, alpha: float
) -> Tensor:
    """As :func:`focal`, with an exponent of 0 in place of gamma on every foreground class, (N, *S).

    Yeung et al. 2022, arXiv:2102.04525, whose delta is ``alpha``.
    """
    if not target.is_floating_point():
        log_p = expected_over_target(log_probabilities, target)
        fading = (1 - alpha) * _focal_term(log_p, gamma)
        return torch.where(target == 0, fading, -alpha * log_p)
    on_foreground = alpha * focal(log_probabilities, target, 0.0, 1.0)
    return on_foreground + (1 - alpha) * focal(log_probabilities, target, gamma, 0.0)


def binary_cross_entropy(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-v_c t_c ln p_c - (1 - t_c) ln(1 - p_c), (N, C, *S), with ``pos_weight`` v (C,), or 1."""
    return binary_focal(log_probabilities, log_complements, target, 0.0, pos_weight)


def binary_focal(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    gamma: float,
    alpha: float | Tensor | None,
    epsilon: float = 0.0,
) -> Tensor:
    """-a t_c (1 - p_c)^gamma ln p_c - (1 - a)(1 - t_c) p_c^gamma ln(1 - p_c), (N, C, *S).

    ``alpha`` of shape (C,) is the a of every class, and negatives then have the factor 1; None
    leaves both factors out. Lin et al. 2017, arXiv:1708.02002. ``epsilon`` as of :func:`focal`.
    """
    on_positive: float | Tensor = 1.0
    on_negative = 1.0
    if isinstance(alpha, Tensor):
        on_positive = beside_classes(alpha, log_probabilities)
    elif alpha is not None:
        on_positive, on_negative = alpha, 1 - alpha
    if not target.is_floating_point():
        positive = is_class(target, log_probabilities)
        log_p = torch.where(positive, log_probabilities, log_complements)
        term = _focal_term(log_p, gamma, epsilon)
        if alpha is None:
            return term
        return torch.where(positive, on_positive * term, on_negative * term)
    positive = on_positive * target * _focal_term(log_probabilities, gamma, epsilon)
    return positive + on_negative * (1 - target) * _focal_term(log_complements, gamma, epsilon)


def binary_asymmetric_focal(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    gamma: float,
    alpha: float,
) -> Tensor:
    """-a t_c ln p_c - (1 - a)(1 - t_c) p_c^gamma ln(1 - p_c), (N, C, *S).

    :func:`asymmetric_focal` of yes-or-no questions: only the negatives fade.
    """
    on_yes = binary_focal(log_probabilities, log_complements, target, 0.0, 1.0)
    on_no = binary_focal(log_probabilities, log_complements, target, gamma, 0.0)
    return alpha * on_yes + (1 - alpha) * on_no


def balanced_cross_entropy(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
) -> Tensor:
    """-b t_c ln p_c - (1 - b)(1 - t_c) ln(1 - p_c), (N, C, *S).

    b is the share of negatives in the image, of every class by itself: one minus the mean of t_c,
    with ``weight``, (N, *S) or (N, C, *S), the weighted one. Xie & Tu 2015, arXiv:1504.06375.
    """
    positive = target
    if not target.is_floating_point():
        positive = is_class(target, log_probabilities).to(log_probabilities.dtype)
    mass = torch.ones_like(positive[:, :1]) if weight is None else weight
    mass = mass if mass.ndim == positive.ndim else mass.unsqueeze(1)
    axes = tuple(range(2, positive.ndim))
    total = mass.sum(axes, keepdim=True)
    share = (positive * mass).sum(axes, keepdim=True) / torch.where(total > 0, total, 1.0)
    on_yes = (1 - share) * positive * log_probabilities
    return -on_yes - share * (1 - positive) * log_complements


def powered_cross_entropy(
    log_probabilities: Tensor, target: Tensor, gamma: float, label_weight: Tensor
) -> Tensor:
    """sum_c t_c w_c (-ln p_c)^gamma with ``label_weight`` w (C,): (N, *S).

    Wong et al. 2018, arXiv:1809.00076.
    """
    if not target.is_floating_point():
        entropy = cross_entropy(log_probabilities, target)
        return label_weight[target] * guarded_power(_exact(entropy, log_probabilities), gamma)
    weight = beside_classes(label_weight, target)
    entropies = _exact(-log_probabilities, log_probabilities)
    return expected_over_target(weight * guarded_power(entropies, gamma), target)


def binary_powered_cross_entropy(
    log_probabilities: Tensor,
    log_complements: Tensor,
    target: Tensor,
    gamma: float,
    label_weights: tuple[Tensor, Tensor],
) -> Tensor:
    """v_c t_c (-ln p_c)^gamma + w_c (1 - t_c)(-ln(1 - p_c))^gamma, (N, C, *S).

    :func:`powered_cross_entropy` of yes-or-no questions; ``label_weights`` are v, w of shape (C,).
    """
    on_yes, on_no = (beside_classes(w, log_probabilities) for w in label_weights)
    if not target.is_floating_point():
        yes = is_class(target, log_probabilities)
        entropy = -torch.where(yes, log_probabilities, log_complements)
        return torch.where(yes, on_yes, on_no) * guarded_power(entropy, gamma)
    at_yes = on_yes * target * guarded_power(-log_probabilities, gamma)
    return at_yes + on_no * (1 - target) * guarded_power(-log_complements, gamma)


def label_weights(frequencies: Tensor, total: Tensor) -> Tensor:
    """sqrt(total / f) of every frequency, 0 for a label that never occurs.

    Wong et al. 2018, arXiv:1809.00076.

    >>> import torch
    >>> label_weights(torch.tensor([1., 3., 0.]), torch.tensor(4.))
    tensor([2.0000, 1.1547, 0.0000])
    """
    occurs = frequencies > 0
    return torch.where(occurs, (total / torch.where(occurs, frequencies, 1.0)).sqrt(), 0.0)


def largest_values(values: Tensor, weight: Tensor | None, percent: float, least: int = 1) -> Tensor:
    """How much of every pixel is among the ``percent`` largest values, in the shape of ``values``.

    Pixels count by their weight; as many as fit into max(``least``, floor(percent / 100 of the
    whole mass)) are kept, the last of them in part. Where values are equal, any may be kept.

    >>> import torch
    >>> largest_values(torch.tensor([[1., 4., 3., 2.]]), torch.tensor([[1., 1., 2., 0.]]), 50.0)
    tensor([[0., 1., 1., 0.]])
    """
    flat = values.detach().flatten()
    order = flat.argsort(descending=True)
    # in single precision a running sum stops growing at 2^24 pixels (Apple's GPUs have no other)
    precision = torch.float32 if values.device.type == "mps" else torch.float64
    mass = torch.ones_like(flat) if weight is None else weight.flatten()[order]
    mass = mass.to(precision)
    running = mass.cumsum(0)
    # the small number: rounding must not cost a pixel
    budget = (percent * mass.sum() / 100 + 1e-6).floor().clamp(min=float(least))
    kept = torch.minimum((budget - (running - mass)).clamp(min=0.0), mass)
    return torch.zeros_like(flat).scatter(0, order, kept.to(flat.dtype)).view(values.shape)


def mime(probabilities: Tensor, target: Tensor, a: float, b: float) -> Tensor:
    """omega_c p_c with omega = -a t + b (1 - t), (N, C, *S).

    Kervadec & de Bruijne 2023, "On the dice loss gradient and the ways to mimic it".
    """
    if target.is_floating_point():
        return (b - (a + b) * target) * probabilities
    own = is_class(target, probabilities)
    return torch.where(own, -a * probabilities, b * probabilities)


def mime_of_label(probabilities: Tensor, a: float, b: float) -> Tensor:
    """The sum of :func:`mime` over exclusive classes: -a p + b (1 - p), p that of the label.

    >>> import torch
    >>> mime_of_label(torch.tensor([1.0, 0.5]), a=1.9, b=0.1)
    tensor([-1.9000, -0.9000])
    """
    return b - (a + b) * probabilities


def inverse_frequency_weights(target: Tensor, num_classes: int) -> Tensor:
    """w_c = N / N_c over the labels of ``target``, 0 for a class that is absent.

    >>> import torch
    >>> inverse_frequency_weights(torch.tensor([[0, 1, 2], [0, 1, 1]]), 3)
    tensor([3., 2., 6.])
    """
    counts = torch.bincount(target.flatten(), minlength=num_classes)
    weights = target.numel() / counts.clamp(min=1)
    return torch.where(counts > 0, weights, 0.0)


def _exact(entropies: Tensor, log_probabilities: Tensor) -> Tensor:
    """-ln p from ln p of exclusive classes, with its digits also where p rounds to 1.

    There the others are all that is left: -ln p_c = -ln(1 - sum of p_k over k != c).
    """
    largest, place = log_probabilities.max(1, keepdim=True)
    left = log_probabilities.exp().scatter(1, place, 0.0).sum(1, keepdim=True)
    near = largest > NEAR_ONE
    small = -torch.log1p(-torch.where(near, left, 0.0))
    if entropies.ndim < log_probabilities.ndim:
        near, small, largest = near.squeeze(1), small.squeeze(1), largest.squeeze(1)
    return torch.where(near & (entropies == -largest), small, entropies)


def _focal_term(log_p: Tensor, gamma: float, epsilon: float = 0.0) -> Tensor:
    term = -log_p if gamma == 0 else -guarded_power(-torch.expm1(log_p), gamma) * log_p
    return term + epsilon * (-torch.expm1(log_p)).pow(gamma + 1) if epsilon else term


def is_class(target: Tensor, values: Tensor) -> Tensor:
    """(N, C, *S) bool: whether the label is the class of the channel."""
    classes = torch.arange(values.shape[1], device=values.device)
    return target.unsqueeze(1) == classes.view(-1, *(1,) * (target.ndim - 1))
