"""Words of MONAI's own losses mean here what they mean there: value, gradient and shape."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("monai")

import monai.losses
from monai.bundle import ConfigParser
from monai.networks import one_hot
from monai.utils import LossReduction, Weight

import metriseg_monai as m
import monai_tables

#: Channels and activation.
QUESTIONS = [(1, "sigmoid"), (2, "softmax"), (3, "softmax"), (3, "sigmoid")]


def data(channels: int, *, indices: bool, soft: bool = False) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(channels)
    logits = torch.randn(2, channels, 6, 5, generator=random, dtype=torch.float64)
    target = torch.randint(max(channels, 2), (2, 1, 6, 5), generator=random)
    if soft:
        target = torch.rand(logits.shape, generator=random, dtype=torch.float64)
        return logits, target / target.sum(1, keepdim=True) if channels > 1 else target
    if channels > 1 and not indices:
        target = one_hot(target, channels)
    return logits, target.double()


def value_and_gradient(loss: Any, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = loss(leaf, target)
    value.sum().backward()
    # its focal loss and its distances are in single precision
    return value.detach().double(), leaf.grad


def assert_the_same(
    name: str,
    channels: int,
    words: dict[str, Any],
    *,
    soft: bool = False,
    probabilities: bool = False,
    indices: bool | None = None,
) -> None:
    indices = words.get("to_onehot_y", False) if indices is None else indices
    logits, target = data(channels, indices=indices, soft=soft)
    if probabilities:
        logits = logits.softmax(1) if channels > 1 else logits.sigmoid()
    ours = value_and_gradient(getattr(m, name)(**words), logits, target)
    # a list of weights where MONAI takes a tensor alone
    listed = isinstance(words.get("weight"), list)
    given = {**words, "weight": torch.tensor(words["weight"]).double()} if listed else words
    theirs = value_and_gradient(getattr(monai.losses, name)(**given), logits, target)
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape, words
        torch.testing.assert_close(
            own, other, rtol=1e-5, atol=1e-6, msg=lambda text: f"{name}({words}): {text}"
        )


def policies(channels: int) -> Iterator[dict[str, Any]]:
    """Background or not, class indices or one-hot."""
    for background, indices in itertools.product((True, False), repeat=2):
        yield {"include_background": background, "to_onehot_y": indices and channels > 1}


def per_class(channels: int, words: dict[str, Any]) -> list[float]:
    """A number for every class that is counted."""
    return [0.5, 2.0, 1.5][: channels - (not words["include_background"])]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("channels", "activation"), QUESTIONS)
@pytest.mark.parametrize(
    "name",
    [
        "DiceLoss",
        "DiceCELoss",
        "DiceFocalLoss",
        "TverskyLoss",
        "GeneralizedDiceLoss",
        "GeneralizedDiceFocalLoss",
        "HausdorffDTLoss",
        "LogHausdorffDTLoss",
        "MCCLoss",
        "BoundaryLoss",
    ],
)
def test_every_reduction(name: str, channels: int, activation: str, reduction: str) -> None:
    """With and without background, of images or of the batch, weighted or not."""
    if (name, reduction) == ("DiceCELoss", "none"):
        with pytest.raises(ValueError, match="the terms can't be added"):
            m.DiceCELoss(softmax=True, reduction="none")(*data(3, indices=False))
        return
    for policy, batch in itertools.product(policies(channels), (False, True)):
        words = {**policy, activation: True, "batch": batch, "reduction": reduction}
        assert_the_same(name, channels, words)
        if "Focal" in name or ("Dice" in name and name != "GeneralizedDiceLoss"):
            weight = per_class(channels, words)
            if name == "DiceCELoss":
                # the cross-entropy of torch wants them all
                weight = [0.5, 2.0, 1.5][:channels]
            if len(weight) > 1:
                assert_the_same(name, channels, {**words, "weight": weight})


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", LossReduction.MEAN])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_focal(channels: int, reduction: str) -> None:
    for policy in policies(channels):
        words = {**policy, "reduction": reduction}
        assert_the_same("FocalLoss", channels, words)
        assert_the_same("FocalLoss", channels, {**words, "alpha": 0.3, "gamma": 1.0})
        assert_the_same("FocalLoss", channels, {**words, "weight": 2.0})
        if channels == 1:
            continue
        each = per_class(channels, words)
        assert_the_same("FocalLoss", channels, {**words, "alpha": each})
        if len(each) > 1:
            assert_the_same("FocalLoss", channels, {**words, "weight": each})
        if policy["include_background"]:
            for alpha in (None, 0.3, each):
                assert_the_same(
                    "FocalLoss", channels, {**words, "use_softmax": True, "alpha": alpha}
                )


@pytest.mark.parametrize("name", ["DiceLoss", "DiceCELoss", "DiceFocalLoss", "MaskedDiceLoss"])
@pytest.mark.parametrize(("channels", "activation"), QUESTIONS)
@pytest.mark.parametrize(("squared", "jaccard"), [*itertools.product((False, True), repeat=2)])
def test_dice_and_its_sums(
    name: str, channels: int, activation: str, squared: bool, jaccard: bool
) -> None:
    """All words spelled out, false ones too, with class indices and with one-hot targets."""
    for policy, batch in itertools.product(policies(channels), (False, True)):
        words = {
            "sigmoid": activation == "sigmoid",
            "softmax": activation == "softmax",
            "other_act": None,
            "squared_pred": squared,
            "jaccard": jaccard,
            "batch": batch,
            "reduction": "mean",
            "smooth_nr": 0.5,
            "smooth_dr": 2.0,
            "weight": None,
        }
        assert_the_same(name, channels, {**words, **policy})


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("channels", "activation"), [(1, "sigmoid"), (3, "softmax")])
def test_soft_labels(channels: int, activation: str, soft: bool) -> None:
    """Said to be soft or not, and whether they are."""
    for said, batch in itertools.product((True, False), repeat=2):
        words = {activation: True, "soft_label": said, "batch": batch}
        for squared, jaccard in itertools.product((False, True), repeat=2):
            form = {"squared_pred": squared, "jaccard": jaccard}
            assert_the_same("DiceLoss", channels, {**words, **form}, soft=soft)
        assert_the_same("TverskyLoss", channels, {**words, "alpha": 0.2, "beta": 0.9}, soft=soft)
        for w_type in ("square", "simple", "uniform", Weight.SIMPLE):
            smooth = {"smooth_nr": 0.1, "smooth_dr": 0.3}
            assert_the_same(
                "GeneralizedDiceLoss", channels, {**words, **smooth, "w_type": w_type}, soft=soft
            )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("indices", [False, True])
def test_cross_entropy_of_dice_ce(indices: bool, reduction: str) -> None:
    """Weights, smoothed labels and shares; of class indices the mean divides by weights met."""
    words = {"softmax": True, "to_onehot_y": indices, "reduction": reduction}
    for smoothing, weight in itertools.product((0.0, 0.3), (None, [0.5, 2.0, 1.0])):
        more = {"label_smoothing": smoothing, "weight": weight}
        assert_the_same("DiceCELoss", 3, {**words, **more, "lambda_dice": 0.3, "lambda_ce": 2.0})


def test_one_channel_weighs_positives() -> None:
    """In the cross-entropy; Dice does not weigh a class that is alone."""
    assert_the_same("DiceCELoss", 1, {"sigmoid": True, "weight": [3.0]})
    loss = m.DiceCELoss(sigmoid=True, weight=3.0, lambda_dice=0)
    # p = 1/2: 3 ln 2 for the positive, ln 2 for the negative
    value = loss(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]]))
    assert value.item() == pytest.approx(2 * np.log(2))
    with pytest.raises(ValueError, match="weight must be one number with one channel"):
        m.DiceCELoss(sigmoid=True, weight=[1, 2])(*data(1, indices=False))
    with pytest.raises(ValueError, match="label_smoothing is for exclusive classes"):
        m.DiceCELoss(sigmoid=True, label_smoothing=0.1)(*data(1, indices=False))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("mode", ["default", "GDL"])
def test_wasserstein(mode: str, reduction: str) -> None:
    """Softmax without a word, class indices without a word, in (B, 1, *S) or (B, *S)."""
    matrix = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    words = {"dist_matrix": matrix, "weighting_mode": mode, "reduction": reduction}
    assert_the_same("GeneralizedWassersteinDiceLoss", 3, words, indices=True)
    logits, target = data(3, indices=True)
    loss = m.GeneralizedWassersteinDiceLoss(**words)
    torch.testing.assert_close(loss(logits, target[:, 0]), loss(logits, target))
    torch.testing.assert_close(loss(logits, one_hot(target, 3)), loss(logits, target))
    given = m.GeneralizedWassersteinDiceLoss(**words, other_act=torch.nn.Identity())
    torch.testing.assert_close(given(logits.softmax(1), target), loss(logits, target))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("channels", [1, 2])
def test_unified_focal(channels: int, reduction: str) -> None:
    """Of probabilities; raw scores, which MONAI clamps to them, are refused."""
    words = {"weight": 0.3, "gamma": 0.4, "delta": 0.6, "num_classes": 2, "reduction": reduction}
    for indices in (False, True):
        assert_the_same(
            "AsymmetricUnifiedFocalLoss",
            channels,
            {**words, "to_onehot_y": indices and channels > 1},
            probabilities=True,
        )
    logits, target = data(channels, indices=False)
    with pytest.raises(ValueError, match=r"input must lie in .* say softmax=True or sigmoid=True"):
        m.AsymmetricUnifiedFocalLoss()(logits * 9, target)
    logits, target = data(3, indices=False)
    asymmetric = m.AsymmetricUnifiedFocalLoss(softmax=True)
    for loss in (asymmetric, m.CompoundLoss([asymmetric])):
        with pytest.raises(ValueError, match="y_pred must have one channel or two, got 3"):
            loss(logits, target)


def test_the_share_of_the_unified_focal_loss() -> None:
    """``weight`` there and here; the weights of classes keep another word."""
    logits, target = data(3, indices=True)
    words = {"softmax": True, "to_onehot_y": True}
    focal, tversky = (m.UnifiedFocalLoss(weight=share, **words)(logits, target) for share in (1, 0))
    mixed = m.UnifiedFocalLoss(weight=0.3, **words)
    torch.testing.assert_close(mixed(logits, target), 0.3 * focal + 0.7 * tversky)
    weighted = m.UnifiedFocalLoss(class_weight=[1, 0, 0], **words)
    assert weighted(logits, target) != m.UnifiedFocalLoss(**words)(logits, target)
    assert mixed.arguments()["weight"] == 0.3
    for few in ([5.0], [1.0, 2.0]):
        with pytest.raises(ValueError, match="class_weight must be one number or one for each of"):
            m.UnifiedFocalLoss(class_weight=few, **words)(logits, target)
    with pytest.raises(ValueError, match="weights of classes are 'class_weight'"):
        m.UnifiedFocalLoss(weight=[1, 2, 3], **words)


@pytest.mark.parametrize("name", ["DiceCELoss", "ComboLoss", "ExponentialLogarithmicLoss"])
def test_the_background_of_voxels_keeps_a_weight(name: str) -> None:
    """Where the other part keeps the background, a number for it is asked for."""
    words = {"softmax": True, "to_onehot_y": True, "include_background": False}
    with pytest.raises(ValueError, match=r"weight must be .*also without background, .* got 2"):
        getattr(m, name)(**words, weight=[1, 2])(*data(3, indices=True))
    weighted = m.DiceFocalLoss(**words, weight=[1, 2])(*data(3, indices=True))
    assert weighted.isfinite()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["FocalLoss", "DiceFocalLoss"])
def test_alpha_is_of_every_class(name: str, reduction: str) -> None:
    """Whatever the reduction; without the background its number may be left out."""
    words = {"to_onehot_y": True, "reduction": reduction}
    words |= {"softmax": True} if name == "DiceFocalLoss" else {}
    for few in ([0.3], [0.3, 0.4]):
        with pytest.raises(ValueError, match="alpha must be a number, or one for each of the 3"):
            getattr(m, name)(**words, alpha=few)(*data(3, indices=True))
    short, whole = (
        getattr(m, name)(**words, include_background=False, alpha=alpha)(*data(3, indices=True))
        for alpha in ([0.3, 0.4], [9.0, 0.3, 0.4])
    )
    torch.testing.assert_close(short, whole)


@pytest.mark.parametrize(
    ("name", "word", "value", "core"),
    [
        ("TverskyLoss", "alpha", 0.9, "fp_weight"),
        ("TverskyLoss", "beta", 0.1, "fn_weight"),
        ("DiceLoss", "smooth_nr", 0.7, "smooth"),
        ("DiceLoss", "smooth_dr", 9.0, "smooth"),
        ("DiceLoss", "batch", True, "per_image"),
        ("DiceLoss", "squared_pred", True, "squared_pred"),
        ("GeneralizedDiceLoss", "w_type", "uniform", "weighting"),
        ("GeneralizedDiceFocalLoss", "lambda_focal", 5.0, "lambda_focal"),
        ("GeneralizedDiceFocalLoss", "lambda_gdl", 3.0, "lambda_gdl"),
        ("AsymmetricUnifiedFocalLoss", "weight", 0.9, "focal_share"),
        ("DiceCELoss", "lambda_ce", 2.0, "lambda_ce"),
        ("FocalLoss", "gamma", 0.5, "gamma"),
    ],
)
def test_a_handler_may_set_what_monai_calls_so(name: str, word: str, value: Any, core: str) -> None:
    """In the course of a training: it is then the loss that was built so."""
    channels = 2 if "Asymmetric" in name else 3
    words = {"softmax": True, "to_onehot_y": True}
    loss = getattr(m, name)(**words)
    before = loss(*data(channels, indices=True))
    setattr(loss, word, value)
    after = loss(*data(channels, indices=True))
    assert after != before
    built = getattr(m, name)(**words, **{word: value})
    torch.testing.assert_close(after, built(*data(channels, indices=True)))
    assert getattr(loss, word) == value
    assert hasattr(loss, core)


def test_soft_labels_with_an_ignored_number() -> None:
    """One channel: voxels of that number. Several: as much of a voxel as is of that channel."""
    logits, soft = data(1, indices=False, soft=True)
    soft[..., 3:] = 255
    expected = m.DiceLoss(sigmoid=True)(logits[..., :3], soft[..., :3])
    found = m.DiceLoss(sigmoid=True, ignore_index=255)(logits, soft)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        found, monai.losses.DiceLoss(sigmoid=True, ignore_index=255)(logits, soft)
    )
    logits, soft = data(3, indices=False, soft=True)
    found = m.DiceLoss(softmax=True, ignore_index=0, smooth_nr=0, smooth_dr=0)(logits, soft)
    p, share = logits.softmax(1), 1 - soft[:, :1]
    overlap, mass = (share * p * soft).sum((2, 3)), (share * (p + soft)).sum((2, 3))
    torch.testing.assert_close(found, (1 - 2 * overlap / mass).mean())


def test_wasserstein_reads_class_indices_within_others() -> None:
    """As a term beside losses of class indices, and with a mask behind the labels."""
    logits, target = data(3, indices=True)
    loss = m.GeneralizedWassersteinDiceLoss()
    dice = m.DiceLoss(softmax=True, to_onehot_y=True)
    torch.testing.assert_close(
        m.CompoundLoss([loss, dice])(logits, target), loss(logits, target) + dice(logits, target)
    )
    mask = torch.ones_like(target)
    torch.testing.assert_close(
        m.TargetChannels(loss, {"mask": 1})(logits, torch.cat([target, mask], 1)),
        loss(logits, target),
    )


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("FocalLoss", {"per_image": True}, r"no argument 'per_image' \(it takes"),
        ("FocalLoss", {"overlap": "minimum"}, r"no argument 'overlap': did you mean"),
        ("FocalLoss", {"smooth": 1}, r"no argument 'smooth' \(it takes"),
        ("DiceLoss", {"smooth": 1, "sigmoid": True}, "say 'smooth_nr' and 'smooth_dr'"),
        ("AsymmetricUnifiedFocalLoss", {"class_weight": [1, 2]}, "'class_weight': did you mean"),
        (
            "GeneralizedDiceFocalLoss",
            {"sigmoid": True, "jaccard": True},
            "that is a loss of its own",
        ),
    ],
)
def test_a_hint_can_be_followed(name: str, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(m, name)(**words)
    assert m.GeneralizedDiceFocalLoss(sigmoid=True, jaccard=False, squared_pred=False)


@pytest.mark.parametrize("name", [*m.aliases.__all__, *m.losses.__all__[1:]])
def test_a_docstring_describes_what_is_taken(name: str) -> None:
    """Once: what MONAI calls otherwise, or this loss doesn't take, is not among the arguments."""
    loss = getattr(m, name)
    described = re.findall(r"^    ((?:\w+, )*\w+):(?: |\n)", loss.__doc__, re.MULTILINE)
    listed = [word for words in described for word in words.split(", ")]
    for word in inspect.signature(loss).parameters:
        assert listed.count(word) == 1, word
    foreign = {"activation", "per_image", "smooth", "overlap", "focal_share"}
    assert not foreign & set(listed)


