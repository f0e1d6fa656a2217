"""The partition distance as a loss, as loops over pairs of pixels in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from reference.oracle import Array, class_factors


def neighbours(place: tuple[int, ...], connectivity: int) -> list[tuple[int, ...]]:
    steps = [step for step in np.ndindex(*(3,) * len(place)) if any(s != 1 for s in step)]
    near = [step for step in steps if sum(s != 1 for s in step) <= connectivity]
    return [tuple(p + s - 1 for p, s in zip(place, step, strict=True)) for step in near]


def components(labels: Mapping[tuple[int, ...], Any], connectivity: int) -> dict[Any, int]:
    """The number of the component that each place lies in, by flooding."""
    found: dict[Any, int] = {}
    number = 0
    for start in labels:
        if start in found:
            continue
        flooded = [start]
        while flooded:
            place = flooded.pop()
            if place in found:
                continue
            found[place] = number
            flooded += [
                near
                for near in neighbours(place, connectivity)
                if near in labels and labels[near] == labels[start]
            ]
        number += 1
    return found


def predicted_class(p: Array, exclusive: bool) -> int:
    """The most probable class; of yes-or-no questions, none (-1) where all are below a half."""
    best = int(np.argmax(p))
    if exclusive:
        return best
    return best if p[best] > 0.5 else -1


def together_by_class(
    n: int, places: list[Any], p: Array, z: Array, exclusive: bool, connectivity: int
) -> Callable[[Any, Any], float]:
    classes = {u: predicted_class(p[n][(slice(None), *u)], exclusive) for u in places}
    segment = components(classes, connectivity)
    return lambda u, v: float(segment[u] == segment[v])


def together_by_slot(
    n: int, places: list[Any], p: Array, z: Array, exclusive: bool, connectivity: int
) -> Callable[[Any, Any], float]:
    if p.shape[1] == 1:
        shares = {u: np.array([1 - p[n, 0][u], p[n, 0][u]]) for u in places}
    else:
        shares = {u: p[n][(slice(None), *u)] / p[n][(slice(None), *u)].sum() for u in places}
    return lambda u, v: float(shares[u] @ shares[v])


def kernel_estimate(
    n: int, places: list[Any], w: list[float], truth: dict[Any, int], z: Array, **settings: Any
) -> float:
    """Of the sum of (K - [same])² : K's square by two draws, K itself by the mean of either.

    The first is a product of two sums over pairs' features, so it isn't a sum over pairs of
    squares; the loops go over pairs of features.
    """
    number = settings.get("frequencies", 64)
    generator = torch.Generator().manual_seed(settings["seed"])
    draws = torch.randn(2, z.shape[1], number, generator=generator, dtype=torch.float64).numpy()
    draws = draws / settings.get("bandwidth", 1.0)

    def features(draw: Array, u: Any) -> list[float]:
        angles = [sum(z[n][(d, *u)] * draw[d, r] for d in range(z.shape[1])) for r in range(number)]
        return [f(a) / math.sqrt(number) for f in (math.cos, math.sin) for a in angles]

    phi = [[features(draw, u) for u in places] for draw in draws]
    total = 0.0
    for a in range(2 * number):
        for b in range(2 * number):
            total += sum(w[k] * phi[0][k][a] * phi[1][k][b] for k in range(len(places))) ** 2
    for k, u in enumerate(places):
        for j, v in enumerate(places):
            if truth[u] == truth[v]:
                kernels = [sum(x * y for x, y in zip(f[k], f[j], strict=True)) for f in phi]
                total += w[k] * w[j] * (1 - kernels[0] - kernels[1])
    return total


def partition(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    segments: str | dict[str, Any] = "ClassSegments",
    density: str = "pixel",
    connectivity: int = 1,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    settings = {"type": segments} if isinstance(segments, str) else dict(segments)
    kind = settings.pop("type")
    classes = p.shape[1]
    factors = class_factors(classes, class_weight, include_background)
    values, counted = [], []
    for n in range(len(p)):
        places = [u for u in np.ndindex(w[n].shape) if w[n][u] > 0]
        label = {
            u: int(t[n, 0][u]) if classes == 1 else int(np.argmax(t[n][(slice(None), *u)]))
            for u in places
        }
        truth = components(label, connectivity)
        mass = [w[n][u] * factors[0 if classes == 1 else label[u]] for u in places]
        sizes = [
            sum(m > 0 and truth[v] == truth[u] for v, m in zip(places, mass, strict=True))
            for u in places
        ]
        power = {"pixel": 0.0, "segment": 1.0, "root": 0.5}[density]
        mass = [m / max(size, 1) ** power for m, size in zip(mass, sizes, strict=True)]
        total = sum(mass)
        counted.append(total > 0)
        if not total > 0:
            values.append(0.0)
            continue
        share = [m / total for m in mass]
        if kind == "KernelSegments":
            values.append(kernel_estimate(n, places, share, truth, z, **settings))
            continue
        together = {"ClassSegments": together_by_class, "SlotSegments": together_by_slot}[kind](
            n, places, p, z, exclusive, settings.get("connectivity", 1)
        )
        values.append(
            sum(
                share[k] * share[j] * (together(u, v) - (truth[u] == truth[v])) ** 2
                for k, u in enumerate(places)
                for j, v in enumerate(places)
            )
        )
    if reduction == "none":
        return np.array(values).reshape(-1, 1)
    if reduction == "sum":
        return float(sum(values))
    return float(sum(values) / sum(counted)) if any(counted) else 0.0


ORACLES: dict[str, Callable[..., float | Array]] = {"PartitionLoss": partition}
