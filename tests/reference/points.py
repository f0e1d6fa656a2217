"""What is between the pixels of an image, in plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np

from reference.oracle import Array


def sample(values: Array, points: Array, *, linear: bool, border: bool = False) -> Array:
    """``(N, C, P)`` from ``(N, C, *S)`` and points ``(N, P, D)`` in [0, 1], the last axis first."""
    images, classes, *size = values.shape
    found = np.zeros((images, classes, points.shape[1]))
    for n, c, k in np.ndindex(found.shape):
        # in pixels, 0 the centre of the first
        place = [x * length - 0.5 for x, length in zip(points[n, k, ::-1], size, strict=True)]
        if not linear:
            corner = [
                min(max(round(x), 0), length - 1) for x, length in zip(place, size, strict=True)
            ]
            found[n, c, k] = values[(n, c, *corner)]
            continue
        for step in itertools.product((0, 1), repeat=len(size)):
            share, corner, inside = 1.0, [], True
            for x, length, s in zip(place, size, step, strict=True):
                index = math.floor(x) + s
                share *= 1 - abs(x - index)
                inside &= 0 <= index < length
                corner.append(min(max(index, 0), length - 1))
            if inside or border:
                found[n, c, k] += share * values[(n, c, *corner)]
    return found
