"""Objects found, split, merged, missed and invented, from one table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.partitions import (
    MEASURES,
    SCORES,
    THRESHOLDS,
    ContingencyTable,
    contingency_table,
    match_objects,
    matching,
    object_scores,
    partition_scores,
    split_and_merge,
    worst_objects,
)
from reference import objects as oracle

NAMES = ("object_f1", "object_ap", "mean_object_ap", "panoptic_quality")


def random_pair(seed: int) -> tuple[list[int], list[int]]:
    """1 to 24 pixels of up to 6 labels a side, of which 0 may be one; alike, or not at all."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 25))
    x = np.sort(generator.integers(generator.integers(1, 7), size=n))
    y = np.roll(x, generator.integers(0, 3)) if seed % 3 else generator.integers(4, size=n)
    if seed % 5 == 0:
        y = y * 7
    return x.tolist(), y.tolist()


PAIRS = [random_pair(seed) for seed in range(150)] + [
    ([0, 0, 0], [0, 0, 0]),
    ([0, 0, 0], [0, 4, 4]),
    ([0, 3, 3], [0, 0, 0]),
    ([1] * 6, [1, 1, 2, 2, 3, 3]),
    ([1, 1, 2, 2, 3, 3], [1] * 6),
    ([1, 1, 2, 2], [1, 2, 1, 2]),
]


# Matches


@pytest.mark.parametrize("threshold", [0, 0.1, 0.25, 1 / 3, 0.5, 0.6, 0.95])
def test_greedy_matches_equal_naive_loops(threshold: float) -> None:
    for x, y in PAIRS:
        overlaps = oracle.ious(x, y)
        expected = oracle.greedy(overlaps, threshold)
        found = match_objects(contingency_table(x, y), threshold)
        pairs = list(zip(found.true_labels.tolist(), found.found_labels.tolist(), strict=True))
        assert pairs == expected
        assert found.iou.tolist() == [overlaps[pair] for pair in expected]
        assert found.missed.tolist() == sorted(set(oracle.objects(x)) - {k for k, _ in expected})
        assert found.invented.tolist() == sorted(
            set(oracle.objects(y)) - {one for _, one in expected}
        )


