"""Lovász and Jaccard metric losses as plain loops in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference.oracle import Array, table_loss


def jaccard_of_errors(wrong: list[bool], own: list[bool], weights: Array) -> float:
    """The Jaccard loss |M| / |truth or M| when the prediction is wrong exactly on the set M."""
    missed, reached = 0.0, 0.0
    for is_wrong, is_own, weight in zip(wrong, own, weights, strict=True):
        if is_wrong:
            missed += weight
        if is_wrong or is_own:
            reached += weight
    return missed / reached if missed > 0 else 0.0


def lovasz(errors: list[float], own: list[bool], weights: Array) -> float:
    """The Lovasz extension by its definition: the integral over h > 0 of J(pixels of error >= h).

    The set changes only at the errors themselves, so the integral is a sum of rectangles.
    """
    heights = sorted({e for e, weight in zip(errors, weights, strict=True) if weight > 0 and e > 0})
    total, below = 0.0, 0.0
    for height in heights:
        reached = [e >= height and weight > 0 for e, weight in zip(errors, weights, strict=True)]
        total += (height - below) * jaccard_of_errors(reached, own, weights)
        below = height
    return total


def lovasz_softmax(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool = True,
    classes: str = "present",
    per_image: bool = False,
    **policy: Any,
) -> float | Array:
    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        errors = [1 - x if y == 1 else x for x, y in zip(p_c, t_c, strict=True)]
        return lovasz(errors, [y == 1 for y in t_c], weights)

    return table_loss(value, *_flat(p, t, w), classes=classes, per_image=per_image, **policy)


def lovasz_hinge(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def value(z_c: Array, t_c: Array, weights: Array) -> float:
        errors = [max(0.0, 1 - x * (1 if y == 1 else -1)) for x, y in zip(z_c, t_c, strict=True)]
        return lovasz(errors, [y == 1 for y in t_c], weights)

    return table_loss(value, *_flat(z, t, w), **policy)


def jaccard_metric(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool = True,
    form: str = "norms",
    smooth: float | tuple[float, float] = 1e-3,
    **policy: Any,
) -> float | Array:
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)

    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        both, apart, product = 0.0, 0.0, 0.0
        for x, y, weight in zip(p_c, t_c, weights, strict=True):
            if weight == 0:
                continue
            both += weight * abs(x + y)
            apart += weight * abs(x - y)
            product += weight * x * y
        if form == "norms":
            numerator, denominator = both - apart, both + apart
        else:
            numerator, denominator = product, product + apart
        if denominator + lower == 0:
            return 0.0
        return 1 - (numerator + upper) / (denominator + lower)

    return table_loss(value, *_flat(p, t, w), **policy)


def _flat(p: Array, t: Array, w: Array) -> tuple[Array, Array, Array]:
    images, classes = p.shape[:2]
    return p.reshape(images, classes, -1), t.reshape(images, classes, -1), w.reshape(images, -1)


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "LovaszSoftmaxLoss": lovasz_softmax,
    "LovaszHingeLoss": lovasz_hinge,
    "JaccardMetricLoss": jaccard_metric,
}
