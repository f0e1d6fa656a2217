"""What is no metric is found out, with witnesses; and the conditions on weights."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from metriseg.partitions import (
    MEASURES,
    ContingencyTable,
    check_metric_axioms,
    contingency_table,
    mirkin_distance,
    satisfies_weight_conditions,
)
from reference import partitions as reference

RECORDS = {
    record["id"]: record
    for record in json.loads(
        (Path(__file__).parents[1] / "reference" / "examples.json").read_text()
    )
}


def three(record_id: str) -> tuple[list[int], list[int], list[int]]:
    maps = RECORDS[record_id]["target"]
    return maps["X"], maps["Y"], maps["Z"]


def by_brightness(table: ContingencyTable) -> float:
    """phi = 1 + |difference of mean grey|."""
    k, m, c = table.x_index, table.y_index, table.values
    phi = 1 + abs(table.x_features[k, 0] - table.y_features[m, 0])
    return float((phi * (table.x_sizes[k] + table.y_sizes[m] - 2 * c) * c).sum())


# Axioms


def test_a_metric_is_found_to_be_one() -> None:
    maps = np.random.default_rng(0).integers(4, size=(8, 5, 6))
    for distance in (mirkin_distance, MEASURES["mirkin_distance"], "mirkin_distance"):
        report = check_metric_axioms(maps, distance)
        assert report
        assert (report.identity.checked, report.symmetry.checked) == (36, 28)
        assert report.triangle.checked == 8 * 7 * 6
    expected = [[mirkin_distance(contingency_table(a, b)) for b in maps] for a in maps]
    np.testing.assert_array_equal(report.distances, expected)
    assert str(report) == (
        "Metric axioms on 8 partitions\n"
        "  identity: holds for all 36 pairs\n"
        "  symmetry: holds for all 28 pairs\n"
        "  triangle: holds for all 336 triples"
    )


def test_the_counterexample_of_brightness() -> None:
    """26/3 > 6 + 2."""
    record = RECORDS["triangle_counterexample_brightness"]
    x, y, z = three("triangle_counterexample_brightness")
    report = check_metric_axioms([x, y, z], by_brightness, features=[record["params"]["grey"]])
    assert not report
    assert report.identity
    assert report.symmetry
    worst = report.triangle.witnesses[0]
    assert worst.indices == (0, 2, 1)
    expected = [record["expected"][pair] for pair in ("XY", "XZ", "ZY")]
    np.testing.assert_allclose(worst.distances, expected)
    assert "broken by 2 of 6 triples" in str(report)
    assert "d(0, 1) = 8.66667 > d(0, 2) + d(2, 1) = 6 + 2" in str(report)


def test_arbitrary_weights_by_hand() -> None:
    """1234 and singletons with weight 3, 12|34 between them with 1: 36 > 8 + 4."""

    def weighted(table: ContingencyTable) -> float:
        return mirkin_distance(table) * (3 if set(table.shape) == {1, 4} else 1)

    report = check_metric_axioms([[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1]], weighted)
    assert report.triangle.witnesses[0].distances == (36, 8, 4)


def test_every_violation_is_counted() -> None:
    """Against three loops over a random matrix in place of distances, in the order of asking."""
    generator = np.random.default_rng(0)
    maps = reference.every_partition(4)[:9]
    d = generator.integers(-1, 6, size=(9, 9)).astype(float)
    order = []
    for i, j in itertools.combinations_with_replacement(range(9), 2):
        order += [(i, j)] if i == j else [(i, j), (j, i)]
    values = iter([d[pair] for pair in order])
    report = check_metric_axioms(maps, lambda table: next(values))
    np.testing.assert_array_equal(report.distances, d)
    pairs = list(itertools.combinations(range(9), 2))
    own = [i for i in range(9) if d[i, i] != 0]
    assert report.identity.violations == len(own) + sum(
        d[i, j] <= 0 or d[j, i] <= 0 for i, j in pairs
    )
    assert report.symmetry.violations == sum(d[i, j] != d[j, i] for i, j in pairs)
    broken = {
        (x, z, y): d[x, y] - d[x, z] - d[z, y]
        for x, y, z in itertools.product(range(9), repeat=3)
        if x != y and d[x, y] > d[x, z] + d[z, y]
    }
    assert report.triangle.violations == len(broken)
    witnesses = report.triangle.witnesses
    assert len(witnesses) == 10
    worst = sorted(broken.values(), reverse=True)[:10]
    assert [broken[witness.indices] for witness in witnesses] == worst


def test_identity() -> None:
    """Of equal partitions under other names, and of different ones."""
    maps = [[0, 0, 1], [7, 7, 2], [0, 1, 1]]
    assert check_metric_axioms(maps, "van_dongen_distance")
    nothing = check_metric_axioms(maps, lambda table: 0.0)
    assert [witness.indices for witness in nothing.identity.witnesses] == [(0, 2), (1, 2)]
    assert "d(0, 2) = 0 of different partitions" in str(nothing)
    always = check_metric_axioms(maps, lambda table: 1.0)
    found = {witness.indices for witness in always.identity.witnesses}
    assert found == {(0, 0), (1, 1), (2, 2), (0, 1)}
    assert "d(0, 1) = 1 of equal partitions" in str(always)
    negative = check_metric_axioms(maps, lambda table: -mirkin_distance(table))
    assert negative.identity.violations == 2


def test_pixels_of_weight_0_do_not_part_partitions() -> None:
    maps = [[0, 0, 1], [0, 0, 0]]
    assert check_metric_axioms(maps, "mirkin_distance", weight=[1.0, 1.0, 0.0])
    assert check_metric_axioms(maps, "mirkin_distance").distances[0, 1] == 4


def test_symmetry() -> None:
    report = check_metric_axioms([[0, 0], [0, 1]], lambda table: float(table.shape[0]) - 1)
    assert report.symmetry.witnesses[0].distances == (0, 1)
    assert "d(0, 1) = 0, d(1, 0) = 1" in str(report)


def test_tolerance() -> None:
    """A refinement chain is an equality: rounding is no violation, a ten-thousandth is."""
    maps = [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]]

    def rounded(excess: float) -> Callable[[ContingencyTable], float]:
        return lambda t: mirkin_distance(t) * (1 + excess * (set(t.shape) == {1, 4}))

    assert check_metric_axioms(maps, rounded(1e-10))
    assert not check_metric_axioms(maps, rounded(1e-10), tolerance=0)
    assert not check_metric_axioms(maps, rounded(1e-4))
    assert check_metric_axioms(maps, rounded(1e-4), tolerance=1e-3)


def test_tensors_and_one_partition() -> None:
    assert check_metric_axioms(torch.tensor([[0, 1], [0, 0]]), "mirkin_distance")
    assert check_metric_axioms([[0, 1]], "mirkin_distance")


@pytest.mark.parametrize(
    ("partitions", "distance", "given", "words"),
    [
        ([], "mirkin_distance", {}, "partitions must be label maps of one shape, .*got none"),
        ([[0], [0, 1]], "mirkin_distance", {}, r"of one shape, .* got \(1,\), \(2,\)"),
        ([[0]], "mirkin", {}, "distance must be one of .*'mirkin_distance'"),
        ([[0]], "rand_index", {}, "lower for nearer partitions, rand_index is a score"),
        ([[0]], 3, {}, "distance must be a measure, its name, or a function of a table, got 3"),
        ([[0]], lambda table: np.nan, {}, "one finite number, got nan for partitions 0 and 0"),
        ([[0]], lambda table: [1.0, 2.0], {}, "distance must give one finite number"),
        ([[0]], "mirkin_distance", {"tolerance": -1.0}, "tolerance must be"),
        ([[0, 1]], "mirkin_distance", {"weight": [1.0]}, "weight must have shape"),
        ([[0, 1]], "earth_movers_distance", {}, "features must be given"),
    ],
)
def test_errors(partitions: Any, distance: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_metric_axioms(partitions, distance, **given)


# Conditions on weights


def restricted(table: ContingencyTable, generator: np.random.Generator) -> np.ndarray:
    """Random weights (cells,) that leave row and column sums as they are, if there are others.

    1 and a step along the null space of the sums, as long as all stay above 0.
    """
    cells = np.arange(len(table.values))
    m, n = table.shape
    sums = sparse.coo_array(
        (np.tile(table.values, 2), (np.r_[table.x_index, m + table.y_index], np.r_[cells, cells])),
        shape=(m + n, len(cells)),
    ).toarray()
    _, s, v = np.linalg.svd(sums)
    null = v[(s > 1e-9).sum() :]
    if not len(null):
        return np.ones(len(cells))
    step = generator.normal(size=len(null)) @ null
    return 1 + step / abs(step).max() * generator.uniform(0.1, 0.9)


def maps_of(seed: int, n: int = 9, labels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(labels, size=(3, n))


def tables_of(x: Any, y: Any, z: Any) -> list[ContingencyTable]:
    return [contingency_table(x, y), contingency_table(x, z), contingency_table(y, z)]


def dense(table: ContingencyTable, weights: np.ndarray) -> np.ndarray:
    """(m, n), with 1 where regions don't meet."""
    matrix = np.ones(table.shape)
    matrix[table.x_index, table.y_index] = weights
    return matrix


