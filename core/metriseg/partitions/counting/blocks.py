"""The blocks that a map is read by."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TypeAlias

Region: TypeAlias = tuple[slice, ...]


def block_shape(shape: Sequence[int], pixels: int) -> tuple[int, ...]:
    """Of blocks that hold at most so many pixels, as whole rows, planes … as they can."""
    steps: list[int] = []
    inner = 1
    for length in reversed(shape):
        parts = -(-length // max(1, pixels // inner))
        steps.insert(0, -(-length // parts))
        inner *= length
    return tuple(steps)


def regions(shape: Sequence[int], steps: Sequence[int]) -> list[Region]:
    """The parts of a map of this shape that blocks of these steps cut it into."""
    along = [
        [slice(start, min(start + step, length)) for start in range(0, length, step)]
        for length, step in zip(shape, steps, strict=True)
    ]
    return list(product(*along))
