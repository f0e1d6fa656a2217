"""Relations that hold whatever the partitions are, tried on many: no expected number is needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metriseg.components import connected_components
from metriseg.partitions import (
    MEASURES,
    SCORES,
    ContingencyTable,
    DiceWeight,
    PartitionIndex,
    PowerWeight,
    SizeWeight,
    UnionWeight,
    UnitWeight,
    contingency_table,
    disagreement_map,
    partition_scores,
    partition_sketch,
    weighted_partition_distance,
)

Maps = tuple[NDArray[np.int64], NDArray[np.int64]]

#: Of pixel weights, and what a weight c on every pixel makes of them: c to the power of this.
DEGREES = {
    "partition_distance": 2,
    "mirkin_distance": 2,
    "van_dongen_distance": 1,
    "variation_of_information": 0,
    "split": 0,
    "merge": 0,
    "larsen_aone_dissimilarity": 0,
    "normalized_information_distance": 0,
    "normalized_mutual_information": 0,
}
WEIGHTS = {
    UnitWeight(): 2,
    UnionWeight(): 1,
    DiceWeight(): 1,
    PowerWeight(0.5): 1.5,
    SizeWeight(): 2,
}
#: Types of labels, each with the largest that they are given here.
KINDS: dict[Any, int] = {
    np.uint8: 255,
    np.uint16: 65535,
    np.uint32: 2**32 - 1,
    np.uint64: 2**64 - 1,
    np.dtype(">u8"): 2**64 - 1,
    np.dtype(">i8"): 2**63 - 1,
    np.dtype(">u2"): 65535,
    torch.uint64: 2**64 - 1,
    np.int8: 127,
    np.int32: 2**31 - 1,
    np.int64: 2**63 - 1,
    torch.uint8: 255,
    torch.int16: 2**15 - 1,
    torch.int64: 2**63 - 1,
}

some = settings(max_examples=30, deadline=None)


@st.composite
def maps(draw: Any, most: int = 5) -> Maps:
    """Two label maps of one small shape, of 1 … 5 labels."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple))
    size = math.prod(shape)
    labels = st.lists(st.integers(0, most - 1), min_size=size, max_size=size)
    x, y = (np.array(draw(labels)).reshape(shape) for _ in range(2))
    return x, y


def every(table: ContingencyTable) -> dict[str, float]:
    """All that a table of one measure has."""
    found = {
        name: measure(table)
        for name, measure in MEASURES.items()
        if measure.needs == "" or (measure.needs == "counts" and table.is_count)
    }
    return found | {repr(one): weighted_partition_distance(table, one) for one in WEIGHTS}


def near(found: dict[str, float], expected: dict[str, float]) -> None:
    assert found == {name: pytest.approx(value, abs=1e-9) for name, value in expected.items()}


def renamed(labels: NDArray[np.int64], largest: int, seed: int) -> NDArray[np.uint64]:
    """The same partition, by other numbers: the largest, 0, and some between."""
    names = np.random.default_rng(seed).choice(min(largest, 2**62) - 1, 5, replace=False) + 1
    return np.array([largest, 0, *names[:3]], np.uint64)[labels]


@given(pair=maps(), seed=st.integers(0, 99))
@some
def test_names_of_labels_are_nothing(pair: Maps, seed: int) -> None:
    x, y = pair
    found = every(contingency_table(renamed(x, 2**64 - 1, seed), renamed(y, 255, seed + 1)))
    near(found, every(contingency_table(x, y)))


