"""The steps from a pixel to those beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator


def axis_neighbours(dimensions: int) -> Iterator[tuple[int, ...]]:
    """The offsets of the two neighbours along every axis: 4 in 2-D, 6 in 3-D."""
    for axis in range(dimensions):
        for step in (-1, 1):
            yield tuple(step if other == axis else 0 for other in range(dimensions))


def window(radius: int, dimensions: int) -> Iterator[tuple[int, ...]]:
    """The offsets of a square window around a pixel, itself left out."""
    for offset in itertools.product(range(-radius, radius + 1), repeat=dimensions):
        if any(offset):
            yield offset


def half_neighbours(dimensions: int, reach: int) -> Iterator[tuple[int, ...]]:
    """One of every two opposite steps to a neighbour that differs in up to ``reach`` axes.

    >>> list(half_neighbours(2, 1))
    [(0, 1), (1, 0)]
    """
    for offset in itertools.product((-1, 0, 1), repeat=dimensions):
        moved = [step for step in offset if step]
        if 0 < len(moved) <= reach and moved[0] > 0:
            yield offset
