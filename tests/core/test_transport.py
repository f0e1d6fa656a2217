"""Earth mover's distances against a linear programme by another solver, and by hand."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from metriseg.partitions import (
    ContingencyTable,
    check_metric_axioms,
    contingency_table,
    earth_movers_distance,
    microm_distance,
    signature_distance,
    transport,
)
from reference import partitions as reference

BOTH = [earth_movers_distance, microm_distance]


def random_signature(seed: int, regions: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.uniform(0.1, 2, regions), generator.normal(size=(regions, 2))


def random_table(seed: int, *, weighed: bool = False) -> ContingencyTable:
    generator = np.random.default_rng(seed)
    x, y = generator.integers(6, size=(2, 25))
    weight = generator.uniform(0.2, 2, 25) if weighed else None
    return contingency_table(x, y, weight=weight, features=generator.normal(size=(2, 25)))


@pytest.mark.parametrize("totals", ["equal", "more", "less"])
def test_signatures(totals: str) -> None:
    for seed in range(10):
        (p, at_p), (q, at_q) = random_signature(seed, 4), random_signature(seed + 99, 6)
        scale = {"equal": 1.0, "more": 1.7, "less": 0.4}[totals]
        p = p * (q.sum() / p.sum() * scale)
        ground = cdist(at_p, at_q)
        expected = reference.earth_movers(p.tolist(), q.tolist(), ground.tolist())
        assert signature_distance(p, q, ground) == pytest.approx(expected, rel=1e-7)
        assert signature_distance(q, p, ground.T) == pytest.approx(expected, rel=1e-7)


def test_weights_of_nothing() -> None:
    """Members of weight 0 take part in no flow."""
    assert signature_distance([1, 0], [0, 1], [[9, 2], [0, 0]]) == 2


def test_one_flow_by_hand() -> None:
    """p = 2 at 0, q = 1 at 0 and 5 at 1: all of p flows, one to each: 1/2."""
    assert signature_distance([2.0], [1.0, 5.0], [[0.0, 1.0]]) == 0.5


@pytest.mark.parametrize("distance", BOTH)
@pytest.mark.parametrize("weighed", [False, True])
def test_tables(distance: Callable[..., Any], weighed: bool) -> None:
    for seed in range(10):
        table = random_table(seed, weighed=weighed)
        p, q = table.x_sizes.astype(float), table.y_sizes.astype(float)
        ground = cdist(table.x_features, table.y_features)
        expected = reference.earth_movers(p.tolist(), q.tolist(), ground.tolist())
        found = distance(table)
        assert type(found) is float
        assert found == pytest.approx(expected, rel=1e-7)
        assert distance(table, ground=cdist) == pytest.approx(expected, rel=1e-7)
        assert distance(table.T) == pytest.approx(found)


def test_another_ground() -> None:
    """City blocks; of numbers that a threshold cuts off."""
    table = random_table(0)
    for ground in (
        lambda a, b: cdist(a, b, "cityblock"),
        lambda a, b: np.minimum(cdist(a, b), 0.5),
    ):
        costs = ground(table.x_features, table.y_features)
        expected = signature_distance(table.x_sizes, table.y_sizes, costs)
        assert earth_movers_distance(table, ground=ground) == pytest.approx(expected)


@pytest.mark.parametrize("distance", BOTH)
def test_a_stack(distance: Callable[..., Any]) -> None:
    tables = [random_table(seed) for seed in range(4)]
    tables.insert(2, contingency_table([0], [0], features=[[1.0], [2.0]]))
    found = distance(ContingencyTable.stack(tables))
    np.testing.assert_allclose(found, [distance(table) for table in tables], rtol=1e-12)
    assert distance(ContingencyTable.stack(tables[:1])).shape == (1,)


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1.0, 1e9, 1e15])
def test_the_scale_of_weights_and_costs_does_not_matter(scale: float) -> None:
    """The solver by itself calls weights of 10^12 infeasible, and rounds costs of 10^-12 away."""
    (p, at_p), (q, at_q) = random_signature(0, 20), random_signature(1, 30)
    q, ground = q * (p.sum() / q.sum()), cdist(at_p, at_q)
    expected = signature_distance(p, q, ground)
    assert signature_distance(p * scale, q * scale, ground) == pytest.approx(expected, rel=1e-9)
    assert signature_distance(p, q, ground * scale) == pytest.approx(expected * scale, rel=1e-9)


@pytest.mark.parametrize("distance", BOTH)
def test_equal_partitions_are_at_0(distance: Callable[..., Any]) -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(80, size=4000)
    names = generator.permutation(80)
    for weight in (None, generator.random(4000)):
        features = generator.normal(size=(3, 4000))
        table = contingency_table(x, names[x], weight=weight, features=features)
        assert distance(table) == 0
        assert 0 <= distance(table, ground=cdist) < 1e-12


def test_huge_regions() -> None:
    """Of 10^10 and more pixels: 1 of 4 parts moves by 1/2, and another back: 1/4 in all."""
    n = 10**12
    table = ContingencyTable.from_cells(
        [0, 0, 1, 1], [0, 1, 1, 2], [n] * 4, features=[[0], [0], [n], [n]]
    )
    assert earth_movers_distance(table) == microm_distance(table) == 0.25


def test_only_a_pseudometric_between_partitions() -> None:
    """01|01 and 0|1 by columns have regions of one size and mean: 0, though they differ."""
    rows, columns = [[0, 0], [1, 1]], [[0, 1], [0, 1]]
    report = check_metric_axioms(
        [rows, columns], earth_movers_distance, features=[[[1.0, 2.0], [2.0, 1.0]]]
    )
    assert report.identity.violations == 1
    assert report.identity.witnesses[0].indices == (0, 1)
    assert report.symmetry
    assert report.triangle


@pytest.mark.parametrize("name", ["earth_movers_distance", "microm_distance"])
def test_symmetry_and_triangle(name: str) -> None:
    """Of random partitions: the pseudometric has both."""
    generator = np.random.default_rng(0)
    maps, features = generator.integers(3, size=(7, 9)), generator.normal(size=(2, 9))
    for weight in (None, generator.uniform(0.1, 2, 9)):
        report = check_metric_axioms(maps, name, weight=weight, features=features)
        assert report.symmetry, str(report)
        assert report.triangle, str(report)


def test_totals_that_differ_break_the_triangle() -> None:
    """P = 1 at 0, Q = 1 at 1, R = 1 at both: d(P, Q) = 1 > d(P, R) + d(R, Q) = 0 + 0."""
    line = np.array([[0.0], [1.0]])
    assert signature_distance([1], [1], cdist(line[:1], line[1:])) == 1
    assert signature_distance([1], [1, 1], cdist(line[:1], line)) == 0
    assert signature_distance([1, 1], [1], cdist(line, line[1:])) == 0


def test_a_solver_that_gives_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns and returns a cost that is not the least."""
    monkeypatch.setattr(transport, "STEPS", 3)
    (p, at_p), (q, at_q) = random_signature(0, 40), random_signature(1, 40)
    with pytest.raises(RuntimeError, match=r"no cheapest flow was found between 4. and 4. regions"):
        signature_distance(p, q, cdist(at_p, at_q))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def absent(name: str, *rest: Any, **named: Any) -> Any:
        if name == "ot":
            raise ImportError(name)
        return original(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    words = r"the earth mover's distance needs POT: pip install 'metriseg\[partitions\]'"
    with pytest.raises(ImportError, match=words):
        earth_movers_distance(random_table(0))


def test_too_many_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAIRS", 30)
    for ground in ("euclidean", cdist):
        with pytest.raises(ValueError, match=r"table has 6 x 6 regions: .* at most 30 pairs"):
            earth_movers_distance(random_table(0), ground=ground)


TABLE = random_table(0)
LINE = [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: earth_movers_distance(contingency_table([0], [0])), "features must be given to"),
        (lambda: earth_movers_distance(TABLE, ground="manhattan"), "ground must be 'euclidean' or"),
        (lambda: microm_distance(TABLE, ground=LINE), "ground must be 'euclidean' or a function"),
        (
            lambda: earth_movers_distance(TABLE, ground=lambda a, b: LINE),
            r"ground must give distances of shape \(6, 6\), got \(2, 2\)",
        ),
        (
            lambda: microm_distance(TABLE, ground=lambda a, b: -cdist(a, b)),
            "ground must give distances that are finite and not negative",
        ),
        (lambda: signature_distance([1, 1], [1, 1], [[0, np.nan], [0, 0]]), "finite and not neg"),
        (lambda: signature_distance([1, 1], [1, 1], [[0, np.inf], [0, 0]]), "finite and not neg"),
        (lambda: signature_distance([1, -1], [1, 1], LINE), "weights_p must be finite, not neg"),
        (lambda: signature_distance([1, 1], [np.nan, 1], LINE), "weights_q must be finite, not"),
        (lambda: signature_distance([0, 0], [1, 1], LINE), "weights_p must be .* not all 0"),
        (lambda: signature_distance([], [1, 1], LINE), r"weights_p must have shape \(regions,\)"),
        (lambda: signature_distance(1.0, [1, 1], LINE), r"weights_p must have shape .* got \(\)"),
    ],
)
def test_errors(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
