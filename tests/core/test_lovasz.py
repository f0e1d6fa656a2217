"""Lovász extensions: exact on sets, convex between, one sort for all classes."""

from __future__ import annotations

import pytest
import torch

import metriseg
from metriseg import functional as F
from metriseg.functional import lovasz
from reference.batches import IGNORE, random_labels, random_logits, random_weight
from reference.lovasz import jaccard_of_errors


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_hard_prediction(classes: int, seed: int) -> torch.Tensor:
    """One-hot probabilities; class 2 is never predicted."""
    labels = random_labels(classes, seed=seed)
    labels[labels == 2] = 0
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).double()


# ---------------------------------------------------------------------- the extension


def test_on_sets_it_is_the_jaccard_loss_of_errors() -> None:
    """An extension: errors that are 0 or 1 give |M| / |truth or M|, for every set M of 6 pixels."""
    truth = torch.tensor([True, True, False, True, False, False])
    sets = torch.cartesian_prod(*[torch.tensor([False, True])] * 6)
    found = F.lovasz_jaccard(sets[None].double(), truth.expand(1, 64, 6))[0]
    expected = [
        jaccard_of_errors(wrong.tolist(), truth.tolist(), torch.ones(6).numpy()) for wrong in sets
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_convex_and_homogeneous() -> None:
    """f(a x + (1 - a) y) <= a f(x) + (1 - a) f(y), and f(3 x) = 3 f(x), with and without truth."""
    random = generator()
    x, y = torch.rand(2, 1000, 1, 9, generator=random, dtype=torch.float64)
    truth = torch.rand(1000, 1, 9, generator=random) < 0.3
    weight = torch.rand(1000, 1, 9, generator=random, dtype=torch.float64)
    share = torch.rand(1000, 1, 1, generator=random, dtype=torch.float64)

    def f(errors: torch.Tensor) -> torch.Tensor:
        return F.lovasz_jaccard(errors, truth, weight)

    assert not truth.any(2).all()
    between = share[..., 0] * f(x) + (1 - share[..., 0]) * f(y)
    assert (f(share * x + (1 - share) * y) <= between + 1e-12).all()
    torch.testing.assert_close(f(3 * x), 3 * f(x))


def test_equal_errors_in_any_order() -> None:
    """The value is a function of the level sets: pixels of equal error may change places."""
    random = generator()
    errors = torch.randint(4, (1, 1, 60), generator=random).double() / 3
    truth = torch.rand(1, 1, 60, generator=random) < 0.5
    weight = torch.rand(1, 1, 60, generator=random, dtype=torch.float64)
    expected = F.lovasz_jaccard(errors, truth, weight)
    for _ in range(20):
        order = torch.randperm(60, generator=random)
        shuffled = F.lovasz_jaccard(errors[..., order], truth[..., order], weight[..., order])
        torch.testing.assert_close(shuffled, expected, rtol=1e-12, atol=1e-12)


def test_slopes_are_a_subgradient_at_ties() -> None:
    """f(y) >= f(x) + s (y - x) at an x of many equal errors, for random y."""
    random = generator()
    x = (torch.randint(3, (1, 1, 12), generator=random).double() / 2).requires_grad_()
    truth = torch.rand(1, 1, 12, generator=random) < 0.5
    value = F.lovasz_jaccard(x, truth)
    (slope,) = torch.autograd.grad(value.sum(), x)
    for y in torch.rand(200, 1, 1, 12, generator=random, dtype=torch.float64):
        bound = value + (slope * (y - x)).sum(-1)
        assert (F.lovasz_jaccard(y, truth) >= bound - 1e-12).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("at_once", [1, 25, 100])
def test_a_few_rows_at_a_time(
    monkeypatch: pytest.MonkeyPatch, at_once: int, weighted: bool
) -> None:
    """One row, some classes or some groups at once: rows don't know of each other."""
    random = generator()
    errors = torch.rand(5, 3, 11, generator=random, dtype=torch.float64, requires_grad=True)
    truth = torch.rand(5, 3, 11, generator=random) < 0.5
    weight = torch.rand(5, 1, 11, generator=random, dtype=torch.float64) if weighted else None
    whole = F.lovasz_jaccard(errors, truth, weight)
    monkeypatch.setattr(lovasz, "SORTED_VALUES", at_once)
    parts = F.lovasz_jaccard(errors, truth, weight)
    assert torch.equal(parts, whole)
    slopes = [torch.autograd.grad(value.sum(), errors)[0] for value in (whole, parts)]
    assert torch.equal(*slopes)


@pytest.mark.parametrize("weighted", [False, True])
def test_slopes_keep_their_digits(weighted: bool) -> None:
    """Half a million pixels in single precision: slopes of about 1e-6 as in double."""
    random = generator()
    errors = torch.rand(1, 1, 1 << 19, generator=random)
    truth = torch.rand(1, 1, 1 << 19, generator=random) < 0.5
    weight = torch.rand(1, 1, 1 << 19, generator=random) if weighted else None
    single, double = errors.clone().requires_grad_(), errors.double().requires_grad_()
    F.lovasz_jaccard(single, truth, weight).sum().backward()
    F.lovasz_jaccard(double, truth, weight if weight is None else weight.double()).sum().backward()
    off = (single.grad - double.grad).abs().max() / double.grad.max()
    assert off < 1e-6


def test_a_feather_before_a_stone() -> None:
    """Masses 1e-12 and 1 without truth: J leaps to 1 at the first, and stays."""
    errors = torch.tensor([[[0.75, 0.5]]], requires_grad=True)
    weight = torch.tensor([[[1e-12, 1.0]]])
    value = F.lovasz_jaccard(errors, torch.zeros(1, 1, 2, dtype=torch.bool), weight)
    value.sum().backward()
    assert value.item() == 0.75
    assert errors.grad.tolist() == [[[1.0, 0.0]]]


# ---------------------------------------------------------------------- Lovász-Softmax


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("classes", ["all", "present"])
@pytest.mark.parametrize("include_background", [True, False])
def test_hard_predictions_cost_the_jaccard_loss(
    include_background: bool, classes: str, per_image: bool
) -> None:
    """50 random maps, with ignored and weighted pixels; class 2 isn't predicted, 4 isn't true."""
    common = {
        "classes": classes,
        "per_image": per_image,
        "include_background": include_background,
        "class_weight": [1.0, 0.5, 2.0, 0.0, 3.0],
        "activation": "identity",
        "ignore_index": IGNORE,
    }
    ours = metriseg.LovaszSoftmaxLoss(**common)
    jaccard = metriseg.JaccardLoss(smooth=0.0, **common)
    for trial in range(50):
        prediction = random_hard_prediction(5, trial)
        target = random_labels(4, seed=trial + 500, ignore=0.3)
        weight = random_weight(seed=trial)
        torch.testing.assert_close(
            ours(prediction, target, weight=weight),
            jaccard(prediction, target, weight=weight),
            rtol=1e-12,
            atol=1e-12,
        )


def test_an_absent_class_costs_its_largest_probability() -> None:
    """Under "all"; an ignored pixel's doesn't count."""
    p = torch.tensor([[[0.7, 0.4, 0.1], [0.3, 0.6, 0.9]]])
    target = torch.tensor([[0, 0, IGNORE]])
    loss = metriseg.LovaszSoftmaxLoss(
        classes="all", activation="identity", ignore_index=IGNORE, reduction="none"
    )
    torch.testing.assert_close(loss(p, target)[0, 1], torch.tensor(0.6))


def test_masks_need_not_exclude_each_other_under_sigmoid() -> None:
    """Overlapping masks are questions of their own; for a softmax they are no truth."""
    logits = random_logits(3)
    masks = torch.rand(logits.shape, generator=generator()) < 0.5
    whole = metriseg.LovaszSoftmaxLoss(activation="sigmoid", classes="all")(logits, masks)
    parts = [
        metriseg.LovaszSoftmaxLoss(activation="sigmoid", classes="all")(
            logits[:, c : c + 1], masks[:, c : c + 1]
        )
        for c in range(3)
    ]
    torch.testing.assert_close(whole, torch.stack(parts).mean())
    with pytest.raises(ValueError, match="target must give every pixel one class here"):
        metriseg.LovaszSoftmaxLoss()(logits, masks)


@pytest.mark.parametrize("loss", [metriseg.LovaszSoftmaxLoss, metriseg.LovaszHingeLoss])
def test_soft_labels_are_refused(loss: type[metriseg.SegmentationLoss]) -> None:
    target = torch.full((2, 5, 4), 0.5)
    with pytest.raises(ValueError, match="target must hold labels or be one-hot"):
        loss(activation="sigmoid")(random_logits(1), target)


# ---------------------------------------------------------------------- Lovász hinge


def test_hinge_is_zero_from_margin_one() -> None:
    """At every logit right by 1 or more; a margin of 0.9 costs 0.1."""
    target = random_labels(1)
    signs = (2.0 * target - 1).unsqueeze(1)
    loss = metriseg.LovaszHingeLoss()
    assert loss(signs, target).item() == 0
    assert loss(5 * signs, target).item() == 0
    torch.testing.assert_close(loss(0.9 * signs, target), torch.tensor(0.1))


def test_hinge_of_an_empty_mask_is_the_largest_error() -> None:
    """J is 1 from the first wrong pixel on; with classes="present" the mask isn't asked."""
    logits, target = torch.tensor([[[0.5, -3.0, -0.2]]]), torch.tensor([[0, 0, 0]])
    torch.testing.assert_close(metriseg.LovaszHingeLoss()(logits, target), torch.tensor(1.5))
    assert metriseg.LovaszHingeLoss(classes="present")(logits, target).item() == 0


def test_hinge_of_several_channels_is_the_mean_of_each() -> None:
    logits = random_logits(3)
    masks = torch.rand(logits.shape, generator=generator()) < 0.4
    weight = random_weight()
    loss = metriseg.LovaszHingeLoss()
    each = [loss(logits[:, c : c + 1], masks[:, c : c + 1], weight=weight) for c in range(3)]
    torch.testing.assert_close(loss(logits, masks, weight=weight), torch.stack(each).mean())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("classes", [1, 4])
def test_hinge_of_extreme_logits(dtype: torch.dtype, classes: int) -> None:
    """All wrong by 1e4: the largest errors, 1 + 1e4 as they are in half precision."""
    target = random_labels(classes)
    own = (
        target.unsqueeze(1)
        == (torch.arange(classes) if classes > 1 else 1 + torch.arange(1))[None, :, None, None]
    )
    logits = torch.where(own, -1e4, 1e4).to(dtype).requires_grad_()
    value = metriseg.LovaszHingeLoss()(logits, target)
    value.backward()
    torch.testing.assert_close(value, 1 + logits.detach().float().abs().max())
    assert torch.isfinite(logits.grad).all()


# ---------------------------------------------------------------------- other libraries


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("ignore", [0.0, 0.2])
def test_softmax_equals_segmentation_models_pytorch(per_image: bool, ignore: float) -> None:
    """Values and gradients; both average the classes that are there."""
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    logits, target = random_logits(5).float(), random_labels(4, ignore=ignore)
    values, slopes = [], []
    for loss in (
        metriseg.LovaszSoftmaxLoss(per_image=per_image, ignore_index=IGNORE),
        smp.losses.LovaszLoss("multiclass", per_image=per_image, ignore_index=IGNORE),
    ):
        leaf = logits.clone().requires_grad_()
        values.append(loss(leaf, target))
        slopes.append(torch.autograd.grad(values[-1], leaf)[0])
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("ignore", [0.0, 0.2])
def test_hinge_equals_segmentation_models_pytorch(per_image: bool, ignore: float) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    logits, target = random_logits(1).float(), random_labels(1, ignore=ignore)
    ours = metriseg.LovaszHingeLoss(per_image=per_image, ignore_index=IGNORE)(logits, target)
    theirs = smp.losses.LovaszLoss("binary", per_image=per_image, ignore_index=IGNORE)(
        logits, target
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_where_segmentation_models_pytorch_differs() -> None:
    """Its masks of several classes are pooled into one, and ignored images stay in its mean.

    Pooled, a large class hides the errors of a small one, against which the Jaccard loss is used;
    and of two images, one wholly ignored, the loss is half of what it is for the other alone.
    """
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    logits = random_logits(3).float()
    masks = (torch.rand(logits.shape, generator=generator()) < 0.4).long()
    theirs = smp.losses.LovaszLoss("multilabel", per_image=True)(logits, masks)
    loss = metriseg.LovaszHingeLoss()
    pooled = loss(logits.reshape(2, 1, -1), masks.reshape(2, -1))
    torch.testing.assert_close(theirs, pooled, rtol=1e-6, atol=1e-6)
    assert (loss(logits, masks) - pooled).abs() > 1e-3

    logits, target = random_logits(1).float(), random_labels(1)
    target[1] = IGNORE
    ours = metriseg.LovaszHingeLoss(ignore_index=IGNORE)
    half = smp.losses.LovaszLoss("binary", per_image=True, ignore_index=IGNORE)(logits, target)
    torch.testing.assert_close(ours(logits, target), ours(logits[:1], target[:1]))
    torch.testing.assert_close(half, ours(logits, target) / 2, rtol=1e-6, atol=1e-6)


def test_segmentation_models_pytorch_of_nothing_valid_is_no_number() -> None:
    """An all-ignored batch gives it an empty tensor, which no trainer can go back from."""
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    logits, target = random_logits(4), torch.full((2, 5, 4), IGNORE)
    theirs = smp.losses.LovaszLoss("multiclass", ignore_index=IGNORE)(logits, target)
    assert theirs.shape == (0, 4)
    ours = metriseg.LovaszSoftmaxLoss(ignore_index=IGNORE)(logits, target)
    assert ours.shape == ()
    assert ours.item() == 0


def test_slopes_of_segmentation_models_pytorch_lose_their_digits() -> None:
    """It subtracts Jaccard losses of neighbouring ranks: at 1024 x 1024 pixels, 1e-6 of about 1."""
    smp = pytest.importorskip("segmentation_models_pytorch", reason="compares with it")
    random = generator()
    logits = torch.randn(1, 1, 1024, 1024, generator=random)
    target = torch.randint(2, (1, 1024, 1024), generator=random)

    def slope(loss: torch.nn.Module, z: torch.Tensor) -> torch.Tensor:
        leaf = z.clone().requires_grad_()
        return torch.autograd.grad(loss(leaf, target), leaf)[0].double()

    exact = slope(metriseg.LovaszHingeLoss(), logits.double())
    largest = exact.abs().max()
    ours = slope(metriseg.LovaszHingeLoss(), logits)
    theirs = slope(smp.losses.LovaszLoss("binary", per_image=True), logits)
    assert (ours - exact).abs().max() < 1e-5 * largest
    assert (theirs - exact).abs().max() > 1e-2 * largest
