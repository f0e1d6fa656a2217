"""The shapes: what they look like, how far apart they are, what changes and what doesn't."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils.data import DataLoader

from metriseg.data.outlines import SHAPES, polygon_mask, shape_mask
from metriseg.data.shapes import CLASSES, CONTRAST, PALETTE, ShapesDataset, ShapesSample
from reference.shapes import inside_by_angles, least_distance

SMALL: dict[str, Any] = {"size": (48, 56)}
EIGHT = np.ones((3, 3))


def objects(sample: ShapesSample) -> list[np.ndarray]:
    """The mask of every object, in order."""
    instances = sample.instances.numpy()
    return [instances == k for k in range(1, instances.max() + 1)]


def test_a_sample_is_an_image_and_two_maps_that_agree() -> None:
    """Objects are numbered without gaps, have one class each, and leave the rest to background."""
    for image, classes, instances in ShapesDataset(20, **SMALL):
        assert (image.shape, image.dtype) == ((3, 48, 56), torch.float32)
        assert (classes.shape, classes.dtype) == ((48, 56), torch.int64)
        assert (instances.shape, instances.dtype) == ((48, 56), torch.int64)
        assert image.is_contiguous()
        assert 0 <= image.min() <= image.max() <= 1
        count = int(instances.max())
        assert 2 <= count <= 5
        assert instances.unique().tolist() == list(range(count + 1))
        assert torch.equal(classes > 0, instances > 0)
        for k in range(1, count + 1):
            assert len(classes[instances == k].unique()) == 1


def test_every_class_has_a_name_and_a_color() -> None:
    assert CLASSES == ("background", "circle", "rectangle", "triangle", "pentagon", "star")
    assert len(set(PALETTE)) == len(CLASSES)
    seen = torch.cat([s.classes.flatten() for s in ShapesDataset(20, **SMALL)]).unique()
    assert seen.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_label_does_not_depend_on_which_shapes_there_are() -> None:
    for sample in ShapesDataset(5, shapes=("star", "rectangle"), **SMALL):
        assert set(sample.classes.unique().tolist()) <= {0, 2, 5}


def test_an_item_depends_on_the_seed_and_its_index_alone() -> None:
    """The same in a longer data set and in any order; another index or seed is another image."""
    long, short = ShapesDataset(1000, seed=4, **SMALL), ShapesDataset(9, seed=4, **SMALL)
    expected = [long[i] for i in range(9)]
    for i in reversed(range(9)):
        assert all(map(torch.equal, short[i], expected[i]))
    assert all(map(torch.equal, short[-1], short[8]))
    others = [*expected[1:], ShapesDataset(9, seed=5, **SMALL)[0]]
    assert not any(torch.equal(other.instances, expected[0].instances) for other in others)


def test_an_index_that_is_not_there_ends_the_loop() -> None:
    assert len(list(ShapesDataset(3, **SMALL))) == len(ShapesDataset(3, **SMALL)) == 3
    assert list(ShapesDataset(0)) == []
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"below 3, the length, got {index}"):
            ShapesDataset(3)[index]


def test_a_loader_batches_it() -> None:
    batch = next(iter(DataLoader(ShapesDataset(4, **SMALL), batch_size=4)))
    assert batch.image.shape == (4, 3, 48, 56)
    assert batch.classes.shape == batch.instances.shape == (4, 48, 56)


@pytest.mark.parametrize("least_gap", [0, 1, 4])
@pytest.mark.parametrize("touching", [0.0, 1.0])
def test_the_gap_is_kept(least_gap: int, touching: float) -> None:
    """Centres of pixels of two shapes are least_gap + 1 apart at least.

    Put as near as allowed, a shape has a pixel beside one that is nearer than least_gap + 1, thus
    itself nearer than least_gap + 2, to a shape before it.
    """
    dataset = ShapesDataset(8, least_gap=least_gap, touching=touching, number=(4, 5), size=(64, 64))
    for sample in dataset:
        masks = objects(sample)
        for one, other in combinations(masks, 2):
            assert least_distance(one, other) >= least_gap + 1
        for k in range(1, len(masks)):
            if touching:
                nearest = min(least_distance(masks[k], other) for other in masks[:k])
                assert nearest < least_gap + 2


def test_touching_shapes_are_one_component() -> None:
    """Of four neighbours, so that components of the foreground can't tell them apart."""
    for sample in ShapesDataset(20, touching=1.0, **SMALL):
        assert ndimage.label(sample.instances.numpy() > 0)[1] == 1


def test_shapes_with_a_gap_of_one_pixel_are_components_of_eight_neighbours() -> None:
    for sample in ShapesDataset(20, touching=1.0, least_gap=1, **SMALL):
        count = ndimage.label(sample.instances.numpy() > 0, structure=EIGHT)[1]
        assert count == sample.instances.max()


