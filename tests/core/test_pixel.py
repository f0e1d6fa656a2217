"""What is special about single pixel losses: balanced and top-k cross-entropy, focal weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from metriseg import CrossEntropyLoss, FocalLoss, TopKLoss
from metriseg import functional as F
from metriseg.catalogue import CATALOGUE
from reference.batches import (
    IGNORE,
    oracle_value,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

CLASS_WEIGHT = [0.2, 1.0, 0.0, 2.5]


def probabilities(*values: float) -> torch.Tensor:
    """Two exclusive classes, of which class 0 has the given probabilities: (1, 2, S)."""
    p = torch.tensor(values, dtype=torch.float64)
    return torch.stack([p, 1 - p])[None]


# ---------------------------------------------------------------------- balanced cross-entropy


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"class_weight": CLASS_WEIGHT},
        {"include_background": False},
        {"reduction": "sum"},
        {"reduction": "none"},
    ],
)
@pytest.mark.parametrize("kind", ["labels", "soft"])
def test_balance_equals_oracle(kind: str, policy: dict[str, Any]) -> None:
    """Questions of four classes, weighted and ignored pixels, every policy."""
    labels = kind == "labels"
    target = random_labels(4, ignore=0.2) if labels else random_soft_labels(4, exclusive=False)
    shared = {"activation": "sigmoid", "balance": "image", **policy}
    shared |= {"ignore_index": IGNORE} if labels else {}
    logits, weight = random_logits(4), random_weight()
    expected = oracle_value(CATALOGUE["CrossEntropyLoss"], logits, target, weight=weight, **shared)
    actual = CrossEntropyLoss(**shared)(logits, target, weight=weight).numpy()
    np.testing.assert_allclose(actual.reshape(np.shape(expected)), expected, rtol=1e-12)


def test_balance_equals_torch() -> None:
    """One channel: torch's binary cross-entropy with beta on positives, 1 - beta on negatives."""
    logits, target = random_logits(1), random_labels(1)
    t = target.double().unsqueeze(1)
    beta = 1 - t.mean((1, 2, 3), keepdim=True)
    expected = nnf.binary_cross_entropy_with_logits(logits, t, torch.where(t > 0, beta, 1 - beta))
    actual = CrossEntropyLoss(activation="sigmoid", balance="image")(logits, target)
    torch.testing.assert_close(actual, expected)


def test_balance_of_one_answer_costs_nothing() -> None:
    """beta is 0 without negatives and 1 without positives: what remains has weight 0."""
    loss = CrossEntropyLoss(activation="sigmoid", balance="image")
    logits = random_logits(1)
    for answer in (0, 1):
        assert loss(logits, torch.full((2, 5, 4), answer)).item() == 0.0


