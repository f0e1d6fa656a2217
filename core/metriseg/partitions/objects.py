r"""Which objects were found, split, merged, missed and invented: all from one contingency table.

Notation as in :mod:`metriseg.partitions.distances`: x is the truth, y what was found,
:math:`C_{kl}` the measure that the objects k and l share, :math:`a_k` and :math:`b_l` are their
sizes. Some labels, 0 unless told otherwise, are the background and no objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.arrays import Labels, is_among
from metriseg.partitions.contingency import ContingencyTable
from metriseg.partitions.counting import Ignore, ignored_labels
from metriseg.partitions.matching import greedy_matching, optimal_matching
from metriseg.partitions.table import Table, missing_information

__all__ = [
    "THRESHOLDS",
    "ObjectMatches",
    "ObjectScores",
    "WorstObjects",
    "match_objects",
    "object_scores",
    "worst_objects",
]

Bool = NDArray[np.bool_]
Int = NDArray[np.int64]
Float = NDArray[np.float64]
Method = Literal["greedy", "optimal"]

#: Of the intersection over union: those of the 2018 Data Science Bowl and of COCO.
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class ObjectMatches(NamedTuple):
    """What :func:`match_objects` found, by the labels of the maps, ascending.

    Attributes:
        true_labels: ``(matches,)``, the true objects that were found.
        found_labels: ``(matches,)``, as what.
        iou: ``(matches,)``, the intersections over union of the two.
        missed: the labels of the other true objects.
        invented: the labels of the other found ones.
    """

    true_labels: Labels
    found_labels: Labels
    iou: Float
    missed: Labels
    invented: Labels


@dataclass(frozen=True, eq=False)
class ObjectScores:
    r"""What :func:`object_scores` gives: rates at each threshold, then whole numbers.

    Attributes:
        thresholds: ``(T,)``; so are the next seven.
        true_positives: TP, matches above the threshold.
        false_positives: FP, found objects without a match.
        false_negatives: FN, true objects without one.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: 2 TP / (2 TP + FP + FN), their harmonic mean.
        average_precision: TP / (TP + FP + FN).
        segmentation_quality: SQ, the mean IoU of the matches above 0.5.
        recognition_quality: RQ, their F1.
        split: true objects that are split.
        merged: found objects that merge.
        missed: true objects that are neither found nor split nor merged with others.
        invented: found objects that are no match, no piece of a split one, and merge nothing.
        true_labels: ``(m,)``, the labels of the true objects, ascending.
        iou: ``(m,)``, of each the largest IoU with any found object, 0 where none meets it.
    """

    thresholds: Float
    true_positives: Int
    false_positives: Int
    false_negatives: Int
    precision: Float
    recall: Float
    f1: Float
    average_precision: Float
    segmentation_quality: float
    recognition_quality: float
    split: int
    merged: int
    missed: int
    invented: int
    true_labels: Labels
    iou: Float

    @property
    def panoptic_quality(self) -> float:
        """PQ = SQ · RQ."""
        return self.segmentation_quality * self.recognition_quality

    @property
    def mean_precision(self) -> float:
        """Over the thresholds; so the next three."""
        return float(self.precision.mean())

    @property
    def mean_recall(self) -> float:
        return float(self.recall.mean())

    @property
    def mean_f1(self) -> float:
        return float(self.f1.mean())

    @property
    def mean_average_precision(self) -> float:
        return float(self.average_precision.mean())


class WorstObjects(NamedTuple):
    """True objects in the order of :func:`worst_objects`, the worst first.

    Attributes:
        labels: ``(count,)``, as are all.
        sizes: the measure of each.
        iou: the largest intersection over union with any found object, 0 where none meets it.
        split: its term of the split, in nats.
        merge: its pixels' term of the merge, in nats.
    """

    labels: Labels
    sizes: NDArray[Any]
    iou: Float
    split: Float
    merge: Float


class _Overlaps(NamedTuple):
    """The objects of a table, and the cells of two objects."""

    table: ContingencyTable
    true: Bool  # (m,): which regions are objects
    found: Bool  # (n,)
    x: Int  # (cells,)
    y: Int
    shared: NDArray[Any]
    x_rest: NDArray[Any]  # what of the true object is outside the found one
    y_rest: NDArray[Any]
    iou: Float


def match_objects(
    table: ContingencyTable,
    threshold: float = 0.5,
    *,
    method: Method = "greedy",
    background: Ignore = 0,
) -> ObjectMatches:
    r"""Pair true with found objects that overlap, each at most once.

    .. math:: \mathrm{IoU}_{kl} = \frac{C_{kl}}{a_k + b_l - C_{kl}} > t

    From t = 0.5 on no object has two partners, so that nothing is to choose. Below, "greedy"
    takes pairs by falling IoU (of equal ones the one of the smaller true label, then the smaller
    found one); "optimal" makes as many pairs as can be, and of all such pairings the one whose
    IoUs add up to most.

    Args:
        table: of one measure; x is the truth. What was ignored when it was made is in no union.
        threshold: t, in [0, 1); an IoU equal to it is no match.
        method: only matters below 0.5. "optimal" takes time that grows with the square, or the
            cube, of the objects that hang together by overlaps above the threshold.
        background: a label, or several, that are no objects, on both sides; a mapping such as
            ``{"x": 0, "y": [0, 255]}`` gives them a side; None where there is none. What is
            shared with the background is part of an object's size.

    Returns:
        The pairs and the objects left over.

    Raises:
        ValueError: for another argument, or a table that is empty or of several measures.

    Reference: A. Kirillov and others, Panoptic segmentation, CVPR 2019, arXiv:1801.00868 (that
    matches above 0.5 are unique).

    >>> from metriseg.partitions import contingency_table
    >>> matches = match_objects(contingency_table([1, 1, 1, 0, 2, 2], [5, 5, 0, 7, 0, 0]))
    >>> matches.true_labels, matches.found_labels, matches.iou.round(3)
    (array([1]), array([5]), array([0.667]))
    >>> matches.missed, matches.invented
    (array([2]), array([7]))
    """
    arguments.one_of("method", method, get_args(Method))
    level = _threshold("threshold", threshold)
    overlaps = _overlaps("match_objects", table, background)
    chosen = _matched(overlaps, level, method)
    x, y = overlaps.x[chosen], overlaps.y[chosen]
    missed, invented = overlaps.true.copy(), overlaps.found.copy()
    missed[x] = invented[y] = False
    return ObjectMatches(
        table.x_labels[x],
        table.y_labels[y],
        overlaps.iou[chosen],
        table.x_labels[missed],
        table.y_labels[invented],
    )


def object_scores(
    table: ContingencyTable,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    method: Method = "greedy",
    background: Ignore = 0,
) -> ObjectScores:
    r"""Detection and segmentation of objects: F1, average precision, panoptic quality, errors.

    .. math::
        \mathrm{AP}_t = \frac{TP_t}{TP_t + FP_t + FN_t}, \quad
        F_{1,t} = \frac{2\,TP_t}{2\,TP_t + FP_t + FN_t}, \quad
        \mathrm{PQ} = \underbrace{\frac{\sum_{(k,l)} \mathrm{IoU}_{kl}}{TP}}_{\mathrm{SQ}} \cdot
        \underbrace{\frac{TP}{TP + \frac12 FP + \frac12 FN}}_{\mathrm{RQ}}

    of the matches of :func:`match_objects` at each threshold; panoptic quality and the counts of
    errors are of the matches above 0.5, whatever the thresholds.

    ``average_precision`` at a threshold is the 2018 Data Science Bowl's "precision", and its mean
    over the default thresholds the score of an image there. COCO's AP is another number: the area
    under the curve of precision and recall as the confidence of detections falls, averaged over
    the same thresholds (where an IoU *equal* to one counts) and over classes. Label maps hold no
    confidences, so there is none of it here.

    Errors, as Hoover and others define them, with more than one half for their tolerance: a true
    object is *split* when two or more found objects have each more than half of themselves in it,
    and together more than half of it. A found object *merges* when two or more true objects have
    each more than half of themselves in it, and together make up more than half of it. (A matched
    object may be split too: where a large piece and a small one lie in it.)

    Where there is no object, neither true nor found, every rate is 1: there was nothing to find.
    Where else a denominator is 0, the rate is 0.

    Args:
        table: of one measure; x is the truth.
        thresholds: of the IoU, one or more, each in [0, 1).
        method: of matching, below 0.5.
        background: as for :func:`match_objects`.

    Returns:
        The scores. A perfect result has all rates 1 and all counts of errors 0.

    Raises:
        ValueError: for another argument, or a table that is empty or of several measures.

    Reference: J. C. Caicedo and others, Nucleus segmentation across imaging experiments: the 2018
    Data Science Bowl, Nature Methods 16, 2019, doi:10.1038/s41592-019-0612-7; A. Kirillov and
    others, Panoptic segmentation, CVPR 2019, arXiv:1801.00868; A. Hoover and others, An
    experimental comparison of range image segmentation algorithms, IEEE TPAMI 18(7), 1996,
    doi:10.1109/34.506791.

    >>> from metriseg.partitions import contingency_table
    >>> truth, found = [1, 1, 1, 0, 2, 2, 2, 2], [5, 5, 5, 0, 6, 6, 7, 7]
    >>> scores = object_scores(contingency_table(truth, found))
    >>> scores.average_precision[0], scores.f1[0], scores.panoptic_quality, scores.split
    (np.float64(0.25), np.float64(0.4), 0.4, 1)
    """
    arguments.one_of("method", method, get_args(Method))
    levels = _thresholds(thresholds)
    overlaps = _overlaps("object_scores", table, background)
    true, found = int(overlaps.true.sum()), int(overlaps.found.sum())
    rate = partial(_rates, empty=float(true + found == 0))
    matches = np.array([len(_matched(overlaps, level, method)) for level in levels], np.int64)
    half = overlaps.iou > 0.5
    hits = int(half.sum())
    split, merged, missed, invented = _errors(overlaps, half)
    return ObjectScores(
        thresholds=levels,
        true_positives=matches,
        false_positives=found - matches,
        false_negatives=true - matches,
        precision=rate(matches, np.full_like(matches, found)),
        recall=rate(matches, np.full_like(matches, true)),
        f1=rate(2 * matches, np.full_like(matches, true + found)),
        average_precision=rate(matches, true + found - matches),
        segmentation_quality=float(rate(overlaps.iou[half].sum(), hits)),
        recognition_quality=float(rate(2 * hits, true + found)),
        split=split,
        merged=merged,
        missed=missed,
        invented=invented,
        true_labels=table.x_labels[overlaps.true],
        iou=_best(overlaps)[overlaps.true],
    )


def worst_objects(
    table: ContingencyTable,
    count: int = 10,
    by: Literal["vi", "iou"] = "vi",
    *,
    background: Ignore = 0,
) -> WorstObjects:
    r"""The true objects that a segmentation got most wrong, the worst first.

    .. math:: s_k = -\frac1N \sum_l C_{kl} \ln\frac{C_{kl}}{a_k}, \qquad
        m_k = -\frac1N \sum_l C_{kl} \ln\frac{C_{kl}}{b_l}

    Over all regions of x, the background's included, they add up to
    :func:`~metriseg.partitions.split_and_merge`. The sums over l have the found background as
    well: an object that is missed is merged with it. For the found objects that do most harm, ask
    ``table.T``.

    Args:
        table: of one measure; x is the truth.
        count: how many at most, from 1.
        by: "vi": falling :math:`s_k + m_k`; "iou": rising best IoU. Of equals the smaller label
            comes first.
        background: as for :func:`match_objects`: not among those ranked, or an object to meet.

    Returns:
        The terms of each, in nats, and its best intersection over union.

    Raises:
        ValueError: for another argument, or a table that is empty or of several measures.

    Reference: M. Meilă, Comparing clusterings: an information based distance, Journal of
    Multivariate Analysis 98, 2007, doi:10.1016/j.jmva.2006.11.013.

    >>> from metriseg.partitions import contingency_table
    >>> table = contingency_table([1, 1, 1, 1, 2, 2, 3, 3], [5, 5, 5, 5, 6, 7, 8, 8])
    >>> worst = worst_objects(table, 1)
    >>> worst.labels, worst.split.round(3), worst.iou
    (array([2]), array([0.173]), array([0.5]))
    """
    count = arguments.whole_number("count", count, low=1)
    arguments.one_of("by", by, ("vi", "iou"))
    overlaps = _overlaps("worst_objects", table, background)
    best = _best(overlaps)
    split, merge = (
        np.bincount(table.x_index, missing_information(table.values, whole), len(table.x_labels))
        / float(table.total)
        for whole in (table.x_sizes[table.x_index], table.y_sizes[table.y_index])
    )
    objects = np.flatnonzero(overlaps.true)
    badness = -(split + merge) if by == "vi" else best
    order = objects[np.argsort(badness[objects], kind="stable")[:count]]
    return WorstObjects(
        table.x_labels[order], table.x_sizes[order], best[order], split[order], merge[order]
    )


def object_f1(table: Table) -> Any:
    """F1 at 0.5, of objects other than 0."""
    return _each(table, lambda scores: scores.f1[0], (0.5,))


def object_ap(table: Table) -> Any:
    """TP / (TP + FP + FN) at 0.5, of objects other than 0."""
    return _each(table, lambda scores: scores.average_precision[0], (0.5,))


def mean_object_ap(table: Table) -> Any:
    """The mean of TP / (TP + FP + FN) over :data:`THRESHOLDS`, of objects other than 0."""
    return _each(table, lambda scores: scores.mean_average_precision, THRESHOLDS)


def panoptic_quality(table: Table) -> Any:
    """PQ of one class, of objects other than 0."""
    return _each(table, lambda scores: scores.panoptic_quality, (0.5,))


def object_names(components: NDArray[Any], labels: NDArray[Any]) -> Int:
    """Lookup that names a component of the label 0 0, and any other its number and 1.

    Args:
        components: numbers from 0, of the pixels that count; those below 0 don't.
        labels: of the same shape.
    """
    names = np.arange(1, int(components.max()) + 2)
    names[components[(labels == 0) & (components >= 0)]] = 0
    return names


def _each(table: Table, score: Any, thresholds: Sequence[float]) -> Any:
    """A number, or of a stack an array: objects are told by labels, which each table has."""
    if isinstance(table, ContingencyTable):
        return table.result(score(object_scores(table, thresholds)))
    return table.result([score(object_scores(one, thresholds)) for one in table.singles()])  # type: ignore[arg-type]


def _overlaps(who: str, table: Any, background: Ignore) -> _Overlaps:
    if not isinstance(table, ContingencyTable):
        raise ValueError(f"table must be a ContingencyTable, got {type(table).__name__}")
    table.one_measure(who)
    left_out = ignored_labels(background, name="background")
    true = ~is_among(table.x_labels, left_out.x)
    found = ~is_among(table.y_labels, left_out.y)
    cells = np.flatnonzero(true[table.x_index] & found[table.y_index])
    x, y, shared = table.x_index[cells], table.y_index[cells], table.values[cells]
    x_rest, y_rest = table.x_sizes[x] - shared, table.y_sizes[y] - shared
    if table.is_count:
        iou = shared / (shared + x_rest + y_rest)
    else:
        # halves, so that the sum of large weights stays within the floats
        iou = shared / 2 / (shared / 2 + x_rest / 2 + y_rest / 2)
    return _Overlaps(table, true, found, x, y, shared, x_rest, y_rest, iou)


def _matched(overlaps: _Overlaps, threshold: float, method: Method) -> Int:
    """Which of the cells are matches, in their order."""
    cells = np.flatnonzero(overlaps.iou > threshold)
    if threshold >= 0.5:
        return cells
    match = greedy_matching if method == "greedy" else optimal_matching
    return cells[match(overlaps.x[cells], overlaps.y[cells], overlaps.iou[cells])]


def _errors(overlaps: _Overlaps, matched: Bool) -> tuple[int, int, int, int]:
    """Split, merged, missed and invented objects."""
    x, y = overlaps.x, overlaps.y
    table = overlaps.table
    pieces = overlaps.shared > overlaps.y_rest
    swallowed = overlaps.shared > overlaps.x_rest
    split = _covered(x, overlaps.shared, pieces, table.x_sizes)
    merging = _covered(y, overlaps.shared, swallowed, table.y_sizes)
    missed, invented = overlaps.true & ~split, overlaps.found & ~merging
    missed[x[matched]] = invented[y[matched]] = False
    missed[x[swallowed & merging[y]]] = False
    invented[y[pieces & split[x]]] = False
    return int(split.sum()), int(merging.sum()), int(missed.sum()), int(invented.sum())


def _covered(index: Int, shared: NDArray[Any], inside: Bool, sizes: NDArray[Any]) -> Bool:
    """Which regions two or more of the cells inside cover by more than half."""
    several = np.bincount(index[inside], minlength=len(sizes)) > 1
    covered = np.zeros_like(sizes)
    np.add.at(covered, index[inside], shared[inside])
    result: Bool = several & (covered > sizes - covered)
    return result


def _best(overlaps: _Overlaps) -> Float:
    """Of every region of x, the largest IoU with an object."""
    best = np.zeros(len(overlaps.true))
    np.maximum.at(best, overlaps.x, overlaps.iou)
    return best


def _rates(part: Any, whole: Any, *, empty: float) -> Float:
    whole = np.asarray(whole, np.float64)
    # without any object 1, else 0
    rates: Float = np.divide(part, whole, out=np.full(whole.shape, empty), where=whole != 0)
    return rates


def _threshold(name: str, value: Any) -> float:
    return arguments.number(name, value, low=0.0, high=1.0, open_high=True)


def _thresholds(given: Any) -> Float:
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
    if not listed:
        raise ValueError(f"thresholds must be numbers in [0, 1), at least one, got {given!r}")
    return np.array(
        [_threshold(f"thresholds[{place}]", one) for place, one in enumerate(listed)], np.float64
    )