@pytest.mark.parametrize("limit", [matching.DENSE, 0])
@pytest.mark.parametrize("threshold", [0, 0.1, 0.25])
def test_optimal_matches_are_the_best_of_all(
    threshold: float, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All choices of pairs are tried; by the dense solver and by the sparse one."""
    monkeypatch.setattr(matching, "DENSE", limit)
    for x, y in PAIRS:
        overlaps = oracle.ious(x, y)
        if len(overlaps) > 12:
            continue
        found = match_objects(contingency_table(x, y), threshold, method="optimal")
        count, total = oracle.best_matching(overlaps, threshold)
        assert len(found.iou) == count
        assert found.iou.sum() == pytest.approx(total, abs=1e-12)
        assert (found.iou > threshold).all()
        assert len(set(found.true_labels)) == len(set(found.found_labels)) == count
        assert len(found.missed) == len(oracle.objects(x)) - count


def test_optimal_finds_a_pair_that_greedy_loses() -> None:
    """IoU of (1, 1) is 3/8, of (1, 2) 2/8, of (2, 1) 2/8, and 2 meets no other.

    Greedy takes (1, 1), which leaves nothing to 2; optimal the other two.
    """
    table = ContingencyTable.from_cells([1, 1, 2, 0], [1, 2, 1, 2], [3, 2, 2, 1])
    greedy = match_objects(table, 0.1)
    assert (greedy.true_labels.tolist(), greedy.found_labels.tolist()) == ([1], [1])
    optimal = match_objects(table, 0.1, method="optimal")
    assert (optimal.true_labels.tolist(), optimal.found_labels.tolist()) == ([1, 2], [2, 1])


def test_a_long_chain_of_rising_overlaps() -> None:
    """Of k with k and k with k + 1, each larger than the one before: a round has one match.

    The rounds end, and the rest is walked: as the naive loop.
    """
    n = 400
    x = np.repeat(np.arange(n), 2)[1:]
    y = np.repeat(np.arange(n), 2)[:-1]
    weight = np.arange(1, 2 * n) / (2 * n)
    found = matching.greedy_matching(x, y, weight)
    naive = oracle.greedy(dict(zip(zip(x, y, strict=True), weight, strict=True)), 0)
    assert [(x[edge], y[edge]) for edge in found] == naive


def test_an_overlap_at_the_threshold_is_no_match() -> None:
    """1 of 2 pixels: IoU 1/2."""
    table = contingency_table([1, 1], [1, 0])
    assert match_objects(table).iou.tolist() == []
    assert match_objects(table, 0.49).iou.tolist() == [0.5]


def test_background_has_sides() -> None:
    """9 of the truth is background too; none at all makes the zeros an object."""
    x, y = [0, 0, 9, 1], [0, 0, 9, 1]
    table = contingency_table(x, y)
    found = match_objects(table, background={"x": [0, 9], "y": 0})
    assert (found.true_labels.tolist(), found.invented.tolist()) == ([1], [9])
    assert match_objects(table, background=None).true_labels.tolist() == [0, 1, 9]
    assert match_objects(table, background=5).true_labels.tolist() == [0, 1, 9]


def test_weights_stand_for_pixels() -> None:
    for x, y in PAIRS:
        times = np.random.default_rng(len(x)).integers(1, 4, len(x))
        heavy = contingency_table(x, y, weight=times.astype(float))
        many = contingency_table(np.repeat(x, times), np.repeat(y, times))
        for one, other in zip(match_objects(heavy, 0.2), match_objects(many, 0.2), strict=True):
            np.testing.assert_allclose(one, other)
        assert vars(object_scores(heavy)).keys() == vars(object_scores(many)).keys()
        for one, other in zip(
            vars(object_scores(heavy)).values(), vars(object_scores(many)).values(), strict=True
        ):
            np.testing.assert_allclose(one, other)


def test_millions_of_cells() -> None:
    """3 · 10^5 objects of 9 pixels, shifted by 3: IoU 6/12, and 3/15 with the one before."""
    n = 300_000
    table = ContingencyTable.from_cells(
        np.concatenate([np.arange(1, n + 1), np.arange(2, n + 1)]),
        np.concatenate([np.arange(1, n + 1), np.arange(1, n)]),
        np.concatenate([np.full(n, 6), np.full(n - 1, 3)]),
    )
    found = match_objects(table, 0.1)
    assert np.array_equal(found.true_labels, found.found_labels)
    assert len(found.iou) == n
    scores = object_scores(table, [0.1, 0.51])
    # the first and the last one lie at the border, and lack 3 pixels there: IoU 6/9
    assert scores.true_positives.tolist() == [n, 2]


# Scores


def test_scores_equal_naive_loops() -> None:
    for x, y in PAIRS:
        table = contingency_table(x, y)
        scores = object_scores(table)
        assert scores.thresholds.tolist() == list(THRESHOLDS)
        for name in ("precision", "recall", "f1", "average_precision"):
            expected = [oracle.rates(x, y, threshold)[name] for threshold in THRESHOLDS]
            np.testing.assert_allclose(getattr(scores, name), expected, rtol=1e-12)
            mean = getattr(scores, f"mean_{name}")
            assert mean == pytest.approx(math.fsum(expected) / 10, rel=1e-12)
        assert scores.panoptic_quality == pytest.approx(oracle.panoptic_quality(x, y), rel=1e-12)
        for name, count in oracle.errors(x, y).items():
            assert getattr(scores, name) == count, (name, x, y)
        best = oracle.terms(x, y)
        assert scores.true_labels.tolist() == list(oracle.objects(x))
        assert scores.iou.tolist() == [best[k]["iou"] for k in oracle.objects(x)]


def test_one_object_in_three() -> None:
    """Of 6 pixels in pairs: IoU 1/3 each. It is split; nothing is missed or invented.

    Nothing is found at 0.5: FN 1, FP 3. The other way round one found object merges three.
    """
    table = contingency_table([1] * 6, [1, 1, 2, 2, 3, 3])
    scores = object_scores(table, [0.5, 0.3])
    assert (scores.split, scores.merged, scores.missed, scores.invented) == (1, 0, 0, 0)
    assert scores.true_positives.tolist() == [0, 1]
    assert scores.false_positives.tolist() == [3, 2]
    assert scores.false_negatives.tolist() == [1, 0]
    assert scores.average_precision.tolist() == [0, 1 / 3]
    assert scores.panoptic_quality == 0
    turned = object_scores(table.T)
    assert (turned.split, turned.merged, turned.missed, turned.invented) == (0, 1, 0, 0)


def test_a_large_piece_and_a_small_one() -> None:
    """4 of 5 pixels and 1: matched (IoU 4/5) and split; the small piece isn't invented.

    TP 1, FP 1, FN 0: AP 1/2, F1 2/3; PQ = 4/5 · 1/(1 + 1/2) = 8/15.
    """
    scores = object_scores(contingency_table([1] * 5, [1, 1, 1, 1, 2]))
    assert (scores.split, scores.missed, scores.invented) == (1, 0, 0)
    assert scores.average_precision[0] == 0.5
    assert scores.f1[0] == pytest.approx(2 / 3)
    assert scores.segmentation_quality == pytest.approx(0.8)
    assert scores.panoptic_quality == pytest.approx(8 / 15)


def test_missed_and_invented() -> None:
    scores = object_scores(contingency_table([1, 1, 0, 0], [0, 0, 7, 7]))
    assert (scores.split, scores.merged, scores.missed, scores.invented) == (0, 0, 1, 1)
    assert scores.iou.tolist() == [0]


def test_below_one_half_the_method_matters() -> None:
    table = ContingencyTable.from_cells([1, 1, 2, 0], [1, 2, 1, 2], [3, 2, 2, 1])
    assert object_scores(table, [0.1]).true_positives.tolist() == [1]
    assert object_scores(table, [0.1], method="optimal").true_positives.tolist() == [2]


@pytest.mark.parametrize("seed", range(10))
def test_panoptic_quality_of_torchmetrics(seed: int) -> None:
    """One class of things; the background is one of stuff, of which only the things' row counts."""
    theirs = pytest.importorskip("torchmetrics.functional.detection").panoptic_quality
    x, y = instance_maps(seed)

    def pairs(labels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.stack([labels > 0, labels], -1).astype(np.int64))[None]

    found = theirs(
        pairs(y), pairs(x), things={1}, stuffs={0}, return_per_class=True, return_sq_and_rq=True
    )
    # classes in the order of the things, then the stuff
    quality, segmentation, recognition = found.reshape(-1, 3)[0].tolist()
    scores = object_scores(contingency_table(x, y))
    assert scores.panoptic_quality == pytest.approx(quality, abs=1e-6)
    assert scores.segmentation_quality == pytest.approx(segmentation, abs=1e-6)
    assert scores.recognition_quality == pytest.approx(recognition, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_panoptic_quality_of_monai(seed: int) -> None:
    """Also which objects it counts, and below one half its assignment."""
    theirs = pytest.importorskip("monai.metrics.panoptic_quality").compute_panoptic_quality
    x, y = instance_maps(seed)
    tensors = torch.from_numpy(y), torch.from_numpy(x)
    scores = object_scores(contingency_table(x, y), [0.5])
    expected = theirs(*tensors, smooth_numerator=0).item()
    assert scores.panoptic_quality == pytest.approx(expected, abs=1e-6)
    counts = theirs(*tensors, output_confusion_matrix=True)[:3].tolist()
    found = scores.true_positives, scores.false_positives, scores.false_negatives
    assert [one.item() for one in found] == counts


def instance_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares on a ground, of which the prediction shifts, loses and joins some."""
    generator = np.random.default_rng(seed)
    x = np.zeros((40, 40), np.int64)
    for number in range(16):
        top, left = 10 * (number // 4), 10 * (number % 4)
        x[top + 1 : top + 8, left + 1 : left + 9] = number + 1
    y = np.roll(x, generator.integers(-2, 3, 2), (0, 1))
    y[generator.random(x.shape) < 0.1] = 0
    y[y == generator.integers(1, 17)] = 5
    y[y == generator.integers(1, 17)] = 0
    return x, y


# The worst


def test_terms_equal_naive_loops() -> None:
    for x, y in PAIRS:
        table = contingency_table(x, y)
        expected = oracle.terms(x, y)
        every = worst_objects(table, 100, background=None)
        assert sorted(every.labels.tolist()) == list(expected)
        split, merge = split_and_merge(table)
        assert every.split.sum() == pytest.approx(split, abs=1e-12)
        assert every.merge.sum() == pytest.approx(merge, abs=1e-12)
        for by in ("vi", "iou"):
            worst = worst_objects(table, 3, by)
            known = [k for k in expected if k]
            assert len(worst.labels) == min(3, len(known))
            for place, k in enumerate(worst.labels.tolist()):
                assert worst.sizes[place] == expected[k]["size"]
                for name in ("split", "merge", "iou"):
                    found = getattr(worst, name)[place]
                    assert found == pytest.approx(expected[k][name], abs=1e-12)
            badness = -(worst.split + worst.merge) if by == "vi" else worst.iou
            assert (np.diff(badness) >= 0).all()
            rest = [
                -(expected[k]["split"] + expected[k]["merge"]) if by == "vi" else expected[k]["iou"]
                for k in set(known) - set(worst.labels.tolist())
            ]
            assert not rest or min(rest) >= badness[-1] - 1e-12


def test_of_equals_the_smaller_label() -> None:
    worst = worst_objects(contingency_table([4, 4, 2, 2], [1, 2, 3, 4]), 5)
    assert worst.labels.tolist() == [2, 4]
    assert worst.split.tolist() == pytest.approx([math.log(2) / 2] * 2)


# By name


def test_the_names_of_scores() -> None:
    for x, y in PAIRS:
        table = contingency_table(x, y)
        scores = object_scores(table)
        expected = (
            scores.f1[0],
            scores.average_precision[0],
            scores.mean_average_precision,
            scores.panoptic_quality,
        )
        for name, value in zip(NAMES, expected, strict=True):
            assert type(MEASURES[name](table)) is float
            assert SCORES[name](table) == pytest.approx(value, rel=1e-12)
            assert MEASURES[name](contingency_table(x, x)) == MEASURES[name].best == 1
            stack = MEASURES[name](ContingencyTable.stack([table, contingency_table(x, x)]))
            np.testing.assert_allclose(stack, [value, 1], rtol=1e-12)
        assert not any(MEASURES[name].is_metric or MEASURES[name].is_plain for name in NAMES)


def test_components_are_objects_but_those_of_label_0() -> None:
    """Two bars of one class, and the prediction shortens one to 2 of 5 pixels: IoU 2/5.

    TP 1, FP 1, FN 1: F1 1/2, AP 1/3, PQ 1/2. The ground is in three parts, and none counts.
    """
    truth = np.repeat([[0], [1], [0], [1], [0]], 5, axis=1)
    prediction = truth.copy()
    prediction[3, 2:] = 0
    found = partition_scores(truth, prediction, metrics=[*NAMES, "split"])
    assert found["object_f1"] == found["panoptic_quality"] == 0.5
    assert found["object_ap"] == pytest.approx(1 / 3)
    assert found["mean_object_ap"] == pytest.approx(1 / 3)
    assert found["split"] == partition_scores(truth, prediction, metrics="split")["split"]
    ignored = np.where(truth == 1, 1, 255)
    walls = partition_scores(ignored, prediction, metrics="object_f1", ignore_index=255)
    assert walls == {"object_f1": 0.5}
    nothing = partition_scores(truth * 0, truth * 0, metrics=list(NAMES))
    assert nothing == dict.fromkeys(NAMES, 1.0)


def test_instances_are_objects() -> None:
    found = partition_scores([[1, 1, 0, 2]], [[3, 3, 0, 0]], metrics=NAMES[:2], segments="labels")
    assert found == {"object_f1": pytest.approx(2 / 3), "object_ap": 0.5}


# What is refused


TABLE = contingency_table([1, 1, 2], [1, 2, 2])
SEVERAL = contingency_table([1, 2], [1, 2], weight=np.ones((2, 2)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: match_objects(TABLE, 1.0), r"threshold must be .* in \[0, 1\)"),
        (lambda: match_objects(TABLE, -0.1), "threshold must be"),
        (lambda: match_objects(TABLE, method="best"), "method must be one of 'greedy', 'optimal'"),
        (lambda: match_objects(TABLE, background="a"), "background must be an integer label"),
        (lambda: match_objects(TABLE, background={"z": 0}), "background must name the sides"),
        (lambda: match_objects(SEVERAL), "match_objects takes a table of one measure, got 2"),
        (lambda: match_objects([[1]]), "table must be a ContingencyTable, got list"),
        (lambda: match_objects(ContingencyTable()), "the contingency table is empty"),
        (lambda: object_scores(TABLE, []), r"thresholds must be numbers in \[0, 1\)"),
        (lambda: object_scores(TABLE, 0.5), r"thresholds must be numbers in \[0, 1\)"),
        (lambda: object_scores(TABLE, [0.5, math.nan]), r"thresholds\[1\] must be"),
        (lambda: object_scores(TABLE, method="best"), "method must be one of"),
        (lambda: object_scores(SEVERAL), "object_scores takes a table of one measure"),
        (lambda: object_scores(ContingencyTable()), "the contingency table is empty"),
        (lambda: worst_objects(TABLE, 0), "count must be a whole number >= 1"),
        (lambda: worst_objects(TABLE, by="size"), "by must be one of 'vi', 'iou'"),
        (lambda: worst_objects(SEVERAL), "worst_objects takes a table of one measure"),
        (lambda: MEASURES["object_f1"](SEVERAL), "takes a table of one measure"),
    ],
)
def test_errors(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("factor", [1e-300, 1e306])
def test_weights_of_any_scale(factor: float) -> None:
    """IoU 2/3 whatever the unit; the sum of two sizes of 1.2e308 is no float."""
    weight = np.array([60.0, 60.0, 60.0]) * factor / 1.5
    table = contingency_table([1, 1, 0], [1, 1, 1], weight=weight)
    assert match_objects(table).iou.tolist() == pytest.approx([2 / 3])
