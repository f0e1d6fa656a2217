"""Label maps, weights and features as arrays of whatever kind: read as they are, or refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.arrays import host, integer_array, is_among, place_in
from metriseg.components import connected_components
from metriseg.partitions import (
    ContingencyTable,
    PartitionIndex,
    check_metric_axioms,
    contingency_table,
    disagreement_map,
    intensity_bins,
    partition_scores,
    partition_sketch,
    satisfies_weight_conditions,
    signature_distance,
)

PLAIN = np.array([[0, 0, 1], [1, 1, 1]])
TABLE = contingency_table(PLAIN, PLAIN)

#: What takes a map, a weight or features, with one of them given; and the name that it has there.
TAKERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "x": ("x", lambda given: contingency_table(given, PLAIN)),
    "y": ("y", lambda given: contingency_table(PLAIN, given)),
    "weight": ("weight", lambda given: contingency_table(PLAIN, PLAIN, weight=given)),
    "features": ("features", lambda given: contingency_table(PLAIN, PLAIN, features=given[None])),
    "update": ("y", lambda given: ContingencyTable().update(PLAIN, given)),
    "from_cells": ("values", lambda given: ContingencyTable.from_cells([0] * 3, [0] * 3, given[0])),
    "truth": ("truth", lambda given: partition_scores(given, PLAIN)),
    "prediction": ("prediction", lambda given: partition_scores(PLAIN, given)),
    "map x": ("x", lambda given: disagreement_map(TABLE, given, PLAIN)),
    "map y": ("y", lambda given: disagreement_map(TABLE, PLAIN, given)),
    "components": ("labels", connected_components),
    "index": (r"partitions\[1\]", lambda given: PartitionIndex([PLAIN, given])),
    "query": ("x", lambda given: PartitionIndex([PLAIN]).query(given)),
    "queries": (r"x\[1\]", lambda given: PartitionIndex([PLAIN]).query([PLAIN, given])),
    "index weight": ("weight", lambda given: PartitionIndex([PLAIN], weight=given)),
    "sketch": ("labels", lambda given: partition_sketch(given, 3)),
    "axioms": ("[xy]", lambda given: check_metric_axioms([PLAIN, given], "mirkin_distance")),
    "conditions": ("z", lambda given: satisfies_weight_conditions(PLAIN, PLAIN, given, (1, 1, 1))),
    "bins": ("image", lambda given: intensity_bins(given, value_range=(0, 1))),
    "signature": ("weights_p", lambda given: signature_distance(given[0], [1], [[1]] * 3)),
}


@pytest.mark.parametrize("taker", TAKERS)
def test_masked_arrays_are_refused_where_they_hide_something(taker: str) -> None:
    """A plain array would show what they hide; without anything hidden they are plain arrays."""
    name, take = TAKERS[taker]
    mask = np.array([[False, True, False], [False, False, False]])
    words = rf"^{name} must hold a value at every pixel, got a masked array that hides 1: fill them"
    with pytest.raises(ValueError, match=words):
        take(np.ma.array(PLAIN, mask=mask))
    if taker != "signature":
        take(np.ma.array(PLAIN, mask=mask & False))


def test_masked_arrays_within_others() -> None:
    """NumPy makes a plain array of a list of masked ones, and Dask one of masked chunks."""
    rows = [np.ma.array([0, 1], mask=[True, False]), [2, 3]]
    with pytest.raises(ValueError, match=r"x must hold a value at every pixel, .* hides 1"):
        contingency_table(rows, [[0, 0], [0, 0]])
    dask = pytest.importorskip("dask.array")
    chunks = dask.ma.masked_equal(dask.from_array(PLAIN, chunks=(1, 3)), 0)
    for take in (
        lambda: contingency_table(chunks, PLAIN),
        lambda: connected_components(chunks),
        lambda: partition_scores(chunks, PLAIN),
    ):
        with pytest.raises(ValueError, match="must hold a value at every pixel"):
            take()


def test_the_remedy_works() -> None:
    """Two pixels of 0 are hidden: filled with 9, which is left out, four pixels are counted."""
    masked = np.ma.masked_equal(PLAIN, 0)
    assert contingency_table(masked.filled(9), PLAIN, ignore={"x": 9}).total == 4


# ---------------------------------------------------------------------- tensors


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float16])
def test_tensors_of_types_that_numpy_lacks(dtype: torch.dtype) -> None:
    """Powers of 2 are exact in all: weights 1, 2, 4 on cells (0, 0), (1, 0), (1, 1)."""
    weight = torch.tensor([1.0, 2.0, 4.0]).to(dtype)
    table = contingency_table([0, 1, 1], [0, 0, 1], weight=weight, features=weight[None])
    assert table.values.tolist() == [1, 2, 4]
    assert table.y_features.tolist() == [[5 / 3], [4]]
    word = str(dtype).removeprefix("torch.")
    for take in (
        lambda labels: contingency_table(labels, [0, 1, 1]),
        lambda labels: partition_scores([0, 1, 1], labels),
        connected_components,
    ):
        with pytest.raises(ValueError, match=f"must hold integer labels, got dtype {word}"):
            take(weight)


def test_tensors_that_have_no_numbers_to_read() -> None:
    for tensor in (torch.zeros(3, device="meta", dtype=torch.long), torch.eye(3).to_sparse()):
        with pytest.raises(ValueError, match=r"x must be a tensor of numbers that can be read"):
            contingency_table(tensor, torch.zeros(3).long())


def test_tensors_that_are_views() -> None:
    """With a gradient, and with a lazy sign."""
    weight = torch.ones(3, requires_grad=True)
    assert contingency_table([0, 1, 1], [0, 0, 1], weight=weight).total == 3
    turned = torch.tensor([1j, 2j]).conj().imag
    assert turned.is_neg()
    assert host("weight", turned).tolist() == [-1, -2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[0, 1], [0]], "x must be an array, got list: "),
        ([0.5, 1], "x must hold integer labels, got dtype float64"),
        (["a"], "x must hold integer labels, got dtype <U1"),
        ([2**70], "x must hold integer labels, got dtype object"),
        (None, "x must hold integer labels, got dtype object"),
        ([2**63, -1], "x must hold integer labels, got dtype"),
    ],
)
def test_what_is_no_label_map(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        integer_array("x", given)


def test_lists_of_large_labels() -> None:
    """NumPy reads a small number beside one above 2^63 - 1 as floating-point numbers."""
    for given in ([0, 2**64 - 1], [[1], [2**63]], (2**63, np.int8(4)), [2**63]):
        found = integer_array("x", given)
        assert found.dtype == np.uint64
        assert found.ravel().tolist() == [int(one) for one in np.array(given, object).ravel()]


@pytest.mark.parametrize("known", [np.int64, np.uint64])
@pytest.mark.parametrize("wanted", [np.int64, np.uint64])
def test_places_of_labels_of_two_types(known: type, wanted: type) -> None:
    """By Python's integers, which know no types."""
    numbers = [-(2**63), -1, 0, 1, 5, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
    listed, asked = (
        [one for one in numbers if np.iinfo(kind).min <= one <= np.iinfo(kind).max]
        for kind in (known, wanted)
    )
    place, there = place_in(np.array(listed[::2], known), np.array(asked, wanted))
    for one, where, found in zip(asked, place, there, strict=True):
        assert found == (one in listed[::2])
        assert not found or listed[::2][where] == one
    for names in ((), (1,), tuple(numbers), range(-1, 30)):
        assert is_among(np.array(asked, wanted), names).tolist() == [one in names for one in asked]


# ---------------------------------------------------------------------- without torch

PROGRAM = """
import sys
import numpy as np
import metriseg.partitions as partitions
from metriseg.components import connected_components

x, y = np.array([[0, 0, 1], [2, 2, 1]]), np.array([[0, 1, 1], [2, 2, 1]])
table = partitions.contingency_table(x, y, ignore=2, weight=np.ones(x.shape))
assert all(np.isfinite(one(partitions.contingency_table(x, y)))
           for one in partitions.MEASURES.values() if one.needs != "features")
partitions.weighted_partition_distance(table, partitions.DiceWeight())
partitions.PartitionIndex([x, y]).query(x)
partitions.partition_sketch(x, 64)
partitions.partition_scores(x, y)
partitions.disagreement_map(table, x, y)
partitions.texture_bins(x.astype(float) / 2)
partitions.check_metric_axioms([x, y], "mirkin_distance")
connected_components(x)
sys.exit("torch" in sys.modules)
"""


def test_partitions_of_arrays_need_no_torch() -> None:
    """Tables, distances, search, sketch and scores; torch takes seconds to import."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "torch was imported"


@pytest.mark.parametrize("arguments", [["--help"], ["compare", "a.npy", "b.npy"], ["reproduce"]])
def test_the_command_line_needs_no_torch(tmp_path: Any, arguments: list[str]) -> None:
    pytest.importorskip("typer")
    pytest.importorskip("rich")
    np.save(tmp_path / "a.npy", PLAIN)
    np.save(tmp_path / "b.npy", PLAIN[:, ::-1])
    program = (
        "import sys\nfrom metriseg.__main__ import main\ntry:\n    main()\n"
        "except SystemExit as left:\n    sys.exit(left.code or 3 * ('torch' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr or "torch was imported"
    assert done.stdout
