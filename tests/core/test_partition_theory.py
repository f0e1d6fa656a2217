"""What ``docs/theory/partition-metric.md`` says, number by number."""

from __future__ import annotations

import doctest
import itertools
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from metriseg.partitions import (
    ArbitraryWeight,
    ContingencyTable,
    DiceWeight,
    contingency_table,
    larsen_aone_dissimilarity,
    partition_distance,
    van_dongen_distance,
    variation_of_information,
    weighted_partition_distance,
)
from reference import partitions as reference

PAGE = (Path(__file__).parents[2] / "docs" / "theory" / "partition-metric.md").read_text()
WORDS = " ".join(PAGE.split())
Block = frozenset[int]


def all_partitions(n: int) -> list[list[int]]:
    """Restricted growth strings."""
    grown: list[list[int]] = [[0]]
    for _ in range(n - 1):
        grown = [[*labels, label] for labels in grown for label in range(max(labels) + 2)]
    return grown


def says(text: str) -> bool:
    return text in WORDS


def by_blocks(x: list[int], y: list[int], phi: Callable[[Block, Block], Fraction]) -> Fraction:
    return sum(
        (
            phi(a, b) * len(a ^ b) * len(a & b)
            for a in reference.blocks(x)
            for b in reference.blocks(y)
        ),
        Fraction(0),
    )


