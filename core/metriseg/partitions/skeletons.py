"""How far one can walk along true skeletons before a segmentation errs: expected run lengths."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metriseg import arguments
from metriseg.arrays import Labels, as_labels, host, integer_array, is_among
from metriseg.partitions.counting import ignored_labels
from metriseg.partitions.label_maps import not_negative

__all__ = ["RunLengths", "expected_run_length"]

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Void = Literal["segment", "skeleton"]


@dataclass(frozen=True, eq=False)
class RunLengths:
    """What :func:`expected_run_length` gives; lengths in the unit of the edges'.

    Attributes:
        expected: the expected run length of a point on all the skeletons.
        largest: what it is where nothing is wrong.
        skeletons: ``(K,)``, their labels, ascending.
        lengths: ``(K,)``, of each, all its edges.
        run_lengths: ``(K,)``, the expected run length of a point on each; 0 of one without length.
        correct: the length of all edges that are right, ``correct + split + merged + omitted``
            being that of all.
        split: of those whose ends are in different segments.
        merged: of those that lie in a merger.
        omitted: of those with an end in no segment.
    """

    expected: float
    largest: float
    skeletons: Labels
    lengths: Float
    run_lengths: Float
    correct: float
    split: float
    merged: float
    omitted: float

    @property
    def normalized(self) -> float:
        """The expected run length as a share of the largest."""
        return self.expected / self.largest


def expected_run_length(
    skeletons: Any,
    segments: Any,
    edges: Any,
    lengths: Any,
    *,
    background: int | Collection[int] | None = 0,
    merged: Void = "segment",
) -> RunLengths:
    r"""Expected run length: how long the right piece is that a random point on a skeleton is in.

    .. math:: \mathrm{ERL} = \sum_k \frac{L_k}{L} \sum_s \frac{\ell_{ks}}{L_k}\,\ell_{ks}
        = \frac1L \sum_{ks} \ell_{ks}^2

    with :math:`L_k` the length of the skeleton k, L that of all, and :math:`\ell_{ks}` the length
    of its edges that have both ends in the segment s, 0 where s is a merger: a segment with nodes
    of two skeletons or more. Splits shorten runs, mergers end them at 0.

    Args:
        skeletons: ``(V,)`` the skeleton that each node is of: its label in the truth.
        segments: ``(V,)`` the label that each node has in the segmentation, as
            ``segmentation[tuple(nodes.T)]`` reads it at voxels ``(V, 3)``.
        edges: ``(E, 2)`` places of nodes, each pair in one skeleton.
        lengths: ``(E,)`` finite, not negative, in any unit.
        background: labels of ``segments`` that are no segment: an edge with an end there is
            omitted, and no merger. None where there are none.
        merged: what a merger leaves nothing of: "segment", what of the skeletons lies in it;
            "skeleton", all of each skeleton that it touches.

    Returns:
        The expected run length, that of each skeleton, and how long the edges of each kind are.

    Raises:
        ValueError: for arrays of other shapes or types, negative labels, places that are no
            nodes, edges between skeletons, and edges of no length at all.

    Source: M. Januszewski and others, High-precision automated reconstruction of neurons with
    flood-filling networks, Nature Methods 15, 2018, doi:10.1038/s41592-018-0049-4.

    >>> nodes = [7, 7, 7, 7, 7]                          # a line of four edges of 1 µm
    >>> edges = [[0, 1], [1, 2], [2, 3], [3, 4]]
    >>> found = expected_run_length(nodes, [5, 5, 5, 6, 6], edges, [1.0] * 4)
    >>> found.expected, found.largest, found.split       # (2² + 1²) / 4: one edge is cut
    (1.25, 4.0, 1.0)
    """
    arguments.one_of("merged", merged, get_args(Void))
    void = ignored_labels(background, name="background").x
    truth, found = _node_labels("skeletons", skeletons), _node_labels("segments", segments)
    if found.shape != truth.shape:
        raise ValueError(f"segments must be one a node, {len(truth)}, got {len(found)}")
    tail, head = _ends(edges, len(truth))
    miles = _lengths(lengths, len(tail))
    names, owner = np.unique(truth, return_inverse=True)
    strays = np.flatnonzero(owner[tail] != owner[head])
    if len(strays):
        raise ValueError(
            f"edges must join nodes of one skeleton, and edges[{strays[0]}] joins"
            f" {truth[tail[strays[0]]]} and {truth[head[strays[0]]]}"
        )
    _, segment = np.unique(found, return_inverse=True)
    inside = ~is_among(found, void)
    merging = _of_several(segment, owner, inside)
    is_void = ~(inside[tail] & inside[head])
    is_split = segment[tail] != segment[head]
    if merged == "segment":
        is_merged = merging[tail] & ~is_void & ~is_split
    else:
        touched = np.bincount(owner, merging, len(names)) > 0
        is_merged = touched[owner[tail]]
    is_void, is_split = is_void & ~is_merged, is_split & ~is_void & ~is_merged
    right = ~(is_merged | is_void | is_split)

    whole: Float = np.bincount(owner[tail], miles, len(names)).astype(np.float64)
    total = float(miles.sum())
    pairs = np.stack([owner[tail], segment[tail]])[:, right]
    run_of, run = np.unique(pairs, axis=1, return_inverse=True)
    runs = np.bincount(run.reshape(-1), miles[right], run_of.shape[1])
    squares = np.bincount(run_of[0], runs**2, len(names))
    return RunLengths(
        expected=float(squares.sum()) / total,
        largest=float((whole**2).sum()) / total,
        skeletons=names,
        lengths=whole,
        run_lengths=np.divide(squares, whole, out=np.zeros_like(whole), where=whole > 0),
        correct=float(miles[right].sum()),
        split=float(miles[is_split].sum()),
        merged=float(miles[is_merged].sum()),
        omitted=float(miles[is_void].sum()),
    )


def _of_several(segment: Int, owner: Int, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each node whether its segment has nodes of two skeletons or more."""
    pairs = np.unique(np.stack([segment, owner])[:, inside], axis=1)
    several = np.bincount(pairs[0], minlength=int(segment.max(initial=-1)) + 1) > 1
    result: NDArray[np.bool_] = several[segment] & inside
    return result


def _node_labels(name: str, given: Any) -> Labels:
    labels = as_labels(integer_array(name, given))
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"{name} must be labels of nodes, (V,), got shape {labels.shape}")
    not_negative(name, labels)
    return labels


def _ends(edges: Any, nodes: int) -> tuple[Int, Int]:
    places = integer_array("edges", edges)
    if places.ndim != 2 or places.shape[1] != 2:
        raise ValueError(f"edges must be pairs of places of nodes, (E, 2), got {places.shape}")
    low, high = int(places.min(initial=0)), int(places.max(initial=0))
    if low < 0 or high >= nodes:
        raise ValueError(f"edges must be places in 0 … {nodes - 1}, got {low if low < 0 else high}")
    tail, head = places.astype(np.int64).T
    return tail, head


def _lengths(given: Any, edges: int) -> Float:
    lengths = host("lengths", given)
    if lengths.dtype.kind not in "iuf" or lengths.shape != (edges,):
        raise ValueError(
            f"lengths must be one number an edge, ({edges},), got {lengths.dtype} of shape"
            f" {lengths.shape}"
        )
    miles = lengths.astype(np.float64)
    if not (np.isfinite(miles).all() and (miles >= 0).all() and miles.sum() > 0):
        raise ValueError("lengths must be finite, not negative, and not all 0")
    return miles
