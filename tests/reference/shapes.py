"""Plane geometry, point by point and pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def inside_by_angles(corners: NDArray[np.float64], row: float, column: float) -> bool:
    """Whether the corners go once around the point: the angles between them sum up to a turn."""
    turn = 0.0
    for k in range(len(corners)):
        ay, ax = corners[k - 1] - (row, column)
        by, bx = corners[k] - (row, column)
        turn += math.atan2(ax * by - ay * bx, ax * bx + ay * by)
    return abs(turn) > math.pi


def least_distance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Between the centres of a pixel of the one mask and a pixel of the other."""
    least = math.inf
    others = np.argwhere(second)
    for pixel in np.argwhere(first):
        least = min(least, math.sqrt(((others - pixel) ** 2).sum(1).min()))
    return least
