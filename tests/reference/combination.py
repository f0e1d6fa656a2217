"""Sums of a region and a pixel loss, as plain loops in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from reference.oracle import (
    Array,
    both,
    class_factors,
    cross_entropy,
    dice,
    focal,
    generalized_dice,
    pixel_loss,
    table_loss,
)

#: Arguments that only the region part has.
REGION = ("smooth", "classes", "per_image", "include_background", "overlap")
#: Arguments that only the pixel part has.
PIXEL = ("normalize", "label_smoothing", "pos_weight")


def _parts(policy: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of the region part and those of the pixel part."""
    region = {name: value for name, value in policy.items() if name not in PIXEL}
    shared = {name: value for name, value in policy.items() if name not in REGION}
    return region, shared


def _pixels(
    yes: Callable[[int, float], float],
    no: Callable[[int, float], float],
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    """``yes(c, q)`` is what class c costs where it is true and has probability q.

    ``no(c, q)`` is what it costs, as a question, where it isn't and 1 - p = q.
    """
    classes = p.shape[1]
    factors = class_factors(classes, class_weight, include_background)
    included = classes - (not include_background)

    def term(p_u: Array, t_u: Array) -> float:
        value = 0.0
        for c in range(classes):
            if t_u[c] > 0:
                value += factors[c] * t_u[c] * yes(c, p_u[c])
            if not exclusive and t_u[c] < 1:
                value += factors[c] * (1 - t_u[c]) * no(c, 1 - p_u[c])
        return value if exclusive else value / included

    return pixel_loss(term, p, t, w, reduction=reduction)


def dice_ce(
    p: Array, t: Array, w: Array, *, lambda_dice: float = 1.0, lambda_ce: float = 1.0, **policy
) -> float:
    region, pixel = _parts(policy)
    return lambda_dice * dice(p, t, w, **region) + lambda_ce * cross_entropy(p, t, w, **pixel)


def dice_focal(
    p: Array,
    t: Array,
    w: Array,
    *,
    lambda_dice: float = 1.0,
    lambda_focal: float = 1.0,
    gamma: float = 2.0,
    alpha: float | list[float] | None = None,
    **policy,
) -> float:
    region, pixel = _parts(policy)
    on_pixels = focal(p, t, w, gamma=gamma, alpha=alpha, **pixel)
    return lambda_dice * dice(p, t, w, **region) + lambda_focal * on_pixels


def generalized_dice_focal(
    p: Array,
    t: Array,
    w: Array,
    *,
    lambda_gdl: float = 1.0,
    lambda_focal: float = 1.0,
    gamma: float = 2.0,
    alpha: float | list[float] | None = None,
    weighting: str = "square",
    **policy,
) -> float:
    region, pixel = _parts(policy)
    on_pixels = focal(p, t, w, gamma=gamma, alpha=alpha, **pixel)
    on_classes = generalized_dice(p, t, w, weighting=weighting, **region)
    return lambda_gdl * on_classes + lambda_focal * on_pixels


def combo(
    p: Array,
    t: Array,
    w: Array,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float | tuple[float, float] = 1.0,
    **policy,
) -> float:
    region, pixel = _parts(policy)
    weighted = _pixels(
        lambda c, q: -beta * math.log(q), lambda c, q: -(1 - beta) * math.log(q), p, t, w, **pixel
    )
    return alpha * weighted + (1 - alpha) * dice(p, t, w, smooth=smooth, **region)


def exponential_logarithmic(
    p: Array,
    t: Array,
    w: Array,
    *,
    lambda_dice: float = 0.8,
    lambda_ce: float = 0.2,
    gamma_dice: float = 0.3,
    gamma_ce: float = 0.3,
    frequencies: list[float] | None = None,
    smooth: float | tuple[float, float] = 1.0,
    overlap: str = "product",
    exclusive: bool = True,
    **policy,
) -> float:
    region, pixel = _parts(policy)
    classes = p.shape[1]
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    if frequencies is None:
        f = [float(np.sum(w * t[:, c])) for c in range(classes)]
        total = sum(f) if exclusive else float(np.sum(w))
    else:
        f, total = frequencies, sum(frequencies) if exclusive else 1.0

    def label_weight(frequency: float) -> float:
        return math.sqrt(total / frequency) if frequency > 1e-12 else 0.0

    def logarithm_of_dice(p_c: Array, t_c: Array, weights: Array) -> float:
        keep = weights > 0
        p_c, t_c, weights = p_c[keep], t_c[keep], weights[keep]
        mass = sum(weights * p_c) + sum(weights * t_c) + lower
        hits = sum(weights * both(p_c, t_c, overlap))
        coefficient = 1.0 if mass == 0 else (2 * hits + upper) / mass
        return max(0.0, -math.log(max(coefficient, 1e-7))) ** gamma_dice

    on_pixels = _pixels(
        lambda c, q: label_weight(f[c]) * (-math.log(q)) ** gamma_ce,
        lambda c, q: label_weight(total - f[c]) * (-math.log(q)) ** gamma_ce,
        p,
        t,
        w,
        exclusive=exclusive,
        **pixel,
    )
    return lambda_dice * table_loss(logarithm_of_dice, p, t, w, **region) + lambda_ce * on_pixels


def unified_focal(
    p: Array,
    t: Array,
    w: Array,
    *,
    focal_share: float = 0.5,
    delta: float = 0.6,
    gamma: float = 0.5,
    form: str = "asymmetric",
    smooth: float | tuple[float, float] = 1e-5,
    overlap: str = "product",
    exclusive: bool = True,
    **policy,
) -> float:
    region, pixel = _parts(policy)
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    fades = {"asymmetric": (gamma, 0.0), "symmetric": (gamma, gamma)}[form]
    lifts = {"asymmetric": (1.0, 1 - gamma), "symmetric": (1 - gamma, 1 - gamma)}[form]

    def faded(background: bool, q: float) -> float:
        fade = fades[0] if background else fades[1]
        return -(1 - delta if background else delta) * (1 - q) ** fade * math.log(q)

    def lifted(p_c: Array, t_c: Array, weights: Array, background: bool) -> float:
        keep = weights > 0
        p_c, t_c, weights = p_c[keep], t_c[keep], weights[keep]
        common = both(p_c, t_c, overlap)
        tp, fn, fp = (sum(weights * x) for x in (common, t_c - common, p_c - common))
        mass = tp + delta * fn + (1 - delta) * fp + lower
        index = 1.0 if mass == 0 else (tp + upper) / mass
        return max(0.0, 1 - index) ** (lifts[0] if background else lifts[1])

    def of_question(p_c: Array, t_c: Array, weights: Array) -> float:
        on_background = lifted(1 - p_c, 1 - t_c, weights, True)
        return (on_background + lifted(p_c, t_c, weights, False)) / 2

    on_pixels = _pixels(
        lambda c, q: faded(exclusive and c == 0, q),
        lambda c, q: faded(True, q),
        p,
        t,
        w,
        exclusive=exclusive,
        **pixel,
    )
    if exclusive:
        table = _table_of_classes(lifted, p, t, w, **region)
    else:
        table = table_loss(of_question, p, t, w, **region)
    return (1 - focal_share) * table + focal_share * on_pixels


def _table_of_classes(
    value: Callable[[Array, Array, Array, bool], float],
    p: Array,
    t: Array,
    w: Array,
    *,
    classes: str = "all",
    per_image: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float:
    """As ``table_loss``, for a loss to which it matters whether a class is the background."""
    factors = class_factors(p.shape[1], class_weight, include_background)
    groups = [[n] for n in range(len(p))] if per_image else [list(range(len(p)))]
    means, everything = [], 0.0
    for members in groups:
        weights = np.concatenate([w[n] for n in members])
        total, mass = 0.0, 0.0
        for c in range(p.shape[1]):
            p_c = np.concatenate([p[n, c] for n in members])
            t_c = np.concatenate([t[n, c] for n in members])
            if sum(weights) == 0 or (classes == "present" and sum(weights * t_c) == 0):
                continue
            total += factors[c] * value(p_c, t_c, weights, c == 0)
            mass += factors[c]
        everything += total
        if mass > 0:
            means.append(total / mass)
    if reduction == "sum":
        return everything
    return float(np.mean(means)) if means else 0.0


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "DiceCELoss": dice_ce,
    "DiceFocalLoss": dice_focal,
    "GeneralizedDiceFocalLoss": generalized_dice_focal,
    "ComboLoss": combo,
    "ExponentialLogarithmicLoss": exponential_logarithmic,
    "UnifiedFocalLoss": unified_focal,
}
