"""Weights of classes: what isn't annotated is in no sum, no count and no mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

import metriseg
from metriseg import fused
from metriseg.catalogue import CATALOGUE, Entry
from reference.batches import (
    IGNORE,
    accepted,
    oracle_value,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
CLASS_WEIGHT = [0.2, 1.0, 0.5, 2.5]
#: A value for every class in every group.
TABLES = (
    *("DiceLoss", "JaccardLoss", "PowerJaccardLoss", "TverskyLoss", "LogCoshDiceLoss"),
    *("PowerDiceLoss", "FocalTverskyLoss", "SensitivitySpecificityLoss", "JaccardMetricLoss"),
    *("LovaszSoftmaxLoss", "LovaszHingeLoss", "LeafDiceLoss", "ExclusionLoss"),
    *("DiceSemimetricLoss", "TverskySemimetricLoss", "DicePlusPlusLoss", "NoiseRobustDiceLoss"),
    *("MatthewsCorrelationLoss", "AverageCalibrationLoss"),
)
#: What of a pixel's label alone matters, with exclusive classes.
OF_LABELS = (
    *("CrossEntropyLoss", "FocalLoss", "TopKLoss", "NegativeMimeLoss"),
    *("GeneralizedCrossEntropyLoss", "PolyCrossEntropyLoss", "PolyFocalLoss"),
)


def annotation(dimensions: int = 2, classes: int = 4, *, seed: int = 8) -> torch.Tensor:
    """``(2, C, *S)``: weights, a third of them zero; class 1 is nowhere in the first image."""
    generator = torch.Generator().manual_seed(seed)
    shape = random_logits(classes, dimensions).shape
    weight = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    weight = torch.where(torch.rand(shape, generator=generator) < 0.35, 0.0, weight)
    weight[0, 1] = 0.0
    return weight


def activations(entry: Entry) -> list[str]:
    return [word for word in entry.loss.activations if word != "identity"]


def supporting() -> Iterator[tuple[Entry, str]]:
    for entry in CATALOGUE.values():
        for activation in activations(entry):
            if entry.loss.weighs_classes or entry.name == "CompoundLoss":
                yield entry, activation


EACH = pytest.mark.parametrize(
    ("supported", "activation"), list(supporting()), ids=lambda v: getattr(v, "name", v)
)


@EACH
def test_one_weight_for_all_classes_is_that_of_the_pixel(supported: Entry, activation: str) -> None:
    """Whatever the other options."""
    logits, target, weight = random_logits(4), random_labels(4, ignore=0.2), random_weight()
    everywhere = weight.unsqueeze(1).expand_as(logits)
    for words in (
        {},
        {"include_background": False},
        {"class_weight": CLASS_WEIGHT, "normalize": "weights"},
        {"classes": "present"},
        {"reduction": "sum"},
        {"sync": False, "per_image": False},
    ):
        known = {} if supported.name == "CompoundLoss" else accepted(supported, **words)
        loss = supported.build(activation=activation, ignore_index=IGNORE, **known)
        torch.testing.assert_close(
            loss(logits, target, weight=everywhere), loss(logits, target, weight=weight)
        )


@pytest.mark.parametrize("ignore", [0.0, 0.2])
@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", TABLES)
def test_tables_equal_their_oracle_class_by_class(
    name: str, activation: str, per_image: bool, ignore: float
) -> None:
    """Every column is that of the oracle under the class's own weight; so is the mean of them."""
    entry = CATALOGUE[name]
    if activation not in entry.loss.activations:
        return
    weight = annotation()
    # the last class is annotated in no image
    weight[:, 3] = 0.0
    for target in (random_labels(4, ignore=ignore), random_soft_labels(4)):
        soft = target.is_floating_point()
        if soft and (not entry.soft_targets or ignore):
            continue
        words = {
            "activation": activation,
            "ignore_index": IGNORE if ignore else None,
            "per_image": per_image,
            "classes": "all",
            "reduction": "none",
        }
        logits = random_logits(4)
        loss = entry.build(**words)
        found = loss(logits, target, weight=weight)
        columns = [
            oracle_value(entry, logits, target, weight=weight[:, c], **words)[:, c]
            for c in range(4)
        ]
        np.testing.assert_allclose(found, np.stack(columns, 1), **TOLERANCE)
        seen = (weight > 0).flatten(2).any(2)
        seen = seen if per_image else seen.any(0, keepdim=True)
        expected = np.mean([found[g][seen[g]].mean() for g in range(len(found)) if seen[g].any()])
        mean = entry.build(**{**words, "reduction": "mean"})(logits, target, weight=weight)
        assert mean.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("words", [{}, {"class_weight": CLASS_WEIGHT}], ids=str)
