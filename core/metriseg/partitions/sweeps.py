"""Segmentations that merge more and more, scored at each threshold from one contingency table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.arrays import Labels, as_labels, host, integer_array
from metriseg.partitions.contingency import ContingencyTable
from metriseg.partitions.label_maps import not_negative
from metriseg.partitions.registry import MEASURES, Measure
from metriseg.partitions.scores import SCORES

__all__ = ["BestThreshold", "Sweep", "sweep", "sweep_merges"]

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Order = Literal["ascending", "descending"]

_KNOWN: Mapping[str, Measure] = {**MEASURES, **SCORES}


class BestThreshold(NamedTuple):
    """Where a score is best.

    Attributes:
        threshold: the first of those that have the best score.
        score: there.
        place: of the threshold among all.
    """

    threshold: float
    score: float
    place: int


@dataclass(frozen=True, eq=False)
class Sweep:
    """Scores as a threshold goes through its values: what :func:`sweep` gives.

    Attributes:
        thresholds: ``(T,)``, in the order of the segmentations.
        regions: ``(T,)``, how many regions y has at each.
        scores: of each metric ``(T,)``: its curve.
    """

    thresholds: Float
    regions: Int
    scores: Mapping[str, Float]

    def best(self, metric: str | None = None) -> BestThreshold:
        """Where a metric is best, by what is better for it; None for the first one.

        Raises:
            ValueError: for a metric that was not computed, or one that is nowhere a number.
        """
        name = next(iter(self.scores)) if metric is None else metric
        if name not in self.scores:
            raise ValueError(f"metric must be one of {', '.join(self.scores)}, got {metric!r}")
        curve = self.scores[name]
        if np.isnan(curve).all():
            raise ValueError(f"metric {name} is a number at no threshold")
        lower = _KNOWN[name].better == "lower"
        place = int(np.nanargmin(curve) if lower else np.nanargmax(curve))
        return BestThreshold(float(self.thresholds[place]), float(curve[place]), place)


def sweep(
    table: ContingencyTable,
    names: Iterable[Any],
    thresholds: Sequence[float] | None = None,
    *,
    metrics: str | Sequence[str] = "variation_of_information",
) -> Sweep:
    r"""Scores of segmentations that are one oversegmentation with its labels renamed.

    Each is scored from the table of the oversegmentation, by
    :meth:`~metriseg.partitions.ContingencyTable.relabel`: the maps are read once, whatever the
    number of thresholds.

    Args:
        table: x is the truth, y the oversegmentation, such as the supervoxels.
        names: of each segmentation, the new names of y's labels, as ``relabel`` takes them: a
            mapping, or an array with the name of the label i at the place i. None of them changes
            those of another.
        thresholds: one number a segmentation; None for 0, 1, …
        metrics: one name or several of :data:`~metriseg.partitions.MEASURES` or
            :data:`~metriseg.partitions.SCORES`.

    Returns:
        The curves, and where they are best.

    Raises:
        ValueError: for an unknown metric, other numbers of thresholds, no segmentation, an empty
            table, or what ``relabel`` refuses.

    >>> from metriseg.partitions import contingency_table
    >>> truth, pieces = [1, 1, 1, 1, 2, 2], [1, 1, 2, 2, 3, 3]
    >>> merged = [{}, {2: 1}, {2: 1, 3: 1}]
    >>> found = sweep(contingency_table(truth, pieces), merged, [0.0, 0.3, 0.6])
    >>> found.scores["variation_of_information"].round(3)
    array([0.462, 0.   , 0.637])
    >>> found.best()
    BestThreshold(threshold=0.3, score=0.0, place=1)
    """
    chosen = _measures(metrics)
    _checked_table(table)
    listed = list(names) if isinstance(names, Iterable) and not isinstance(names, Mapping) else []
    if not listed:
        raise ValueError("names must hold new names for one segmentation or more")
    values = np.arange(len(listed), dtype=np.float64) if thresholds is None else thresholds
    levels = _numbers("thresholds", values)
    if len(levels) != len(listed):
        raise ValueError(f"thresholds must be one a segmentation, {len(listed)}, got {len(levels)}")
    return _scored(levels, (table.relabel(y=one) for one in listed), chosen)


def sweep_merges(
    table: ContingencyTable,
    edges: Any,
    scores: Any,
    thresholds: Sequence[float] | None = None,
    *,
    metrics: str | Sequence[str] = "variation_of_information",
    order: Order = "ascending",
) -> Sweep:
    r"""Scores of the segmentations that merging along the edges of a graph or a merge tree gives.

    At a threshold t two labels of y are one region where a path of edges with scores up to t joins
    them; the smallest label names it. Merges that were done stay: each table is made of the one
    before it.

    Args:
        table: x is the truth, y the oversegmentation.
        edges: ``(E, 2)`` labels of y. They may be others than the table has, such as of segments
            that were left out: paths lead through them.
        scores: ``(E,)`` numbers, such as the costs of an agglomeration.
        thresholds: in any order; None for what merges nothing, and then every score. (Each makes
            a table: of many edges, give some.)
        metrics: as for :func:`sweep`.
        order: "ascending": edges of scores up to the threshold merge; "descending": those from the
            threshold up, as affinities want it.

    Returns:
        The curves, by thresholds in that order, and where they are best.

    Raises:
        ValueError: for edges that are no pairs of labels, other numbers of scores, scores or
            thresholds that are no numbers, an unknown metric, or an empty table.

    >>> from metriseg.partitions import contingency_table
    >>> truth, pieces = [1, 1, 1, 1, 2, 2], [1, 1, 2, 2, 3, 3]
    >>> found = sweep_merges(
    ...     contingency_table(truth, pieces), [[1, 2], [2, 3]], [0.3, 0.6], metrics="rand_index"
    ... )
    >>> found.thresholds, found.regions, found.best().threshold
    (array([-inf,  0.3,  0.6]), array([3, 2, 1]), 0.3)
    """
    chosen = _measures(metrics)
    arguments.one_of("order", order, get_args(Order))
    _checked_table(table)
    ends, costs = _edges(edges, scores)
    if order == "descending":
        costs = -costs
    if thresholds is None:
        levels = np.concatenate([[-np.inf], np.unique(costs)])
    else:
        given = _numbers("thresholds", thresholds)
        if not len(given):
            raise ValueError("thresholds must hold at least one, got none")
        levels = np.sort(-given if order == "descending" else given, kind="stable")
    tables = _merged(table, ends, costs, levels)
    return _scored(-levels if order == "descending" else levels, tables, chosen)


def _scored(
    levels: Float, tables: Iterable[ContingencyTable], measures: Mapping[str, Measure]
) -> Sweep:
    regions, rows = [], []
    for table in tables:
        regions.append(table.shape[1])
        rows.append([float(measure(table)) for measure in measures.values()])
    curves = np.array(rows, np.float64).T
    named = dict(zip(measures, curves, strict=True))
    return Sweep(levels + 0.0, np.array(regions, np.int64), MappingProxyType(named))


def _merged(
    table: ContingencyTable, ends: Labels, costs: Float, levels: Float
) -> Iterator[ContingencyTable]:
    """At each of the rising levels the table, made of the one before."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    order = np.argsort(costs, kind="stable")
    names, index = np.unique(ends[order], return_inverse=True)
    places = index.reshape(-1, 2)
    costs = costs[order]
    region = np.arange(len(names))  # the place of the smallest label of each one's region
    done = 0
    for level in levels:
        upto = int(np.searchsorted(costs, level, side="right"))
        if upto > done:
            roots, pairs = np.unique(region[places[done:upto]], return_inverse=True)
            tail, head = pairs.reshape(-1, 2).T
            joined = np.ones(len(tail), np.bool_)
            graph = sparse.coo_array((joined, (tail, head)), shape=(len(roots), len(roots)))
            _, part = connected_components(graph, directed=False)
            _, first = np.unique(part, return_index=True)
            leaders = roots[first[part]]
            moved = leaders != roots
            old, new = names[roots[moved]], names[leaders[moved]]
            table = table.relabel(y=dict(zip(old.tolist(), new.tolist(), strict=True)))
            anew = np.arange(len(names))
            anew[roots] = leaders
            region = anew[region]
            done = upto
        yield table


