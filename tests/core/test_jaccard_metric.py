"""The Jaccard loss as a metric between soft masks, and the analogue for Dice, which is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import metriseg
from metriseg import functional as F
from reference.batches import (
    IGNORE,
    oracle_value,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

FORMS = ["norms", "product"]

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def norms(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.jaccard_metric((x + y).sum(-1), (x - y).abs().sum(-1))


def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.jaccard_metric_of_product((x * y).sum(-1), (x - y).abs().sum(-1))


def dice(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.dice_semimetric((x + y).sum(-1), (x - y).abs().sum(-1))


def soft_masks(count: int, pixels: int) -> torch.Tensor:
    """Random soft masks; half of their values are 0 or 1, where triangles are tight."""
    random = torch.Generator().manual_seed(pixels)
    shape = (count, pixels)
    values = torch.rand(shape, generator=random, dtype=torch.float64)
    hard = torch.randint(2, shape, generator=random).double()
    return torch.where(torch.rand(shape, generator=random) < 0.5, hard, values)


# ---------------------------------------------------------------------- a metric


@pytest.mark.parametrize("distance", [norms, product])
@pytest.mark.parametrize("pixels", [1, 2, 3, 20])
def test_metric(distance: Distance, pixels: int) -> None:
    """Zero at equality and nowhere else, symmetric, triangles: 20000 random triples."""
    x, y, z = soft_masks(60_000, pixels).chunk(3)
    assert (distance(x, x) == 0).all()
    different = (x != y).any(-1)
    assert (distance(x, y)[different] > 0).all()
    assert torch.equal(distance(x, y), distance(y, x))
    assert (distance(x, z) <= distance(x, y) + distance(y, z) + 1e-12).all()


def test_the_dice_analogue_is_no_metric() -> None:
    """x = 10, y = 11, z = 01: d(x, z) = 1, but d(x, y) = d(y, z) = 1/3."""
    x, y, z = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert dice(x, z) > dice(x, y) + dice(y, z)
    torch.testing.assert_close(dice(x, y), torch.tensor(1 / 3))
    assert dice(x, x) == 0


@pytest.mark.parametrize("form", FORMS)
def test_zero_at_soft_truth_with_zero_slope(form: str) -> None:
    """The value is 0, and so is the slope: of |p - t| at equality it is 0, by choice.

    The plain soft Jaccard loss isn't 0 there, and falls further toward hard predictions.
    """
    p = random_soft_labels(4).requires_grad_()
    target = p.detach().clone()
    value = metriseg.JaccardMetricLoss(form, activation="identity")(p, target)
    value.backward()
    assert value.item() == 0
    assert torch.equal(p.grad, torch.zeros_like(p))
    plain = metriseg.JaccardLoss(activation="identity")
    sharper = torch.nn.functional.one_hot(target.argmax(1), 4).movedim(-1, 1).double()
    assert plain(sharper, target) < plain(target, target)
    assert metriseg.JaccardMetricLoss(form, activation="identity")(sharper, target) > 0.01


def test_labels_have_the_slopes_of_their_one_hot_form() -> None:
    """Also at probabilities of exactly 0 and 1, where |p - t| has its kinks."""
    p = torch.tensor([[[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 1.0]]]).requires_grad_()
    target = torch.tensor([[0, 1, 1, 0]])
    loss = metriseg.JaccardMetricLoss(activation="identity")
    (of_labels,) = torch.autograd.grad(loss(p, target), p)
    one_hot = torch.nn.functional.one_hot(target, 2).movedim(-1, 1)
    (of_one_hot,) = torch.autograd.grad(loss(p, one_hot), p)
    torch.testing.assert_close(of_labels, of_one_hot)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("classes", ["all", "present"])
def test_hard_labels_give_the_jaccard_loss(
    classes: str, per_image: bool, activation: str, form: str
) -> None:
    """|p - t| = p + t - 2 p t for t in {0, 1}: value and gradient, without smoothing."""
    common = {
        "smooth": 0.0,
        "classes": classes,
        "per_image": per_image,
        "activation": activation,
        "ignore_index": IGNORE,
    }
    target, weight = random_labels(3, ignore=0.2), random_weight()
    values, slopes = [], []
    for loss in (metriseg.JaccardMetricLoss(form, **common), metriseg.JaccardLoss(**common)):
        logits = random_logits(4).requires_grad_()
        values.append(loss(logits, target, weight=weight))
        slopes.append(torch.autograd.grad(values[-1], logits)[0])
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*slopes)


# ---------------------------------------------------------------------- policies


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("classes", ["all", "present"])
@pytest.mark.parametrize("smooth", [0.0, 1e-3, (0.5, 2.0)])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_policies(
    reduction: str,
    smooth: float | tuple[float, float],
    classes: str,
    per_image: bool,
    form: str,
) -> None:
    """Groups, present classes and smoothing; class 2 is in no image, class 3 in one of three."""
    target = random_labels(4, images=3, ignore=0.2)
    target[target == 2] = 1
    target[:2][target[:2] == 3] = 0
    words = {
        "form": form,
        "smooth": smooth,
        "classes": classes,
        "per_image": per_image,
        "reduction": reduction,
    }
    logits = random_logits(4, images=3)
    expected = oracle_value(
        metriseg.CATALOGUE["JaccardMetricLoss"], logits, target, ignore_index=IGNORE, **words
    )
    found = metriseg.JaccardMetricLoss(ignore_index=IGNORE, **words)(logits, target)
    torch.testing.assert_close(
        found, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-10
    )


def test_an_ignored_image_leaves_the_mean() -> None:
    logits, target = random_logits(4), random_labels(4)
    target[1] = IGNORE
    loss = metriseg.JaccardMetricLoss(ignore_index=IGNORE)
    torch.testing.assert_close(loss(logits, target), loss(logits[:1], target[:1]))


def test_unknown_form() -> None:
    with pytest.raises(ValueError, match="form must be one of 'norms', 'product', got 'other'"):
        metriseg.JaccardMetricLoss("other")  # type: ignore[arg-type]


def test_sums_share_a_compounds_pass() -> None:
    """Beside other region terms it takes their statistics and adds |p - t| alone."""
    logits, target = random_logits(4), random_soft_labels(4)
    terms = [metriseg.JaccardMetricLoss(per_image=False), metriseg.PowerJaccardLoss()]
    expected = terms[0](logits, target) + terms[1](logits, target)
    torch.testing.assert_close(metriseg.CompoundLoss(terms)(logits, target), expected)


@pytest.mark.parametrize("form", FORMS)
def test_small_losses_keep_their_digits(form: str) -> None:
    """512 x 512 pixels, each off by 1e-6: 1 - ratio would be lost in the rounding of the ratio."""
    random = torch.Generator().manual_seed(11)
    t = torch.rand(1, 1, 512, 512, generator=random, dtype=torch.float64) / 2 + 0.25
    p = t.float() + 1e-6
    loss = metriseg.JaccardMetricLoss(form, activation="identity")
    exact = loss(p.double(), t.float().double())
    torch.testing.assert_close(loss(p, t.float()).double(), exact, rtol=1e-5, atol=0)


# ---------------------------------------------------------------------- other libraries


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("jaccard", [True, False])
def test_equals_monai_with_soft_labels(jaccard: bool, batch: bool) -> None:
    """MONAI's Dice and Jaccard with ``soft_label=True`` are the forms with norms."""
    losses = pytest.importorskip("monai.losses", reason="compares with MONAI")
    p, t = random_logits(4).softmax(1), random_soft_labels(4, seed=5)
    theirs = losses.DiceLoss(
        jaccard=jaccard, soft_label=True, batch=batch, smooth_nr=0.25, smooth_dr=0.5
    )(p, t)
    if jaccard:
        ours = metriseg.JaccardMetricLoss(
            smooth=(0.25, 0.5), per_image=not batch, activation="identity"
        )(p, t)
    else:
        axes = (0, 2, 3) if batch else (2, 3)
        total, difference = (p + t).sum(axes), (p - t).abs().sum(axes)
        ours = F.dice_semimetric(total, difference, (0.25, 0.5)).mean()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("smooth", [0.0, 0.25])
