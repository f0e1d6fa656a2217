"""Where MONAI has the same loss the values agree, except where MONAI is at fault."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("monai")

import monai.losses

import metriseg_monai as ours

COMMON = {"softmax": True, "to_onehot_y": True}


def sample(classes: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(2, classes, 7, 6, generator=random)
    return logits, torch.randint(0, classes, (2, 1, 7, 6), generator=random)


def one_hot(target: Tensor, classes: int = 4) -> Tensor:
    return torch.nn.functional.one_hot(target[:, 0], classes).movedim(-1, 1).float()


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("include_background", [False, True])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_region_losses_agree(batch: bool, include_background: bool, activation: str) -> None:
    """MONAI's Jaccard is (2 I + nr) / (2 U + dr), ours (I + nr) / (U + dr): half the smoothing."""
    logits, target = sample()
    words = {"batch": batch, "include_background": include_background, "to_onehot_y": True}
    words[activation] = True
    twice = {"smooth_nr": 2e-3, "smooth_dr": 4e-3}
    once = {"smooth_nr": 1e-3, "smooth_dr": 2e-3}
    pairs = [
        (ours.DiceLoss(**words, **once), monai.losses.DiceLoss(**words, **once)),
        (ours.JaccardLoss(**words, **once), monai.losses.DiceLoss(jaccard=True, **words, **twice)),
        (
            ours.TverskyLoss(alpha=0.2, beta=0.9, **words, **once),
            monai.losses.TverskyLoss(alpha=0.2, beta=0.9, **words, **once),
        ),
    ]
    for own, theirs in pairs:
        torch.testing.assert_close(own(logits, target), theirs(logits, target), atol=1e-6, rtol=0)
        own.reduction = theirs.reduction = "sum"
        torch.testing.assert_close(own(logits, target), theirs(logits, target), atol=1e-5, rtol=0)


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_focal_losses_agree(alpha: float | None) -> None:
    """Both divide by B C H W, with softmax too."""
    logits, target = sample()
    theirs = monai.losses.FocalLoss(to_onehot_y=True, alpha=alpha)
    own = ours.FocalLoss(to_onehot_y=True, alpha=alpha, sigmoid=True)
    torch.testing.assert_close(own(logits, target), theirs(logits, target), atol=1e-6, rtol=0)
    theirs = monai.losses.FocalLoss(to_onehot_y=True, alpha=alpha, use_softmax=True)
    own = ours.FocalLoss(to_onehot_y=True, alpha=alpha, use_softmax=True)
    torch.testing.assert_close(own(logits, target), theirs(logits, target), atol=1e-6, rtol=0)


def test_masked_dice_agrees_for_one_hot_targets() -> None:
    """A product with the mask empties prediction and target alike: the same sums."""
    logits, target = sample()
    mask = (torch.arange(42).reshape(1, 1, 7, 6) % 3 > 0).float().expand(2, 1, 7, 6)
    own = ours.DiceLoss(softmax=True)(logits, one_hot(target), mask)
    theirs = monai.losses.MaskedDiceLoss(softmax=True)(logits, one_hot(target), mask)
    torch.testing.assert_close(own, theirs, atol=1e-6, rtol=0)


def test_large_half_precision_images() -> None:
    """All logits 0 and all labels 1, 512 x 512: p = 1/2, so per class I = 131072 or 0.

    Class 0: I = 0, loss 1. Class 1: 1 - 2 (131072) / (131072 + 262144) = 1/3. Mean 2/3. In half
    precision MONAI's sums exceed 65504, its ratios are finite over infinite, and the loss is 1
    with no gradient at all.
    """
    target = torch.ones(1, 1, 512, 512)
    input = torch.zeros(1, 2, 512, 512, dtype=torch.float16, requires_grad=True)
    value = ours.DiceLoss(**COMMON)(input, target)
    value.backward()
    assert value.item() == pytest.approx(2 / 3, abs=1e-5)
    assert input.grad.float().abs().sum() > 0

    stock = torch.zeros(1, 2, 512, 512, dtype=torch.float16, requires_grad=True)
    theirs = monai.losses.DiceLoss(**COMMON)(stock, target.half())
    theirs.backward()
    assert theirs.item() == 1
    assert not stock.grad.any()


