"""Contingency tables against counting pixel by pixel."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metriseg.arrays import as_labels
from metriseg.partitions import (
    MEASURES,
    ContingencyTable,
    collective,
    contingency_table,
    disagreement_map,
    grouping,
    partition_distance,
    van_dongen_distance,
)
from metriseg.partitions.counting import arrays, ignored_labels, tensors
from reference import partitions as reference

LARGEST, ALL_BITS = 2**63 - 1, 2**64 - 1
NOTHING = ignored_labels(None)

#: A byte's labels, and names at the ends of what an int64 holds.
DTYPES = (
    np.bool_,
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
)


def random_maps(
    shape: tuple[int, ...], seed: int = 0, labels: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(labels, size=shape), generator.integers(labels - 1, size=shape)


def on_an_accelerator(x: Any, y: Any, **given: Any) -> ContingencyTable:
    """The path of accelerators, on tensors of the CPU."""
    table = ContingencyTable()
    dropped = ignored_labels(given.pop("ignore", None))
    weight, features = given.pop("weight", None), given.pop("features", None)
    assert not given
    x = x if isinstance(x, torch.Tensor) else torch.as_tensor(x)
    for cells in tensors.cells_of_tensors(x, y, weight, features, dropped):
        table._add(cells)
    return table


@pytest.fixture(params=["arrays", "tensors"])
def build(request: pytest.FixtureRequest) -> Callable[..., ContingencyTable]:
    """Both ways to a table."""
    return contingency_table if request.param == "arrays" else on_an_accelerator


def as_dict(table: ContingencyTable) -> dict[tuple[int, int], tuple[list[Any], list[float]]]:
    """As the oracle gives it."""
    if table.is_empty:
        return {}
    cells = table.cells
    values = cells.values.reshape(len(cells.x), -1).tolist()
    features = [[]] * len(values) if cells.features is None else cells.features.tolist()
    pairs = zip(cells.x.tolist(), cells.y.tolist(), strict=True)
    found = dict(zip(pairs, zip(values, features, strict=True), strict=True))
    assert len(found) == len(values)
    return found


def assert_same(table: ContingencyTable, expected: dict[Any, Any], *, exact: bool = True) -> None:
    found = as_dict(table)
    assert list(found) == sorted(expected)
    for pair, (measures, sums) in expected.items():
        if exact:
            assert found[pair][0] == measures
        else:
            np.testing.assert_allclose(found[pair][0], measures, rtol=1e-12)
        np.testing.assert_allclose(found[pair][1], sums, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(1,), (57,), (7, 9), (3, 4, 5), (2, 3, 2, 3)])
def test_counts(build: Callable[..., ContingencyTable], shape: tuple[int, ...]) -> None:
    for seed in range(5):
        x, y = random_maps(shape, seed)
        table = build(x, y)
        assert table.values.dtype == np.int64
        assert table.is_count
        assert type(table.total) is int
        assert table.total == x.size
        expected = reference.contingency(x.ravel().tolist(), y.ravel().tolist())
        assert_same(table, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(build: Callable[..., ContingencyTable], dtype: Any) -> None:
    x, y = random_maps((6, 7), labels=2 if dtype is np.bool_ else 5)
    expected = contingency_table(x, y)
    assert build(x.astype(dtype), y.astype(dtype)) == expected
    assert build(torch.as_tensor(x.astype(dtype)), y) == expected
    assert build(torch.as_tensor(x), torch.as_tensor(y.astype(dtype))) == expected


def test_large_labels(build: Callable[..., ContingencyTable]) -> None:
    """Up to 2^63 - 1 on both sides, where no product of their ranges fits into 64 bits."""
    names = np.array([0, 1, 2**31, 2**53 + 1, LARGEST - 1, LARGEST])
    x, y = random_maps((40,), labels=6)
    expected = reference.contingency(names[x].tolist(), names[y].tolist())
    for dtype in (np.int64, np.uint64):
        assert_same(build(names[x].astype(dtype), names[y].astype(dtype)), expected)


@pytest.mark.parametrize("side", ["x", "y", "both"])
def test_labels_up_to_the_largest_of_64_bits(
    build: Callable[..., ContingencyTable], side: str
) -> None:
    """2^63 - 1, 2^63 and 2^64 - 1 are three, which floating-point numbers don't tell apart."""
    large = np.array([0, 7, LARGEST, LARGEST + 1, ALL_BITS - 1, ALL_BITS], np.uint64)
    pair = [np.arange(6)[part] for part in random_maps((60,), labels=6)]
    named = [
        large[part] if side in ("both", name) else part
        for name, part in zip("xy", pair, strict=True)
    ]
    table = build(*named)
    assert_same(table, reference.contingency(*(part.tolist() for part in named)))
    assert (table.x_labels.dtype == np.uint64) == (side != "y")
    assert (table.y_labels.dtype == np.uint64) == (side != "x")
    left_out = reference.contingency(
        *(part.tolist() for part in named), left_out=([ALL_BITS], [ALL_BITS])
    )
    assert_same(build(*named, ignore=ALL_BITS), left_out)
    assert build(*named, ignore=torch.tensor([ALL_BITS], dtype=torch.uint64)) == build(
        *named, ignore=np.array(ALL_BITS, ">u8")
    )
    # -1 is another number than the one of the same bits
    assert build(*named, ignore=-1) == table


