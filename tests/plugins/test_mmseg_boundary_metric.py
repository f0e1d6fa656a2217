"""The F-score of boundaries in MMEngine's evaluators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmseg")

from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

import metriseg_mmseg
from metriseg_mmseg.registry import METRICS

NAMES = ("ground", "tree", "car")


@pytest.fixture(autouse=True)
def _scope() -> None:
    register_all_modules()


def sample(truth: Any, prediction: Any) -> SegDataSample:
    made = SegDataSample()
    made.gt_sem_seg = PixelData(data=torch.as_tensor(np.asarray(truth))[None])
    made.pred_sem_seg = PixelData(data=torch.as_tensor(np.asarray(prediction))[None])
    return made


def evaluate(
    *samples: SegDataSample, names: tuple[str, ...] | None = NAMES, **config: Any
) -> dict[str, float]:
    """By MMEngine's evaluator, as its loops do it."""
    evaluator = Evaluator([{"type": "metriseg_mmseg.BoundaryFScore", **config}])
    evaluator.dataset_meta = {} if names is None else {"classes": names}
    for one in samples:
        evaluator.process(data_samples=[one], data_batch=None)
    found: dict[str, float] = evaluator.evaluate(len(samples))
    return found


PERFECT = sample([[0, 0, 1, 1]], [[0, 0, 1, 1]])
SHIFTED = sample([[0, 0, 1, 1, 1]], [[0, 1, 1, 1, 2]])
PLAIN = sample([[0, 0, 0]], [[0, 0, 0]])


def test_the_mean_over_classes_then_images() -> None:
    """Perfect: 1, 1. Shifted, within a pixel: ground 1; of the tree's two ends in the prediction,
    pixels 1 and 3, both are within 1 of pixel 2, as that is of them: 1; a car that isn't there: 0.
    The plain image has no boundary: (1 + 2/3) / 2.
    """
    found = evaluate(PERFECT, SHIFTED, PLAIN, tolerance=1.0, per_class=True)
    assert found == {
        "boundary/f_score": pytest.approx((1 + 2 / 3) / 2),
        "boundary/f_score_ground": 1,
        "boundary/f_score_tree": 1,
        "boundary/f_score_car": 0,
    }


def test_the_tolerance_of_an_image_is_its_diagonals() -> None:
    """0.75 % of 5 pixels is less than one: ground and tree miss."""
    assert evaluate(SHIFTED) == {"boundary/f_score": 0}


def test_nothing_to_compare_is_undefined() -> None:
    assert math.isnan(evaluate(PLAIN)["boundary/f_score"])


def test_the_config_decides() -> None:
    """The ignored label, the prefix; float zeros and ones of a binary head."""
    one = sample([[0, 9, 1, 1]], np.array([[0.0, 0.0, 1.0, 1.0]]))
    assert math.isnan(evaluate(one, ignore_index=9)["boundary/f_score"])
    assert list(evaluate(PERFECT, prefix="edges")) == ["edges/f_score"]


def test_it_is_found_by_its_name_alone() -> None:
    built = METRICS.build({"type": "metriseg_mmseg.BoundaryFScore"})
    assert type(built) is metriseg_mmseg.BoundaryFScore
    with pytest.raises(ValueError, match="tolerance must be"):
        METRICS.build({"type": "metriseg_mmseg.BoundaryFScore", "tolerance": -1})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="names of the classes"):
        evaluate(PERFECT, names=None)
    unlabelled = sample([[1]], [[1]])
    del unlabelled.gt_sem_seg
    with pytest.raises(ValueError, match="data_samples must hold gt_sem_seg"):
        evaluate(unlabelled)
