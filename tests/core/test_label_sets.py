"""Labels that stand for one of several classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from reference import oracle, partial
from reference.batches import IGNORE, random_logits, random_weight

SETS = {4: [2, 3], 7: [0, 1], -3: [3]}
NAMES = tuple(partial.ORACLES)
TABLES = ("MarginalDiceLoss", "LeafDiceLoss", "ExclusionLoss")
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def labels(values: list[int], *, images: int = 2, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(values), (images, 5, 4), generator=generator)
    return torch.tensor(values)[drawn]


def multi_hot(target: torch.Tensor, sets: dict[int, list[int]], classes: int = 4) -> torch.Tensor:
    """Pixel by pixel; nothing where a label is neither a class nor a set."""
    found = torch.zeros(len(target), classes, *target.shape[1:], dtype=torch.float64)
    for index in np.ndindex(tuple(target.shape)):
        label = int(target[index])
        for c in sets.get(label, [label] if 0 <= label < classes else []):
            found[(index[0], c, *index[1:])] = 1.0
    return found


def expected(
    name: str, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, **words: Any
) -> Any:
    flat = logits.flatten(2).numpy()
    p = oracle.softmax(flat)
    t, w = target.flatten(2).numpy(), weight.flatten(1).numpy()
    return partial.ORACLES[name](p, t, w, **words)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "words",
    [
        {},
        {"include_background": False},
        {"class_weight": [0.2, 1.0, 0.0, 2.5]},
        {"per_image": False},
        {"classes": "present", "per_image": False},
        {"smooth": (0.5, 2.0)},
        {"smooth": 0.0},
        {"power": 1.0},
        {"power": 1.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_equals_its_oracle(name: str, words: dict[str, Any], reduction: str) -> None:
    """Classes, sets, a set of one, a set of all, ignored and weighted pixels in one batch."""
    kind = getattr(metriseg, name)
    if any(word not in metriseg.CATALOGUE[name].loss.__signature__.parameters for word in words):
        return
    sets = {**SETS, 9: [0, 1, 2, 3]}
    logits, target = random_logits(4), labels([0, 1, 2, 3, 4, 7, -3, 9, IGNORE])
    # the second image knows its classes
    target[1] = target[1].clamp(0, 3)
    weight = random_weight()
    seen = torch.where(target == IGNORE, 0.0, weight)
    loss = kind(sets, ignore_index=IGNORE, reduction=reduction, **words)
    found = loss(logits, target, weight=weight)
    wanted = expected(name, logits, multi_hot(target, sets), seen, reduction=reduction, **words)
    np.testing.assert_allclose(found.numpy().reshape(np.shape(wanted)), wanted, **TOLERANCE)
    dense = kind(reduction=reduction, **words)(logits, multi_hot(target, sets), weight=seen)
    torch.testing.assert_close(dense, found)


@pytest.mark.parametrize("name", NAMES)
def test_a_set_of_one_class_is_that_class(name: str) -> None:
    logits = random_logits(4)
    with_sets, plain = labels([0, 1, 10, 11], seed=5), labels([0, 1, 2, 3], seed=5)
    kind = getattr(metriseg, name)
    found = kind({10: [2], 11: [3]})(logits, with_sets)
    torch.testing.assert_close(found, kind()(logits, plain))


def test_without_sets_they_are_the_plain_losses() -> None:
    """Cross-entropy, Dice and, with squares, power Dice."""
    logits, target = random_logits(4), labels([0, 1, 2, 3])
    for marginal, plain in (
        (metriseg.MarginalCrossEntropyLoss(SETS), metriseg.CrossEntropyLoss()),
        (metriseg.MarginalDiceLoss(SETS), metriseg.DiceLoss()),
        (metriseg.LeafDiceLoss(SETS), metriseg.PowerDiceLoss(power=2.0, per_image=True)),
    ):
        torch.testing.assert_close(marginal(logits, target), plain(logits, target))


@pytest.mark.parametrize("name", ["MarginalCrossEntropyLoss", "MarginalDiceLoss"])
def test_a_set_of_all_classes_is_ignored(name: str) -> None:
    logits, target = random_logits(4), labels([0, 1, 2, 3, IGNORE])
    kind = getattr(metriseg, name)
    expected = kind(ignore_index=IGNORE)(logits, target)
    torch.testing.assert_close(kind({IGNORE: [0, 1, 2, 3]})(logits, target), expected)


def test_values_by_hand() -> None:
    """Four classes of probability 1/2, 1/4, 1/8, 1/8 at one pixel that is 2 or 3."""
    p = torch.tensor([[[0.5], [0.25], [0.125], [0.125]]], dtype=torch.float64)
    target = torch.tensor([[4]])

    def value(name: str, **words: Any) -> torch.Tensor:
        return getattr(metriseg, name)({4: [2, 3]}, activation="identity", **words)(p, target)

    assert value("MarginalCrossEntropyLoss").item() == pytest.approx(math.log(4))
    # ln 1.5 + ln 1.25
    assert value("ExclusionCrossEntropyLoss").item() == pytest.approx(math.log(1.875))
    # joined, 2 and 3 have 1/4 of 1: 1 - 2 (1/4) / (1/4 + 1) = 3/5; classes 0 and 1 cost 1
    table = value("MarginalDiceLoss", smooth=0.0, reduction="none")
    assert table.tolist() == [[1.0, 1.0, pytest.approx(0.6), 0.0]]
    assert value("MarginalDiceLoss", smooth=0.0).item() == pytest.approx(2.6 / 3)
    # nothing is certain
    assert value("LeafDiceLoss", smooth=0.0).item() == pytest.approx(1.0)
    # 2 p / (p + 1) of classes 0 and 1: 2/3 and 2/5
    table = value("ExclusionLoss", reduction="none")
    assert table.tolist() == [[pytest.approx(2 / 3), pytest.approx(0.4), 0.0, 0.0]]


def test_the_authors_example() -> None:
    """Fidon et al.: what is 2 or 3 may be either; leaf-Dice is 1/2, the marginal losses are 0."""
    first = torch.tensor([[[99.0, 0, 0], [0, 99, 0], [0, 0, 99], [0, 0, 0]]])
    second = first[:, [0, 1, 3, 2]]
    target = torch.tensor([[0, 1, 4]])
    for logits in (first, second):
        leaf = metriseg.LeafDiceLoss({4: [2, 3]}, smooth=(0, 1e-5))(logits, target)
        assert leaf.item() == pytest.approx(0.5, abs=1e-5)
        for name in ("MarginalDiceLoss", "MarginalCrossEntropyLoss", "ExclusionLoss"):
            value = getattr(metriseg, name)({4: [2, 3]})(logits, target)
            assert value.item() == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "LeafDiceLoss"])
def test_only_what_a_set_has_together_matters(name: str) -> None:
    """Mass moved within a set changes nothing, where all pixels are of sets (Fidon's axiom)."""
    logits, target = random_logits(4), labels([4, 7])
    moved = logits.clone()
    moved[:, 2:] = logits[:, 2:].flip(1)
    moved[:, :2] = logits[:, :2].flip(1)
    loss = getattr(metriseg, name)({4: [2, 3], 7: [0, 1]}, reduction="sum")
    torch.testing.assert_close(loss(moved, target), loss(logits, target))


def test_classes_are_joined_through_others() -> None:
    """0 or 1, 1 or 2: the three are one in that image, and apart in the other."""
    target = torch.tensor([[4, 5, 3], [0, 1, 2]])
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = metriseg.MarginalDiceLoss({4: [0, 1], 5: [1, 2]}, reduction="none")(logits, target)
    assert (table[0, 1:3] == 0).all()
    p = logits.softmax(1)
    joined = p[0, :3].sum(0)
    dice = 1 - (2 * joined[:2].sum() + 1e-5) / (joined.sum() + 2 + 1e-5)
    torch.testing.assert_close(table[0, 0], dice)
    plain = metriseg.DiceLoss(reduction="none")(logits[1:], target[1:])
    torch.testing.assert_close(table[1:], plain)


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: str) -> None:
    logits = random_logits(4).requires_grad_()
    target = labels([0, 1, 2, 3, 4, 7, IGNORE, 9])
    loss = getattr(metriseg, name)({4: [2, 3], 7: [0, 1], 9: [0, 1, 2, 3]}, ignore_index=IGNORE)
    weight = random_weight()
    assert torch.autograd.gradcheck(lambda z: loss(z, target, weight=weight), logits)


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_may_hold_anything(name: str) -> None:
    logits, target = random_logits(4), labels([0, 1, 2, 3, 4, IGNORE])
    ignored = (target == IGNORE).unsqueeze(1)
    loss = getattr(metriseg, name)({4: [2, 3]}, ignore_index=IGNORE)
    values, slopes = [], []
    for filler in (logits, math.nan, math.inf):
        z = torch.where(ignored, filler, logits).requires_grad_()
        value = loss(z, target)
        value.backward()
        values.append(value.detach())
        slopes.append(z.grad)
    for value, slope in zip(values[1:], slopes[1:], strict=True):
        torch.testing.assert_close(value, values[0])
        torch.testing.assert_close(slope, slopes[0])
    assert (slopes[1][ignored.expand_as(logits)] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_valid_and_extremes(name: str) -> None:
    kind = getattr(metriseg, name)
    logits = random_logits(4).requires_grad_()
    value = kind({4: [2, 3]}, ignore_index=IGNORE)(logits, torch.full((2, 5, 4), IGNORE))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))
    hard = (random_logits(4).sign() * 1e4).half().requires_grad_()
    value = kind({4: [2, 3]})(hard, labels([0, 1, 2, 3, 4]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(hard.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles(name: str) -> None:
    logits, target = random_logits(4).float(), labels([0, 1, 2, 3, 4, IGNORE])
    loss = getattr(metriseg, name)({4: [2, 3]}, ignore_index=IGNORE)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(logits, target), loss(logits, target))


def test_in_a_compound() -> None:
    """Terms with the same sets are added; the sets are spread once."""
    logits, target = random_logits(4), labels([0, 1, 2, 3, 4, IGNORE])
    terms = [getattr(metriseg, name)({4: [2, 3]}, ignore_index=IGNORE) for name in NAMES]
    weights = [1.0, 0.5, 2.0, 0.25, 3.0]
    found = metriseg.CompoundLoss(terms, weights)(logits, target)
    apart = sum(w * term(logits, target) for w, term in zip(weights, terms, strict=True))
    torch.testing.assert_close(found, apart)
    with pytest.raises(ValueError, match="terms must agree about label_sets"):
        metriseg.CompoundLoss([metriseg.MarginalDiceLoss({4: [2, 3]}), metriseg.DiceLoss()])


def test_within_deep_supervision_and_points() -> None:
    """Labels of sets are resized and sampled as labels."""
    loss = metriseg.MarginalCrossEntropyLoss({4: [2, 3]})
    deep = metriseg.DeepSupervisionLoss(metriseg.PointLoss(loss, 20))
    levels = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 4, 4)]
    value = deep(levels, torch.full((1, 8, 8), 4))
    assert value.item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("given", [{4: [2, 3]}, {"4": (3, 2)}, [[4, [2, 3]]], [(4, [2, 3])]])
