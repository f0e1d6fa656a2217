"""Search finds what brute force finds, ties included, with fewer distances."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.partitions import MEASURES, Measure, PartitionIndex, contingency_table
from reference import partitions as reference
from reference import search

Maps = list[np.ndarray]

ORACLES: dict[str, search.Distance] = {
    "partition_distance": reference.mirkin,
    "mirkin_distance": reference.mirkin,
    "van_dongen_distance": reference.van_dongen,
    "variation_of_information": reference.variation_of_information,
    "normalized_information_distance": reference.normalized_information_distance,
}
#: Whole numbers, of which ties are exact.
WHOLE = ("partition_distance", "mirkin_distance", "van_dongen_distance")


class UnionTerms:
    """mu(x delta y) mu(x and y) / mu(x or y): proven a metric."""

    is_metric = True

    def cells(self, table: Any) -> np.ndarray:
        a, b = table.x_sizes[table.x_index], table.y_sizes[table.y_index]
        return (a + b - 2 * table.values) * table.values / (a + b - table.values)


class FeatureTerms:
    """(mu(x delta y) + |difference of mean features|) mu(x and y): proven a metric."""

    is_metric = True

    def cells(self, table: Any) -> np.ndarray:
        a, b = table.x_sizes[table.x_index], table.y_sizes[table.y_index]
        means = table.x_features[table.x_index] - table.y_features[table.y_index]
        return (a + b - 2 * table.values + np.abs(means[:, 0])) * table.values


def random_partitions(count: int, shape: tuple[int, ...], seed: int = 0) -> Maps:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, draw.integers(1, 7), shape) for _ in range(count)]


def clusters(centres: int, members: int, seed: int = 0) -> Maps:
    """Blocks of random sizes along a line of 200 pixels, and copies with a few pixels changed."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(centres):
        cuts = np.sort(draw.integers(0, 200, draw.integers(2, 12)))
        centre = np.searchsorted(cuts, np.arange(200))
        for _ in range(members):
            copy = centre.copy()
            copy[draw.integers(0, 200, 5)] = draw.integers(0, 12, 5)
            found.append(copy)
    return found


def brute_force(index: PartitionIndex, query: Any, partitions: Maps) -> tuple[Any, Any]:
    """With the index's own function of tables; ties in the order of indices."""
    found = []
    for other in partitions:
        table = contingency_table(query, other, weight=index._weight, features=index._features)
        found.append(float(index._function(table)))
    order = np.argsort(found, kind="stable")
    return np.array(found)[order], order


@pytest.mark.parametrize("name", ORACLES)
def test_neighbours_are_those_of_plain_loops(name: str) -> None:
    partitions = random_partitions(30, (9,))
    index = PartitionIndex(partitions, name, pivots=4, sample=10)
    assert list(ORACLES) == [key for key in ORACLES if MEASURES[key].is_metric]
    for query in random_partitions(6, (9,), seed=1):
        expected = search.nearest(query, partitions, ORACLES[name])
        distances, indices = index.query(query, k=5)
        np.testing.assert_allclose(distances, [pair[0] for pair in expected[:5]], atol=1e-12)
        radius = expected[7][0] + 1e-9
        near, where = index.query_radius(query, radius)
        within = [pair for pair in expected if pair[0] <= radius]
        assert sorted(where) == sorted(pair[1] for pair in within)
        np.testing.assert_allclose(near, [pair[0] for pair in within], atol=1e-12)
        if name in WHOLE:
            assert [int(i) for i in indices] == [pair[1] for pair in expected[:5]]


