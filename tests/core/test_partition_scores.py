"""Scores of label maps as partitions, image by image and averaged."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.partitions import (
    DEFAULT_SCORES,
    MEASURES,
    SCORES,
    PartitionScores,
    mean_scores,
    partition_scores,
)
from reference import partition_scores as oracle

VOID = 255


def random_maps(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Three classes; some pixels of the truth are void."""
    random = np.random.default_rng(seed)
    truth = random.integers(3, size=shape)
    prediction = np.where(random.random(shape) < 0.7, truth, random.integers(3, size=shape))
    return np.where(random.random(shape) < 0.2, VOID, truth), prediction


@pytest.mark.parametrize(
    ("shape", "connectivity"), [((5, 6), 1), ((5, 6), 2), ((3, 3, 4), 2), ((17,), 1)]
)
@pytest.mark.parametrize("ignore_index", [None, VOID])
def test_components_equal_naive_loops(
    shape: tuple[int, ...], connectivity: int, ignore_index: int | None
) -> None:
    """Regions are filled pixel by pixel, and pairs of pixels are counted one by one."""
    for seed in range(4):
        truth, prediction = random_maps(seed, shape)
        valid = np.ones(shape, bool) if ignore_index is None else truth != ignore_index
        expected = oracle.scores(
            oracle.components(truth, valid, connectivity),
            oracle.components(prediction, valid, connectivity),
        )
        found = partition_scores(
            truth, prediction, connectivity=connectivity, ignore_index=ignore_index
        )
        assert found == pytest.approx(expected, abs=1e-12)
        assert list(found) == list(DEFAULT_SCORES)


@pytest.mark.parametrize("ignore_index", [None, VOID])
def test_labels_equal_naive_loops(ignore_index: int | None) -> None:
    truth, prediction = random_maps(7, (5, 6))
    valid = np.ones(truth.shape, bool) if ignore_index is None else truth != ignore_index
    expected = oracle.scores(truth[valid].tolist(), prediction[valid].tolist())
    found = partition_scores(truth, prediction, segments="labels", ignore_index=ignore_index)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_split_segment() -> None:
    """Truth aaaa, prediction aabb.

    Which half a pixel is in is one bit: split is ln 2, merge is 0. Of the 6 pairs that the truth
    joins the prediction joins 2: the error is 1 - 2*2/(6 + 2) = 1/2. It parts 8 of the 16 ordered
    pairs.
    """
    found = partition_scores([[1, 1, 1, 1]], [[1, 1, 0, 0]])
    assert found == pytest.approx(
        {
            "variation_of_information": math.log(2),
            "split": math.log(2),
            "merge": 0.0,
            "adapted_rand_error": 0.5,
            "normalized_partition_distance": 0.5,
        }
    )


def test_components_see_what_classes_hide() -> None:
    """Two bars of one class with a gap between, 5 pixels each, and a prediction that joins all.

    The bars are two segments: merge is ln 3. By labels they are one of 10 pixels:
    H(1/3, 2/3) = ln 3 - 2/3 ln 2.
    """
    truth = np.repeat([[1], [0], [1]], 5, axis=1)
    bridged = np.ones_like(truth)
    assert partition_scores(truth, bridged, metrics="merge")["merge"] == pytest.approx(math.log(3))
    by_label = partition_scores(truth, bridged, metrics="merge", segments="labels")["merge"]
    assert by_label == pytest.approx(math.log(3) - 2 / 3 * math.log(2))


@pytest.mark.parametrize("segments", ["components", "labels"])
def test_right_wherever_it_is_known_is_perfect(segments: Any) -> None:
    """The prediction goes straight through the void that cuts the truth in two."""
    truth = [[1, 1, VOID, 1, 1], [0, 0, VOID, VOID, 0]]
    prediction = [[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]
    every = partition_scores(
        truth, prediction, metrics=list(SCORES), segments=segments, ignore_index=VOID
    )
    assert every == {name: SCORES[name].best for name in SCORES}


def test_every_score_is_free_of_the_size() -> None:
    """Each pixel enlarged to 2 x 2 changes none of those that don't count pairs of pixels."""
    truth, prediction = random_maps(3, (6, 7))
    larger = [np.kron(labels, np.ones((2, 2), np.int64)) for labels in (truth, prediction)]
    names = [name for name in SCORES if SCORES[name].needs != "counts"]
    small = partition_scores(truth, prediction, metrics=names)
    assert partition_scores(*larger, metrics=names) == pytest.approx(small)
    assert all(not SCORES[name].unit.startswith("pixels") for name in SCORES)
    assert "normalized_van_dongen_distance" in names
    assert not set(SCORES) & {name for name, one in MEASURES.items() if "pixels" in one.unit}


@pytest.mark.parametrize("segments", ["components", "labels"])
def test_nothing_to_compare_is_undefined(segments: Any) -> None:
    found = partition_scores(
        np.full((2, 3), VOID), np.zeros((2, 3), int), segments=segments, ignore_index=VOID
    )
    assert list(found) == list(DEFAULT_SCORES)
    assert all(map(math.isnan, found.values()))


def test_ignored_labels_may_be_negative_and_types_may_be_small() -> None:
    truth = torch.tensor([[1, 1, -1, 0]], dtype=torch.int8)
    prediction = torch.tensor([[True, True, True, False]])
    assert partition_scores(truth, prediction, metrics="split", ignore_index=-1) == {"split": 0.0}


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int16, np.int64, torch.uint8, torch.int]
)
@pytest.mark.parametrize("segments", ["components", "labels"])
def test_a_wall_in_any_type(dtype: Any, segments: Any) -> None:
    """The pixel of 0 in the middle is left out, and parts two segments of the truth.

    The prediction's 1 and 2 are the same two: nothing is split. By labels the truth is one segment
    of two pixels: ln 2, and neither pixel pairs agree. A wall of -1 among bytes was 255, a pixel of
    the segment.
    """
    truth, prediction = np.array([[255, 0, 255]]), np.array([[1, 1, 2]])
    if isinstance(dtype, torch.dtype):
        given = torch.from_numpy(truth).to(dtype), torch.from_numpy(prediction).to(dtype)
    else:
        given = truth.astype(dtype), prediction.astype(dtype)
    found = partition_scores(
        *given, metrics=["split", "rand_index"], segments=segments, ignore_index=0
    )
    expected = (0.0, 1.0) if segments == "components" else (math.log(2), 0.0)
    assert found == dict(zip(("split", "rand_index"), map(pytest.approx, expected), strict=True))


