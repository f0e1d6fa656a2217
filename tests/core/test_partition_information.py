"""Information, its units and normalizations, and the Rand scores: against loops and libraries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from metriseg.partitions import (
    SCORES,
    ContingencyTable,
    adapted_rand_error,
    adjusted_mutual_information,
    contingency_table,
    cremi_score,
    information,
    mutual_information,
    normalized_information_distance,
    normalized_mutual_information,
    partition_scores,
    rand_split_and_merge,
    split_and_merge,
    variation_of_information,
)
from reference import partitions as reference

AVERAGES = ("arithmetic", "geometric", "min", "max")


def pair(seed: int, pixels: int = 40, labels: int = 6) -> tuple[list[int], list[int]]:
    """The second knows something of the first."""
    generator = np.random.default_rng(seed)
    x = generator.integers(labels, size=pixels)
    y = np.where(generator.random(pixels) < 0.5, x, generator.integers(labels + 2, size=pixels))
    return x.tolist(), y.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_against_loops(seed: int) -> None:
    for x, y in (pair(seed), pair(seed, 9, 3), ([0] * 5, [0, 1, 2, 2, 2]), ([0], [3])):
        table = contingency_table(x, y)
        bits = 1 / math.log(2)
        near = {"rel": 1e-11, "abs": 1e-11}
        shared = reference.mutual_information(x, y)
        assert mutual_information(table) == pytest.approx(shared, **near)
        assert mutual_information(table, unit="bits") == pytest.approx(shared * bits, **near)
        for average in (*AVERAGES, "joint"):
            expected = reference.normalized_mutual_information(x, y, average)
            found = normalized_mutual_information(table, average=average)
            assert found == pytest.approx(expected, **near)
        for average in AVERAGES:
            if average in ("min", "geometric") and len(set(x)) == 1:
                continue
            expected = reference.adjusted_mutual_information(x, y, average)
            found = adjusted_mutual_information(table, average=average)
            assert found == pytest.approx(expected, **near)
        in_nats, in_bits = (
            (*split_and_merge(table, unit=unit), variation_of_information(table, unit=unit))
            for unit in ("nats", "bits")
        )
        assert in_bits == pytest.approx([one * bits for one in in_nats], **near)
        for alpha in (0.0, 0.3, 0.5, 1.0):
            both, in_x, in_y = (reference.joined_pairs(*maps) for maps in ((x, y), (x,), (y,)))
            joined = alpha * in_y + (1 - alpha) * in_x
            expected = 1 - both / joined if joined else 0.0
            assert adapted_rand_error(table, alpha=alpha) == pytest.approx(expected, **near)


def test_by_hand() -> None:
    """Halves against quarters of the second half: I = ln 2, H(X) = ln 2, H(Y) = 3/2 ln 2.

    The means are 5/4, √(3/2), 1 and 3/2 ln 2. Of pairs x joins 2 + 2, y only 2 of them.
    """
    table = contingency_table([0, 0, 1, 1], [0, 0, 1, 2])
    expected = {"arithmetic": 0.8, "geometric": math.sqrt(2 / 3), "min": 1.0, "max": 2 / 3}
    for average, value in (expected | {"joint": 2 / 3}).items():
        found = normalized_mutual_information(table, average=average)
        assert found == pytest.approx(value, rel=1e-14)
    assert normalized_information_distance(table) == pytest.approx(1 / 3, rel=1e-14)
    assert rand_split_and_merge(table) == (0.5, 1.0)
    assert adapted_rand_error(table) == pytest.approx(1 / 3)
    assert adapted_rand_error(table, alpha=0) == 0.5
    assert adapted_rand_error(table, alpha=1) == 0
    assert variation_of_information(table, unit="bits") == 0.5
    assert cremi_score(table) == pytest.approx(math.sqrt(0.5 / 3))


@pytest.mark.parametrize("seed", range(4))
def test_as_scikit_learn_has_it(seed: int) -> None:
    cluster = pytest.importorskip("sklearn.metrics.cluster", reason="scikit-learn is missing")
    for x, y in (pair(seed, 300, 12), pair(seed, 2000, 3), pair(seed, 50, 50)):
        table = contingency_table(x, y)
        assert mutual_information(table) == pytest.approx(
            cluster.mutual_info_score(x, y), abs=1e-12
        )
        for average in AVERAGES:
            expected = cluster.normalized_mutual_info_score(x, y, average_method=average)
            found = normalized_mutual_information(table, average=average)
            assert found == pytest.approx(expected, abs=1e-12)
            expected = cluster.adjusted_mutual_info_score(x, y, average_method=average)
            found = adjusted_mutual_information(table, average=average)
            assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_as_scikit_image_has_it(seed: int) -> None:
    """Its precision has the truth's pairs below it, and is the split here; so for alpha."""
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is missing")
    x, y = (np.array(labels).reshape(20, 20) for labels in pair(seed, 400, 5))
    table = contingency_table(x, y, ignore={"x": 0})
    split, merge = rand_split_and_merge(table)
    error, precision, recall = metrics.adapted_rand_error(x, y)
    assert adapted_rand_error(table) == pytest.approx(error, rel=1e-12)
    assert (split, merge) == pytest.approx((precision, recall), rel=1e-12)
    error = metrics.adapted_rand_error(x, y, alpha=0.2)[0]
    assert adapted_rand_error(table, alpha=0.8) == pytest.approx(error, rel=1e-12)
    expected = metrics.variation_of_information(x, y)
    found = split_and_merge(contingency_table(x, y), unit="bits")
    assert found == pytest.approx(expected.tolist(), rel=1e-12)