@pytest.mark.parametrize(
    ("pivots", "sample"), [(16, 256), (1, 1), (3, 3), (3, 20), (None, 256), (500, 7)]
)
@pytest.mark.parametrize(
    "distance",
    [*(name for name, one in MEASURES.items() if one.is_metric and not one.needs), UnionTerms()],
    ids=lambda given: given if isinstance(given, str) else type(given).__name__,
)
def test_answers_are_those_of_brute_force(distance: Any, pivots: int | None, sample: int) -> None:
    """To the last bit, of queries near and far and of the partitions themselves."""
    partitions = clusters(8, 4) + clusters(1, 2)[:1] * 3
    index = PartitionIndex(partitions, distance, pivots, sample=sample, seed=2)
    queries = clusters(3, 1, seed=0) + random_partitions(2, (200,)) + partitions[-1:]
    for query in queries:
        expected, order = brute_force(index, query, partitions)
        for k in (1, 3, len(partitions)):
            distances, indices = index.query(query, k)
            np.testing.assert_array_equal(distances, expected[:k])
            np.testing.assert_array_equal(indices, order[:k])
        near, where = index.query_radius(query, expected[4])
        inside = expected <= expected[4]
        np.testing.assert_array_equal(near, expected[inside])
        np.testing.assert_array_equal(where, order[inside])


@pytest.mark.parametrize("distance", ["partition_distance", UnionTerms(), FeatureTerms()])
def test_weights_and_features(distance: Any, tmp_path: Path) -> None:
    partitions, draw = clusters(8, 4), np.random.default_rng(4)
    weight, features = draw.random(200), draw.random((2, 200))
    index = PartitionIndex(partitions, distance, 5, sample=12, weight=weight, features=features)
    path = tmp_path / "kept.npz"
    index.save(path)
    given = None if isinstance(distance, str) else distance
    again = PartitionIndex.load(path, given)
    for query in clusters(3, 1, seed=0):
        expected, order = brute_force(index, query, partitions)
        for one in (index, again):
            distances, indices = one.query(query, 4)
            np.testing.assert_array_equal(distances, expected[:4])
            np.testing.assert_array_equal(indices, order[:4])


def test_several_measures() -> None:
    """A kernel's planes: the partition distance of a table of several measures."""
    partitions = clusters(6, 4)
    planes = np.random.default_rng(5).random((3, 200))
    index = PartitionIndex(partitions, "partition_distance", 4, sample=10, weight=planes)
    for query in clusters(3, 1, seed=0):
        expected, order = brute_force(index, query, partitions)
        distances, indices = index.query(query, 4)
        np.testing.assert_array_equal(distances, expected[:4])
        np.testing.assert_array_equal(indices, order[:4])


@pytest.mark.parametrize("pivots", [8, 16, None])
@pytest.mark.parametrize("name", ORACLES)
def test_clusters_need_few_distances(name: str, pivots: int | None) -> None:
    """Fewer than half of brute force's, counting the pivots; brute force computes 119."""
    partitions = clusters(30, 4)
    index = PartitionIndex(partitions, name, pivots, sample=40)
    chosen = range(0, 120, 7)
    for number in chosen:
        index.query(partitions[number], exclude=number)
        assert 1 <= index.evaluations <= 119
    index.query([partitions[number] for number in chosen], exclude=list(chosen))
    assert index.evaluations < len(chosen) * 119 / 2


def test_counts_of_building() -> None:
    """All pairs of the sample (10 of 5 partitions), then each pivot and the rest (2 x 3)."""
    partitions = random_partitions(8, (6,))
    assert PartitionIndex(partitions, pivots=2, sample=5).build_evaluations == 10 + 2 * 3
    assert PartitionIndex(partitions, pivots=2).build_evaluations == 8 * 7 // 2
    assert PartitionIndex(partitions, pivots=None, sample=2).build_evaluations == 8 * 7 // 2
    assert PartitionIndex(partitions, pivots=3, sample=1).build_evaluations == 3 + 3 * 5
    assert PartitionIndex(partitions[:1]).build_evaluations == 0
    assert PartitionIndex(partitions).evaluations == 0


