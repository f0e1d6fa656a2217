"""What is special about overlap losses of differences, and about correlation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import metriseg
from metriseg import (
    DiceLoss,
    DicePlusPlusLoss,
    DiceSemimetricLoss,
    JaccardMetricLoss,
    MatthewsCorrelationLoss,
    TverskyLoss,
    TverskySemimetricLoss,
)
from reference.batches import IGNORE, random_labels, random_logits, random_soft_labels

FORMS = ["norms", "product"]
SOFT = (torch.tensor([[[0.5, 0.5]]]), torch.tensor([[0.5, 0.0]]))


# ---------------------------------------------------------------------- semimetrics


@pytest.mark.parametrize(
    ("build", "form", "expected"),
    [
        # A = 1.5, D = 0.5, I = 0.25
        (DiceSemimetricLoss, "norms", 1 - 1.0 / 1.5),
        (DiceSemimetricLoss, "product", 1 - 0.5 / 1.0),
        # sum min = 0.5, too much 0.5, too little 0
        (lambda *a, **k: TverskySemimetricLoss(0.2, 0.9, *a, **k), "norms", 1 - 0.5 / 0.6),
        (lambda *a, **k: TverskySemimetricLoss(0.2, 0.9, *a, **k), "product", 1 - 0.25 / 0.35),
    ],
)
def test_by_hand(build: Callable[..., Any], form: str, expected: float) -> None:
    loss = build(form, smooth=0.0, activation="identity")
    assert loss(*SOFT).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", [DiceSemimetricLoss, TverskySemimetricLoss])
def test_zero_at_soft_truth_with_zero_slope(loss: type, form: str) -> None:
    """And nowhere near it: one step aside, in either direction, costs something."""
    p = random_soft_labels(4).requires_grad_()
    target = p.detach().clone()
    measured = loss(form=form, activation="identity")
    value = measured(p, target)
    value.backward()
    assert value.item() == 0
    assert torch.equal(p.grad, torch.zeros_like(p))
    for other in (random_soft_labels(4, seed=9), torch.lerp(target, target.flip(1), 0.01)):
        assert measured(other, target) > 1e-4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("per_image", [True, False])
def test_hard_labels_give_dice_and_tversky(per_image: bool, activation: str, form: str) -> None:
    """Value and gradient, without smoothing."""
    common = {
        "smooth": 0.0,
        "per_image": per_image,
        "activation": activation,
        "ignore_index": IGNORE,
    }
    target = random_labels(4, ignore=0.2)
    pairs = [
        (DiceSemimetricLoss(form, **common), DiceLoss(**common)),
        (TverskySemimetricLoss(0.2, 0.9, form, **common), TverskyLoss(0.2, 0.9, **common)),
    ]
    for pair in pairs:
        values, slopes = [], []
        for loss in pair:
            logits = random_logits(4).requires_grad_()
            values.append(loss(logits, target))
            slopes.append(torch.autograd.grad(values[-1], logits)[0])
        torch.testing.assert_close(*values)
        torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("form", FORMS)
def test_tversky_has_dice_and_jaccard_in_it(form: str) -> None:
    """Both prices 1/2, or 1, on soft labels too; smoothing of Dice is twice that of Tversky."""
    logits, target = random_logits(4), random_soft_labels(4)
    torch.testing.assert_close(
        TverskySemimetricLoss(0.5, 0.5, form, smooth=0.5)(logits, target),
        DiceSemimetricLoss(form, smooth=1.0)(logits, target),
    )
    scale = 2 if form == "norms" else 1
    torch.testing.assert_close(
        TverskySemimetricLoss(1.0, 1.0, form, smooth=0.5)(logits, target),
        JaccardMetricLoss(form, smooth=0.5 * scale)(logits, target),
    )


def test_norms_are_the_overlap_of_minima() -> None:
    """(|p + t| - |p - t|) / 2 = min(p, t)."""
    logits, target = random_logits(4), random_soft_labels(4)
    common = {"smooth": 0.25, "per_image": False}
    torch.testing.assert_close(
        DiceSemimetricLoss(**common)(logits, target),
        DiceLoss(overlap="minimum", **common)(logits, target),
    )
    torch.testing.assert_close(
        TverskySemimetricLoss(0.2, 0.9, **common)(logits, target),
        TverskyLoss(0.2, 0.9, overlap="minimum", **common)(logits, target),
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", [DiceSemimetricLoss, TverskySemimetricLoss])
def test_small_losses_keep_their_digits(loss: type, form: str) -> None:
    """512 x 512 pixels, each off by 1e-6."""
    random = torch.Generator().manual_seed(11)
    t = (torch.rand(1, 1, 512, 512, generator=random, dtype=torch.float64) / 2 + 0.25).float()
    p = t + 1e-6
    measured = loss(form=form, activation="identity")
    exact = measured(p.double(), t.double())
    torch.testing.assert_close(measured(p, t).double(), exact, rtol=1e-5, atol=0)


def test_tversky_refuses_alpha() -> None:
    with pytest.raises(ValueError, match="say 'fp_weight'"):
        TverskySemimetricLoss(alpha=0.3)
    with pytest.raises(ValueError, match="form must be one of 'norms', 'product'"):
        DiceSemimetricLoss("other")


# ---------------------------------------------------------------------- Dice++


def test_dice_plus_plus_by_hand() -> None:
    """p = .5 and .25 of t = .75 and .5: the squares of p (1 - t) and of (1 - p) t."""
    p = torch.tensor([[[0.5, 0.25]]], dtype=torch.float64)
    t = torch.tensor([[[0.75, 0.5]]], dtype=torch.float64)
    hits = 2 * (0.5 * 0.75 + 0.25 * 0.5)
    false = (0.5 * 0.25) ** 2 + (0.25 * 0.5) ** 2
    missed = (0.5 * 0.75) ** 2 + (0.75 * 0.5) ** 2
    loss = DicePlusPlusLoss(smooth=0.0, activation="identity")
    assert loss(p, t).item() == pytest.approx(1 - hits / (hits + false + missed))


def test_gamma_one_is_dice() -> None:
    """p (1 - t) + (1 - p) t = p + t - 2 p t: for soft labels too."""
    logits = random_logits(4)
    for target in (random_labels(4), random_soft_labels(4)):
        for smooth in (0.0, (0.5, 2.0)):
            torch.testing.assert_close(
                DicePlusPlusLoss(1.0, smooth=smooth)(logits, target),
                DiceLoss(smooth=smooth)(logits, target),
            )


def test_dice_plus_plus_forgives_the_unsure() -> None:
    """Half-sure errors cost less than in Dice, certain ones as much."""
    target = torch.tensor([[1, 1, 0, 0]])
    unsure = torch.tensor([[[1.0, 0.5, 0.0, 0.5]]])
    certain = torch.tensor([[[1.0, 0.0, 0.0, 1.0]]])
    dice, plus = DiceLoss(activation="identity"), DicePlusPlusLoss(activation="identity")
    assert plus(unsure, target) < dice(unsure, target) - 0.1
    torch.testing.assert_close(plus(certain, target), dice(certain, target))


def test_gamma_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma must be a finite number in \[1, inf\]"):
        DicePlusPlusLoss(0.5)


# ---------------------------------------------------------------------- correlation


def correlation(p: list[float], t: list[int], **arguments: Any) -> float:
    loss = MatthewsCorrelationLoss(activation="identity", **arguments)
    return loss(torch.tensor([[p]], dtype=torch.float64), torch.tensor([t])).item()


def test_correlation_by_hand() -> None:
    """TP 1, TN 2, FP 0, FN 1: 1 - 2 / sqrt(12); all wrong: 2; half of everything: 1."""
    assert correlation([1, 0, 0, 0], [1, 1, 0, 0], smooth=0.0) == pytest.approx(
        1 - 2 / math.sqrt(12)
    )
    assert correlation([0, 0, 1, 1], [1, 1, 0, 0], smooth=0.0) == pytest.approx(2)
    assert correlation([0.5] * 4, [1, 1, 0, 0], smooth=0.0) == pytest.approx(1)
    assert correlation([1, 1, 0, 0], [1, 1, 0, 0]) == 0


def test_a_class_without_two_answers() -> None:
    """Nowhere, or everywhere: 1, or 0 where nothing is wrong.

    Smoothed by e = 1, with F = 3 of N = 4 pixels wrong: TP = 1, TN = 1 + 1, FP = 3 and FN = 0, so
    1 - 2 / sqrt(4 1 5 2), which is 1 - sqrt(e / (e + F) (N - F + e) / (N + e)).
    """
    assert correlation([0.5, 0, 0, 0], [0] * 4, smooth=0.0) == 1
    assert correlation([0.5, 1, 1, 1], [1] * 4, smooth=0.0) == 1
    assert correlation([0] * 4, [0] * 4, smooth=0.0) == 0
    assert correlation([1] * 4, [1] * 4, smooth=0.0) == 0
    expected = 1 - math.sqrt(1 / 4 * 2 / 5)
    assert correlation([1, 1, 1, 0], [0] * 4, smooth=1.0) == pytest.approx(expected)
    assert correlation([0, 0, 0, 1], [1] * 4, smooth=1.0) == pytest.approx(expected)
    assert correlation([0] * 4, [0] * 4, smooth=1.0) == 0


def test_a_class_and_its_complement_are_alike() -> None:
    """As no loss of overlaps treats them."""
    p, t = random_logits(1).sigmoid(), random_labels(1)
    loss = MatthewsCorrelationLoss(activation="identity")
    torch.testing.assert_close(loss(p, t), loss(1 - p, 1 - t))


def test_it_is_the_correlation_coefficient() -> None:
    """Pearson's of hard masks."""
    random = torch.Generator().manual_seed(3)
    prediction = (torch.rand(1, 1, 200, generator=random) < 0.4).double()
    target = (torch.rand(1, 200, generator=random) < 0.3).long()
    pearson = torch.corrcoef(torch.stack([prediction.flatten(), target.flatten().double()]))[0, 1]
    loss = MatthewsCorrelationLoss(smooth=0.0, activation="identity")
    torch.testing.assert_close(loss(prediction, target), 1 - pearson)


