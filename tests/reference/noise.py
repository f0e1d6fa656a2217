"""Pixel losses beyond cross-entropy: of wrong labels, and polynomials; as plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from reference.oracle import Array, class_factors, pixel_loss


def _answers(
    cost: Callable[[int, bool, float], float],
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    """``cost(c, yes, q)``: what the answer "yes" or "no" to class c costs, of probability q."""
    classes = p.shape[1]
    factors = class_factors(classes, class_weight, include_background)
    included = classes - (not include_background)

    def term(p_u: Array, t_u: Array) -> float:
        value = 0.0
        for c in range(classes):
            if t_u[c] > 0:
                value += factors[c] * t_u[c] * cost(c, True, p_u[c])
            if not exclusive and t_u[c] < 1:
                value += factors[c] * (1 - t_u[c]) * cost(c, False, 1 - p_u[c])
        return value if exclusive else value / included

    return pixel_loss(term, p, t, w, reduction=reduction)


def generalized_cross_entropy(
    p: Array, t: Array, w: Array, *, q: float = 0.7, truncation: float | None = None, **policy: Any
) -> float | Array:
    def cost(c: int, yes: bool, x: float) -> float:
        kept = x if truncation is None else max(x, truncation)
        return (1 - kept**q) / q

    return _answers(cost, p, t, w, **policy)


def poly_focal(
    p: Array,
    t: Array,
    w: Array,
    *,
    epsilon: float = 1.0,
    gamma: float = 2.0,
    alpha: float | list[float] | None = None,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def share(c: int, yes: bool) -> float:
        if alpha is None:
            return 1.0
        if isinstance(alpha, list):
            return alpha[c] if yes else 1.0
        positive = yes and not (exclusive and c == 0)
        return alpha if positive else 1 - alpha

    def cost(c: int, yes: bool, x: float) -> float:
        series = (1 - x) ** gamma * -math.log(x) + epsilon * (1 - x) ** (gamma + 1)
        return share(c, yes) * series

    return _answers(cost, p, t, w, exclusive=exclusive, **policy)


def poly_cross_entropy(p: Array, t: Array, w: Array, **policy: Any) -> float | Array:
    return poly_focal(p, t, w, gamma=0.0, **policy)


def symmetric_cross_entropy(
    p: Array,
    t: Array,
    w: Array,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    classes = p.shape[1]
    factors = class_factors(classes, class_weight, include_background)

    def log(x: float) -> float:
        return log_zero if x == 0 else max(math.log(x), log_zero)

    def both(weights: list[float], q: list[float], y: list[float]) -> float:
        """Of the probabilities q of some answers, and their shares y in the truth."""
        of_labels = sum(a * b for a, b in zip(weights, y, strict=True))
        forward = sum(a * b * -math.log(c) for a, b, c in zip(weights, y, q, strict=True) if b > 0)
        backward = of_labels * sum(-c * log(b) for b, c in zip(y, q, strict=True))
        return alpha * forward + beta * backward

    def term(p_u: Array, t_u: Array) -> float:
        if exclusive:
            return both(factors, list(p_u), list(t_u))
        total = 0.0
        for c in range(classes):
            total += both([factors[c]] * 2, [p_u[c], 1 - p_u[c]], [t_u[c], 1 - t_u[c]])
        return total / (classes - (not include_background))

    return pixel_loss(term, p, t, w, reduction=reduction)


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "GeneralizedCrossEntropyLoss": generalized_cross_entropy,
    "SymmetricCrossEntropyLoss": symmetric_cross_entropy,
    "PolyCrossEntropyLoss": poly_cross_entropy,
    "PolyFocalLoss": poly_focal,
}
