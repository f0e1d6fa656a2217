"""Which pixels count: a mask in a table and in scores, labels left out a side, boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metriseg.partitions import (
    ContingencyTable,
    boundary_mask,
    contingency_table,
    partition_scores,
)
from metriseg.partitions.counting import arrays, ignored_labels, tensors
from reference import masks as reference

SHAPE = (5, 6, 7)


def case(seed: int, shape: tuple[int, ...] = SHAPE) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    # runs along the last axis, so that a mask cuts them
    x, y = (generator.integers(4, size=(*shape[:-1], 1)).repeat(shape[-1], -1) for _ in range(2))
    y[..., -2:] = 9
    mask = generator.random(shape) < 0.6
    mask[0] = False
    return {"x": x, "y": y, "mask": mask, "weight": generator.integers(4, size=(2, *shape))}


def of_kept(x: Any, y: Any, mask: Any, weight: Any = None) -> ContingencyTable:
    """Without the pixels."""
    kept = None if weight is None else weight[:, mask].astype(float)
    features = None if weight is None else weight[:, mask].astype(float) ** 2
    return contingency_table(x[mask], y[mask], weight=kept, features=features)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["array", "fortran", "tensor", "device", "dask", "zarr"])
@pytest.mark.parametrize("block", [4, 1 << 16])
def test_as_if_the_other_pixels_were_not_there(
    seed: int, kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they hold: negative labels, and weights and features that are no numbers."""
    monkeypatch.setattr(arrays, "BLOCK", block)
    monkeypatch.setattr(tensors, "BLOCK", block)
    given = case(seed)
    counts, weighted = of_kept(given["x"], given["y"], given["mask"]), of_kept(**given)
    x, y, mask = (given[name].copy() for name in ("x", "y", "mask"))
    weight = given["weight"].astype(float)
    x[~mask], y[~mask] = -7, -1
    features = weight**2
    weight[:, ~mask], features[:, ~mask] = np.nan, np.inf
    if kind == "device":
        nothing = ignored_labels(None)
        tables = [ContingencyTable(), ContingencyTable()]
        for table, planes in zip(tables, ((None, None), (weight, features)), strict=True):
            for cells in tensors.cells_of_tensors(torch.from_numpy(x), y, *planes, nothing, mask):
                table._add(cells)
        assert tables == [counts, weighted]
        return
    if kind == "fortran":
        x, y, mask = (np.asfortranarray(one) for one in (x, y, mask))
    elif kind == "tensor":
        x, mask = torch.from_numpy(x), torch.from_numpy(mask)
    elif kind == "dask":
        dask = pytest.importorskip("dask.array", reason="dask is not installed")
        x, mask = dask.from_array(x, chunks=(2, 3, 4)), dask.from_array(mask, chunks=(1, 6, 5))
    elif kind == "zarr":
        zarr = pytest.importorskip("zarr", reason="zarr is not installed")
        mask = zarr.create_array({}, data=mask, chunks=(2, 3, 4))
    assert contingency_table(x, y, mask=mask) == counts
    assert contingency_table(x, y, mask=mask).is_count
    assert contingency_table(x, y, mask=mask, weight=weight, features=features) == weighted


def test_by_hand() -> None:
    """Of 1 1 2 2 and 5 6 6 6 without the third pixel three pairs are left; of none nothing."""
    x, y = [1, 1, 2, 2], [5, 6, 6, 6]
    table = contingency_table(x, y, mask=[True, True, False, True])
    assert table.to_dense().tolist() == [[1, 1], [0, 1]]
    assert contingency_table(x, y, mask=[False] * 4).is_empty
    assert contingency_table(x, y, mask=[True] * 4) == contingency_table(x, y)
    assert contingency_table(x, y, mask=[True, True, False, True], ignore={"y": 5}).total == 2


