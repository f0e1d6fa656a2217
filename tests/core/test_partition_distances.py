"""Distances of partitions: naive loops, other libraries, axioms, and very large tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import igraph
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import metrics as skimage_metrics
from sklearn import metrics as sklearn_metrics

from metriseg.partitions import (
    MEASURES,
    ContingencyTable,
    Measure,
    adapted_rand_error,
    adjusted_rand_index,
    check_metric_axioms,
    contingency_table,
    larsen_aone_dissimilarity,
    mirkin_distance,
    partition_distance,
    rand_index,
    split_and_merge,
    van_dongen_distance,
    variation_of_information,
)
from reference import partitions as reference

ORACLES: dict[str, Callable[[list[int], list[int]], float]] = {
    "partition_distance": reference.partition_distance,
    "mirkin_distance": reference.mirkin,
    "van_dongen_distance": reference.van_dongen,
    "variation_of_information": reference.variation_of_information,
    "split": lambda x, y: reference.entropy(y) - reference.mutual_information(x, y),
    "merge": lambda x, y: reference.entropy(x) - reference.mutual_information(x, y),
    "larsen_aone_dissimilarity": reference.larsen,
    "rand_index": reference.rand_index,
    "adjusted_rand_index": reference.adjusted_rand,
    "adapted_rand_error": reference.adapted_rand,
    "normalized_information_distance": reference.normalized_information_distance,
    "normalized_mutual_information": reference.normalized_mutual_information,
    "adjusted_mutual_information": reference.adjusted_mutual_information,
    "rand_split": reference.rand_split,
    "rand_merge": lambda x, y: reference.rand_split(y, x),
    "cremi_score": reference.cremi_score,
}

#: What the distance is divided by to be normalized.
WHOLE: dict[str, Callable[[list[int], list[int]], float]] = {
    "partition_distance": lambda x, y: len(x) ** 2,
    "mirkin_distance": lambda x, y: len(x) ** 2,
    "van_dongen_distance": lambda x, y: 2 * len(x),
    "variation_of_information": lambda x, y: (
        reference.entropy(x) + reference.entropy(y) - reference.mutual_information(x, y)
    ),
}

METRICS = [measure for measure in MEASURES.values() if measure.is_metric]


def random_pair(seed: int) -> tuple[list[int], list[int]]:
    """2 to 20 pixels of up to as many regions, or few."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(2, 21))
    m, k = generator.integers(1, n + 1, 2)
    return generator.integers(m, size=n).tolist(), generator.integers(k, size=n).tolist()


def relabelled(x: list[int], seed: int = 0) -> list[int]:
    names = np.random.default_rng(seed).permutation(10**6)
    return [int(names[label]) for label in x]