def test_near_perfect_predictions_keep_their_digits() -> None:
    """A margin of 20 gives errors of 2e-9, and one minus the coefficient all of their digits."""
    target = (torch.arange(4096) % 3 > 0).long().view(1, 64, 64)
    logits = (2.0 * target - 1).unsqueeze(1) * 20.0
    loss = MatthewsCorrelationLoss(activation="sigmoid")
    exact = loss(logits.double(), target)
    assert 1e-10 < exact.item() < 1e-8
    torch.testing.assert_close(loss(logits, target).double(), exact, rtol=1e-5, atol=0)


def test_large_images_do_not_overflow() -> None:
    """Four factors of 1e9 pixels each would be 1e36, and more than single precision has."""
    huge = torch.full((1, 1), 1e10)
    s = metriseg.RegionStatistics({1.0: huge}, {1.0: 2 * huge}, {1.0: 2 * huge}, 4 * huge)
    value = metriseg.functional.matthews_correlation_error(s)
    torch.testing.assert_close(value, torch.ones(1, 1))


def test_zero_at_soft_truth_with_minima() -> None:
    p = random_soft_labels(4)
    value = MatthewsCorrelationLoss(overlap="minimum", activation="identity")(p, p.clone())
    assert value.item() == pytest.approx(0, abs=1e-12)