# ---------------------------------------------------------------------------- the model zoo

#: The losses of the segmentation bundles in MONAI's model zoo, with their words.
ZOO: dict[str, tuple[str, int, dict[str, Any]]] = {
    "brats_mri_segmentation": (
        "DiceLoss",
        3,
        {
            "smooth_nr": 0,
            "smooth_dr": 1e-5,
            "squared_pred": True,
            "to_onehot_y": False,
            "sigmoid": True,
        },
    ),
    "endoscopic_tool_segmentation": (
        "DiceFocalLoss",
        2,
        {"include_background": False, "to_onehot_y": True, "softmax": True, "jaccard": True},
    ),
    "multi_organ_segmentation": (
        "DiceCELoss",
        3,
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
    "pancreas_ct_dints_segmentation": (
        "DiceCELoss",
        3,
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
    "pathology_nuclick_annotation": ("DiceLoss", 1, {"sigmoid": True, "squared_pred": True}),
    "pediatric_abdominal_ct_segmentation": (
        "DiceCELoss",
        3,
        {
            "include_background": False,
            "to_onehot_y": True,
            "softmax": True,
            "squared_pred": True,
            "batch": True,
            "smooth_nr": 1e-6,
            "smooth_dr": 1e-6,
        },
    ),
    "prostate_mri_anatomy": (
        "DiceFocalLoss",
        3,
        {"to_onehot_y": True, "softmax": True, "include_background": False},
    ),
    "renalStructures_CECT_segmentation": (
        "DiceLoss",
        3,
        {
            "include_background": False,
            "to_onehot_y": True,
            "sigmoid": True,
            "softmax": False,
            "squared_pred": False,
            "jaccard": False,
            "reduction": "mean",
            "smooth_nr": 0.0,
            "smooth_dr": 1e-5,
            "batch": False,
        },
    ),
    "renalStructures_UNEST_segmentation": (
        "DiceCELoss",
        3,
        {"to_onehot_y": True, "softmax": True, "squared_pred": True, "batch": True},
    ),
    "segmentation_template": (
        "DiceLoss",
        3,
        {"include_background": True, "to_onehot_y": True, "softmax": True},
    ),
    "spleen_ct_segmentation": (
        "DiceCELoss",
        2,
        {
            "include_background": True,
            "to_onehot_y": True,
            "softmax": True,
            "squared_pred": True,
            "batch": True,
            "smooth_nr": 1e-5,
            "smooth_dr": 1e-5,
            "lambda_dice": 0.5,
            "lambda_ce": 0.5,
        },
    ),
    "spleen_deepedit_annotation": ("DiceCELoss", 2, {"to_onehot_y": True, "softmax": True}),
    "swin_unetr_btcv_segmentation": (
        "DiceCELoss",
        3,
        {"to_onehot_y": True, "softmax": True, "squared_pred": True, "batch": True},
    ),
    "ventricular_short_axis_3label": (
        "DiceLoss",
        3,
        {"include_background": False, "to_onehot_y": True, "softmax": True},
    ),
    "vista3d": (
        "DiceCELoss",
        1,
        {
            "include_background": True,
            "sigmoid": True,
            "smooth_dr": 1e-5,
            "smooth_nr": 0,
            "squared_pred": True,
            "to_onehot_y": False,
        },
    ),
    "wholeBody_ct_segmentation": ("DiceCELoss", 3, {"to_onehot_y": True, "softmax": True}),
    "wholeBrainSeg_Large_UNEST_segmentation": (
        "DiceCELoss",
        3,
        {"to_onehot_y": True, "softmax": True, "squared_pred": True, "batch": True},
    ),
}


@pytest.mark.parametrize("bundle", ZOO)
def test_the_model_zoo_moves_over(bundle: str) -> None:
    """With only ``_target_`` changed: the same value and the same gradient."""
    name, channels, words = ZOO[bundle]
    loss = {"_target_": f"metriseg_monai.{name}", **words}
    ours = ConfigParser({"loss": loss}).get_parsed_content("loss")
    logits, target = data(channels, indices=words.get("to_onehot_y", False))
    expected = value_and_gradient(getattr(monai.losses, name)(**words), logits, target)
    torch.testing.assert_close(value_and_gradient(ours, logits, target), expected)


# ------------------------------------------------------------------------------- single words


@pytest.mark.parametrize("name", ["DiceCELoss", "DiceFocalLoss"])
def test_an_activation_of_ones_own_is_for_dice_alone(name: str) -> None:
    """The other part sees the raw scores; behind a mask anything may stand."""
    words = {"other_act": torch.sigmoid, "squared_pred": True, "to_onehot_y": True}
    assert_the_same(name, 3, words)
    logits, target = data(3, indices=True)
    loss, mask = getattr(m, name)(**words), torch.ones(2, 1, 6, 5)
    mask[..., 3:] = 0
    expected = loss(logits[..., :3], target[..., :3])
    spoilt = logits.clone()
    spoilt[..., 3:] = torch.nan
    torch.testing.assert_close(loss(spoilt, target, mask), expected)
    with pytest.raises(ValueError, match="can't be a term of a CompoundLoss"):
        m.CompoundLoss([loss])(logits, target)
    assert_the_same("DiceLoss", 3, words)


@pytest.mark.parametrize("name", ["DiceLoss", "CrossEntropyLoss", "FocalLoss", "BoundaryLoss"])
def test_one_channel_is_foreground(name: str) -> None:
    """Without the background it is warned of, and counts all the same."""
    logits, target = data(1, indices=False)
    words = {"sigmoid": True}
    expected = getattr(m, name)(**words, include_background=True)(logits, target)
    with pytest.warns(UserWarning, match="include_background=False is ignored: one channel"):
        value = getattr(m, name)(**words, include_background=False)(logits, target)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("word", ["squared_pred", "jaccard", "soft_label"])
def test_false_is_heard_everywhere(word: str) -> None:
    """Whoever spells words out may keep them; true ones, which would have an effect, not."""
    logits, target = data(3, indices=True)
    words = {"softmax": True, "to_onehot_y": True}
    spelt = m.LovaszSoftmaxLoss(**words, **{word: False})
    torch.testing.assert_close(spelt(logits, target), m.LovaszSoftmaxLoss(**words)(logits, target))
    assert word not in spelt.arguments()
    with pytest.raises(ValueError, match=f"no argument '{word}'"):
        m.LovaszSoftmaxLoss(**words, **{word: True})
    with pytest.raises(ValueError, match=f"{word} must be True or False"):
        m.DiceLoss(sigmoid=True, **{word: "yes"})


@pytest.mark.parametrize("ignored", [2, 7])
def test_ignored_voxels_of_a_one_hot_target(ignored: int) -> None:
    """Those of the label's channel; of a label without one, those without a channel."""
    logits, target = data(3, indices=True)
    hidden = torch.rand(target.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    labels = torch.where(hidden, float(ignored), torch.where(target == 2, 1.0, target))
    dense = torch.cat([labels == c for c in range(3)], 1).double()
    words = {"softmax": True, "ignore_index": ignored}
    expected = m.DiceLoss(**words, to_onehot_y=True)(logits, labels)
    torch.testing.assert_close(m.DiceLoss(**words)(logits, dense), expected)
    theirs = monai.losses.DiceLoss(**words)(logits, dense)
    torch.testing.assert_close(expected, theirs)


def test_smoothing_of_weighted_volumes() -> None:
    """MONAI adds 1e-5 to sums over squared volumes: 2 / 100^2 is not much more.

    Every p is 1/2: of both halves I = 50, S = Y = 100, so that sums of 1/Y^2 are 2 (2 50) / 10^4
    = 0.02 and 2 (200) / 10^4 = 0.04. The loss is 1 - 0.02001 / 0.04001, and 1/2 unsmoothed.
    """
    logits, target = torch.zeros(1, 2, 200), (torch.arange(200) < 100).float().view(1, 1, 200)
    words = {"softmax": True, "to_onehot_y": True}
    value = m.GeneralizedDiceLoss(**words)(logits, target).item()
    assert value == pytest.approx(1 - 0.02001 / 0.04001, abs=1e-7)


def test_several_forms_in_one_pass() -> None:
    """A compound unites the moments of its terms, whatever their form."""
    logits, target = data(3, indices=True)
    common = {"softmax": True, "to_onehot_y": True}
    terms = [m.DiceLoss(**common), m.DiceLoss(**common, squared_pred=True, jaccard=True)]
    expected = sum(term(logits, target) for term in terms)
    found = m.CompoundLoss(terms)
    assert found.moments == {1.0, 2.0}
    torch.testing.assert_close(found(logits, target), expected)


@pytest.mark.parametrize("name", m.aliases.__all__)
def test_aliases_copy_and_log_like_all_losses(name: str) -> None:
    logits, target = data(2, indices=True)
    loss = getattr(m, name)(softmax=True, to_onehot_y=True)
    for other in (
        copy.deepcopy(loss),
        pickle.loads(pickle.dumps(loss)),
        type(loss)(**loss.arguments()),
    ):
        torch.testing.assert_close(other(logits, target), loss(logits, target))
    assert not loss.state_dict()
    assert (
        loss.name
        == {
            "AsymmetricUnifiedFocalLoss": "asymmetric_unified_focal",
            "HausdorffDTLoss": "hausdorff_dt",
            "LogHausdorffDTLoss": "log_hausdorff_dt",
            "MCCLoss": "mcc",
            "MaskedDiceLoss": "masked_dice",
        }[name]
    )
    inside = m.CompoundLoss([loss, m.CrossEntropyLoss(softmax=True, to_onehot_y=True)])
    mask = torch.rand(2, 1, 6, 5, generator=torch.Generator().manual_seed(1)).double()
    apart = [term(logits, target, mask) for term in inside.terms]
    torch.testing.assert_close(inside(logits, target, mask), sum(apart))


def test_scripting_is_refused_by_torch() -> None:
    """The page says so; ``torch.compile`` takes them."""
    with pytest.raises(Exception, match="keyword-only arguments"):
        torch.jit.script(m.DiceLoss(softmax=True))


# ---------------------------------------------------------------------------------- the page


def test_the_page_says_what_both_sides_say() -> None:
    """Every segmentation loss of MONAI, with all its words; deliberate differences, asked anew."""
    page = monai_tables.PAGE.read_text(encoding="utf-8")
    assert monai_tables.written(page) == page, "make tables"
    for name in monai_tables.segmentation_losses():
        assert f"| `{name}` | " in page


def test_a_loss_that_the_page_does_not_know_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class NewLoss:
        """What a later MONAI may have."""

    monkeypatch.setattr(monai.losses, "NewLoss", NewLoss, raising=False)
    with pytest.raises(ValueError, match=r"losses that the page doesn't know.*NewLoss"):
        monai_tables.segmentation_losses()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="must have one table headed"):
        monai_tables.written("no table")


def test_a_word_with_another_default_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(monai_tables.COUNTERPARTS, "TverskyLoss", "FocalTverskyLoss")
    with pytest.raises(ValueError, match=r"TverskyLoss: .*'alpha'"):
        monai_tables.same("TverskyLoss")