def test_an_unused_ignore_index_changes_nothing() -> None:
    """No voxel is labelled 255. MONAI's focal loss then divides by B H W in place of B C H W."""
    logits, target = sample()

    def ratio(loss: Any, **words: Any) -> float:
        words = {**words, "to_onehot_y": True}
        return (
            loss(ignore_index=255, **words)(logits, target) / loss(**words)(logits, target)
        ).item()

    assert ratio(ours.FocalLoss, softmax=True) == pytest.approx(1)
    assert ratio(ours.FocalLoss, sigmoid=True) == pytest.approx(1)
    assert ratio(monai.losses.FocalLoss) == pytest.approx(4)


def test_a_mask_with_class_indices() -> None:
    """Half of a perfect prediction is masked, so the loss is 0.

    MONAI multiplies the indices by the mask: masked voxels turn into background that the (masked)
    prediction doesn't have.
    """
    target = torch.ones(1, 1, 4, 4)
    logits = 99 * one_hot(target.long(), 2)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    assert ours.DiceLoss(**COMMON)(logits, target, mask).item() == pytest.approx(0, abs=1e-6)
    assert monai.losses.MaskedDiceLoss(**COMMON)(logits, target, mask).item() > 0.4


def test_nan_at_ignored_voxels() -> None:
    """An ignored voxel may hold anything; MONAI multiplies by 0, and 0 times NaN is NaN."""
    logits, target = sample()
    logits[:, :, 0], target[:, :, 0] = torch.nan, 255
    words = {**COMMON, "ignore_index": 255}
    assert ours.DiceLoss(**words)(logits, target).isfinite()
    assert monai.losses.DiceLoss(**words)(logits, target).isnan()


# ------------------------------------------------------------------------------- thin structures