def by_loops(maps: Any, phi: list[np.ndarray]) -> dict[str, float]:
    """The residuals of the four conditions, from the sets of pixels."""
    x, y, z = (reference.blocks([int(u) for u in labels]) for labels in maps)
    lambda_, mu, theta = phi

    def changes(rows: Any, columns: Any, weights: np.ndarray) -> list[float]:
        by_row = [
            sum(weights[k, m] * len(a & b) for m, b in enumerate(columns)) - len(a)
            for k, a in enumerate(rows)
        ]
        return by_row + [
            sum(weights[k, m] * len(a & b) for k, a in enumerate(rows)) - len(b)
            for m, b in enumerate(columns)
        ]

    unmoved = changes(x, y, lambda_) + changes(x, z, mu) + changes(y, z, theta)
    balance = [
        lambda_[k, m] + 1 - mu[k, i] - theta[m, i]
        for k, a in enumerate(x)
        for m, b in enumerate(y)
        for i, c in enumerate(z)
        if a & b & c
    ]
    rows, columns = [], []
    for i, c in enumerate(z):
        g = [[len(a & b & c) for b in y] for a in x]
        rows.append(
            sum(
                (1 - mu[k, i]) * g[k][m] * g[k][other]
                for k in range(len(x))
                for m in range(len(y))
                for other in range(len(y))
                if m != other
            )
        )
        columns.append(
            sum(
                (1 - theta[m, i]) * g[k][m] * g[other][m]
                for m in range(len(y))
                for k in range(len(x))
                for other in range(len(x))
                if k != other
            )
        )
    return {
        "restriction": max(map(abs, unmoved)),
        "weights": min(balance),
        "rows": min(rows),
        "columns": min(columns),
    }


