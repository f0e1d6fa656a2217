"""Overlap losses of differences, and the correlation of two masks, as plain loops in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from reference.oracle import Array, table_loss


def _pixels(p: Array, t: Array, w: Array) -> Iterator[tuple[float, float, float]]:
    return (one for one in zip(p, t, w, strict=True) if one[2] > 0)


def _pair(smooth: float | tuple[float, float]) -> tuple[float, float]:
    return smooth if isinstance(smooth, tuple) else (smooth, smooth)


def _one_minus(hits: float, mass: float, smooth: float | tuple[float, float]) -> float:
    upper, lower = _pair(smooth)
    return 0.0 if mass + lower == 0 else 1 - (hits + upper) / (mass + lower)


def dice_semimetric(
    p: Array,
    t: Array,
    w: Array,
    *,
    form: str = "norms",
    smooth: float | tuple[float, float] = 1e-3,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        both = apart = product = 0.0
        for x, y, weight in _pixels(p_c, t_c, weights):
            both += weight * abs(x + y)
            apart += weight * abs(x - y)
            product += weight * x * y
        if form == "norms":
            return _one_minus(both - apart, both, smooth)
        return _one_minus(2 * product, 2 * product + apart, smooth)

    return table_loss(value, p, t, w, **policy)


def tversky_semimetric(
    p: Array,
    t: Array,
    w: Array,
    *,
    fp_weight: float = 0.3,
    fn_weight: float = 0.7,
    form: str = "norms",
    smooth: float | tuple[float, float] = 1e-3,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        common = wrong = 0.0
        for x, y, weight in _pixels(p_c, t_c, weights):
            common += weight * (min(x, y) if form == "norms" else x * y)
            wrong += weight * (fp_weight * (x - y) if x > y else fn_weight * (y - x))
        return _one_minus(common, common + wrong, smooth)

    return table_loss(value, p, t, w, **policy)


def dice_plus_plus(
    p: Array,
    t: Array,
    w: Array,
    *,
    gamma: float = 2.0,
    smooth: float | tuple[float, float] = 1e-5,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        hits = wrong = 0.0
        for x, y, weight in _pixels(p_c, t_c, weights):
            hits += 2 * weight * x * y
            wrong += weight * ((x * (1 - y)) ** gamma + ((1 - x) * y) ** gamma)
        return _one_minus(hits, hits + wrong, smooth)

    return table_loss(value, p, t, w, **policy)


def noise_robust_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    gamma: float = 1.5,
    smooth: float | tuple[float, float] = 1e-5,
    classes: str = "present",
    per_image: bool = False,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        apart = squares = 0.0
        for x, y, weight in _pixels(p_c, t_c, weights):
            apart += weight * abs(x - y) ** gamma
            squares += weight * (x**2 + y**2)
        return _one_minus(squares - apart, squares, smooth)

    return table_loss(value, p, t, w, classes=classes, per_image=per_image, **policy)


def matthews_correlation(
    p: Array,
    t: Array,
    w: Array,
    *,
    smooth: float | tuple[float, float] = 1e-5,
    overlap: str = "product",
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    upper, lower = _pair(smooth)

    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        tp = tn = fp = fn = 0.0
        for x, y, weight in _pixels(p_c, t_c, weights):
            common = x * y if overlap == "product" else min(x, y)
            tp += weight * common
            fp += weight * (x - common)
            fn += weight * (y - common)
            tn += weight * (1 - x - y + common)
        right, left = tp + lower, tn + lower
        root = math.sqrt((right + fp) * (right + fn) * (left + fp) * (left + fn))
        if root == 0:
            return 0.0 if fp == fn == 0 else 1.0
        return 1 - ((tp + upper) * (tn + upper) - fp * fn) / root

    return table_loss(value, p, t, w, **policy)


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "DiceSemimetricLoss": dice_semimetric,
    "TverskySemimetricLoss": tversky_semimetric,
    "DicePlusPlusLoss": dice_plus_plus,
    "NoiseRobustDiceLoss": noise_robust_dice,
    "MatthewsCorrelationLoss": matthews_correlation,
}
