"""Overlap losses against MONAI's and segmentation_models.pytorch's, and where these differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from reference.batches import random_labels, random_logits, random_soft_labels

CLOSE = {"atol": 1e-6, "rtol": 0}
CONFUSIONS = [
    [0.0, 1.0, 1.0, 1.0],
    [1.0, 0.0, 0.5, 0.25],
    [1.0, 0.5, 0.0, 0.6],
    [1.0, 0.25, 0.6, 0.0],
]


@pytest.fixture
def monai() -> Any:
    return pytest.importorskip("monai.losses", reason="MONAI is an optional extra")


@pytest.fixture
def smp() -> Any:
    return pytest.importorskip(
        "segmentation_models_pytorch.losses", reason="segmentation_models.pytorch isn't required"
    )


def sample(classes: int = 4, images: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (3, 4, 5, 4) and labels that hold every class in every image."""
    target = random_labels(classes, images=images)
    target.flatten(1)[:, :classes] = torch.arange(classes)
    return random_logits(classes, images=images), target


# ---------------------------------------------------------------------- MONAI


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("include_background", [True, False])
def test_monai_squared_dice_is_power_dice(
    monai: Any, batch: bool, include_background: bool
) -> None:
    logits, target = sample()
    theirs = monai.DiceLoss(
        softmax=True,
        to_onehot_y=True,
        squared_pred=True,
        batch=batch,
        include_background=include_background,
    )
    ours = metriseg.PowerDiceLoss(2.0, per_image=not batch, include_background=include_background)
    torch.testing.assert_close(ours(logits, target), theirs(logits, target.unsqueeze(1)), **CLOSE)


@pytest.mark.parametrize("jaccard", [False, True])
def test_monai_dice_and_jaccard(monai: Any, jaccard: bool) -> None:
    """MONAI's Jaccard has (2 I + s) / (2 U + s): half the smoothing, so none here."""
    logits, target = sample()
    smooth = 0.0 if jaccard else 1e-5
    theirs = monai.DiceLoss(
        softmax=True, to_onehot_y=True, jaccard=jaccard, smooth_nr=smooth, smooth_dr=smooth
    )
    ours = metriseg.JaccardLoss(smooth=0.0) if jaccard else metriseg.DiceLoss()
    torch.testing.assert_close(ours(logits, target), theirs(logits, target.unsqueeze(1)), **CLOSE)


def test_monai_tversky_to_the_power(monai: Any) -> None:
    """MONAI has no focal Tversky loss; its Tversky losses, class by class, to the 1/gamma.

    Its alpha is the price of false positives.
    """
    logits, target = sample()
    theirs = monai.TverskyLoss(
        softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7, reduction="none"
    )(logits, target.unsqueeze(1))
    ours = metriseg.FocalTverskyLoss(gamma=4 / 3)
    torch.testing.assert_close(ours(logits, target), theirs.pow(0.75).mean(), **CLOSE)


@pytest.mark.parametrize("weighting", ["square", "simple", "uniform"])
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("include_background", [True, False])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("absent", [False, True])
def test_monai_generalized_dice(
    monai: Any, absent: bool, activation: str, include_background: bool, batch: bool, weighting: str
) -> None:
    """With an absent class too: the largest finite weight of its image, or of the batch.

    Without smoothing, which MONAI adds beside sums that shrink with the volumes.
    """
    logits, target = sample()
    if absent:
        target[target == 2] = 1
        target[0][target[0] == 3] = 1
    theirs = monai.GeneralizedDiceLoss(
        **{activation: True},
        to_onehot_y=True,
        w_type=weighting,
        batch=batch,
        include_background=include_background,
        smooth_nr=0.0,
        smooth_dr=0.0,
    )
    ours = metriseg.GeneralizedDiceLoss(
        weighting,
        smooth=0.0,
        per_image=not batch,
        include_background=include_background,
        activation=activation,
    )
    torch.testing.assert_close(ours(logits, target), theirs(logits, target.unsqueeze(1)), **CLOSE)


def test_monai_smooths_large_classes_away(monai: Any) -> None:
    """512 x 512 pixels, two classes, half each, all wrong: S + Y = 2^18 and w = 2^-34 for both.

    MONAI's sum of w (S + Y) is 2^-15, beside which its smoothing of 1e-5 is a quarter: it says
    0.75. Ours divides w by the largest, so the sum is 2^19, and says 1 to a part in 2^35.
    """
    target = torch.zeros(1, 512, 512, dtype=torch.int64)
    target[:, 256:] = 1
    wrong = torch.stack([target, 1 - target], 1).double()
    theirs = monai.GeneralizedDiceLoss(to_onehot_y=True)
    expected = 1 - 1e-5 / (2**-15 + 1e-5)
    assert theirs(wrong, target.unsqueeze(1)).item() == pytest.approx(expected, rel=1e-4)
    ours = metriseg.GeneralizedDiceLoss(activation="identity")
    assert ours(wrong, target).item() == pytest.approx(1, abs=1e-9)


def test_monai_generalized_dice_of_soft_labels(monai: Any) -> None:
    """MONAI's ``soft_label=True`` is another loss, made to be 0 at p = t; the default is ours."""
    logits, target = random_logits(4), random_soft_labels(4)
    theirs = monai.GeneralizedDiceLoss(softmax=True, smooth_nr=0.0, smooth_dr=0.0)
    ours = metriseg.GeneralizedDiceLoss(smooth=0.0)
    torch.testing.assert_close(ours(logits, target), theirs(logits, target), **CLOSE)


