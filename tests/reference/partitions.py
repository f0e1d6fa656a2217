"""Distances between partitions as plain loops over pixels and blocks, in float64.

A partition is a flat list of labels; its blocks are the sets of positions with one label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linprog

Labels = Sequence[int]
Block = frozenset[int]


def blocks(labels: Labels) -> list[Block]:
    """In the order of their labels."""
    return [
        frozenset(u for u, label in enumerate(labels) if label == wanted)
        for wanted in sorted(set(labels))
    ]


def contingency(
    x: Labels,
    y: Labels,
    *,
    weight: Sequence[Sequence[float]] | None = None,
    features: Sequence[Sequence[float]] = (),
    left_out: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> dict[tuple[int, int], tuple[list[float], list[float]]]:
    """Pair of labels -> its measures and its sums of features, pixel by pixel."""
    table: dict[tuple[int, int], tuple[list[float], list[float]]] = {}
    for u, pair in enumerate(zip(x, y, strict=True)):
        if pair[0] in left_out[0] or pair[1] in left_out[1]:
            continue
        masses = [1] if weight is None else [plane[u] for plane in weight]
        if not any(masses):
            continue
        measures, sums = table.setdefault(pair, ([0] * len(masses), [0.0] * len(features)))
        for r, mass in enumerate(masses):
            measures[r] += mass
        for f, plane in enumerate(features):
            sums[f] += plane[u] * masses[0]
    return table


def every_partition(n: int) -> list[list[int]]:
    """All partitions of n pixels, each once: a label is an old one or the next."""
    partitions = [[0]]
    for _ in range(n - 1):
        partitions = [[*p, new] for p in partitions for new in range(max(p) + 2)]
    return partitions


def flood_fill(labels: np.ndarray, reach: int) -> np.ndarray:
    """Components by walking from each pixel that has none yet to equal neighbours."""
    found = np.full(labels.shape, -1)
    number = 0
    for start in np.ndindex(labels.shape):
        if found[start] >= 0:
            continue
        waiting = [start]
        found[start] = number
        while waiting:
            here = waiting.pop()
            for step in np.ndindex((3,) * labels.ndim):
                moved = [s - 1 for s in step]
                there = tuple(h + s for h, s in zip(here, moved, strict=True))
                inside = all(0 <= t < size for t, size in zip(there, labels.shape, strict=True))
                if not inside or sum(map(abs, moved)) > reach or found[there] >= 0:
                    continue
                if labels[there] == labels[start]:
                    found[there] = number
                    waiting.append(there)
        number += 1
    return found


def mirkin(x: Labels, y: Labels) -> float:
    """Ordered pairs of pixels that one partition joins and the other parts."""
    pixels = range(len(x))
    return float(sum((x[u] == x[v]) != (y[u] == y[v]) for u in pixels for v in pixels))


def partition_distance(
    x: Labels,
    y: Labels,
    *,
    density: Sequence[float] | None = None,
    phi: Callable[[Block, Block], float] | None = None,
) -> float:
    """sum over pairs of blocks of phi mu(x delta y) mu(x and y)."""

    def measure(block: Block) -> float:
        return float(sum(1.0 if density is None else density[u] for u in block))

    return sum(
        (1.0 if phi is None else phi(a, b)) * measure(a ^ b) * measure(a & b)
        for a in blocks(x)
        for b in blocks(y)
    )


def pixel_pairs(x: Labels, y: Labels, kernel: Callable[[int, int], float]) -> float:
    """sum of kernel(u, v) over ordered pairs that one partition joins and the other parts."""
    pixels = range(len(x))
    return float(
        sum(kernel(u, v) for u in pixels for v in pixels if (x[u] == x[v]) != (y[u] == y[v]))
    )


def by_pixels(x: Labels, y: Labels, distance: Callable[[Block, Block], float]) -> float:
    """A distance of sets between each pixel's two blocks, summed over pixels."""

    def block(labels: Labels, u: int) -> Block:
        return frozenset(v for v, label in enumerate(labels) if label == labels[u])

    return float(sum(distance(block(x, u), block(y, u)) for u in range(len(x))))


def by_position(x: Labels, y: Labels, table: Sequence[Sequence[float]]) -> Callable:
    """Weights given as a table over the blocks of x and of y."""
    rows, columns = blocks(x), blocks(y)
    return lambda a, b: table[rows.index(a)][columns.index(b)]


