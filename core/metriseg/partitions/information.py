r"""What two partitions say of each other: mutual information and its normalized forms.

Notation as in :mod:`metriseg.partitions.distances`. With :math:`H(X) = -\sum_k \frac{a_k}N
\ln\frac{a_k}N`, so H(Y), and the joint entropy :math:`H(X, Y) = -\sum_{kl} \frac{C_{kl}}N
\ln\frac{C_{kl}}N`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.partitions.table import (
    Table,
    Unit,
    conditional_entropy,
    in_unit,
    missing_information,
    ratio,
)

__all__ = [
    "adjusted_mutual_information",
    "mutual_information",
    "normalized_information_distance",
    "normalized_mutual_information",
]

Average = Literal["arithmetic", "geometric", "min", "max"]
Normalization = Literal["arithmetic", "geometric", "min", "max", "joint"]
Float = NDArray[np.float64]
Int = NDArray[np.int64]

#: Of an overlap's distribution under chance: where its tails, less than e^-60, begin, in standard
#: deviations and, of narrow ones, some pixels more.
TAILS = (12, 60)
#: The standard deviation from which on it is so smooth that the sum over every so manyth overlap,
#: in standard deviations, is that over all: the two differ by about exp(-2 (pi / STRIDE)^2).
WIDE = 30.0
STRIDE = 0.6
#: Terms of the expected information that are held at once.
TERMS = 1 << 20
#: Pairs of different sizes of regions that are looked at at once.
PAIRS = 1 << 20


class _Entropies(NamedTuple):
    """One number a table each, in nats."""

    x: Any
    y: Any
    split: Any  # H(Y | X)
    merge: Any  # H(X | Y)


def mutual_information(table: Table, *, unit: Unit = "nats") -> Any:
    r"""Mutual information: what one partition says of the other.

    .. math:: I(X; Y) = \sum_{kl} \frac{C_{kl}}N \ln\frac{N C_{kl}}{a_k b_l}
        = H(X) - H(X \mid Y)

    Args:
        table: of one measure.
        unit: "nats", or "bits", which are 1/ln 2 as many.

    Returns:
        0 … the smaller of H(X) and H(Y): for equal partitions their entropy.

    Reference: C. E. Shannon, Bell System Technical Journal 27, 1948,
    doi:10.1002/j.1538-7305.1948.tb01338.x.

    >>> from metriseg.partitions import contingency_table
    >>> mutual_information(contingency_table([0, 0, 1, 1], [0, 0, 1, 1]), unit="bits")
    1.0
    """
    return table.result(in_unit(unit, _information(_entropies("mutual_information", table))))


def normalized_mutual_information(table: Table, *, average: Normalization = "arithmetic") -> Any:
    r"""Mutual information as a share of the entropies: 1 for equal partitions.

    .. math:: \mathrm{NMI}(X, Y) = \frac{I(X; Y)}{M(H(X), H(Y))}

    It is **not** corrected for chance: the more regions, the larger. See
    :func:`adjusted_mutual_information`.

    Args:
        table: of one measure.
        average: M: the "arithmetic" mean (scikit-learn's default; the V-measure), "geometric",
            "min", "max", or "joint" for H(X, Y) in its place.

    Returns:
        0 … 1; 1 where both partitions are one region, 0 where one of them alone is.

    Raises:
        ValueError: for another average.

    Reference: N. X. Vinh, J. Epps, J. Bailey, Information theoretic measures for clusterings
    comparison, JMLR 11, 2010.

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([0, 0, 1, 1], [0, 1, 2, 2])
    >>> normalized_mutual_information(table)   # ln 2 of (ln 2 + 3/2 ln 2) / 2
    0.8
    """
    arguments.one_of("average", average, get_args(Normalization))
    entropies = _entropies("normalized_mutual_information", table)
    mean, lack = _mean_and_lack(entropies, average)
    trivial = (np.asarray(entropies.x) == 0) & (np.asarray(entropies.y) == 0)
    share = 1 - ratio(lack, mean, empty=1.0)
    return table.result(np.where(trivial, 1.0, np.clip(share, 0, 1)))


def normalized_information_distance(table: Table) -> Any:
    r"""Normalized information distance: a metric within 0 … 1.

    .. math:: \mathrm{NID}(X, Y) = 1 - \frac{I(X; Y)}{\max(H(X), H(Y))}
        = \frac{\max(H(X \mid Y), H(Y \mid X))}{\max(H(X), H(Y))}

    Args:
        table: of one measure.

    Returns:
        0 … 1: 0 for equal partitions, 1 for independent ones.

    Reference: N. X. Vinh, J. Epps, J. Bailey, JMLR 11, 2010.

    >>> from metriseg.partitions import contingency_table
    >>> normalized_information_distance(contingency_table([0, 0, 1, 1], [0, 1, 2, 3]))
    0.5
    """
    entropies = _entropies("normalized_information_distance", table)
    mean, lack = _mean_and_lack(entropies, "max")
    return table.result(np.minimum(ratio(lack, mean, empty=0.0), 1))


def adjusted_mutual_information(table: Table, *, average: Average = "arithmetic") -> Any:
    r"""Adjusted mutual information: 1 for equal partitions, 0 on average for random ones.

    .. math:: \mathrm{AMI}(X, Y) = \frac{I(X; Y) - E}{M(H(X), H(Y)) - E}, \qquad
        E = \sum_{kl} \sum_n \frac nN \ln\frac{N n}{a_k b_l}\,
        \frac{\binom{b_l}n \binom{N - b_l}{a_k - n}}{\binom N{a_k}}

    E is the mean of I over all ways to give the pixels of regions of these sizes to them. An
    overlap n is hypergeometric; what is further from its mean than 12 standard deviations is left
    out, less than :math:`10^{-25}` of it. Time grows with the pairs of *different* sizes of
    regions, some microseconds each: a thousand on each side take seconds.

    Args:
        table: of counts.
        average: M: the "arithmetic" mean (scikit-learn's default), "geometric", "min" or "max".

    Returns:
        At most 1; below 0 where the partitions agree less than by chance.

    Raises:
        ValueError: for a table of weights, or another average.

    Reference: N. X. Vinh, J. Epps, J. Bailey, JMLR 11, 2010.

    >>> from metriseg.partitions import contingency_table
    >>> adjusted_mutual_information(contingency_table([0, 0, 1, 1], [5, 5, 2, 2]))
    1.0
    >>> adjusted_mutual_information(contingency_table([0, 0, 1, 1], [0, 1, 0, 1])).__round__(6)
    -0.5
    """
    arguments.one_of("average", average, get_args(Average))
    table.counts("adjusted_mutual_information")
    entropies = _entropies("adjusted_mutual_information", table)
    mean, lack = _mean_and_lack(entropies, average)
    lacking = np.atleast_1d(lack) != 0
    expected = np.reshape(
        [
            _expected(one) if any_ else 0.0
            for one, any_ in zip(table.singles(), lacking, strict=True)
        ],
        np.shape(mean),
    )
    trivial = (np.asarray(entropies.x) == 0) != (np.asarray(entropies.y) == 0)
    # (I - E) / (M - E), where nothing is lacking exactly 1
    adjusted = 1 - ratio(lack, mean - expected, empty=0.0)
    return table.result(np.where(trivial, 0.0, np.where(np.asarray(lack) == 0, 1.0, adjusted)))


def _entropies(who: str, table: Table) -> _Entropies:
    table.one_measure(who)
    total = np.asarray(table.total, np.float64)
    return _Entropies(
        table.sum_x(missing_information(table.x_sizes, table.per_x(total))) / total,
        table.sum_y(missing_information(table.y_sizes, table.per_y(total))) / total,
        conditional_entropy(table, table.x_sizes[table.x_index]),
        conditional_entropy(table, table.y_sizes[table.y_index]),
    )


def _information(entropies: _Entropies) -> Any:
    """H(X) - H(X | Y), by both sides, which makes it symmetric."""
    x, y, split, merge = entropies
    return np.maximum((x - merge) / 2 + (y - split) / 2, 0.0)


def _mean_and_lack(entropies: _Entropies, average: str) -> tuple[Any, Any]:
    """M, and M - I without the difference: 0 exactly of equal partitions."""
    x, y, split, merge = entropies
    means: dict[str, Callable[[], tuple[Any, Any]]] = {
        "arithmetic": lambda: ((x + y) / 2, (split + merge) / 2),
        "max": lambda: (np.maximum(x, y), np.maximum(split, merge)),
        "min": lambda: (np.minimum(x, y), np.minimum(split, merge)),
        "joint": lambda: ((x + split) / 2 + (y + merge) / 2, split + merge),
        "geometric": lambda: (np.sqrt(x * y), np.sqrt(x * y) - _information(entropies)),
    }
    return means[average]()


def _expected(table: Table) -> float:
    """The mean of I over partitions of these sizes, in nats."""
    total = float(table.total)
    sizes, times = zip(
        *(np.unique(side, return_counts=True) for side in (table.x_sizes, table.y_sizes)),
        strict=True,
    )
    # some sizes of x at a time, each with all of y
    rows = max(1, PAIRS // len(sizes[1]))
    expected = 0.0
    for first in range(0, len(sizes[0]), rows):
        some = slice(first, first + rows)
        a, b = np.meshgrid(sizes[0][some], sizes[1], indexing="ij")
        occurrences = np.multiply.outer(times[0][some], times[1])
        expected += _expected_of(total, a.ravel(), b.ravel(), occurrences.ravel())
    return expected


def _expected_of(total: float, a: Int, b: Int, occurrences: Int) -> float:
    """The share of pairs of sizes, each of which occurs so often."""
    means = a.astype(np.float64) * b / total
    deviations = np.sqrt(means * (total - a) * (total - b) / (total * max(total - 1, 1)))
    steps = np.where(deviations < WIDE, 1, deviations * STRIDE).astype(np.int64)
    reach = TAILS[0] * deviations + np.where(deviations < WIDE, TAILS[1], 0)
    low = np.maximum(np.maximum(0, a + b - int(total)), np.floor(means - reach).astype(np.int64))
    high = np.minimum(np.minimum(a, b), np.ceil(means + reach).astype(np.int64))
    expected = 0.0
    for is_wide, probabilities in ((False, _by_ratios), (True, _by_deviances)):
        chosen = np.flatnonzero((deviations >= WIDE) == is_wide)
        counts = (high - low)[chosen] // steps[chosen] + 1
        for group in _alike(counts):
            pairs = chosen[group]
            here = (part[pairs, None] for part in (a, b, low, high, steps))
            information = _mean_information(*here, total=total, probabilities=probabilities)
            expected += float(occurrences[pairs] @ information)
    return expected


def _alike(widths: Int) -> Iterator[Int]:
    """Groups of pairs of similar widths, which together have so many terms."""
    order = np.argsort(widths, kind="stable")
    start = 0
    while start < len(order):
        fitting = np.arange(1, len(order) - start + 1) * widths[order[start:]] <= TERMS
        count = max(1, int(np.count_nonzero(fitting)))
        yield order[start : start + count]
        start += count


def _mean_information(
    a: Int,
    b: Int,
    low: Int,
    high: Int,
    step: Int,
    *,
    total: float,
    probabilities: Callable[[Float, Int, Int, float], Float],
) -> Float:
    """Of each pair of regions of sizes a and b ``(pairs, 1)``, the mean of n/N ln(N n / ab)."""
    overlaps = low + step * np.arange(int(((high - low) // step).max()) + 1)
    inside = overlaps <= high
    n = np.where(inside, overlaps, high).astype(np.float64)
    logarithms = probabilities(n, a, b, total)
    weights = np.exp(logarithms - logarithms.max(1, keepdims=True)) * inside
    weights /= weights.sum(1, keepdims=True)
    shares = np.maximum(n, 1) / a * (total / b)
    mean: Float = (weights * (n / total) * np.log(shares)).sum(1)
    return mean


def _by_ratios(n: Float, a: Int, b: Int, total: float) -> Float:
    """Of the overlaps n, each the next of the one before it, to a constant: no factorial of many
    pixels is taken, which would leave no digits."""
    before, here = n[:, :-1], n[:, 1:]
    up, down = (a - before) * (b - before), here * (total - a - b + here)
    follows = here > before
    ratios = np.divide(up, down, out=np.ones_like(up), where=follows)
    return np.concatenate([np.zeros_like(n[:, :1]), np.cumsum(np.log(ratios), axis=1)], axis=1)


def _by_deviances(n: Float, a: Int, b: Int, total: float) -> Float:
    """Of any overlaps that leave many pixels in each of the four cells, to a constant: Stirling's
    series, with what large numbers would cancel in it taken out by hand."""
    cells = (
        (n, a * (b / total)),
        (b - n, b * ((total - a) / total)),
        (a - n, a * ((total - b) / total)),
        (total - a - b + n, (total - a) * ((total - b) / total)),
    )
    logarithms = np.zeros_like(n)
    # each cell is as far from its mean as n is from its own
    apart = n - a * (b / total)
    for (count, mean), sign in zip(cells, (1, -1, -1, 1), strict=True):
        inverse = 1 / count
        series = inverse / 12 - inverse**3 / 360
        logarithms -= mean * _deviance(sign * apart / mean) + np.log(count) / 2 + series
    return logarithms


def _deviance(t: Float) -> Float:
    """(1 + t) ln(1 + t) - t, to all digits where t is near 0."""
    small = np.where(np.abs(t) < 0.05, t, 0.0)
    series = np.zeros_like(t)
    for power in range(12, 1, -1):
        series = series * small + (-1) ** power / (power * (power - 1))
    near: Float = np.where(np.abs(t) < 0.05, series * small**2, (1 + t) * np.log1p(t) - t)
    return near
