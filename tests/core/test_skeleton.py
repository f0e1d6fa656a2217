"""Losses of thin structures, on small drawn lines."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from skimage.morphology import dilation, skeletonize
from torch import Tensor

import metriseg
from metriseg import functional as F
from metriseg.catalogue import CATALOGUE
from reference.batches import IGNORE, oracle_value, random_labels, random_logits, random_weight
from reference.thin import soft_skeleton

NAMES = [
    "CenterlineDiceLoss",
    "DiceCenterlineDiceLoss",
    "CenterlineBoundaryDiceLoss",
    "SkeletonRecallLoss",
]


def drawn(*rows: str) -> Tensor:
    """``(1, H, W)``: 1 where a # is."""
    return torch.tensor([[int(sign == "#") for sign in row] for row in rows])[None]


def certain(mask: Tensor) -> Tensor:
    """Probabilities ``(1, 1, H, W)``."""
    return mask.unsqueeze(1).double()


LINE = drawn(".......", ".#####.", ".......")
BROKEN = drawn(".......", ".##.##.", ".......")
BAR = drawn(".......", ".#####.", ".#####.", ".#####.", ".......")
THIN = drawn(".......", ".......", ".#####.", ".......", ".......")

# ---------------------------------------------------------------------- skeletons


def test_soft_skeleton_of_a_bar() -> None:
    """The bar's own opening is the bar; its erosion, the middle row without its ends, is a line."""
    found = F.soft_skeleton(certain(BAR), 1)[0, 0]
    assert torch.equal(found, drawn(*(".......",) * 2, "..###..", *(".......",) * 2)[0].double())
    assert not F.soft_skeleton(certain(BAR), 0).any()


def test_soft_skeleton_of_a_line_is_the_line() -> None:
    for iterations in (0, 1, 9):
        assert torch.equal(F.soft_skeleton(certain(LINE), iterations), certain(LINE))


@pytest.mark.parametrize("shape", [(13,), (6, 7), (4, 5, 3), (1, 6), (1, 1, 1)])
@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_soft_skeleton_is_the_oracles(iterations: int, shape: tuple[int, ...]) -> None:
    values = torch.rand((2, 3, *shape), generator=torch.Generator().manual_seed(0)).double()
    found = F.soft_skeleton(values, iterations)
    for n, c in np.ndindex(2, 3):
        expected = soft_skeleton(values[n, c].numpy(), iterations)
        np.testing.assert_allclose(found[n, c].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(14, 11), (7, 8, 6)])
@pytest.mark.parametrize("tube", [0, 1, 2, 5])
def test_tubes_are_scikit_images(tube: int, shape: tuple[int, ...]) -> None:
    """Its own skeleton of the whole image, dilated as often, within the mask."""
    random = np.random.default_rng(1)
    masks = random.random((2, 3, *shape)) < random.random((2, 3, *(1,) * len(shape)))
    masks[1, 2] = False
    found = F.tubed_skeleton(torch.from_numpy(masks), tube).numpy()
    for index in np.ndindex(2, 3):
        expected = skeletonize(masks[index]).astype(bool)
        for _ in range(tube):
            expected = dilation(expected)
        np.testing.assert_array_equal(found[index], expected & masks[index])
    assert found.any()


# ---------------------------------------------------------------------- values by hand


def value(name: str, p: Tensor, target: Tensor, **words: Any) -> float:
    words = {"smooth": 0.0, "activation": "identity", **words}
    return getattr(metriseg, name)(**words)(p, target).item()


def test_a_gap() -> None:
    """P = 4/4, S = 4/5: clDice 8/9; Dice is 8/9 as well; of the tube, the line, 1/5 is missed.

    cbDice: all distances and radii are 1, so it is clDice.
    """
    p = certain(BROKEN)
    for name in NAMES[:3]:
        assert value(name, p, LINE) == pytest.approx(1 / 9)
    assert value("SkeletonRecallLoss", p, LINE) == pytest.approx(1 / 5)