def test_every_distance_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    vi = MEASURES["variation_of_information"]

    def counted(table: Any) -> Any:
        nonlocal calls
        calls += 1 if not hasattr(table, "__len__") else len(table)
        return vi.function(table)

    measure = dataclasses.replace(vi, name="counted", function=counted)
    index = PartitionIndex(clusters(10, 3), measure, 4, sample=9)
    assert calls == index.build_evaluations
    index.query(clusters(2, 1), k=2)
    assert calls == index.build_evaluations + index.evaluations


def test_excluded_is_as_if_it_were_not_there() -> None:
    partitions = clusters(10, 3)
    index = PartitionIndex(partitions, pivots=None)
    for number in (0, 7, 29):
        rest = [p for place, p in enumerate(partitions) if place != number]
        distances, indices = index.query(partitions[number], k=29, exclude=number)
        expected, order = brute_force(index, partitions[number], rest)
        np.testing.assert_array_equal(distances, expected)
        np.testing.assert_array_equal(indices, order + (order >= number))
        assert number not in index.query_radius(partitions[number], 9.0, exclude=number)[1]


def test_shapes_of_answers() -> None:
    partitions = np.stack(random_partitions(6, (2, 5)))
    index = PartitionIndex(partitions, "mirkin_distance")
    for several in (partitions[:3], list(partitions[:3]), torch.from_numpy(partitions[:3])):
        distances, indices = index.query(several, 2)
        assert distances.shape == indices.shape == (3, 2)
        assert distances.dtype == np.float64
        assert indices.dtype == np.int64
        for number in range(3):
            one = index.query(torch.from_numpy(partitions[number]), 2)
            np.testing.assert_array_equal(one[0], distances[number])
            np.testing.assert_array_equal(one[1], indices[number])
        near, where = index.query_radius(several, 30)
        assert near.shape == where.shape == (3,)
        assert near.dtype == where.dtype == object
        for number in range(3):
            one = index.query_radius(partitions[number].tolist(), 30)
            np.testing.assert_array_equal(one[0], near[number])
            np.testing.assert_array_equal(one[1], where[number])
    assert index.query(partitions[:0])[0].shape == (0, 1)


def test_radius_is_inclusive() -> None:
    """Mirkin from one region of 3 to 2 + 1 is 4, to singletons 6."""
    index = PartitionIndex([[0, 0, 1], [0, 1, 2], [5, 5, 5]], "mirkin_distance")
    assert index.query_radius([0, 0, 0], 4)[1].tolist() == [2, 0]
    assert index.query_radius([0, 0, 0], 3.99)[1].tolist() == [2]
    assert index.query_radius([0, 0, 0], 0)[0].tolist() == [0.0]


