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


def slot_shares(n: int, p: Array, u: Any) -> Array:
    if p.shape[1] == 1:
        return np.array([1 - p[n, 0][u], p[n, 0][u]])
    return p[n][(slice(None), *u)] / p[n][(slice(None), *u)].sum()


def together_by_slot(
    n: int, places: list[Any], p: Array, z: Array, exclusive: bool, connectivity: int
) -> Callable[[Any, Any], float]:
    shares = {u: slot_shares(n, p, u) for u in places}
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


def kernel(
    n: int, z: Array, *, bandwidth: float = 1.0, pixels_per_unit: Any = None, **settings: Any
) -> Callable[[Any, Any], float]:
    """The Gaussian kernel itself; of places, the first channels are offsets from the pixel's."""
    space = z.ndim - 2
    units = np.ones(space) if pixels_per_unit is None else np.zeros(space) + pixels_per_unit

    def point(u: Any) -> list[float]:
        given = [float(z[n][(d, *u)]) for d in range(z.shape[1])]
        if pixels_per_unit is not None:
            for axis in range(space):
                given[axis] += u[axis] / units[axis]
        return given

    return lambda u, v: math.exp(
        -sum((a - b) ** 2 for a, b in zip(point(u), point(v), strict=True)) / (2 * bandwidth**2)
    )


def kernel_by_features(
    n: int, z: Array, *, seed: int, frequencies: int = 64, bandwidth: float = 1.0
) -> Callable[[Any, Any], float]:
    """The mean of cos(omega (f_u - f_v)) over the frequencies of both draws."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(2, z.shape[1], frequencies, generator=generator, dtype=torch.float64)
    waves = [
        [float(x) / bandwidth for x in draw[:, r]] for draw in draws for r in range(frequencies)
    ]

    def together(u: Any, v: Any) -> float:
        apart = [float(z[n][(d, *u)] - z[n][(d, *v)]) for d in range(z.shape[1])]
        angles = [sum(a * b for a, b in zip(wave, apart, strict=True)) for wave in waves]
        return sum(math.cos(angle) for angle in angles) / len(waves)

    return together


def set_distance(weighting: str, outside: float, inside: float, truth: float) -> float:
    """Jaccard's, or Dice's, of two sets: one of them is inside + outside, the other truth."""
    if weighting == "union":
        return 1 - inside / (truth + max(outside, 0.0))
    return 1 - 2 * inside / (truth + max(outside, 0.0) + max(inside, 0.0))


def weighted_by_pixels(
    weighting: str, places: list[Any], w: list[float], truth: Any, together: Any
) -> float:
    """sum_u w_u of the distance of the two segments that hold u, by loops over pairs."""
    total = 0.0
    for k, u in enumerate(places):
        outside = inside = size = 0.0
        for j, v in enumerate(places):
            if truth[u] == truth[v]:
                inside += w[j] * together(u, v)
                size += w[j]
            else:
                outside += w[j] * together(u, v)
        if w[k] > 0:
            total += w[k] * set_distance(weighting, outside, inside, size)
    return total


def weighted_by_cells(
    weighting: str, places: list[Any], w: list[float], truth: Any, share: Mapping[Any, Array]
) -> float:
    """sum_kl C_kl of the distance of x_k and y_l, of soft x_k."""
    total = 0.0
    for k in range(len(share[places[0]])):
        size = sum(m * share[u][k] for u, m in zip(places, w, strict=True))
        for label in set(truth.values()):
            own = [(u, m) for u, m in zip(places, w, strict=True) if truth[u] == label]
            cell = sum(m * share[u][k] for u, m in own)
            if cell > 0:
                total += cell * set_distance(weighting, size - cell, cell, sum(m for _, m in own))
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
    weighting: str | None = None,
    form: str | None = None,
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
        if kind == "KernelSegments" and not (weighting or "samples" in settings):
            values.append(kernel_estimate(n, places, share, truth, z, **settings))
            continue
        if kind == "KernelSegments":
            of_pairs = kernel if "samples" in settings else kernel_by_features
            together = of_pairs(n, z, **settings)
        else:
            together = {"ClassSegments": together_by_class, "SlotSegments": together_by_slot}[kind](
                n, places, p, z, exclusive, settings.get("connectivity", 1)
            )
        if weighting is not None and form == "paper" and kind == "SlotSegments":
            slots = {u: slot_shares(n, p, u) for u in places}
            values.append(weighted_by_cells(weighting, places, share, truth, slots))
            continue
        if weighting is not None:
            values.append(weighted_by_pixels(weighting, places, share, truth, together))
            continue
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