def test_the_share_of_touching_shapes() -> None:
    """At a share of 0.5 one in two that come after the first is one component with another.

    With n of them and c components there are n + 1 - c such ones; over 150 images some 375 chances,
    a deviation of 0.026 of the share. By chance a few more touch, far less than one in ten.
    """
    touching = after_the_first = 0
    for sample in ShapesDataset(150, touching=0.5, size=(64, 64)):
        count = int(sample.instances.max())
        after_the_first += count - 1
        touching += count - ndimage.label(sample.instances.numpy() > 0)[1]
    assert 0.42 < touching / after_the_first < 0.65


def test_every_object_is_one_component_and_is_there() -> None:
    """Stars of the least radius too, whose tips hang on by a corner."""
    for sample in ShapesDataset(30, radius=(3, 5), shapes=("star", "triangle"), **SMALL):
        for mask in objects(sample):
            assert ndimage.label(mask)[1] == 1
            assert mask.sum() >= 8


def test_no_shape_is_cut_by_the_border() -> None:
    """A whole circle is as high as it is wide, up to a pixel, and fills pi / 4 of its box.

    A pixel more or less in height and width is at most 1 / 29 of each, thus 0.07 of the area.
    """
    settings = {"shapes": ("circle",), "number": (1, 1), "radius": (15, 20)}
    for sample in ShapesDataset(40, size=(48, 48), **settings):
        (mask,) = objects(sample)
        height, width = mask.any(1).sum(), mask.any(0).sum()
        assert abs(int(height) - int(width)) <= 1
        assert 29 <= height <= 41
        assert mask.sum() == pytest.approx(math.pi * height * width / 4, rel=0.07)


def test_the_number_of_shapes_is_normal_rounded_and_clipped() -> None:
    """Mean 3.5 and deviation 1: P(2) = Phi(-1) = 0.159, P(3) = Phi(0) - Phi(-1) = 0.341.

    Likewise 4 and 5. The standard error of a share p of 300 images is sqrt(p (1 - p) / 300), at
    most 0.027.
    """
    dataset = ShapesDataset(300, size=(40, 40), radius=(3, 4))
    counts = np.array([int(sample.instances.max()) for sample in dataset])
    for count, share in {2: 0.159, 3: 0.341, 4: 0.341, 5: 0.159}.items():
        assert (counts == count).mean() == pytest.approx(share, abs=4 * 0.027)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mean_number": 3, "number_deviation": 0.0}, 3),
        ({"mean_number": 100}, 5),
        ({"mean_number": -100}, 2),
        ({"number": (0, 0)}, 0),
        ({"number": (1, 1)}, 1),
    ],
)
def test_the_number_of_shapes_can_be_fixed(settings: dict[str, Any], expected: int) -> None:
    for sample in ShapesDataset(5, **SMALL, **settings):
        assert sample.instances.max() == expected


def colors(sample: ShapesSample) -> torch.Tensor:
    """``(k + 1, C)``: the mean over the background and over each object."""
    masks = [sample.instances == k for k in range(int(sample.instances.max()) + 1)]
    return torch.stack([sample.image[:, mask].mean(1) for mask in masks])


def test_objects_share_a_color_that_can_be_seen() -> None:
    seen = []
    for sample in ShapesDataset(10, noise=0.0, background=0.4, **SMALL):
        background, first, *others = colors(sample)
        torch.testing.assert_close(background, torch.full((3,), 0.4))
        assert all(torch.allclose(first, other) for other in others)
        assert (first - background).abs().mean() >= CONTRAST - 1e-6
        seen.append(first)
    assert len(torch.stack(seen).unique(dim=0)) == 10


def test_objects_of_their_own_colors() -> None:
    for sample in ShapesDataset(10, noise=0.0, color="own", **SMALL):
        found = colors(sample)
        assert len(found.unique(dim=0)) == len(found)


@pytest.mark.parametrize(
    ("color", "channels", "expected"),
    [(0.75, 1, [0.75]), (0.75, 3, [0.75] * 3), ([0.0, 0.5, 1.0], 3, [0.0, 0.5, 1.0])],
)
def test_a_given_color(color: Any, channels: int, expected: list[float]) -> None:
    settings = {"color": color, "channels": channels, "noise": 0.0}
    sample = ShapesDataset(1, **settings, **SMALL)[0]
    background, *others = colors(sample)
    torch.testing.assert_close(background, torch.zeros(channels))
    for other in others:
        torch.testing.assert_close(other, torch.tensor(expected))