def test_labels_are_names_only() -> None:
    """Any numbers up to 2^63 - 1 name the same regions."""
    partitions = random_partitions(12, (30,))
    strange = [labels * 2**60 + 5 for labels in partitions]
    index, other = PartitionIndex(partitions), PartitionIndex(strange)
    for one, two in zip(index.query(strange, 3), other.query(partitions, 3), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("pivots", [3, None])
def test_saved_index_answers_alike(pivots: int | None, tmp_path: Path) -> None:
    partitions = [*clusters(10, 3), np.arange(200) * 3]
    index = PartitionIndex(partitions, "van_dongen_distance", pivots, sample=8)
    path = tmp_path / "no_ending"
    index.save(path)
    again = PartitionIndex.load(path)
    assert repr(again) == repr(index)
    assert again.build_evaluations == index.build_evaluations
    assert again.evaluations == 0
    queries = clusters(4, 1, seed=3)
    for one, two in zip(index.query(queries, 4), again.query(queries, 4), strict=True):
        np.testing.assert_array_equal(one, two)
    assert again.evaluations == index.evaluations
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    for content in ({"version": 99, "mutual": 0}, {"other": np.zeros(3)}):
        np.savez(path, **content)
        with pytest.raises(ValueError, match="path must be an index of version 1"):
            PartitionIndex.load(path)
    path.write_bytes(b"not a file of arrays")
    with pytest.raises(ValueError, match="path must be a file that save wrote"):
        PartitionIndex.load(path)
    np.savez(path, version=1, mutual=np.array([{}], object))
    with pytest.raises(ValueError, match="path must be a file that save wrote"):
        PartitionIndex.load(path)


SMALL = PartitionIndex(random_partitions(9, (3, 5)), pivots=3, sample=5, weight=np.ones((3, 5)))


def kept_by(index: PartitionIndex, path: Path) -> dict[str, np.ndarray]:
    index.save(path)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def refused_or_the_same(path: Path, index: PartitionIndex) -> bool:
    """Whether the file is refused, as it is documented; else it must be the index that it was."""
    try:
        again = PartitionIndex.load(path)
    except ValueError as error:
        if not str(error).startswith(("path must be ", "distance must be ")):
            raise
        return True
    assert again.build_evaluations == index.build_evaluations
    for query in random_partitions(3, (3, 5), seed=8):
        for one, two in zip(again.query(query, k=4), index.query(query, k=4), strict=True):
            np.testing.assert_array_equal(one, two)
    return False


def test_truncated_files(tmp_path: Path) -> None:
    """At every length: an archive's directory stands at its end."""
    path = tmp_path / "i.npz"
    SMALL.save(path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 23), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:length])
        assert refused_or_the_same(path, SMALL), length


