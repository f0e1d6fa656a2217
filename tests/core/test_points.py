"""Points of an image, and losses of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import metriseg
from metriseg import functional as F
from metriseg.catalogue import CATALOGUE, Entry
from reference import points as reference

SIZES = {1: (7,), 2: (4, 6), 3: (3, 5, 4)}


def image(dimensions: int, classes: int = 3, images: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(
        images, classes, *SIZES[dimensions], generator=generator, dtype=torch.float64
    )


def anywhere(dimensions: int, images: int = 2, number: int = 40) -> torch.Tensor:
    """Points, the corners of the image among them."""
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(images, number, dimensions, generator=generator, dtype=torch.float64)
    points[:, 0], points[:, 1] = 0.0, 1.0
    return points


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_sampling_equals_its_oracle(dimensions: int, mode: str, padding: str) -> None:
    values, points = image(dimensions), anywhere(dimensions)
    found = F.sample_points(values, points, mode, padding)
    expected = reference.sample(
        values.numpy(), points.numpy(), linear=mode == "linear", border=padding == "border"
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_sampling_by_hand() -> None:
    """A quarter of the way from 0 to 1 horizontally, half of it from 0 to 2 vertically."""
    values = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]], dtype=torch.float64)
    point = torch.tensor([[[(0.5 + 0.25) / 2, 0.5]]], dtype=torch.float64)
    assert F.sample_points(values, point).item() == pytest.approx(0.25 + 1.0)


def test_numbers_of_objects_keep_their_digits() -> None:
    labels = torch.tensor([[[2**60 + 1, 2**60 + 3]]])
    found = F.sample_points(labels, torch.tensor([[[0.9]]]), mode="nearest")
    assert found.item() == 2**60 + 3


def test_gradient_of_sampling() -> None:
    points = anywhere(2, number=9)
    assert torch.autograd.gradcheck(lambda z: F.sample_points(z, points), image(2).requires_grad_())


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_most_uncertain_are_kept(dimensions: int, classes: int) -> None:
    """With the same random numbers: the first P of all tried, in falling order of uncertainty."""
    z = image(dimensions, classes)
    generator = torch.Generator().manual_seed(7)
    points = F.uncertain_points(z, 8, 4.0, 0.5, generator=generator)
    generator.manual_seed(7)
    tried = torch.rand(2, 32, dimensions, generator=generator, dtype=torch.float64)
    others = torch.rand(2, 4, dimensions, generator=generator, dtype=torch.float64)
    at = reference.sample(z.numpy(), tried.numpy(), linear=True)
    for n in range(2):
        if classes == 1:
            uncertainty = -np.abs(at[n, 0])
        else:
            ordered = np.sort(at[n], axis=0)
            uncertainty = ordered[-2] - ordered[-1]
        first = np.argsort(-uncertainty)[:4]
        expected = torch.cat([tried[n, torch.tensor(first.copy())], others[n]])
        torch.testing.assert_close(points[n], expected)


def test_ignored_pixels_are_the_least_uncertain() -> None:
    """Logits of 0 on the left, which doesn't count: no kept point is there."""
    z = torch.zeros(1, 1, 4, 8)
    z[..., 4:] = 5.0
    weight = torch.zeros(1, 4, 8)
    weight[..., 4:] = 1.0
    points = F.uncertain_points(z, 20, 3.0, 1.0, weight=weight)
    assert (points[..., 0] >= 0.5).float().mean() > 0.9
    assert (F.uncertain_points(z, 20, 3.0, 1.0)[..., 0] < 0.6).all()


def constant(classes: int, labels: torch.Tensor) -> torch.Tensor:
    """Logits that are the same everywhere."""
    row = torch.linspace(-1, 1, classes, dtype=torch.float64)
    return row.view(1, -1, *[1] * (labels.ndim - 1)).expand(len(labels), -1, *labels.shape[1:])


def test_points_stand_for_the_pixels() -> None:
    """Where prediction and truth are the same everywhere, P points give the loss of all pixels."""
    labels = torch.full((2, 8, 6), 2)
    z = constant(4, labels)
    for entry in CATALOGUE.values():
        if entry.spatial or 2 not in entry.spatial_dimensions or entry.level == "embedding":
            continue
        loss = entry.build(**({"per_image": True} if hasattr(entry.loss, "per_image") else {}))
        points = F.sample_points(z, torch.rand(2, 30, 2, dtype=torch.float64), padding="border")
        expected = loss(points, torch.full((2, 30), 2))
        torch.testing.assert_close(metriseg.PointLoss(loss, 30)(z, labels), expected)


def test_only_losses_without_neighbours(entry: Entry) -> None:
    if entry.spatial:
        with pytest.raises(ValueError, match=f"{entry.name} looks at the neighbours"):
            metriseg.PointLoss(entry.build(), 10)
        compound = metriseg.CompoundLoss([metriseg.DiceLoss(), metriseg.BoundaryLoss()])
        with pytest.raises(ValueError, match="BoundaryLoss looks at the neighbours"):
            metriseg.PointLoss(compound, 10)
    else:
        assert metriseg.PointLoss(entry.build(), 10).num_points == 10


