"""Measures and features that an image gives to partitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from metriseg.partitions import (
    FeatureWeight,
    KernelWeight,
    color_bins,
    color_features,
    contingency_table,
    intensity_bins,
    intensity_features,
    texture_bins,
    texture_features,
    weighted_partition_distance,
)
from reference import partitions as reference

SHAPES = [(7,), (5, 6), (3, 4, 5)]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=shape)


# ---------------------------------------------------------------------- bins are kernels


def hats(value: float, bins: int) -> list[float]:
    return [max(0.0, 1 - abs((bins - 1) * value - r)) for r in range(bins)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bins", [1, 2, 5])
def test_intensity_bins(shape: tuple[int, ...], bins: int) -> None:
    """A constant plane of root b, then hats that add up to 1."""
    image = noise(*shape)
    planes = intensity_bins(image, bins, base=0.25)
    assert planes.shape == (bins + 1, *shape)
    assert planes.dtype == np.float32
    np.testing.assert_array_equal(planes[0], 0.5)
    np.testing.assert_allclose(planes[1:].sum(0), 1, rtol=1e-6)
    for place in np.ndindex(*shape):
        np.testing.assert_allclose(planes[1:, *place], hats(image[place], bins), atol=1e-6)


def test_the_kernel_of_intensity() -> None:
    """The distance is that of the kernel m(u, v), pair by pair."""
    image = noise(9)
    x, y = [0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 1, 1, 1, 2, 2, 2, 0]

    def kernel(u: int, v: int) -> float:
        pairs = zip(hats(image[u], 4), hats(image[v], 4), strict=True)
        return 0.5 + sum(a * b for a, b in pairs)

    table = contingency_table(x, y, weight=intensity_bins(image, 4, base=0.5))
    found = weighted_partition_distance(table, KernelWeight())
    assert found == pytest.approx(reference.pixel_pairs(x, y, kernel), rel=1e-6)


def kernel_matrix(planes: np.ndarray) -> np.ndarray:
    flat = planes.reshape(len(planes), -1).astype(float)
    return flat.T @ flat


@pytest.mark.parametrize(
    "planes",
    [
        intensity_bins(noise(6, 8), base=0.5),
        color_bins(noise(6, 8, 3), base=0.5),
        texture_bins(noise(6, 8), base=0.5),
    ],
    ids=["intensity", "color", "texture"],
)
def test_kernels_lie_between_base_and_one_more(planes: np.ndarray) -> None:
    """m is at least the base for every pair, so no pair of pixels is free; a pixel is like itself
    by 1/2 … 1."""
    kernel = kernel_matrix(planes)
    assert (planes >= 0).all()
    assert kernel.min() >= 0.5 - 1e-6
    assert kernel.max() <= 1.5 + 1e-6
    assert (kernel.diagonal() >= 1.0 - 1e-6).all()


def test_like_pixels_weigh_more() -> None:
    """Black, black, white, by two bins: m is 2 for the like pair and 1 for the others."""
    image = np.array([[0, 0, 255]], np.uint8)
    expected = [[2, 2, 1], [2, 2, 1], [1, 1, 2]]
    np.testing.assert_allclose(kernel_matrix(intensity_bins(image, 2)), expected)
    grey = np.repeat(image[..., None], 3, axis=2)
    lab = np.array(kernel_matrix(color_bins(grey, 9)))
    # of L*, a*, b* only L* tells black and white apart; hats at 0 of a* and b* are 1
    np.testing.assert_allclose(lab, [[2, 2, 5 / 3], [2, 2, 5 / 3], [5 / 3, 5 / 3, 2]], atol=1e-3)


def test_smooth_and_rough() -> None:
    """Pairs of equal texture weigh more than others."""
    image = np.full((32, 32), 0.5)
    image[:, 16:] += np.where(np.indices((32, 16)).sum(0) % 2, 0.4, -0.4)
    kernel = kernel_matrix(texture_bins(image)[:, 16:17, [2, 4, 28, 30]])
    assert kernel[0, 1] > kernel[0, 2] + 0.2
    assert kernel[2, 3] > kernel[1, 2] + 0.2


# ---------------------------------------------------------------------- features


@pytest.mark.parametrize("shape", SHAPES)
def test_types_of_intensity(shape: tuple[int, ...]) -> None:
    """8 and 16 bits, floats, Booleans and tensors of the same picture."""
    image = (noise(*shape) * 255).astype(np.uint8)
    expected = (image / 255)[None].astype(np.float32)
    for same in (
        image,
        image.astype(np.uint16) * 257,
        image / 255,
        torch.from_numpy(image),
        image.tolist(),
    ):
        value_range = (0, 255) if isinstance(same, list) else None
        found = intensity_features(same, value_range=value_range)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.dtype == np.float32
    halves = image > 100
    np.testing.assert_array_equal(intensity_features(halves)[0], halves)


def test_value_range() -> None:
    """A window of a tomogram: beyond its ends the brightness is theirs."""
    found = intensity_features(
        np.array([-1000, -100, 0, 100, 3000], np.int16), value_range=(-100, 100)
    )
    np.testing.assert_allclose(found, [[0, 0, 0.5, 1, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_color_features(dtype: type) -> None:
    """scikit-image's, over all corners of the cube and random colours."""
    corners = np.stack(np.meshgrid(*[[0, 0.02, 0.5, 1]] * 3), -1).reshape(8, 8, 3)
    for image in (corners, noise(9, 11, 3)):
        typed = (image * 255).astype(np.uint8) if dtype is np.uint8 else image.astype(dtype)
        expected = np.moveaxis(rgb2lab(typed), 2, 0)
        np.testing.assert_allclose(color_features(typed), expected, atol=2e-4)