def van_dongen(x: Labels, y: Labels) -> float:
    total = 2.0 * len(x)
    total -= sum(max(len(a & b) for b in blocks(y)) for a in blocks(x))
    return total - sum(max(len(a & b) for a in blocks(x)) for b in blocks(y))


def larsen_similarity(x: Labels, y: Labels) -> float:
    """Of x to y: the mean over the blocks of x of the best F-measure."""
    best = [max(2 * len(a & b) / (len(a) + len(b)) for b in blocks(y)) for a in blocks(x)]
    return sum(best) / len(best)


def larsen(x: Labels, y: Labels) -> float:
    return 1 - (larsen_similarity(x, y) + larsen_similarity(y, x)) / 2


def entropy(x: Labels) -> float:
    shares = [len(a) / len(x) for a in blocks(x)]
    return -sum(p * math.log(p) for p in shares)


def mutual_information(x: Labels, y: Labels) -> float:
    n, total = len(x), 0.0
    for a in blocks(x):
        for b in blocks(y):
            if a & b:
                joint = len(a & b) / n
                total += joint * math.log(joint / (len(a) / n * len(b) / n))
    return total


def variation_of_information(x: Labels, y: Labels) -> float:
    return entropy(x) + entropy(y) - 2 * mutual_information(x, y)


def mean_entropy(x: Labels, y: Labels, average: str) -> float:
    one, other = entropy(x), entropy(y)
    return {
        "arithmetic": (one + other) / 2,
        "geometric": math.sqrt(one * other),
        "min": min(one, other),
        "max": max(one, other),
        "joint": one + other - mutual_information(x, y),
    }[average]


def normalized_mutual_information(x: Labels, y: Labels, average: str = "arithmetic") -> float:
    if len(set(x)) == len(set(y)) == 1:
        return 1.0
    mean = mean_entropy(x, y, average)
    return mutual_information(x, y) / mean if mean else 0.0


def normalized_information_distance(x: Labels, y: Labels) -> float:
    mean = mean_entropy(x, y, "max")
    return 1 - mutual_information(x, y) / mean if mean else 0.0


def expected_mutual_information(x: Labels, y: Labels) -> float:
    """Over all ways to deal the pixels, by counting them."""
    n, expected = len(x), 0.0
    for a in map(len, blocks(x)):
        for b in map(len, blocks(y)):
            for k in range(1, min(a, b) + 1):
                chance = math.comb(b, k) * math.comb(n - b, a - k) / math.comb(n, a)
                expected += chance * k / n * math.log(n * k / (a * b))
    return expected


def adjusted_mutual_information(x: Labels, y: Labels, average: str = "arithmetic") -> float:
    """1 where nothing is to be told apart, or everything is, in both."""
    if len(set(zip(x, y, strict=True))) == len(set(x)) == len(set(y)):
        return 1.0
    if 1 in (len(set(x)), len(set(y))):
        return 0.0
    chance = expected_mutual_information(x, y)
    return (mutual_information(x, y) - chance) / (mean_entropy(x, y, average) - chance)


def rand_split(x: Labels, y: Labels) -> float:
    """Of the pairs that x joins, the share that y joins too."""
    joined = joined_pairs(x)
    return joined_pairs(x, y) / joined if joined else 1.0


def cremi_score(x: Labels, y: Labels) -> float:
    bits = max(variation_of_information(x, y), 0) / math.log(2)
    return math.sqrt(bits * adapted_rand(x, y))


def rand_index(x: Labels, y: Labels) -> float:
    """The share of pairs of pixels about which the partitions agree."""
    n = len(x)
    agree = [(x[u] == x[v]) == (y[u] == y[v]) for u in range(n) for v in range(u)]
    return sum(agree) / len(agree)


def joined_pairs(*partitions: Labels) -> int:
    """Ordered pairs of different pixels that all the partitions join."""
    n = len(partitions[0])
    return sum(all(p[u] == p[v] for p in partitions) for u in range(n) for v in range(n) if u != v)


def adjusted_rand(x: Labels, y: Labels) -> float:
    """(pairs joined by both - expected) / (mean of those joined by each - expected)."""
    n = len(x)
    both, in_x, in_y = joined_pairs(x, y), joined_pairs(x), joined_pairs(y)
    expected = in_x * in_y / (n * (n - 1)) if n > 1 else 0.0
    if (in_x + in_y) / 2 == expected:
        return 1.0
    return (both - expected) / ((in_x + in_y) / 2 - expected)


