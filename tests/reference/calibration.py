"""Losses of calibration as plain loops in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from reference.oracle import Array, class_factors, cross_entropy, table_loss


def average_calibration(
    p: Array,
    t: Array,
    w: Array,
    *,
    binning: str = "soft",
    bins: int = 20,
    least_mass: float = 0.01,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def members(x: float) -> list[tuple[int, float]]:
        """The bins that a probability is in, and how much."""
        if binning == "hard":
            return [(max(b for b in range(bins) if x > b / bins or b == 0), 1.0)]
        centres = [(b + 0.5) / bins for b in range(bins)]
        if x <= centres[0]:
            return [(0, 1.0)]
        if x >= centres[-1]:
            return [(bins - 1, 1.0)]
        hats = [max(0.0, 1 - abs(x - centre) * bins) for centre in centres]
        return [(b, hat) for b, hat in enumerate(hats) if hat > 0]

    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        held = [[0.0, 0.0, 0.0] for _ in range(bins)]
        for x, y, weight in zip(p_c, t_c, weights, strict=True):
            for b, share in members(x) if weight > 0 else []:
                for k, part in enumerate((1.0, x, y)):
                    held[b][k] += weight * share * part
        errors = [
            abs(confidence / mass - frequency / mass)
            for mass, confidence, frequency in held
            if mass >= least_mass and mass > 0
        ]
        return sum(errors) / len(errors) if errors else 0.0

    return table_loss(value, p, t, w, **policy)


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


#: Names of losses -> their oracles, of flat arrays and of images.
ORACLES: dict[str, Callable[..., Any]] = {"AverageCalibrationLoss": average_calibration}
SPATIAL_ORACLES: dict[str, Callable[..., Any]] = {
    "NeighborAwareCalibrationLoss": neighbor_aware_calibration
}