# ---------------------------------------------------------------------- other libraries


@pytest.mark.parametrize("kind", ["labels", "soft"])
def test_correlation_equals_segmentation_models_pytorch(kind: str) -> None:
    """One channel, sums over the batch; its 1e-5 beside each of the four counts hardly matters."""
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    p = random_logits(1).sigmoid()
    target = random_labels(1) if kind == "labels" else random_soft_labels(1)
    ours = MatthewsCorrelationLoss(smooth=0.0, per_image=False, activation="identity")(p, target)
    dense = target.double().reshape(p.shape)
    torch.testing.assert_close(smp.losses.MCCLoss(eps=0.0)(p, dense), ours)
    torch.testing.assert_close(smp.losses.MCCLoss()(p, dense), ours, rtol=1e-4, atol=1e-6)


def test_semimetrics_equal_segmentation_models_pytorch() -> None:
    """Its Dice and Tversky losses are the forms with norms, its Dice of half the sums."""
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    logits, t = random_logits(4).float(), random_soft_labels(4, seed=5).float()
    common = {"per_image": False, "activation": "sigmoid"}
    pairs: list[tuple[Tensor, Tensor]] = [
        (
            DiceSemimetricLoss(smooth=1.0, **common)(logits, t),
            smp.losses.DiceLoss("multilabel", smooth=0.5)(logits, t),
        ),
        (
            TverskySemimetricLoss(0.2, 0.9, smooth=0.5, **common)(logits, t),
            smp.losses.TverskyLoss("multilabel", smooth=0.5, alpha=0.2, beta=0.9)(logits, t),
        ),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