def test_where_no_large_label_is_left_the_type_is_the_plain_one(
    build: Callable[..., ContingencyTable],
) -> None:
    """So that equal tables have equal arrays: ignored, of no weight, renamed, or of one measure."""
    x, y = np.array([0, 1, ALL_BITS], np.uint64), [0, 0, 1]
    plain = contingency_table([0, 1], [0, 0])
    assert build(x, y, ignore=ALL_BITS) == plain
    weighted = contingency_table([0, 1], [0, 0], weight=[1.0, 1.0])
    assert build(x, y, weight=np.array([1.0, 1.0, 0.0])) == weighted
    assert build(x, y, weight=np.array([[1.0, 1, 0], [1, 1, 1]])).measure(0) == weighted
    assert build(x, y).relabel({ALL_BITS: 1}) == contingency_table([0, 1, 1], y)
    assert contingency_table([0, 1, 1], y).relabel({1: ALL_BITS}) == build(x[[0, 2, 2]], y)
    assert build(x, y).relabel({2**64 - 1: 2, 1: 0}) == contingency_table([0, 0, 2], y)


def test_large_labels_in_parts() -> None:
    """Tables with and without them, added, saved, packed and stated."""
    x, y = np.array([0, 3, LARGEST + 1, ALL_BITS, 3], np.uint64), np.array([5, 5, 5, 6, 6])
    whole = contingency_table(x, y)
    parts = [
        contingency_table(x[part], y[part]) for part in (slice(0, 2), slice(2, 4), slice(4, 5))
    ]
    assert sum(parts) == sum(parts[::-1]) == whole
    assert pickle.loads(pickle.dumps(whole)) == whole
    assert whole == whole.T.T
    cells = whole.cells
    assert ContingencyTable.from_cells(cells.x, cells.y, cells.values) == whole
    assert ContingencyTable.from_cells(cells.x.tolist(), cells.y.tolist(), [1] * 5) == whole
    assert collective._unpack(collective._pack(cells), collective._header(cells)).x.tolist() == [
        *cells.x.tolist()
    ]
    assert contingency_table(x.tolist(), y.tolist()) == whole
    assert (
        disagreement_map(whole, x, y).tolist()
        == disagreement_map(contingency_table([0, 3, 4, 5, 3], y), [0, 3, 4, 5, 3], y).tolist()
    )
    # of a map of other numbers, none is in the table
    assert disagreement_map(whole, [-1] * 5, y).tolist() == [0] * 5
    assert disagreement_map(contingency_table(y, y), x, y).tolist() == [0] * 5


def test_layouts() -> None:
    """Fortran order, strides, transposes, read-only arrays, lists, tensors: the same table."""
    x, y = random_maps((8, 9))
    expected = contingency_table(x, y)
    frozen = x.copy()
    frozen.flags.writeable = False
    for a, b in (
        (np.asfortranarray(x), np.asfortranarray(y)),
        (np.asfortranarray(x), y),
        (np.repeat(x, 2, 1)[:, ::2], y),
        (x[::-1][::-1], y),
        (frozen, y),
        (x.tolist(), y.tolist()),
        (torch.from_numpy(x), torch.from_numpy(y.T.copy()).T),
        (torch.from_numpy(x), y),
        (x.reshape(8, 9, order="C").T, y.T),
    ):
        assert contingency_table(a, b) == expected
    weight = np.asfortranarray(np.arange(72.0).reshape(8, 9))
    turned = contingency_table(np.asfortranarray(x), y, weight=weight)
    assert turned == contingency_table(x, y, weight=np.ascontiguousarray(weight))


def test_one_pixel(build: Callable[..., ContingencyTable]) -> None:
    """A map without axes is one pixel."""
    assert as_dict(build(np.array(3), np.array(4))) == {(3, 4): ([1], [])}


