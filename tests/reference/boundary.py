"""Losses of distances to a boundary, as plain loops in float64.

Distances are those of all pairs of pixels. Arrays: ``p`` and ``t`` are ``(N, C, *S)``, the weight
``w`` is ``(N, *S)``; a pixel of weight 0 is no pixel at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.oracle import class_factors, pixel_loss

Array = NDArray[np.float64]
Place = tuple[int, ...]


def places(shape: tuple[int, ...]) -> Iterator[Place]:
    return itertools.product(*(range(length) for length in shape))


def distance(a: Place, b: Place, spacing: tuple[float, ...] | None = None) -> float:
    steps = spacing or (1.0,) * len(a)
    squares = (((x - y) * h) ** 2 for x, y, h in zip(a, b, steps, strict=True))
    return math.sqrt(sum(squares))


def nearest(
    here: Place, others: list[Place], spacing: tuple[float, ...] | None = None
) -> float | None:
    """The distance to the nearest of some places; None if there are none."""
    return min((distance(here, other, spacing) for other in others), default=None)


def inside(
    mask: NDArray[np.bool_], counted: NDArray[np.bool_], spacing: tuple[float, ...] | None = None
) -> Array:
    """Within a mask, the distance to the nearest counted pixel outside it; 0 without one."""
    result = np.zeros(mask.shape)
    outside = [u for u in places(mask.shape) if counted[u] and not mask[u]]
    for u in places(mask.shape):
        if counted[u] and mask[u]:
            result[u] = nearest(u, outside, spacing) or 0.0
    return result


def signed(
    mask: NDArray[np.bool_], counted: NDArray[np.bool_], spacing: tuple[float, ...] | None = None
) -> Array:
    """d outside, -(d - h) inside with the smallest spacing h; 0 of an empty or a full mask."""
    shell = min(spacing) if spacing else 1.0
    within = inside(mask, counted, spacing)
    without = inside(~mask, counted, spacing)
    return np.where(within > 0, shell - within, without)


def penalty(
    mask: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    map: str,
    spacing: tuple[float, ...] | None = None,
) -> Array:
    """The reversed distance within one region, 0 outside it."""
    shell = min(spacing) if spacing else 1.0
    d = inside(mask, counted, spacing)
    deepest = d.max()
    result = np.zeros(mask.shape)
    for u in places(mask.shape):
        if d[u] == 0:
            continue
        if map == "raw":
            result[u] = deepest - d[u]
        elif deepest == shell:
            result[u] = 1.0
        else:
            result[u] = 1 - (d[u] - shell) / (deepest - shell)
    return result


def rectified(
    mask: NDArray[np.bool_], counted: NDArray[np.bool_], spacing: tuple[float, ...] | None = None
) -> Array:
    """-d / (largest d) within the mask, 1 elsewhere; 0 within a mask of all pixels."""
    d = inside(mask, counted, spacing)
    result = np.ones(mask.shape)
    for u in places(mask.shape):
        if mask[u] and counted[u]:
            result[u] = -d[u] / d.max() if d.max() > 0 else 0.0
    return result


def truncated(
    objects: NDArray[np.int64],
    counted: NDArray[np.bool_],
    bins: int,
    spacing: tuple[float, ...] | None = None,
) -> NDArray[np.int64]:
    """min(ceil(distance to the nearest pixel not of the object), bins - 1); 0 of no object."""
    result = np.zeros(objects.shape, np.int64)
    for u in places(objects.shape):
        if objects[u] == 0 or not counted[u]:
            continue
        others = [v for v in places(objects.shape) if counted[v] and objects[v] != objects[u]]
        d = nearest(u, others, spacing)
        result[u] = bins - 1 if d is None else min(math.ceil(d), bins - 1)
    return result


def each_mask(function: Callable[..., Array], t: Array, w: Array, *arguments: Any) -> Array:
    """A map of every class of every image."""
    result = np.zeros(t.shape)
    for n, c in itertools.product(range(t.shape[0]), range(t.shape[1])):
        result[n, c] = function((t[n, c] > 0.5) & (w[n] > 0), w[n] > 0, *arguments)
    return result


def flat(array: Array, leading: int = 2) -> Array:
    return array.reshape(*array.shape[:leading], math.prod(array.shape[leading:]))


def factors_of(
    classes: int, class_weight: list[float] | None, include_background: bool
) -> tuple[list[float], int]:
    """Class weights, and the number of classes that a mean divides by."""
    return (
        class_factors(classes, class_weight, include_background),
        classes - (not include_background),
    )


def mean_of_classes(
    values: Array,
    w: Array,
    *,
    class_weight: list[float] | None,
    include_background: bool,
    reduction: str,
) -> float | Array:
    """The mean over classes and pixels of values (N, C, *S)."""
    classes = values.shape[1]
    factors, included = factors_of(classes, class_weight, include_background)

    def term(value_u: Array, _: Array) -> float:
        return sum(f * v for f, v in zip(factors, value_u, strict=True)) / included

    return pixel_loss(term, flat(values), flat(values), flat(w, 1), reduction=reduction)


def distance_map_cross_entropy(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    map: str = "normalized",
    spacing: tuple[float, ...] | None = None,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    classes = p.shape[1]
    factors, included = factors_of(classes, class_weight, include_background)

    def phi_of(mask: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Array:
        return penalty(mask, counted, map, spacing) + penalty(~mask, counted, map, spacing)

    phi = each_mask(phi_of, t, w)

    def term(p_u: Array, known: Array) -> float:
        value = 0.0
        for c in range(classes):
            t_c, phi_c = known[c], known[classes + c]
            yes = -t_c * math.log(p_u[c]) if t_c > 0 else 0.0
            no = -(1 - t_c) * math.log(1 - p_u[c]) if t_c < 1 else 0.0
            value += factors[c] * (1 + phi_c) * (yes if exclusive else yes + no)
        return value if exclusive else value / included

    known = np.concatenate([flat(t), flat(phi)], axis=1)
    return pixel_loss(term, flat(p), known, flat(w, 1), reduction=reduction)


def boundary(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    spacing: tuple[float, ...] | None = None,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = False,
    reduction: str = "mean",
) -> float | Array:
    return mean_of_classes(
        p * each_mask(signed, t, w, spacing),
        w,
        class_weight=class_weight,
        include_background=include_background or p.shape[1] == 1,
        reduction=reduction,
    )


def region_wise(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    map: str = "rectified",
    spacing: tuple[float, ...] | None = None,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    return mean_of_classes(
        p * each_mask(rectified if map == "rectified" else signed, t, w, spacing),
        w,
        class_weight=class_weight,
        include_background=include_background,
        reduction=reduction,
    )


def boundary_share(mask: NDArray[np.bool_], w: Array) -> float:
    """The share of a mask's pixels that have a neighbour outside it or beyond the image."""
    edge = area = 0.0
    for u in places(mask.shape):
        if not mask[u] or w[u] == 0:
            continue
        area += w[u]
        alone = False
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            v = tuple(x + step * (axis == a) for a, x in enumerate(u))
            beyond = not all(0 <= x < length for x, length in zip(v, mask.shape, strict=True))
            alone = alone or beyond or (w[v] > 0 and not mask[v])
        edge += w[u] * alone
    return edge / area if area else 0.5


