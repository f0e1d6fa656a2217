"""Losses after the Hausdorff distance, as plain loops in float64."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reference.oracle import Array, class_factors

Pixel = tuple[int, ...]


def pixels(shape: tuple[int, ...]) -> Iterator[Pixel]:
    return itertools.product(*(range(size) for size in shape))


def distance(u: Pixel, v: Pixel, spacing: tuple[float, ...]) -> float:
    return math.sqrt(sum((s * (a - b)) ** 2 for a, b, s in zip(u, v, spacing, strict=True)))


def field(mask: Array, counted: Array, spacing: tuple[float, ...] | None = None) -> Array:
    """From every pixel the way to the nearest one on the other side, over all pairs of pixels."""
    steps = (1.0,) * mask.ndim if spacing is None else spacing
    found = np.zeros(mask.shape)
    for u in pixels(mask.shape):
        if not counted[u]:
            continue
        others = [v for v in pixels(mask.shape) if counted[v] and bool(mask[v]) != bool(mask[u])]
        found[u] = min((distance(u, v, steps) for v in others), default=0.0)
    return found


def mean_over_classes_and_pixels(
    of_class: Callable[[Array, Array, Array], Array],
    p: Array,
    t: Array,
    w: Array,
    *,
    class_weight: list[float] | None = None,
    include_background: bool = False,
    reduction: str = "mean",
) -> float | Array:
    """``of_class`` maps (p, t, valid), each of an image and class, to a value a pixel."""
    images, classes = p.shape[:2]
    background_counts = include_background or classes == 1
    factors = class_factors(classes, class_weight, background_counts)
    values = np.zeros(w.shape)
    total, mass = 0.0, 0.0
    for n in range(images):
        for c in range(classes):
            if c == 0 and not background_counts:
                continue
            of_pixels = of_class(p[n, c], t[n, c], w[n] > 0)
            for u in pixels(w[n].shape):
                if w[n][u] > 0:
                    share = factors[c] / (classes - (not background_counts))
                    values[n][u] += w[n][u] * share * of_pixels[u]
        mass += w[n].sum()
        total += values[n].sum()
    if reduction == "none":
        return values
    if reduction == "sum":
        return total
    return total / mass if mass > 0 else 0.0


def hausdorff_distance_transform(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    alpha: float = 2.0,
    spacing: tuple[float, ...] | None = None,
    **policy: Any,
) -> float | Array:
    def of_class(p: Array, t: Array, valid: Array) -> Array:
        d_p, d_t = field(p > 0.5, valid, spacing), field(t > 0.5, valid, spacing)
        values = np.zeros(p.shape)
        for u in pixels(p.shape):
            values[u] = (p[u] - t[u]) ** 2 * (d_p[u] ** alpha + d_t[u] ** alpha)
        return values

    return mean_over_classes_and_pixels(of_class, p, t, w, **policy)


def eroded(error: Array, counted: Array, threshold: str) -> Array:
    soft = np.zeros(error.shape)
    for u in pixels(error.shape):
        total = error[u]
        for axis in range(error.ndim):
            for step in (-1, 1):
                v = tuple(x + step * (a == axis) for a, x in enumerate(u))
                if 0 <= v[axis] < error.shape[axis]:
                    total += error[v]
        mean = total / (2 * error.ndim + 1)
        if counted[u]:
            soft[u] = max(mean - 0.5, 0) if threshold == "minmax" else min(max(2 * mean - 1, 0), 1)
    if threshold == "minmax" and counted.any():
        low, high = soft[counted].min(), soft[counted].max()
        if high > low:
            soft = np.where(counted, (soft - low) / (high - low), 0.0)
    return soft


def hausdorff_erosion(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    alpha: float = 2.0,
    erosions: int = 10,
    threshold: str = "minmax",
    **policy: Any,
) -> float | Array:
    def of_class(p: Array, t: Array, valid: Array) -> Array:
        error = np.where(valid, (p - t) ** 2, 0.0)
        values = np.zeros(p.shape)
        for k in range(1, erosions + 1):
            error = eroded(error, valid, threshold)
            values += k**alpha * error
        return values

    return mean_over_classes_and_pixels(of_class, p, t, w, **policy)


@functools.cache
def ball_size(radius: float, dimensions: int) -> int:
    reach = range(-int(radius), int(radius) + 1)
    offsets = itertools.product(reach, repeat=dimensions)
    return sum(sum(x * x for x in offset) <= radius**2 for offset in offsets)


def mean_over_ball(values: Array, u: Pixel, radius: float) -> float:
    total = 0.0
    for v in pixels(values.shape):
        if sum((a - b) ** 2 for a, b in zip(u, v, strict=True)) <= radius**2:
            total += values[v]
    return total / ball_size(radius, values.ndim)


def hausdorff_convolution(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    alpha: float = 2.0,
    radii: tuple[float, ...] = (3, 6, 9, 12, 15, 18),
    **policy: Any,
) -> float | Array:
    def threshold(x: float) -> float:
        return min(max(2 * x - 1, 0.0), 1.0)

    def of_class(p: Array, t: Array, valid: Array) -> Array:
        p, t = np.where(valid, p, 0.0), np.where(valid, t, 0.0)
        values = np.zeros(p.shape)
        for u in pixels(p.shape):
            error = (p[u] - t[u]) ** 2
            for radius in radii:
                near_p, near_t = mean_over_ball(p, u, radius), mean_over_ball(t, u, radius)
                values[u] += radius**alpha * threshold(1 - near_t) * error * p[u]
                values[u] += radius**alpha * threshold(near_t) * error * t[u]
                values[u] += radius**alpha * threshold(1 - near_p) * error * t[u]
                values[u] += radius**alpha * threshold(near_p) * error * p[u]
        return values

    return mean_over_classes_and_pixels(of_class, p, t, w, **policy)


def log_hausdorff_distance_transform(p: Array, t: Array, w: Array, **policy: Any) -> float | Array:
    return np.log1p(hausdorff_distance_transform(p, t, w, **policy))


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "HausdorffDistanceTransformLoss": hausdorff_distance_transform,
    "LogHausdorffDistanceTransformLoss": log_hausdorff_distance_transform,
    "HausdorffErosionLoss": hausdorff_erosion,
    "HausdorffConvolutionLoss": hausdorff_convolution,
}