def test_how_sets_may_be_written(given: Any) -> None:
    """JSON's keys are text; a list of pairs goes where a config takes no numbers for keys."""
    loss = metriseg.MarginalDiceLoss(given)
    assert loss.label_sets == {4: (2, 3)}
    assert repr(loss) == "MarginalDiceLoss(label_sets={4: (2, 3)})"


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ({2: [0, 1]}, "label_sets: 2 is itself one of the 4 classes"),
        ({4: [3, 4]}, r"label_sets\[4\] must hold classes in 0 … 3, got \[3, 4\]"),
        ({IGNORE: [0, 1]}, "label_sets: 255 is ignore_index"),
    ],
)
def test_sets_that_do_not_fit(sets: dict[int, list[int]], words: str) -> None:
    loss = metriseg.MarginalDiceLoss(sets, ignore_index=IGNORE)
    with pytest.raises(ValueError, match=words):
        loss(random_logits(4), labels([0, 1]))


@pytest.mark.parametrize(
    "sets",
    [
        {4: []},
        {4: [1, 1]},
        {4: 2},
        {"a": [1]},
        [4],
        3,
        {4: [-1, 2]},
        {4.5: [1]},
        {True: [1]},
        {4: [True]},
    ],
    ids=str,
)
def test_sets_that_are_none(sets: Any) -> None:
    with pytest.raises(ValueError, match="label_sets"):
        metriseg.MarginalCrossEntropyLoss(sets)


@pytest.mark.parametrize("label", [5, -1, 100])
def test_labels_that_are_nothing(label: int) -> None:
    target = labels([0, 4])
    target[0, 0, 0] = label
    loss = metriseg.MarginalCrossEntropyLoss({4: [2, 3], 100000: [0, 1]})
    with pytest.raises(ValueError, match=rf"of label_sets, \[4, 100000\].* got \[{label}\]"):
        loss(random_logits(4), target)


@pytest.mark.parametrize("name", NAMES)
def test_questions_have_no_sets(name: str) -> None:
    kind = getattr(metriseg, name)
    with pytest.raises(ValueError, match="activation must be one of 'softmax', 'identity'"):
        kind({4: [2, 3]}, activation="sigmoid")
    with pytest.raises(ValueError, match="soft labels have no meaning"):
        kind()(random_logits(4), random_logits(4).softmax(1))
