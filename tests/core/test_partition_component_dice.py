"""The Dice of every component: by hand, and against loops over pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metriseg.partitions import component_dice, component_scores
from reference import component_dice as reference


@pytest.mark.parametrize("near", [1, 2, 8])
@pytest.mark.parametrize("seed", range(4))
def test_against_loops(seed: int, near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ties, which the first component gets, however many pixels are as near."""
    monkeypatch.setattr(component_scores, "NEAR", near)
    generator = np.random.default_rng(seed)
    for shape in ((12,), (7, 8), (4, 5, 4)):
        truth = generator.random(shape) < 0.2
        prediction = generator.random(shape) < 0.5
        for reach in (None, 1):
            for spacing in (None, [1.5, 1.0, 0.5][: len(shape)]):
                found = component_dice(truth, prediction, connectivity=reach, spacing=spacing)
                expected = reference.component_dice(
                    truth, prediction, reach or len(shape), spacing or [1.0] * len(shape)
                )
                assert found.dice.tolist() == pytest.approx(expected, rel=1e-14)
                assert found.sizes.sum() == truth.sum()
                assert found.predicted.sum() + found.invented == prediction.sum()


def test_by_hand() -> None:
    """Components of 3 and 1 pixels; the one in the middle of the gap goes to the first.

    1 1 1 . . . 1 against . 1 1 1 1 . 1: 4 / (3 + 4), and 2 / (1 + 1).
    """
    truth, prediction = [5, 5, 5, 0, 0, 0, 2], torch.tensor([0, 1, 1, 1, 1, 0, 1])
    found = component_dice(truth, prediction)
    assert found.dice.tolist() == [4 / 7, 1.0]
    assert found.predicted.tolist() == [4, 1]
    assert found.mean == pytest.approx((4 / 7 + 1) / 2)
    diagonal = [[1, 0], [0, 1]]
    assert len(component_dice(diagonal, diagonal).dice) == 1
    assert component_dice(diagonal, diagonal, connectivity=1).dice.tolist() == [1, 1]


def test_without_components() -> None:
    assert component_dice([0, 0], [0, 0]).mean == 1
    nothing = component_dice([0, 0], [0, 1])
    assert (nothing.mean, nothing.invented, nothing.dice.tolist()) == (0, 1, [])
    assert component_dice([0, 1], [0, 0]).mean == 0
    assert component_dice(np.ones((2, 2)) > 0, np.ones((2, 2)) > 0).mean == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prediction": [0, 1]}, r"prediction must have the shape of truth, \(3,\), got \(2,\)"),
        ({"truth": [0.5, 1, 1]}, "truth must hold integer labels, got dtype float64"),
        ({"connectivity": 2}, "connectivity must be in 1 … 1, got 2"),
        ({"spacing": [1, 2]}, "spacing must be 1 numbers, one an axis"),
    ],
)
def test_what_is_refused(change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"truth": [0, 1, 1], "prediction": [0, 1, 0], **change}
    with pytest.raises(ValueError, match=words):
        component_dice(given.pop("truth"), given.pop("prediction"), **given)
