"""Sums of a region and a pixel loss: what each equals, and where others differ."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import metriseg
from metriseg import (
    Batch,
    ComboLoss,
    CompoundLoss,
    CrossEntropyLoss,
    DiceCELoss,
    DiceFocalLoss,
    DiceLoss,
    ExponentialLogarithmicLoss,
    FocalLoss,
    SegmentationLoss,
    TverskyLoss,
    UnifiedFocalLoss,
    statistics,
)
from metriseg import functional as F
from metriseg.losses import base, compound
from reference.batches import (
    IGNORE,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

COMBINED = [
    DiceCELoss,
    DiceFocalLoss,
    ComboLoss,
    ExponentialLogarithmicLoss,
    UnifiedFocalLoss,
]
POLICIES: list[dict[str, Any]] = [
    {},
    {"class_weight": [0.2, 1.0, 0.0, 2.5], "smooth": 1.0},
    {"include_background": False, "classes": "present"},
    {"per_image": False, "reduction": "sum"},
    {"activation": "sigmoid", "smooth": (0.5, 2.0)},
]


def as_compound(terms: dict[str, dict[str, Any]], weights: list[float], **policy: Any) -> Any:
    """A compound of losses by name, each given those arguments of the policy that it has."""
    made = []
    for name, own in terms.items():
        loss = getattr(metriseg, name)
        region = issubclass(loss, metriseg.RegionLoss)
        shared = {
            k: v
            for k, v in policy.items()
            if region or k not in ("smooth", "classes", "per_image", "include_background")
        }
        made.append(loss(**own, **shared))
    return CompoundLoss(made, weights)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("soft", [False, True])
def test_dice_ce_is_the_compound(policy: dict[str, Any], soft: bool) -> None:
    """Of Dice and cross-entropy with the same arguments: equal to the last bit."""
    shared = {**policy, **({} if soft else {"ignore_index": IGNORE})}
    target = random_soft_labels(4) if soft else random_labels(4, ignore=0.2)
    other = as_compound({"DiceLoss": {}, "CrossEntropyLoss": {}}, [0.7, 1.5], **shared)
    given = {"weight": random_weight()}
    loss = DiceCELoss(0.7, 1.5, **shared)
    assert torch.equal(
        loss(random_logits(4), target, **given), other(random_logits(4), target, **given)
    )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_dice_focal_is_the_compound(policy: dict[str, Any], alpha: float | None) -> None:
    """alpha weighs the focal part alone."""
    focal = {"gamma": 1.5, "alpha": alpha}
    other = as_compound({"DiceLoss": {}, "FocalLoss": focal}, [0.7, 1.5], **policy)
    loss = DiceFocalLoss(0.7, 1.5, **focal, **policy)
    logits, target = random_logits(4), random_labels(4)
    assert torch.equal(loss(logits, target), other(logits, target))


@pytest.mark.parametrize("kind", COMBINED)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_background_stays_in_the_pixel_loss(
    kind: type[SegmentationLoss], activation: str
) -> None:
    """Of pixels that are all background the pixel loss without a region loss is that of all.

    Three equal logits: cross-entropy ln 3 = 1.0986 (softmax), as nnU-Net and MONAI have it.
    """
    alone = {
        DiceCELoss: {"lambda_dice": 0.0},
        DiceFocalLoss: {"lambda_dice": 0.0},
        ComboLoss: {"alpha": 1.0},
        ExponentialLogarithmicLoss: {"lambda_dice": 0.0},
        UnifiedFocalLoss: {"focal_share": 1.0},
    }
    logits, target = torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)
    losses = [
        kind(**alone[kind], activation=activation, include_background=background)
        for background in (True, False)
    ]
    values = [loss(logits, target) for loss in losses]
    assert torch.equal(*values)
    if kind is DiceCELoss and activation == "softmax":
        assert values[0].item() == pytest.approx(math.log(3))


@pytest.mark.parametrize("normalize", ["pixels", "weights"])
@pytest.mark.parametrize("soft", [False, True])
def test_normalize_reaches_the_cross_entropy(normalize: str, soft: bool) -> None:
    """ "weights" is torch's own cross-entropy with class weights, beside the Dice loss."""
    weights = [0.5, 1.0, 2.0, 4.0]
    target = random_soft_labels(4) if soft else random_labels(4)
    loss = DiceCELoss(normalize=normalize, class_weight=weights, include_background=False)
    dice = metriseg.DiceLoss(class_weight=weights, include_background=False)
    entropy = metriseg.CrossEntropyLoss(normalize=normalize, class_weight=weights)
    logits = random_logits(4)
    expected = dice(logits, target) + entropy(logits, target)
    torch.testing.assert_close(loss(logits, target), expected)
    if normalize == "weights" and not soft:
        torch.testing.assert_close(
            entropy(logits, target),
            torch.nn.functional.cross_entropy(logits, target, logits.new_tensor(weights)),
        )