@pytest.mark.parametrize("name", OF_LABELS)
def test_of_exclusive_classes_the_label_weighs(name: str, words: dict[str, Any]) -> None:
    """A pixel whose label isn't annotated doesn't count."""
    entry, weight, logits, target = (
        CATALOGUE[name],
        annotation(),
        random_logits(4),
        random_labels(4),
    )
    own = weight.gather(1, target.unsqueeze(1)).squeeze(1)
    for reduction in ("mean", "sum", "none"):
        found = entry.build(reduction=reduction, **words)(logits, target, weight=weight)
        expected = oracle_value(entry, logits, target, weight=own, reduction=reduction, **words)
        np.testing.assert_allclose(found.numpy().reshape(np.shape(expected)), expected, **TOLERANCE)


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"class_weight": CLASS_WEIGHT},
        {"include_background": False},
        {"class_weight": CLASS_WEIGHT, "normalize": "weights"},
        {"label_smoothing": 0.2},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "FocalLoss"])
def test_of_questions_each_weighs(name: str, words: dict[str, Any]) -> None:
    """The sum of what the annotated questions cost, over the number of them."""
    entry, weight, logits = CATALOGUE[name], annotation(), random_logits(4)
    if any(word not in accepted(entry, **words) for word in words):
        return
    one = {k: v for k, v in words.items() if k == "label_smoothing"}
    factors = np.array(words.get("class_weight", [1.0] * 4))
    counted = np.array([float(words.get("include_background", True)), 1.0, 1.0, 1.0])
    for target in (random_labels(4), random_soft_labels(4, exclusive=False)):
        dense = target
        if not target.is_floating_point():
            dense = nnf.one_hot(target, 4).movedim(-1, 1).double()
        total, mass = 0.0, 0.0
        for c in range(4):
            costs = oracle_value(
                entry,
                logits[:, c : c + 1],
                dense[:, c : c + 1],
                activation="sigmoid",
                weight=weight[:, c],
                reduction="sum",
                **one,
            )
            total += counted[c] * factors[c] * costs
            share = factors[c] if "normalize" in words else 1.0
            mass += counted[c] * share * weight[:, c].sum().item()
        found = entry.build(activation="sigmoid", **words)(logits, target, weight=weight)
        assert found.item() == pytest.approx(total / mass, rel=1e-10)


@pytest.mark.parametrize("words", [{"percent": 30.0}, {"threshold": 0.4}], ids=str)
def test_the_largest_of_questions(words: dict[str, float]) -> None:
    """Pixels in the order of what their annotated questions cost, each of the mass of these."""
    weight, logits, target = annotation(), random_logits(4), random_labels(4)
    p, own = logits.sigmoid(), nnf.one_hot(target, 4).movedim(-1, 1)
    costs = -torch.where(own > 0, p, 1 - p).log()
    pixels = []
    for n, i, j in np.ndindex(*target.shape):
        mass = sum(weight[n, c, i, j].item() for c in range(4))
        if mass > 0:
            cost = sum((weight * costs)[n, c, i, j].item() for c in range(4)) / mass
            pixels.append((cost, mass / 4))
    total, kept = 0.0, 0.0
    budget = max(1, math.floor(0.3 * sum(mass for _, mass in pixels)))
    for cost, mass in sorted(pixels, reverse=True):
        share = min(mass, budget - kept)
        if "threshold" in words:
            share = mass if math.exp(-cost) < 0.4 else 0.0
        total, kept = total + share * cost, kept + share
    found = metriseg.TopKLoss(activation="sigmoid", **words)(logits, target, weight=weight)
    assert found.item() == pytest.approx(total / kept, rel=1e-10)