@pytest.mark.parametrize("seed", range(15))
def test_residuals(seed: int) -> None:
    """Of random weights above 0, by loops over sets; given as matrices and as a function."""
    generator = np.random.default_rng(seed)
    maps = maps_of(seed)
    tables = tables_of(*maps)
    phi = [generator.uniform(0.5, 1.5, table.shape) for table in tables]
    found = satisfies_weight_conditions(*maps, phi)
    for name, residual in by_loops(maps, phi).items():
        assert getattr(found, name).residual == pytest.approx(residual, abs=1e-9), name
    assert not found
    for (a, b), weights, distance in zip(
        ((0, 1), (0, 2), (1, 2)), phi, found.distances, strict=True
    ):
        x, y = maps[a].tolist(), maps[b].tolist()
        expected = reference.partition_distance(
            x, y, phi=reference.by_position(x, y, weights.tolist())
        )
        assert distance == pytest.approx(expected)
    calls = iter(zip(tables, phi, strict=True))

    def function(table: ContingencyTable) -> np.ndarray:
        known, weights = next(calls)
        assert table == known
        return weights[table.x_index, table.y_index]

    assert satisfies_weight_conditions(*maps, function) == found


def test_a_unit_weights_are_all_that_a_refinement_admits() -> None:
    """(a) Where regions meet without a cycle, H_U forces each weight to be 1."""
    for x, y in (([0, 0, 0, 0], [0, 0, 1, 1]), ([0, 0, 1, 1, 2], [0, 1, 1, 2, 2])):
        table = contingency_table(x, y)
        weights = restricted(table, np.random.default_rng(0))
        np.testing.assert_array_equal(weights, 1)
        assert satisfies_weight_conditions(x, y, x, (1, 1, 1)).restriction
        other = satisfies_weight_conditions(x, y, x, (1.1, 1, 1))
        assert not other.restriction
        assert other.restriction.residual == pytest.approx(0.1 * max(table.x_sizes))


def test_b_the_restriction_alone_gives_no_triangle() -> None:
    """(b) C = [[2, 1], [1, 1]], weights with its row and column sums: 13 > 6 + 6."""
    record = RECORDS["triangle_counterexample_HU"]
    alpha, expected = record["params"]["alpha_XY"], record["expected"]
    found = satisfies_weight_conditions(*three("triangle_counterexample_HU"), (alpha, 1, 1))
    assert found.restriction == type(found.restriction)(True, 0.0)
    assert not found.weights
    assert found.weights.residual == 0.5 + 1 - 2
    assert found.rows
    assert found.columns
    assert not found.triangle
    assert found.triangle.residual == 12 - 13
    assert found.distances == (expected["XY"], expected["XZ"], expected["ZY"])
    assert not found


