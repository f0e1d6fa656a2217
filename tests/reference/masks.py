"""Pixels far from boundaries, as plain loops over pairs of pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np


def boundary_mask(
    labels: np.ndarray, width: float, spacing: Sequence[float], axis: int | None = None
) -> np.ndarray:
    """Whether no pixel beside another label is as near as ``width``, in a pixel's own section."""
    along = [one for one in range(labels.ndim) if one != axis]
    boundary = []
    for here in np.ndindex(labels.shape):
        for one, step in itertools.product(along, (-1, 1)):
            there = list(here)
            there[one] += step
            inside = 0 <= there[one] < labels.shape[one]
            if inside and labels[tuple(there)] != labels[here]:
                boundary.append(here)
    counts = np.ones(labels.shape, bool)
    for here in np.ndindex(labels.shape):
        for there in boundary:
            if axis is not None and there[axis] != here[axis]:
                continue
            steps = [(here[one] - there[one]) * spacing[one] for one in along]
            if math.hypot(*steps) <= width:
                counts[here] = False
    return counts