def boundary_dou(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    max_alpha: float = 0.8,
    alpha: float | None = None,
    smooth: float | tuple[float, float] = 1e-5,
    classes: str = "present",
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    images, channels = p.shape[:2]
    factors = class_factors(channels, class_weight, include_background)
    table, means = np.zeros((images, channels)), []
    for n in range(images):
        total = mass = 0.0
        for c in range(channels):
            overlap = predicted = truth = there = 0.0
            for u in places(w[n].shape):
                if w[n][u] > 0:
                    overlap += w[n][u] * p[n, c][u] * t[n, c][u]
                    predicted += w[n][u] * p[n, c][u] ** 2
                    truth += w[n][u] * t[n, c][u] ** 2
                    there += w[n][u] * t[n, c][u]
            if not (w[n] > 0).any() or (classes == "present" and there == 0):
                continue
            share = boundary_share(t[n, c] > 0.5, w[n])
            a = min(max(1 - 2 * share, 0.0), max_alpha) if alpha is None else alpha
            both = predicted + truth
            loss = (both - 2 * overlap + upper) / (both - (1 + a) * overlap + lower)
            table[n, c] = factors[c] * loss
            total += factors[c] * loss
            mass += factors[c]
        if mass > 0:
            means.append(total / mass)
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    return float(np.mean(means)) if means else 0.0


def boundary_aware(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    spacing: tuple[float, ...] | None = None,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    values = np.zeros(p.shape)
    for n in range(p.shape[0]):
        bins = truncated(t[n].argmax(0), w[n] > 0, p.shape[1], spacing)
        for u in places(w[n].shape):
            if w[n][u] == 0:
                continue
            for k in range(p.shape[1]):
                q = p[n, k][u]
                values[n, k][u] = -math.log(q if bins[u] == k else 1 - q)
    return mean_of_classes(
        values,
        w,
        class_weight=class_weight,
        include_background=include_background,
        reduction=reduction,
    )


def active_contour(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    region_weight: float = 1.0,
    fp_weight: float = 1.0,
    eps: float = 1e-8,
    exclusive: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    values = np.zeros(p.shape)
    for n, c in itertools.product(range(p.shape[0]), range(p.shape[1])):
        for u in places(w[n].shape):
            if w[n][u] == 0:
                continue
            squares = eps
            for axis in range(w[n].ndim):
                v = tuple(x + (axis == a) for a, x in enumerate(u))
                if v[axis] < w[n].shape[axis] and w[n][v] > 0:
                    squares += (p[n, c][v] - p[n, c][u]) ** 2
            p_u, t_u = p[n, c][u], t[n, c][u]
            values[n, c][u] = math.sqrt(squares) + region_weight * (
                fp_weight * p_u * (1 - t_u) + (1 - p_u) * t_u
            )
    return mean_of_classes(
        values,
        w,
        class_weight=class_weight,
        include_background=include_background,
        reduction=reduction,
    )


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "DistanceMapCrossEntropyLoss": distance_map_cross_entropy,
    "BoundaryLoss": boundary,
    "RegionWiseLoss": region_wise,
    "BoundaryDoULoss": boundary_dou,
    "BoundaryAwareLoss": boundary_aware,
    "ActiveContourLoss": active_contour,
}
