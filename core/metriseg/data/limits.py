"""What a few bytes of a file may state."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Pixels of an array, which take days to count, and of one of its chunks, which fit memory.
_MOST = {"array": 1 << 46, "chunk": 1 << 32}


def of_this_world(shape: Sequence[int], chunks: Sequence[int]) -> None:
    """Raise for an array of which nothing could ever be made."""
    for what, pixels in (("array", shape), ("chunk", chunks)):
        if math.prod(pixels) > _MOST[what]:
            raise ValueError(
                f"its {what} must hold at most {_MOST[what]:,} pixels, and it states the shape"
                f" {tuple(pixels)}"
            )