def test_balance_is_an_images_own() -> None:
    """The mean of two images' losses, each with its own beta (as many pixels in each)."""
    loss = CrossEntropyLoss(activation="sigmoid", balance="image")
    logits, target = random_logits(1), random_labels(1)
    each = torch.stack([loss(logits[n : n + 1], target[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(loss(logits, target), each.mean())


def test_balance_counts_weights() -> None:
    """A pixel of weight 2 is two pixels, in beta too."""
    loss = CrossEntropyLoss(activation="sigmoid", balance="image")
    logits, target = random_logits(1, 1), random_labels(1, 1)
    times = torch.tensor([2, 0, 1, 1, 3, 1, 0, 0, 1, 2, 1])
    torch.testing.assert_close(
        loss(logits, target, weight=times.double().expand(2, -1)),
        loss(logits.repeat_interleave(times, 2), target.repeat_interleave(times, 1)),
    )


def test_balance_is_differentiable_and_connected() -> None:
    loss = CrossEntropyLoss(activation="sigmoid", balance="image", ignore_index=IGNORE)
    logits = random_logits(4).requires_grad_()
    target = random_labels(4, ignore=0.2)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits)
    value = loss(torch.full_like(logits, math.nan).requires_grad_(), torch.full_like(target, 255))
    assert value.item() == 0.0
    assert value.requires_grad


@pytest.mark.parametrize("activation", ["softmax", "identity"])
def test_balance_is_for_questions(activation: str) -> None:
    logits = random_logits(4).softmax(1)
    with pytest.raises(ValueError, match="balance='image' is for yes-or-no questions"):
        CrossEntropyLoss(activation=activation, balance="image")(logits, random_labels(4))
    with pytest.raises(ValueError, match="balance must be one of 'image', None, got 'batch'"):
        CrossEntropyLoss(balance="batch")


# ---------------------------------------------------------------------- top-k


def test_everything_is_cross_entropy() -> None:
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    torch.testing.assert_close(
        TopKLoss(percent=100, ignore_index=IGNORE)(logits, target),
        CrossEntropyLoss(ignore_index=IGNORE)(logits, target),
    )


def test_percent_equals_torch_topk() -> None:
    """The 12 largest of 40 cross-entropies of a batch of two images, and their gradient."""
    logits, target = random_logits(4).requires_grad_(), random_labels(4)
    values = nnf.cross_entropy(logits, target, reduction="none").flatten()
    expected = values.topk(12).values.mean()
    actual = TopKLoss(percent=30)(logits, target)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, logits), torch.autograd.grad(expected, logits)
    )


def test_ignored_pixels_take_nothing_of_the_budget() -> None:
    """Half of four valid pixels is two, however many ignored ones (here with NaN) lie about."""
    p = probabilities(0.9, 0.8, 0.5, 0.4, 0.1, 0.1)
    p[..., 4:] = math.nan
    target = torch.tensor([[0, 0, 0, 0, IGNORE, IGNORE]])
    loss = TopKLoss(percent=50, activation="identity", ignore_index=IGNORE)
    assert loss(p, target).item() == pytest.approx(-(math.log(0.5) + math.log(0.4)) / 2)


def test_the_last_pixel_is_kept_in_part() -> None:
    """Of the mass 0.5 + 2 + 1.5 = 4 a half is 2: all 0.5 of the worst, 1.5 of the next one's 2."""
    p, target = probabilities(0.2, 0.5, 0.9), torch.zeros(1, 3, dtype=torch.int64)
    weight = torch.tensor([[0.5, 2.0, 1.5]], dtype=torch.float64)
    expected = -torch.tensor([[0.5 * math.log(0.2), 1.5 * math.log(0.5), 0.0]]).double()
    for reduction, value in (
        ("none", expected),
        ("sum", expected.sum()),
        ("mean", expected.sum() / 2),
    ):
        loss = TopKLoss(percent=50, activation="identity", reduction=reduction)
        torch.testing.assert_close(loss(p, target, weight=weight), value)


@pytest.mark.parametrize("percent", [1.0, 5.0, 9.9])
def test_at_least_one_pixel(percent: float) -> None:
    p, target = probabilities(0.9, 0.4, 0.5), torch.zeros(1, 3, dtype=torch.int64)
    value = TopKLoss(percent=percent, activation="identity")(p, target)
    assert value.item() == pytest.approx(-math.log(0.4))


@pytest.mark.parametrize("percent", [0.57, 1.1, 7.0, 29.0])
def test_rounding_costs_no_pixel(percent: float) -> None:
    """0.57 % of 10000 pixels are 57, though 0.57 x 10000 is 5699.999... in binary."""
    kept = F.largest_values(torch.rand(100, 100), None, percent)
    assert kept.sum().item() == round(percent * 100)


def test_threshold_is_strict() -> None:
    """Of 0.4, 0.5 and 0.9 the threshold 0.5 keeps 0.4 alone; from logits, and by labels of both."""
    for dtype in (torch.float32, torch.float64):
        for p, target in (
            (probabilities(0.4, 0.5, 0.9), [[0, 0, 0]]),
            (probabilities(0.6, 0.5, 0.1), [[1, 1, 1]]),
        ):
            p, labels = p.to(dtype), torch.tensor(target)
            value = TopKLoss(threshold=0.5, activation="identity")(p, labels)
            assert value.item() == pytest.approx(-math.log(0.4))
            assert TopKLoss(threshold=0.5)(p.log(), labels).item() == pytest.approx(-math.log(0.4))
            odds = (p[:, 1:] / p[:, :1]).log()
            one_channel = TopKLoss(threshold=0.5, activation="sigmoid")(odds, labels)
            assert one_channel.item() == pytest.approx(-math.log(0.4))


def test_nothing_below_the_threshold() -> None:
    """0, connected."""
    p = probabilities(0.9, 0.8).requires_grad_()
    value = TopKLoss(threshold=0.5, activation="identity")(p, torch.tensor([[0, 0]]))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(p.grad, torch.zeros_like(p))


def test_threshold_with_weights() -> None:
    """Kept are 0.4 (weight 2) and 0.3 (weight 1): (2 ln .4 + ln .3) / 3."""
    p, target = probabilities(0.4, 0.3, 0.9), torch.zeros(1, 3, dtype=torch.int64)
    weight = torch.tensor([[2.0, 1.0, 5.0]])
    value = TopKLoss(threshold=0.5, activation="identity")(p, target, weight=weight)
    assert value.item() == pytest.approx(-(2 * math.log(0.4) + math.log(0.3)) / 3)


def test_class_weights_choose_by_percent_not_by_threshold() -> None:
    """-ln .5 of class 1, five times, is more than -ln .4; but 0.4 is the less probable truth."""
    p, target = probabilities(0.4, 0.5), torch.tensor([[0, 1]])
    shared = {"activation": "identity", "class_weight": [1.0, 5.0]}
    assert TopKLoss(percent=50, **shared)(p, target).item() == pytest.approx(-5 * math.log(0.5))
    assert TopKLoss(threshold=0.45, **shared)(p, target).item() == pytest.approx(-math.log(0.4))


def test_topk_domains() -> None:
    for percent in (0.0, 100.5, -1.0):
        with pytest.raises(ValueError, match=r"percent must be a finite number in \(0, 100\]"):
            TopKLoss(percent=percent)
    for threshold in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"threshold must be a finite number in \(0, 1\]"):
            TopKLoss(threshold=threshold)