def test_mime_sums_what_is_annotated() -> None:
    """sum w omega p over a mean of w: every class has a term, whatever the label."""
    weight, logits, target = annotation(), random_logits(4), random_labels(4)
    p = logits.softmax(1)
    own = nnf.one_hot(target, 4).movedim(-1, 1).double()
    omega = -1.9 * own + 0.1 * (1 - own)
    expected = (weight * omega * p).sum() / weight.mean(1).sum()
    torch.testing.assert_close(metriseg.MimeLoss()(logits, target, weight=weight), expected)


def test_balance_counts_what_is_annotated() -> None:
    """beta of an image and class is that of its annotated pixels."""
    weight, logits, target = annotation(), random_logits(4), random_labels(4)
    own = nnf.one_hot(target, 4).movedim(-1, 1).double()
    total = 0.0
    for n, c in np.ndindex(2, 4):
        if weight[n, c].sum() == 0:
            continue
        p, t, w = logits[n, c].sigmoid(), own[n, c], weight[n, c]
        beta = 1 - (w * t).sum() / w.sum()
        total += (w * (-beta * t * p.log() - (1 - beta) * (1 - t) * (1 - p).log())).sum()
    loss = metriseg.CrossEntropyLoss(balance="image", activation="sigmoid")
    found = loss(logits, target, weight=weight)
    torch.testing.assert_close(found, total / weight.sum())


@pytest.mark.parametrize("weighting", ["square", "simple", "uniform"])
def test_generalized_dice_sums_what_is_annotated(weighting: str) -> None:
    """The ratio of sums over classes, each of its own pixels; class 1 is absent from the first."""
    weight, logits, target = annotation(), random_logits(4), random_labels(4)
    p, own = logits.softmax(1), nnf.one_hot(target, 4).movedim(-1, 1).double()
    values = []
    for n in range(2):
        w = weight[n].flatten(1)
        overlap = (w * p[n].flatten(1) * own[n].flatten(1)).sum(1)
        mass = (w * (p[n] + own[n]).flatten(1)).sum(1)
        volume = (w * own[n].flatten(1)).sum(1)
        power = {"square": 2, "simple": 1, "uniform": 0}[weighting]
        factor = torch.where(volume > 0, volume, 1.0) ** -power
        there = mass > 0
        values.append(1 - 2 * (factor * overlap)[there].sum() / (factor * mass)[there].sum())
    loss = metriseg.GeneralizedDiceLoss(weighting, smooth=0.0)
    found = loss(logits, target, weight=weight)
    torch.testing.assert_close(found, torch.stack(values).mean())


def test_whole_images_by_hand() -> None:
    """Class 1 isn't annotated in the second image: its Dice loss is that of class 0 alone.

    Classes 0 and 1 at (.75, .25), (.5, .5) with labels 0, 1: 1/3 and 3/7. The mean of the first
    image is 8/21, that of the second 1/3.
    """
    p = torch.tensor([[[0.75, 0.5], [0.25, 0.5]]]).expand(2, -1, -1)
    target = torch.tensor([[0, 1], [0, 1]])
    loss = metriseg.DiceLoss(smooth=0.0, activation="identity")
    weight = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    # two pixels and two classes: (N, *S) is what (N, 2) means
    found = loss(p, target, weight=weight.unsqueeze(2).expand_as(p))
    assert found.item() == pytest.approx((8 / 21 + 1 / 3) / 2)


@EACH
def test_whole_images(supported: Entry, activation: str) -> None:
    """(N, C) is (N, C, *S) of the same numbers everywhere."""
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    weight = torch.tensor([[1.0, 0.0, 2.0, 1.0], [0.5, 1.0, 0.0, 1.0]], dtype=torch.float64)
    loss = supported.build(activation=activation, ignore_index=IGNORE)
    everywhere = weight.view(2, 4, 1, 1).expand_as(logits)
    found = loss(logits, target, weight=weight)
    assert torch.equal(found, loss(logits, target, weight=everywhere))
    assert found != loss(logits, target)


@EACH
def test_gradients(supported: Entry, activation: str) -> None:
    logits, target = random_logits(4).requires_grad_(), random_labels(4, ignore=0.2)
    loss = supported.build(activation=activation, ignore_index=IGNORE)
    weight = annotation()
    assert torch.autograd.gradcheck(
        lambda z: loss(z, target, weight=weight), logits, fast_mode=True
    )


