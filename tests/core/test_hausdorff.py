"""What is particular to the losses after the Hausdorff distance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg import distances, recomputed
from metriseg import functional as F
from metriseg.distances import host
from metriseg.distances.envelopes import squared_distances
from reference import hausdorff
from reference.batches import IGNORE, random_labels, random_logits

NAMES = [
    "HausdorffDistanceTransformLoss",
    "HausdorffErosionLoss",
    "HausdorffConvolutionLoss",
]
#: Deep and wide enough that erosions survive and balls fit.
SMALL = {"HausdorffErosionLoss": {"erosions": 3}, "HausdorffConvolutionLoss": {"radii": (1, 2)}}


def build(name: str, **arguments: Any) -> metriseg.SegmentationLoss:
    return getattr(metriseg, name)(**SMALL.get(name, {}), **arguments)


def stripes(shape: tuple[int, ...]) -> torch.Tensor:
    """Labels 0 and 1 in broad stripes."""
    rows = torch.arange(shape[-1]) // 3 % 2
    return rows.expand(shape)


# ---------------------------------------------------------------------- distance transform


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("kind", ["exclusive", "covering", "overlapping", "constant"])
@pytest.mark.parametrize("ignore", [0.0, 0.3])
@pytest.mark.parametrize("backend", ["edt", "scipy"])
def test_field(
    dimensions: int, kind: str, ignore: float, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The distance over all pairs of pixels, whichever way it is computed."""
    if backend == "edt":
        pytest.importorskip("edt", reason="edt isn't installed")
    else:
        monkeypatch.setattr(host, "edt_package", lambda: None)
    labels = random_labels(4, dimensions)
    masks = torch.nn.functional.one_hot(labels, 4).movedim(-1, 1) > 0
    if kind == "exclusive":
        masks = masks[:, 1:]
    elif kind == "overlapping":
        masks = masks | masks.roll(1, dims=1)
    elif kind == "constant":
        masks = torch.zeros_like(masks)
        masks[:, 1] = True
    valid = random_labels(4, dimensions, ignore=ignore) != IGNORE
    spacing = (2.0, 0.5, 3.0)[:dimensions]
    found = distances.distance_field(masks, spacing, valid=valid)
    for n, c in np.ndindex(*masks.shape[:2]):
        expected = hausdorff.field(masks[n, c].numpy(), valid[n].numpy(), spacing)
        np.testing.assert_allclose(found[n, c].numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("ignore", [0.0, 0.3])
def test_field_by_envelopes(ignore: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an accelerator computes: the same squares of distances."""
    masks = torch.nn.functional.one_hot(random_labels(4), 4).movedim(-1, 1) > 0
    valid = random_labels(4, ignore=ignore) != IGNORE
    expected = distances.distance_field(masks, valid=valid)
    inside, outside = masks & valid[:, None], ~masks & valid[:, None]
    found = torch.where(inside, squared_distances(~outside, [1.0, 1.0]), 0.0)
    found = torch.where(outside, squared_distances(~inside, [1.0, 1.0]), found)
    torch.testing.assert_close(found.sqrt(), expected)


def test_field_dtypes() -> None:
    masks = torch.nn.functional.one_hot(random_labels(4), 4).movedim(-1, 1) > 0
    exact = distances.distance_field(masks)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        found = distances.distance_field(masks, dtype=dtype)
        assert found.dtype == dtype
        assert torch.equal(found, exact.to(dtype))


def test_constant_masks_cost_nothing() -> None:
    """No edge, no distance: a class that is nowhere, predicted below one half everywhere."""
    p = torch.full((1, 1, 4, 4), 0.4)
    loss = metriseg.HausdorffDistanceTransformLoss(activation="identity")
    assert loss(p, torch.zeros(1, 4, 4, dtype=torch.int64)).item() == 0.0
    assert loss(1 - p, torch.ones(1, 4, 4, dtype=torch.int64)).item() == 0.0


def test_target_distance_from_a_loader() -> None:
    """The map that the loss would compute gives its value; twice the map another one."""
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    loss = metriseg.HausdorffDistanceTransformLoss(ignore_index=IGNORE)
    own = torch.nn.functional.one_hot(target.where(target != IGNORE, torch.tensor(0)), 4)
    valid = target != IGNORE
    field = distances.distance_field(own.movedim(-1, 1) > 0, valid=valid)
    spoilt = torch.where(valid[:, None], field, torch.nan)
    value = loss(logits, target, maps={"target_distance": spoilt.float()})
    torch.testing.assert_close(value, loss(logits, target), rtol=1e-6, atol=0)
    assert loss(logits, target, maps={"target_distance": 2 * field}) > value


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.zeros(2, 3, 5, 4), r"maps\['target_distance'\] must have shape .* = \(2, 4, 5, 4\)"),
        (torch.full((2, 4, 5, 4), -1.0), "must not be negative"),
        (torch.full((2, 4, 5, 4), torch.nan), "must not be negative, nor NaN"),
    ],
)
def test_bad_target_distance(bad: torch.Tensor, words: str) -> None:
    loss = metriseg.HausdorffDistanceTransformLoss()
    with pytest.raises(ValueError, match=words):
        loss(random_logits(4), random_labels(4), maps={"target_distance": bad})


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("alpha", [1.0, 2.0])
@pytest.mark.parametrize("include_background", [True, False])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_distance_transform_equals_monai(
    activation: str, include_background: bool, alpha: float, dimensions: int
) -> None:
    """The mean over images, classes and pixels, from float32 distances."""
    losses = pytest.importorskip("monai.losses", reason="MONAI isn't installed")
    logits, target = random_logits(4, dimensions), random_labels(4, dimensions)
    words = {"alpha": alpha, "include_background": include_background}
    theirs = losses.HausdorffDTLoss(to_onehot_y=True, **{activation: True}, **words)
    ours = metriseg.HausdorffDistanceTransformLoss(activation=activation, **words)
    torch.testing.assert_close(
        ours(logits, target), theirs(logits, target[:, None]), rtol=1e-6, atol=1e-6
    )


def test_monai_and_ignored_pixels() -> None:
    """MONAI has no ignored pixels: masked as background they make an edge that isn't there.

    The left half is foreground, rightly predicted, the right half unknown. Nothing is wrong, nor
    is any edge known. MONAI, which is told "background" there, measures from an edge in between:
    the right half's 8 pixels of p = 0.9 are 1 and 2 away from it, in the target alone (the
    prediction is constant). 4 (1 + 4) 0.9^2 / 16 there, and 4 (1 + 4) 0.1^2 / 16 on the left.
    """
    losses = pytest.importorskip("monai.losses", reason="MONAI isn't installed")
    p = torch.full((1, 1, 4, 4), 0.9, dtype=torch.float64)
    target = torch.ones(1, 4, 4, dtype=torch.int64)
    target[..., 2:] = IGNORE
    ours = metriseg.HausdorffDistanceTransformLoss(activation="identity", ignore_index=IGNORE)
    assert ours(p, target).item() == 0.0
    as_background = torch.where(target == IGNORE, 0, target)[:, None].double()
    theirs = losses.HausdorffDTLoss(include_background=True)(p, as_background)
    assert theirs.item() == pytest.approx(20 * (0.81 + 0.01) / 16, rel=1e-6)


# ---------------------------------------------------------------------- erosion


@pytest.mark.parametrize("threshold", ["minmax", "linear"])
def test_a_full_error_survives(threshold: str) -> None:
    """Amid 9 x 9 errors of 1 the error stays 1 through three erosions: 1 + 4 + 9.

    With max(x - 1/2, 0) alone it would be 1/2 after the first and gone after the second.
    """
    loss = metriseg.HausdorffErosionLoss(
        erosions=3, threshold=threshold, activation="identity", reduction="none"
    )
    p = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    values = loss(p, torch.ones(1, 9, 9, dtype=torch.int64))
    assert values[0, 4, 4].item() == pytest.approx(14.0)


def test_a_constant_map_is_not_stretched() -> None:
    """Two pixels of error 1 in a row: both keep 2/3, less 1/2, and there is no range to stretch."""
    loss = metriseg.HausdorffErosionLoss(erosions=1, activation="identity")
    value = loss(torch.zeros(1, 1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.int64))
    assert value.item() == pytest.approx(1 / 6)


@pytest.mark.parametrize("threshold", ["minmax", "linear"])
def test_the_gradient_of_erosions_is_exact(threshold: str) -> None:
    """Through minima and maxima too, where several erosions survive."""
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(1, 1, 7, 6, generator=generator, dtype=torch.float64) * 0.1
    target = torch.ones(1, 7, 6, dtype=torch.int64)
    target[0, 0, :2] = IGNORE
    loss = metriseg.HausdorffErosionLoss(
        erosions=3, threshold=threshold, activation="identity", ignore_index=IGNORE
    )
    assert loss(p, target) > 1
    assert torch.autograd.gradcheck(lambda x: loss(x, target), p.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda x: loss(x, target), p)


# ---------------------------------------------------------------------- convolution


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_large_balls(dimensions: int) -> None:
    """Radii within, about and far beyond the size of the image, to 1e-9."""
    p = random_logits(1, dimensions).sigmoid()
    target = stripes(tuple(p[:, 0].shape)).contiguous()
    radii = (1, 2.5, 4, 30)
    found = metriseg.HausdorffConvolutionLoss(radii=radii, activation="identity", reduction="none")(
        p, target
    )
    expected = hausdorff.hausdorff_convolution(
        p.numpy(),
        target[:, None].double().numpy(),
        np.ones(target.shape),
        z=p.numpy(),
        exclusive=True,
        radii=radii,
        reduction="none",
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_beyond_the_image_is_background() -> None:
    """All foreground in truth, nothing predicted: of a pixel's three neighbours all are target.

    r = 1 over three pixels: means of t are 2/3, 1, 2/3, so f(B t) is 1/3, 1, 1/3; the complement
    of p is 1 everywhere, so f is 1. Each pixel costs e t (f(B t) + f(B p^c)) = 4/3, 2, 4/3.
    """
    loss = metriseg.HausdorffConvolutionLoss(radii=[1], activation="identity", reduction="none")
    value = loss(torch.zeros(1, 1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.int64))
    torch.testing.assert_close(value[0], torch.tensor([4 / 3, 2, 4 / 3], dtype=torch.float64))


# ---------------------------------------------------------------------- all three


@pytest.mark.parametrize("name", NAMES)
def test_the_background_is_left_out_by_default(name: str) -> None:
    """The mean over the foreground classes, each as one channel."""
    p, target = random_logits(3).softmax(1), random_labels(3)
    loss = build(name, activation="identity")
    alone = [loss(p[:, c : c + 1], (target == c).long()) for c in range(3)]
    torch.testing.assert_close(loss(p, target), (alone[1] + alone[2]) / 2)
    with_background = build(name, activation="identity", include_background=True)
    torch.testing.assert_close(with_background(p, target), sum(alone) / 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_lone_channel_counts_either_way(name: str) -> None:
    logits, target = random_logits(1), random_labels(1)
    without = build(name, activation="sigmoid", include_background=False)(logits, target)
    assert without > 0
    assert without == build(name, activation="sigmoid", include_background=True)(logits, target)


def test_far_errors_cost_more() -> None:
    """The same false strip, one pixel from the object and then far from it."""
    target = torch.zeros(1, 32, 32, dtype=torch.int64)
    target[:, :, :8] = 1
    loss = metriseg.HausdorffDistanceTransformLoss(activation="identity")
    costs = []
    for column in (9, 24):
        p = target[:, None].double() * 0.98 + 0.01
        p[..., column : column + 6] = 0.99
        costs.append(loss(p, target).item())
    assert costs[1] > 2 * costs[0]


BAD: list[tuple[str, dict[str, Any], str]] = [
    *((name, {"alpha": 0.0}, r"alpha must be a finite number in \(0, inf\]") for name in NAMES),
    ("HausdorffDistanceTransformLoss", {"spacing": (1.0, 0.0)}, "spacing must be"),
    ("HausdorffErosionLoss", {"erosions": 0}, "erosions must be a whole number >= 1, got 0"),
    ("HausdorffErosionLoss", {"erosions": 2.5}, "erosions must be a whole number >= 1"),
    ("HausdorffErosionLoss", {"threshold": "hard"}, "threshold must be one of 'minmax', 'linear'"),
    ("HausdorffConvolutionLoss", {"radii": ()}, "radii must be a sequence of numbers above 0"),
    ("HausdorffConvolutionLoss", {"radii": 3}, "radii must be a sequence of numbers above 0"),
    ("HausdorffConvolutionLoss", {"radii": (3, -1)}, r"radii must be a finite number in \(0, inf"),
]


@pytest.mark.parametrize(("name", "arguments", "words"), BAD)
def test_bad_arguments(name: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        getattr(metriseg, name)(**arguments)


@pytest.mark.parametrize("size", [600, 1200, 5000])
def test_erosions_in_parts(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some maps at a time, computed again for the gradient: the same numbers, derivatives too."""
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(3, 4, 20, 30, dtype=torch.float64, generator=generator)
    target = (torch.rand(3, 4, 20, 30, generator=generator) > 0.3).double()
    valid = torch.rand(3, 20, 30, generator=generator) > 0.1

    def found() -> list[torch.Tensor]:
        x = p.clone().requires_grad_()
        value = F.hausdorff_erosion(x, target, 2.0, 5, rescale=True, valid=valid).sum()
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        return [value.detach(), slope.detach(), *torch.autograd.grad(slope.square().sum(), x)]

    whole = found()
    monkeypatch.setattr(recomputed, "tile_values", lambda device: size)
    for one, other in zip(whole, found(), strict=True):
        assert torch.equal(one, other)
        assert one.abs().sum() > 0