def test_flipped_bytes(tmp_path: Path) -> None:
    """Bytes of every region: an archive's checksums tell, or it didn't matter.

    What doesn't matter are times and other remarks, less than half of the bytes.
    """
    path = tmp_path / "i.npz"
    SMALL.save(path)
    whole = path.read_bytes()
    places = sorted({*range(0, len(whole), 31), *range(len(whole) - 60, len(whole), 2)})
    refused = 0
    for place in places:
        flipped = whole[place] ^ (1 << place % 8)
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
        refused += refused_or_the_same(path, SMALL)
    assert refused > len(places) / 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pivots": None}, "it has no pivots"),
        ({"distance": None}, "it has no distance"),
        ({"labels": np.zeros((9, 3, 5))}, "its labels are of dtype float64"),
        ({"labels": np.zeros((8, 3, 5), np.uint8)}, "its table have shape"),
        ({"labels": np.zeros((9, 0), np.uint8)}, r"its labels have shape \(9, 0\)"),
        ({"labels": np.uint8(3)}, "its table have shape"),
        ({"pivots": np.array([0, 1, 9])}, "its pivots are not of its 9 partitions"),
        ({"sample": np.array([0, 1, 2, 3, -1])}, "its sample are not of its 9 partitions"),
        ({"mutual": np.zeros((5, 4))}, "its mutual have shape"),
        ({"mutual": np.full((5, 5), np.nan)}, "its mutual holds what is no distance"),
        ({"build_evaluations": np.zeros(2, int)}, "its build_evaluations have shape"),
        ({"version": np.array([1, 1])}, "only .* scalar"),
        ({"distance": np.array("euclid")}, "a known distance, got .* of 'euclid'"),
    ],
)
def test_arrays_that_are_no_index(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "i.npz"
    kept = {**kept_by(SMALL, path), **change}
    np.savez(path, **{name: values for name, values in kept.items() if values is not None})
    with pytest.raises(ValueError, match=rf"path must be .*{words}"):
        PartitionIndex.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PartitionIndex.load(tmp_path / "none.npz")


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while it writes; and nothing else is left in the folder."""
    path = tmp_path / "i.npz"
    SMALL.save(path)
    before = path.read_bytes()

    def full(file: Any, **kept: Any) -> None:
        file.write(b"some of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez_compressed", full)
        with pytest.raises(OSError, match="No space left"):
            SMALL.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    PartitionIndex([[0, 1], [0, 0]]).save(link)
    assert link.is_symlink()
    assert len(PartitionIndex.load(path)) == 2


def test_distance_of_ones_own_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    PartitionIndex(random_partitions(5, (8,)), UnionTerms()).save(path)
    with pytest.raises(ValueError, match="distance must be given here"):
        PartitionIndex.load(path)
    with pytest.raises(ValueError, match="distance must be that of the index"):
        PartitionIndex.load(path, "mirkin_distance")
    assert len(PartitionIndex.load(path, UnionTerms())) == 5


@pytest.mark.parametrize(
    "name", [name for name, one in MEASURES.items() if not one.is_metric and not one.needs]
)
def test_refuses_what_is_no_metric(name: str) -> None:
    words = "distance must be a metric.*triangle inequality.*variation_of_information"
    with pytest.raises(ValueError, match=words):
        PartitionIndex([[0, 1]], name)


class Arbitrary(UnionTerms):
    is_metric = False


ORDER: Callable[..., PartitionIndex] = partial(PartitionIndex, [[0, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: PartitionIndex([]), "partitions must hold at least one label map, got none"),
        (lambda: PartitionIndex("ab"), "partitions must be label maps, got str"),
        (lambda: PartitionIndex(3), "partitions must be label maps, got int"),
        (lambda: PartitionIndex([0, 1]), r"partitions\[0\] must be a label map"),
        (
            lambda: PartitionIndex([[0, 1], [0, 1, 2]]),
            r"partitions\[0\] has \(2,\), partitions\[1\] has \(3,\)",
        ),
        (lambda: PartitionIndex([[0.5, 1.0]]), r"partitions\[0\] must hold integer labels"),
        (lambda: PartitionIndex([[0, 1], [0, -1]]), r"partitions\[1\] must .* not negative"),
        (lambda: PartitionIndex([[]]), "at least one pixel|integer labels"),
        (lambda: ORDER(pivots=0), "pivots must be a whole number >= 1, got 0"),
        (lambda: ORDER(sample=0), "sample must be a whole number >= 1, got 0"),
        (lambda: ORDER("euclid"), "distance must be one of 'partition_distance'"),
        (lambda: ORDER(max), "distance must be a name in MEASURES, a Measure or a weight"),
        (lambda: ORDER(Arbitrary()), "distance must be a metric"),
        (lambda: ORDER(weight=[1.0, 2.0]), r"weight must have shape \(3,\)"),
        (
            lambda: ORDER(Measure("own", len, True, "lower", needs="features")),
            "features must be given for own",
        ),
        (
            lambda: ORDER(Measure("own", len, True, "lower", needs="counts"), weight=[1, 1, 1]),
            "weight must be None for own, which counts pixels",
        ),
        (lambda: ORDER().query([0, 1, 1], k=3), r"k must be in 1 … 2"),
        (lambda: ORDER().query([0, 1, 1], k=2, exclude=0), r"k must be in 1 … 1"),
        (lambda: ORDER().query([0, 1, 1], k=0), "k must be a whole number >= 1"),
        (lambda: ORDER().query([0, 1]), r"x must have the shape of the indexed partitions, \(3,\)"),
        (lambda: ORDER().query([[0, 1, 1], [0, 1]]), r"x\[1\] must have shape \(3,\), got \(2,\)"),
        (lambda: ORDER().query([0, 1, -1]), "x must hold labels that are not negative"),
        (lambda: ORDER().query([0, 1, 1], exclude=2), "exclude must be an index in 0 … 1"),
        (lambda: ORDER().query([0, 1, 1], exclude=[0, 1]), "exclude must be an index"),
        (lambda: ORDER().query([0, 1, 1], exclude=0.0), "exclude must be an index"),
        (lambda: ORDER().query_radius([0, 1, 1], -1), "r must be a finite number in"),
    ],
)
def test_errors(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