@pytest.mark.parametrize("kind", COMBINED)
def test_a_share_of_zero_leaves_its_part_out(kind: type[SegmentationLoss]) -> None:
    """Also where that part is infinite: here the cross-entropy of a logit of -inf."""
    names = {
        DiceCELoss: {"lambda_ce": 0.0},
        DiceFocalLoss: {"lambda_focal": 0.0},
        ComboLoss: {"alpha": 0.0},
        ExponentialLogarithmicLoss: {"lambda_ce": 0.0},
        UnifiedFocalLoss: {"focal_share": 0.0},
    }
    logits = torch.zeros(1, 2, 4)
    logits[0, 0, 0] = -math.inf
    value = kind(**names[kind])(logits, torch.tensor([[0, 1, 1, 0]]))
    assert torch.isfinite(value)


@pytest.mark.parametrize("kind", COMBINED)
def test_one_pass(kind: type[SegmentationLoss], monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone one pass over the logits, inside a compound the pass of all its terms."""
    passes = []

    def counted(batch: Batch, moments: frozenset[float], **kwargs: bool) -> object:
        passes.append(frozenset(moments))
        return statistics.region_statistics(batch, moments, **kwargs)

    monkeypatch.setattr(base, "region_statistics", counted)
    monkeypatch.setattr(compound, "region_statistics", counted)
    logits, target = random_logits(4), random_labels(4)
    alone = kind()(logits, target)
    assert len(passes) == 1
    together = CompoundLoss([kind(), DiceLoss()])(logits, target)
    assert len(passes) == 2
    torch.testing.assert_close(together, alone + DiceLoss()(logits, target))


@pytest.mark.parametrize("kind", COMBINED)
def test_unreduced_parts_cannot_be_added(kind: type[SegmentationLoss]) -> None:
    logits, target = random_logits(4), random_labels(4)
    words = "reduction: the terms can't be added, their shapes are"
    with pytest.raises(ValueError, match=words):
        kind(reduction="none")(logits, target)
    with pytest.raises(ValueError, match=words):
        kind().evaluate(Batch.from_tensors(logits, target))


@pytest.mark.parametrize("kind", COMBINED)
def test_slopes_are_finite_at_the_edges(kind: type[SegmentationLoss]) -> None:
    """At a perfect prediction and at the opposite, powers below 1 included."""
    own = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]])
    for p in (own, own.flip(1)):
        leaf = p.clone().requires_grad_()
        value = kind(activation="identity")(leaf, torch.tensor([[0, 1, 1]]))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(leaf.grad).all()


# ---------------------------------------------------------------------- two classes, one channel


def two_classes_and_one_channel(
    loss: type[SegmentationLoss], pair: dict[str, Any], single: dict[str, Any]
) -> None:
    """Softmax over (0, z) is the sigmoid of z."""
    z, target = random_logits(1), random_labels(1, ignore=0.2)
    logits = torch.cat([torch.zeros_like(z), z], 1)
    given = {"weight": random_weight()}
    torch.testing.assert_close(
        loss(ignore_index=IGNORE, **pair)(logits, target, **given),
        loss(ignore_index=IGNORE, activation="sigmoid", **single)(z, target, **given),
    )


def test_combo_of_two_classes_is_that_of_one_channel() -> None:
    """The cross-entropy part: half the binary cross-entropy at beta 1/2, half the CE."""
    two_classes_and_one_channel(ComboLoss, {"alpha": 1.0}, {"alpha": 1.0})


def test_exponential_logarithmic_of_two_classes_is_that_of_one_channel() -> None:
    """The cross-entropy part: the label weights of "no" and "yes" are those of two classes."""
    pixel = {"lambda_dice": 0.0}
    two_classes_and_one_channel(ExponentialLogarithmicLoss, pixel, pixel)
    two_classes_and_one_channel(
        ExponentialLogarithmicLoss,
        {**pixel, "frequencies": [30, 70]},
        {**pixel, "frequencies": [0.7]},
    )


@pytest.mark.parametrize("form", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.75])
@pytest.mark.parametrize("per_image", [True, False])
def test_unified_focal_of_two_classes_is_that_of_one_channel(
    form: str, gamma: float, per_image: bool
) -> None:
    """Both parts: a channel's background is 1 - p."""
    shared = {"form": form, "gamma": gamma, "delta": 0.7, "per_image": per_image}
    two_classes_and_one_channel(UnifiedFocalLoss, shared, shared)


# ---------------------------------------------------------------------- combo


def test_combo_beta_is_for_questions() -> None:
    logits, target = random_logits(4), random_labels(4)
    with pytest.raises(ValueError, match=r"beta=0\.7 weighs the answers of yes-or-no questions"):
        ComboLoss(beta=0.7)(logits, target)
    assert torch.isfinite(ComboLoss(beta=0.7, activation="sigmoid")(logits, target))


def test_combo_beta_weighs_missed_positives() -> None:
    """beta 1: only positives cost, -t ln p; beta 0: only negatives."""
    p = torch.tensor([[[0.25, 0.5]]], dtype=torch.float64)
    target = torch.tensor([[1, 0]])
    for beta, expected in ((1.0, -math.log(0.25) / 2), (0.0, -math.log(0.5) / 2)):
        value = ComboLoss(alpha=1.0, beta=beta, activation="identity")(p, target)
        assert value.item() == pytest.approx(expected)


# ---------------------------------------------------------------------- exponential logarithmic


def test_frequencies_of_the_batch() -> None:
    """None is the same as giving the labels' share of the valid pixels (times 7: any unit)."""
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    weight = random_weight()
    counts = [float(weight[target == label].sum()) * 7 for label in range(4)]
    shared = {"ignore_index": IGNORE}
    torch.testing.assert_close(
        ExponentialLogarithmicLoss(**shared)(logits, target, weight=weight),
        ExponentialLogarithmicLoss(frequencies=counts, **shared)(logits, target, weight=weight),
    )


def test_a_label_of_frequency_zero_weighs_nothing() -> None:
    """Label 1 never occurs in training: its pixels cost nothing, though they count."""
    p = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]], dtype=torch.float64)
    loss = ExponentialLogarithmicLoss(
        lambda_dice=0.0, lambda_ce=1.0, gamma_ce=1.0, frequencies=[3, 0], activation="identity"
    )
    value = loss(p, torch.tensor([[0, 1]]))
    assert value.item() == pytest.approx(math.log(2) / 2)


