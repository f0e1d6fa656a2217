"""One loss over several resolutions equals what MONAI and nnU-Net add up."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as nnf

import metriseg
from metriseg.losses.deep_supervision import nearest

IGNORE = 255


def pyramid(
    classes: int = 3, sizes: tuple[tuple[int, ...], ...] = ((8, 12), (4, 6), (2, 3)), seed: int = 0
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, classes, *size, generator=generator, dtype=torch.float64) for size in sizes
    ]


def labels(size: tuple[int, ...] = (8, 12), classes: int = 3) -> torch.Tensor:
    return torch.randint(classes, (2, *size), generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("old", [1, 2, 3, 5, 8, 12, 17, 24])
def test_nearest_is_that_of_torch(old: int) -> None:
    """Half-pixel centres, also where a centre falls between two pixels and upwards."""
    values = torch.arange(old)
    for new in range(1, 30):
        expected = nnf.interpolate(values.double()[None, None], new, mode="nearest-exact")[0, 0]
        assert torch.equal(nearest(values, (new,)).double(), expected), new


def test_nearest_keeps_large_numbers() -> None:
    """Numbers of objects beyond the digits of float64."""
    large = torch.tensor([[2**60 + 1, 2**60 + 3]])
    assert torch.equal(nearest(large, (1,)), torch.tensor([[2**60 + 3]]))


@pytest.mark.parametrize(
    ("weights", "normalize", "shares"),
    [
        ("halving", True, [4 / 7, 2 / 7, 1 / 7]),
        ("halving", False, [1.0, 0.5, 0.25]),
        ("equal", True, [1 / 3, 1 / 3, 1 / 3]),
        ("half", False, [1.0, 0.5, 0.5]),
        ([1, 0.5, 0], True, [2 / 3, 1 / 3, 0.0]),
    ],
)
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "DiceLoss", "LovaszSoftmaxLoss"])
def test_the_sum_of_the_levels(name: str, weights: object, normalize: bool, shares: list) -> None:
    """Each level by itself, against labels that torch has resized; ignored pixels stay ignored."""
    loss = getattr(metriseg, name)(ignore_index=IGNORE)
    target = labels()
    target[:, :3] = IGNORE
    levels = pyramid()
    expected = sum(
        share
        * loss(
            level,
            nnf.interpolate(target[:, None].double(), level.shape[2:], mode="nearest-exact")
            .squeeze(1)
            .long(),
        )
        for share, level in zip(shares, levels, strict=True)
    )
    found = metriseg.DeepSupervisionLoss(loss, weights, normalize)(levels, target)
    torch.testing.assert_close(found, expected)


def test_as_nnunet_adds() -> None:
    """nnU-Net: targets as a list, 1/2^k, nothing for the last level, divided by the sum."""
    loss = metriseg.DiceCELoss()
    levels = pyramid(sizes=((16, 16), (8, 8), (4, 4), (2, 2)))
    targets = [labels(level.shape[2:]) for level in levels]
    weights = [1.0, 0.5, 0.25, 0.0]
    expected = sum(
        w / 1.75 * loss(level, target)
        for w, level, target in zip(weights, levels, targets, strict=True)
    )
    torch.testing.assert_close(
        metriseg.DeepSupervisionLoss(loss, weights)(levels, targets), expected
    )


def test_volumes_of_uneven_sizes() -> None:
    levels = pyramid(sizes=((5, 6, 7), (3, 3, 7), (2, 2, 3)))
    target = labels((5, 6, 7))
    loss = metriseg.CrossEntropyLoss()
    expected = [
        loss(
            level,
            nnf.interpolate(target[:, None].double(), level.shape[2:], mode="nearest-exact")[
                :, 0
            ].long(),
        )
        for level in levels
    ]
    found = metriseg.DeepSupervisionLoss(loss, "equal", normalize=False)(levels, target)
    torch.testing.assert_close(found, sum(expected))


def test_soft_labels_are_averaged() -> None:
    """By hand: of (1, 0), (0, 1) half of each; with weights 3 and 1 three quarters."""
    soft = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    loss = metriseg.DeepSupervisionLoss(metriseg.CrossEntropyLoss(), [0.0, 1.0])
    z = torch.tensor([[[math.log(3.0)], [0.0]]])
    levels = [torch.zeros(1, 2, 2), z]
    half = (math.log(4 / 3) + math.log(4)) / 2
    assert loss(levels, soft).item() == pytest.approx(half, abs=1e-6)
    three = (3 * math.log(4 / 3) + math.log(4)) / 4
    weight = torch.tensor([[3.0, 1.0]])
    assert loss(levels, soft, weight=weight).item() == pytest.approx(three, abs=1e-6)
    whole = torch.tensor([[3.0, 0.0]])
    spoilt = torch.tensor([[[1.0, math.nan], [0.0, math.nan]]])
    one = loss(levels, spoilt, weight=whole).item()
    assert one == pytest.approx(math.log(4 / 3), abs=1e-6)
    nearest_one = metriseg.DeepSupervisionLoss(
        metriseg.CrossEntropyLoss(), [0.0, 1.0], soft_labels="nearest"
    )
    assert nearest_one(levels, soft).item() == pytest.approx(math.log(4), abs=1e-6)


def test_soft_labels_of_one_class() -> None:
    """Floats (N, *S): the mean of 0 and 1 is a half."""
    loss = metriseg.DeepSupervisionLoss(metriseg.CrossEntropyLoss(activation="sigmoid"), [0.0, 1.0])
    value = loss([torch.zeros(1, 1, 2), torch.zeros(1, 1, 1)], torch.tensor([[0.0, 1.0]]))
    assert value.item() == pytest.approx(math.log(2), abs=1e-6)


def test_one_hot_integers_stay_hard() -> None:
    """A loss without soft labels takes one-hot integers at every level."""
    target, levels = labels(), pyramid()
    one_hot = nnf.one_hot(target, 3).movedim(-1, 1)
    loss = metriseg.DeepSupervisionLoss(metriseg.LovaszSoftmaxLoss())
    torch.testing.assert_close(loss(levels, one_hot), loss(levels, target))


def test_weights_of_pixels_are_those_of_the_nearest() -> None:
    target, levels = labels(), pyramid()
    weight = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    loss = metriseg.DiceLoss()
    expected = sum(
        loss(
            level,
            nearest(target, level.shape[2:]),
            weight=nnf.interpolate(weight[:, None], level.shape[2:], mode="nearest-exact")[:, 0],
        )
        for level in levels
    )
    found = metriseg.DeepSupervisionLoss(loss, "equal", normalize=False)(
        levels, target, weight=weight
    )
    torch.testing.assert_close(found, expected)


def test_maps_go_along() -> None:
    """A map of pixels by its nearest; a list holds one for each level."""
    target, levels = labels(), pyramid()
    penalty = torch.rand(2, 8, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    loss = metriseg.DistanceMapCrossEntropyLoss()
    deep = metriseg.DeepSupervisionLoss(loss, "equal", normalize=False)
    each = [nearest(penalty, level.shape[2:]) for level in levels]
    expected = sum(
        loss(level, nearest(target, level.shape[2:]), maps={"penalty": one})
        for level, one in zip(levels, each, strict=True)
    )
    torch.testing.assert_close(deep(levels, target, maps={"penalty": penalty}), expected)
    torch.testing.assert_close(deep(levels, target, maps={"penalty": each}), expected)


def test_a_lone_tensor_is_one_level() -> None:
    loss, (level, *_), target = metriseg.DiceLoss(), pyramid(), labels()
    deep = metriseg.DeepSupervisionLoss(loss, [0.5, 0.5])
    assert torch.equal(deep(level, target), loss(level, target))


def test_a_level_of_weight_zero_is_not_computed() -> None:
    """It may hold anything, and still gets its gradient of zeros."""
    levels = [level.requires_grad_() for level in pyramid()]
    spoilt = torch.full_like(levels[2], math.nan, requires_grad=True)
    deep = metriseg.DeepSupervisionLoss(metriseg.CrossEntropyLoss(), [1, 1, 0])
    deep([*levels[:2], spoilt], labels()).backward()
    assert torch.equal(spoilt.grad, torch.zeros_like(spoilt))
    assert all(level.grad.abs().sum() > 0 for level in levels[:2])


def test_gradients() -> None:
    deep = metriseg.DeepSupervisionLoss(metriseg.DiceCELoss())
    levels = [level.requires_grad_() for level in pyramid(sizes=((4, 3), (2, 2)))]
    target = labels((4, 3))
    assert torch.autograd.gradcheck(lambda *z: deep(list(z), target), levels)


def test_it_compiles() -> None:
    deep = metriseg.DeepSupervisionLoss(metriseg.DiceCELoss())
    levels, target = [level.float() for level in pyramid()], labels()
    compiled = torch.compile(deep, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(levels, target), deep(levels, target))


def test_what_is_refused() -> None:
    loss, levels, target = metriseg.CrossEntropyLoss(), pyramid(), labels()
    deep = metriseg.DeepSupervisionLoss(loss)

    def refused(words: str, call: object) -> None:
        with pytest.raises(ValueError, match=words):
            call()

    refused("loss must be a loss of metriseg", lambda: metriseg.DeepSupervisionLoss(nnf.mse_loss))
    refused("weights must be one of", lambda: metriseg.DeepSupervisionLoss(loss, "exp"))
    refused("weights must have a number above", lambda: metriseg.DeepSupervisionLoss(loss, [0, 0]))
    refused("weights must be 'halving'", lambda: metriseg.DeepSupervisionLoss(loss, 3))
    refused(
        "weights must have a number for each of the 3 levels, got 2",
        lambda: metriseg.DeepSupervisionLoss(loss, [1, 1])(levels, target),
    )
    refused("largest level first", lambda: deep(levels[::-1], target))
    refused("logits must be a tensor or a list", lambda: deep([], target))
    refused("target must be one, or one for each", lambda: deep(levels, [target, target]))
    refused("features must be a list", lambda: deep(levels, target, features=levels[0]))
    refused("weight must have shape", lambda: deep(levels, target, weight=levels[0][0, 0, 0]))
    unreduced = metriseg.DeepSupervisionLoss(metriseg.CrossEntropyLoss(reduction="none"))
    refused("can't be added", lambda: unreduced(levels, target))
    hausdorff = metriseg.DeepSupervisionLoss(metriseg.HausdorffDistanceTransformLoss())
    distances = {"target_distance": torch.zeros(2, 3, 8, 12, dtype=torch.float64)}
    refused(r"maps\['target_distance'\] holds", lambda: hausdorff(levels, target, maps=distances))
    each = {"target_distance": [torch.zeros_like(level) for level in levels]}
    assert torch.isfinite(hausdorff(levels, target, maps=each))
