"""What is special about losses of calibration, and the metric beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metriseg import AverageCalibrationLoss, CrossEntropyLoss, NeighborAwareCalibrationLoss
from metriseg import functional as F
from metriseg.calibration import classwise_bins, classwise_calibration_error
from reference.batches import IGNORE, random_labels, random_logits, random_soft_labels

# ---------------------------------------------------------------------- neighbours


def test_neighbor_aware_by_hand() -> None:
    """Labels 0 0 1: shares of class 0 are 2/3, 2/3, 1/3, of class 1 0, 1/3, 1/3.

    At logits (1, 0): |2/3 - 1| + 0, |2/3 - 1| + 1/3 and |1/3 - 1| + 1/3, in all 2, over 2 classes
    and 3 pixels; squared 1/9 + 2/9 + 5/9.
    """
    logits = torch.tensor([[[1.0] * 3, [0.0] * 3]], dtype=torch.float64)
    target = torch.tensor([[0, 0, 1]])
    entropy = CrossEntropyLoss()(logits, target).item()
    for norm, total in (("l1", 2.0), ("l2", 8 / 9)):
        loss = NeighborAwareCalibrationLoss(penalty_weight=0.3, norm=norm)
        assert loss(logits, target).item() == pytest.approx(entropy + 0.3 * total / 6)


def test_a_window_of_one_looks_at_the_pixel_alone() -> None:
    logits, target = random_logits(4), random_labels(4)
    one_hot = torch.nn.functional.one_hot(target, 4).movedim(-1, 1)
    loss = NeighborAwareCalibrationLoss(penalty_weight=1.0, window=1)
    expected = CrossEntropyLoss()(logits, target) + (one_hot - logits).abs().mean()
    torch.testing.assert_close(loss(logits, target), expected)


def test_what_does_not_count_is_of_no_class() -> None:
    """Of three neighbours one is ignored: its class has a share of 2/3 of the others' window."""
    shares = F.neighbor_shares(torch.tensor([[[1.0, 0.0, 1.0, 1.0]]]), 3)
    torch.testing.assert_close(shares, torch.tensor([[[1.0, 2.0, 2.0, 2.0]]]) / 3)
    logits, target = torch.zeros(1, 2, 4), torch.tensor([[0, IGNORE, 0, 0]])
    loss = NeighborAwareCalibrationLoss(penalty_weight=1.0, ignore_index=IGNORE, reduction="none")
    found = loss(logits, target) - math.log(2)
    torch.testing.assert_close(found[0, [0, 2, 3]], torch.tensor([1 / 6, 1 / 3, 1 / 3]))
    assert loss(logits, target)[0, 1] == 0


