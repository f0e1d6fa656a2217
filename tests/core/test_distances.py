"""Distance transforms: SciPy's numbers, whichever way they are computed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage

from metriseg.distances import (
    distance_to,
    distance_transform,
    envelopes,
    host,
    inside_distance,
    label_distance_transform,
    operators,
    signed_distance_map,
)
from reference import boundary as reference
from reference.batches import random_labels

SHAPES = {1: (37,), 2: (13, 17), 3: (6, 7, 5)}
WHOLE = {1: (3.0,), 2: (2.0, 3.0), 3: (1.0, 4.0, 2.0)}
BROKEN = {1: (0.3,), 2: (0.7, 1.9), 3: (0.4, 2.5, 1.1)}

#: Roots of the same square may differ in the last bit.
ONE_ROUNDING = {"rtol": 4e-16, "atol": 0.0}


@pytest.fixture(params=["edt", "scipy", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the package edt, without it, and as on an accelerator, for masks."""
    if request.param == "edt" and host.edt_package() is None:
        pytest.skip("edt is not installed (pip install 'metriseg[fast]')")
    if request.param != "edt":
        monkeypatch.setattr(host, "edt_package", lambda: None)
    if request.param == "torch":
        monkeypatch.setattr(operators, "_of_masks", of_masks_on_an_accelerator)
        monkeypatch.setattr(host, "within_labels", labels_on_an_accelerator)
    return request.param


def of_masks_on_an_accelerator(
    mask: torch.Tensor, steps: list[float], dtype: torch.dtype
) -> torch.Tensor:
    return envelopes.squared_distances(mask, steps).sqrt().to(dtype)


def labels_on_an_accelerator(
    labels: torch.Tensor, valid: torch.Tensor | None, steps: list[float]
) -> torch.Tensor:
    if valid is not None:
        pytest.skip("on an accelerator ignored pixels go through masks")
    return envelopes.squared_label_distances(labels, steps).sqrt()


