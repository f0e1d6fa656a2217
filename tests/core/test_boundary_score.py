"""The F-score of boundaries: values worked by hand, and the loops of the definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.distances import boundary_f_score
from reference.metrics import boundary_f_scores


def test_a_square_that_is_one_pixel_off() -> None:
    """3 x 3 in 7 x 7, moved one to the right; both squares have a boundary of 8 pixels.

    Within 0 pixels: 4 of either lie on the other's (upper and lower row, two pixels each), so
    P = R = F = 1/2; within 1 pixel all do. The ground has 12 pixels beside either square, three a
    side. Of these both sets share two above and two below: P = R = F = 4 / 12.
    """
    truth, found = (torch.zeros(7, 7, dtype=torch.long) for _ in range(2))
    truth[2:5, 2:5] = 1
    found[2:5, 3:6] = 1
    assert boundary_f_score(found, truth, 2, tolerance=0.0)[1] == 0.5
    assert boundary_f_score(found, truth, 2, tolerance=0.0)[0].item() == pytest.approx(4 / 12)
    assert boundary_f_score(found, truth, 2, tolerance=1.0)[1] == 1
    assert boundary_f_score(truth, truth, 2, tolerance=0.0).tolist() == [1, 1]


def test_the_tolerance_of_the_paper() -> None:
    """The diagonal of 300 x 400 is 500: 3.75 pixels, so three pixels off are near and four not."""
    truth = torch.zeros(300, 400, dtype=torch.long)
    truth[:, 200:] = 1
    for shift, expected in ((3, 1.0), (4, 0.0)):
        found = torch.zeros_like(truth)
        found[:, 200 + shift :] = 1
        assert boundary_f_score(found, truth, 2).tolist() == [expected, expected]


def test_precision_and_recall_differ() -> None:
    """Class 1 in truth: pixels 2 and 3 of a line, both boundary. Found: 2, and 7 and 8 as well.

    P = 1/3, R = 1/2 (within 0 pixels): F = 2/5.
    """
    truth = torch.tensor([[0, 0, 1, 1, 0, 0, 0, 0, 0, 0]])
    found = torch.tensor([[0, 0, 1, 0, 0, 0, 0, 1, 1, 0]])
    assert boundary_f_score(found, truth, 2, tolerance=0.0)[1].item() == pytest.approx(2 / 5)


def test_classes_that_are_missing() -> None:
    """In one of the two: 0. In neither, or without an end in the image: no score."""
    half = torch.tensor([[0, 0, 1, 1]])
    whole = torch.zeros_like(half)
    assert boundary_f_score(whole, half, 2).tolist() == [0, 0]
    assert boundary_f_score(half, whole, 2).tolist() == [0, 0]
    assert boundary_f_score(whole, whole, 2).isnan().all()


def test_pixels_that_do_not_count_make_no_boundary() -> None:
    """Beside the ignored pixel there is none; what is predicted there doesn't matter."""
    truth = torch.tensor([[0, 0, 255, 1, 1]])
    for inside in (0, 1, 2):
        found = torch.tensor([[0, 0, inside, 1, 1]])
        assert boundary_f_score(found, truth, 3, ignore_index=255).isnan().all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ignored", [None, 255])
def test_against_the_loops(seed: int, ignored: int | None) -> None:
    drawn = np.random.default_rng(seed)
    shape = (7 + seed, 9)
    truth, found = (
        np.repeat(np.repeat(drawn.integers(4, size=(5, 3)), 3, 0), 3, 1)[: shape[0]]
        for _ in range(2)
    )
    truth = truth.copy()
    if ignored is not None:
        truth[drawn.random(truth.shape) < 0.2] = ignored
    found = np.where(drawn.random(found.shape) < 0.5, np.where(truth == 255, 0, truth), found)
    for tolerance in (0.0, 1.0, 1.5, 3.0):
        expected = boundary_f_scores(found, truth, 5, tolerance, ignored)
        result = boundary_f_score(
            torch.from_numpy(found),
            torch.from_numpy(truth),
            5,
            tolerance=tolerance,
            ignore_index=ignored,
        )
        assert result.tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)


LINE = torch.zeros(1, 4, dtype=torch.long)


@pytest.mark.parametrize(
    ("arguments", "words", "message"),
    [
        ((LINE.float(), LINE, 2), {}, "prediction must be an integer tensor"),
        ((LINE, LINE[0], 2), {}, r"target must be an integer tensor of shape \(H, W\)"),
        ((LINE[:, 1:], LINE, 2), {}, r"prediction must have the shape of target, \(1, 4\)"),
        ((LINE, LINE, 0), {}, "num_classes must be"),
        ((LINE, LINE, 2), {"tolerance": -1.0}, "tolerance must be"),
        ((LINE, LINE, 2), {"tolerance": math.nan}, "tolerance must be"),
    ],
)
def test_bad_arguments(arguments: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        boundary_f_score(*arguments, **words)
