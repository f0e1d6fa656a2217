"""Where a pixel is, as channels of an image."""

from __future__ import annotations

import torch
from torch import Tensor


def with_places(values: Tensor) -> Tensor:
    """``(N, C, *S)`` values, and a channel an axis that runs from -1 to 1 along it.

    >>> import torch
    >>> with_places(torch.zeros(1, 1, 3))[0, 1]
    tensor([-1.,  0.,  1.])
    """
    axes = [
        torch.linspace(-1, 1, n, dtype=values.dtype, device=values.device) for n in values.shape[2:]
    ]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return torch.cat([values, places.expand(len(values), *places.shape)], dim=1)
