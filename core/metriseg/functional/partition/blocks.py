"""Rows of a table that is too large to be held at once."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

#: Numbers that are held at once: on a processor what its caches hold, elsewhere what fills it.
NEAR, FAR = 1 << 18, 1 << 22


def blocks(rows: int, width: int, like: Tensor) -> Iterator[slice]:
    """Some rows after the other, of ``width`` numbers each, on the device of a tensor."""
    held = NEAR if like.device.type == "cpu" else FAR
    step = max(1, held // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