def test_half_certain_everywhere() -> None:
    """p = 1/2 on the line: its skeleton is 1/2 there, so P = 2.5/2.5 and S = 2.5/5: 2/3.

    Dice is 2 (2.5) / (2.5 + 5), 2/3 too. 1/2 is no predicted mask: cbDice has S = 0.
    """
    p = certain(LINE) / 2
    assert value("CenterlineDiceLoss", p, LINE) == pytest.approx(1 / 3)
    assert value("DiceCenterlineDiceLoss", p, LINE, alpha=0.9) == pytest.approx(1 / 3)
    assert value("CenterlineBoundaryDiceLoss", p, LINE) == pytest.approx(1.0)
    assert value("SkeletonRecallLoss", p, LINE) == pytest.approx(1 / 2)


def test_thickness() -> None:
    """A line of 5 pixels for a bar of 5 x 3, whose skeleton is the 3 in the middle.

    clDice: P = 5/5 and S = 3/3, it sees no difference. Dice: 2 * 5 / (5 + 15). The sum with
    alpha 1/4: 3/4 * 1/2.
    cbDice: the bar's distances are 1 but for 2 in its middle row's middle 3, so d_t = 1/2 and 1,
    R_t = 1 on the 3, and J_t = 1. On the line all is 1. P = (3 * 1 + 2 * 1/2) / (3 * 1 + 2 * 1)
    = 4/5, S = 3/3: 8/9.
    """
    p = certain(THIN)
    assert value("CenterlineDiceLoss", p, BAR) == 0
    assert value("DiceCenterlineDiceLoss", p, BAR, alpha=0.25) == pytest.approx(3 / 8)
    assert value("CenterlineBoundaryDiceLoss", p, BAR) == pytest.approx(1 / 9)
    # all pixels of the bar are within 2 steps of its skeleton, which has one end in a corner
    assert 0.5 < value("SkeletonRecallLoss", p, BAR) < 0.7


def test_thin_branches_weigh_no_less_than_thick_ones() -> None:
    """A bar of skeleton 3 and radius 2 above a line of 3 and radius 1; one of them is missed.

    clDice: S = 1/2 either way. cbDice: the true radii are 2/2 and 1/2, J = 1 and 2, and P = 1. With
    the bar found, S = 3 (1) / (3 (1) + 3 (2) (1/2)) = 1/2. With the line found, its own radius is
    the largest, 1: S = 3 (2) / (3 (2) + 3 (1)) = 2/3. Dice of what is found: 15 or 3 of 18.
    """
    both = drawn(".......", ".#####.", ".#####.", ".#####.", ".......", "..###..", ".......")
    thick, thin = both.clone(), both.clone()
    thick[0, 5], thin[0, :5] = 0, 0

    def values(name: str) -> list[float]:
        return [value(name, certain(found), both) for found in (thick, thin)]

    assert values("CenterlineDiceLoss") == pytest.approx([1 / 3, 1 / 3])
    assert values("CenterlineBoundaryDiceLoss") == pytest.approx([1 / 3, 1 / 5])
    assert values("DiceLoss") == pytest.approx([1 - 30 / 33, 1 - 6 / 21])


@pytest.mark.parametrize("name", NAMES)
def test_absent_classes(name: str) -> None:
    """Neither there nor predicted: 0. Predicted alone: 1, of a recall 0. Missed: 1."""
    nothing = torch.zeros_like(LINE)
    assert value(name, certain(nothing), nothing) == 0
    invented = value(name, certain(LINE), nothing)
    assert invented == (0 if name == "SkeletonRecallLoss" else 1)
    assert value(name, certain(nothing), LINE) == 1
    present = value(name, certain(LINE), nothing, classes="present")
    assert present == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_count(name: str) -> None:
    """The gap is ignored: to both skeletons the line ends there, and nothing is missed."""
    target = LINE.clone()
    target[0, 1, 3] = IGNORE
    for there in (0.0, 1.0):
        p = certain(BROKEN)
        p[0, 0, 1, 3] = there
        assert value(name, p, target, ignore_index=IGNORE) == 0