@pytest.mark.parametrize("planes", [None, 1, 3])
@pytest.mark.parametrize("described", [0, 2])
@pytest.mark.parametrize("shape", [(31,), (6, 7), (3, 2, 5)])
def test_weights_and_features(
    build: Callable[..., ContingencyTable],
    shape: tuple[int, ...],
    described: int,
    planes: int | None,
) -> None:
    """Pixels of weight 0 in all measures are gone; None is one measure without an axis."""
    generator = np.random.default_rng(len(shape))
    x, y = random_maps(shape)
    weight = generator.uniform(0.5, 2, (planes or 1, *shape)) * (generator.random(shape) < 0.8)
    features = generator.normal(size=(described, *shape)) if described else None
    table = build(x, y, weight=weight[0] if planes is None else weight, features=features)
    assert table.values.shape[1:] == (() if planes is None else (planes,))
    assert table.values.dtype == np.float64
    expected = reference.contingency(
        x.ravel().tolist(),
        y.ravel().tolist(),
        weight=weight.reshape(len(weight), -1).tolist(),
        features=[] if features is None else features.reshape(described, -1).tolist(),
    )
    assert_same(table, expected, exact=False)


def test_means_of_regions(build: Callable[..., ContingencyTable]) -> None:
    """Of 1, 3 | 5 with weights 1, 3, 2: (1 + 9) / 4 = 2.5, and 5; over all, (10 + 10) / 6."""
    grey = np.array([[1.0, 3.0, 5.0]])
    weighted = build([0, 0, 1], [7, 7, 7], weight=np.array([1.0, 3.0, 2.0]), features=grey)
    np.testing.assert_allclose(weighted.x_features, [[2.5], [5.0]])
    np.testing.assert_allclose(weighted.y_features, [[20 / 6]])
    np.testing.assert_array_equal(build([0, 0, 1], [7, 7, 7], features=grey).x_features, [[2], [5]])


def test_what_weights_may_be() -> None:
    """Whole numbers, booleans, lists, half precision, tensors that take part in a gradient."""
    x, y = random_maps((4, 5))
    weight = np.random.default_rng(0).integers(3, size=(4, 5))
    expected = contingency_table(x, y, weight=weight.astype(float))
    for other in (
        weight,
        weight.tolist(),
        weight.astype(np.float16),
        torch.from_numpy(weight),
        torch.from_numpy(weight).float().requires_grad_(),
    ):
        assert contingency_table(x, y, weight=other) == expected
        assert on_an_accelerator(torch.from_numpy(x), y, weight=other) == expected
    kept = contingency_table(x, y, weight=weight > 0)
    assert kept.total == (weight > 0).sum()


@pytest.mark.parametrize(
    ("ignore", "left_out"),
    [
        (None, ([], [])),
        (0, ([0], [0])),
        (np.int64(2), ([2], [2])),
        ([1, 3], ([1, 3], [1, 3])),
        ({1, 9}, ([1], [1])),
        (np.array([0, 2]), ([0, 2], [0, 2])),
        ({"x": 0}, ([0], [])),
        ({"y": [1, 2]}, ([], [1, 2])),
        ({"x": (0, 1), "y": 3}, ([0, 1], [3])),
        ({}, ([], [])),
        ([], ([], [])),
    ],
)
def test_ignore(
    build: Callable[..., ContingencyTable], ignore: Any, left_out: tuple[list[int], list[int]]
) -> None:
    x, y = random_maps((50,))
    weight = np.random.default_rng(0).uniform(1, 2, (1, 50))
    pixels = x.tolist(), y.tolist()
    assert_same(build(x, y, ignore=ignore), reference.contingency(*pixels, left_out=left_out))
    weighted = build(x, y, weight=weight, features=weight, ignore=ignore)
    expected = reference.contingency(
        *pixels, weight=weight.tolist(), features=weight.tolist(), left_out=left_out
    )
    assert_same(weighted, expected, exact=False)


@pytest.mark.parametrize(
    "one",
    [
        np.array(1),
        np.array([1]),
        np.uint8(1),
        np.array(1, np.uint64),
        torch.tensor(1),
        torch.tensor([1], dtype=torch.uint8),
        {1},
        range(1, 2),
    ],
    ids=repr,
)
def test_an_ignored_label_in_any_form(build: Callable[..., ContingencyTable], one: Any) -> None:
    x, y = np.array([0, 1, 2, 2]), np.array([0, 0, 1, 2])
    assert build(x, y, ignore=one) == build(x, y, ignore=1)
    assert build(x, y, ignore={"x": one}) == build(x, y, ignore={"x": 1})


def test_an_ignored_label_may_be_negative(build: Callable[..., ContingencyTable]) -> None:
    x, y = np.array([-1, 0, 1], np.int8), np.array([0, 0, -2])
    table = build(x, y, ignore={"x": -1, "y": -2})
    assert as_dict(table) == {(0, 0): ([1], [])}