def test_all_colours_lie_within_the_bins() -> None:
    """L* in 0 … 100, a* and b* in -110 … 110: no colour is cut off."""
    lab = color_features(np.stack(np.meshgrid(*[np.linspace(0, 1, 18)] * 3), -1).reshape(18, -1, 3))
    assert lab[0].min() >= 0
    assert lab[0].max() <= 100 + 1e-4
    assert np.abs(lab[1:]).max() < 110


def window(width: float) -> np.ndarray:
    reach = int(4 * width + 0.5)
    weights = [math.exp(-(i**2) / (2 * width**2)) for i in range(-reach, reach + 1)]
    return np.array(weights) / sum(weights)


def filtered(signal: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """By loops, the signal mirrored about its ends."""
    reach, n = len(weights) // 2, len(signal)
    mirrored = [*signal, *signal[::-1]]
    return np.array(
        [
            sum(weights[reach + i] * mirrored[(u + i) % (2 * n)] for i in range(-reach, reach + 1))
            for u in range(n)
        ]
    )


def test_texture_of_a_line() -> None:
    """Both features of a signal, by loops over the windows."""
    signal = noise(30)
    found = texture_features(signal, scales=[1.0, 1.5])
    assert found.shape == (4, 30)
    for index, width in enumerate((1.0, 1.5)):
        weights = window(width)
        mean = filtered(signal, weights)
        deviation = np.sqrt(filtered(signal**2, weights) - mean**2)
        reach = len(weights) // 2
        steps = np.arange(-reach, reach + 1)
        slope = filtered(signal, weights * steps / width**2)
        energy = width * np.sqrt(filtered(slope**2, weights))
        np.testing.assert_allclose(found[2 * index], deviation, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[2 * index + 1], energy, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(64,), (24, 24), (12, 12, 12)])
def test_greatest_texture(shape: tuple[int, ...]) -> None:
    """Deviations to 1/2, gradient energies to 1/sqrt(2 pi), for any picture."""
    step = np.zeros(shape)
    step[shape[0] // 2 :] = 1
    corner = np.indices(shape).sum(0) >= sum(shape) / 2
    for image in (step, corner * 1.0, noise(*shape).round(), np.indices(shape).sum(0) % 2 * 1.0):
        found = texture_features(image, scales=(0.5, 1, 2))
        assert (found >= 0).all()
        assert found[::2].max() <= 0.5 + 1e-6
        assert found[1::2].max() <= 1 / math.sqrt(2 * math.pi)
    assert texture_features(np.full(shape, 0.7)).max() < 1e-6


def test_textures_know_no_axis() -> None:
    image = noise(12, 10)
    found = texture_features(image)
    np.testing.assert_allclose(texture_features(image.T), found.transpose(0, 2, 1), atol=1e-6)


def test_features_make_weights() -> None:
    """One region of mean 1/2 against its halves 0 and 1: 16 (8 + 4 / 2) = 160."""
    image = np.zeros((4, 4))
    image[:, 2:] = 1
    halves = image.astype(int)
    table = contingency_table(np.zeros_like(halves), halves, features=intensity_features(image))
    assert weighted_partition_distance(table, FeatureWeight(4.0)) == pytest.approx(160)


# ---------------------------------------------------------------------- bad input

COLOR = np.zeros((4, 5, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: intensity_bins(noise(4), 0), "bins must be a whole number >= 1"),
        (lambda: color_bins(COLOR, 2.5), "bins must be a whole number >= 1"),
        (lambda: texture_bins(noise(4), -1), "bins must be a whole number >= 1"),
        (lambda: intensity_bins(noise(4), base=0), "base must be a finite number in"),
        (lambda: color_bins(COLOR, base=math.inf), "base must be a finite number in"),
        (lambda: intensity_bins(np.array([0.0, math.nan])), "image must be finite"),
        (lambda: intensity_bins(np.array([0.0, 1.5])), "image must lie in"),
        (lambda: intensity_features(np.array([-1, 4])), "value_range must be given"),
        (lambda: intensity_features(noise(4), value_range=(1, 1)), "value_range must be two"),
        (lambda: intensity_features(noise(4), value_range=(0, 1, 2)), "value_range must be two"),
        (lambda: intensity_features(noise(4), value_range=(0, math.inf)), "value_range must be"),
        (lambda: intensity_features(np.array([1j])), "image must hold real numbers"),
        (lambda: intensity_features(np.zeros((0, 3))), "image must hold at least one pixel"),
        (lambda: color_features(noise(4, 5)), r"image must have shape \(H, W, 3\)"),
        (lambda: color_features(noise(3, 4, 5)), r"image must have shape \(H, W, 3\)"),
        (lambda: color_features(COLOR.astype(np.int16)), "image must be uint8 or floats"),
        (lambda: color_features(COLOR + 2), "image must lie in"),
        (lambda: color_features(COLOR - math.nan), "image must be finite"),
        (lambda: texture_features(noise(4), scales=[]), "scales must be one number or more"),
        (lambda: texture_features(noise(4), scales=2.0), "scales must be one number or more"),
        (lambda: texture_features(noise(4), scales=[0.1]), "scales must be a finite number"),
        (lambda: texture_features(0.5), "image must have at least one axis"),
    ],
)
def test_bad_input(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