def test_largest_values_beyond_single_precision() -> None:
    """A running sum in float32 stops at 2^24 pixels; 50 % of 2^24 + 2000 pixels are 2^23 + 1000."""
    values = torch.zeros(2**24 + 2000)
    assert F.largest_values(values, None, 50.0).sum(dtype=torch.float64) == 2**23 + 1000


# ---------------------------------------------------------------------- focal


@pytest.mark.parametrize("soft", [False, True])
def test_alpha_of_exclusive_classes_is_a_class_weight(soft: bool) -> None:
    """1 - alpha on class 0, alpha on all others."""
    logits = random_logits(4)
    target = random_soft_labels(4) if soft else random_labels(4)
    torch.testing.assert_close(
        FocalLoss(alpha=0.3)(logits, target),
        FocalLoss(class_weight=[0.7, 0.3, 0.3, 0.3])(logits, target),
    )


# ------------------------------------------------- smoothed labels, positives, alpha of every class


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_smoothed_labels_are_those_of_torch(smoothing: float, soft: bool) -> None:
    """With class weights and ignored pixels; torch divides labels by the weights they met."""
    logits = random_logits(4)
    target = random_soft_labels(4) if soft else random_labels(4, ignore=0.2)
    words = {} if soft else {"ignore_index": IGNORE}
    torchs = torch.nn.CrossEntropyLoss(
        torch.tensor(CLASS_WEIGHT, dtype=torch.float64), label_smoothing=smoothing, **words
    )
    ours = CrossEntropyLoss(
        class_weight=CLASS_WEIGHT,
        label_smoothing=smoothing,
        normalize="pixels" if soft else "weights",
        **words,
    )
    torch.testing.assert_close(ours(logits, target), torchs(logits, target))


def test_positives_weigh_as_in_torch() -> None:
    logits, target = random_logits(4), random_soft_labels(4, exclusive=False)
    each = [0.2, 1.0, 0.5, 3.0]
    column = torch.tensor(each, dtype=torch.float64).view(4, 1, 1)
    torchs = torch.nn.BCEWithLogitsLoss(pos_weight=column)
    ours = CrossEntropyLoss(activation="sigmoid", pos_weight=each)
    torch.testing.assert_close(ours(logits, target), torchs(logits, target))
    assert ours.arguments()["pos_weight"] == each