def test_dice_of_zero_is_finite() -> None:
    """Without smoothing a class predicted where it isn't has Dice 0, which counts as 1e-7."""
    p = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]], dtype=torch.float64, requires_grad=True)
    loss = ExponentialLogarithmicLoss(
        lambda_dice=1.0, lambda_ce=0.0, gamma_dice=1.0, smooth=0.0, activation="identity"
    )
    value = loss(p, torch.tensor([[0, 0]]))
    value.backward()
    assert value.item() == pytest.approx((math.log(1.5) + 7 * math.log(10)) / 2)
    assert torch.isfinite(p.grad).all()


def test_frequencies_that_do_not_fit() -> None:
    logits, target = random_logits(4), random_labels(4)
    with pytest.raises(ValueError, match="frequencies must have a number for each of the 4"):
        ExponentialLogarithmicLoss(frequencies=[1.0, 2.0])(logits, target)
    with pytest.raises(ValueError, match=r"frequencies must be the share of 'yes' in \[0, 1\]"):
        ExponentialLogarithmicLoss(frequencies=[1, 2, 3, 4], activation="sigmoid")(logits, target)
    with pytest.raises(ValueError, match="frequencies must be finite and not negative"):
        ExponentialLogarithmicLoss(frequencies=[1.0, -2.0])
    with pytest.raises(ValueError, match=r"gamma_ce must be a finite number in \(0, inf\]"):
        ExponentialLogarithmicLoss(gamma_ce=0.0)