def test_an_empty_result(build: Callable[..., ContingencyTable]) -> None:
    """All ignored, or of weight 0: a table that adds nothing, and says so when it is read."""
    ignored = build([1, 1], [2, 3], ignore=1)
    weightless = build([1, 1], [2, 3], weight=np.zeros(2))
    for empty in (ignored, weightless, ContingencyTable()):
        assert empty.is_empty
        assert empty == ContingencyTable()
        assert repr(empty) == "ContingencyTable(empty)"
        with pytest.raises(ValueError, match="the contingency table is empty"):
            MEASURES["mirkin_distance"](empty)
        with pytest.raises(ValueError, match="the contingency table is empty"):
            empty.to_dense()
    assert ignored == weightless
    some = contingency_table([0], [1])
    assert some + ignored == ignored + some == some
    assert some != ignored


@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that cross the border of a block are one."""
    x, y = np.repeat(random_maps((40,)), 5, axis=1)
    weight = np.random.default_rng(0).integers(4, size=(2, 200)).astype(float)
    whole = contingency_table(x, y), contingency_table(x, y, weight=weight, features=weight)
    monkeypatch.setattr(arrays, "BLOCK", block)
    monkeypatch.setattr(tensors, "BLOCK", block)
    for build in (contingency_table, on_an_accelerator):
        parts = build(x, y), build(x, y, weight=weight, features=weight)
        assert parts == whole


@given(seed=st.integers(0, 999), labels=st.integers(1, 30), most=st.sampled_from([1, 3, 2**40]))
@settings(max_examples=60, deadline=None)
def test_entries_grouped_in_places_and_by_order(seed: int, labels: int, most: int) -> None:
    """The same arrays of the same types, of any labels, and of counts of 0."""
    generator = np.random.default_rng(seed)
    x, y = generator.integers(labels, size=(2, 100))
    large = np.array([0, LARGEST, *(ALL_BITS - np.arange(28, dtype=np.uint64))], np.uint64)
    values = generator.integers(most + 1, size=100)
    for a, b in ((x, y + 2**40), (large[x], y), (large[x % 2], large[y])):
        found = []
        for places in (0, 1, 4, 10**6):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(grouping, "PLACES", places)
                found.append(
                    grouping.group(grouping.Cells(as_labels(a), as_labels(b), values, None))
                )
        for one in found[1:]:
            for ours, theirs in zip(one[:3], found[0][:3], strict=True):
                assert ours.dtype == theirs.dtype
                np.testing.assert_array_equal(ours, theirs)


def test_pending_entries_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "PENDING", 3)
    x, y = random_maps((60,))
    table = ContingencyTable()
    for part in np.split(np.stack([x, y]), 20, axis=1):
        table.update(part[0], part[1])
        assert sum(len(cells.x) for cells in table._sum._pending) <= 64
    assert table == contingency_table(x, y)


# Adding up


def random_tiling(shape: tuple[int, ...], generator: np.random.Generator) -> list[Any]:
    """Slices that cover a box, by cutting it again and again."""
    tiles = [tuple(slice(0, size) for size in shape)]
    for _ in range(6):
        at = int(generator.integers(len(tiles)))
        axis = int(generator.integers(len(shape)))
        low, high = tiles[at][axis].start, tiles[at][axis].stop
        if high - low < 2:
            continue
        middle = int(generator.integers(low + 1, high))
        tile = tiles.pop(at)
        for part in (slice(low, middle), slice(middle, high)):
            tiles.append((*tile[:axis], part, *tile[axis + 1 :]))
    return tiles


@given(seed=st.integers(0, 2**32 - 1), dimensions=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_tiles_add_up(seed: int, dimensions: int) -> None:
    """Exactly for counts, to rounding for weights; by update, merge, + and sum alike."""
    generator = np.random.default_rng(seed)
    shape = tuple(int(n) for n in generator.integers(1, 7, dimensions))
    x, y = random_maps(shape, seed)
    weight, features = generator.random((2, *shape)), generator.normal(size=(3, *shape))
    tiles = random_tiling(shape, generator)
    whole = contingency_table(x, y, ignore=4)
    parts = [contingency_table(x[tile], y[tile], ignore=4) for tile in tiles]
    updated, merged = ContingencyTable(), ContingencyTable()
    for tile, part in zip(tiles, parts, strict=True):
        updated.update(x[tile], y[tile], ignore=4)
        merged.merge(part)
    assert updated == merged == sum(parts) == whole
    heavy = contingency_table(x, y, weight=weight, features=features)
    together = ContingencyTable()
    for tile in tiles:
        every = (slice(None), *tile)
        together += contingency_table(
            x[tile], y[tile], weight=weight[every], features=features[every]
        )
    for ours, theirs in zip(together.cells, heavy.cells, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_adding_leaves_the_parts_alone() -> None:
    a, b = contingency_table([0, 1], [0, 0]), contingency_table([0], [5])
    before = copy.deepcopy(a), copy.deepcopy(b)
    total = sum([a])
    total.update([9], [9])
    (a + b).update([9], [9])
    assert (a, b) == before
    assert a.merge(b) is a
    assert a == before[0] + before[1]
    assert a.merge(a) == sum([before[0], before[1]] * 2)


def test_bad_input_leaves_a_table_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is found in a later block."""
    monkeypatch.setattr(arrays, "BLOCK", 2)
    table = contingency_table([0, 1], [0, 0])
    before = copy.deepcopy(table)
    with pytest.raises(ValueError, match="x must hold labels that are not negative"):
        table.update([0, 0, 1, -1], [0, 0, 0, 0])
    assert table == before


