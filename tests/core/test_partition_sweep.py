"""Curves of scores from one table: as if every segmentation had been made and compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metriseg.partitions import (
    MEASURES,
    SCORES,
    ContingencyTable,
    contingency_table,
    sweep,
    sweep_merges,
)
from reference import sweep as reference

METRICS = [
    "variation_of_information",
    "adapted_rand_error",
    "object_f1",
    "partition_distance",
    "normalized_mirkin_distance",
]


def maps(seed: int, large: bool = False) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    pieces = generator.integers(1, 25, 200)
    truth = pieces // 4 + (generator.random(200) < 0.1)
    return truth, pieces.astype(np.uint64) + np.uint64(2**64 - 30) if large else pieces


def expected(truth: np.ndarray, pieces: list[int]) -> list[float]:
    table = contingency_table(truth, pieces)
    return [{**MEASURES, **SCORES}[name](table) for name in METRICS]


@pytest.mark.parametrize("seed", range(4))
def test_as_if_the_maps_were_renamed(seed: int) -> None:
    truth, pieces = maps(seed)
    generator = np.random.default_rng(seed)
    tables = [generator.integers(k, size=25) for k in (1, 4, 9, 25)]
    levels = [0.1, 0.7, 0.2, 0.2]
    found = sweep(contingency_table(truth, pieces), tables, levels, metrics=METRICS)
    assert found.thresholds.tolist() == levels
    assert list(found.scores) == METRICS
    for place, names in enumerate(tables):
        renamed = names[pieces].tolist()
        assert [curve[place] for curve in found.scores.values()] == expected(truth, renamed)
        assert found.regions[place] == len(set(renamed))
    for name, curve in found.scores.items():
        better = min if {**MEASURES, **SCORES}[name].better == "lower" else max
        assert found.best(name) == reference.best(levels, curve.tolist(), better)
    assert found.best() == found.best(METRICS[0])


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_as_if_the_maps_were_merged(seed: int, large: bool, order: Any) -> None:
    """Along repeated, equal and own edges, and those of labels that no pixel has."""
    truth, pieces = maps(seed, large)
    generator = np.random.default_rng(seed)
    # of 27 labels the table has at most 24
    labels = np.arange(27, dtype=np.uint64) + np.uint64(2**64 - 30 if large else 0)
    edges = labels[generator.integers(27, size=(30, 2))]
    scores = generator.integers(8, size=30) / 8
    table = contingency_table(truth, pieces)
    for levels in (None, [0.5, 0.1, 0.5, 2.0, -1.0]):
        found = sweep_merges(table, edges, scores, levels, metrics=METRICS, order=order)
        wanted = [-np.inf, *scores] if order == "ascending" else [np.inf, *scores]
        wanted = sorted(set(wanted) if levels is None else levels)
        assert found.thresholds.tolist() == (wanted if order == "ascending" else wanted[::-1])
        for place, level in enumerate(found.thresholds):
            merges = scores <= level if order == "ascending" else scores >= level
            joined = reference.merged(pieces.tolist(), edges.tolist(), merges.tolist())
            assert found.regions[place] == len(set(joined))
            named = contingency_table(truth, np.array(joined, np.uint64))
            scored = [{**MEASURES, **SCORES}[name](named) for name in METRICS]
            assert [curve[place] for curve in found.scores.values()] == scored
    assert table == contingency_table(truth, pieces)


def test_no_edges_and_one_region() -> None:
    table = contingency_table([0, 0, 1], [1, 2, 2])
    found = sweep_merges(table, [], [], metrics="rand_index")
    assert found.thresholds.tolist() == [-np.inf]
    assert found.scores["rand_index"].tolist() == [MEASURES["rand_index"](table)]
    found = sweep_merges(table, [], [], [1.0, 2.0])
    assert found.regions.tolist() == [2, 2]


def test_where_a_score_is_no_number() -> None:
    """Mutual orders of NaN: it is never best."""
    found = sweep(contingency_table([0, 0, 1], [1, 2, 2]), [{}, {2: 1}], [5, 6])
    curve = found.scores["variation_of_information"]
    curve[0] = np.nan
    assert found.best().threshold == 6
    curve[1] = np.nan
    with pytest.raises(ValueError, match="variation_of_information is a number at no threshold"):
        found.best()


TABLE = contingency_table([0, 0, 1], [1, 2, 2])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sweep(TABLE, []), "names must hold new names for one segmentation or more"),
        (lambda: sweep(TABLE, {1: 2}), "names must hold new names for one segmentation or more"),
        (lambda: sweep(TABLE, [{}], [1, 2]), "thresholds must be one a segmentation, 1, got 2"),
        (lambda: sweep(TABLE, [{}], ["a"]), "thresholds must be a list of numbers, got <U1"),
        (lambda: sweep(TABLE, [{}], [np.nan]), r"numbers, got float64 of shape \(1,\) with NaN"),
        (lambda: sweep(TABLE, [[0, 1]]), "y must be a mapping, or an array"),
        (lambda: sweep(TABLE, [{}], metrics="rand_indx"), "did you mean 'rand_index'"),
        (lambda: sweep(TABLE, [{}], metrics=[]), "metrics must be one name or several"),
        (lambda: sweep([[1]], [{}]), "table must be a ContingencyTable, got list"),
        (lambda: sweep(ContingencyTable(), [{}]), "the contingency table is empty"),
        (lambda: sweep(TABLE, [{}]).best("rand_index"), "metric must be one of variation_of_inf"),
        (lambda: sweep_merges(TABLE, [[1, 2, 3]], [1]), r"pairs of labels, \(E, 2\), got shape"),
        (lambda: sweep_merges(TABLE, [[1, -2]], [1]), "edges must hold labels that are not neg"),
        (lambda: sweep_merges(TABLE, [[1, 0.5]], [1]), "edges must hold integer labels"),
        (lambda: sweep_merges(TABLE, [[1, 2]], [1, 2]), "scores must be one an edge, 1, got 2"),
        (lambda: sweep_merges(TABLE, [[1, 2]], [1], []), "thresholds must hold at least one"),
        (lambda: sweep_merges(TABLE, [[1, 2]], [np.nan]), "scores must be a list of numbers"),
        (lambda: sweep_merges(TABLE, [[1, 2]], [1], order="up"), "order must be one of 'ascendi"),
    ],
)
def test_what_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
