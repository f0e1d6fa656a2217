"""Connected components against SciPy's and a flood fill."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from metriseg import components
from metriseg.components import connected_components
from reference.partitions import flood_fill

SHAPES = [(40,), (9, 11), (5, 6, 4), (3, 4, 3, 3)]
EVERY = [(shape, reach) for shape in SHAPES for reach in range(1, len(shape) + 1)]


@pytest.fixture(params=["cc3d", "graph"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the package connected-components-3d, and as without it."""
    if request.param == "cc3d":
        pytest.importorskip("cc3d")
    else:
        original = builtins.__import__

        def absent(name: str, *rest: Any, **named: Any) -> Any:
            if name == "cc3d":
                raise ImportError(name)
            return original(name, *rest, **named)

        monkeypatch.setattr(builtins, "__import__", absent)
    return request.param


def by_scipy(labels: np.ndarray, reach: int) -> np.ndarray:
    """Label by label, numbered in the order of first pixels."""
    found = np.full(labels.shape, -1)
    structure = ndimage.generate_binary_structure(labels.ndim, reach)
    for label in np.unique(labels):
        part, _ = ndimage.label(labels == label, structure)
        found[part > 0] = part[part > 0] + found.max() + 1
    _, first, index = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index].reshape(labels.shape)


@pytest.mark.parametrize(("shape", "reach"), EVERY)
def test_components(way: str, shape: tuple[int, ...], reach: int) -> None:
    """Of noise of two, three and six labels, and of one label."""
    for labels in (1, 2, 3, 6):
        image = np.random.default_rng(labels).integers(labels, size=shape)
        found = connected_components(image, connectivity=reach)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, flood_fill(image, reach))
        np.testing.assert_array_equal(found, by_scipy(image, reach))


def test_large_regions(way: str) -> None:
    noise = np.random.default_rng(0).normal(size=(60, 80))
    image = np.digitize(ndimage.gaussian_filter(noise, 3), [-0.05, 0, 0.05])
    for reach in (1, 2):
        found = connected_components(image, connectivity=reach)
        np.testing.assert_array_equal(found, by_scipy(image, reach))


def test_the_library_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 2-D and 3-D, where it is installed."""
    pytest.importorskip("cc3d")
    monkeypatch.setattr(components, "_by_graph", None)
    for shape, reach in EVERY:
        if len(shape) in (2, 3):
            connected_components(np.zeros(shape, int), connectivity=reach)


def test_names_do_not_matter(way: str) -> None:
    """Negative, large, boolean; from NumPy, lists and tensors in any layout."""
    image = np.random.default_rng(0).integers(2, size=(7, 8))
    expected = connected_components(image)
    for other in (
        image * (2**63 - 1),
        -image,
        image.astype(bool),
        image.astype(np.uint64) * (2**64 - 1),
        image.astype(np.int8),
        image.tolist(),
        np.asfortranarray(image),
        torch.from_numpy(image),
        torch.from_numpy(image).bool(),
    ):
        np.testing.assert_array_equal(connected_components(other), expected)


def test_the_image_is_left_alone(way: str) -> None:
    image = np.random.default_rng(0).integers(3, size=(7, 8))
    before = image.copy()
    connected_components(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 5), (5, 1), (1, 1, 4), (4, 1, 1)])
def test_thin_images(way: str, shape: tuple[int, ...]) -> None:
    """One pixel, one row, one column."""
    image = np.arange(np.prod(shape, dtype=int)).reshape(shape) // 2
    np.testing.assert_array_equal(connected_components(image), image)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4)])
def test_no_pixels(way: str, shape: tuple[int, ...]) -> None:
    assert connected_components(np.zeros(shape, int)).shape == shape


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int64, np.bool_]
)
def test_walls_are_no_label(way: str, dtype: type) -> None:
    """The pixel that doesn't count has the label of its neighbours, which it parts.

    Of 255 0 255 / 255 255 255 the middle column is out: a component left and right, each of two
    pixels, whatever the type of the labels could hold instead.
    """
    top = np.iinfo(dtype).max if dtype is not np.bool_ else 1
    labels = np.array([[top, 0, top], [top, top, top]], dtype)
    valid = np.array([[True, False, True], [True, False, True]])
    expected = [[0, -1, 1], [0, -1, 1]]
    for given in (valid, valid.tolist(), torch.from_numpy(valid)):
        assert connected_components(labels, valid=given).tolist() == expected
    assert connected_components(labels, valid=valid | True).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert (connected_components(labels, valid=valid & False) == -1).all()


@pytest.mark.parametrize(
    "valid", [[[1, 1, 0]], [True, True, False], np.ones((1, 4), bool), np.ones((1, 3), np.uint8)]
)
def test_a_mask_of_another_kind(valid: Any) -> None:
    with pytest.raises(ValueError, match=r"valid must be bool of the shape of labels, \(1, 3\)"):
        connected_components([[1, 1, 1]], valid=valid)


@pytest.mark.parametrize(
    ("labels", "connectivity", "words"),
    [
        ([0.5, 1.0], 1, "labels must hold integer labels, got dtype float64"),
        (torch.zeros(3), 1, "labels must hold integer labels, got dtype float32"),
        ([[0, 1]], 0, "connectivity must be a whole number >= 1, got 0"),
        ([[0, 1]], 1.5, "connectivity must be a whole number >= 1, got 1.5"),
        ([[0, 1]], 3, "connectivity must be in 1 … 2, got 3"),
    ],
)
def test_errors(labels: Any, connectivity: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        connected_components(labels, connectivity=connectivity)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (-128, 127, np.int8),
        (0, 255, np.uint8),
        (-(2**31), 2**31 - 1, np.int32),
        (0, 2**32 - 1, np.uint32),
        (-(2**63), 2**63 - 1, np.int64),
        (2**62, 2**62 + 5, np.int64),
    ],
)
def test_the_ends_of_every_type(low: int, high: int, dtype: type) -> None:
    """Labels that no smaller type holds, nor the difference of two of them."""
    pattern = np.array([[0, 0, 1, 1], [2, 0, 0, 1], [2, 2, 1, 0]])
    middle = low + (high - low) // 2
    labels = np.array([low, high, middle], dtype)[pattern]
    expected = connected_components(pattern)
    assert expected.tolist() == [[0, 0, 1, 1], [2, 0, 0, 1], [2, 2, 3, 4]]
    np.testing.assert_array_equal(connected_components(labels), expected)
    valid = pattern < 2
    np.testing.assert_array_equal(
        connected_components(labels, valid=valid), connected_components(pattern, valid=valid)
    )