def test_second_derivatives() -> None:
    logits, target, weight = random_logits(4), random_labels(4), annotation()
    for loss in (metriseg.DiceLoss(), metriseg.FocalTverskyLoss(), metriseg.DiceCELoss()):
        assert torch.autograd.gradgradcheck(
            lambda z, loss=loss: loss(z, target, weight=weight),
            logits.clone().requires_grad_(),
            fast_mode=True,
        )


@EACH
def test_what_is_not_annotated_may_hold_anything(supported: Entry, activation: str) -> None:
    """Of questions every one, of exclusive classes the pixels without any class."""
    logits, target, weight = random_logits(4), random_labels(4), annotation()
    weight[1, :, 2:] = 0.0
    hidden = weight == 0 if activation == "sigmoid" else (weight == 0).all(1, keepdim=True)
    hidden = hidden.expand_as(logits)
    loss = supported.build(activation=activation)
    values, slopes = [], []
    for filler in (logits, math.nan, math.inf, -math.inf):
        z = torch.where(hidden, filler, logits).requires_grad_()
        value = loss(z, target, weight=weight)
        value.backward()
        values.append(value.detach())
        slopes.append(z.grad)
    for value, slope in zip(values[1:], slopes[1:], strict=True):
        torch.testing.assert_close(value, values[0])
        torch.testing.assert_close(slope, slopes[0])
    assert torch.isfinite(values[0])
    assert (slopes[0][hidden] == 0).all()


def test_masks_may_hold_anything_where_they_are_not_annotated() -> None:
    logits, weight = random_logits(4), annotation()
    masks = random_soft_labels(4, exclusive=False).round()
    spoilt = torch.where(weight > 0, masks, math.nan)
    for name in ("CrossEntropyLoss", "DiceLoss", "FocalTverskyLoss", "DiceFocalLoss"):
        loss = getattr(metriseg, name)(activation="sigmoid")
        torch.testing.assert_close(
            loss(logits, spoilt, weight=weight), loss(logits, masks, weight=weight)
        )