def test_the_truth_from_a_loader() -> None:
    """Value for value; NaN under what doesn't count; half a tube is half missed."""
    logits, target = random_logits(3), random_labels(3, ignore=0.2)
    loss = metriseg.SkeletonRecallLoss(tube=0, ignore_index=IGNORE)
    batch = metriseg.Batch.from_tensors(logits, target, ignore_index=IGNORE)
    tube = F.tubed_skeleton(batch.masks, 0)
    for given in (tube, tube.to(torch.uint8), tube.half()):
        assert torch.equal(loss(logits, target, maps={"skeleton": given}), loss(logits, target))
    spoilt = torch.where((target == IGNORE).unsqueeze(1), torch.nan, tube.double())
    assert torch.equal(loss(logits, target, maps={"skeleton": spoilt}), loss(logits, target))
    with pytest.raises(ValueError, match=r"maps\['skeleton'\] must lie in \[0, 1\]"):
        loss(logits, target, maps={"skeleton": 2 * tube.float()})
    with pytest.raises(ValueError, match=r"maps\['skeleton'\] must have shape .* = \(2, 3, 5, 4\)"):
        loss(logits, target, maps={"skeleton": tube[:, 0]})
    # the host isn't asked
    meta = loss.to("meta")(logits.to("meta"), target.to("meta"), maps={"skeleton": tube.to("meta")})
    assert meta.is_meta


def test_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built without it, asked for at first use, with the extra's name; a map does without."""
    F.skeleton._skeletonize.cache_clear()
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    loss = metriseg.SkeletonRecallLoss(activation="identity")
    with pytest.raises(ImportError, match=r"pip install 'metriseg\[skeleton\]'"):
        loss(certain(BROKEN), LINE)
    given = {"skeleton": certain(LINE)}
    assert loss(certain(BROKEN), LINE, maps=given).item() == pytest.approx(1 / 5, abs=1e-5)


# ---------------------------------------------------------------------- policies and arguments


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("per_image", [True, False])
@pytest.mark.parametrize("classes", ["all", "present"])
@pytest.mark.parametrize("smooth", [0.0, (0.5, 2.0)])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_policies(
    reduction: str, smooth: float | tuple[float, float], classes: str, per_image: bool, name: str
) -> None:
    """Groups, present classes and smoothing; class 2 is in no image, class 3 in one of three."""
    target = random_labels(4, images=3, ignore=0.2)
    target[target == 2] = 1
    target[:2][target[:2] == 3] = 0
    words = {
        "smooth": smooth,
        "classes": classes,
        "per_image": per_image,
        "reduction": reduction,
        "ignore_index": IGNORE,
    }
    logits, weight = random_logits(4, images=3), random_weight(images=3)
    entry = CATALOGUE[name]
    expected = oracle_value(entry, logits, target, weight=weight, **words)
    found = entry.build(**words)(logits, target, weight=weight).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_one_pass_for_dice() -> None:
    """In a compound, the region statistics of the other terms serve its Dice part too."""
    logits, target = random_logits(3), random_labels(3)
    term = metriseg.DiceCenterlineDiceLoss(alpha=0.3)
    whole = metriseg.CompoundLoss([term, metriseg.JaccardLoss()])
    expected = term(logits, target) + metriseg.JaccardLoss()(logits, target)
    torch.testing.assert_close(whole(logits, target), expected)


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("CenterlineDiceLoss", {"iterations": -1}, "iterations must be a whole number >= 0"),
        ("CenterlineDiceLoss", {"iter_": 3}, "say 'iterations'"),
        ("CenterlineBoundaryDiceLoss", {"iterations": 1.5}, "iterations must be a whole number"),
        ("CenterlineBoundaryDiceLoss", {"spacing": [0.0]}, "spacing"),
        ("DiceCenterlineDiceLoss", {"alpha": 1.1}, "alpha"),
        ("SkeletonRecallLoss", {"tube": -1}, "tube must be a whole number >= 0"),
        ("SkeletonRecallLoss", {"sync": True}, "sync"),
    ],
)
def test_arguments(name: str, words: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(metriseg, name)(**words)
