"""Losses of pixels of which a set of classes is known, in plain loops.

Arrays as in :mod:`reference.oracle`, but ``t`` is 1 for every class that a pixel may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from reference.oracle import Array, class_factors, table_loss


def _sets(t_u: Array) -> list[int]:
    return [c for c in range(len(t_u)) if t_u[c] == 1]


def _reduced(values: Array, w: Array, counts: Array, reduction: str) -> float | Array:
    weighted = np.where(counts, values * w, 0.0)
    if reduction == "none":
        return weighted
    if reduction == "sum":
        return float(weighted.sum())
    mass = float(np.where(counts, w, 0.0).sum())
    return float(weighted.sum()) / mass if mass > 0 else 0.0


def marginal_cross_entropy(
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    factors = class_factors(p.shape[1], class_weight, include_background)
    values, counts = np.zeros(w.shape), np.zeros(w.shape, dtype=bool)
    for n, u in np.ndindex(w.shape):
        group = _sets(t[n, :, u])
        if w[n, u] == 0 or len(group) == p.shape[1]:
            continue
        counts[n, u] = True
        factor = sum(factors[c] for c in group) / len(group)
        values[n, u] = -factor * math.log(sum(p[n, c, u] for c in group))
    return _reduced(values, w, counts, reduction)


def exclusion_cross_entropy(
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    factors = class_factors(p.shape[1], class_weight, include_background)
    values = np.zeros(w.shape)
    for n, u in np.ndindex(w.shape):
        if w[n, u] == 0:
            continue
        group = _sets(t[n, :, u])
        for c in range(p.shape[1]):
            if c not in group:
                values[n, u] += factors[c] * math.log(1 + p[n, c, u])
    return _reduced(values, w, w > 0, reduction)


def _table(
    groups: list[list[int]],
    columns: Callable[[list[int]], list[tuple[int, float, bool]]],
    size: int,
    factors: list[float],
    reduction: str,
) -> float | Array:
    """From (class, value, whether it counts) in every group of images."""
    table, means = np.zeros((len(groups), size)), []
    for g, images in enumerate(groups):
        total, mass = 0.0, 0.0
        for c, value, counts in columns(images):
            if counts and factors[c] > 0:
                table[g, c] = factors[c] * value
                total += factors[c] * value
                mass += factors[c]
        if mass > 0:
            means.append(total / mass)
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    return float(np.mean(means)) if means else 0.0


def _smoothed(upper: float, lower: float, smooth: Any) -> float:
    over, under = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    # what is neither there nor predicted is right
    return 1.0 if lower + under == 0 else (upper + over) / (lower + under)


def _groups(p: Array, per_image: bool) -> list[list[int]]:
    return [[n] for n in range(len(p))] if per_image else [list(range(len(p)))]


def marginal_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    include_background: bool = True,
    smooth: Any = 1e-5,
    classes: str = "all",
    per_image: bool = True,
    reduction: str = "mean",
) -> float | Array:
    number = p.shape[1]

    def columns(images: list[int]) -> list[tuple[int, float, bool]]:
        pixels = [
            (n, u)
            for n in images
            for u in range(p.shape[2])
            if w[n, u] > 0 and len(_sets(t[n, :, u])) < number
        ]
        joined = [{c} for c in range(number)]
        for n, u in pixels:
            group = set(_sets(t[n, :, u]))
            rest = [one for one in joined if not one & group]
            joined = [*rest, set().union(*(one for one in joined if one & group))]
        found = []
        for one in joined:
            overlap = sum(
                w[n, u] * p[n, c, u]
                for n, u in pixels
                for c in one
                if set(_sets(t[n, :, u])) <= one
            )
            predicted = sum(w[n, u] * p[n, c, u] for n, u in pixels for c in one)
            there = sum(w[n, u] for n, u in pixels if set(_sets(t[n, :, u])) <= one)
            value = 1 - _smoothed(2 * overlap, predicted + there, smooth)
            counts = bool(pixels) and (classes == "all" or there > 0)
            found.append((min(one), value, counts))
        return found

    factors = class_factors(number, None, include_background)
    return _table(_groups(p, per_image), columns, number, factors, reduction)


def leaf_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    exclusive: bool = True,
    power: float = 2.0,
    smooth: Any = 1e-5,
    **policy: Any,
) -> float | Array:
    certain = np.zeros_like(t)
    for n, u in np.ndindex(w.shape):
        group = _sets(t[n, :, u])
        if len(group) == 1:
            certain[n, group[0], u] = 1.0

    def value(p_c: Array, there: Array, weights: Array) -> float:
        overlap = sum(weights * p_c * there)
        return 1 - _smoothed(2 * overlap, sum(weights * p_c**power) + sum(weights * there), smooth)

    return table_loss(value, p, certain, w, **policy)


def exclusion_dice(
    p: Array, t: Array, w: Array, *, exclusive: bool = True, **policy: Any
) -> float | Array:
    def value(p_c: Array, possible: Array, weights: Array) -> float:
        excluded = weights * (possible != 1)
        total = sum(weights * p_c) + sum(excluded)
        return 2 * sum(excluded * p_c) / total if total else 0.0

    return table_loss(value, p, t, w, **policy)


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "MarginalCrossEntropyLoss": marginal_cross_entropy,
    "ExclusionCrossEntropyLoss": exclusion_cross_entropy,
    "MarginalDiceLoss": marginal_dice,
    "LeafDiceLoss": leaf_dice,
    "ExclusionLoss": exclusion_dice,
}
