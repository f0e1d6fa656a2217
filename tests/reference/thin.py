"""Losses of thin structures, as plain loops in float64.

Arrays: ``p`` and ``t`` are ``(N, C, *S)``, the weight ``w`` is ``(N, *S)``; a pixel of weight 0 is
background to skeletons. Sums that several images share are added up before they are divided.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from reference.boundary import inside, places
from reference.oracle import class_factors

Array = NDArray[np.float64]
#: Numerator and denominator of precision and of sensitivity, of one class in one image.
Sums = tuple[float, float, float, float]


def _around(here: tuple[int, ...], shape: tuple[int, ...], diagonal: bool) -> list:
    found = []
    for step in itertools.product((-1, 0, 1), repeat=len(shape)):
        there = tuple(a + b for a, b in zip(here, step, strict=True))
        within = all(0 <= a < size for a, size in zip(there, shape, strict=True))
        if within and (diagonal or sum(abs(s) for s in step) <= 1):
            found.append(there)
    return found


def erosion(x: Array) -> Array:
    result = np.zeros(x.shape)
    for u in places(x.shape):
        result[u] = min(x[v] for v in _around(u, x.shape, diagonal=False))
    return result


def opening(x: Array) -> Array:
    small, result = erosion(x), np.zeros(x.shape)
    for u in places(x.shape):
        result[u] = max(small[v] for v in _around(u, x.shape, diagonal=True))
    return result


def soft_skeleton(x: Array, iterations: int) -> Array:
    """The fuzzy union of what each opening takes away."""
    without = np.ones(x.shape)
    for k in range(iterations + 1):
        x = x if k == 0 else erosion(x)
        without *= 1 - np.maximum(x - opening(x), 0)
    return 1 - without


def tube(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """What of the mask is so many steps along the axes from its skeleton, scikit-image's."""
    result = np.zeros(mask.shape, bool)
    if not mask.any():
        return result
    middle = np.argwhere(skeletonize(mask))
    for u in places(mask.shape):
        near = any(sum(abs(a - b) for a, b in zip(u, v, strict=True)) <= steps for v in middle)
        result[u] = mask[u] and near
    return result


def _ratio(numerator: float, denominator: float, smooth: float | tuple[float, float]) -> float:
    upper, lower = smooth if isinstance(smooth, tuple) else (smooth, smooth)
    return (numerator + upper) / (denominator + lower) if denominator + lower else 1.0


def _harmonic(s: Sums, smooth: float | tuple[float, float]) -> float:
    precision, sensitivity = _ratio(s[0], s[1], smooth), _ratio(s[2], s[3], smooth)
    both = precision + sensitivity
    return 2 * precision * sensitivity / both if both else 0.0


def _grouped(
    sums: Callable[..., tuple[float, ...]],
    value: Callable[[tuple[float, ...]], float],
    p: Array,
    t: Array,
    w: Array,
    *maps: Array,
    classes: str = "all",
    per_image: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = False,
    reduction: str = "mean",
) -> float | Array:
    """Loop over groups and classes; ``sums`` of a class in an image are added over the group."""
    images, channels = p.shape[:2]
    factors = class_factors(channels, class_weight, include_background or channels == 1)
    groups = [[n] for n in range(images)] if per_image else [list(range(images))]
    table, means = np.zeros((len(groups), channels)), []
    for g, members in enumerate(groups):
        total, mass = 0.0, 0.0
        for c in range(channels):
            present = any(t[n, c][w[n] > 0].sum() > 0 for n in members)
            if not any((w[n] > 0).any() for n in members) or (classes == "present" and not present):
                continue
            parts = [
                sums(
                    np.where(w[n] > 0, p[n, c], 0),
                    np.where(w[n] > 0, t[n, c], 0),
                    w[n],
                    *(map[n, c] for map in maps),
                )
                for n in members
            ]
            loss = value(tuple(map(sum, zip(*parts, strict=True))))
            table[g, c] = factors[c] * loss
            total += factors[c] * loss
            mass += factors[c]
        if mass > 0:
            means.append(total / mass)
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    return float(np.mean(means)) if means else 0.0