# Naive loops


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_values(name: str) -> None:
    for seed in range(10):
        x, y = random_pair(seed)
        for a, b in ((x, y), (relabelled(x), relabelled(y, 1)), (x, x), (x, relabelled(x))):
            found = MEASURES[name](contingency_table(a, b))
            assert type(found) is float
            assert found == pytest.approx(ORACLES[name](a, b), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_normalized_values(name: str) -> None:
    for seed in range(10):
        x, y = random_pair(seed)
        whole = WHOLE[name](x, y)
        expected = ORACLES[name](x, y) / whole if whole else 0.0
        found = MEASURES[name].normalized(contingency_table(x, y))
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert 0 <= found <= 1


def test_density() -> None:
    """A weight a pixel, and sums over several of them."""
    for seed in range(10):
        x, y = random_pair(seed)
        weight = np.random.default_rng(seed).uniform(0, 3, (3, len(x)))
        each = [reference.partition_distance(x, y, density=plane.tolist()) for plane in weight]
        table = contingency_table(x, y, weight=weight)
        assert partition_distance(table) == pytest.approx(sum(each), rel=1e-12)
        assert mirkin_distance(table.measure(1)) == pytest.approx(each[1], rel=1e-12)
        share = sum(each) / (weight.sum(1) ** 2).sum()
        assert partition_distance(table, normalized=True) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(
    "name", sorted(name for name in ORACLES if MEASURES[name].needs != "counts")
)
def test_weights_stand_for_pixels(name: str) -> None:
    """A pixel of weight 3 is three pixels, one of weight 0 none."""
    for seed in range(10):
        x, y = random_pair(seed)
        times = np.random.default_rng(seed).integers(1, 4, len(x))
        times[0] = 0
        many = contingency_table(np.repeat(x, times), np.repeat(y, times))
        heavy = contingency_table(x, y, weight=times.astype(float))
        assert MEASURES[name](heavy) == pytest.approx(MEASURES[name](many), rel=1e-12, abs=1e-12)


def test_the_mirkin_metric_counts_pairs() -> None:
    """= partition distance = N (N - 1) (1 - Rand) = ||A_X - A_Y||^2 of co-memberships."""
    for seed in range(10):
        x, y = random_pair(seed)
        table, n = contingency_table(x, y), len(x)
        together = [np.equal.outer(one, one).astype(int) for one in (x, y)]
        expected = int(((together[0] - together[1]) ** 2).sum())
        assert mirkin_distance(table) == partition_distance(table) == expected
        assert n * (n - 1) * (1 - rand_index(table)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_one_pixel_and_trivial_partitions(name: str) -> None:
    """Equal ones are at the best value, however little there is to compare."""
    for x in ([0], [0, 0, 0], [0, 1, 2]):
        found = MEASURES[name](contingency_table(x, x))
        assert found == MEASURES[name].best
        normalized = MEASURES[name].normalized
        assert normalized is None or normalized(contingency_table(x, x)) == 0
    apart = contingency_table([0, 0, 0], [0, 1, 2])
    extreme = {"rand_index": 0.0, "adjusted_rand_index": 0.0, "adapted_rand_error": 1.0}
    if name in extreme:
        assert MEASURES[name](apart) == extreme[name]


# Other libraries


@pytest.mark.parametrize("seed", range(10))
def test_scikit_image(seed: int) -> None:
    """Its entropies are in bits, of the second map given the first and the other way round."""
    generator = np.random.default_rng(seed)
    x, y = generator.integers(1, 9, (2, 12, 11))
    split, merge = split_and_merge(contingency_table(x, y))
    theirs = skimage_metrics.variation_of_information(x, y)
    np.testing.assert_allclose([split / math.log(2), merge / math.log(2)], theirs, rtol=1e-9)
    whole = variation_of_information(contingency_table(x, y)) / math.log(2)
    assert whole == pytest.approx(theirs.sum())
    error = skimage_metrics.adapted_rand_error(x, y, ignore_labels=())[0]
    assert adapted_rand_error(contingency_table(x, y)) == pytest.approx(error)
    for left_out in ((0,), (1,), (1, 4)):
        error = skimage_metrics.adapted_rand_error(x, y, ignore_labels=left_out)[0]
        table = contingency_table(x, y, ignore={"x": left_out})
        assert adapted_rand_error(table) == pytest.approx(error)


def test_scikit_image_knows_split_from_merge() -> None:
    """A truth of one region that the prediction halves: ln 2 of splits, no merge."""
    truth, prediction = np.zeros(4, int), np.array([0, 0, 1, 1])
    assert split_and_merge(contingency_table(truth, prediction)) == (math.log(2), 0)
    assert skimage_metrics.variation_of_information(truth, prediction).tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(10))
def test_scikit_learn(seed: int) -> None:
    x, y = random_pair(seed)
    table = contingency_table(x, y)
    assert rand_index(table) == pytest.approx(sklearn_metrics.rand_score(x, y))
    assert adjusted_rand_index(table) == pytest.approx(sklearn_metrics.adjusted_rand_score(x, y))
    dense = sklearn_metrics.cluster.contingency_matrix(x, y)
    np.testing.assert_array_equal(table.to_dense(), dense)


@pytest.mark.parametrize("seed", range(10))
def test_igraph(seed: int) -> None:
    x, y = random_pair(seed)
    table = contingency_table(x, y)
    for method, ours in (
        ("vi", variation_of_information),
        ("split-join", van_dongen_distance),
        ("rand", rand_index),
        ("adjusted_rand", adjusted_rand_index),
    ):
        theirs = igraph.compare_communities(x, y, method=method)
        if not math.isnan(theirs):
            assert ours(table) == pytest.approx(theirs, abs=1e-9)


# Axioms


@st.composite
def three_partitions(draw: st.DrawFn) -> tuple[list[list[int]], list[float], list[float]]:
    """Of up to 12 pixels, often refinements of each other, with weights and a feature."""
    n = draw(st.integers(1, 12))
    labels = st.lists(st.integers(0, 5), min_size=n, max_size=n)
    x, y = draw(labels), draw(labels)
    z = draw(st.one_of(labels, st.just([6 * a + b for a, b in zip(x, y, strict=True)])))
    numbers = st.lists(st.floats(1e-3, 1e3), min_size=n, max_size=n)
    return [x, y, z], draw(numbers), draw(numbers)


def is_same(x: list[int], y: list[int]) -> bool:
    return set(reference.blocks(x)) == set(reference.blocks(y))


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("measure", METRICS, ids=lambda measure: measure.name)
@given(three=three_partitions())
@settings(max_examples=40, deadline=None)
def test_axioms(
    measure: Measure, weighed: bool, three: tuple[list[list[int]], list[float], list[float]]
) -> None:
    """Identity, symmetry, triangle: of the distance and of its normalized form."""
    maps, weight, feature = three
    options: dict[str, Any] = {"weight": weight} if weighed else {}
    if measure.needs == "features":
        options["features"] = [feature]
    for distance in filter(None, (measure.function, measure.normalized)):
        d = [[distance(contingency_table(a, b, **options)) for b in maps] for a in maps]
        for i in range(3):
            assert d[i][i] == 0
            for j in range(3):
                assert (d[i][j] == 0) == is_same(maps[i], maps[j])
                assert d[i][j] >= 0
                assert d[i][j] == pytest.approx(d[j][i], rel=1e-12)
                assert all(d[i][j] <= (d[i][k] + d[k][j]) * (1 + 1e-9) for k in range(3))


@given(three=three_partitions(), planes=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_axioms_of_several_measures(
    three: tuple[list[list[int]], list[float], list[float]], planes: int
) -> None:
    """A kernel of low rank that is above 0 everywhere, because its first plane is."""
    maps, weight, other = three
    kernel = np.array([weight, other, weight[::-1]])[:planes]
    kernel[1:] *= np.random.default_rng(planes).integers(2, size=kernel[1:].shape)
    for distance in (partition_distance, MEASURES["partition_distance"].normalized):
        report = check_metric_axioms(maps, distance, weight=kernel)
        assert report, str(report)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("measure", METRICS, ids=lambda measure: measure.name)
def test_axioms_on_all_partitions(measure: Measure, n: int) -> None:
    """Of 1, 2, 3 and 4 pixels there are 1, 2, 5 and 15."""
    maps = reference.every_partition(n)
    assert len(maps) == [1, 2, 5, 15][n - 1]
    density = [0.5, 3.0, 1.0, 0.1][:n]
    features = [[0.0, 1.0, 5.0, -2.0][:n]] if measure.needs == "features" else None
    for distance in filter(None, (measure, measure.normalized)):
        for weight in (None, density):
            report = check_metric_axioms(maps, distance, weight=weight, features=features)
            assert report, str(report)


def test_the_dissimilarity_of_larsen_and_aone_is_no_metric() -> None:
    """5/12 > 1/6 + 1/6; of all partitions of 4 and 5 pixels 110 and 2820 triples break it."""
    x, z, y = [0, 0, 0, 1], [0, 0, 1, 2], [0, 0, 1, 0]
    report = check_metric_axioms([x, z, y], larsen_aone_dissimilarity)
    assert report.identity
    assert report.symmetry
    assert report.triangle.violations == 2
    assert report.triangle.witnesses[0].indices == (0, 1, 2)
    np.testing.assert_allclose(report.triangle.witnesses[0].distances, [5 / 12, 1 / 6, 1 / 6])
    for n, triples in ((4, 110), (5, 2820)):
        every = check_metric_axioms(reference.every_partition(n), "larsen_aone_dissimilarity")
        assert every.triangle.violations == triples


@pytest.mark.parametrize("name", ["split", "merge"])
def test_half_of_the_variation_of_information_is_no_metric(name: str) -> None:
    """0 for a refinement, and not symmetric."""
    report = check_metric_axioms([[0, 0], [0, 1]], name)
    assert not report.identity
    assert not report.symmetry


# Large numbers


def large_table(kind: str, seed: int = 0) -> ContingencyTable:
    """Regions of about 10^10 pixels: any, or equal but for a few pixels."""
    generator = np.random.default_rng(seed)
    if kind == "dense":
        x, y = np.divmod(generator.choice(400, 150, replace=False), 20)
        return ContingencyTable.from_cells(x, y, generator.integers(1, 10**10, 150))
    names = generator.permutation(300)
    sizes = generator.integers(10**9, 10**10, 300)
    strays = 0 if kind == "equal" else 5
    return ContingencyTable.from_cells(
        np.concatenate([np.arange(300), np.arange(strays)]),
        np.concatenate([names, names[1 : strays + 1]]),
        np.concatenate([sizes, np.ones(strays, np.int64)]),
    )


def exact(table: ContingencyTable) -> dict[str, Fraction | Decimal]:
    """In whole numbers, and 60 digits for logarithms."""
    cells = [
        (k, m, int(c))
        for k, m, c in zip(table.x_index, table.y_index, table.values.tolist(), strict=True)
    ]
    a, b = [0] * table.shape[0], [0] * table.shape[1]
    for k, m, c in cells:
        a[k] += c
        b[m] += c
    n = sum(a)
    pairs = n * (n - 1)
    both, in_x, in_y = (sum(s * (s - 1) for s in sizes) for sizes in ([c for *_, c in cells], a, b))
    mirkin = sum(s * s for s in a + b) - 2 * sum(c * c for *_, c in cells)
    best = [max(c for k, _, c in cells if k == row) for row in range(len(a))]
    best += [max(c for _, m, c in cells if m == column) for column in range(len(b))]
    expected = Fraction(in_x * in_y, pairs)
    with localcontext() as context:
        context.prec = 60
        split = -sum(Decimal(c) * (Decimal(c) / a[k]).ln() for k, _, c in cells) / n
        merge = -sum(Decimal(c) * (Decimal(c) / b[m]).ln() for _, m, c in cells) / n
        joint = -sum(Decimal(c) * (Decimal(c) / n).ln() for *_, c in cells) / n
        share = (split + merge) / joint
    return {
        "partition_distance": Fraction(mirkin),
        "mirkin_distance": Fraction(mirkin),
        "mirkin_distance normalized": Fraction(mirkin, n * n),
        "van_dongen_distance": Fraction(2 * n - sum(best)),
        "split": split,
        "merge": merge,
        "variation_of_information": split + merge,
        "variation_of_information normalized": share,
        "adapted_rand_error": 1 - Fraction(2 * both, in_x + in_y),
        "1 - rand_index": Fraction(mirkin, pairs),
        "1 - adjusted_rand_index": 1 - (both - expected) / (Fraction(in_x + in_y, 2) - expected),
    }


@pytest.mark.parametrize("kind", ["dense", "few", "equal"])
def test_huge_counts(kind: str) -> None:
    """To nearly all digits, also where the distance is 10^-10 of what it is a difference of."""
    table = large_table(kind)
    assert table.total > 10**11
    for name, expected in exact(table).items():
        base = name.removeprefix("1 - ").removesuffix(" normalized")
        measure = MEASURES[base]
        found = measure.normalized(table) if name.endswith("normalized") else measure(table)
        if name.startswith("1 - "):
            assert 1 - found == pytest.approx(float(expected), rel=1e-12, abs=3e-16), name
        else:
            assert found == pytest.approx(float(expected), rel=1e-12, abs=0), name


def test_a_pixel_out_of_ten_thousand_million() -> None:
    """One pixel on its own, of N = 10^10: 2 (N - 1) pairs, no index below 0 by rounding.

    The adjusted Rand index is 0, as one partition is trivial.
    """
    n = 10**10
    table = ContingencyTable.from_cells([0, 0], [0, 1], [n - 1, 1])
    assert mirkin_distance(table) == 2 * (n - 1)
    assert adjusted_rand_index(table) == 0
    assert van_dongen_distance(table) == 1
    expected = (-(n - 1) * math.log1p(-1 / n) + math.log(n)) / n
    assert variation_of_information(table) == pytest.approx(expected, rel=1e-12)
    assert variation_of_information(table, normalized=True) == 1


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_equal_partitions_are_exactly_at_the_best_value(name: str) -> None:
    """Whatever the numbers and the order of the names."""
    needs_counts = MEASURES[name].needs == "counts"
    generator = np.random.default_rng(0)
    for sizes in (generator.integers(1, 10**11, 500), generator.uniform(1e-9, 1e9, 500)):
        if needs_counts and sizes.dtype != np.int64:
            continue
        table = ContingencyTable.from_cells(np.arange(500), generator.permutation(500), sizes)
        assert MEASURES[name](table) == MEASURES[name].best
        stacked = MEASURES[name](ContingencyTable.stack([table, table]))
        assert stacked.tolist() == [MEASURES[name].best] * 2
        normalized = MEASURES[name].normalized
        assert normalized is None or normalized(table) == 0
    if needs_counts:
        return
    x = generator.integers(60, size=2000)
    weight = generator.uniform(0, 1, 2000)
    table = contingency_table(x, relabelled(x.tolist()), weight=weight)
    assert MEASURES[name](table) == MEASURES[name].best


# The table of measures


def test_the_names_are_those_of_functions() -> None:
    for name, measure in MEASURES.items():
        assert measure.name == name
        assert measure.needs in ("", "counts", "features", "objects")
        assert (measure.best == 0) == (measure.better == "lower")
    with pytest.raises(TypeError):
        MEASURES["mine"] = None  # type: ignore[index]