def network(dimensions: int, images: int = 2) -> tuple[Tensor, Tensor]:
    """Logits ``(B, 1, *S)`` and a mask of crossing bars, thick and thin."""
    random = torch.Generator().manual_seed(4)
    mask = torch.zeros(images, 1, *(14,) * dimensions)
    mask[:, :, 2:5, 1:12] = 1
    mask[0, :, :, 6:7] = 1
    logits = 3 * (2 * mask - 1) + 3 * torch.randn(mask.shape, generator=random)
    return logits, mask


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("iterations", [0, 3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_centerline_dice_agrees_for_one_channel(
    reduction: str, iterations: int, dimensions: int
) -> None:
    """MONAI adds ``smooth`` > 0 to P + S as well, which it takes from a perfect prediction: 1e-9.

    Value and gradient.
    """
    logits, mask = network(dimensions)
    words = {"sigmoid": True, "reduction": reduction, "smooth_nr": 0.5, "smooth_dr": 2.0}
    pairs = [
        (
            ours.CenterlineDiceLoss(iterations=iterations, **words),
            monai.losses.SoftclDiceLoss(iter_=iterations, smooth=1e-9, **words),
        ),
        (
            ours.DiceCenterlineDiceLoss(alpha=0.3, iterations=iterations, **words),
            monai.losses.SoftDiceclDiceLoss(alpha=0.3, iter_=iterations, smooth=1e-9, **words),
        ),
    ]
    for own, theirs in pairs:
        slopes = []
        for loss in (own, theirs):
            leaf = logits.clone().requires_grad_()
            loss(leaf, mask).backward()
            slopes.append(leaf.grad)
        torch.testing.assert_close(own(logits, mask), theirs(logits, mask), atol=1e-6, rtol=0)
        torch.testing.assert_close(*slopes, atol=1e-6, rtol=1e-4)
        assert slopes[0].any()


def test_defaults_of_centerline_dice_are_monais() -> None:
    """But for what MONAI adds to P + S: of a perfect prediction 1 - 2 / (2 + 1e-4) is left."""
    logits, mask = network(2)
    own, theirs = ours.CenterlineDiceLoss(sigmoid=True), monai.losses.SoftclDiceLoss(sigmoid=True)
    torch.testing.assert_close(own(logits, mask), theirs(logits, mask), atol=1e-4, rtol=0)
    perfect = 99 * (2 * mask - 1)
    assert own(perfect, mask).item() == 0
    assert theirs(perfect, mask).item() == pytest.approx(1 - 2 / (2 + 1e-4), abs=1e-6)


def test_every_class_has_its_own_centerline_dice() -> None:
    """The mean of MONAI's of one class after the other; MONAI adds up all channels of an image.

    Then a class that is missed altogether hides behind a larger one: of two bars, 12 pixels long
    and 3, the small one is not found, and MONAI's loss is 1 - 2 P S / (P + S) with P = 1 and
    S = 12 / 15, so 1/9; the mean of 0 and 1 is 1/2.
    """
    logits, target = sample()
    p = logits.softmax(1)
    each = [
        monai.losses.SoftclDiceLoss(smooth_nr=0.5, smooth_dr=0.5, smooth=1e-9, reduction="none")(
            p[:, c : c + 1], one_hot(target)[:, c : c + 1]
        )
        for c in range(4)
    ]
    own = ours.CenterlineDiceLoss(to_onehot_y=True, softmax=True, smooth_nr=0.5, smooth_dr=0.5)
    torch.testing.assert_close(own(logits, target), torch.stack(each).mean(), atol=1e-6, rtol=0)
    bars = torch.zeros(1, 2, 5, 14)
    bars[0, 0, 1, 1:13] = 1
    bars[0, 1, 3, 1:4] = 1
    found = bars.clone()
    found[0, 1] = 0
    words = {"smooth_nr": 1e-9, "smooth_dr": 1e-9}
    theirs = monai.losses.SoftclDiceLoss(smooth=1e-9, **words)(found, bars)
    assert theirs.item() == pytest.approx(1 / 9, abs=1e-6)
    own = ours.CenterlineDiceLoss(sigmoid=True, **words)(99 * (2 * found - 1), bars)
    assert own.item() == pytest.approx(1 / 2, abs=1e-6)


def test_a_batch_of_centerlines() -> None:
    """``batch=True`` adds up the images, a word that MONAI's clDice doesn't have.

    Two images of a bar of 12 pixels and one of 3, the latter not found: P = 1 and S = 12/15.
    """
    bars = torch.zeros(2, 1, 5, 14)
    bars[0, 0, 1, 1:13] = 1
    bars[1, 0, 3, 1:4] = 1
    logits = 99 * (2 * bars - 1)
    logits[1] = -99
    words = {"sigmoid": True, "smooth_nr": 0.0, "smooth_dr": 0.0}
    value = ours.CenterlineDiceLoss(batch=True, **words)(logits, bars)
    assert value.item() == pytest.approx(1 / 9, abs=1e-6)
    assert ours.CenterlineDiceLoss(**words)(logits, bars).item() == pytest.approx(1 / 2, abs=1e-6)
    with pytest.raises(ValueError, match="say 'iterations'"):
        ours.CenterlineDiceLoss(sigmoid=True, iter_=3)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("smooth", [(0.0, 1e-5), (0.5, 2.0)])
def test_correlations_agree(smooth: tuple[float, float], batch: bool) -> None:
    """Its smoothing is added to products of counts; a perfect prediction costs exactly 0."""
    logits, target = sample()
    words = {"batch": batch, "smooth_nr": smooth[0], "smooth_dr": smooth[1]}
    own, theirs = ours.MCCLoss(**words, **COMMON), monai.losses.MCCLoss(**words, **COMMON)
    torch.testing.assert_close(own(logits, target), theirs(logits, target), atol=1e-6, rtol=0)
    truth = one_hot(target)
    for losses in (ours, monai.losses):
        assert losses.MCCLoss(**words)(truth, truth).item() == 0