@EACH
def test_nothing_annotated(supported: Entry, activation: str) -> None:
    logits = random_logits(4).requires_grad_()
    value = supported.build(activation=activation)(
        logits, random_labels(4), weight=torch.zeros(2, 4, dtype=torch.float64)
    )
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_one_channel() -> None:
    """The weight of the one class is that of the pixel."""
    logits, target, weight = random_logits(1), random_labels(1), random_weight()
    loss = metriseg.DiceCELoss(activation="sigmoid")
    found = loss(logits, target, weight=weight.unsqueeze(1))
    torch.testing.assert_close(found, loss(logits, target, weight=weight))
    whole = loss(logits, target, weight=torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(whole, loss(logits[:1], target[:1]))


def test_in_a_compound() -> None:
    logits, target, weight = random_logits(4), random_labels(4, ignore=0.2), annotation()
    terms = [
        metriseg.DiceLoss(ignore_index=IGNORE),
        metriseg.CrossEntropyLoss(ignore_index=IGNORE),
        metriseg.FocalLoss(ignore_index=IGNORE, activation="sigmoid"),
        metriseg.LovaszSoftmaxLoss(ignore_index=IGNORE),
    ]
    found = metriseg.CompoundLoss(terms)(logits, target, weight=weight)
    apart = sum(term(logits, target, weight=weight) for term in terms)
    torch.testing.assert_close(found, apart)


def test_the_kernels_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """They know weights of pixels alone."""

    def asked(*args: object, **words: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(fused, "fits", asked)
    logits, target = random_logits(4), random_labels(4)
    metriseg.DiceLoss()(logits, target, weight=annotation())
    with pytest.raises(AssertionError):
        metriseg.DiceLoss()(logits, target)


@pytest.mark.parametrize("budget", [8, 40])
def test_tiles(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    """The same in small steps."""
    logits, target, weight = random_logits(4), random_labels(4), annotation()
    loss = metriseg.FocalTverskyLoss()
    whole = logits.clone().requires_grad_()
    expected = loss(whole, target, weight=weight)
    expected.backward()
    monkeypatch.setattr(metriseg.statistics, "tile_values", lambda device: budget)
    cut = logits.clone().requires_grad_()
    found = loss(cut, target, weight=weight)
    found.backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(cut.grad, whole.grad)


def test_it_compiles() -> None:
    logits, target, weight = random_logits(4).float(), random_labels(4), annotation().float()
    for loss in (metriseg.DiceCELoss(), metriseg.DiceFocalLoss(activation="sigmoid")):
        compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(
            compiled(logits, target, weight=weight), loss(logits, target, weight=weight)
        )


def test_with_label_sets() -> None:
    """Sets are spread under weights of classes; what is ignored is so in all of them."""
    logits, weight = random_logits(4), annotation()
    target = torch.where(random_labels(4) == 3, 4, random_labels(4, ignore=0.2))
    target = torch.where(target == 3, 2, target)
    loss = metriseg.LeafDiceLoss({4: [2, 3]}, ignore_index=IGNORE)
    ignored = torch.where((target == IGNORE).unsqueeze(1), 0.0, weight)
    found = loss(logits, target, weight=weight)
    masks = torch.stack([(target == c).double() for c in range(4)], 1)
    masks[:, 2] += (target == 4).double()
    masks[:, 3] += (target == 4).double()
    torch.testing.assert_close(found, metriseg.LeafDiceLoss()(logits, masks, weight=ignored))


def test_at_several_resolutions_and_points() -> None:
    logits, target, weight = random_logits(4), random_labels(4), annotation()
    small = logits[:, :, :2, :2].contiguous()
    loss = metriseg.DiceCELoss()
    deep = metriseg.DeepSupervisionLoss(loss, "equal", normalize=False)
    rows, columns = torch.tensor([1, 3]), torch.tensor([1, 3])
    few = target[:, rows][:, :, columns]
    pixels = weight[:, :, rows][..., columns]
    expected = loss(logits, target, weight=weight) + loss(small, few, weight=pixels)
    torch.testing.assert_close(deep([logits, small], target, weight=weight), expected)
    whole = torch.tensor([[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    expected = loss(logits, target, weight=whole) + loss(small, few, weight=whole)
    torch.testing.assert_close(deep([logits, small], target, weight=whole), expected)
    assert torch.isfinite(metriseg.PointLoss(loss, 9)(logits, target, weight=weight))
    assert torch.isfinite(metriseg.PointLoss(loss, 9)(logits, target, weight=whole))


def test_soft_labels_are_averaged_class_by_class() -> None:
    """Class 0 has its first pixel alone, class 1 both."""
    soft = torch.tensor([[[0.2, 0.8], [0.4, 0.6]]])
    weight = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    loss = metriseg.DiceLoss(activation="identity")
    deep = metriseg.DeepSupervisionLoss(loss, [0.0, 1.0])
    p = torch.tensor([[[0.3], [0.7]]])
    expected = loss(p, torch.tensor([[[0.2], [0.5]]]), weight=torch.tensor([[[0.5], [1.0]]]))
    torch.testing.assert_close(deep([torch.zeros(1, 2, 2), p], soft, weight=weight), expected)


def test_losses_of_the_whole_refuse(entry: Entry) -> None:
    """By name, and not by a wrong value."""
    if entry.loss.weighs_classes or entry.name == "CompoundLoss":
        return
    dimensions = min(entry.spatial_dimensions)
    weight = annotation(dimensions)
    with pytest.raises(ValueError, match=f"isn't annotated, and {entry.name} has no meaning"):
        entry.build()(random_logits(4, dimensions), random_labels(4, dimensions), weight=weight)


def test_what_else_is_refused() -> None:
    logits, target, weight = random_logits(4), random_labels(4), annotation()
    with pytest.raises(ValueError, match=r"weight must be a tensor of shape \(N, \*S\) = .* or of"):
        metriseg.DiceLoss()(logits, target, weight=weight[:, :3])
    with pytest.raises(ValueError, match="weight must be finite and not negative"):
        metriseg.DiceLoss()(logits, target, weight=-weight)
    with pytest.raises(ValueError, match="label_smoothing gives exclusive classes a share"):
        metriseg.CrossEntropyLoss(label_smoothing=0.1)(logits, target, weight=weight)
    masks = random_soft_labels(4)
    with pytest.raises(ValueError, match="is for labels here"):
        metriseg.NegativeMimeLoss(activation="sigmoid")(logits, masks, weight=weight)
    with pytest.raises(ValueError, match="leave out 'counted'"):
        metriseg.Batch.from_tensors(logits, target, weight=weight, counted=random_weight())