def test_c_both_together_leave_unit_weights() -> None:
    """(c) Under H_U lambda + 1 - mu - theta sums to 0 over the pixels.

    Each of the three adds up to the pixels: N + N - N - N. So where it is nowhere below 0 it is 0
    everywhere; and in all three orders that means unit weights.
    """
    others = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        maps = maps_of(seed, n=12)
        tables = tables_of(*maps)
        phi = [dense(table, restricted(table, generator)) for table in tables]
        found = satisfies_weight_conditions(*maps, phi)
        assert found.restriction
        index = [np.unique(labels, return_inverse=True)[1] for labels in maps]
        lambda_, mu, theta = (
            weights[index[a], index[b]]
            for weights, (a, b) in zip(phi, ((0, 1), (0, 2), (1, 2)), strict=True)
        )
        assert (lambda_ + 1 - mu - theta).sum() == pytest.approx(0, abs=1e-9)
        if any(abs(weights - 1).max() > 1e-9 for weights in phi):
            others += 1
            orders = [
                satisfies_weight_conditions(*(maps[list(order)]), _reordered(phi, order))
                for order in ((0, 1, 2), (0, 2, 1), (1, 2, 0))
            ]
            assert not all(one.weights for one in orders)
            assert not all(orders)
    assert others > 150


def _reordered(phi: list[np.ndarray], order: tuple[int, ...]) -> list[np.ndarray]:
    """The weights of the pairs of the maps in another order."""
    known = {(0, 1): phi[0], (0, 2): phi[1], (1, 2): phi[2]}
    known |= {(b, a): weights.T for (a, b), weights in known.items()}
    a, b, c = order
    return [known[a, b], known[a, c], known[b, c]]


def test_d_the_conditions_without_the_restriction_give_no_triangle() -> None:
    """(d) Weights 1, 0.75, 0.75 on a chain: they hold in all three orders, and 12 > 6 + 3."""
    record = RECORDS["triangle_counterexample_conditions"]
    params, expected = record["params"], record["expected"]
    maps = np.array(three("triangle_counterexample_conditions"))
    tables = tables_of(*maps)
    numbers = params["lambda_XY"], params["mu_XZ"], params["theta_ZY"]
    phi = [np.full(table.shape, number) for table, number in zip(tables, numbers, strict=True)]
    found = satisfies_weight_conditions(*maps, numbers)
    assert found.distances == (expected["XY"], expected["XZ"], expected["ZY"])
    assert not found.triangle
    assert found.triangle.residual == 9 - 12
    for order in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        each = satisfies_weight_conditions(*(maps[list(order)]), _reordered(phi, order))
        assert each.weights
        assert each.rows
        assert each.columns
        assert not each.restriction
        assert not each
    # mu = 3/4 where X is one region of four pixels: 3 in place of 4
    assert found.restriction.residual == 1


def test_e_all_of_them_give_the_triangle() -> None:
    """(e) They hold with unit weights, and then the inequality does."""
    for seed in range(40):
        found = satisfies_weight_conditions(*maps_of(seed), (1, 1, 1))
        assert found
        assert found.triangle
        assert found.restriction.residual == 0
        assert found.weights.residual == found.rows.residual == found.columns.residual == 0


def test_maps_of_any_kind() -> None:
    """Names, shapes and tensors don't matter."""
    x, y, z = maps_of(3, n=12)
    phi = np.random.default_rng(0).uniform(0.5, 2, (3, 3, 3))
    expected = satisfies_weight_conditions(x, y, z, phi)
    shaped = [torch.from_numpy(labels.reshape(3, 4) * 10**15) for labels in (x, y, z)]
    assert satisfies_weight_conditions(*shaped, phi) == expected


@pytest.mark.parametrize(
    ("phi", "words"),
    [
        (1, "phi must be a function of a table, or three weights, got 1"),
        ("abc", "phi must be a function of a table, or three weights"),
        ((1, 1), "phi must be a function of a table, or three weights"),
        ((1, 1, 0), "phi must be finite and above 0"),
        ((1, np.nan, 1), "phi must be finite and above 0"),
        ((1, [1, 1], 1), r"phi must give a number or shape \(1, 2\), got \(2,\)"),
        (lambda table: [1, 2, 3], r"phi must give a number or shape \(2,\), got \(3,\)"),
    ],
)
def test_weights_that_are_none(phi: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        satisfies_weight_conditions([0, 0], [0, 1], [0, 1], phi)


def test_maps_that_are_none() -> None:
    with pytest.raises(ValueError, match="y must have the shape of x"):
        satisfies_weight_conditions([0, 0], [0, 1], [0], (1, 1, 1))
    with pytest.raises(ValueError, match="tolerance must be"):
        satisfies_weight_conditions([0], [0], [0], (1, 1, 1), tolerance=-1)