@pytest.mark.parametrize("weighting", ["default", "GDL"])
@pytest.mark.parametrize("smooth", [1e-5, 0.5])
def test_monai_generalized_wasserstein_dice(monai: Any, weighting: str, smooth: float) -> None:
    """The distance of every class to the background is 1, as its code takes for granted."""
    logits, target = sample()
    theirs = monai.GeneralizedWassersteinDiceLoss(
        np.array(CONFUSIONS), weighting_mode=weighting, smooth_nr=smooth, smooth_dr=smooth
    )
    ours = metriseg.GeneralizedWassersteinDiceLoss(CONFUSIONS, weighting=weighting, smooth=smooth)
    torch.testing.assert_close(ours(logits, target), theirs(logits, target), **CLOSE)


def test_monai_rewards_a_missed_class_that_is_near_the_background(monai: Any) -> None:
    """Class 1 is .2 from the background, class 2 is 1; all pixels are called background.

    Nothing is hit: ours is 1. MONAI takes 1 - W for a hit, though the background has W = .2
    there: each of the two pixels of class 1 earns 0.8, so 1 - 3.2 / (3.2 + 1.4) = 0.30.
    """
    distances = [[0.0, 0.2, 1.0], [0.2, 0.0, 0.9], [1.0, 0.9, 0.0]]
    target = torch.tensor([[0, 1, 1, 2]])
    logits = torch.tensor([100.0, 0.0, 0.0]).double().view(1, 3, 1).expand(1, 3, 4)
    ours = metriseg.GeneralizedWassersteinDiceLoss(distances, smooth=0.0)
    theirs = monai.GeneralizedWassersteinDiceLoss(np.array(distances), smooth_nr=0, smooth_dr=0)
    assert ours(logits, target).item() == pytest.approx(1.0)
    assert theirs(logits, target).item() == pytest.approx(1 - 3.2 / 4.6)


# ---------------------------------------------------------------------- SMP


@pytest.mark.parametrize("name", ["DiceLoss", "JaccardLoss"])
@pytest.mark.parametrize("mode", ["multiclass", "multilabel", "binary"])
def test_smp_dice_and_jaccard(smp: Any, name: str, mode: str) -> None:
    """Sums over the batch; every class is there."""
    classes = 1 if mode == "binary" else 4
    logits, target = sample() if classes > 1 else (random_logits(1), random_labels(1))
    if mode == "multilabel":
        target = torch.nn.functional.one_hot(target, 4).movedim(-1, 1)
    theirs = getattr(smp, name)(mode, log_loss=False)
    ours = getattr(metriseg, name)(
        smooth=0.0, per_image=False, activation="softmax" if mode == "multiclass" else "sigmoid"
    )
    torch.testing.assert_close(ours(logits, target), theirs(logits, target), **CLOSE)


def test_smp_tversky(smp: Any) -> None:
    """Its alpha is the price of false positives."""
    logits, target = sample()
    theirs = smp.TverskyLoss("multiclass", alpha=0.2, beta=0.9)
    ours = metriseg.TverskyLoss(0.2, 0.9, smooth=0.0, per_image=False)
    torch.testing.assert_close(ours(logits, target), theirs(logits, target), **CLOSE)


def test_smp_focal_tversky_is_a_power_of_the_mean(smp: Any) -> None:
    """(mean of the classes' losses)^gamma, with gamma the exponent; the paper: mean of l^(1/gamma).

    They agree, at exponents 0.75 and 1/(4/3), for one class alone. Of several, the power of the
    mean no longer tells a class that is hard from one that is easy; as the root is concave, it is
    the larger.
    """
    ours = {"gamma": 4 / 3, "smooth": 0.0, "per_image": False}
    theirs: dict[str, Any] = {"alpha": 0.3, "beta": 0.7, "gamma": 0.75}
    logits, target = random_logits(1), random_labels(1)
    torch.testing.assert_close(
        metriseg.FocalTverskyLoss(activation="sigmoid", **ours)(logits, target),
        smp.TverskyLoss("binary", **theirs)(logits, target),
        **CLOSE,
    )
    logits, target = sample()
    of_the_mean = smp.TverskyLoss("multiclass", **theirs)(logits, target)
    loss = metriseg.FocalTverskyLoss(**ours)
    table = metriseg.TverskyLoss(smooth=0.0, per_image=False, reduction="none")(logits, target)
    torch.testing.assert_close(of_the_mean, table.mean() ** 0.75, **CLOSE)
    torch.testing.assert_close(loss(logits, target), (table**0.75).mean())
    assert of_the_mean > loss(logits, target) + 1e-4


def test_smp_counts_absent_classes_as_perfect(smp: Any) -> None:
    """It sets the loss of an absent class to 0 and still divides by all: neither rule of ours.

    Of four classes two are absent: its value is half of the mean over those present, so that a
    prediction looks better the fewer classes an image has.
    """
    logits, target = sample()
    target = target % 2
    theirs = smp.DiceLoss("multiclass")(logits, target)
    ours = metriseg.DiceLoss(smooth=0.0, per_image=False, classes="present")(logits, target)
    torch.testing.assert_close(theirs, ours / 2, **CLOSE)
