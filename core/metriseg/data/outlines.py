"""Masks of flat shapes, drawn by NumPy alone."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Shape = Literal["circle", "rectangle", "triangle", "pentagon", "star"]

#: In the order of their labels, which begin at 1.
SHAPES: tuple[Shape, ...] = ("circle", "rectangle", "triangle", "pentagon", "star")
#: The inner radius of a pentagram, as a share of the outer.
STAR_WAIST = (3 - math.sqrt(5)) / 2


def shape_mask(
    shape: Shape,
    radius: float,
    *,
    angle: float = 0.0,
    side_ratio: float = 1.0,
    offset: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.bool_]:
    """The pixels whose centres lie in a shape, in the smallest box that holds them.

    Pixels that hang together with the rest by a corner alone, as at the tip of a star, are left
    out: a mask is one component of four neighbours.

    Args:
        shape: "circle", "rectangle", "triangle", "pentagon" or "star".
        radius: of the circle through the outer corners, in pixels.
        angle: by which the shape is turned, in radians.
        side_ratio: of a rectangle, short side by long side.
        offset: of the shape's middle from the middle of a pixel, down and right, in pixels.

    Returns:
        ``(h, w)``, with a true pixel in its outer rows and columns.

    >>> shape_mask("circle", 1.0).astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    """
    reach = math.ceil(radius) + 1
    places = np.arange(-reach, reach + 1, dtype=np.float64)
    rows, columns = places - offset[0], places - offset[1]
    if shape == "circle":
        mask = rows[:, None] ** 2 + columns**2 <= radius**2
    else:
        mask = polygon_mask(_corners(shape, radius, angle, side_ratio), rows, columns)
    return _boxed(_largest_component(mask))


def polygon_mask(
    corners: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which points of a grid lie in a simple polygon, convex or not.

    A point is inside if a ray from it to the right crosses an odd number of edges.

    Args:
        corners: ``(V, 2)``, row and column of each, in their order along the polygon.
        rows: ``(h,)``, of the points.
        columns: ``(w,)``, of the points.

    Returns:
        ``(h, w)``.
    """
    start, end = corners[:, None], np.roll(corners, -1, axis=0)[:, None]
    spanned = (start[..., 0] > rows) != (end[..., 0] > rows)
    # a level edge spans no row, and its slope is never used
    rise = np.where(spanned, end[..., 0] - start[..., 0], 1.0)
    slope = (end[..., 1] - start[..., 1]) / rise
    crossing = start[..., 1] + (rows - start[..., 0]) * slope
    crossed = spanned[..., None] & (columns < crossing[..., None])
    inside: NDArray[np.bool_] = np.logical_xor.reduce(crossed, axis=0)
    return inside


def _corners(shape: Shape, radius: float, angle: float, side_ratio: float) -> NDArray[np.float64]:
    """``(V, 2)``: row and column of every corner, about the middle."""
    radii: float | NDArray[np.float64] = radius
    if shape == "rectangle":
        half = math.atan(side_ratio)
        angles = np.array([half, math.pi - half, math.pi + half, -half])
    else:
        count = {"triangle": 3, "pentagon": 5, "star": 10}[shape]
        angles = np.arange(count) * (2 * math.pi / count)
        if shape == "star":
            radii = np.where(np.arange(count) % 2 == 0, radius, radius * STAR_WAIST)
    return np.stack([-radii * np.cos(angles + angle), radii * np.sin(angles + angle)], axis=1)


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    largest: NDArray[np.bool_] = labels == 1 + np.bincount(labels[mask] - 1).argmax()
    return largest


def _boxed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
