"""Pictures of two partitions: matching colours, and where they disagree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metriseg import viz
from metriseg.partitions import contingency_table, disagreement_map, partition_distance
from reference import partitions as reference

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

NOTHING = np.zeros((8, 12), bool)


def blocks(*rows: str) -> NDArray[np.int64]:
    return np.array([[int(c) for c in row] for row in rows])


def blobs(seed: int, shape: tuple[int, ...] = (8, 12), regions: int = 6) -> NDArray[np.int64]:
    """The nearest of a few random points."""
    random = np.random.default_rng(seed)
    points = random.uniform(0, 1, (regions, len(shape))) * shape
    pixels = np.stack(np.indices(shape), -1)[..., None, :]
    return np.argmin(((pixels - points) ** 2).sum(-1), -1)


# ---------------------------------------------------------------------- disagreement_map


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_disagreement_is_the_symmetric_difference(data: st.DataObject) -> None:
    """Pixel by pixel, with sets; its sum is the partition distance, exactly."""
    labels = st.lists(st.integers(0, 4), min_size=1, max_size=20)
    x = data.draw(labels)
    y = data.draw(st.lists(st.integers(0, 4), min_size=len(x), max_size=len(x)))
    table = contingency_table(x, y)
    found = disagreement_map(table, x, y)
    for u in range(len(x)):
        (mine,) = [block for block in reference.blocks(x) if u in block]
        (yours,) = [block for block in reference.blocks(y) if u in block]
        assert found[u] == len(mine ^ yours)
    assert found.sum() == partition_distance(table) == reference.partition_distance(x, y)


def test_weights_are_measured() -> None:
    """Of a density w the sum of w times the map is the distance.

    x = 0 0 1, y = 0 1 1, w = 1 2 4: x(u) delta y(u) is {1} for pixel 0, {0, 2} for pixel 1 and
    {1} for pixel 2, of measure 2, 5, 2; and 1 * 2 + 2 * 5 + 4 * 2 = 20.
    """
    x, y, weight = [0, 0, 1], [0, 1, 1], [1.0, 2.0, 4.0]
    table = contingency_table(x, y, weight=weight)
    found = disagreement_map(table, x, y)
    np.testing.assert_array_equal(found, [2, 5, 2])
    assert (found * weight).sum() == partition_distance(table) == 20


def test_any_part_of_the_maps_can_be_asked_for() -> None:
    """Slices of a volume, against the table of the whole; tensors as arrays."""
    x, y = blobs(1, (4, 5, 6)), blobs(2, (4, 5, 6), 9) + 10**12
    table = contingency_table(x, y)
    whole = disagreement_map(table, x, y)
    assert whole.sum() == partition_distance(table)
    for z in range(4):
        np.testing.assert_array_equal(disagreement_map(table, x[z], y[z]), whole[z])
    found = disagreement_map(table, torch.as_tensor(x), torch.as_tensor(y))
    np.testing.assert_array_equal(found, whole)


def test_ignored_pixels_add_nothing() -> None:
    x, y = blobs(1), blobs(2)
    table = contingency_table(x, y, ignore=[0])
    found = disagreement_map(table, x, y)
    assert not found[(x == 0) | (y == 0)].any()
    assert found.sum() == partition_distance(table)


def test_disagreement_refuses() -> None:
    table = contingency_table([0, 1], [0, 1])
    with pytest.raises(ValueError, match=r"y must have the shape of x, \(2,\), got \(3,\)"):
        disagreement_map(table, [0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match=r"x must hold integer labels, got dtype float64"):
        disagreement_map(table, [0.5, 1], [0, 1])
    several = contingency_table([0, 1], [0, 1], weight=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"disagreement_map takes a table of one measure, got 2"):
        disagreement_map(several, [0, 1], [0, 1])


# ---------------------------------------------------------------------- colours


def test_equal_partitions_have_equal_colors() -> None:
    """However their labels are called."""
    x = blobs(3)
    names = np.random.default_rng(0).permutation(50)
    ours, theirs = viz.matching_colors(x, names[x], NOTHING)
    np.testing.assert_array_equal(ours, theirs)


def test_touching_regions_have_different_colors() -> None:
    x = blobs(4, (40, 60), 80)
    ours, _ = viz.matching_colors(x, x, np.zeros(x.shape, bool))
    for a, b, p, q in (
        (x[1:], x[:-1], ours[1:], ours[:-1]),
        (x[:, 1:], x[:, :-1], ours[:, 1:], ours[:, :-1]),
    ):
        assert ((p != q).any(-1) == (a != b)).all()


def test_matches_are_one_to_one_and_the_rest_is_shaded() -> None:
    """y cuts region 0 of x into 5 + 2 + 1 pixels, and is as x elsewhere.

    The piece of 5 has the colour of region 0, the next is half way to white, the last is darker.
    """
    x = blocks("00001", "00001")
    y = blocks("77791", "77881")
    ours, theirs = viz.matching_colors(x, y, np.zeros(x.shape, bool))
    base = ours[0, 0]
    np.testing.assert_array_equal(theirs[y == 7], np.tile(base, (5, 1)))
    np.testing.assert_array_equal(theirs[y == 1], ours[x == 1])
    np.testing.assert_allclose(theirs[y == 8], np.tile((1 + base) / 2, (2, 1)))
    np.testing.assert_allclose(theirs[y == 9], 0.65 * base[None])


def test_the_larger_overlap_wins() -> None:
    """y's region 5 lies on both: 4 pixels of x's 0, 2 of its 1; 6 has the rest of 1."""
    x, y = blocks("00001111"), blocks("55555566")
    ours, theirs = viz.matching_colors(x, y, np.zeros(x.shape, bool))
    np.testing.assert_array_equal(theirs[y == 5], np.tile(ours[0, 0], (6, 1)))
    np.testing.assert_array_equal(theirs[y == 6], np.tile(ours[0, 7], (2, 1)))


def test_left_out_pixels_are_gray() -> None:
    x = blobs(5)
    left_out = x == 2
    for picture in viz.matching_colors(x, x, left_out):
        assert (picture[left_out] == 0.75).all()
        assert not (picture[~left_out] == 0.75).all(-1).any()
    for picture in viz.matching_colors(x, x, ~NOTHING):
        assert (picture == 0.75).all()


# ---------------------------------------------------------------------- the picture


def drawn(path: Path, *arguments: Any, **named: Any) -> NDArray[np.uint8]:
    assert viz.save_partition_comparison(path, *arguments, **named) == path
    return np.asarray(Image.open(path).convert("RGB"))


def has_color(picture: NDArray[np.uint8], color: NDArray[np.float64]) -> bool:
    """Whether a good part of the picture has it."""
    near = np.abs(picture.astype(float) - 255 * color).max(-1) <= 1
    return bool(near.mean() > 0.001)


def test_the_picture_has_the_colors_of_the_regions(tmp_path: Path) -> None:
    x, y = blobs(6), blobs(7)
    picture = drawn(tmp_path / "new" / "p.png", x, y, names=("truth", "x" * 80 + "$a$"))
    for colored in viz.matching_colors(x, y, NOTHING):
        for color in np.unique(colored.reshape(-1, 3), axis=0):
            assert has_color(picture, color)
    assert picture.shape[1] > 2 * picture.shape[0]
    border = np.concatenate([picture[:5].reshape(-1, 3), picture[-5:].reshape(-1, 3)])
    assert (border == 255).all(), "something is cut off"


@pytest.mark.parametrize("shape", [(30,), (20, 30), (30, 4), (5, 20, 30), (2, 5, 20, 30)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_maps_and_images_of_any_dimension(
    tmp_path: Path, shape: tuple[int, ...], channels: tuple[int, ...]
) -> None:
    image = np.random.default_rng(0).normal(size=(*shape, *channels))
    picture = drawn(tmp_path / "p.png", blobs(1, shape), blobs(2, shape), image=image)
    assert picture.std() > 1


def test_a_volume_shows_its_middle_slice(tmp_path: Path) -> None:
    """Slice 2 of 5: the others are of one region, whose colour is seen nowhere."""
    x = np.zeros((5, 8, 12), int)
    x[2] = blobs(8) + 1
    picture = drawn(tmp_path / "p.png", x, torch.as_tensor(x))
    flat = drawn(tmp_path / "q.png", x[2], x[2])
    assert np.abs(picture.astype(int) - flat).max(-1)[60:].mean() < 1


def test_equal_partitions_can_be_drawn(tmp_path: Path) -> None:
    drawn(tmp_path / "p.png", [[0, 1]], [[4, 3]])


def test_left_out_pixels_are_gray_in_all_panels(tmp_path: Path) -> None:
    """A quarter of each of three maps, which fill most of the picture."""
    x = np.kron([[0, 1], [2, 3]], np.ones((10, 10), int))
    picture = drawn(tmp_path / "p.png", x, x, table=contingency_table(x, x, ignore=[3]))
    assert 0.15 < (picture == 191).all(-1).mean() < 0.25


def test_large_maps_are_thinned(tmp_path: Path) -> None:
    x = np.kron(blobs(1), np.ones((1, 500), int))
    assert viz._plane(x, 2).shape == (2, 1200)
    assert drawn(tmp_path / "p.png", x, x).shape[0] > 100


def test_the_picture_refuses(tmp_path: Path) -> None:
    x = blobs(1)
    with pytest.raises(ValueError, match=r"image must have shape \(8, 12\) or \(8, 12, 3\), got"):
        viz.save_partition_comparison(tmp_path / "p.png", x, x, image=np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"xyz"):
        viz.save_partition_comparison(tmp_path / "p.xyz", x, x)


def test_a_photograph(tmp_path: Path) -> None:
    """Two people's segmentations, as the command line draws them."""
    folder = Path(os.environ.get("METRISEG_DATA", "")) / "bsds500"
    if not folder.is_dir():
        pytest.skip("METRISEG_DATA has no bsds500")
    from metriseg.data.label_maps import read_image, read_label_map

    truths = folder / "groundTruth" / "101085.mat"
    x, y = read_label_map(f"{truths}:0"), read_label_map(f"{truths}:1")
    table = contingency_table(x, y)
    assert disagreement_map(table, x, y).sum() == partition_distance(table)
    image = read_image(folder / "images" / "101085.jpg")
    picture = drawn(tmp_path / "p.png", x, y, image=image, table=table)
    assert min(picture.shape[:2]) > 800