def _edges(edges: Any, scores: Any) -> tuple[Labels, Float]:
    pairs = host("edges", edges)
    none = np.empty((0, 2), np.int64)
    ends = as_labels(integer_array("edges", edges)) if pairs.size else none
    if ends.ndim != 2 or ends.shape[1] != 2:
        raise ValueError(f"edges must be pairs of labels, (E, 2), got shape {ends.shape}")
    not_negative("edges", ends.reshape(-1))
    costs = _numbers("scores", scores)
    if len(costs) != len(ends):
        raise ValueError(f"scores must be one an edge, {len(ends)}, got {len(costs)}")
    return ends, costs


def _numbers(name: str, given: Any) -> Float:
    numbers = host(name, given)
    if numbers.dtype.kind not in "iuf" or numbers.ndim != 1 or np.isnan(numbers).any():
        raise ValueError(
            f"{name} must be a list of numbers, got {numbers.dtype} of shape {numbers.shape}"
            f"{' with NaN' if numbers.dtype.kind == 'f' and np.isnan(numbers).any() else ''}"
        )
    return numbers.astype(np.float64)


def _measures(metrics: Any) -> dict[str, Measure]:
    given = [metrics] if isinstance(metrics, str) else metrics
    listed = list(given) if isinstance(given, Iterable) else []
    if not listed:
        raise ValueError(f"metrics must be one name or several, got {metrics!r}")
    for name in listed:
        if not isinstance(name, str) or name not in _KNOWN:
            near = arguments.nearest(str(name), _KNOWN)
            raise ValueError(f"metrics must be of {', '.join(_KNOWN)}, got {name!r}{near}")
    return {name: _KNOWN[name] for name in listed}


def _checked_table(table: Any) -> None:
    if not isinstance(table, ContingencyTable):
        raise ValueError(f"table must be a ContingencyTable, got {type(table).__name__}")
    _ = table.cells  # which says where there are none