# Reading


def test_read() -> None:
    """C = [[2, 1], [1, 2]] of 000111 and 001011, under other names."""
    table = contingency_table([4, 4, 4, 9, 9, 9], [2, 2, 7, 2, 7, 7])
    assert table.shape == (2, 2)
    assert table.x_labels.tolist() == [4, 9]
    assert table.y_labels.tolist() == [2, 7]
    assert table.x_sizes.tolist() == table.y_sizes.tolist() == [3, 3]
    assert table.values.tolist() == [2, 1, 1, 2]
    assert table.x_index.tolist() == [0, 0, 1, 1]
    assert table.y_index.tolist() == [0, 1, 0, 1]
    assert table.to_dense().tolist() == [[2, 1], [1, 2]]
    assert table.to_scipy().toarray().tolist() == [[2, 1], [1, 2]]
    assert repr(table) == "ContingencyTable(2 x 2 regions, 4 cells, total 6)"


def test_dense_of_several_measures() -> None:
    table = contingency_table([0, 1], [0, 1], weight=[[1.0, 2.0], [3.0, 0.0]])
    assert table.to_dense().tolist() == [[[1, 3], [0, 0]], [[0, 0], [2, 0]]]
    assert table.total.tolist() == [3, 3]
    assert repr(table).startswith("ContingencyTable(2 x 2 regions, 2 cells, 2 measures, total")
    assert table.measure(0) == contingency_table([0, 1], [0, 1], weight=[1.0, 2.0])
    assert table.measure(1) == contingency_table([0], [0], weight=[3.0])


def test_features_stay_with_the_first_measure() -> None:
    """They are sums weighed by it: divided by another's sizes they would be no means."""
    weight, grey = [[1.0, 3.0], [5.0, 1.0]], [[2.0, 6.0]]
    table = contingency_table([0, 0], [0, 1], weight=weight, features=grey)
    assert table.measure(0).x_features.tolist() == [[5.0]]
    with pytest.raises(ValueError, match="features must be given"):
        _ = table.measure(1).x_features