def test_its_examples_run() -> None:
    blocks = re.findall(r"^```pycon\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "page", None, 0)
    assert len(examples.examples) > 20
    assert not doctest.DocTestRunner().run(examples).failed


# ---------------------------------------------------------------------- Theorem 1, Lemma 2


def test_the_forms_of_the_functional() -> None:
    """Sum over cells, pairs of pixels, squares, and pixels by their regions."""
    generator = np.random.default_rng(0)
    for n in (1, 4, 12):
        x, y = generator.integers(0, 4, (2, n)).tolist()
        mass = generator.uniform(0.1, 3, n)
        found = partition_distance(contingency_table(x, y, weight=mass))
        apart = np.equal.outer(x, x).astype(int) - np.equal.outer(y, y)
        assert found == pytest.approx(mass @ abs(apart) @ mass)
        assert found == pytest.approx(mass @ apart**2 @ mass)
        by_pixels = sum(
            mass[u] * mass[v]
            for u in range(n)
            for v in range(n)
            if (x[u] == x[v]) != (y[u] == y[v])
        )
        assert found == pytest.approx(by_pixels)


def test_the_key_identity() -> None:
    """For any phi: here the product of the sizes."""
    x, y = [0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 2, 2]
    weight = ArbitraryWeight(lambda pairs: pairs.x_sizes * pairs.y_sizes)
    found = weighted_partition_distance(contingency_table(x, y), weight)
    assert found == reference.by_pixels(x, y, lambda a, b: len(a) * len(b) * len(a ^ b))


def test_chains_have_no_slack() -> None:
    """Without weights, rho(X, Y) = rho(X, Z) + rho(Z, Y) where Y refines Z, and Z refines X."""

    def refines(fine: list[int], coarse: list[int]) -> bool:
        return len(set(zip(fine, coarse, strict=True))) == len(set(fine))

    chains = 0
    for x, z, y in itertools.product(all_partitions(4), repeat=3):
        if refines(y, z) and refines(z, x):
            chains += 1
            assert reference.mirkin(x, y) == reference.mirkin(x, z) + reference.mirkin(z, y)
    assert chains > 50


# ---------------------------------------------------------------------- numbers in the text


def test_the_natural_weight_in_fractions() -> None:
    """26/3 > 6 + 2, and with the division 22/3 = 16/3 + 2."""
    grey = [Fraction(0), Fraction(0), Fraction(1)]

    def unlike(a: Block, b: Block) -> Fraction:
        mean = [sum((grey[u] for u in block), Fraction(0)) / len(block) for block in (a, b)]
        return abs(mean[0] - mean[1])

    def divided(a: Block, b: Block) -> Fraction:
        return 1 + unlike(a, b) / len(a ^ b) if a != b else Fraction(1)

    x, z, y = [0, 0, 0], [0, 0, 1], [0, 1, 2]
    natural = [by_blocks(*pair, lambda a, b: 1 + unlike(a, b)) for pair in ((x, y), (x, z), (z, y))]
    assert natural == [Fraction(26, 3), 6, 2]
    assert says(r"\tfrac{26}3 \;>\; \rho(X, Z) + \rho(Z, Y) = 6 + 2")
    kept = [by_blocks(*pair, divided) for pair in ((x, y), (x, z), (z, y))]
    assert kept == [Fraction(22, 3), Fraction(16, 3), 2]
    assert says("then 22/3, 16/3 and 2")


def test_weights_on_a_chain() -> None:
    """12, 8 and 4 without weights: 36 > 8 + 4 with 3 on the first, 14.4 with 1.2, and
    12 > 3/4 * 8 + 3/4 * 4."""
    x, z, y = [0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]
    plain = [reference.mirkin(*pair) for pair in ((x, y), (x, z), (z, y))]
    assert plain == [12, 8, 4]
    assert 3 * plain[0] == 36
    assert 1.2 * plain[0] == pytest.approx(14.4)
    assert [0.75 * one for one in plain[1:]] == [6, 3]
    for inequality in ("36 > 8 + 4", "14.4 > 8 + 4", "12 > 6 + 3", "13 > 6 + 6"):
        assert says(inequality)  # the last is computed by the page itself


def test_equation_6_is_no_distance() -> None:
    """2 * 3^2 - 2 phi 3^2 is 9 for phi = 1/2, and -18 for phi = 2."""
    printed = [3**2 + 3**2 - 2 * phi * 3**2 for phi in (Fraction(1, 2), 2)]
    assert printed == [9, -18]
    assert says(r"$\rho(X, X) = 9$ with $\varphi = \frac12$, and $-18$ with $\varphi = 2$")


def test_dice_is_no_metric_of_sets() -> None:
    """For {1}, {2} and {1, 2}: 2/2 > 1/3 + 1/3."""
    a, b, c = frozenset({1}), frozenset({2}), frozenset({1, 2})
    three = [Fraction(len(p ^ q), len(p) + len(q)) for p, q in ((a, b), (a, c), (c, b))]
    assert three == [1, Fraction(1, 3), Fraction(1, 3)]
    assert says("give 1 > 1/3 + 1/3")


def test_the_larger_size_fails_at_eight_pixels() -> None:
    """X = 01000111, Y = 00100111, Z = 00000111 in fractions.

    X and Y have regions of four; cells of 3, 1, 1, 3 give 2/4 * 3 and 6/4 * 1, all 3/2. X meets the
    five zeros of Z in 4 and 1 pixels, the three ones in 3: 1/5 * 4 + 7/5 + 1/4 * 3 = 59/20. Y too.
    """
    # that no triple of six or seven pixels fails was checked once, by all of them

    def larger(a: Block, b: Block) -> Fraction:
        return Fraction(1, max(len(a), len(b)))

    x, y, z = ([int(label) for label in name] for name in ("01000111", "00100111", "00000111"))
    found = [by_blocks(*pair, larger) for pair in ((x, y), (x, z), (z, y))]
    assert found == [6, Fraction(59, 20), Fraction(59, 20)]
    assert says("no triple of partitions of seven pixels violates")


def test_the_kernel_of_dice() -> None:
    """rho = N - sum of 2 C²/(a + b), and the integral of the squares of F_X - F_Y.

    F_X(u, v, t) is e^(-t |x(u)|) where X joins u and v; <F, F> is twice the integral over t, which
    Gauss and Laguerre take of e^-t times the rest.
    """
    nodes, shares = np.polynomial.laguerre.laggauss(60)

    def functions(labels: list[int]) -> np.ndarray:
        joined = np.equal.outer(labels, labels)
        return joined[..., None] * np.exp(-np.multiply.outer(joined.sum(1), nodes))[:, None]

    for x, y in itertools.product(all_partitions(4), repeat=2):
        table = contingency_table(x, y)
        a, b = table.x_sizes[table.x_index], table.y_sizes[table.y_index]
        found = weighted_partition_distance(table, DiceWeight())
        assert found == pytest.approx(4 - (2 * table.values**2 / (a + b)).sum(), abs=1e-12)
        squares = ((functions(x) - functions(y)) ** 2).sum((0, 1))
        assert found == pytest.approx((shares * np.exp(nodes) * squares).sum(), abs=1e-6)


def largest_excess(distances: np.ndarray) -> float:
    return float((distances - (distances[:, :, None] + distances[None]).min(1)).max())


@pytest.fixture(scope="module")
def five() -> tuple[int, ContingencyTable]:
    partitions = all_partitions(5)
    features = np.random.default_rng(0).normal(size=(1, 5))
    pairs = itertools.product(partitions, repeat=2)
    stack = ContingencyTable.stack([contingency_table(*p, features=features) for p in pairs])
    return len(partitions), stack


def test_the_root_of_dice_holds_for_five_pixels(five: tuple) -> None:
    """All triples; and the unproved inequality of 1 / (|x| + |y|) and 1 / max themselves."""
    # of six, seven and eight pixels it was checked once, for all triples: the root's inequality,
    # that N - rho has no eigenvalue below 0, and the inequality of 1 / (|x| + |y|) itself
    size, stack = five
    dice = weighted_partition_distance(stack, DiceWeight()).reshape(size, size)
    assert largest_excess(np.sqrt(dice)) < 1e-7
    assert largest_excess(dice) < 1e-12
    larger = ArbitraryWeight(lambda pairs: 1 / np.maximum(pairs.x_sizes, pairs.y_sizes))
    assert largest_excess(weighted_partition_distance(stack, larger).reshape(size, size)) < 1e-12


def test_weights_that_five_pixels_violate(five: tuple) -> None:
    size, stack = five
    # phi must be above 0 where the symmetric difference, and so the term, is 0
    for phi in (
        lambda pairs: 1 / np.minimum(pairs.x_sizes, pairs.y_sizes),
        lambda pairs: 1 / np.sqrt(pairs.x_sizes * pairs.y_sizes),
        lambda pairs: np.maximum(pairs.apart, 1),
        lambda pairs: np.exp(-np.abs(pairs.x_features - pairs.y_features)[:, 0]),
    ):
        distances = weighted_partition_distance(stack, ArbitraryWeight(phi)).reshape(size, size)
        assert largest_excess(distances) > 1e-3


def test_other_distances(five: tuple) -> None:
    """Variation of information, its normalized form and van Dongen's obey the triangle
    inequality, Larsen's doesn't."""
    size, stack = five
    for distance in (
        variation_of_information,
        lambda table: variation_of_information(table, normalized=True),
        van_dongen_distance,
    ):
        assert largest_excess(distance(stack).reshape(size, size)) < 1e-12
    assert largest_excess(larsen_aone_dissimilarity(stack).reshape(size, size)) > 0.01
    x, y, z = [0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 2]
    found = [reference.larsen(*pair) for pair in ((x, y), (x, z), (z, y))]
    assert found == pytest.approx([5 / 12, 1 / 6, 1 / 6])
    assert says("5/12 > 1/6 + 1/6")


# ---------------------------------------------------------------------- Theorem 3


class Weights:
    """The weights of the three pairs of a triple as the unknowns of a linear programme."""

    def __init__(self, x: list[int], y: list[int], z: list[int]) -> None:
        pairs = {"xy": (x, y), "xz": (x, z), "zy": (z, y)}
        cells = [
            (name, *cell)
            for name, pair in pairs.items()
            for cell in sorted(set(zip(*pair, strict=True)))
        ]
        self.place = {cell: i for i, cell in enumerate(cells)}
        self.rows: list[np.ndarray] = []
        self.sizes: list[int] = []
        for name, pair in pairs.items():
            for side, labels in enumerate(pair):
                for label in sorted(set(labels)):
                    row = np.zeros(len(cells))
                    for a, b in zip(*pair, strict=True):
                        if (a, b)[side] == label:
                            row[self.place[name, a, b]] += 1
                    self.rows.append(row)
                    self.sizes.append(labels.count(label))
        self.triples = sorted(set(zip(x, y, z, strict=True)))

    def conditions(self, orders: str) -> Iterator[np.ndarray]:
        """mu + theta - lambda, which must be at most 1, for each cell and order."""
        for a, b, c in self.triples:
            cell = {"xy": ("xy", a, b), "xz": ("xz", a, c), "zy": ("zy", c, b)}
            for alone in orders.split():
                row = np.zeros(len(self.place))
                for name, key in cell.items():
                    row[self.place[key]] += -1 if name == alone else 1
                yield row

    def extremes(self, objective: np.ndarray, orders: str = "") -> list[float]:
        bounds = list(self.conditions(orders))
        solved = [
            linprog(
                sign * objective,
                A_eq=self.rows,
                b_eq=self.sizes,
                A_ub=bounds or None,
                b_ub=[1.0] * len(bounds) or None,
            )
            for sign in (1, -1)
        ]
        assert all(one.status == 0 for one in solved)
        return [solved[0].fun, -solved[1].fun]


def random_triples(count: int) -> Iterator[tuple[list[int], ...]]:
    generator = np.random.default_rng(5)
    for _ in range(count):
        yield tuple(generator.integers(0, 3, (3, 12)).tolist())


def test_the_conditions_leave_unit_weights() -> None:
    """In any direction the region of weights reaches exactly as far as the unit weights."""
    generator = np.random.default_rng(6)
    for triple in random_triples(8):
        weights = Weights(*triple)
        objective = generator.normal(size=len(weights.place))
        ends = weights.extremes(objective, orders="xy xz zy")
        assert ends == pytest.approx([objective.sum()] * 2, abs=1e-7)


def test_the_restriction_alone_leaves_others() -> None:
    """So the test above isn't empty."""
    for triple in random_triples(3):
        weights = Weights(*triple)
        low, high = weights.extremes(np.eye(len(weights.place))[0])
        assert low < 0.9 < 1.1 < high


def test_one_order_makes_an_equality() -> None:
    """lambda + 1 = mu + theta at every pixel."""
    for triple in random_triples(4):
        weights = Weights(*triple)
        for row in weights.conditions("xy"):
            assert weights.extremes(row, orders="xy") == pytest.approx([1, 1], abs=1e-7)


def test_refinements_have_unit_weights() -> None:
    """H_U alone, where one partition refines the other, or no cycle of regions meets."""
    fine, coarse, crossing = [0, 0, 1, 2, 3, 3], [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    weights = Weights(coarse, fine, crossing)
    for cell, place in weights.place.items():
        if cell[0] in ("xy", "xz"):
            ends = weights.extremes(np.eye(len(weights.place))[place])
            assert ends == pytest.approx([1, 1], abs=1e-9)


# ---------------------------------------------------------------------- Theorem 5


def test_soft_segments_have_a_metric() -> None:
    """Jaccard's of rows: triangles of soft ones, and the union's form for a hard truth."""
    generator = np.random.default_rng(3)
    mass = generator.uniform(0.1, 3, 6)

    def apart(k: np.ndarray, other: np.ndarray) -> float:
        rows = abs(k - other) @ mass / (np.maximum(k, other) @ mass)
        return float(mass @ rows / mass.sum())

    for _ in range(200):
        one, two, three = generator.uniform(0, 1, (3, 6, 6)) ** generator.integers(1, 8)
        assert apart(one, two) <= apart(one, three) + apart(three, two) + 1e-12
        labels = generator.integers(0, 3, 6)
        truth = np.equal.outer(labels, labels).astype(float)
        a, b, c = one @ mass, truth @ mass, (one * truth) @ mass
        assert apart(one, truth) == pytest.approx(float(mass @ (1 - c / (a + b - c)) / mass.sum()))


# ---------------------------------------------------------------------- Theorem 6


def variance(x: list[int], y: list[int]) -> float:
    difference = np.equal.outer(x, x).astype(int) - np.equal.outer(y, y)
    rho, gram = (difference**2).sum(), difference @ difference
    return float(2 * rho**2 + 6 * (gram**2).sum() - 12 * (gram.diagonal() ** 2).sum() + 4 * rho)


def test_the_variance_of_the_sketch() -> None:
    """Mean and variance over all 2^4 x 2^4 signs, for every pair of partitions of 4 pixels."""
    signs = np.array(list(itertools.product((-1, 1), repeat=4)))
    for x, y in itertools.product(all_partitions(4), repeat=2):
        difference = np.equal.outer(x, x).astype(int) - np.equal.outer(y, y)
        squares = (signs @ difference @ signs.T) ** 2
        rho = reference.mirkin(x, y)
        assert squares.mean() == rho
        assert squares.var() == pytest.approx(variance(x, y), abs=1e-9)
        assert variance(x, y) <= 8 * rho**2


def test_projections_for_five_percent() -> None:
    """R = Var / rho^2 / 0.05^2: 8 gives 3200, and 5 gives 2000."""
    needed = {ratio: round(ratio / 0.05**2) for ratio in (1, 5, 8)}
    assert needed == {1: 400, 5: 2000, 8: 3200}
    for text in (r"R = 400 \operatorname{Var} / \rho^2$, at most 3200", "about 2000"):
        assert says(text)
    assert says(r"\operatorname{Var} / \rho^2 = 5 - 12 / N + 8 / N^2")
    for n in (2, 4, 10, 60):
        whole, halves = [0] * n, [0] * (n // 2) + [1] * (n // 2)
        expected = 5 - 12 / n + 8 / n**2
        assert variance(whole, halves) / reference.mirkin(whole, halves) ** 2 == pytest.approx(
            expected
        )
