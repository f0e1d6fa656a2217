"""Pairs of the two sides of a graph, no node twice: greedy by weight, or the best of all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Float = NDArray[np.float64]

#: Rounds of finding, all at once, the edges that no neighbour is above: long chains of rising
#: weights, which lose one edge a round, are then walked edge by edge.
ROUNDS = 64
#: The most entries of a component's dense matrix; the sparse solver has larger ones.
DENSE = 1 << 22


def greedy_matching(x: Int, y: Int, weight: Float) -> Int:
    """Edges by falling weight (of equal ones by x, then y), where both ends are free still.

    Args:
        x: one end of each edge, ``(E,)``; no two edges have the same ends.
        y: the other end.
        weight: above 0.

    Returns:
        The chosen edges, ascending.
    """
    edges = np.lexsort((y, x, -weight))
    chosen = [np.empty(0, np.int64)]
    if not len(edges):
        return chosen[0]
    first_x, first_y = np.empty(x.max() + 1, np.int64), np.empty(y.max() + 1, np.int64)
    for _ in range(ROUNDS):
        places = np.arange(len(edges))
        # the last that is written stays: of each node its first edge
        first_x[x[edges[::-1]]] = first_y[y[edges[::-1]]] = places[::-1]
        top = (first_x[x[edges]] == places) & (first_y[y[edges]] == places)
        taken = edges[top]
        chosen.append(taken)
        free_x, free_y = np.ones(len(first_x), np.bool_), np.ones(len(first_y), np.bool_)
        free_x[x[taken]] = free_y[y[taken]] = False
        edges = edges[free_x[x[edges]] & free_y[y[edges]]]
        if not len(edges):
            break
    chosen.append(_one_by_one(x, y, edges))
    return np.sort(np.concatenate(chosen))


def _one_by_one(x: Int, y: Int, edges: Int) -> Int:
    used_x: set[int] = set()
    used_y: set[int] = set()
    chosen = []
    for edge, k, l in zip(edges.tolist(), x[edges].tolist(), y[edges].tolist(), strict=True):  # noqa: E741
        if k not in used_x and l not in used_y:
            used_x.add(k)
            used_y.add(l)
            chosen.append(edge)
    return np.array(chosen, np.int64)


def optimal_matching(x: Int, y: Int, weight: Float) -> Int:
    """As many edges as can be, and of these choices the one of the largest sum of weights.

    Args:
        x: one end of each edge, ``(E,)``; no two edges have the same ends.
        y: the other end.
        weight: in (0, 1].

    Returns:
        The chosen edges, ascending.
    """
    from scipy import sparse

    if not len(x):
        return np.empty(0, np.int64)
    m, n = int(x.max()) + 1, int(y.max()) + 1
    alone = (np.bincount(x, minlength=m)[x] == 1) & (np.bincount(y, minlength=n)[y] == 1)
    chosen = [np.flatnonzero(alone)]
    rest = np.flatnonzero(~alone)
    graph = sparse.coo_array((np.ones(len(rest)), (x[rest], y[rest] + m)), shape=(m + n, m + n))
    part = sparse.csgraph.connected_components(graph, directed=False)[1][x[rest]]
    order = np.argsort(part, kind="stable")
    ends = np.flatnonzero(np.diff(part[order])) + 1
    for edges in np.split(rest[order], ends):
        if len(edges):
            chosen.append(edges[_of_component(x[edges], y[edges], weight[edges])])
    return np.sort(np.concatenate(chosen))


def _of_component(x: Int, y: Int, weight: Float) -> Int:
    rows, x = np.unique(x, return_inverse=True)
    columns, y = np.unique(y, return_inverse=True)
    m, n = len(rows), len(columns)
    # all weights of a matching together are less than one edge
    gain = 1 + weight / (min(m, n) + 1)
    if m * n > DENSE:
        return _sparse(x, y, gain, m, n)
    return _dense(x, y, gain, m, n)


def _dense(x: Int, y: Int, gain: Float, m: int, n: int) -> Int:
    from scipy.optimize import linear_sum_assignment

    matrix = np.zeros((m, n))
    matrix[x, y] = gain
    edge = np.full((m, n), -1)
    edge[x, y] = np.arange(len(x))
    found = edge[linear_sum_assignment(matrix, maximize=True)]
    result: Int = found[found >= 0]
    return result


def _sparse(x: Int, y: Int, gain: Float, m: int, n: int) -> Int:
    """Every x has a partner of its own beside, worth nothing: a full matching there is."""
    from scipy import sparse

    own = np.arange(m)
    values: Any = np.concatenate([1 + gain, np.ones(m)])
    ends = (np.concatenate([x, own]), np.concatenate([y, n + own]))
    matrix = sparse.csr_array((values, ends), shape=(m, n + m))
    rows, columns = sparse.csgraph.min_weight_full_bipartite_matching(matrix, maximize=True)
    partner = np.full(m, -1)
    partner[rows] = columns
    return np.flatnonzero(partner[x] == y)