@pytest.mark.parametrize("ignore_index", [-1, 300, 2**40])
def test_what_a_type_cannot_hold_is_nowhere_in_it(ignore_index: int) -> None:
    """Bytes have no -1: not 255, and not 300 less 256."""
    truth = np.array([[255, 44, 255]], np.uint8)
    for one in (truth, torch.from_numpy(truth)):
        found = partition_scores(one, [[1, 1, 2]], metrics="split", ignore_index=ignore_index)
        assert found == partition_scores(one, [[1, 1, 2]], metrics="split")


def test_large_instance_numbers() -> None:
    truth = np.array([[2**62, 2**62, 5]])
    found = partition_scores(truth, [[0, 0, 1]], metrics="rand_index", segments="labels")
    assert found == {"rand_index": 1.0}


@pytest.mark.parametrize("segments", ["components", "labels"])
@pytest.mark.parametrize("order", ["<u8", ">u8"])
def test_a_background_of_all_bits(segments: Any, order: str) -> None:
    """As CREMI writes it; neighbours of it are other labels. The two segments are found."""
    background = 2**64 - 1
    truth = np.array([[background, background - 1, background - 1, 2**63]], np.uint64).astype(order)
    found = partition_scores(
        truth, [[4, 5, 5, 6]], metrics="rand_index", segments=segments, ignore_index=background
    )
    assert found == {"rand_index": 1.0}
    found = partition_scores(
        truth, [[4, 5, 5, 4]], metrics="rand_index", segments=segments, ignore_index=2**63
    )
    assert found == {"rand_index": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": "partition_distance"}, "did you mean 'normalized_partition_distance'"),
        ({"metrics": ["split", "rand_indx"]}, "got 'rand_indx': did you mean 'rand_index'"),
        ({"metrics": []}, "metrics must be one name or several"),
        ({"metrics": 3}, "metrics must be one name or several, got 3"),
        ({"segments": "classes"}, "segments must be one of 'components', 'labels'"),
        ({"connectivity": 0}, "connectivity must be a whole number >= 1, got 0"),
        ({"connectivity": 3}, "connectivity must be in 1 … 2, got 3"),
        ({"ignore_index": 0.5}, "ignore_index must be an integer or None"),
        ({"prediction": [[0, 1]]}, r"prediction must have the shape of truth, \(2, 2\)"),
        ({"prediction": [[0.0, 1], [1, 1]]}, "prediction must hold integer labels, got dtype fl"),
        ({"truth": [[0, -1], [1, 1]]}, "truth must hold labels that are not negative"),
        ({"ignore_index": 2**64}, "ignore_index must be a label within int64 or uint64"),
        ({"truth": np.zeros((0, 2), int)}, "truth must hold at least one pixel"),
    ],
)
def test_what_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"truth": [[0, 1], [1, 1]], "prediction": [[0, 1], [1, 1]], **change}
    with pytest.raises(ValueError, match=message):
        partition_scores(given.pop("truth"), given.pop("prediction"), **given)


def test_settled_scores_travel() -> None:
    settled = PartitionScores(["split", "split"], segments="labels", ignore_index=0)
    assert settled.names == ("split",)
    again = pickle.loads(pickle.dumps(settled))
    assert again == settled
    assert again([[1, 1]], [[2, 3]]) == {"split": pytest.approx(math.log(2))}


def test_means_are_of_the_defined() -> None:
    """(1 + 2)/2, and nothing at all."""
    images = [
        {"split": 1.0, "merge": math.nan},
        {"split": math.nan, "merge": math.nan},
        {"split": 2.0, "merge": math.nan},
    ]
    means = mean_scores(images, ["split", "merge"])
    assert means["split"] == 1.5
    assert math.isnan(means["merge"])
    assert math.isnan(mean_scores([], ["split"])["split"])
