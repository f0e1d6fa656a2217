"""Losses over pixel embeddings, as plain loops in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from reference.oracle import Array, class_factors

Pixel = tuple[int, tuple[int, ...]]


def labelled_pixels(t: Array, w: Array) -> list[tuple[Pixel, int]]:
    """The valid pixels, as (image, place), with their labels."""
    found = []
    for n in range(w.shape[0]):
        for u in np.ndindex(w[n].shape):
            if w[n][u] > 0:
                shares = [t[n, c][u] for c in range(t.shape[1])]
                label = int(shares[0]) if len(shares) == 1 else shares.index(1.0)
                found.append(((n, u), label))
    return found


def vector(z: Array, pixel: Pixel) -> list[float]:
    n, u = pixel
    return [float(z[n, d][u]) for d in range(z.shape[1])]


def unit(x: list[float]) -> list[float]:
    length = math.sqrt(sum(v * v for v in x))
    return [v / length for v in x] if length > 1e-8 else [0.0] * len(x)


def squared_distance(x: list[float], y: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def spaced(pixels: list[tuple[Pixel, int]], most: int) -> list[tuple[Pixel, int]]:
    """Of every class the same number, evenly spaced."""
    labels = sorted({label for _, label in pixels})
    found = []
    for label in labels:
        own = [entry for entry in pixels if entry[1] == label]
        number = min(most // len(labels), len(own))
        found += [own[k * len(own) // number] for k in range(number)]
    return found


def triplet(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    margin: float = 0.2,
    mining: str = "semihard",
    samples: int = 1024,
    normalize: bool = True,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
    boundary_width: int | None = None,
) -> float | Array:
    factors = class_factors(p.shape[1], class_weight, include_background)
    pixels = labelled_pixels(t, w)
    if boundary_width is not None:
        label_of = dict(pixels)
        pixels = [
            ((n, u), label)
            for (n, u), label in pixels
            if any(
                label_of.get((n, v), label) != label for v in _window(u, w[n].shape, boundary_width)
            )
        ]
    pixels = spaced(pixels, samples)
    vectors = [vector(z, pixel) for pixel, _ in pixels]
    if normalize:
        vectors = [unit(x) for x in vectors]
    values, total = np.zeros(w.shape), 0.0
    for a, ((n, u), label) in enumerate(pixels):
        distances = [squared_distance(vectors[a], x) for x in vectors]
        positives = [d for k, d in enumerate(distances) if k != a and pixels[k][1] == label]
        negatives = [d for k, d in enumerate(distances) if pixels[k][1] != label]
        if not positives or not negatives:
            continue
        if mining == "all":
            pairs = list(itertools.product(positives, negatives))
        elif mining == "hard":
            pairs = [(max(positives), min(negatives))]
        else:
            pairs = [
                (d, min([e for e in negatives if e > d], default=max(negatives))) for d in positives
            ]
        factor = w[n][u] * factors[label if len(factors) > 1 else 0]
        values[n][u] = factor * sum(max(d - e + margin, 0.0) for d, e in pairs)
        total += factor * len(pairs)
    if reduction == "none":
        return values
    if reduction == "sum":
        return float(values.sum())
    return float(values.sum() / total) if total > 0 else 0.0


def boundary_triplet(
    p: Array, t: Array, w: Array, *, boundary_width: int = 2, **words: Any
) -> float | Array:
    return triplet(p, t, w, boundary_width=boundary_width, **words)


def center(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
) -> float | Array:
    factors = class_factors(p.shape[1], class_weight, include_background)
    pixels = labelled_pixels(t, w)
    centers = {}
    for label in {label for _, label in pixels}:
        members = [pixel for pixel, other in pixels if other == label]
        mass = sum(w[n][u] for n, u in members)
        centers[label] = [
            sum(w[n][u] * z[n, d][u] for n, u in members) / mass for d in range(z.shape[1])
        ]
    values = np.zeros(w.shape)
    total = 0.0
    for (n, u), label in pixels:
        distance = squared_distance(vector(z, (n, u)), centers[label])
        values[n][u] = w[n][u] * factors[label if len(factors) > 1 else 0] * distance / 2
        total += w[n][u]
    if reduction == "none":
        return values
    if reduction == "sum":
        return float(values.sum())
    return float(values.sum() / total) if total > 0 else 0.0


def _window(u: tuple[int, ...], shape: tuple[int, ...], radius: int) -> list[tuple[int, ...]]:
    """The pixels of the image in a square window around u, without u."""
    ranges = [
        range(max(a - radius, 0), min(a + radius + 1, size))
        for a, size in zip(u, shape, strict=True)
    ]
    return [v for v in itertools.product(*ranges) if v != u]


def _mean(vectors: list[list[float]]) -> list[float]:
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def _cross_entropy(scores: list[float], label: int) -> float:
    top = max(scores)
    return top + math.log(sum(math.exp(s - top) for s in scores)) - scores[label]


def conditional_boundary(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    window: int = 5,
    center_weight: float = 2.0,
    pair_weight: float = 1.0,
    classification_weight: float = 0.2,
    boundary_width: int | None = None,
    class_weight: list[float] | None = None,
    include_background: bool = True,
    reduction: str = "mean",
    features: Array | None = None,
) -> float | Array:
    x = z if features is None else features
    shape, classes = w.shape[1:], p.shape[1]
    factors = class_factors(classes, class_weight, include_background)
    width = boundary_width
    if width is None:
        width = max(1, round(0.02 * math.sqrt(sum(size**2 for size in shape))))
    label = dict(labelled_pixels(t, w))
    right = {
        (n, u): [p[n, c][u] for c in range(classes)].index(max(p[n, c][u] for c in range(classes)))
        == own
        for (n, u), own in label.items()
    }
    each = np.zeros(w.shape)
    # of every class: (weight of the term, value, share)
    terms: dict[str, dict[int, list[tuple[float, float]]]] = {"center": {}, "near": {}, "all": {}}
    pair_sum, pair_mass = 0.0, 0.0
    for (n, u), own in label.items():
        reach = [(n, v) for v in _window(u, shape, width) if (n, v) in label]
        if all(label[v] == own for v in reach):
            continue
        factor = w[n][u] * factors[own]
        neighbours = [(n, v) for v in _window(u, shape, window // 2) if (n, v) in label]
        for v in neighbours:
            if right[v]:
                here, there = unit(vector(x, (n, u))), unit(vector(x, v))
                cosine = sum(a * b for a, b in zip(here, there, strict=True))
                cost = (cosine - (1.0 if label[v] == own else 0.0)) ** 2
                pair_sum += factor * cost
                pair_mass += factor
                each[n][u] += factor * pair_weight * cost
        companions = [v for v in neighbours if label[v] == own]
        witnesses = [v for v in companions if right[v]]
        logs = {v: [math.log(p[v[0], c][v[1]]) for c in range(classes)] for v in companions}
        found = {}
        if right[n, u] and witnesses:
            mean = _mean([vector(x, v) for v in witnesses])
            found["center"] = squared_distance(vector(x, (n, u)), mean) / len(mean)
            found["near"] = _cross_entropy(_mean([logs[v] for v in witnesses]), own)
        if companions:
            found["all"] = _cross_entropy(_mean([logs[v] for v in companions]), own)
        for name, value in found.items():
            terms[name].setdefault(own, []).append((value, w[n][u]))
            weight = center_weight if name == "center" else classification_weight / 2
            each[n][u] += factor * weight * value
    if reduction == "none":
        return each
    if reduction == "sum":
        return float(each.sum())
    total = pair_weight * pair_sum / pair_mass if pair_mass > 0 else 0.0
    for name, by_class in terms.items():
        weight = center_weight if name == "center" else classification_weight / 2
        mass = sum(factors[c] for c in by_class)
        for c, entries in by_class.items():
            if mass > 0:
                mean_value = sum(v * s for v, s in entries) / sum(s for _, s in entries)
                total += weight * factors[c] * mean_value / mass
    return total


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "TripletLoss": triplet,
    "BoundaryTripletLoss": boundary_triplet,
    "CenterLoss": center,
    "ConditionalBoundaryLoss": conditional_boundary,
}
