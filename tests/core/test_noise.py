"""What is special about losses that forgive wrong labels, and about polynomials of 1 - p."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import metriseg
from metriseg import (
    CrossEntropyLoss,
    FocalLoss,
    GeneralizedCrossEntropyLoss,
    NoiseRobustDiceLoss,
    PolyCrossEntropyLoss,
    PolyFocalLoss,
    PowerDiceLoss,
    SymmetricCrossEntropyLoss,
)
from reference.batches import (
    IGNORE,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

CLASS_WEIGHT = [0.2, 1.0, 0.0, 2.5]


def of_label(p: float) -> tuple[Tensor, Tensor]:
    """One pixel whose label has a probability p among three classes."""
    rest = (1 - p) / 4
    return torch.tensor([[[rest], [p], [3 * rest]]], dtype=torch.float64), torch.tensor([[1]])


def given(loss: type, **arguments: Any) -> Any:
    return loss(activation="identity", **arguments)


# ---------------------------------------------------------------------- by hand


def test_generalized_cross_entropy_by_hand() -> None:
    """(1 - 0.36^0.5) / 0.5 = 0.8; truncated at 0.64 it is (1 - 0.8) / 0.5 = 0.4, and no more."""
    p, target = of_label(0.36)
    assert given(GeneralizedCrossEntropyLoss, q=0.5)(p, target).item() == pytest.approx(0.8)
    truncated = given(GeneralizedCrossEntropyLoss, q=0.5, truncation=0.64)
    leaf = p.clone().requires_grad_()
    value = truncated(leaf, target)
    value.backward()
    assert value.item() == pytest.approx(0.4)
    assert not leaf.grad.any()
    assert truncated(*of_label(0.81)).item() == pytest.approx(0.2)


def test_generalized_cross_entropy_of_a_question_by_hand() -> None:
    """p = 0.36: "yes" costs 0.8; "no" has 0.64 and costs (1 - 0.8) / 0.5 = 0.4."""
    loss = given(GeneralizedCrossEntropyLoss, q=0.5)
    p = torch.tensor([[[0.36]]], dtype=torch.float64)
    assert loss(p, torch.tensor([[1]])).item() == pytest.approx(0.8)
    assert loss(p, torch.tensor([[0]])).item() == pytest.approx(0.4)
    assert loss(p, torch.tensor([[0.25]])).item() == pytest.approx(0.25 * 0.8 + 0.75 * 0.4)


def test_symmetric_cross_entropy_by_hand() -> None:
    """p = 0.25: 2 ln 4 and 0.5 (0.75 times 6); soft, 2 (-.9 ln .25 - .1 ln .1875) and so on."""
    loss = given(SymmetricCrossEntropyLoss, alpha=2.0, beta=0.5, log_zero=-6.0)
    p, target = of_label(0.25)
    assert loss(p, target).item() == pytest.approx(2 * math.log(4) + 0.5 * 0.75 * 6)
    soft = torch.tensor([[[0.1], [0.9], [0.0]]], dtype=torch.float64)
    forward = -0.1 * math.log(0.1875) - 0.9 * math.log(0.25)
    backward = -0.1875 * math.log(0.1) - 0.25 * math.log(0.9) + 0.5625 * 6
    assert loss(p, soft).item() == pytest.approx(2 * forward + 0.5 * backward)


def test_polynomials_by_hand() -> None:
    """p = 0.5, epsilon 2: ln 2 + 2 / 2 and, with gamma 1, (ln 2) / 2 + 2 / 4."""
    assert given(PolyCrossEntropyLoss, epsilon=2.0)(*of_label(0.5)).item() == pytest.approx(
        math.log(2) + 1
    )
    assert given(PolyFocalLoss, epsilon=2.0, gamma=1.0)(*of_label(0.5)).item() == pytest.approx(
        math.log(2) / 2 + 0.5
    )


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_epsilon_is_the_first_coefficient(gamma: float) -> None:
    """-(1 - p)^gamma ln p = sum_j (1 - p)^(j + gamma) / j, of which the first is 1 + epsilon."""
    p, target = of_label(0.7)
    series = sum((1.5 if j == 1 else 1 / j) * 0.3 ** (j + gamma) for j in range(1, 60))
    value = given(PolyFocalLoss, epsilon=0.5, gamma=gamma)(p, target)
    assert value.item() == pytest.approx(series, rel=1e-12)


# ---------------------------------------------------------------------- identities


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("kind", ["labels", "soft"])
def test_identities(kind: str, activation: str) -> None:
    """The ends of the scales are losses known by other names, with every policy."""
    soft = kind == "soft"
    logits, weight = random_logits(4), random_weight()
    target = random_soft_labels(4) if soft else random_labels(4, ignore=0.2)
    common = {"activation": activation, "class_weight": CLASS_WEIGHT}
    common |= {} if soft else {"ignore_index": IGNORE}

    def same(one: metriseg.SegmentationLoss, other: metriseg.SegmentationLoss, **close) -> None:
        value = one(logits, target, weight=weight)
        torch.testing.assert_close(value, other(logits, target, weight=weight), **close)

    cross_entropy = CrossEntropyLoss(**common)
    same(PolyCrossEntropyLoss(0.0, **common), cross_entropy)
    same(PolyFocalLoss(0.0, 2.0, 0.25, **common), FocalLoss(2.0, 0.25, **common))
    same(PolyFocalLoss(3.0, 0.0, **common), PolyCrossEntropyLoss(3.0, **common))
    same(SymmetricCrossEntropyLoss(1.0, 0.0, **common), cross_entropy)
    # (1 - p^q) / q = -ln p - q (ln p)^2 / 2 + …
    same(GeneralizedCrossEntropyLoss(1e-9, **common), cross_entropy, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_of_labels_the_reverse_cross_entropy_is_a_first_coefficient(activation: str) -> None:
    """-A (1 - p): alpha (-ln p + (-beta A / alpha)(1 - p))."""
    logits, target = random_logits(4), random_labels(4)
    symmetric = SymmetricCrossEntropyLoss(0.5, 0.3, -5.0, activation=activation)
    poly = PolyCrossEntropyLoss(0.3 * 5.0 / 0.5, activation=activation)
    torch.testing.assert_close(symmetric(logits, target), 0.5 * poly(logits, target))


def test_the_largest_q_is_the_mean_absolute_error() -> None:
    """1 - p of the label is half of sum_c |p_c - t_c|."""
    p, target = random_logits(4).softmax(1), random_labels(4)
    one_hot = torch.nn.functional.one_hot(target, 4).movedim(-1, 1)
    expected = (p - one_hot).abs().sum(1).mean() / 2
    value = GeneralizedCrossEntropyLoss(1.0, activation="identity")(p, target)
    torch.testing.assert_close(value, expected)


def test_slopes_are_those_of_cross_entropy_times_a_power() -> None:
    """d/dz (1 - p^q) / q = p^q d/dz (-ln p)."""
    logits, target = random_logits(4), random_labels(4)
    slopes = []
    for loss in (GeneralizedCrossEntropyLoss(0.6), CrossEntropyLoss()):
        leaf = logits.clone().requires_grad_()
        loss(leaf, target).backward()
        slopes.append(leaf.grad)
    p = logits.softmax(1).gather(1, target.unsqueeze(1))
    torch.testing.assert_close(slopes[0], p**0.6 * slopes[1])


@pytest.mark.parametrize("loss", [PolyCrossEntropyLoss, GeneralizedCrossEntropyLoss])
def test_small_values_keep_their_digits(loss: type) -> None:
    """Logits of a margin of 12: 1 - p is 6e-6, and a difference from 1 would have 2 digits."""
    logits, target = torch.tensor([[[12.0], [0.0]]]), torch.tensor([[0]])
    single, exact = loss()(logits, target), loss()(logits.double(), target)
    torch.testing.assert_close(single.double(), exact, rtol=2e-2, atol=0)


# ---------------------------------------------------------------------- regions


def test_noise_robust_dice_by_hand() -> None:
    """(0.25^1.5 + 0.36^1.5) / (0.75^2 + 0.36^2 + 1) = (0.125 + 0.216) / 1.6921."""
    loss = NoiseRobustDiceLoss(smooth=0.0, activation="identity")
    p, target = torch.tensor([[[0.75, 0.36]]]), torch.tensor([[1, 0]])
    assert loss(p, target).item() == pytest.approx(0.341 / 1.6921, rel=1e-5)


@pytest.mark.parametrize("kind", ["labels", "soft"])
def test_gamma_two_is_the_loss_of_v_net(kind: str) -> None:
    """sum (p - t)^2 = sum p^2 + sum t^2 - 2 sum p t, smoothed alike."""
    target = random_labels(4) if kind == "labels" else random_soft_labels(4)
    logits, common = random_logits(4), {"smooth": (0.5, 2.0), "classes": "all"}
    torch.testing.assert_close(
        NoiseRobustDiceLoss(2.0, **common)(logits, target),
        PowerDiceLoss(2.0, **common)(logits, target),
    )


def test_noise_robust_dice_of_an_absent_class() -> None:
    """p everywhere: sum p^1.5 / sum p^2 = p^-0.5, 10 at p = 0.01; it is not asked for."""
    p = torch.tensor([[[0.99] * 8, [0.01] * 8]], dtype=torch.float64)
    common = {"smooth": 0.0, "activation": "identity", "reduction": "none"}
    target = torch.zeros(1, 8, dtype=torch.int64)
    every = NoiseRobustDiceLoss(classes="all", **common)(p, target)
    assert every[0, 1].item() == pytest.approx(10)
    assert NoiseRobustDiceLoss(**common)(p, target)[0, 1].item() == 0


# ---------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("loss", "arguments", "message"),
    [
        (GeneralizedCrossEntropyLoss, {"q": 0.0}, r"q must be a finite number in \(0, 1\], got 0"),
        (GeneralizedCrossEntropyLoss, {"q": 1.5}, r"q must be a finite number in \(0, 1\]"),
        (GeneralizedCrossEntropyLoss, {"truncation": 1.0}, "truncation must be a finite number"),
        (SymmetricCrossEntropyLoss, {"alpha": -1.0}, "alpha must be a finite number"),
        (SymmetricCrossEntropyLoss, {"log_zero": 0.0}, "log_zero must be a finite number"),
        (PolyCrossEntropyLoss, {"epsilon": -1.5}, "epsilon must be a finite number"),
        (PolyFocalLoss, {"gamma": -1.0}, "gamma must be a finite number"),
        (NoiseRobustDiceLoss, {"gamma": 2.5}, r"gamma must be a finite number in \[1, 2\]"),
    ],
)
def test_bad_arguments(loss: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(**arguments)


# ---------------------------------------------------------------------- torch


def test_poly_cross_entropy_beside_torch() -> None:
    """The expression that the paper prints, of torch's cross-entropy and softmax."""
    logits, target = random_logits(4), random_labels(4)
    p = logits.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
    expected = torch.nn.functional.cross_entropy(logits, target, reduction="none") + 2 * (1 - p)
    found = PolyCrossEntropyLoss(2.0, reduction="none")(logits, target)
    torch.testing.assert_close(found, expected)