def test_frequencies_rebuild_and_follow_the_module() -> None:
    loss = ExponentialLogarithmicLoss(frequencies=torch.tensor([0.5, 0.2, 0.2, 0.1]))
    again = ExponentialLogarithmicLoss(**loss.arguments())
    logits, target = random_logits(4), random_labels(4)
    assert torch.equal(again(logits, target), loss(logits, target))
    assert not loss.state_dict()
    assert loss.to("meta").frequencies.device.type == "meta"


# ---------------------------------------------------------------------- unified focal


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_unified_focal_special_cases(activation: str) -> None:
    """The paper's figure 1: focal, cross-entropy, Tversky and Dice are cases of the symmetric form.

    With four questions the Tversky part also has their backgrounds, so only classes compare.
    """
    logits, target = random_logits(4), random_labels(4)
    shared = {"activation": activation}

    def unified(**arguments: Any) -> torch.Tensor:
        return UnifiedFocalLoss(form="symmetric", **shared, **arguments)(logits, target)

    torch.testing.assert_close(
        unified(focal_share=1.0, delta=0.7, gamma=0.4),
        FocalLoss(gamma=0.4, alpha=0.7, **shared)(logits, target),
    )
    torch.testing.assert_close(
        unified(focal_share=1.0, delta=0.5, gamma=0.0),
        CrossEntropyLoss(**shared)(logits, target) / 2,
    )
    if activation == "sigmoid":
        return
    torch.testing.assert_close(
        unified(focal_share=0.0, delta=0.7, gamma=0.0),
        TverskyLoss(fp_weight=0.3, fn_weight=0.7)(logits, target),
    )
    torch.testing.assert_close(
        unified(focal_share=0.0, delta=0.5, gamma=0.0, smooth=0.0),
        DiceLoss(smooth=0.0)(logits, target),
    )


def test_forms_agree_where_nothing_fades() -> None:
    """At gamma 0 no class fades and none is lifted."""
    logits, target = random_logits(4), random_labels(4)
    values = [
        UnifiedFocalLoss(gamma=0.0, form=form)(logits, target)
        for form in ("symmetric", "asymmetric")
    ]
    torch.testing.assert_close(*values)


def test_unified_focal_domains() -> None:
    with pytest.raises(ValueError, match="gamma must be below 1"):
        UnifiedFocalLoss(gamma=1.0)
    with pytest.raises(ValueError, match="form must be one of 'asymmetric', 'symmetric'"):
        UnifiedFocalLoss(form="both")
    with pytest.raises(ValueError, match="say 'focal_share' for the share of the focal part"):
        UnifiedFocalLoss(weight=0.5)


@pytest.mark.parametrize("form", ["symmetric", "asymmetric"])
def test_an_image_without_background(form: str) -> None:
    """One channel, every pixel foreground and nearly certain, in single precision.

    The background's masses are differences of large sums: they must not end in rounding errors.
    """
    z = torch.full((1, 1, 512, 512), 12.0)
    target = torch.ones(1, 512, 512, dtype=torch.int64)
    loss = UnifiedFocalLoss(form=form, activation="sigmoid")
    torch.testing.assert_close(loss(z, target), loss(z.double(), target).float(), rtol=1e-3, atol=0)


