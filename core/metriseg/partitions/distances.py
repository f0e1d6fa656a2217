r"""Distances and scores of two partitions, as pure functions of their contingency table.

Notation: :math:`C_{kl}` is the measure of the cell :math:`x_k \cap y_l` (the number of its
pixels), :math:`a_k` and :math:`b_l` are the measures of the regions, N is the measure of the
domain. Every function takes a :class:`~metriseg.partitions.ContingencyTable` and returns a float,
or a stack of tables and returns an array, one number a table.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from metriseg import arguments
from metriseg.partitions.table import (
    Table,
    Unit,
    conditional_entropy,
    in_unit,
    ratio,
    symmetric_differences,
    within_floats,
)

__all__ = [
    "adapted_rand_error",
    "adjusted_rand_index",
    "cremi_score",
    "larsen_aone_dissimilarity",
    "mirkin_distance",
    "partition_distance",
    "rand_index",
    "rand_split_and_merge",
    "split_and_merge",
    "van_dongen_distance",
    "variation_of_information",
]


def partition_distance(table: Table, *, normalized: bool = False) -> Any:
    r"""Partition distance: the paper's unweighted functional, a metric for every measure.

    .. math:: \rho(X, Y) = \sum_{kl} \mu(x_k \triangle y_l)\,\mu(x_k \cap y_l)
        = \sum_{kl} (a_k + b_l - 2 C_{kl})\,C_{kl}

    It is the measure of the pairs of pixels that one partition joins and the other parts, and the
    squared Frobenius distance of the co-membership matrices. A table of several measures gives
    the sum over them, which is the distance for the pixel-pair kernel
    :math:`m(u, v) = \sum_r f_r(u) f_r(v)`: a metric too, where m is above 0.

    Args:
        table: of one measure or several.
        normalized: divide by N² (summed over the measures).

    Returns:
        0 … N² - N for counts; 0 … 1 normalized. 0 exactly when the partitions are equal.

    Raises:
        ValueError: for weights so small or large that float64 doesn't hold their products.

    Reference: A. Kovtunenko, S. Mashtalir, Applied Aspects of Information Technology 9(2), 2026,
    doi:10.15276/aait.09.2026.12, eq. (3).

    >>> from metriseg.partitions import contingency_table
    >>> partition_distance(contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]]))
    16.0
    """
    return within_floats("partition_distance", partial(_pairs, normalized=normalized), table)


def mirkin_distance(table: Table, *, normalized: bool = False) -> Any:
    r"""Mirkin metric: ordered pairs of pixels that one partition joins and the other parts.

    .. math:: M(X, Y) = \sum_k a_k^2 + \sum_l b_l^2 - 2 \sum_{kl} C_{kl}^2

    Equal to :func:`partition_distance` of a table of counts, and N(N - 1)(1 - Rand index).

    Args:
        table: of one measure.
        normalized: divide by N².

    Returns:
        0 … N² - N for counts; 0 … 1 normalized.

    Reference: B. Mirkin, Mathematical Classification and Clustering, 1996.

    >>> from metriseg.partitions import contingency_table
    >>> mirkin_distance(contingency_table([[0, 0, 0], [1, 1, 1]], [[0, 0, 1], [0, 1, 1]]))
    16.0
    """
    table.one_measure("mirkin_distance")
    return within_floats("mirkin_distance", partial(_pairs, normalized=normalized), table)


def van_dongen_distance(table: Table, *, normalized: bool = False) -> Any:
    r"""Van Dongen metric (split-join distance).

    .. math:: D(X, Y) = 2N - \sum_k \max_l C_{kl} - \sum_l \max_k C_{kl}

    Args:
        table: of one measure.
        normalized: divide by 2N.

    Returns:
        0 … 2N (never reached); 0 … 1 normalized.

    Reference: S. van Dongen, Performance criteria for graph clustering and Markov cluster
    experiments, CWI INS-R0012, 2000.

    >>> from metriseg.partitions import contingency_table
    >>> van_dongen_distance(contingency_table([0, 0, 1, 1, 1], [0, 0, 0, 1, 1]))
    2.0
    """
    table.one_measure("van_dongen_distance")
    best_x = _largest(table.x_index, table.values, len(table.x_sizes))
    best_y = _largest(table.y_index, table.values, len(table.y_sizes))
    distance = table.sum_x(table.x_sizes - best_x) + table.sum_y(table.y_sizes - best_y)
    if normalized:
        distance = distance / (2 * np.asarray(table.total))
    return table.result(distance)


def larsen_aone_dissimilarity(table: Table) -> Any:
    r"""Larsen and Aone's dissimilarity: one minus the mean best F-measure of the regions.

    .. math::
        L(X, Y) = \frac1m \sum_k \max_l \frac{2 C_{kl}}{a_k + b_l}, \qquad
        d(X, Y) = 1 - \tfrac12 \bigl(L(X, Y) + L(Y, X)\bigr)

    **Not a metric**: for X = 0001, Z = 0012, Y = 0010 it is 5/12 from X to Y, and 1/6 + 1/6 by
    way of Z.

    Args:
        table: of one measure.

    Returns:
        0 … 1 (never reached).

    Reference: B. Larsen, C. Aone, Fast and effective text mining using linear-time document
    clustering, KDD 1999, doi:10.1145/312129.312186.

    >>> from metriseg.partitions import contingency_table
    >>> larsen_aone_dissimilarity(contingency_table([0, 0, 0, 1], [0, 0, 1, 0]))
    0.41666666666666674
    """
    table.one_measure("larsen_aone_dissimilarity")
    f_measure = 2 * table.values / (table.x_sizes[table.x_index] + table.y_sizes[table.y_index])
    best_x = _largest(table.x_index, f_measure, len(table.x_sizes))
    best_y = _largest(table.y_index, f_measure, len(table.y_sizes))
    x_to_y = table.sum_x(best_x) / table.sum_x(np.ones(len(best_x)))
    y_to_x = table.sum_y(best_y) / table.sum_y(np.ones(len(best_y)))
    return table.result(1 - (x_to_y + y_to_x) / 2)


def split_and_merge(table: Table, *, unit: Unit = "nats") -> tuple[Any, Any]:
    r"""The two parts of the variation of information, in nats or bits.

    .. math:: H(Y \mid X) = -\frac1N \sum_{kl} C_{kl} \ln\frac{C_{kl}}{a_k}, \qquad
        H(X \mid Y) = -\frac1N \sum_{kl} C_{kl} \ln\frac{C_{kl}}{b_l}

    With x the truth and y the prediction the first is what y splits (over-segmentation), the
    second what it merges (under-segmentation).

    Args:
        table: of one measure.
        unit: "nats", or "bits", which are 1/ln 2 as many: scikit-image and CREMI give these.

    Returns:
        ``(split, merge)``, each 0 … ln N for counts.

    >>> from metriseg.partitions import contingency_table
    >>> split_and_merge(contingency_table([0, 0, 0, 0], [0, 0, 1, 1]))
    (0.6931471805599453, 0.0)
    """
    table.one_measure("split_and_merge")
    split = conditional_entropy(table, table.x_sizes[table.x_index])
    merge = conditional_entropy(table, table.y_sizes[table.y_index])
    return table.result(in_unit(unit, split)), table.result(in_unit(unit, merge))


def variation_of_information(table: Table, *, normalized: bool = False, unit: Unit = "nats") -> Any:
    r"""Variation of information, in nats or bits: a metric; the sum of :func:`split_and_merge`.

    .. math:: VI(X, Y) = H(X) + H(Y) - 2 I(X; Y) = H(Y \mid X) + H(X \mid Y)

    Args:
        table: of one measure.
        normalized: divide by the joint entropy H(X, Y), which leaves a metric (0 where that is 0).
        unit: "nats", or "bits", which are 1/ln 2 as many; normalized it is neither.

    Returns:
        0 … ln N for counts; 0 … 1 normalized.

    Reference: M. Meilă, Comparing clusterings: an information based distance, Journal of
    Multivariate Analysis 98, 2007, doi:10.1016/j.jmva.2006.11.013; normalized: N. X. Vinh,
    J. Epps, J. Bailey, JMLR 11, 2010.

    >>> from metriseg.partitions import contingency_table
    >>> variation_of_information(contingency_table([0, 0, 1, 1], [0, 1, 0, 1]))
    1.3862943611198906
    """
    table.one_measure("variation_of_information")
    distance = conditional_entropy(table, table.x_sizes[table.x_index]) + conditional_entropy(
        table, table.y_sizes[table.y_index]
    )
    if normalized:
        total = np.asarray(table.total, np.float64)
        joint = conditional_entropy(table, table.per_cell(total))
        return table.result(np.minimum(ratio(distance, joint, empty=0.0), 1))
    return table.result(in_unit(unit, distance))


def rand_index(table: Table) -> Any:
    r"""Rand index: the share of pairs of pixels about which the partitions agree.

    .. math:: R(X, Y) = 1 - \frac{M(X, Y)}{N (N - 1)}

    Args:
        table: of counts.

    Returns:
        0 … 1, 1 when the partitions are equal; 1 for a single pixel.

    Raises:
        ValueError: for a table of weights.

    Reference: W. M. Rand, JASA 66, 1971, doi:10.1080/01621459.1971.10482356.

    >>> from metriseg.partitions import contingency_table
    >>> rand_index(contingency_table([0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]))
    0.4666666666666667
    """
    table.counts("rand_index")
    pairs = _ordered_pairs(table.total)
    return table.result(1 - ratio(_joined_by_one(table), pairs, empty=0.0))


def adjusted_rand_index(table: Table) -> Any:
    r"""Adjusted Rand index: 1 for equal partitions, 0 on average for random ones.

    .. math:: \mathrm{ARI} = \frac{s - e}{(p + q)/2 - e}, \quad
        s = \sum_{kl}\tbinom{C_{kl}}2,\; p = \sum_k\tbinom{a_k}2,\; q = \sum_l\tbinom{b_l}2,\;
        e = \frac{p q}{\binom N2}

    Args:
        table: of counts.

    Returns:
        -0.5 … 1; 1 where both partitions are trivial in the same way.

    Raises:
        ValueError: for a table of weights.

    Reference: L. Hubert, P. Arabie, Journal of Classification 2, 1985, doi:10.1007/BF01908075.

    >>> from metriseg.partitions import contingency_table
    >>> adjusted_rand_index(contingency_table([0, 0, 1, 1], [5, 5, 2, 2]))
    1.0
    """
    table.counts("adjusted_rand_index")
    total = np.asarray(table.total)
    joined_x, joined_y = _joined_pairs(table)
    parted_x = table.sum_x(_product(table.x_sizes, table.per_x(total) - table.x_sizes))
    parted_y = table.sum_y(_product(table.y_sizes, table.per_y(total) - table.y_sizes))
    # 1 - ARI, with every difference of large numbers taken by hand: nothing cancels
    crossed = joined_x * parted_y + joined_y * parted_x
    return table.result(
        1 - ratio(_joined_by_one(table) * _ordered_pairs(total), crossed, empty=0.0)
    )


def adapted_rand_error(table: Table, *, alpha: float = 0.5) -> Any:
    r"""Adapted Rand error: one minus the F-measure of the pairs that are joined.

    .. math:: E_\alpha = 1 - \frac{s}{\alpha q + (1 - \alpha) p}, \quad
        s = \sum_{kl} C_{kl}^2 - N,\; p = \sum_k a_k^2 - N,\; q = \sum_l b_l^2 - N

    At alpha 0 it is one minus the split of :func:`rand_split_and_merge`, at 1 one minus the
    merge, and between them one minus their weighted harmonic mean. A pixel is in no pair with
    itself, as in scikit-image; the evaluations of SNEMI3D and CREMI leave the N out, which changes
    the error by at most 2 N / (p + q).

    Args:
        table: of counts; the truth's background is left out by
            ``contingency_table(truth, prediction, ignore={"x": 0})``.
        alpha: 0 … 1: 1/2 is the error of SNEMI3D, ISBI 2012 and CREMI.

    Returns:
        0 … 1; 0 where neither partition joins any two pixels.

    Raises:
        ValueError: for a table of weights, or another alpha.

    Reference: I. Arganda-Carreras and others, Crowdsourcing the creation of image segmentation
    algorithms for connectomics, Frontiers in Neuroanatomy 9, 2015, doi:10.3389/fnana.2015.00142.

    >>> from metriseg.partitions import contingency_table
    >>> adapted_rand_error(contingency_table([0, 0, 1, 1], [0, 0, 0, 0]))
    0.5
    """
    share = arguments.number("alpha", alpha, low=0.0, high=1.0)
    table.counts("adapted_rand_error")
    joined_x, joined_y = _joined_pairs(table)
    by_x, by_y = _joined_by_x(table), _joined_by_y(table)
    # at 1/2 both halves are whole numbers of pairs
    apart = 2 * share * by_y + 2 * (1 - share) * by_x
    joined = 2 * share * joined_y + 2 * (1 - share) * joined_x
    return table.result(ratio(apart, joined, empty=0.0))


def rand_split_and_merge(table: Table) -> tuple[Any, Any]:
    r"""The parts of the adapted Rand error: the shares of the joined pairs that are right.

    .. math:: V_\text{split} = \frac sp, \qquad V_\text{merge} = \frac sq

    with s, p and q as in :func:`adapted_rand_error`. With x the truth the first is the recall of
    its pairs, which splits lower; the second the precision of the prediction's, which mergers
    lower.

    Args:
        table: of counts.

    Returns:
        ``(split, merge)``, each 0 … 1; 1 where there are no such pairs.

    Raises:
        ValueError: for a table of weights.

    Reference: I. Arganda-Carreras and others, Frontiers in Neuroanatomy 9, 2015,
    doi:10.3389/fnana.2015.00142.

    >>> from metriseg.partitions import contingency_table
    >>> rand_split_and_merge(contingency_table([0, 0, 1, 1], [0, 0, 0, 0]))   # 4 of 12 pairs
    (1.0, 0.33333333333333337)
    """
    table.counts("rand_split_and_merge")
    joined_x, joined_y = _joined_pairs(table)
    split = 1 - ratio(_joined_by_x(table), joined_x, empty=0.0)
    merge = 1 - ratio(_joined_by_y(table), joined_y, empty=0.0)
    return table.result(split), table.result(merge)


def cremi_score(table: Table) -> Any:
    r"""The score that CREMI ranks segmentations by: of splits, mergers and pairs at once.

    .. math:: \sqrt{E \cdot \mathrm{VI}_2}

    of the adapted Rand error and the variation of information in bits.

    Args:
        table: of counts, of the truth's neurons alone:
            ``contingency_table(truth, prediction, ignore={"x": background})``.

    Returns:
        0 … √(log₂ N); 0 for equal partitions.

    Raises:
        ValueError: for a table of weights.

    Source: CREMI, the MICCAI challenge on circuit reconstruction from electron microscopy images,
    2016, cremi.org.

    >>> from metriseg.partitions import contingency_table
    >>> cremi_score(contingency_table([0, 0, 1, 1], [0, 0, 0, 0]))   # √(1/2 · 1 bit)
    0.7071067811865476
    """
    table.counts("cremi_score")
    information = np.asarray(variation_of_information(table, unit="bits"))
    return table.result(np.sqrt(np.asarray(adapted_rand_error(table)) * information))


def _over_measures(values: Any) -> Any:
    return values if values.ndim == 1 else values.sum(1)


def _joined_by_one(table: Table) -> Any:
    """Ordered pairs of pixels that one partition joins and the other parts, measured.

    Each term is a difference of sizes, then a product, none negative: nothing cancels, and equal
    partitions are at 0 exactly.
    """
    return table.sum_cells(_over_measures(_product(symmetric_differences(table), table.values)))


def _joined_by_x(table: Table) -> Any:
    """Ordered pairs of pixels that x joins and y parts; none of equal partitions."""
    return table.sum_cells(_product(table.values, table.x_sizes[table.x_index] - table.values))


def _joined_by_y(table: Table) -> Any:
    return table.sum_cells(_product(table.values, table.y_sizes[table.y_index] - table.values))


def _product(a: Any, b: Any) -> Any:
    """In float64: products of counts leave int64."""
    return a.astype(np.float64) * b


def _pairs(table: Table, *, normalized: bool) -> Any:
    """The measure of those pairs, or their share of all.

    Weights are multiplied by a power of 2 that brings their sum near 1, which rounds nothing, so
    that products of tiny or huge ones don't leave the floats where the result doesn't.
    """
    totals = np.asarray(table.total, np.float64)
    several = table.values.ndim == 2
    exponent = np.frexp(totals.max(-1) if several else totals)[1]
    down = np.reshape(-table.per_cell(exponent), (-1, 1) if several else (-1,))
    apart, shared = (
        np.ldexp(part.astype(np.float64), down)
        for part in (symmetric_differences(table), table.values)
    )
    distance = table.sum_cells(_over_measures(apart * shared))
    if not normalized:
        return table.result(np.ldexp(distance, 2 * exponent))
    squares = np.ldexp(totals, -exponent[..., None] if several else -exponent) ** 2
    return table.result(distance / (squares.sum(-1) if several else squares))


def _largest(index: Any, values: Any, regions: int) -> Any:
    best = np.zeros(regions, values.dtype)
    np.maximum.at(best, index, values)
    return best


def _ordered_pairs(total: Any) -> Any:
    total = np.asarray(total)
    return total.astype(np.float64) * (total - 1)


def _joined_pairs(table: Table) -> tuple[Any, Any]:
    """Ordered pairs of different pixels that x, and y, joins."""
    return table.sum_x(_ordered_pairs(table.x_sizes)), table.sum_y(_ordered_pairs(table.y_sizes))
