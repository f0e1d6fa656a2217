"""Search and sketches of partitions as plain loops, in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

Labels = Sequence[int]
Distance = Callable[[Labels, Labels], float]


def nearest(query: Labels, others: Sequence[Labels], distance: Distance) -> list[tuple]:
    """(distance, index), ascending, of all."""
    return sorted((distance(query, other), place) for place, other in enumerate(others))


def co_membership(labels: Labels) -> np.ndarray:
    pixels = range(len(labels))
    return np.array([[float(labels[u] == labels[v]) for v in pixels] for u in pixels])


def projection(labels: Labels, s: Sequence[int], t: Sequence[int]) -> float:
    """s^T A t, entry by entry."""
    pixels = range(len(labels))
    return float(sum(s[u] * t[v] for u in pixels for v in pixels if labels[u] == labels[v]))


def estimates(x: Labels, y: Labels) -> list[float]:
    """The squared difference of one projection, for all signs s and t."""
    signs = list(itertools.product((-1, 1), repeat=len(x)))
    return [
        (projection(x, s, t) - projection(y, s, t)) ** 2 for s, t in itertools.product(signs, signs)
    ]


def variance(x: Labels, y: Labels) -> float:
    """2 rho^2 + 6 |G|^2 - 12 sum G_uu^2 + 4 rho with G the square of the difference."""
    difference = co_membership(x) - co_membership(y)
    pixels = range(len(x))
    g = [[sum(difference[u, w] * difference[w, v] for w in pixels) for v in pixels] for u in pixels]
    rho = float(sum(g[u][u] for u in pixels))
    norm = sum(g[u][v] ** 2 for u in pixels for v in pixels)
    diagonal = sum(g[u][u] ** 2 for u in pixels)
    return 2 * rho**2 + 6 * norm - 12 * diagonal + 4 * rho