def test_a_perfect_answer_to_a_smoothed_question() -> None:
    """Label 1 smoothed by 0.2 is 0.9: at p = 0.9 the entropy of (0.9, 0.1), its minimum."""
    loss = CrossEntropyLoss(activation="sigmoid", label_smoothing=0.2)
    z = torch.tensor([[[math.log(9.0)]]], dtype=torch.float64, requires_grad=True)
    value = loss(z, torch.tensor([[1]]))
    value.backward()
    assert value.item() == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    assert z.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_alpha_of_every_class() -> None:
    """Equal to class weights where classes are exclusive; negatives of questions weigh 1."""
    logits, target = random_logits(4), random_labels(4)
    alpha = [0.2, 1.0, 0.5, 3.0]
    torch.testing.assert_close(
        FocalLoss(alpha=alpha)(logits, target), FocalLoss(class_weight=alpha)(logits, target)
    )
    one = FocalLoss(alpha=[3.0], gamma=0.0, activation="sigmoid")
    # at p = 1/2 a positive costs 3 ln 2, a negative ln 2
    assert one(torch.zeros(1, 1, 2), torch.tensor([[0, 1]])).item() == pytest.approx(
        2 * math.log(2)
    )
    with pytest.raises(ValueError, match="alpha must be a number, or one for each of the 4"):
        FocalLoss(alpha=[1, 2])(logits, target)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"label_smoothing": 1.5}, "label_smoothing must be a finite number in"),
        ({"label_smoothing": True}, "label_smoothing must be a number"),
        ({"pos_weight": -1}, "pos_weight must be a finite number in"),
        ({"pos_weight": [1, -1]}, "pos_weight must be finite and not negative"),
        ({"balance": "image", "pos_weight": 2}, "balance='image' weighs positives itself"),
        ({"balance": "image", "label_smoothing": 0.1}, "balance='image' weighs positives itself"),
    ],
)
def test_bad_smoothing_and_weights(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss(activation="sigmoid", **words)
    with pytest.raises(ValueError, match="alpha must be"):
        FocalLoss(alpha=True)
    with pytest.raises(ValueError, match="alpha must be"):
        FocalLoss(alpha=[-1.0, 1.0])


# --------------------------------------------------------------- two weights of a single channel


@pytest.mark.parametrize(
    "name",
    [
        *("CrossEntropyLoss", "FocalLoss", "TopKLoss", "DistanceMapCrossEntropyLoss"),
        *("DiceCELoss", "DiceFocalLoss", "ComboLoss", "UnifiedFocalLoss"),
        "ExponentialLogarithmicLoss",
    ],
)
def test_two_weights_of_a_single_channel(name: str) -> None:
    """Those of the labels 0 and 1: the value is linear in both, and (1, 1) changes nothing."""
    logits = random_logits(1)
    target = random_labels(1, ignore=0.2)
    words = {"activation": "sigmoid", "ignore_index": IGNORE}
    words |= {"percent": 100.0} if name == "TopKLoss" else {}

    def value(*weights: float) -> torch.Tensor:
        chosen = {"class_weight": list(weights)} if weights else {}
        loss = CATALOGUE[name].build(**words, **chosen)
        if name == "TopKLoss" and weights:
            # its mean divides by what is kept, whatever weights say
            assert loss.arguments()["class_weight"] == list(weights)
        return loss(logits, target)

    one, on_no, on_yes = value(1, 1), value(1, 0.5), value(0.5, 1)
    torch.testing.assert_close(one, value())
    torch.testing.assert_close(value(0.25, 3), one + 1.5 * (on_yes - one) - 4 * (on_no - one))


def test_two_weights_are_of_labels() -> None:
    """At p = 1/2 everywhere: ln 2 (2 + 3 + 3) / 3, or divided by the weights met, ln 2."""
    logits, target = torch.zeros(1, 1, 4), torch.tensor([[0, 1, 1, IGNORE]])
    words = {"activation": "sigmoid", "ignore_index": IGNORE, "class_weight": [2, 3]}
    loss = CrossEntropyLoss(**words)
    assert loss(logits, target).item() == pytest.approx(8 / 3 * math.log(2))
    loss = CrossEntropyLoss(**words, normalize="weights")
    assert loss(logits, target).item() == pytest.approx(math.log(2))
    soft = CrossEntropyLoss(activation="sigmoid", class_weight=[2, 3])
    half = torch.full((1, 1, 4), 0.5)
    assert soft(torch.zeros(1, 1, 4), half).item() == pytest.approx(2.5 * math.log(2))
    with pytest.raises(ValueError, match="class_weight must have a number for each of the 1"):
        CATALOGUE["DiceLoss"].build(activation="sigmoid", class_weight=[2, 3])(
            logits, target.clamp(max=1)
        )


def test_a_mean_over_counted_pixels() -> None:
    """Weights 0, 1, 5 and a fourth pixel that doesn't count: divided by 3, not by 6."""
    logits = torch.zeros(1, 2, 4)
    target, weight = torch.tensor([[0, 1, 1, 0]]), torch.tensor([[0.0, 1.0, 5.0, 0.0]])
    counted = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    words = {"activation": "softmax", "ignore_index": None, "weight": weight, "counted": counted}
    value = CrossEntropyLoss().compute(logits, target, **words)
    assert value.item() == pytest.approx(6 / 3 * math.log(2))
    value = CrossEntropyLoss(class_weight=[3, 1], normalize="weights").compute(
        logits, target, **words
    )
    assert value.item() == pytest.approx(6 / 5 * math.log(2))
