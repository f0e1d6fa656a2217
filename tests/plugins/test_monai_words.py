"""Words of MONAI's own losses mean here what they mean there: value and gradient."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("monai")

import monai.losses
from monai.networks import one_hot

import metriseg_monai as m


def data(channels: int, *, indices: bool, images: int = 2) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(channels)
    logits = torch.randn(images, channels, 6, 5, generator=random, dtype=torch.float64)
    target = torch.randint(max(channels, 2), (images, 1, 6, 5), generator=random)
    if channels > 1 and not indices:
        target = one_hot(target, channels)
    return logits, target.double()


def value_and_gradient(loss: Any, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = loss(leaf, target)
    value.backward()
    return value.detach(), leaf.grad


def assert_the_same(name: str, channels: int, words: dict[str, Any]) -> None:
    logits, target = data(channels, indices=words.get("to_onehot_y", False))
    ours = value_and_gradient(getattr(m, name)(**words), logits, target)
    theirs = value_and_gradient(getattr(monai.losses, name)(**words), logits, target)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["DiceLoss", "DiceCELoss", "DiceFocalLoss"])
@pytest.mark.parametrize(
    ("channels", "activation"),
    [(1, "sigmoid"), (3, "sigmoid"), (3, "softmax")],
)
@pytest.mark.parametrize(("squared", "jaccard"), [*itertools.product((False, True), repeat=2)])
@pytest.mark.parametrize("batch", [False, True])
def test_dice_and_its_sums(
    name: str, channels: int, activation: str, squared: bool, jaccard: bool, batch: bool
) -> None:
    """All words spelled out, false ones too, with class indices and with one-hot targets."""
    words = {
        activation: True,
        "squared_pred": squared,
        "jaccard": jaccard,
        "batch": batch,
        "reduction": "mean",
        "smooth_nr": 0.5,
        "smooth_dr": 2.0,
    }
    assert_the_same(name, channels, {**words, "include_background": True, "to_onehot_y": False})
    if channels > 1:
        assert_the_same(name, channels, {**words, "include_background": False})
        assert_the_same(name, channels, {**words, "to_onehot_y": True})


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_shares_of_the_sums(reduction: str) -> None:
    """Sums too: over channels of the focal loss, over voxels of the cross-entropy."""
    words = {"softmax": True, "to_onehot_y": True, "reduction": reduction}
    assert_the_same("DiceCELoss", 3, {**words, "lambda_dice": 0.3, "lambda_ce": 2.0})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "DiceCELoss",
            {
                "include_background": False,
                "to_onehot_y": True,
                "softmax": True,
                "squared_pred": True,
                "batch": True,
                "smooth_nr": 1e-5,
                "smooth_dr": 1e-5,
            },
        ),
        (
            "DiceLoss",
            {
                "to_onehot_y": False,
                "sigmoid": True,
                "squared_pred": True,
                "smooth_nr": 0,
                "smooth_dr": 1e-5,
            },
        ),
        ("DiceFocalLoss", {"to_onehot_y": True, "softmax": True, "jaccard": True}),
        ("DiceCELoss", {"to_onehot_y": True, "softmax": True, "squared_pred": True}),
        ("DiceLoss", {"to_onehot_y": True, "softmax": True, "jaccard": False}),
    ],
    ids=str,
)
def test_words_as_bundles_have_them(name: str, words: dict[str, Any]) -> None:
    assert_the_same(name, 3, words)


def test_the_other_activation_is_for_dice_alone() -> None:
    with pytest.raises(ValueError, match="other_act would be for the Dice part of DiceCELoss"):
        m.DiceCELoss(other_act=torch.sigmoid)
    words = {"other_act": torch.sigmoid, "squared_pred": True}
    assert_the_same("DiceLoss", 3, words)


@pytest.mark.parametrize("word", ["squared_pred", "jaccard"])
def test_flags_are_flags(word: str) -> None:
    with pytest.raises(ValueError, match=f"{word} must be True or False"):
        m.DiceLoss(sigmoid=True, **{word: "yes"})
    with pytest.raises(ValueError, match=f"no argument '{word}'"):
        m.TverskyLoss(sigmoid=True, **{word: True})


def test_several_forms_in_one_pass() -> None:
    """A compound unites the moments of its terms, whatever their form."""
    logits, target = data(3, indices=True)
    common = {"softmax": True, "to_onehot_y": True}
    terms = [m.DiceLoss(**common), m.DiceLoss(**common, squared_pred=True, jaccard=True)]
    expected = sum(term(logits, target) for term in terms)
    found = m.CompoundLoss(terms)
    assert found.moments == {1.0, 2.0}
    torch.testing.assert_close(found(logits, target), expected)
