"""Active boundary loss, as plain loops in float64."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from reference.oracle import Array, class_factors

#: Row and column of down, up, left, right, up-right, down-right, up-left, down-left.
STEPS = [(1, 0), (-1, 0), (0, -1), (0, 1), (-1, 1), (1, 1), (-1, -1), (1, -1)]


def kl(a: Array, b: Array) -> float:
    """Of two distributions, from their logarithms."""
    return sum(math.exp(x) * (x - y) for x, y in zip(a, b, strict=True))


def change(log_p: Array, valid: Array) -> Array:
    """The KL map of an image (C, H, W)."""
    found = np.zeros(valid.shape)
    for i, j in np.ndindex(*valid.shape):
        for a, b in ((i + 1, j), (i, j + 1)):
            inside = a < valid.shape[0] and b < valid.shape[1]
            if inside and valid[i, j] and valid[a, b]:
                found[i, j] += kl(log_p[:, i, j], log_p[:, a, b])
    return found


def core(changes: Array, valid: Array, share: float) -> Array:
    threshold = 1e-5
    while (changes > threshold).sum() > share * valid.sum():
        threshold *= 1.2
    return changes > threshold


def grown(mask: Array, valid: Array) -> Array:
    found = np.zeros(mask.shape, bool)
    for i, j in np.ndindex(*mask.shape):
        around = mask[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        found[i, j] = valid[i, j] and around.any()
    return found


def true_boundary(labels: Array, valid: Array) -> Array:
    found = np.zeros(valid.shape, bool)
    for i, j in np.ndindex(*valid.shape):
        for a, b in ((i + 1, j), (i, j + 1)):
            inside = a < valid.shape[0] and b < valid.shape[1]
            if inside and valid[i, j] and valid[a, b]:
                found[i, j] |= labels[i, j] != labels[a, b]
    return found


def distances(boundary: Array) -> Array:
    found = np.zeros(boundary.shape)
    places = [(a, b) for a, b in np.ndindex(*boundary.shape) if boundary[a, b]]
    for i, j in np.ndindex(*boundary.shape):
        nearest = min((math.hypot(i - a, j - b) for a, b in places), default=0.0)
        found[i, j] = max(nearest - 1, 0.0)
    return found


def image_values(
    log_p: Array,
    fixed: Array,
    labels: Array,
    valid: Array,
    share: float,
    theta: float,
    smoothing: float,
) -> tuple[Array, Array]:
    """Values and the pixels that should move; ``fixed`` are the distributions held constant."""
    height, width = valid.shape
    predicted = grown(core(change(fixed, valid), valid, share), valid)
    far = distances(true_boundary(labels, valid))
    values, moving = np.zeros(valid.shape), np.zeros(valid.shape, bool)
    for i, j in np.ndindex(height, width):
        if not predicted[i, j]:
            continue
        ways, scores = [], []
        for a, b in STEPS:
            inside = 0 <= i + a < height and 0 <= j + b < width
            exists = inside and valid[i + a, j + b]
            ways.append(far[i + a, j + b] if exists else 1e5)
            near = min(max(i + a, 0), height - 1), min(max(j + b, 0), width - 1)
            scores.append(kl(fixed[:, *near], log_p[:, i, j]) if valid[near] else 0.0)
        ways.append(far[i, j])
        best = min(range(9), key=lambda k: (ways[k], k))
        if best == 8:
            continue
        moving[i, j] = True
        top = max(scores)
        log_sum = top + math.log(sum(math.exp(s - top) for s in scores))
        cost = 0.0
        for k in range(8):
            q = 1 - smoothing if k == best else smoothing / 8
            cost -= q * (scores[k] - log_sum)
        values[i, j] = cost * min(far[i, j], theta) / theta
    return values, moving


def active_boundary(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    boundary_share: float = 0.01,
    max_distance: float = 20.0,
    label_smoothing: float = 0.2,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    factors = class_factors(p.shape[1], class_weight, include_background)
    log_p, table, mass = np.log(p), np.zeros(w.shape), 0.0
    for n in range(len(p)):
        labels = t[n].argmax(0)
        values, moving = image_values(
            log_p[n],
            log_p[n],
            labels,
            w[n] > 0,
            boundary_share,
            max_distance,
            label_smoothing,
        )
        for i, j in np.ndindex(*values.shape):
            if moving[i, j]:
                table[n, i, j] = w[n, i, j] * factors[labels[i, j]] * values[i, j]
                mass += w[n, i, j]
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    return float(table.sum() / mass) if mass > 0 else 0.0


#: Name of the loss -> its oracle, with the share of the catalogue's example.
ORACLES: dict[str, Callable[..., Any]] = {
    "ActiveBoundaryLoss": functools.partial(active_boundary, boundary_share=0.3)
}
