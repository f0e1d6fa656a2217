"""Weighted partition distances: values, and the axioms of those that claim them."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from metriseg.partitions import (
    MEASURES,
    ArbitraryWeight,
    ContingencyTable,
    DiceWeight,
    FeatureWeight,
    KernelWeight,
    PartitionIndex,
    PowerWeight,
    ProductMeasure,
    RegionPairs,
    RegionWeight,
    SizeWeight,
    UnionWeight,
    UnitWeight,
    contingency_table,
    partition_distance,
    van_dongen_distance,
    variation_of_information,
    weighted_partition_distance,
)
from reference import partitions as reference

RECORDS = {
    record["id"]: record
    for record in json.loads(
        (Path(__file__).parents[1] / "reference" / "examples.json").read_text()
    )
}

Labels = list[int]


@dataclass
class Pixels:
    """A domain: R densities above 0 and F features of n pixels."""

    weight: np.ndarray
    features: np.ndarray

    def table(self, x: Labels, y: Labels) -> ContingencyTable:
        return contingency_table(x, y, weight=self.weight, features=self.features)

    def measure(self, block: frozenset[int], index: int = 0) -> float:
        return sum(float(self.weight[index, u]) for u in block)

    def mean(self, block: frozenset[int]) -> np.ndarray:
        weights = [self.weight[0, u] for u in block]
        return np.average([self.features[:, u] for u in block], axis=0, weights=weights)

    def unlike(self, a: frozenset[int], b: frozenset[int]) -> float:
        return float(np.linalg.norm(self.mean(a) - self.mean(b)))


def of_sets(distance: Callable[[Pixels, Any, Any], float]) -> Callable[..., float]:
    """The oracle of a family: a distance of sets, summed over the first measure of the pixels."""

    def value(pixels: Pixels, x: Labels, y: Labels) -> float:
        return reference.partition_distance(
            x,
            y,
            density=list(pixels.weight[0]),
            phi=lambda a, b: distance(pixels, a, b) / pixels.measure(a ^ b) if a != b else 0.0,
        )

    return value


def of_pairs(kernel: Callable[[Pixels, int, int], float]) -> Callable[..., float]:
    return lambda pixels, x, y: reference.pixel_pairs(x, y, lambda u, v: kernel(pixels, u, v))


ORACLES: dict[str, tuple[RegionWeight, Callable[[Pixels, Labels, Labels], float]]] = {
    "unit": (UnitWeight().of_measure(0), of_sets(lambda p, a, b: p.measure(a ^ b))),
    "union": (
        UnionWeight().of_measure(0),
        of_sets(lambda p, a, b: p.measure(a ^ b) / p.measure(a | b)),
    ),
    "power": (
        PowerWeight(0.3).of_measure(0),
        of_sets(lambda p, a, b: p.measure(a ^ b) ** 0.3),
    ),
    "size": (
        SizeWeight(2.0).of_measure(0),
        of_sets(lambda p, a, b: p.measure(a ^ b) + 2 * abs(p.measure(a) - p.measure(b))),
    ),
    "feature": (
        FeatureWeight(5.0).of_measure(0),
        of_sets(lambda p, a, b: p.measure(a ^ b) + 5 * p.unlike(a, b)),
    ),
    "product": (
        ProductMeasure(),
        of_pairs(lambda p, u, v: p.weight[0, u] * p.weight[1, v]),
    ),
    "kernel": (
        KernelWeight(),
        of_pairs(lambda p, u, v: sum(f[u] * f[v] for f in p.weight)),
    ),
}
METRICS = {name: weight for name, (weight, _) in ORACLES.items()} | {
    "sum": UnionWeight().of_measure(0) * 3
    + 0.25 * KernelWeight()
    + FeatureWeight(0.5).of_measure(0)
    + ProductMeasure(1, 2)
}
#: Whose roots are metrics, as far as is proved.
ROOTS: dict[str, RegionWeight] = {
    "dice": DiceWeight().of_measure(0),
    "dice and others": 3 * DiceWeight().of_measure(0) + UnionWeight().of_measure(1),
}
ORACLES["dice"] = (
    ROOTS["dice"],
    of_sets(lambda p, a, b: p.measure(a ^ b) / (p.measure(a) + p.measure(b))),
)
FAMILIES = METRICS | ROOTS

numbers = st.floats(0.01, 100.0)
signed = st.floats(-100.0, 100.0)


@st.composite
def triples(draw: Any, most: int = 8) -> tuple[Pixels, list[Labels]]:
    """Three partitions of a few pixels with random densities and features."""
    n = draw(st.integers(1, most))

    def planes(count: int, values: Any) -> np.ndarray:
        return np.array([draw(st.lists(values, min_size=n, max_size=n)) for _ in range(count)])

    labels = st.lists(st.integers(0, n - 1), min_size=n, max_size=n)
    return Pixels(planes(3, numbers), planes(2, signed)), [draw(labels) for _ in range(3)]


def canonical(labels: Labels) -> list[int]:
    """Equal for equal partitions."""
    return [labels.index(one) for one in labels]


def distance(pixels: Pixels, weight: RegionWeight, x: Labels, y: Labels) -> float:
    return weighted_partition_distance(pixels.table(x, y), weight)


def all_partitions(n: int) -> Iterator[Labels]:
    """Restricted growth strings: 52 for n = 5."""

    def grow(labels: Labels) -> Iterator[Labels]:
        if len(labels) == n:
            yield labels
            return
        for label in range(max(labels) + 2):
            yield from grow([*labels, label])

    yield from grow([0])


def some_pixels(n: int, seed: int = 0) -> Pixels:
    generator = np.random.default_rng(seed)
    return Pixels(generator.uniform(0.1, 4.0, (3, n)), generator.normal(size=(2, n)))


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize("family", ORACLES)
@given(given_triple=triples())
@settings(max_examples=25, deadline=None)
def test_values_are_those_of_plain_loops(family: str, given_triple: Any) -> None:
    pixels, (x, y, _) = given_triple
    weight, oracle = ORACLES[family]
    expected = oracle(pixels, x, y)
    assert distance(pixels, weight, x, y) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def record_labels(name: str) -> tuple[np.ndarray, np.ndarray]:
    record = RECORDS[name]
    return np.array(record["maps"]["prediction"]), np.array(record["target"])


def test_a_density() -> None:
    """``partition_3_measure``."""
    x, y = record_labels("partition_3_measure")
    record = RECORDS["partition_3_measure"]
    table = contingency_table(x, y, weight=np.array(record["maps"]["density"]))
    assert weighted_partition_distance(table) == pytest.approx(record["expected"])


def test_a_table_of_weights() -> None:
    """``partition_4``: an arbitrary phi, one number for each pair of regions."""
    x, y = record_labels("partition_4")
    phi = np.array(RECORDS["partition_4"]["params"]["phi"])
    table = contingency_table(x, y)
    given_phi = ArbitraryWeight(lambda pairs: phi[table.x_index, table.y_index])
    assert weighted_partition_distance(table, given_phi) == RECORDS["partition_4"]["expected"]


def test_the_mean_jaccard_distance() -> None:
    """``partition_jaccard``: 2 * 2/4 + 1 * 4/5 + 1 * 4/5 + 2 * 2/4 = 3.6."""
    x, y = record_labels("partition_jaccard")
    found = weighted_partition_distance(contingency_table(x, y), UnionWeight())
    assert found == pytest.approx(RECORDS["partition_jaccard"]["expected"])


def test_unit_weight_is_the_partition_distance() -> None:
    generator = np.random.default_rng(3)
    x, y = generator.integers(0, 9, (2, 20, 30))
    table = contingency_table(x, y)
    for normalized in (False, True):
        found = weighted_partition_distance(table, normalized=normalized)
        assert found == partition_distance(table, normalized=normalized)
    bins = generator.uniform(size=(4, 20, 30))
    table = contingency_table(x, y, weight=bins)
    found = weighted_partition_distance(table, KernelWeight(), normalized=True)
    assert found == pytest.approx(partition_distance(table, normalized=True))


def test_densities_change_places() -> None:
    """sum mu(x delta y) nu(x and y) counts each pair of pixels once from either end."""
    pixels = some_pixels(7)
    x, y = [0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 1, 0, 2]
    found = distance(pixels, ProductMeasure(0, 1), x, y)
    assert found == pytest.approx(distance(pixels, ProductMeasure(1, 0), x, y))


def test_normalized_is_at_most_one() -> None:
    """The farthest pair, everything in one region against single pixels, stays below the bound."""
    pixels = some_pixels(40)
    table = pixels.table([0] * 40, list(range(40)))
    for name, weight in FAMILIES.items():
        if name not in ("feature", "sum"):
            assert 0.3 < weighted_partition_distance(table, weight, normalized=True) < 1, name
    mixed = 2 * UnionWeight().of_measure(0) + UnitWeight().of_measure(1)
    bound = 2 * pixels.weight[0].sum() + pixels.weight[1].sum() ** 2
    found = weighted_partition_distance(table, mixed, normalized=True)
    assert found == pytest.approx(weighted_partition_distance(table, mixed) / bound)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_gives_what_its_tables_give(family: str) -> None:
    pixels, weight = some_pixels(12), FAMILIES[family]
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 5, (6, 2, 12))
    tables = [pixels.table(x, y) for x, y in labels]
    stack = ContingencyTable.stack(tables)
    single = [weighted_partition_distance(table, weight) for table in tables]
    np.testing.assert_allclose(weighted_partition_distance(stack, weight), single, rtol=1e-12)
    if family not in ("feature", "sum"):
        single = [weighted_partition_distance(t, weight, normalized=True) for t in tables]
        found = weighted_partition_distance(stack, weight, normalized=True)
        np.testing.assert_allclose(found, single, rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_add_up(family: str) -> None:
    """The tables of an image's tiles make the whole's distance."""
    generator = np.random.default_rng(2)
    x, y = generator.integers(0, 6, (2, 16, 24))
    pixels = Pixels(generator.uniform(0.1, 2, (3, 16, 24)), generator.normal(size=(2, 16, 24)))
    whole = contingency_table(x, y, weight=pixels.weight, features=pixels.features)
    tiles = ContingencyTable()
    for rows, columns in itertools.product(
        (slice(0, 5), slice(5, 16)), (slice(0, 9), slice(9, 24))
    ):
        tiles.update(
            x[rows, columns],
            y[rows, columns],
            weight=pixels.weight[:, rows, columns],
            features=pixels.features[:, rows, columns],
        )
    found = weighted_partition_distance(tiles, FAMILIES[family])
    assert found == pytest.approx(weighted_partition_distance(whole, FAMILIES[family]), rel=1e-12)


def test_measures_that_vanish() -> None:
    """Where one measure is 0 its weights add 0, without a warning."""
    weight = np.array([[1.0, 0.0, 0.0, 2.0], [1.0, 1.0, 3.0, 0.0]])
    features = np.array([[0.5, 9.0, 9.0, 0.25]])
    table = contingency_table([0, 1, 1, 2], [0, 1, 0, 2], weight=weight, features=features)
    kept = contingency_table([0, 2], [0, 2], weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="weight must have a first measure above 0"):
        _ = table.x_features
    for one in (UnitWeight(), UnionWeight(), PowerWeight(), SizeWeight(), FeatureWeight()):
        assert weighted_partition_distance(table, one.of_measure(0)) == 0
    assert weighted_partition_distance(kept) == 0
    with pytest.raises(ValueError, match="features must be given"):
        weighted_partition_distance(table, FeatureWeight().of_measure(1))


# ---------------------------------------------------------------------- axioms


@pytest.mark.parametrize("family", FAMILIES)
@given(given_triple=triples())
@settings(max_examples=50, deadline=None)
def test_axioms(family: str, given_triple: Any) -> None:
    """Identity, positivity, symmetry and the triangle inequality; of some weights, of the root."""
    pixels, (x, y, z) = given_triple
    weight = FAMILIES[family]
    assert weight.root_is_metric
    assert weight.is_metric == (family in METRICS)
    xy, yx, xz, zy = (
        distance(pixels, weight, *pair) ** (1.0 if weight.is_metric else 0.5)
        for pair in ((x, y), (y, x), (x, z), (z, y))
    )
    assert distance(pixels, weight, x, x) == 0
    assert (xy == 0) == (canonical(x) == canonical(y))
    assert xy >= 0
    assert yx == pytest.approx(xy, rel=1e-9)
    assert xy <= (xz + zy) * (1 + 1e-9)


@pytest.fixture(scope="module")
def every_pair() -> tuple[int, Any, Any]:
    """All 52 x 52 pairs of partitions of 5 pixels: weighted tables, and counts."""
    pixels, partitions = some_pixels(5, seed=4), list(all_partitions(5))
    pairs = list(itertools.product(partitions, partitions))
    weighted = ContingencyTable.stack([pixels.table(x, y) for x, y in pairs])
    counted = [contingency_table(x, y, features=pixels.features) for x, y in pairs]
    return len(partitions), weighted, ContingencyTable.stack(counted)


def largest_excess(distances: np.ndarray) -> float:
    """The most by which a side exceeds the two others together."""
    return float((distances - (distances[:, :, None] + distances[None]).min(1)).max())


def matrix(every_pair: Any, weight: RegionWeight, *, counts: bool = False) -> np.ndarray:
    size, weighted, counted = every_pair
    found = weighted_partition_distance(counted if counts else weighted, weight)
    return found.reshape(size, size)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_triple_of_partitions_of_five_pixels(every_pair: Any, family: str) -> None:
    distances = matrix(every_pair, FAMILIES[family])
    if family in ROOTS:
        distances = np.sqrt(distances)
    np.testing.assert_allclose(distances, distances.T, rtol=1e-12)
    assert not distances.diagonal().any()
    assert (distances + np.eye(len(distances)) > 0).all()
    assert largest_excess(distances) < 1e-12 * distances.max()


@pytest.mark.parametrize("counts", [False, True])
def test_the_root_of_dice_is_euclidean(every_pair: Any, counts: bool) -> None:
    """N less the distance is an inner product: no eigenvalue of its matrix is below 0.

    Its diagonal is N: the distance is half the square of that of two points on a sphere.
    """
    distances = matrix(every_pair, DiceWeight().of_measure(0), counts=counts)
    size = 5 if counts else some_pixels(5, seed=4).weight[0].sum()
    assert np.linalg.eigvalsh(size - distances).min() > -1e-12


def test_dice_by_hand() -> None:
    """(3, 3) against (3, 3), cells 2, 1, 1, 2: 2 (1 - 4/6) + 2/3 + 2/3 + 2/3 is 8/3; 6 - 10/3 too.

    Of the cells 4, 1, 1, 4 by squares, the sum of 2 C²/(a + b) is (4 + 1 + 1 + 4) / 3.
    """
    table = contingency_table([0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1])
    assert weighted_partition_distance(table, DiceWeight()) == pytest.approx(8 / 3)
    assert weighted_partition_distance(table, DiceWeight(), normalized=True) == pytest.approx(4 / 9)


def test_no_more_is_promised_than_is_proved() -> None:
    """A search by it would need the triangle inequality of the distance itself."""
    weight = DiceWeight() + UnitWeight()
    assert (weight.is_metric, weight.root_is_metric) == (False, True)
    assert (2 * DiceWeight()).root_is_metric
    assert not (DiceWeight() + ArbitraryWeight(lambda pairs: pairs.x_sizes)).root_is_metric
    with pytest.raises(ValueError, match=r"distance must be a metric, got DiceWeight\(\)"):
        PartitionIndex([[0, 1]], DiceWeight())


# ---------------------------------------------------------------------- tiny and huge measures


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e200])
@pytest.mark.parametrize("name", ["partition_distance", "mirkin_distance"])
def test_products_that_leave_the_floats(scale: float, name: str) -> None:
    """Regions of 3 pixels, cells of 2, 1, 1, 2: 16 squared weights of 36.

    The share is 4/9 whatever the weight. The distance is 16 w²: 1.6e-399 is no float, and 0 would
    say that the partitions are equal. Equal ones are at 0 still.
    """
    measure = MEASURES[name]
    x, y, weight = [0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1], np.full(6, scale)
    table = contingency_table(x, y, weight=weight)
    assert measure.normalized(table) == pytest.approx(4 / 9, rel=1e-12)
    with pytest.raises(ValueError, match=rf"weight must be .* for {name}, .* multiply the weights"):
        measure(table)
    same = contingency_table(x, x, weight=weight)
    assert measure(same) == measure.normalized(same) == 0
    both = ContingencyTable.stack([same, contingency_table(x, y, weight=np.ones(6))])
    assert measure(both).tolist() == [0, 16]


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e200])
@pytest.mark.parametrize("normalized", [False, True])
def test_weighted_products_that_leave_the_floats(scale: float, normalized: bool) -> None:
    """The same of weights of regions, and no number in between that has lost its digits.

    The union's distance isn't a product of measures: 3.6 of 6.
    """
    x, y = [0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]
    table = contingency_table(x, y, weight=np.full(6, scale))
    for weight in (UnitWeight(), SizeWeight(), KernelWeight(), ProductMeasure(0, 0)):
        with pytest.raises(ValueError, match=r"weight must be .* weighted_partition_distance"):
            weighted_partition_distance(table, weight, normalized=normalized)
    with pytest.raises(ValueError, match="weight must be of numbers whose products float64 holds"):
        PartitionIndex([x, y], UnitWeight(), weight=np.full(6, scale))
    found = weighted_partition_distance(table, UnionWeight(), normalized=normalized)
    assert found == pytest.approx(0.6 if normalized else 3.6 * scale)


def test_a_negligible_pixel_is_no_reason_to_refuse() -> None:
    """Its own products vanish beside those of the others: 2 (1 + 1e-200) (1) is 2."""
    table = contingency_table([0, 0, 1], [0, 1, 2], weight=[1.0, 1.0, 1e-300])
    assert partition_distance(table) == 2.0


def test_sums_that_leave_the_floats() -> None:
    """1e308 twice is above 1.8e308."""
    table = contingency_table([0, 0], [0, 1], weight=[1e308, 1e308])
    for distance in (partition_distance, variation_of_information, van_dongen_distance):
        with pytest.raises(ValueError, match="weight must add up to what float64 holds"):
            distance(table)


@pytest.mark.parametrize(
    "weight",
    [UnitWeight(), UnionWeight(), PowerWeight(0.5), SizeWeight(3), FeatureWeight(2)],
    ids=repr,
)
def test_every_triple_of_counted_partitions(every_pair: Any, weight: RegionWeight) -> None:
    distances = matrix(every_pair, weight, counts=True)
    assert largest_excess(distances) < 1e-12 * distances.max()


NATURAL: dict[str, Callable[[RegionPairs], np.ndarray]] = {
    "1 + feature difference": lambda p: 1 + np.linalg.norm(p.x_features - p.y_features, axis=1),
    "exp(-feature difference)": lambda p: np.exp(
        -np.linalg.norm(p.x_features - p.y_features, axis=1)
    ),
    "1 / smaller size": lambda p: 1 / np.minimum(p.x_sizes, p.y_sizes),
    "1 / root of both sizes": lambda p: 1 / np.sqrt(p.x_sizes * p.y_sizes),
    "1 + symmetric difference": lambda p: 1 + p.apart,
}


@pytest.mark.parametrize("name", NATURAL)
def test_natural_weights_violate(every_pair: Any, name: str) -> None:
    """Each symmetric and positive; some triple of partitions of five pixels refutes it."""
    distances = matrix(every_pair, ArbitraryWeight(NATURAL[name]), counts=True)
    np.testing.assert_allclose(distances, distances.T, rtol=1e-12)
    assert largest_excess(distances) > 1e-3


def test_hypothesis_finds_a_violation_of_an_arbitrary_weight() -> None:
    """1 + difference of mean features, on random partitions."""
    weight = ArbitraryWeight(NATURAL["1 + feature difference"])

    def violated(given_triple: Any) -> bool:
        pixels, (x, y, z) = given_triple

        def between(a: Labels, b: Labels) -> float:
            table = contingency_table(a, b, features=pixels.features)
            return weighted_partition_distance(table, weight)

        return between(x, y) > between(x, z) + between(z, y) + 1e-6

    found = find(
        triples(most=5),
        violated,
        settings=settings(max_examples=3000, deadline=None, database=None, phases=[Phase.generate]),
        random=random.Random(0),
    )
    assert violated(found)


def test_brightness_counterexample() -> None:
    """``triangle_counterexample_brightness``: 26/3 > 6 + 2.

    One region has mean 1/3. Of single pixels 1 and 2: 2 (1 + 1/3) each, of 3: 2 (1 + 2/3): 26/3.
    To {1, 2}: 2 (1 + 1/3), to {3}: 2 (1 + 2/3): 6. From {1, 2} to its pixels: 1 + 1.
    """
    record = RECORDS["triangle_counterexample_brightness"]
    grey = np.array([record["params"]["grey"]], float)
    weight = ArbitraryWeight(NATURAL["1 + feature difference"])
    for pair, expected in record["expected"].items():
        x, y = (record["target"][name] for name in pair)
        table = contingency_table(x, y, features=grey)
        assert weighted_partition_distance(table, weight) == pytest.approx(expected)
    assert not weight.is_metric


def test_counterexample_within_the_restriction() -> None:
    """``triangle_counterexample_HU``: row and column sums equal the block sizes, yet 13 > 6 + 6."""
    record = RECORDS["triangle_counterexample_HU"]
    x, y, z = (record["target"][name] for name in "XYZ")
    alpha = np.array(record["params"]["alpha_XY"])
    table = contingency_table(x, y)
    sums = alpha * table.to_dense()
    assert sums.sum(1).tolist() == record["expected"]["row_sums"] == table.x_sizes.tolist()
    assert sums.sum(0).tolist() == record["expected"]["col_sums"] == table.y_sizes.tolist()
    weight = ArbitraryWeight(lambda pairs: alpha[table.x_index, table.y_index])
    assert weighted_partition_distance(table, weight) == record["expected"]["XY"]
    assert weighted_partition_distance(contingency_table(x, z)) == record["expected"]["XZ"]
    assert weighted_partition_distance(contingency_table(z, y)) == record["expected"]["ZY"]


def test_counterexample_under_the_conditions() -> None:
    """``triangle_counterexample_conditions``: 12 > 6 + 3 on a chain of refinements."""
    record = RECORDS["triangle_counterexample_conditions"]
    params, target = record["params"], record["target"]
    factors = {"XY": params["lambda_XY"], "XZ": params["mu_XZ"], "ZY": params["theta_ZY"]}
    for pair, factor in factors.items():
        table = contingency_table(*(target[name] for name in pair))
        weight = ArbitraryWeight(lambda pairs, factor=factor: np.full(len(pairs.shared), factor))
        assert weighted_partition_distance(table, weight) == record["expected"][pair]


# ---------------------------------------------------------------------- weights as objects


def test_sums_and_multiples() -> None:
    table = contingency_table([0, 0, 0, 1], [0, 0, 1, 1])
    unit, union = UnitWeight(), UnionWeight()
    one, other = (weighted_partition_distance(table, w) for w in (unit, union))
    for weight, expected in (
        (unit + union, one + other),
        (2 * unit + union * 0.5, 2 * one + 0.5 * other),
        (np.float64(3) * union, 3 * other),
        (3 * (unit + union), 3 * (one + other)),
        (sum([unit, union, union]), one + 2 * other),
    ):
        assert isinstance(weight, RegionWeight)
        assert weight.is_metric
        assert weighted_partition_distance(table, weight) == pytest.approx(expected)
    assert unit + union == UnitWeight() + UnionWeight() != union + unit
    arbitrary = ArbitraryWeight(lambda pairs: pairs.shared)
    for weight in (unit + arbitrary, 2 * arbitrary, arbitrary.of_measure(0)):
        assert not weight.is_metric
    for factor in (0, -1.0, np.inf, np.nan, "two"):
        with pytest.raises(ValueError, match="factor"):
            factor * unit
    with pytest.raises(TypeError):
        unit + 1


def test_labels_of_tensors() -> None:
    x, y = torch.tensor([[0, 0, 0], [1, 1, 1]]), torch.tensor([[0, 0, 1], [0, 1, 1]])
    found = weighted_partition_distance(contingency_table(x, y), UnionWeight())
    assert found == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: FeatureWeight(-1), "scale"),
        (lambda: SizeWeight(np.nan), "scale"),
        (lambda: PowerWeight(0), "power"),
        (lambda: PowerWeight(1.5), "power"),
        (lambda: ProductMeasure(-1, 0), "outside"),
        (lambda: ProductMeasure(0, 0.5), "inside"),
        (lambda: UnitWeight().of_measure(-1), "index"),
        (lambda: ArbitraryWeight(3), "phi"),
    ],
)
def test_bad_parameters(make: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (FeatureWeight(), "features must be given"),
        (ProductMeasure(), "ProductMeasure needs measures 0 and 1"),
        (ProductMeasure(2, 0), "ProductMeasure needs measures 2 and 0"),
        (UnitWeight().of_measure(1), "index must be in 0 … 0"),
        (lambda pairs: 1, "ArbitraryWeight"),
        (ArbitraryWeight(lambda pairs: 1.0), "phi must return a number for each"),
        (ArbitraryWeight(lambda pairs: pairs.shared[:, None]), "phi must return a number for"),
        (ArbitraryWeight(lambda pairs: pairs.shared > 0), "phi must return a number for each"),
        (ArbitraryWeight(lambda pairs: pairs.shared - 1), "phi must return finite numbers above 0"),
        (ArbitraryWeight(lambda pairs: pairs.shared * np.nan), "phi must return finite numbers"),
        (ArbitraryWeight(lambda pairs: pairs.x_features[:, 0]), "features must be given"),
    ],
)
def test_tables_and_weights_that_do_not_fit(weight: Any, message: str) -> None:
    for table in (
        contingency_table([0, 0, 1, 1], [0, 0, 0, 1]),
        ContingencyTable.stack([contingency_table([0, 0, 1, 1], [0, 0, 0, 1])]),
    ):
        with pytest.raises(ValueError, match=message):
            weighted_partition_distance(table, weight)


@pytest.mark.parametrize(
    "weight",
    [
        UnitWeight(),
        UnionWeight(),
        PowerWeight(),
        SizeWeight(),
        FeatureWeight(),
        ArbitraryWeight(lambda pairs: pairs.shared),
    ],
    ids=lambda weight: type(weight).__name__,
)
def test_one_measure_at_a_time(weight: RegionWeight) -> None:
    table = some_pixels(3).table([0, 0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match=f"{type(weight).__name__} takes a table of one measure"):
        weighted_partition_distance(table, weight)


@pytest.mark.parametrize("weight", [FeatureWeight(), ArbitraryWeight(lambda pairs: pairs.shared)])
def test_unbounded_weights_have_no_normalized_form(weight: RegionWeight) -> None:
    table = contingency_table([0, 0, 1], [0, 1, 1], features=[[1.0, 2.0, 3.0]])
    for one in (weight, UnionWeight() + weight, 2 * weight):
        with pytest.raises(ValueError, match=f"normalized .* for {type(weight).__name__}"):
            weighted_partition_distance(table, one, normalized=True)