def test_transposed() -> None:
    x, y = random_maps((6, 6))
    weight, features = np.random.default_rng(0).random((2, 2, 6, 6))
    assert contingency_table(y, x) == contingency_table(x, y).T
    turned = contingency_table(x, y, weight=weight, features=features).T
    other = contingency_table(y, x, weight=weight, features=features)
    for ours, theirs in zip(turned.cells, other.cells, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_equality() -> None:
    x, y = random_maps((30,))
    table = contingency_table(x, y)
    assert table == contingency_table(x[::-1], y[::-1])
    assert table != contingency_table(x, y, weight=np.ones(30))
    assert table != contingency_table(x, y, features=np.ones((1, 30)))
    assert table != contingency_table(x[:-1], y[:-1])
    assert table != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(table)


def test_pickle_and_copy() -> None:
    table = contingency_table(*random_maps((30,)), features=np.ones((1, 30)))
    assert pickle.loads(pickle.dumps(table)) == copy.deepcopy(table) == table


def test_counts_that_int64_does_not_hold() -> None:
    """2^62 and more: distances add two numbers of pixels. 2^63 was -2^63, and no pixel at all."""
    largest = 2**62 - 1
    table = ContingencyTable.from_cells([0, 0], [0, 1], [largest - 5, 5])
    assert (table.total, table.x_sizes.tolist()) == (largest, [largest])
    assert van_dongen_distance(table) == 5
    assert partition_distance(table) == pytest.approx(2 * 5 * (largest - 5.0), rel=1e-12)
    words = r"values must be counts that add up to less than 2\^62, got "
    for values in ([2**62, 2**62], [2**62], [2**63 - 1] * 4, [[1, 2**61], [1, 2**61]]):
        cells = [0] * len(values), list(range(len(values))), values
        with pytest.raises(ValueError, match=words):
            ContingencyTable.from_cells(*cells)
    with pytest.raises(ValueError, match=words + str(2**62)):
        table + ContingencyTable.from_cells([0], [0], [1])
    assert table.total == largest
    with pytest.raises(ValueError, match=words + str(largest + 2)):
        table.update([0, 0], [0, 1])
    with pytest.raises(ValueError, match=r"values must hold counts up to 2\^63 - 1, got 92233720"):
        ContingencyTable.from_cells([0], [0], np.array([2**63], np.uint64))
    floats = ContingencyTable.from_cells([0, 0], [0, 1], [2.0**62, 2.0**62])
    assert partition_distance(floats, normalized=True) == 0.5


def test_from_cells() -> None:
    """Entries in any order, and of the same pair more than once."""
    table = ContingencyTable.from_cells([9, 4, 9], [1, 1, 1], [2, 3, 5])
    assert as_dict(table) == {(4, 1): ([3], []), (9, 1): ([7], [])}
    assert ContingencyTable.from_cells(*table.cells) == table
    assert ContingencyTable.from_cells([], [], []).is_empty
    assert ContingencyTable.from_cells([0], [0], [0]).is_empty
    heavy = contingency_table([0, 1], [0, 1], weight=[[0.5, 1.5]], features=[[1.0, 2.0]])
    assert ContingencyTable.from_cells(*heavy.cells) == heavy


def test_pair_keys_keep_the_order() -> None:
    """Also where they have to be ranks."""
    generator = np.random.default_rng(0)
    for high in (10, 2**32, LARGEST):
        x, y = generator.integers(high, size=(2, 500), endpoint=True)
        order = np.argsort(grouping.pair_keys(x, y), kind="stable")
        assert order.tolist() == np.lexsort((y, x)).tolist()


# Many at once


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_a_stack_gives_what_its_tables_give(name: str) -> None:
    """Of different sizes, also of one region and one pixel."""
    measure = MEASURES[name]
    generator = np.random.default_rng(0)
    described, weighed = measure.needs == "features", measure.needs == "" and "rand" not in name
    tables = []
    for n in (1, 2, 9, 40, 3):
        x, y = random_maps((n,), n)
        features = generator.normal(size=(2, n)) if described else None
        weight = generator.uniform(0.5, 2, n) if weighed else None
        tables.append(contingency_table(x, y, weight=weight, features=features))
    stack = ContingencyTable.stack(tables)
    assert len(stack) == 5
    for function in filter(None, (measure, measure.normalized)):
        found = function(stack)
        assert found.shape == (5,)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, [function(one) for one in tables], rtol=1e-12, atol=1e-15)
        single = function(ContingencyTable.stack(tables[2:3]))
        assert single.shape == (1,)


def test_a_stack_of_several_measures() -> None:
    generator = np.random.default_rng(0)
    tables = [
        contingency_table(*random_maps((n,), n), weight=generator.random((3, n))) for n in (5, 9)
    ]
    stack = ContingencyTable.stack(tables)
    for function in (MEASURES["partition_distance"], MEASURES["partition_distance"].normalized):
        np.testing.assert_allclose(function(stack), [function(one) for one in tables], rtol=1e-12)
    with pytest.raises(ValueError, match="mirkin_distance takes a table of one measure, got 3"):
        MEASURES["mirkin_distance"](stack)


# What is refused

COUNTS = contingency_table([0, 0, 1], [0, 1, 1])
WEIGHTS = contingency_table([0, 0, 1], [0, 1, 1], weight=[1.0, 2.0, 3.0])
SEVERAL = contingency_table([0, 0, 1], [0, 1, 1], weight=[[1.0, 2.0, 3.0]] * 2)