@pytest.mark.parametrize(
    ("ignore", "total"),
    [(0, 1), ({"x": 0}, 2), ({"y": 0}, 2), ({"x": 0, "y": 0}, 1), ({"x": [0, 3], "y": 2}, 0)],
)
def test_labels_left_out_of_one_side(ignore: Any, total: int) -> None:
    table = contingency_table([0, 0, 3, 3], [0, 2, 0, 2], ignore=ignore)
    assert (0 if table.is_empty else table.total) == total


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ([1, 0, 1, 1], r"mask must be bool of the shape of x, \(4,\), got int64 of \(4,\)"),
        ([True], r"mask must be bool of the shape of x, \(4,\), got bool of \(1,\)"),
        (torch.ones(4), r"mask must be bool of the shape of x, \(4,\), got float32 of \(4,\)"),
    ],
)
def test_masks_that_are_refused(mask: Any, words: str) -> None:
    maps = [0, 1, 1, 1], [0, 0, 1, 1]
    with pytest.raises(ValueError, match=words):
        contingency_table(*maps, mask=mask)
    with pytest.raises(ValueError, match=words):
        next(
            tensors.cells_of_tensors(
                torch.tensor(maps[0]), maps[1], None, None, ignored_labels(None), mask
            )
        )
    with pytest.raises(ValueError, match=words.replace("of x", "of truth")):
        partition_scores(*maps, mask=mask)
    dask = pytest.importorskip("dask.array", reason="dask is not installed")
    with pytest.raises(ValueError, match=words):
        contingency_table(dask.from_array(np.array(maps[0])), maps[1], mask=mask)


@pytest.mark.parametrize("segments", ["components", "labels"])
def test_scores_under_a_mask_are_those_of_an_ignored_label(segments: Any) -> None:
    given = case(3)
    truth = np.where(given["mask"], given["x"], 255)
    chosen: dict[str, Any] = {"metrics": ["split", "merge", "rand_index"], "segments": segments}
    expected = partition_scores(truth, given["y"], ignore_index=255, **chosen)
    assert partition_scores(given["x"], given["y"], mask=given["mask"], **chosen) == expected
    both = partition_scores(given["x"], given["y"], mask=given["mask"], ignore_index=2, **chosen)
    truth[truth == 2] = 255
    assert both == partition_scores(truth, given["y"], ignore_index=255, **chosen)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [0, 1, 1.5, 2, 7])
def test_boundaries_by_pairs_of_pixels(seed: int, width: float) -> None:
    generator = np.random.default_rng(seed)
    for shape in ((9,), (5, 6), (3, 4, 5)):
        labels = generator.integers(2, size=[-(-n // 3) for n in shape])
        for axis, length in enumerate(shape):
            labels = labels.repeat(3, axis).take(range(length), axis)
        spacing = [2.0, 1.0, 0.5][: len(shape)]
        for axis in (None, *range(-1, len(shape))) if len(shape) > 1 else (None,):
            section = None if axis is None else axis % len(shape)
            expected = reference.boundary_mask(labels, width, [1.0] * labels.ndim, section)
            assert (boundary_mask(labels, width, axis=axis) == expected).all()
            expected = reference.boundary_mask(labels, width, spacing, section)
            assert (boundary_mask(labels, width, spacing=spacing, axis=axis) == expected).all()


def test_boundaries_of_large_labels_and_of_one() -> None:
    """2^64 - 1 and 2^64 - 2 are two labels; where there is one, every pixel counts."""
    labels = np.array([2**64 - 1, 2**64 - 1, 2**64 - 2, 2**64 - 2], np.uint64)
    assert boundary_mask(labels, 0).tolist() == [True, False, False, True]
    assert boundary_mask(np.full((3, 3), 2**64 - 1, np.uint64), 5).all()
    assert boundary_mask(torch.tensor([[4, 4, 5]]), 0).tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": -1}, r"width must be a finite number in \[0, inf\], got -1"),
        ({"labels": [[0.5]]}, "labels must hold integer labels"),
        ({"labels": []}, "labels must hold at least one pixel"),
        ({"spacing": [1.0]}, r"spacing must be 2 numbers, one an axis, got \[1.0\]"),
        ({"spacing": 1.0}, "spacing must be 2 numbers"),
        ({"spacing": [1.0, 0.0]}, r"spacing\[1\] must be a finite number in \(0"),
        ({"axis": 2}, "axis must be one of the 2 of labels, got 2"),
        ({"axis": "z"}, "axis must be an axis of labels or None, got 'z'"),
    ],
)
def test_boundaries_that_are_refused(change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"labels": [[0, 1], [1, 1]], "width": 1, **change}
    with pytest.raises(ValueError, match=words):
        boundary_mask(given.pop("labels"), given.pop("width"), **given)