def random_masks(dimensions: int, share: float, classes: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(dimensions)
    return torch.rand(2, classes, *SHAPES[dimensions], generator=generator) < share


def blobs(dimensions: int, classes: int = 5) -> torch.Tensor:
    """Label maps (2, *S) of a few regions each."""
    generator = np.random.default_rng(dimensions)
    noise = generator.normal(size=(2, classes, *SHAPES[dimensions]))
    smooth = ndimage.gaussian_filter(noise, (0, 0, *(1.5,) * dimensions))
    return torch.from_numpy(smooth.argmax(1))


def scipy_distances(masks: torch.Tensor, spacing: tuple[float, ...] | None = None) -> torch.Tensor:
    result = torch.zeros(masks.shape, dtype=torch.float64)
    for plane, out in zip(masks.flatten(0, 1), result.flatten(0, 1), strict=True):
        if not plane.all():
            out.copy_(torch.from_numpy(ndimage.distance_transform_edt(plane.numpy(), spacing)))
    return result


def one_hot(labels: torch.Tensor, classes: int = 5) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).bool()


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97])
def test_squares_are_exact(way: str, share: float, dimensions: int) -> None:
    """At whole-numbered spacing the squares are whole numbers, and SciPy's."""
    masks = random_masks(dimensions, share)
    for spacing in (None, WHOLE[dimensions]):
        squares = scipy_distances(masks, spacing).square().round()
        found = distance_transform(masks, spacing)
        torch.testing.assert_close(found, squares.sqrt(), **ONE_ROUNDING)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_anisotropic(way: str, dimensions: int) -> None:
    masks, spacing = random_masks(dimensions, 0.9), BROKEN[dimensions]
    found = distance_transform(masks, spacing)
    torch.testing.assert_close(found, scipy_distances(masks, spacing), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_classes_of_a_label_map(way: str, dimensions: int) -> None:
    """Masks that are exclusive take a way of their own; it gives the same."""
    masks = one_hot(blobs(dimensions))
    for spacing in (None, WHOLE[dimensions]):
        squares = scipy_distances(masks, spacing).square().round()
        found = distance_transform(masks, spacing)
        torch.testing.assert_close(found, squares.sqrt(), **ONE_ROUNDING)


def test_constant_masks_have_no_distance(way: str) -> None:
    """SciPy gives numbers without a meaning for a mask without a false pixel; here they are 0."""
    for shape in ((1, 1, 4), (2, 3, 4, 5), (1, 2, 3, 3, 3)):
        for value in (True, False):
            masks = torch.full(shape, value)
            assert torch.equal(distance_transform(masks), torch.zeros(shape, dtype=torch.float64))
            assert not distance_to(masks).any()
            assert not signed_distance_map(masks).any()
        assert not label_distance_transform(torch.full((shape[0], *shape[2:]), 7)).any()


def test_every_image_and_class_is_its_own(way: str) -> None:
    masks = random_masks(2, 0.8)
    whole = distance_transform(masks)
    for n, c in np.ndindex(2, 3):
        assert torch.equal(whole[n, c], distance_transform(masks[n : n + 1, c : c + 1])[0, 0])


def test_distance_to_is_that_of_the_others(way: str) -> None:
    seeds = random_masks(2, 0.1)
    assert torch.equal(distance_to(seeds), distance_transform(~seeds))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_labels(way: str, dimensions: int) -> None:
    """The distance within each label's mask; labels may be any integers."""
    labels = blobs(dimensions)
    for spacing in (None, WHOLE[dimensions]):
        expected = scipy_distances(one_hot(labels), spacing).sum(1)
        torch.testing.assert_close(label_distance_transform(labels, spacing), expected)
        strange = (labels * 1000 - 2500).int()
        torch.testing.assert_close(label_distance_transform(strange, spacing), expected)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("ignore", [0.1, 0.7])
def test_labels_with_ignored_pixels(way: str, ignore: float, dimensions: int) -> None:
    """All pairs of valid pixels; what stands at the others doesn't matter."""
    valid = random_masks(dimensions, 1 - ignore, classes=1)[:, 0]
    labels = torch.where(valid, blobs(dimensions), 255)
    found = label_distance_transform(labels, WHOLE[dimensions], valid=valid)
    for n in range(2):
        expected = np.zeros(SHAPES[dimensions])
        for label in range(5):
            own, counted = (labels[n] == label).numpy(), valid[n].numpy()
            expected += reference.inside(own & counted, counted, WHOLE[dimensions])
        np.testing.assert_allclose(found[n], expected, rtol=1e-12)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_masks_with_ignored_pixels(way: str, dimensions: int, exclusive: bool) -> None:
    """Ignored pixels are neither inside nor outside: distances of all pairs of the others."""
    if way == "torch" and exclusive:
        pytest.skip("on an accelerator all masks take one way")
    valid = random_masks(dimensions, 0.7, classes=1)[:, 0]
    masks = one_hot(blobs(dimensions)) if exclusive else random_masks(dimensions, 0.8)
    within = inside_distance(masks, WHOLE[dimensions], valid=valid)
    signed = signed_distance_map(masks, WHOLE[dimensions], valid=valid)
    for n, c in np.ndindex(masks.shape[:2]):
        mask, counted = masks[n, c].numpy(), valid[n].numpy()
        expected = reference.inside(mask, counted, WHOLE[dimensions])
        np.testing.assert_allclose(within[n, c], expected, rtol=1e-12)
        expected = reference.signed(mask, counted, WHOLE[dimensions])
        np.testing.assert_allclose(signed[n, c], np.where(counted, expected, 0), rtol=1e-12)


def test_an_absent_class_beside_ignored_pixels(way: str) -> None:
    masks = torch.zeros(1, 1, 3, 4, dtype=torch.bool)
    valid = torch.ones(1, 3, 4, dtype=torch.bool)
    valid[0, 1, 1] = False
    assert not inside_distance(masks, valid=valid).any()
    assert not signed_distance_map(masks, valid=valid).any()


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_signed_map(way: str, dimensions: int) -> None:
    """+d outside, -(d - h) inside with the smallest spacing h."""
    masks, spacing = random_masks(dimensions, 0.8), WHOLE[dimensions]
    inside, outside = scipy_distances(masks, spacing), scipy_distances(~masks, spacing)
    expected = torch.where(masks, min(spacing) - inside, outside)
    torch.testing.assert_close(signed_distance_map(masks, spacing), expected)
    torch.testing.assert_close(signed_distance_map(masks.float(), spacing), expected)


def test_signed_map_by_hand(way: str) -> None:
    """One pixel in the corner of 2 x 3: itself 0, the others their distance to it."""
    target = torch.tensor([[[[1, 0, 0], [0, 0, 0]]]])
    expected = torch.tensor([[0.0, 1.0, 2.0], [1.0, math.sqrt(2), math.sqrt(5)]]).double()
    torch.testing.assert_close(signed_distance_map(target)[0, 0], expected)


def test_signed_map_of_unequal_spacing(way: str) -> None:
    """3 x 3 in 5 x 5, steps of 1 and 1/2: h = 1/2, so what is 1/2 from outside has 0.

    In the middle of its upper edge the mask is 1 from outside: -(1 - 1/2); so is its centre.
    """
    target = torch.zeros(1, 1, 5, 5)
    target[0, 0, 1:4, 1:4] = 1
    found = signed_distance_map(target, (1.0, 0.5))[0, 0, 1:4, 1:4]
    torch.testing.assert_close(found, torch.tensor([[0.0, -0.5, 0.0]] * 3).double())
    equal = signed_distance_map(target, (0.5, 0.5))[0, 0, 1:4, 1:4]
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, -0.5, 0.0], [0.0, 0.0, 0.0]]).double()
    torch.testing.assert_close(equal, expected)