@pytest.mark.parametrize(
    ("x", "y", "given", "words"),
    [
        ([0, 1], [0, 1, 2], {}, r"y must have the shape of x, \(2,\), got \(3,\)"),
        ([[0, 1]], [0, 1], {}, r"y must have the shape of x, \(1, 2\), got \(2,\)"),
        ([0, -1], [0, 1], {}, "x must hold labels that are not negative .*, got -1"),
        ([0, 1], [-7, 1], {}, "y must hold labels that are not negative .*, got -7"),
        ([0, -1], [0, 1], {"ignore": {"y": -1}}, "x must hold labels that are not negative"),
        ([0.0, 1.0], [0, 1], {}, "x must hold integer labels, got dtype .*float"),
        ([0, 1], [0.0, np.nan], {}, "y must hold integer labels, got dtype .*float64"),
        ([1j, 1], [0, 1], {}, "x must hold integer labels, got dtype .*complex"),
        ([], [], {}, r"x must hold at least one pixel, got shape \(0,\)"),
        (np.zeros((3, 0), int), np.zeros((3, 0), int), {}, r"got shape \(3, 0\)"),
        ([0, 1], [0, 1], {"weight": [1.0, np.nan]}, "weight must be finite and not negative"),
        ([0, 1], [0, 1], {"weight": [1.0, -1.0]}, "weight must be finite and not negative"),
        ([0, 1], [0, 1], {"weight": [[1.0, np.inf]]}, "weight must be finite and not negative"),
        ([0, 1], [0, 1], {"weight": [1j, 1]}, "weight must hold real numbers, got dtype .*complex"),
        ([0, 1], [0, 1], {"weight": 2.0}, r"weight must have shape \(2,\) or \(R, 2\), got \(\)"),
        ([0, 1], [0, 1], {"weight": np.zeros((0, 2))}, r"weight must have shape .*\(0, 2\)"),
        ([0, 1], [0, 1], {"weight": [[1.0], [1.0]]}, r"weight must have shape .*got \(2, 1\)"),
        (
            [0, 1],
            [0, 1],
            {"features": [1.0, 2.0]},
            r"features must have shape \(F, 2\), got \(2,\)",
        ),
        ([0, 1], [0, 1], {"features": [[1.0, np.nan]]}, "features must be finite"),
        ([0, 1], [0, 1], {"features": [[1.0, -np.inf]]}, "features must be finite"),
    ],
)
def test_bad_maps(
    build: Callable[..., ContingencyTable], x: Any, y: Any, given: dict[str, Any], words: str
) -> None:
    """The error names the argument, what came and what is allowed."""
    with pytest.raises(ValueError, match=words):
        build(np.asarray(x), np.asarray(y), **{k: _plain(v) for k, v in given.items()})


def _plain(value: Any) -> Any:
    return value if isinstance(value, dict) else np.asarray(value)