def test_equals_segmentation_models_pytorch(smooth: float) -> None:
    """Its Jaccard loss is the form with norms, of half the sums: half the smoothing is the same."""
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    logits, t = random_logits(4).float(), random_soft_labels(4, seed=5).float()
    ours = metriseg.JaccardMetricLoss(smooth=2 * smooth, per_image=False, activation="sigmoid")
    theirs = smp.losses.JaccardLoss("multilabel", smooth=smooth)
    torch.testing.assert_close(ours(logits, t), theirs(logits, t), rtol=1e-6, atol=1e-6)


def test_segmentation_models_pytorch_forgives_absent_classes() -> None:
    """A class that is predicted but absent costs it 0, and counts: the mean of 4 hides one."""
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    logits, target = random_logits(4).float(), random_labels(3)
    words = {"smooth": 0.0, "per_image": False}
    present = metriseg.JaccardMetricLoss(classes="present", **words)(logits, target)
    theirs = smp.losses.JaccardLoss("multiclass")(logits, target)
    torch.testing.assert_close(theirs, present * 3 / 4, rtol=1e-6, atol=1e-6)
    assert metriseg.JaccardMetricLoss(**words)(logits, target) > present


def test_monai_without_soft_labels_is_no_metric() -> None:
    """On hard labels it agrees; on soft ones p = t costs it, for sum p t is less than sum p."""
    losses = pytest.importorskip("monai.losses", reason="compares with MONAI")
    ours = metriseg.JaccardMetricLoss(smooth=0.0, per_image=False, activation="identity")
    theirs = losses.DiceLoss(jaccard=True, batch=True, smooth_nr=0.0, smooth_dr=0.0)
    p, labels = random_logits(4).softmax(1), random_labels(4)
    hard = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1).double()
    torch.testing.assert_close(ours(p, labels), theirs(p, hard), rtol=1e-6, atol=1e-6)
    assert ours(p, p).item() == 0
    assert theirs(p, p).item() > 0.3
