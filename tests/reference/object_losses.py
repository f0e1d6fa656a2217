"""Losses of objects as plain loops in float64: every object by itself, on pixels of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reference.oracle import Array, class_factors

Pixel = tuple[int, ...]
#: From (p, t, w) of the pixels of a domain to a value.
Region = Callable[[list[tuple[float, float, float]]], float]


def dice(domain: list[tuple[float, float, float]], smooth: float = 1e-5) -> float:
    overlap = sum(w * p * t for p, t, w in domain)
    total = sum(w * (p + t) for p, t, w in domain)
    return 1 - (2 * overlap + smooth) / (total + smooth)


def tversky(fp: float, fn: float) -> Region:
    def value(domain: list[tuple[float, float, float]]) -> float:
        hit = sum(w * p * t for p, t, w in domain)
        false = sum(w * p * (1 - t) for p, t, w in domain)
        missed = sum(w * (1 - p) * t for p, t, w in domain)
        return 1 - (hit + 1e-5) / (hit + fp * false + fn * missed + 1e-5)

    return value


def squares(domain: list[tuple[float, float, float]]) -> float:
    overlap = sum(w * p * t for p, t, w in domain)
    total = sum(w * (p**2 + t**2) for p, t, w in domain)
    return 1 - (2 * overlap + 1e-5) / (total + 1e-5)


def components(mask: Array, connectivity: int = 1) -> list[set[Pixel]]:
    """The connected sets of true pixels, in the order of their first ones."""
    left = [u for u in np.ndindex(mask.shape) if mask[u]]
    offsets = [
        o
        for o in itertools.product((-1, 0, 1), repeat=mask.ndim)
        if 0 < sum(map(abs, o)) <= connectivity
    ]
    found = []
    while left:
        grown, edge = {left[0]}, [left[0]]
        while edge:
            u = edge.pop()
            for offset in offsets:
                v = tuple(a + b for a, b in zip(u, offset, strict=True))
                if v in left and v not in grown:
                    grown.add(v)
                    edge.append(v)
        found.append(grown)
        left = [u for u in left if u not in grown]
    return found


def nearest(u: Pixel, objects: list[set[Pixel]], spacing: Sequence[float]) -> int:
    """The object with the pixel nearest to u, the first in the order of pixels."""

    def away(v: Pixel) -> tuple[float, Pixel]:
        squared = sum(((a - b) * s) ** 2 for a, b, s in zip(u, v, spacing, strict=True))
        return round(squared, 9), v

    place = min((v for one in objects for v in one), key=away)
    return next(k for k, one in enumerate(objects) if place in one)


def _of_objects(
    p: Array,
    t: Array,
    w: Array,
    domains: Callable[[list[set[Pixel]], list[Pixel]], list[tuple[set[Pixel], list[Pixel]]]],
    *,
    region: Region = dice,
    connectivity: int = 1,
    class_weight: list[float] | None = None,
    include_background: bool = False,
    per_image: bool = True,
    reduction: str = "mean",
    named: Array | None = None,
) -> float | Array:
    """``domains`` says, of objects and valid pixels, which object is compared on which pixels."""
    images, classes = p.shape[:2]
    factors = class_factors(classes, class_weight, include_background or classes == 1)
    values: dict[tuple[int, int], list[float]] = {}
    for n, c in itertools.product(range(images), range(classes)):
        valid = [u for u in np.ndindex(w[n].shape) if w[n][u] > 0]
        if not valid:
            continue
        inside = np.array(t[n, c] > 0.5) & np.array(w[n] > 0)
        if named is None:
            objects = components(inside, connectivity)
        else:
            names = sorted({named[n][u] for u in valid if inside[u]})
            objects = [{u for u in valid if inside[u] and named[n][u] == k} for k in names]
        for one, domain in domains(objects, valid):
            pixels = [(p[n, c][u], float(u in one), w[n][u]) for u in domain]
            values.setdefault((n if per_image else 0, c), []).append(region(pixels))
    groups = images if per_image else 1
    table = np.zeros((groups, classes))
    masses = np.zeros((groups, classes))
    for (g, c), found in values.items():
        table[g, c] = factors[c] * sum(found) / len(found)
        masses[g, c] = factors[c]
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    means = [table[g].sum() / masses[g].sum() for g in range(groups) if masses[g].sum() > 0]
    return float(sum(means) / len(means)) if means else 0.0


def blob(
    p: Array, t: Array, w: Array, *, z: Array, exclusive: bool, **policy: Any
) -> float | Array:
    def domains(
        objects: list[set[Pixel]], valid: list[Pixel]
    ) -> list[tuple[set[Pixel], list[Pixel]]]:
        return [
            (one, [u for u in valid if not any(u in o for o in objects if o is not one)])
            for one in objects
        ]

    return _of_objects(p, t, w, domains, **policy)


def connected_component(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    spacing: Sequence[float] | None = None,
    classes: str = "all",
    **policy: Any,
) -> float | Array:
    steps = (1.0,) * (p.ndim - 2) if spacing is None else spacing

    def domains(
        objects: list[set[Pixel]], valid: list[Pixel]
    ) -> list[tuple[set[Pixel], list[Pixel]]]:
        if not objects:
            return [] if classes == "present" else [(set(), valid)]
        owner = {u: nearest(u, objects, steps) for u in valid}
        return [(one, [u for u in valid if owner[u] == k]) for k, one in enumerate(objects)]

    return _of_objects(p, t, w, domains, **policy)


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "BlobLoss": blob,
    "ConnectedComponentLoss": connected_component,
}