@pytest.mark.parametrize("terms", [1, 50])
def test_chance_in_parts(terms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some pairs of sizes at a time, and without the tails that are there."""
    monkeypatch.setattr(information, "TERMS", terms)
    x, y = pair(0, 60, 5)
    expected = reference.adjusted_mutual_information(x, y)
    assert adjusted_mutual_information(contingency_table(x, y)) == pytest.approx(
        expected, abs=1e-12
    )


def test_chance_by_every_overlap_and_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of standard deviations of 5 to 80 pixels, with tails and without."""
    generator = np.random.default_rng(0)
    cells = generator.integers(1, 60, (3, 4)) ** generator.integers(1, 4, (3, 4))
    x, y = np.indices(cells.shape)
    table = ContingencyTable.from_cells(x.ravel(), y.ravel(), cells.ravel())
    found = information._expected(table)
    monkeypatch.setattr(information, "WIDE", math.inf)
    assert information._expected(table) == pytest.approx(found, rel=1e-11)
    monkeypatch.setattr(information, "TAILS", (1e9, 0))
    assert information._expected(table) == pytest.approx(found, rel=1e-11)


def test_chance_of_many_pixels() -> None:
    """E is about (m - 1)(n - 1) / 2N, the chi-squared limit, of N = 4 · 10^10.

    I is 0 of independent halves, and H = ln 2.
    """
    n = 10**10
    table = ContingencyTable.from_cells([0, 0, 1, 1], [0, 1, 0, 1], [n] * 4)
    chance = 1 / (8 * n)
    assert information._expected(table) == pytest.approx(chance, rel=1e-5)
    assert adjusted_mutual_information(table) == pytest.approx(-chance / math.log(2), rel=1e-3)


@pytest.mark.parametrize("kind", ["one", "each"])
def test_stacks_and_weights(kind: str) -> None:
    tables = [contingency_table(*pair(seed)) for seed in range(3)]
    tables += [contingency_table([0, 1], [5, 6]), contingency_table([0, 0], [5, 6])]
    stack = ContingencyTable.stack(tables[:1] if kind == "one" else tables)
    for function in (
        mutual_information,
        normalized_mutual_information,
        normalized_information_distance,
        adjusted_mutual_information,
        cremi_score,
        adapted_rand_error,
    ):
        found = function(stack)
        assert found == pytest.approx([function(one) for one in tables][: len(found)], rel=1e-13)
    x, y = pair(1)
    heavy = contingency_table(x, y, weight=np.full(len(x), 0.25))
    plain = contingency_table(x, y)
    assert mutual_information(heavy) == pytest.approx(mutual_information(plain))
    assert normalized_mutual_information(heavy) == pytest.approx(
        normalized_mutual_information(plain)
    )


def test_scores_in_bits() -> None:
    """Those in nats, which are 1/ln 2 as many; pure numbers stay."""
    maps = pair(2)
    chosen: dict[str, Any] = {"metrics": list(SCORES), "segments": "labels"}
    nats, bits = (partition_scores(*maps, unit=unit, **chosen) for unit in ("nats", "bits"))
    for name, value in nats.items():
        factor = 1 / math.log(2) if SCORES[name].unit == "nats" else 1
        assert bits[name] == pytest.approx(value * factor, rel=1e-14)
    table = contingency_table(*maps)
    assert (bits["split"], bits["merge"]) == split_and_merge(table, unit="bits")
    with pytest.raises(ValueError, match="unit must be one of 'nats', 'bits', got 'bit'"):
        partition_scores(*maps, unit="bit")  # type: ignore[arg-type]


TABLE = contingency_table([0, 1, 1], [0, 0, 1])
WEIGHED = contingency_table([0, 1, 1], [0, 0, 1], weight=[1.0, 1.0, 0.5])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mutual_information(TABLE, unit="bans"), "unit must be one of 'nats', 'bits', got"),
        (lambda: split_and_merge(TABLE, unit=2), "unit must be one of 'nats', 'bits', got 2"),
        (
            lambda: normalized_mutual_information(TABLE, average="mean"),
            "average must be one of 'arithmetic', 'geometric', 'min', 'max', 'joint', got 'mean'",
        ),
        (
            lambda: adjusted_mutual_information(TABLE, average="joint"),
            "average must be one of 'arithmetic', 'geometric', 'min', 'max', got 'joint'",
        ),
        (lambda: adapted_rand_error(TABLE, alpha=1.5), r"alpha must be a finite number in \[0, 1"),
        (lambda: adjusted_mutual_information(WEIGHED), "needs a table of counts"),
        (lambda: rand_split_and_merge(WEIGHED), "needs a table of counts"),
        (lambda: cremi_score(WEIGHED), "needs a table of counts"),
    ],
)
def test_what_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_expected_information_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many different sizes, some at a time: the same number."""
    x, y = (np.random.default_rng(seed).zipf(1.5, 500) % 40 for seed in (1, 2))
    whole = information.adjusted_mutual_information(contingency_table(x, y))
    monkeypatch.setattr(information, "PAIRS", 7)
    parts = information.adjusted_mutual_information(contingency_table(x, y))
    assert parts == pytest.approx(whole, abs=1e-12)
    assert whole == pytest.approx(adjusted_mutual_info_score(x, y), abs=1e-9)