def test_the_loss_of_what_is_sampled() -> None:
    """With the same random numbers, the loss of logits and labels at the points."""
    z = image(2)
    target = torch.randint(3, (2, 4, 6), generator=torch.Generator().manual_seed(4))
    weight = torch.rand(2, 4, 6, generator=torch.Generator().manual_seed(5)).double() + 0.1
    loss = metriseg.DiceCELoss()
    torch.manual_seed(3)
    found = metriseg.PointLoss(loss, 20)(z, target, weight=weight)
    torch.manual_seed(3)
    points = F.uncertain_points(z, 20, weight=weight)
    expected = loss(
        torch.from_numpy(reference.sample(z.numpy(), points.numpy(), linear=True, border=True)),
        F.sample_points(target.unsqueeze(1), points, mode="nearest")[:, 0],
        weight=F.sample_points(weight.unsqueeze(1), points, mode="nearest")[:, 0],
    )
    torch.testing.assert_close(found, expected)


def test_ignored_pixels_may_hold_anything() -> None:
    """NaN beside pixels that count reaches neither value nor gradient."""
    target = torch.randint(3, (2, 4, 6), generator=torch.Generator().manual_seed(4))
    target[:, :, :3] = 255
    ignored = (target == 255).unsqueeze(1)
    loss = metriseg.PointLoss(metriseg.CrossEntropyLoss(ignore_index=255), 50)
    values, slopes = [], []
    for filler in (0.0, math.nan, math.inf):
        z = torch.where(ignored, filler, image(2)).requires_grad_()
        torch.manual_seed(3)
        value = loss(z, target)
        value.backward()
        values.append(value.detach())
        slopes.append(z.grad)
    assert torch.isfinite(values[0])
    for value, slope in zip(values[1:], slopes[1:], strict=True):
        torch.testing.assert_close(value, values[0])
        torch.testing.assert_close(slope, slopes[0])
    assert (slopes[0][ignored.expand_as(slopes[0])] == 0).all()
    assert (slopes[0] != 0).any()


def test_soft_labels_are_interpolated_where_they_have_a_meaning() -> None:
    """Halfway between 0 and 1: cross-entropy sees a half, Lovász's losses a label."""
    z = torch.zeros(1, 2, 2)
    soft = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    seen = []

    class Watching(metriseg.CrossEntropyLoss):
        def evaluate(self, batch: metriseg.Batch) -> torch.Tensor:
            seen.append(batch.target)
            return super().evaluate(batch)

    metriseg.PointLoss(Watching(), 200)(z, soft)
    assert ((seen[0] > 0.1) & (seen[0] < 0.9)).any()
    torch.testing.assert_close(seen[0].sum(1), torch.ones(1, 200))
    value = metriseg.PointLoss(metriseg.LovaszSoftmaxLoss(), 200)(z, soft)
    assert torch.isfinite(value)


def test_a_target_of_another_size() -> None:
    """Coarse logits against the full labels, as PointRend does."""
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[:, 8:] = 1
    coarse = torch.zeros(1, 2, 4, 4)
    coarse[:, 1, 2:] = 20.0
    coarse[:, 0, :2] = 20.0
    value = metriseg.PointLoss(metriseg.CrossEntropyLoss(), 100, importance_sample_ratio=0.0)(
        coarse, labels
    )
    assert value < 0.1


def test_no_images() -> None:
    z = torch.zeros(0, 3, 4, 4, requires_grad=True)
    metriseg.PointLoss(metriseg.DiceLoss(), 5)(
        z, torch.zeros(0, 4, 4, dtype=torch.int64)
    ).backward()
    assert z.grad.shape == z.shape


def test_within_deep_supervision() -> None:
    deep = metriseg.DeepSupervisionLoss(metriseg.PointLoss(metriseg.CrossEntropyLoss(), 10))
    levels = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 4, 4)]
    value = deep(levels, torch.zeros(1, 8, 8, dtype=torch.int64))
    assert value.item() == pytest.approx(math.log(4), abs=1e-6)


def test_what_is_refused() -> None:
    loss, z = metriseg.DiceLoss(), image(2)
    with pytest.raises(ValueError, match="num_points must be"):
        metriseg.PointLoss(loss, 0)
    with pytest.raises(ValueError, match="oversample_ratio must be"):
        metriseg.PointLoss(loss, 5, oversample_ratio=0.5)
    with pytest.raises(ValueError, match="importance_sample_ratio must be"):
        metriseg.PointLoss(loss, 5, importance_sample_ratio=1.5)
    with pytest.raises(ValueError, match="DeepSupervisionLoss goes around PointLoss"):
        metriseg.PointLoss(metriseg.DeepSupervisionLoss(loss), 5)
    with pytest.raises(ValueError, match="loss must be a loss of metriseg"):
        metriseg.PointLoss(torch.nn.CrossEntropyLoss(), 5)
    with pytest.raises(ValueError, match=r"points must have shape \(N, P, D\) = \(2, P, 2\)"):
        F.sample_points(z, torch.zeros(2, 5, 3))
