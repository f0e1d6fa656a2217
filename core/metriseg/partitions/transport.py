r"""Distances of segmentations by what their regions are like: earth moved between signatures.

A signature is a list of regions, each with a weight and a feature vector. These distances see
nothing of where a region lies: between partitions they are pseudometrics, 0 also for different
partitions whose regions have the same sizes and mean features.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metriseg.arrays import host
from metriseg.partitions.table import Signatures, Table

__all__ = ["earth_movers_distance", "microm_distance", "signature_distance"]

#: What it costs to move from the features ``(m, F)`` to the features ``(n, F)``: ``(m, n)``.
Ground: TypeAlias = (
    Literal["euclidean"] | Callable[[NDArray[np.float64], NDArray[np.float64]], ArrayLike]
)

#: The most pairs of regions that are matched: some seconds, and half a gigabyte.
PAIRS = 1 << 24
#: The most steps of the solver; it needs a few for each region.
STEPS = 10_000_000


def earth_movers_distance(table: Table, *, ground: Ground = "euclidean") -> Any:
    r"""Earth mover's distance: the cheapest way to move the regions of x into those of y.

    .. math:: \mathrm{EMD}(X, Y) = \frac1N \min_{f \ge 0} \sum_{kl} d(p_k, q_l) f_{kl}, \qquad
        \sum_l f_{kl} = a_k, \quad \sum_k f_{kl} = b_l

    Here p and q are the mean features of the regions. It is solved exactly, as a linear
    programme, and needs the package POT.

    On signatures (what regions weigh and are like) it is a metric if the ground distance is one,
    because both have the total N. Between partitions it is only a pseudometric: two partitions
    may have regions of the same sizes and features. For totals that differ see
    :func:`signature_distance`.

    Args:
        table: of one measure, with features: ``contingency_table(x, y, features=…)``.
        ground: "euclidean", or a function of the features ``(m, F)`` of x and ``(n, F)`` of y that
            gives the distances ``(m, n)``, finite and not negative.

    Returns:
        0 … the largest ground distance, in the units of the features; 0 for equal partitions (to
        rounding, if ``ground`` is a function that is 0 between equal features).

    Raises:
        ValueError: for a table of several measures or without features, a ground that is no
            distance matrix, or more than 2^24 pairs of regions: time grows by about the square of
            the regions, and memory is that of the matrix.
        ImportError: without POT (``pip install 'metriseg[partitions]'``).
        RuntimeError: when the solver finds no optimum.

    Reference: Y. Rubner, C. Tomasi, L. J. Guibas, The earth mover's distance as a metric for image
    retrieval, IJCV 40, 2000, doi:10.1023/A:1026543900054.

    >>> from metriseg.partitions import contingency_table
    >>> grey = [[0.0, 0.0, 1.0, 1.0]]
    >>> earth_movers_distance(contingency_table([0, 0, 1, 1], [0, 0, 0, 0], features=grey))
    0.5
    """
    table.one_measure("earth_movers_distance")
    return _of_tables(table, ground)


def microm_distance(table: Table, *, ground: Ground = "euclidean") -> Any:
    r"""Minimum-cost region matching (MiCRoM): regions matched by the shares of area they have.

    .. math:: \mathrm{MiCRoM}(X, Y) = \min_{f \ge 0} \sum_{kl} d(p_k, q_l) f_{kl}, \qquad
        \sum_l f_{kl} = \frac{a_k}N, \quad \sum_k f_{kl} = \frac{b_l}N

    A balanced flow of least cost. Over one domain this is :func:`earth_movers_distance`; the two
    part ways for segmentations of images of different sizes, which have no common table. For
    those give the shares of area to :func:`signature_distance`.

    A metric on signatures if the ground distance is one; between partitions only a pseudometric.

    Args:
        table: of one measure, with features: ``contingency_table(x, y, features=…)``.
        ground: as in :func:`earth_movers_distance`.

    Returns:
        0 … the largest ground distance, in the units of the features; 0 for equal partitions (to
        rounding, if ``ground`` is a function that is 0 between equal features).

    Raises:
        ValueError, ImportError, RuntimeError: as :func:`earth_movers_distance`.

    Reference: R. O. Stehling, M. A. Nascimento, A. X. Falcão, MiCRoM: a metric distance to compare
    segmented images, VISUAL 2002, doi:10.1007/3-540-45925-1_2.

    >>> from metriseg.partitions import contingency_table
    >>> grey = [[0.0, 0.0, 1.0, 1.0]]
    >>> microm_distance(contingency_table([0, 0, 1, 1], [0, 1, 1, 2], features=grey))
    0.25
    """
    table.one_measure("microm_distance")
    return _of_tables(table, ground)


def signature_distance(weights_p: ArrayLike, weights_q: ArrayLike, ground: ArrayLike) -> float:
    r"""Earth mover's distance of two signatures, whose totals may differ.

    .. math:: \mathrm{EMD}(P, Q) = \frac{\sum_{kl} d_{kl} f_{kl}}{\sum_{kl} f_{kl}}, \qquad
        \sum_l f_{kl} \le p_k, \quad \sum_k f_{kl} \le q_l, \quad
        \sum_{kl} f_{kl} = \min\Bigl(\sum_k p_k, \sum_l q_l\Bigr)

    where f is the flow of least cost. It is a metric on signatures if and only if the ground
    distance is a metric and the totals are equal: what is left over where they differ costs
    nothing.

    Args:
        weights_p: ``(m,)`` finite, not negative, with something above 0.
        weights_q: ``(n,)`` likewise.
        ground: ``(m, n)`` finite distances between the members of the signatures, not negative.

    Returns:
        0 … the largest ground distance.

    Raises:
        ValueError: for other shapes or values, or more than 2^24 pairs.
        ImportError: without POT (``pip install 'metriseg[partitions]'``).
        RuntimeError: when the solver finds no optimum.

    Reference: Y. Rubner, C. Tomasi, L. J. Guibas, IJCV 40, 2000, doi:10.1023/A:1026543900054.

    >>> signature_distance([0.5, 0.5], [0.25, 0.75], [[0.0, 2.0], [1.0, 1.0]])
    1.0
    >>> signature_distance([1, 1], [0.5, 0.5], [[0, 2], [1, 1]])
    0.5
    """
    p, q = _weights("weights_p", weights_p), _weights("weights_q", weights_q)
    costs = _costs(ground, len(p), len(q))
    return _cheapest(p, q, costs) / min(float(p.sum()), float(q.sum()))


def _of_tables(table: Table, ground: Ground) -> Any:
    if ground != "euclidean" and not callable(ground):
        raise ValueError(f"ground must be 'euclidean' or a function of features, got {ground!r}")
    found = [_between(pair, ground) for pair in table.signatures()]
    return table.result(found if np.ndim(table.total) else found[0])


def _between(pair: Signatures, ground: Ground) -> float:
    m, n = len(pair.x_sizes), len(pair.y_sizes)
    _few_enough(m, n)
    p, q = pair.x_sizes.astype(np.float64), pair.y_sizes.astype(np.float64)
    flow = float(p.sum())
    if callable(ground):
        cost = _cheapest(p, q, _costs(ground(pair.x_features, pair.y_features), m, n))
    else:
        cost = _euclidean(p, q, pair)
    return cost / flow


def _euclidean(p: NDArray[np.float64], q: NDArray[np.float64], pair: Signatures) -> float:
    """What both have at the same place stays there: by the triangle inequality that is optimal.

    So equal signatures are at 0 exactly.
    """
    places, at = np.unique(
        np.concatenate([pair.x_features, pair.y_features]), axis=0, return_inverse=True
    )
    surplus = np.zeros(len(places))
    np.add.at(surplus, at.reshape(-1), np.concatenate([p, -q]))
    source, sink = surplus > 0, surplus < 0
    if not (source.any() and sink.any()):
        return 0.0
    from scipy.spatial.distance import cdist

    return _cheapest(surplus[source], -surplus[sink], cdist(places[source], places[sink]))


def _cheapest(p: NDArray[np.float64], q: NDArray[np.float64], costs: NDArray[np.float64]) -> float:
    """The least cost of a flow of min(sum p, sum q)."""
    ot = _solver()
    # the solver's tolerances are absolute: powers of 2 bring all to 1 without any rounding
    weight, cost = _power_of_two(max(p.sum(), q.sum())), _power_of_two(costs.max())
    p, q, costs = p / weight, q / weight, costs / cost
    rest = p.sum() - q.sum()
    if abs(rest) > 1e-12 * max(p.sum(), q.sum()):
        # an extra member takes what is left over, for nothing
        if rest > 0:
            q, costs = np.append(q, rest), np.pad(costs, ((0, 0), (0, 1)))
        else:
            p, costs = np.append(p, -rest), np.pad(costs, ((0, 1), (0, 0)))
    with warnings.catch_warnings():
        # it warns of what is raised here
        warnings.simplefilter("ignore", UserWarning)
        least, log = ot.emd2(
            p, q, costs, numItermax=STEPS, log=True, center_dual=False, check_marginals=False
        )
    if log["warning"] is not None:
        raise RuntimeError(
            f"no cheapest flow was found between {len(p)} and {len(q)} regions: {log['warning']}"
        )
    return float(least) * weight * cost


def _solver() -> Any:
    try:
        import ot  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            "the earth mover's distance needs POT: pip install 'metriseg[partitions]'"
        ) from None
    return ot


def _power_of_two(value: float) -> float:
    return math.ldexp(1.0, math.frexp(value)[1]) if value > 0 else 1.0


def _few_enough(m: int, n: int) -> None:
    if m * n > PAIRS:
        raise ValueError(
            f"table has {m:,} x {n:,} regions: the earth mover's distance matches at most"
            f" {PAIRS:,} pairs of them"
        )


def _weights(name: str, given: ArrayLike) -> NDArray[np.float64]:
    weights = _real(name, given)
    if weights.ndim != 1 or not len(weights):
        raise ValueError(f"{name} must have shape (regions,), got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(f"{name} must be finite, not negative, and not all 0")
    return weights


def _real(name: str, given: ArrayLike) -> NDArray[np.float64]:
    array = host(name, given)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array.astype(np.float64)


def _costs(given: ArrayLike, m: int, n: int) -> NDArray[np.float64]:
    _few_enough(m, n)
    costs = _real("ground", given)
    if costs.shape != (m, n):
        raise ValueError(f"ground must give distances of shape ({m}, {n}), got {costs.shape}")
    if not (np.isfinite(costs).all() and (costs >= 0).all()):
        raise ValueError("ground must give distances that are finite and not negative")
    return costs
