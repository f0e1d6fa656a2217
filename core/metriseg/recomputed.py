"""Work on large tensors in parts, each computed again where its gradient is wanted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metriseg.statistics import tile_values

__all__ = ["by_maps"]


def by_maps(function: Callable[..., Tensor], values: Tensor, *beside: Tensor | None) -> Tensor:
    """A function of maps that doesn't mix them, some maps at a time.

    What the function makes on its way lives for a few maps only: on a CPU they stay in its caches.

    Args:
        function: of tensors shaped like these parts, to one like ``values``.
        values: ``(N, C, *S)``, a map each image and class.
        beside: ``(N, C, *S)`` or ``(N, 1, *S)``, or None.
    """
    if torch.compiler.is_compiling():
        return function(values, *beside)
    images, classes = values.shape[:2]
    pixels = max(1, values[:1, :1].numel())
    maps = max(1, tile_values(values.device) // pixels)
    if images * classes <= maps:
        return function(values, *beside)
    width = min(classes, maps)
    height = max(1, maps // classes)
    rows = []
    for image in range(0, images, height):
        parts = []
        for first in range(0, classes, width):
            given = (
                None if one is None else _part(one, image, height, first, width)
                for one in (values, *beside)
            )
            parts.append(
                checkpoint(function, *given, use_reentrant=False, preserve_rng_state=False)
            )
        rows.append(torch.cat(parts, 1))
    return torch.cat(rows)


def _part(values: Tensor, image: int, height: int, first: int, width: int) -> Tensor:
    of_images = values[image : image + height]
    return of_images if values.shape[1] == 1 else of_images[:, first : first + width]
