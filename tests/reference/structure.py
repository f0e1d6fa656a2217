"""Losses of orders, windows and whole images, as plain loops in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from reference.oracle import Array, class_factors, cross_entropy


def _corners(shape: tuple[int, ...], side: int, step: int) -> list[tuple[int, ...]]:
    """The first pixel of every block of an image."""
    return list(itertools.product(*(range(0, size - side + 1, step) for size in shape)))


def _block(corner: tuple[int, ...], side: int) -> list[tuple[int, ...]]:
    """The pixels of a block."""
    steps = itertools.product(range(side), repeat=len(corner))
    return [tuple(a + b for a, b in zip(corner, step, strict=True)) for step in steps]


def _pool(image: Array, weight: Array, side: int) -> tuple[Array, Array]:
    """Means of blocks, and what these weigh: nothing if one of their pixels doesn't count."""
    shape = tuple(size // side for size in image.shape)
    values, weights = np.zeros(shape), np.zeros(shape)
    for corner in _corners(image.shape, side, side):
        pixels = _block(corner, side)
        place = tuple(a // side for a in corner)
        if all(weight[u] > 0 for u in pixels):
            values[place] = sum(image[u] for u in pixels) / len(pixels)
            weights[place] = sum(weight[u] for u in pixels) / len(pixels)
    return values, weights


def region_mutual_information_part(
    p: Array, t: Array, w: Array, radius: int, downsample: int | None, epsilon: float
) -> float:
    """ln det(M + epsilon I) / (2 d) of one class of one image, by the inverse of Spp."""
    side = downsample or 1
    p, weights = _pool(p, w, side)
    t, _ = _pool(t, w, side)
    rows, masses = [], []
    for corner in _corners(p.shape, radius, 1):
        pixels = _block(corner, radius)
        if all(weights[u] > 0 for u in pixels):
            rows.append(([p[u] for u in pixels], [t[u] for u in pixels]))
            masses.append(sum(weights[u] for u in pixels) / len(pixels))
    if not rows:
        return 0.0
    x, y = (np.array([row[k] for row in rows]) for k in (0, 1))
    d = x.shape[1]
    mean_x = sum(m * v for m, v in zip(masses, x, strict=True)) / sum(masses)
    mean_y = sum(m * v for m, v in zip(masses, y, strict=True)) / sum(masses)
    s_xx, s_xy, s_yy = np.zeros((d, d)), np.zeros((d, d)), np.zeros((d, d))
    for m, a, b in zip(masses, x, y, strict=True):
        s_xx += m * np.outer(a - mean_x, a - mean_x)
        s_xy += m * np.outer(a - mean_x, b - mean_y)
        s_yy += m * np.outer(b - mean_y, b - mean_y)
    unexplained = s_yy - s_xy.T @ np.linalg.inv(s_xx + epsilon * np.eye(d)) @ s_xy
    sign, log_determinant = np.linalg.slogdet(unexplained + epsilon * np.eye(d))
    assert sign > 0
    return float(log_determinant / 2 / d)


def region_mutual_information(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    radius: int = 3,
    downsample: int | None = 4,
    epsilon: float = 5e-4,
    bce_weight: float = 0.5,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    images, classes = p.shape[:2]
    factors = class_factors(classes, class_weight, include_background)
    table = np.zeros((images, classes))
    means = []
    for n in range(images):
        if not (w[n] > 0).any():
            continue
        for c in range(classes):
            cost, mass = 0.0, 0.0
            for u in np.ndindex(w[n].shape):
                if w[n][u] > 0:
                    likely = p[n, c][u]
                    cost -= w[n][u] * t[n, c][u] * math.log(likely)
                    cost -= w[n][u] * (1 - t[n, c][u]) * math.log(1 - likely)
                    mass += w[n][u]
            dependence = region_mutual_information_part(
                p[n, c], t[n, c], w[n], radius, downsample, epsilon
            )
            value = bce_weight * cost / mass + (1 - bce_weight) * dependence
            table[n, c] = factors[c] * value
        means.append(sum(table[n]) / sum(factors))
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    return float(np.mean(means)) if means else 0.0


def robust_t(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    log_degrees: float = 1.0,
    log_precision: float = 0.0,
    epsilon: float = 1e-8,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    images, classes = p.shape[:2]
    factors = class_factors(classes, class_weight, include_background)
    bent = log_degrees if log_degrees >= -4 else -5 + math.exp(log_degrees + 4)
    nu = math.exp(bent) + epsilon
    column = np.zeros((images, 1))
    counted = 0
    for n in range(images):
        count, squares = 0.0, 0.0
        for c in range(classes):
            for u in np.ndindex(w[n].shape):
                share = factors[c] * w[n][u]
                if share > 0:
                    count += share
                    squares += share * (p[n, c][u] - t[n, c][u]) ** 2
        if count == 0:
            continue
        counted += 1
        column[n, 0] = (
            -math.lgamma((nu + count) / 2)
            + math.lgamma(nu / 2)
            - log_precision * count / 2
            + count / 2 * math.log(math.pi * nu)
            + (nu + count) / 2 * math.log(1 + math.exp(log_precision) * squares / nu)
        )
    if reduction == "none":
        return column
    if reduction == "sum":
        return float(column.sum())
    return float(column.sum() / counted) if counted else 0.0


def neighbor_aware_calibration(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    penalty_weight: float = 0.1,
    window: int = 3,
    norm: str = "l1",
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    images, classes, *space = p.shape
    factors = class_factors(classes, class_weight, include_background)
    included = classes - (not include_background)
    penalty = np.zeros((images, *space))
    around = list(itertools.product(range(-(window // 2), window // 2 + 1), repeat=len(space)))
    for n, u in itertools.product(range(images), np.ndindex(*space)):
        if w[n][u] == 0:
            continue
        for c in range(classes):
            share = 0.0
            for step in around:
                v = tuple(a + b for a, b in zip(u, step, strict=True))
                inside = all(0 <= a < size for a, size in zip(v, space, strict=True))
                if inside and w[n][v] > 0:
                    share += t[n, c][v] / window ** len(space)
            off = abs(share - z[n, c][u])
            penalty[n][u] += factors[c] * off ** {"l1": 1, "l2": 2}[norm] / included
    flat = (images, classes, math.prod(space))
    entropies = cross_entropy(
        p.reshape(flat),
        t.reshape(flat),
        w.reshape(images, -1),
        exclusive=exclusive,
        class_weight=class_weight,
        include_background=include_background,
        reduction="none",
    )
    values = np.asarray(entropies).reshape(w.shape) + penalty_weight * penalty * w
    if reduction == "none":
        return values
    if reduction == "sum":
        return float(values.sum())
    return float(values.sum() / w.sum()) if w.sum() > 0 else 0.0


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "NeighborAwareCalibrationLoss": neighbor_aware_calibration,
    "RegionMutualInformationLoss": region_mutual_information,
    "RobustTLoss": robust_t,
}