@given(pair=maps(), kinds=st.tuples(*[st.sampled_from(list(KINDS))] * 2), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_types_of_labels_are_nothing(pair: Maps, kinds: tuple[Any, Any], seed: int) -> None:
    """Of tables, scores with their walls, components, maps of disagreement, sketches and search."""
    plain, given_ = [], []
    for labels, kind in zip(pair, kinds, strict=True):
        named = renamed(labels, KINDS[kind], seed)
        plain.append(named if KINDS[kind] > 2**63 - 1 else named.astype(np.int64))
        typed = torch.from_numpy(plain[-1]).to(kind) if isinstance(kind, torch.dtype) else None
        given_.append(named.astype(kind) if typed is None else typed)
    table = contingency_table(*plain)
    assert contingency_table(*given_) == table
    left_out = int(plain[0].flat[0])
    assert contingency_table(*given_, ignore=left_out) == contingency_table(*plain, ignore=left_out)
    for segments in ("components", "labels"):
        chosen: dict[str, Any] = {"metrics": list(SCORES), "segments": segments}
        for ignore_index in (None, left_out, -1, 2**40):
            found = partition_scores(*given_, ignore_index=ignore_index, **chosen)
            expected = partition_scores(*plain, ignore_index=ignore_index, **chosen)
            np.testing.assert_equal(found, expected)
    np.testing.assert_array_equal(disagreement_map(table, *given_), disagreement_map(table, *plain))
    for one, other in zip(given_, plain, strict=True):
        np.testing.assert_array_equal(connected_components(one), connected_components(other))
        np.testing.assert_array_equal(partition_sketch(one, 8), partition_sketch(other, 8))
    found, expected = (PartitionIndex(two).query(two[0], k=2) for two in (given_, plain))
    np.testing.assert_array_equal(found, expected)


@given(pair=maps(most=2))
@some
def test_booleans_and_files_of_chunks(pair: Maps) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    x, y = pair
    expected = contingency_table(x, y, ignore={"x": 1})
    assert contingency_table(x.astype(bool), y.astype(bool), ignore={"x": 1}) == expected
    assert contingency_table(torch.from_numpy(x).bool(), y, ignore={"x": 1}) == expected
    chunked = zarr.create_array({}, data=x.astype(np.uint8), chunks=(2,) * x.ndim)
    assert contingency_table(chunked, y, ignore={"x": 1}) == expected
    assert partition_scores(chunked, y, ignore_index=1) == pytest.approx(
        partition_scores(x, y, ignore_index=1), nan_ok=True
    )


@given(pair=maps(), seed=st.integers(0, 99))
@some
def test_places_of_pixels_are_nothing(pair: Maps, seed: int) -> None:
    """Exchanged, laid out otherwise, backwards; and of components what is turned is the same."""
    x, y = pair
    table = contingency_table(x, y)
    order = np.random.default_rng(seed).permutation(x.size)
    assert contingency_table(x.ravel()[order], y.ravel()[order]) == table
    assert contingency_table(np.asfortranarray(x), y.T.copy().T) == table
    assert contingency_table(x[::-1], y[::-1]) == table
    expected = partition_scores(x, y, ignore_index=0, metrics=list(SCORES))
    for turned in ((x[::-1], y[::-1]), (x.T, y.T), (x[None], y[None])):
        found = partition_scores(*turned, ignore_index=0, metrics=list(SCORES))
        assert found == pytest.approx(expected, nan_ok=True, abs=1e-12)


@given(pair=maps(), cut=st.integers(0, 4))
@some
def test_parts_add_up(pair: Maps, cut: int) -> None:
    """Tables of two parts, and entries cut in two and put together again."""
    x, y = pair
    whole = contingency_table(x, y)
    total = ContingencyTable()
    for part in (slice(None, cut), slice(cut, None)):
        if x[part].size:
            total.update(x[part], y[part])
    assert total == whole
    cells = whole.cells
    some_of_it = cells.values // 2
    halves = [
        ContingencyTable.from_cells(cells.x, cells.y, values)
        for values in (some_of_it, cells.values - some_of_it)
    ]
    assert sum(halves) == whole
    assert whole == whole.T.T


@given(pair=maps(), seed=st.integers(0, 99))
@some
def test_a_weight_of_two_is_a_pixel_twice(pair: Maps, seed: int) -> None:
    """And of none no pixel: of the table, and of the distances."""
    x, y = (labels.ravel() for labels in pair)
    times = np.random.default_rng(seed).integers(0, 3, x.size)
    times[0] = 2
    weighted = contingency_table(x, y, weight=times.astype(float))
    counted = contingency_table(np.repeat(x, times), np.repeat(y, times))
    assert weighted.values.tolist() == counted.values.tolist()
    found = every(weighted)
    near(found, {name: value for name, value in every(counted).items() if name in found})


@given(pair=maps(), label=st.integers(0, 4), side=st.sampled_from(["x", "y", "both"]))
@some
def test_ignored_is_removed(pair: Maps, label: int, side: str) -> None:
    x, y = pair
    gone = {"x": x == label, "y": y == label, "both": (x == label) | (y == label)}[side]
    ignore: Any = label if side == "both" else {side: label}
    table = contingency_table(x, y, ignore=ignore)
    if gone.all():
        assert table.is_empty
        return
    assert table == contingency_table(x[~gone], y[~gone])
    far = disagreement_map(table, x, y)
    assert not far[gone].any()
    assert far.sum() == MEASURES["partition_distance"](table)


@given(pair=maps(), exponent=st.integers(-60, 60), seed=st.integers(0, 99))
@some
def test_weights_that_are_multiplied(pair: Maps, exponent: int, seed: int) -> None:
    """By c: a distance of the degree p is multiplied by c^p, and a normalized form by nothing."""
    x, y = pair
    weight = np.random.default_rng(seed).uniform(0.1, 1, x.shape)
    factor = 10.0**exponent
    one, other = (contingency_table(x, y, weight=weight * c) for c in (1.0, factor))
    before, after = every(one), every(other)
    for name, degree in [*DEGREES.items(), *((repr(w), d) for w, d in WEIGHTS.items())]:
        assert after[name] / factor**degree == pytest.approx(before[name], rel=1e-9, abs=1e-12)
    for measure in MEASURES.values():
        if measure.normalized is not None:
            expected = measure.normalized(one)
            assert measure.normalized(other) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(pair=maps())
@some
def test_equal_partitions_are_at_the_best(pair: Maps) -> None:
    """Also weighted, in single precision and by tiny numbers; and different ones are not."""
    x, y = pair
    same = renamed(x, 2**40, 3)
    for weight in (None, np.full(x.shape, 0.1, np.float32), np.full(x.shape, 1e-300)):
        table = contingency_table(x, same, weight=weight)
        for name, value in every(table).items():
            best = MEASURES[name].best if name in MEASURES else 0.0
            assert value == best, name
    table = contingency_table(x, y)
    if table.shape != (len(table.values),) * 2:
        found = every(table)
        assert all(found[name] > 0 for name in found if name not in MEASURES)
        assert all(found[name] > 0 for name, one in MEASURES.items() if one.is_metric)