def test_noise_has_the_given_deviation() -> None:
    """On a background of 0.5, five deviations from both ends, nothing is clipped."""
    image, _, instances = ShapesDataset(1, background=0.5, noise=0.1)[0]
    values = image[:, instances == 0]
    assert values.mean() == pytest.approx(0.5, abs=0.004)
    assert values.std() == pytest.approx(0.1, abs=0.004)


def test_colors_and_noise_leave_the_truth_as_it_is() -> None:
    plain = ShapesDataset(5, **SMALL)
    other = ShapesDataset(5, color="own", background=0.7, noise=0.2, channels=1, **SMALL)
    for one, two in zip(plain, other, strict=True):
        assert torch.equal(one.classes, two.classes)
        assert torch.equal(one.instances, two.instances)


@pytest.mark.parametrize("seed", range(5))
def test_points_in_a_polygon(seed: int) -> None:
    """Corners at growing angles and any radii: a simple polygon, mostly not convex."""
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * math.pi, 7))
    corners = random.uniform(2, 8, (7, 1)) * np.stack([np.sin(angles), np.cos(angles)], 1)
    rows, columns = np.arange(-9.0, 10), np.arange(-8.0, 9)
    expected = [[inside_by_angles(corners, y, x) for x in columns] for y in rows]
    np.testing.assert_array_equal(polygon_mask(corners, rows, columns), expected)


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
def test_areas(angle: float) -> None:
    """In a circle of radius r: n r² sin(2 pi / n) / 2 for n equal sides, pi r² for the circle.

    A rectangle of sides a and a / 2 has the diagonal 2 r, thus a² = 16 r² / 5 and the area
    8 r² / 5. A star consists of ten triangles with sides r and r (3 - sqrt 5) / 2 and 36 degrees
    between them.
    """
    r = 40.0
    areas = {
        "circle": math.pi,
        "rectangle": 8 / 5,
        "triangle": 3 * math.sin(2 * math.pi / 3) / 2,
        "pentagon": 5 * math.sin(2 * math.pi / 5) / 2,
        "star": 5 * (3 - math.sqrt(5)) / 2 * math.sin(math.pi / 5),
    }
    for shape in SHAPES:
        mask = shape_mask(shape, r, angle=angle, side_ratio=0.5, offset=(0.3, -0.4))
        assert mask.sum() == pytest.approx(areas[shape] * r * r, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"length": -1}, "length must be a whole number >= 0"),
        ({"size": (64,)}, "size must be a pair"),
        ({"size": 64}, "size must be a pair"),
        ({"size": (0, 64)}, "size must be a whole number >= 1"),
        ({"shapes": ("circle", "square")}, "shapes must be one of 'circle', .* got 'square'"),
        ({"shapes": ()}, "shapes must be a sequence"),
        ({"shapes": "star"}, "shapes must be a sequence"),
        ({"number": (3, 2)}, "number must be the least and the most"),
        ({"number": (-1, 2)}, "number must be a whole number >= 0"),
        ({"mean_number": math.nan}, "mean_number must be a finite number"),
        ({"number_deviation": -0.5}, "number_deviation must be a finite number in"),
        ({"radius": (2, 5)}, "radius must be a finite number in"),
        ({"radius": (9, 5)}, "radius must be the least and the largest"),
        ({"radius": (9, 50)}, r"radius must be at most 49.5, .* in 100 x 100 pixels, got 50"),
        ({"size": (6, 6)}, "radius must be at most 2.5"),
        ({"least_gap": -1}, "least_gap must be a whole number >= 0"),
        ({"least_gap": 0.5}, "least_gap must be a whole number >= 0"),
        ({"touching": 1.5}, "touching must be a finite number in"),
        ({"channels": 0}, "channels must be a whole number >= 1"),
        ({"color": "red"}, "color must be 'same', 'own', or numbers, got 'red'"),
        ({"color": (0.1, 0.2)}, "color must be a number or 3, one a channel, got 2 numbers"),
        ({"color": 2.0}, "color must be a finite number in"),
        ({"color": 0.0}, "color must differ from background"),
        ({"background": -0.1}, "background must be a finite number in"),
        ({"noise": -0.1}, "noise must be a finite number in"),
        ({"seed": -1}, "seed must be a whole number >= 0"),
    ],
)
def test_arguments_outside_their_domains(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ShapesDataset(**settings)


def test_shapes_without_room() -> None:
    """Five circles of radius 10 have 1571 pixels, the image has 1296."""
    settings = {"shapes": ("circle",), "radius": (10, 10), "number": (5, 5), "size": (36, 36)}
    with pytest.raises(ValueError, match="found no place for 5 shapes of a radius from 10 to 10"):
        ShapesDataset(1, **settings)[0]
