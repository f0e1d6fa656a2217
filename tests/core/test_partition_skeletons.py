"""Expected run lengths: by hand, and against loops over edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metriseg.partitions import expected_run_length
from reference import skeletons as reference


@pytest.mark.parametrize("merged", ["segment", "skeleton"])
@pytest.mark.parametrize(("background", "void"), [(0, [0]), (None, []), ([0, 3], [0, 3])])
@pytest.mark.parametrize("seed", range(6))
def test_against_loops(seed: int, background: Any, void: list[int], merged: Any) -> None:
    """Trees of three to nine nodes, of which some have their segments alone."""
    generator = np.random.default_rng(seed)
    skeletons, edges = [], []
    for skeleton in (4, 2**64 - 1, 9, 1):
        first, count = len(skeletons), int(generator.integers(3, 10))
        skeletons += [skeleton] * count
        edges += [
            (first + int(generator.integers(place)), first + place) for place in range(1, count)
        ]
    order = generator.permutation(len(skeletons))
    owners = np.array(skeletons, np.uint64)[order]
    places = np.argsort(order)
    edges = [(int(places[u]), int(places[v])) for u, v in edges]
    segments = generator.integers(7, size=len(owners)) + np.where(owners % 2 == 0, 100, 0)
    segments[generator.random(len(owners)) < 0.15] = 0
    lengths = generator.uniform(0.5, 2, len(edges))
    expected, each, kinds = reference.expected_run_length(
        owners.tolist(), segments.tolist(), edges, lengths.tolist(), void, merged
    )
    found = expected_run_length(
        owners, segments, edges, lengths, background=background, merged=merged
    )
    assert found.expected == pytest.approx(expected, rel=1e-12, abs=1e-15)
    of_each = dict(zip(found.skeletons.tolist(), found.run_lengths, strict=True))
    assert of_each == pytest.approx(each)
    assert {name: getattr(found, name) for name in kinds} == pytest.approx(kinds)
    perfect = expected_run_length(owners, owners, edges, lengths)
    assert perfect.expected == perfect.largest == pytest.approx(found.largest)
    assert perfect.normalized == 1
    assert found.normalized == found.expected / found.largest


def test_by_hand() -> None:
    """Two lines, of lengths 1 + 2 + 3 and 4.

    Cut between 1 and 2 | 3: with the cut edge of length 2 the runs 1 and 3: (1 + 9 + 16) / 10. A
    merger of 1 with the other line leaves 9 of 26 by segments, and by skeletons nothing.
    """
    skeletons, edges, lengths = [1, 1, 1, 1, 2, 2], [[0, 1], [1, 2], [2, 3], [4, 5]], [1, 2, 3, 4]
    whole = expected_run_length(skeletons, [8, 8, 8, 8, 9, 9], edges, lengths)
    assert whole.expected == whole.largest == (36 + 16) / 10
    cut = expected_run_length(skeletons, [8, 8, 7, 7, 9, 9], edges, lengths)
    assert cut.expected == pytest.approx(26 / 10)
    assert cut.run_lengths == pytest.approx([10 / 6, 4])
    assert (cut.correct, cut.split, cut.merged, cut.omitted) == (8, 2, 0, 0)
    joined = [9, 9, 7, 7, 9, 9]
    assert expected_run_length(skeletons, joined, edges, lengths).expected == 9 / 10
    spoilt = expected_run_length(skeletons, joined, edges, lengths, merged="skeleton")
    assert (spoilt.expected, spoilt.merged) == (0, 10)
    left_out = expected_run_length(skeletons, [8, 8, 0, 8, 0, 0], edges, lengths)
    assert (left_out.expected, left_out.omitted, left_out.merged) == (0.1, 9, 0)


def test_tensors_and_what_has_no_edge() -> None:
    """A node alone has no length, and its segment is a merger still."""
    skeletons, edges = torch.tensor([1, 1, 2]), torch.tensor([[0, 1]])
    found = expected_run_length(skeletons, torch.tensor([5, 5, 6]), edges, torch.tensor([2.0]))
    assert found.expected == 2
    assert found.run_lengths.tolist() == [2, 0]
    merger = expected_run_length(skeletons, [5, 5, 5], edges, [2])
    assert (merger.expected, merger.merged) == (0, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"skeletons": [1, 1, 0.5]}, "skeletons must hold integer labels"),
        ({"skeletons": [[1, 1, 2]]}, r"skeletons must be labels of nodes, \(V,\), got shape"),
        ({"segments": [5, 5]}, "segments must be one a node, 3, got 2"),
        ({"segments": [5, 5, -1]}, "segments must hold labels that are not negative"),
        ({"edges": [[0, 1, 2]]}, r"edges must be pairs of places of nodes, \(E, 2\), got"),
        ({"edges": [[0, 3]]}, "edges must be places in 0 … 2, got 3"),
        ({"edges": [[-1, 0]]}, "edges must be places in 0 … 2, got -1"),
        ({"edges": [[0, 2]]}, r"one skeleton, and edges\[0\] joins 1 and 2"),
        ({"lengths": [1, 2]}, r"lengths must be one number an edge, \(1,\), got int64 of shape"),
        ({"lengths": [0]}, "lengths must be finite, not negative, and not all 0"),
        ({"lengths": [np.inf]}, "lengths must be finite"),
        ({"background": 0.5}, "background must be an integer label or several"),
        ({"merged": "all"}, "merged must be one of 'segment', 'skeleton', got 'all'"),
    ],
)
def test_what_is_refused(change: dict[str, Any], words: str) -> None:
    given = {"skeletons": [1, 1, 2], "segments": [5, 5, 6], "edges": [[0, 1]], "lengths": [1.0]}
    with pytest.raises(ValueError, match=words):
        expected_run_length(**given | change)