@pytest.mark.parametrize("window", [2, 0, 3.5])
def test_a_window_has_a_middle(window: float) -> None:
    with pytest.raises(ValueError, match="window must be"):
        NeighborAwareCalibrationLoss(window=window)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="norm must be one of 'l1', 'l2', got 'l3'"):
        NeighborAwareCalibrationLoss(norm="l3")  # type: ignore[arg-type]


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_neighbor_aware_equals_monai(norm: str, dimensions: int) -> None:
    """In its setting: softmax, class indices, means over a window with zeros around the image."""
    losses = pytest.importorskip("monai.losses", reason="compares with MONAI")
    logits, target = random_logits(4, dimensions).float(), random_labels(4, dimensions)
    for window, share in ((3, 0.1), (5, 2.0)):
        theirs = losses.NACLLoss(4, dimensions, window, distance_type=norm, alpha=share)
        ours = NeighborAwareCalibrationLoss(share, window, norm)
        slopes = []
        for loss in (ours, theirs):
            leaf = logits.clone().requires_grad_()
            value = loss(leaf, target)
            value.backward()
            slopes.append((value.detach(), leaf.grad))
        for own, other in zip(*slopes, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- bins


def question(p: list[float], t: list[int]) -> tuple[Tensor, Tensor]:
    return torch.tensor([[p]], dtype=torch.float64), torch.tensor([t])


def test_hard_bins_by_hand() -> None:
    """(0, 1/2] holds .2, .5 with one of two true: |.35 - .5|; above |.9 - 1|. Mean .125."""
    loss = AverageCalibrationLoss("hard", 2, activation="identity")
    assert loss(*question([0.2, 0.5, 0.9], [0, 1, 1])).item() == pytest.approx(0.125)


def test_soft_bins_by_hand() -> None:
    """Centres 1/4 and 3/4. 0.1 is of the first; 0.5 half of each; 0.6 is .3 and .7 of them.

    First: mass 1 + .5 + .3, sum of p - t 0.1 + .5 (-.5) + .3 (.6). Second: mass .5 + .7, sum
    .5 (-.5) + .7 (.6).
    """
    loss = AverageCalibrationLoss("soft", 2, activation="identity")
    first, second = (0.1 - 0.25 + 0.18) / 1.8, (-0.25 + 0.42) / 1.2
    found = loss(*question([0.1, 0.5, 0.6], [0, 1, 0])).item()
    assert found == pytest.approx((first + second) / 2)


def test_bins_that_hold_less_are_empty() -> None:
    """Four pixels in the upper of two hard bins, one in the lower."""
    p, t = question([0.2, 0.9, 0.9, 0.9, 0.9], [0, 1, 1, 1, 1])
    for least, expected in ((1.0, 0.15), (1.5, 0.1), (5.0, 0.0)):
        loss = AverageCalibrationLoss("hard", 2, least, activation="identity")
        assert loss(p, t).item() == pytest.approx(expected)


def test_right_as_often_as_said_costs_nothing() -> None:
    """Of four pixels of probability 3/4 three are of the class; soft labels of p cost nothing."""
    loss = AverageCalibrationLoss(activation="identity")
    assert loss(*question([0.75] * 4, [1, 1, 0, 1])).item() == pytest.approx(0, abs=1e-12)
    p = random_soft_labels(4)
    assert loss(p, p.clone()).item() == 0


def test_hard_bins_of_the_batch_are_those_of_the_metric() -> None:
    """The metric weighs the bins' errors by their pixels, the loss alike; the bins are the same."""
    p, target = random_logits(3).softmax(1), random_labels(3)
    bins = classwise_bins(p.movedim(1, 0), target, 5)
    loss = AverageCalibrationLoss("hard", 5, activation="identity", per_image=False)
    expected = np.mean(
        [np.abs(one.frequency - one.confidence)[one.share > 0].mean() for one in bins]
    )
    assert loss(p, target).item() == pytest.approx(expected)


def test_bins_of_a_large_image_keep_counting() -> None:
    """2^24 pixels of one bin and one more: a sum in single precision would stop there."""
    p = torch.full((1, 1, (1 << 24) + 64), 0.5)
    masses, _ = F.binned_differences(p, torch.zeros_like(p), 2, soft=False)
    assert masses[0, 0, 0].item() == (1 << 24) + 64


def test_gradients_move_probabilities_toward_frequencies() -> None:
    """Too sure in every bin: following the slope makes all probabilities smaller."""
    p, t = question([0.7, 0.8, 0.9, 0.95], [0, 1, 0, 1])
    for binning in ("soft", "hard"):
        leaf = p.clone().requires_grad_()
        AverageCalibrationLoss(binning, 2, activation="identity")(leaf, t).backward()
        assert leaf.grad.sum() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"binning": "fuzzy"}, "binning must be one of 'soft', 'hard'"),
        ({"bins": 1}, "bins must be a whole number >= 2"),
        ({"least_mass": -1.0}, "least_mass must be a finite number"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AverageCalibrationLoss(**arguments)


# ---------------------------------------------------------------------- the metric


def test_the_metric_takes_tensors_and_leaves_out_what_is_ignored() -> None:
    p, target = random_logits(4).softmax(1).movedim(1, 0), random_labels(4, ignore=0.3)
    kept = target != IGNORE
    found = classwise_calibration_error(p, target, 10, ignore_index=IGNORE)
    assert found == classwise_calibration_error(p[:, kept].numpy(), target[kept].numpy(), 10)
    nothing = torch.full_like(target, IGNORE)
    assert classwise_calibration_error(p, nothing, ignore_index=IGNORE) == 0


@pytest.mark.parametrize(
    ("p", "target", "bins", "message"),
    [
        (np.zeros((2, 3)), np.zeros(4, int), 5, r"probabilities must be floating point of shape"),
        (np.zeros((2, 3), int), np.zeros(3, int), 5, "probabilities must be floating point"),
        (np.full((2, 3), 1.5), np.zeros(3, int), 5, r"must lie in \[0, 1\], got values from 1.5"),
        (np.full((2, 3), 0.5), np.full(3, 2), 5, "target must hold labels in 0 … 1"),
        (np.full((2, 3), 0.5), np.zeros(3), 5, "target must hold integer labels"),
        (np.full((2, 3), 0.5), np.zeros(3, int), 0, "bins must be a whole number >= 1"),
    ],
)
def test_the_metric_refuses(p: np.ndarray, target: np.ndarray, bins: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classwise_calibration_error(p, target, bins)
