"""Persistent homology of images by its definition, in float64: the boundary matrix, reduced.

An image's pixels are the top cells of a complex of squares (cubes); a face has the largest value
of the pixels that it belongs to, so that superlevel sets are closed. Cells stand in a grid of twice
the image's sides plus one: an odd coordinate is an extent, an even one a place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from reference import oracle
from reference.oracle import Array, class_factors

Cell = tuple[int, ...]
Point = tuple[float, float]


def diagram(values: Array) -> list[list[Point]]:
    """(birth, death) of the features of every dimension 0 … d - 1; what never dies, dies at 0."""
    space = values.ndim
    cells = list(np.ndindex(tuple(2 * side + 1 for side in values.shape)))

    def value(cell: Cell) -> float:
        sides = [
            [x // 2] if x % 2 else [y for y in (x // 2 - 1, x // 2) if 0 <= y < n]
            for x, n in zip(cell, values.shape, strict=True)
        ]
        return max(float(values[pixel]) for pixel in itertools.product(*sides))

    height = {cell: value(cell) for cell in cells}
    extent = {cell: sum(x % 2 for x in cell) for cell in cells}
    order = sorted(cells, key=lambda cell: (-height[cell], extent[cell]))
    place = {cell: k for k, cell in enumerate(order)}
    low: dict[int, set[int]] = {}
    dead: set[int] = set()
    found: list[list[Point]] = [[] for _ in range(space)]
    positive: list[Cell] = []
    for cell in order:
        column: set[int] = set()
        for axis in range(space):
            if cell[axis] % 2:
                for step in (-1, 1):
                    face = (*cell[:axis], cell[axis] + step, *cell[axis + 1 :])
                    column ^= {place[face]}
        while column and max(column) in low:
            column ^= low[max(column)]
        if not column:
            positive.append(cell)
            continue
        low[max(column)] = column
        dead.add(max(column))
        born = order[max(column)]
        if height[born] > height[cell]:
            found[extent[born]].append((height[born], height[cell]))
    for cell in positive:
        if place[cell] not in dead and extent[cell] < space and height[cell] > 0:
            found[extent[cell]].append((height[cell], 0.0))
    return found


def matching_cost(first: list[Point], second: list[Point], order: float) -> float:
    """The least sum of powers of distances; the diagonal is at everybody's disposal."""
    m, n = len(first), len(second)
    if m + n == 0:
        return 0.0

    def apart(x: Point, y: Point) -> float:
        return float(np.hypot(x[0] - y[0], x[1] - y[1]) ** order)

    def alone(x: Point) -> float:
        return float((abs(x[0] - x[1]) / np.sqrt(2)) ** order)

    costs = np.zeros((m + n, n + m))
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            costs[i, j] = apart(x, y)
        costs[i, n:] = alone(x)
    for j, y in enumerate(second):
        costs[m:, j] = alone(y)
    rows, columns = linear_sum_assignment(costs)
    return float(costs[rows, columns].sum())


def _distances(
    p: Array,
    t: Array,
    w: Array,
    *,
    order: float,
    root: bool,
    dimensions: Sequence[int] | None,
    min_persistence: float,
    factors: list[float],
    reduction: str,
) -> float | Array:
    images, classes = p.shape[:2]
    table, masses = np.zeros((images, classes)), np.zeros((images, classes))
    for n, c in itertools.product(range(images), range(classes)):
        if not (w[n] > 0).any() or factors[c] == 0:
            continue
        shown = np.where(w[n] > 0, p[n, c], 0.0)
        truth = np.where(w[n] > 0, t[n, c], 0.0)
        total = 0.0
        for k, (ours, theirs) in enumerate(zip(diagram(shown), diagram(truth), strict=True)):
            if dimensions is None or k in dimensions:
                # the first component never dies, and is never left out
                kept = [
                    x for x in ours if x[0] - x[1] > min_persistence or (k == 0 and x == max(ours))
                ]
                total += matching_cost(kept, theirs, order)
        table[n, c] = factors[c] * (total ** (1 / order) if root else total)
        masses[n, c] = factors[c]
    if reduction == "none":
        return table
    if reduction == "sum":
        return float(table.sum())
    means = [table[n].sum() / masses[n].sum() for n in range(images) if masses[n].sum() > 0]
    return float(sum(means) / len(means)) if means else 0.0


def topological(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    dimensions: Sequence[int] | None = None,
    min_persistence: float = 0.0,
    class_weight: list[float] | None = None,
    include_background: bool = False,
    reduction: str = "mean",
) -> float | Array:
    return _distances(
        p,
        t,
        w,
        order=2.0,
        root=False,
        dimensions=dimensions,
        min_persistence=min_persistence,
        factors=class_factors(p.shape[1], class_weight, include_background or p.shape[1] == 1),
        reduction=reduction,
    )


def topology_aware_focal(
    p: Array,
    t: Array,
    w: Array,
    *,
    z: Array,
    exclusive: bool,
    gamma: float = 2.0,
    alpha: float | None = None,
    topology_weight: float = 0.001,
    order: float = 2.0,
    dimensions: Sequence[int] | None = None,
    min_persistence: float = 0.0,
    class_weight: list[float] | None = None,
    include_background: bool = False,
    reduction: str = "mean",
) -> float | Array:
    flat = (*p.shape[:2], -1)
    focal = oracle.ORACLES["FocalLoss"](
        p.reshape(flat),
        t.reshape(flat),
        w.reshape(len(w), -1),
        exclusive=exclusive,
        gamma=gamma,
        alpha=alpha,
        class_weight=class_weight,
        reduction=reduction,
    )
    distance = _distances(
        p,
        t,
        w,
        order=order,
        root=True,
        dimensions=dimensions,
        min_persistence=min_persistence,
        factors=class_factors(p.shape[1], class_weight, include_background or p.shape[1] == 1),
        reduction=reduction,
    )
    return focal + topology_weight * distance


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {
    "TopologicalLoss": topological,
    "TopologyAwareFocalLoss": topology_aware_focal,
}