def test_what_is_no_number_at_all() -> None:
    for words, names in (("x must hold integer labels", [2**64, 1]), ("x must hold", ["a", "b"])):
        with pytest.raises(ValueError, match=words):
            contingency_table(names, [0, 1])
    with pytest.raises(ValueError, match="weight must hold real numbers, got dtype"):
        contingency_table([0, 1], [0, 1], weight=["a", "b"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: contingency_table([0], [0], ignore=0.5), "ignore must be an integer label"),
        (lambda: contingency_table([0], [0], ignore=True), "ignore must be an integer label"),
        (lambda: contingency_table([0], [0], ignore="x"), "ignore must be an integer label"),
        (lambda: contingency_table([0], [0], ignore=[0, 1.5]), "ignore must be an integer label"),
        (lambda: contingency_table([0], [0], ignore=b"a"), "ignore must be an integer label"),
        (lambda: contingency_table([0], [0], ignore=np.array(True)), "ignore must be an integer"),
        (lambda: contingency_table([0], [0], ignore=np.array([0.0])), "ignore must be an integer"),
        (lambda: contingency_table([0], [0], ignore=np.array(0.0)), "ignore must be an integer"),
        (lambda: contingency_table([0], [0], ignore=np.array([[0]])), "ignore must be an integer"),
        (lambda: contingency_table([0], [0], ignore=torch.ones(1)), "ignore must be an integer"),
        (lambda: contingency_table([0], [0], ignore=[torch.tensor(True)]), "ignore must be an int"),
        (lambda: contingency_table([0], [0], ignore=[None]), "ignore must be an integer label"),
        (lambda: contingency_table([0], [0], ignore={"a": 0}), "ignore must name the sides"),
        (lambda: contingency_table([0], [0], ignore=2**64), "ignore must hold labels within int64"),
        (lambda: COUNTS + WEIGHTS, "weight must be given for all parts of a table or for none"),
        (lambda: WEIGHTS + SEVERAL, "weight must have the same number of measures"),
        (
            lambda: contingency_table([0], [0], features=[[1.0]]) + COUNTS,
            "features must be as many in all parts of a table, got 1 and 0",
        ),
        (lambda: ContingencyTable().merge(3), "other must be a ContingencyTable, got int"),
        (lambda: ContingencyTable.stack([]), "tables must hold at least one table, got none"),
        (lambda: ContingencyTable.stack([COUNTS, WEIGHTS]), "weight must be given for all parts"),
        (
            lambda: ContingencyTable.stack([COUNTS, ContingencyTable()]),
            "the contingency table is empty",
        ),
        (lambda: COUNTS.to_dense(limit=3), "limit is 3 entries, and the dense table of 2 x 2"),
        (lambda: SEVERAL.to_dense(limit=7), "would have 8"),
        (lambda: SEVERAL.to_scipy(), "to_scipy takes a table of one measure, got 2"),
        (lambda: SEVERAL.measure(2), "index must be in 0 … 1, got 2"),
        (lambda: COUNTS.x_features, "features must be given to contingency_table here"),
        (lambda: ContingencyTable.stack([COUNTS]).y_features, "features must be given"),
        (
            lambda: (
                contingency_table(
                    [0, 1], [0, 0], weight=[[1.0, 0.0], [1.0, 1.0]], features=[[1.0, 2.0]]
                ).x_features
            ),
            "weight must have a first measure above 0 in every region",
        ),
        (lambda: ContingencyTable.from_cells([0], [0], [-1]), "values must be finite and not neg"),
        (lambda: ContingencyTable.from_cells([0], [0], [np.nan]), "values must be finite and not"),
        (lambda: ContingencyTable.from_cells([0], [0], ["a"]), "values must hold real numbers"),
        (lambda: ContingencyTable.from_cells([-1], [0], [1]), "x must hold labels that are not"),
        (lambda: ContingencyTable.from_cells([0], [0.5], [1]), "y must hold integer labels"),
        (lambda: ContingencyTable.from_cells([0, 1], [0], [1]), "values must have shape"),
        (
            lambda: ContingencyTable.from_cells([0], [0], [1], features=[[np.inf]]),
            "features must be finite",
        ),
    ],
)
def test_errors(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("name", ["rand_index", "adjusted_rand_index", "adapted_rand_error"])
def test_pairs_of_pixels_are_counted(name: str) -> None:
    for table in (WEIGHTS, ContingencyTable.stack([WEIGHTS])):
        with pytest.raises(ValueError, match=f"{name} counts pairs of pixels: it needs a table of"):
            MEASURES[name](table)


@pytest.mark.parametrize(
    "name",
    [
        "mirkin_distance",
        "van_dongen_distance",
        "variation_of_information",
        "larsen_aone_dissimilarity",
        "earth_movers_distance",
        "microm_distance",
        "rand_index",
        "adjusted_rand_index",
        "adapted_rand_error",
    ],
)
def test_formulas_of_one_measure(name: str) -> None:
    """They name themselves."""
    with pytest.raises(
        ValueError, match=rf"{name} takes a table of one measure, got 2.*measure\(i\)"
    ):
        MEASURES[name](SEVERAL)


# Ranks

RANKS = """
import sys
import numpy as np
import torch.distributed as dist
from metriseg.partitions import ContingencyTable, contingency_table

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
generator = np.random.default_rng(0)
x = generator.integers(2**40, size=9)[generator.integers(9, size=300)]
y = generator.integers(7, size=300)
# whole numbers, halves and quarters add up exactly in any order
weight = generator.integers(9, size=(3, 300)) / 4
features = generator.integers(-9, 9, size=(2, 300)) / 2
for options in (
    {},
    {"features": features},
    {"weight": weight[0]},
    {"weight": weight[:1]},
    {"weight": weight, "features": features},
):
    whole = contingency_table(x, y, **options)
    for cut in (37, 0, 300):
        mine = slice(cut, None) if rank else slice(0, cut)
        table = ContingencyTable()
        if len(x[mine]):
            part = {name: values[..., mine] for name, values in options.items()}
            table.update(x[mine], y[mine], **part)
        assert table.all_reduce() is table
        assert table == whole, (options.keys(), cut, table)
        assert table.update(x, y, **options) == whole + whole
assert ContingencyTable().all_reduce().is_empty
try:
    ContingencyTable.from_cells([0], [0], [1.0 if rank else 1]).all_reduce()
except ValueError as error:
    assert "weight must be given for all parts" in str(error)
else:
    raise AssertionError("ranks that count and ranks that weigh have no sum")
dist.destroy_process_group()
"""


def test_ranks_add_up(tmp_path: Path) -> None:
    """Two processes with 37 and 263 pixels, or none and all: each has the table of the whole."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANKS, str(rank), str(tmp_path / "store")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)


def test_without_a_process_group_nothing_happens() -> None:
    table = contingency_table([0, 1], [0, 0])
    before = copy.deepcopy(table)
    assert table.all_reduce() is table
    assert table == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    """The table of the CPU, of counts exactly, whichever map lies there."""
    x, y = (torch.from_numpy(one) for one in random_maps((50, 60, 7)))
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(2, *x.shape, generator=generator)
    assert contingency_table(x.cuda(), y.cuda(), ignore=3) == contingency_table(x, y, ignore=3)
    assert contingency_table(x.cuda(), y.numpy()) == contingency_table(x, y.cuda())
    found = contingency_table(x.cuda(), y.cuda(), weight=weight.cuda(), features=weight)
    expected = contingency_table(x, y, weight=weight, features=weight)
    for ours, theirs in zip(found.cells, expected.cells, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