def centerline_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    iterations: int = 3,
    smooth: float | tuple[float, float] = 1.0,
    exclusive: bool = True,
    z: Array | None = None,
    **policy,
) -> float | Array:
    def sums(p: Array, t: Array, w: Array) -> Sums:
        found, true = soft_skeleton(p, iterations), soft_skeleton(t, iterations)
        return (w * found * t).sum(), (w * found).sum(), (w * true * p).sum(), (w * true).sum()

    return _grouped(sums, lambda s: 1 - _harmonic(s, smooth), p, t, w, **policy)


def dice_centerline_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    alpha: float = 0.5,
    iterations: int = 3,
    smooth: float | tuple[float, float] = 1.0,
    exclusive: bool = True,
    z: Array | None = None,
    **policy,
) -> float | Array:
    def sums(p: Array, t: Array, w: Array) -> tuple[float, float]:
        return (2 * w * p * t).sum(), (w * (p + t)).sum()

    dice = _grouped(sums, lambda s: 1 - _ratio(*s, smooth), p, t, w, **policy)
    cldice = centerline_dice(p, t, w, iterations=iterations, smooth=smooth, **policy)
    return (1 - alpha) * dice + alpha * cldice


def centerline_boundary_dice(
    p: Array,
    t: Array,
    w: Array,
    *,
    iterations: int = 10,
    spacing: tuple[float, ...] | None = None,
    smooth: float | tuple[float, float] = 1.0,
    exclusive: bool = True,
    z: Array | None = None,
    **policy,
) -> float | Array:
    shell = min(spacing) if spacing else 1.0

    def sums(p: Array, t: Array, w: Array, found: Array) -> Sums:
        everywhere = np.ones(p.shape, bool)
        masks = {"found": found & (w > 0), "true": t > 0.5}
        skeletons = {
            "found": soft_skeleton(p, iterations),
            "true": soft_skeleton(masks["true"].astype(float), iterations),
        }
        depth, radius, price = {}, {}, {}
        for name, mask in masks.items():
            d = inside(mask, everywhere, spacing)
            line = mask & (skeletons[name] > 0.5)
            largest = max((d[u] for u in places(p.shape) if line[u]), default=0.0) or shell
            depth[name], radius[name] = np.zeros(p.shape), np.zeros(p.shape)
            price[name] = np.zeros(p.shape)
            for u in places(p.shape):
                depth[name][u] = min(d[u], largest) / largest
                if line[u] and d[u] > 0:
                    radius[name][u] = d[u] / largest
                    price[name][u] = skeletons[name][u] / radius[name][u] ** (p.ndim - 1)
        total = [0.0] * 4
        for u in places(p.shape):
            own, other = radius["found"][u] * p[u], radius["true"][u]
            total[0] += w[u] * price["found"][u] * depth["true"][u]
            total[1] += w[u] * price["found"][u] * (other if other > 0 else own)
            total[2] += w[u] * price["true"][u] * depth["found"][u] * p[u]
            total[3] += w[u] * price["true"][u] * (own if own > 0 else other)
        return tuple(total)

    found = p > 0.5
    if exclusive:
        found = np.zeros(p.shape, bool)
        for n, u in itertools.product(range(len(p)), places(p.shape[2:])):
            found[(n, max(range(p.shape[1]), key=lambda c: p[(n, c, *u)]), *u)] = True
    return _grouped(sums, lambda s: 1 - _harmonic(s, smooth), p, t, w, found, **policy)


def skeleton_recall(
    p: Array,
    t: Array,
    w: Array,
    *,
    smooth: float | tuple[float, float] = 1e-5,
    exclusive: bool = True,
    z: Array | None = None,
    **policy,
) -> float | Array:
    steps = policy.pop("tube", 2)

    def sums(p: Array, t: Array, w: Array) -> tuple[float, float]:
        y = tube(t > 0.5, steps)
        return (w * y * p).sum(), (w * y).sum()

    return _grouped(sums, lambda s: 1 - _ratio(*s, smooth), p, t, w, **policy)


ORACLES: dict[str, Callable[..., Any]] = {
    "CenterlineDiceLoss": centerline_dice,
    "DiceCenterlineDiceLoss": dice_centerline_dice,
    "CenterlineBoundaryDiceLoss": centerline_boundary_dice,
    "SkeletonRecallLoss": skeleton_recall,
}
