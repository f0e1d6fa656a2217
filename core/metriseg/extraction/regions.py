"""Connected regions of a batch of coded images, the pixels that don't count set apart."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from metriseg.components import connected_components


def regions(codes: Tensor, valid: Tensor | None, connectivity: int) -> tuple[Tensor, list[int]]:
    """The connected components of equal codes, image by image, found on the CPU.

    Args:
        codes: ``(B, *S)`` whole numbers >= 0.
        valid: ``(B, *S)`` bool; pixels that don't count join nothing. None counts all.
        connectivity: see :func:`~metriseg.components.connected_components`.

    Returns:
        ``(B, N)`` int64, the region of each pixel on the device of ``codes``, and how many regions
        each image has. Pixels that don't count have that number itself, one after the last.
    """
    coded = codes.detach().cpu().numpy()
    counted = None if valid is None else valid.cpu().numpy()
    own = np.empty((len(coded), math.prod(coded.shape[1:])), np.int64)
    numbers = []
    for row, image in enumerate(coded):
        if counted is None:
            own[row] = connected_components(image, connectivity=connectivity).ravel()
            numbers.append(int(own[row].max(initial=-1)) + 1)
            continue
        here = counted[row]
        found = connected_components(image, connectivity=connectivity, valid=here).ravel()
        numbers.append(int(found.max(initial=-1)) + 1)
        own[row] = np.where(found < 0, numbers[-1], found)
    return torch.from_numpy(own).to(codes.device), numbers