def adapted_rand(x: Labels, y: Labels) -> float:
    """1 - the harmonic mean of the shares of joined pairs that the other joins too."""
    joined = joined_pairs(x) + joined_pairs(y)
    return 1 - 2 * joined_pairs(x, y) / joined if joined else 0.0


def earth_movers(
    p: Sequence[float], q: Sequence[float], ground: Sequence[Sequence[float]]
) -> float:
    """Cheapest flow of min(sum p, sum q), divided by that: a linear programme."""
    rows, columns = len(p), len(q)
    bounds = []
    for k in range(rows):
        bounds.append([float(i == k) for i in range(rows) for _ in range(columns)])
    for k in range(columns):
        bounds.append([float(j == k) for _ in range(rows) for j in range(columns)])
    flow = min(sum(p), sum(q))
    solved = linprog(
        np.ravel(ground),
        A_ub=bounds,
        b_ub=[*p, *q],
        A_eq=[[1.0] * (rows * columns)],
        b_eq=[flow],
    )
    return float(solved.fun / flow)


def soft_partition(
    p: np.ndarray,
    q: np.ndarray,
    *,
    density: Sequence[float] | None = None,
    phi: np.ndarray | None = None,
) -> float:
    """sum_kl phi_kl (a_k + b_l - 2 C_kl) C_kl of assignments (N, m) and (N, n)."""
    w = [1.0] * len(p) if density is None else density
    pixels = range(len(p))
    total = 0.0
    for k in range(p.shape[1]):
        for m in range(q.shape[1]):
            joint = sum(w[u] * p[u, k] * q[u, m] for u in pixels)
            first, second = sum(w[u] * p[u, k] for u in pixels), sum(w[u] * q[u, m] for u in pixels)
            total += (1 if phi is None else phi[k, m]) * (first + second - 2 * joint) * joint
    return total


def soft_partition_gradient(
    p: np.ndarray, q: np.ndarray, step: float = 1e-4, **arguments: object
) -> np.ndarray:
    """Central differences; exact, because the functional is quadratic in p."""
    return central_differences(lambda moved: soft_partition(moved, q, **arguments), p, step)


def nothing_wrong(p: np.ndarray, q: np.ndarray, phi: np.ndarray | None = None) -> np.ndarray:
    """(N,): pixels whose own terms phi_kl (a_k + b_l - 2 C_kl) P_uk Q_ul sum to 0."""
    pixels = range(len(p))
    wrong = np.zeros(len(p))
    for k in range(p.shape[1]):
        for m in range(q.shape[1]):
            joint = sum(p[u, k] * q[u, m] for u in pixels)
            outside = sum(p[u, k] for u in pixels) + sum(q[u, m] for u in pixels) - 2 * joint
            for u in pixels:
                wrong[u] += (1 if phi is None else phi[k, m]) * outside * p[u, k] * q[u, m]
    return wrong < 1e-12


def central_differences(
    function: Callable[[np.ndarray], float], x: np.ndarray, step: float
) -> np.ndarray:
    slope = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        slope[place] = (function(up) - function(down)) / (2 * step)
    return slope


def frobenius(p: np.ndarray, q: np.ndarray, density: Sequence[float] | None = None) -> float:
    """The squared Frobenius distance of the co-membership matrices, entry by entry."""
    w = [1.0] * len(p) if density is None else density
    pixels = range(len(p))
    return float(
        sum(w[u] * w[v] * (p[u] @ p[v] - q[u] @ q[v]) ** 2 for u in pixels for v in pixels)
    )


def gaussian_kernel_distance(
    embedding: np.ndarray,
    labels: Labels,
    *,
    bandwidth: float = 1.0,
    density: Sequence[float] | None = None,
) -> float:
    """sum_uv w_u w_v (K_uv - [y_u = y_v])^2 with a Gaussian kernel of the embedding (N, D)."""
    w = [1.0] * len(labels) if density is None else density
    pixels = range(len(labels))
    total = 0.0
    for u in pixels:
        for v in pixels:
            square = sum((a - b) ** 2 for a, b in zip(embedding[u], embedding[v], strict=True))
            kernel = math.exp(-square / (2 * bandwidth**2))
            total += w[u] * w[v] * (kernel - (labels[u] == labels[v])) ** 2
    return total