def test_background_of_a_question() -> None:
    """(1 - TI)^e of p and of 1 - p, from one pass."""
    p = random_logits(1).sigmoid()
    target = random_labels(1)
    yes = Batch.from_tensors(p, target, activation="identity")
    no = Batch.from_tensors(1 - p, 1 - target, activation="identity")
    indices = [
        F.tversky_index(metriseg.region_statistics(batch), 0.4, 0.6, (0.1, 0.1))
        for batch in (no, yes)
    ]
    expected = ((1 - indices[0]) ** 0.3 + (1 - indices[1]) ** 0.5) / 2
    actual = F.binary_unified_focal_tversky(
        metriseg.region_statistics(yes), 0.6, (0.3, 0.5), (0.1, 0.1)
    )
    torch.testing.assert_close(actual, expected)


# ---------------------------------------------------------------------- others


def monai_losses() -> Any:
    return pytest.importorskip("monai.losses", reason="compares with MONAI's losses")


def test_dice_ce_equals_monai() -> None:
    monai = monai_losses()
    logits, target = random_logits(4), random_labels(4)
    theirs = monai.DiceCELoss(softmax=True, to_onehot_y=True, lambda_dice=0.7, lambda_ce=1.5)
    ours = DiceCELoss(0.7, 1.5)(logits, target)
    torch.testing.assert_close(ours, theirs(logits, target.unsqueeze(1)), rtol=1e-6, atol=1e-6)
    z, answer = random_logits(1), random_labels(1)
    theirs = monai.DiceCELoss(sigmoid=True)(z, answer.unsqueeze(1))
    ours = DiceCELoss(activation="sigmoid")(z, answer)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_dice_focal_equals_monai() -> None:
    """Over yes-or-no questions both take the mean over classes.

    With ``softmax=True`` MONAI's Dice is that of exclusive classes and its focal loss still that of
    questions; ours is of one prediction throughout.
    """
    monai = monai_losses()
    logits, target = random_logits(4), random_labels(4)
    arguments = {"to_onehot_y": True, "gamma": 1.5, "lambda_dice": 0.7, "lambda_focal": 1.5}
    questions = monai.DiceFocalLoss(sigmoid=True, **arguments)(logits, target.unsqueeze(1))
    ours = DiceFocalLoss(0.7, 1.5, gamma=1.5, activation="sigmoid")(logits, target)
    torch.testing.assert_close(ours, questions, rtol=1e-6, atol=1e-6)
    mixed = monai.DiceFocalLoss(softmax=True, **arguments)(logits, target.unsqueeze(1))
    parts = 0.7 * DiceLoss()(logits, target)
    parts = parts + 1.5 * FocalLoss(gamma=1.5, activation="sigmoid")(logits, target)
    torch.testing.assert_close(parts, mixed, rtol=1e-6, atol=1e-6)
    assert DiceFocalLoss(0.7, 1.5, gamma=1.5)(logits, target) != mixed


@pytest.mark.parametrize("gamma", [0.5, 0.75])
def test_unified_focal_is_monais_with_the_whole_focal_part(gamma: float) -> None:
    """MONAI averages the focal part over the two channels, of which each pixel has one.

    So its focal part is half the authors' (who sum over the channels), which is ours; the Tversky
    parts are equal.
    """
    monai = monai_losses()
    p, target = random_logits(1).sigmoid(), random_labels(1)
    theirs = monai.AsymmetricUnifiedFocalLoss(weight=0.3, gamma=gamma, delta=0.7)
    shared = {"delta": 0.7, "gamma": gamma, "smooth": 1e-7, "activation": "identity"}
    focal = UnifiedFocalLoss(focal_share=1.0, **shared)(p, target)
    ours = UnifiedFocalLoss(focal_share=0.3, **shared)(p, target)
    torch.testing.assert_close(
        ours - 0.3 * focal / 2, theirs(p, target.unsqueeze(1).double()), rtol=1e-6, atol=1e-6
    )