def test_label_envelopes_take_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few values at once: the same numbers."""
    labels, masks = blobs(3), random_masks(3, 0.9)
    steps = [1.0, 4.0, 2.0]
    whole = (
        envelopes.squared_label_distances(labels, steps),
        envelopes.squared_distances(masks, steps),
    )
    monkeypatch.setattr(envelopes, "STEP_VALUES", 200)
    parts = (
        envelopes.squared_label_distances(labels, steps),
        envelopes.squared_distances(masks, steps),
    )
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_dtypes() -> None:
    masks = random_masks(2, 0.9)
    assert distance_transform(masks, dtype=torch.float32).dtype == torch.float32
    assert signed_distance_map(masks, dtype=torch.float32).dtype == torch.float32
    assert label_distance_transform(blobs(2), dtype=torch.float32).dtype == torch.float32


def test_memory_formats(way: str) -> None:
    """Transposed and strided masks are read as they are, and left alone."""
    masks = random_masks(2, 0.8)
    expected, before = distance_transform(masks), masks.clone()
    transposed = masks.transpose(2, 3).contiguous().transpose(2, 3)
    last = masks.contiguous(memory_format=torch.channels_last)
    for other in (transposed, last):
        assert torch.equal(distance_transform(other), expected)
    assert torch.equal(masks, before)
    labels = blobs(2)
    turned = labels.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(label_distance_transform(turned), label_distance_transform(labels))


def test_no_images() -> None:
    empty = torch.zeros(0, 3, 4, 5, dtype=torch.bool)
    valid = torch.zeros(0, 4, 5, dtype=torch.bool)
    assert distance_transform(empty).shape == empty.shape
    assert inside_distance(empty, valid=valid).shape == empty.shape
    assert label_distance_transform(valid.long()).shape == valid.shape


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: distance_transform(torch.zeros(1, 1, 4)), "mask must be a bool tensor"),
        (lambda: distance_transform([[True]]), "mask must be a bool tensor"),
        (
            lambda: distance_transform(torch.zeros(1, 4, dtype=torch.bool)),
            "mask must have one to three spatial dimensions",
        ),
        (
            lambda: distance_transform(torch.zeros(1, 1, 4, dtype=torch.bool), (1.0, 2.0)),
            "spacing must have a number for each of the 1 spatial axes",
        ),
        (
            lambda: distance_transform(torch.zeros(1, 1, 4, dtype=torch.bool), (0.0,)),
            "spacing must be a finite number in",
        ),
        (lambda: label_distance_transform(torch.zeros(1, 4)), "labels must be an integer tensor"),
    ],
)
def test_errors(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_compile() -> None:
    """Without a graph break, with and without ignored pixels."""
    torch._dynamo.reset()
    masks, valid = one_hot(random_labels(5), 5), random_labels(2).bool()

    def everything(masks: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        signed = signed_distance_map(masks, (1.0, 2.0), valid=valid)
        labels = label_distance_transform(masks.long().argmax(1), valid=valid)
        return signed + distance_transform(masks) + labels.unsqueeze(1)

    compiled = torch.compile(everything, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(masks, valid), everything(masks, valid))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_on_a_gpu(dimensions: int) -> None:
    """The numbers of the CPU, of masks and labels, with and without ignored pixels."""
    masks, labels, spacing = random_masks(dimensions, 0.9), blobs(dimensions), WHOLE[dimensions]
    valid = random_masks(dimensions, 0.7, classes=1)[:, 0]
    for function, argument in (
        (distance_transform, masks),
        (signed_distance_map, masks),
        (label_distance_transform, labels),
    ):
        torch.testing.assert_close(
            function(argument.cuda(), spacing).cpu(), function(argument, spacing)
        )
    for function, argument in ((signed_distance_map, masks), (label_distance_transform, labels)):
        torch.testing.assert_close(
            function(argument.cuda(), spacing, valid=valid.cuda()).cpu(),
            function(argument, spacing, valid=valid),
        )
