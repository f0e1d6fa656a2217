"""What the losses of a boundary promise beyond what all losses do."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import metriseg
from metriseg import functional as F
from metriseg.distances import distance_transform, signed_distance_map
from reference.batches import IGNORE, random_labels, random_logits


def one_hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).double()


def square(size: int, side: int) -> torch.Tensor:
    """One square of ones, away from the border of the image."""
    labels = torch.zeros(1, size, size, dtype=torch.int64)
    labels[:, 2 : 2 + side, 3 : 3 + side] = 1
    return labels


# ---------------------------------------------------------------------- maps of a loader

LOADED = [
    ("DistanceMapCrossEntropyLoss", "penalty", False),
    ("BoundaryLoss", "signed_distance", True),
    ("RegionWiseLoss", "region", True),
]


def own_map(name: str, target: torch.Tensor, classes: int) -> torch.Tensor:
    masks, valid = one_hot(target.where(target != IGNORE, 0), classes) > 0, target != IGNORE
    masks = masks & valid.unsqueeze(1)
    if name == "DistanceMapCrossEntropyLoss":
        return F.reversed_distance_map(masks, valid=valid).sum(1)
    make = signed_distance_map if name == "BoundaryLoss" else F.rectified_region_map
    return make(masks, valid=valid)


@pytest.mark.parametrize(("name", "key", "dense"), LOADED)
def test_a_loader_may_give_the_map(name: str, key: str, dense: bool) -> None:
    """The map that the loss would make itself changes nothing, in any float type; twice it does."""
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    loss = getattr(metriseg, name)(ignore_index=IGNORE)
    given = own_map(name, target, 4)
    assert given.shape == (logits.shape if dense else target.shape)
    value = loss(logits, target)
    torch.testing.assert_close(loss(logits, target, maps={key: given}), value)
    single = loss(logits, target, maps={key: given.float()})
    torch.testing.assert_close(single, value, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(loss(logits, target, maps={key: 2 * given}), value)


@pytest.mark.parametrize(("name", "key", "dense"), LOADED)
def test_a_loaded_map_may_hold_anything_where_ignored(name: str, key: str, dense: bool) -> None:
    logits, target = random_logits(4).requires_grad_(), random_labels(4, ignore=0.2)
    given, ignored = own_map(name, target, 4), target == IGNORE
    spoilt = torch.where(ignored.unsqueeze(1) if dense else ignored, float("nan"), given)
    loss = getattr(metriseg, name)(ignore_index=IGNORE)
    value = loss(logits, target, maps={key: spoilt})
    value.backward()
    torch.testing.assert_close(value, loss(logits, target))
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("name", "key", "dense"), [*LOADED, ("BoundaryAwareLoss", "instances", 0)])
def test_maps_of_another_shape_are_refused(name: str, key: str, dense: bool) -> None:
    logits, target = random_logits(4), random_labels(4)
    wrong = target if dense else target.unsqueeze(1)
    with pytest.raises(ValueError, match=rf"maps\['{key}'\] must have shape"):
        getattr(metriseg, name)()(logits, target, maps={key: wrong.double()})


# ---------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("DistanceMapCrossEntropyLoss", {"map": "inverse"}, "map must be one of"),
        ("RegionWiseLoss", {"map": "signed"}, "map must be one of"),
        ("BoundaryLoss", {"spacing": (1.0, 0.0)}, "spacing must be a finite number in"),
        ("BoundaryLoss", {"spacing": 2.0}, "spacing must be a sequence of numbers"),
        ("BoundaryDoULoss", {"max_alpha": 1.0}, r"max_alpha must be a finite number in \[0, 1\)"),
        ("BoundaryDoULoss", {"alpha": -0.1}, r"alpha must be a finite number in \[0, 1\)"),
        ("BoundaryDoULoss", {"classes": "some"}, "classes must be one of"),
        ("BoundaryDoULoss", {"smooth": -1.0}, "smooth must be a finite number in"),
        ("BoundaryAwareLoss", {"activation": "softmax"}, "activation must be one of"),
        ("ActiveContourLoss", {"eps": 0.0}, r"eps must be a finite number in \(0, inf\]"),
        ("ActiveContourLoss", {"region_weight": -1.0}, "region_weight must be a finite number"),
    ],
)
def test_arguments_out_of_domain(name: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        getattr(metriseg, name)(**arguments)


@pytest.mark.parametrize(
    "name", ["DistanceMapCrossEntropyLoss", "BoundaryLoss", "RegionWiseLoss", "BoundaryAwareLoss"]
)
def test_spacing_has_a_number_for_each_axis(name: str) -> None:
    loss = getattr(metriseg, name)(spacing=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="spacing must have a number for each of the 2"):
        loss(random_logits(4), random_labels(4))


# ---------------------------------------------------------------------- distance-map CE


def test_reversed_distances_by_hand() -> None:
    """Regions of 3 and 2 pixels in a line: d = 3 2 1 | 1 2, so D - d = 0 1 2 | 1 0."""
    masks = one_hot(torch.tensor([[0, 0, 0, 1, 1]]), 2) > 0
    raw = F.reversed_distance_map(masks, normalize=False).sum(1)
    assert raw.tolist() == [[0.0, 1.0, 2.0, 1.0, 0.0]]
    normalized = F.reversed_distance_map(masks).sum(1)
    assert normalized.tolist() == [[0.0, 0.5, 1.0, 1.0, 0.0]]
    # pixels of size 2: d = 6 4 2 | 2 4, and the smallest is 2
    assert F.reversed_distance_map(masks, (2.0,)).sum(1).tolist() == [[0.0, 0.5, 1.0, 1.0, 0.0]]


def test_a_region_of_one_pixel_s_depth_has_the_full_penalty() -> None:
    """D = 1: the quotient would be 0 / 0."""
    masks = one_hot(torch.tensor([[0, 1, 0, 1]]), 2) > 0
    assert F.reversed_distance_map(masks).sum(1).tolist() == [[1.0, 1.0, 1.0, 1.0]]


def test_without_a_boundary_it_is_cross_entropy() -> None:
    logits, target = random_logits(4), torch.full((2, 5, 4), 2)
    for map in ("normalized", "raw"):
        torch.testing.assert_close(
            metriseg.DistanceMapCrossEntropyLoss(map=map)(logits, target),
            metriseg.CrossEntropyLoss()(logits, target),
        )


def test_one_channel_is_two_classes() -> None:
    """Logit x alone, or 0 and x: the same question, regions and so penalties."""
    logits, target = random_logits(1), random_labels(2)
    both = torch.cat([torch.zeros_like(logits), logits], 1)
    torch.testing.assert_close(
        metriseg.DistanceMapCrossEntropyLoss(activation="sigmoid")(logits, target),
        metriseg.DistanceMapCrossEntropyLoss()(both, target),
    )


# ---------------------------------------------------------------------- boundary, region-wise


def test_a_lone_channel_is_foreground() -> None:
    """The default leaves the background out; a single channel isn't background.

    The foreground's probability is all that counts, as one channel or as the second of two.
    """
    logits, target = random_logits(1), random_labels(2)
    both = torch.cat([torch.zeros_like(logits), logits], 1)
    alone = metriseg.BoundaryLoss(activation="sigmoid")(logits, target)
    torch.testing.assert_close(alone, metriseg.BoundaryLoss()(both, target))
    for arguments in ({"include_background": True}, {"class_weight": [1.0]}):
        loss = metriseg.BoundaryLoss(activation="sigmoid", **arguments)
        torch.testing.assert_close(loss(logits, target), alone)
    twice = metriseg.BoundaryLoss(activation="sigmoid", class_weight=[2.0])
    torch.testing.assert_close(twice(logits, target), 2 * alone)
    with pytest.raises(ValueError, match="include_background=False leaves nothing"):
        metriseg.RegionWiseLoss(activation="sigmoid", include_background=False)(logits, target)


def test_the_truth_is_the_best_prediction() -> None:
    """phi is at most 0 inside and above 0 outside: no probabilities cost less than the truth."""
    target = random_labels(3)
    loss = metriseg.BoundaryLoss(activation="identity")
    best = loss(one_hot(target, 3), target)
    assert best <= 0
    for seed in range(20):
        assert loss(random_logits(3, seed=seed).softmax(1), target) > best


def test_an_absent_or_whole_class_has_no_boundary() -> None:
    """All pixels of class 1 of 3: three zero maps, and the boundary loss has nothing to say."""
    logits, target = random_logits(3).requires_grad_(), torch.ones(2, 5, 4, dtype=torch.int64)
    value = metriseg.BoundaryLoss()(logits, target)
    value.backward()
    assert value == 0
    assert not logits.grad.any()


def test_rebalancing() -> None:
    """The region term from 1 down to 0.1 and the boundary term from 0.01 up to 0.91 in 90 epochs.

    Epoch 30: weights 0.7 and 0.31.
    """
    logits, target = random_logits(4), random_labels(4)
    terms = [metriseg.DiceLoss(), metriseg.BoundaryLoss()]
    region, boundary = (term(logits, target) for term in terms)
    loss = metriseg.CompoundLoss(
        terms,
        weights=[
            {"schedule": "linear", "start": 1.0, "end": 0.1, "steps": 90},
            {"schedule": "linear", "start": 0.01, "end": 0.91, "steps": 90},
        ],
    )
    for epoch, (a, b) in {
        0: (1.0, 0.01),
        30: (0.7, 0.31),
        90: (0.1, 0.91),
        200: (0.1, 0.91),
    }.items():
        loss.step = epoch
        torch.testing.assert_close(loss(logits, target), a * region + b * boundary)


def test_region_wise_with_signed_distances_is_the_boundary_loss() -> None:
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    torch.testing.assert_close(
        metriseg.RegionWiseLoss(map="boundary", ignore_index=IGNORE)(logits, target),
        metriseg.BoundaryLoss(include_background=True, ignore_index=IGNORE)(logits, target),
    )


def test_region_wise_range() -> None:
    """Between -1/C and 1/C: all pixels beside a boundary and right, all pixels wrong."""
    target = torch.tensor([[0, 1, 2, 3] * 5])
    loss = metriseg.RegionWiseLoss(activation="identity")
    assert loss(one_hot(target, 4), target).item() == pytest.approx(-1 / 4)
    assert loss(one_hot((target + 1) % 4, 4), target).item() == pytest.approx(1 / 4)


def test_rectified_map_of_whole_and_absent_classes() -> None:
    """No boundary: 0 within the class that is everywhere; 1 everywhere for the one that isn't."""
    masks = one_hot(torch.ones(1, 3, 3, dtype=torch.int64), 2) > 0
    whole = F.rectified_region_map(masks)
    assert (whole[:, 0] == 1).all()
    assert (whole[:, 1] == 0).all()


# ---------------------------------------------------------------------- difference over union


def test_alpha_of_a_square_and_a_cube() -> None:
    """A square of side a has 4 a - 4 pixels on its boundary, a cube a^3 - (a - 2)^3."""
    for side in (3, 10):
        masks = square(20, side).unsqueeze(1) > 0
        assert F.boundary_share(masks, None, torch.float64).item() == (4 * side - 4) / side**2
    cube = torch.zeros(1, 1, 12, 12, 12, dtype=torch.bool)
    cube[..., 1:11, 1:11, 1:11] = True
    assert F.boundary_share(cube, None, torch.float64).item() == (1000 - 512) / 1000


def test_the_border_of_the_image_is_boundary() -> None:
    """A mask of 4 x 4 pixels that is the whole image: 12 of 16, as anywhere else."""
    assert F.boundary_share(torch.ones(1, 1, 4, 4) > 0, None, torch.float64).item() == 12 / 16


def test_an_ignored_neighbour_makes_no_boundary() -> None:
    """0 1 1 1 ? 1 1 1 0: what stands at ? isn't known; of the six pixels two have a 0 beside."""
    masks = torch.tensor([[[0, 1, 1, 1, 1, 1, 1, 1, 0]]]) > 0
    weight = torch.ones(1, 9)
    weight[0, 4] = 0
    assert F.boundary_share(masks, weight, torch.float32).item() == pytest.approx(2 / 6)


def test_alpha_is_clamped() -> None:
    """A square of side 60: 1 - 2 * 236 / 3600 = 0.869, above 0.8; of side 3: below 0."""
    for side, alpha in ((60, 0.8), (10, 1 - 2 * 36 / 100), (3, 0.0)):
        target = square(70, side)
        logits = torch.randn(1, 2, 70, 70, generator=torch.Generator().manual_seed(side)).double()
        loss = metriseg.BoundaryDoULoss(include_background=False)
        fixed = metriseg.BoundaryDoULoss(alpha=alpha, include_background=False)
        torch.testing.assert_close(loss(logits, target), fixed(logits, target))


def test_every_image_has_its_own_alpha() -> None:
    """A large and a small object in one batch: the mean of what each costs alone."""
    target = torch.cat([square(40, 30), square(40, 4)])
    logits = torch.randn(2, 2, 40, 40, generator=torch.Generator().manual_seed(0)).double()
    loss = metriseg.BoundaryDoULoss()
    alone = torch.stack([loss(logits[n : n + 1], target[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(loss(logits, target), alone.mean())


def test_alpha_zero_is_the_jaccard_loss_of_squares() -> None:
    """(Z + Y - 2 I) / (Z + Y - I) = 1 - I / (Z + Y - I): power Jaccard of power 2."""
    logits, target = random_logits(4), random_labels(4)
    torch.testing.assert_close(
        metriseg.BoundaryDoULoss(alpha=0.0, smooth=0.0, classes="all")(logits, target),
        metriseg.PowerJaccardLoss(power=2.0, smooth=0.0, per_image=True)(logits, target),
    )


def test_difference_over_union_of_the_truth() -> None:
    """Z = Y = I = S: smooth / (S (1 - alpha) + smooth) for each class, here S = 100 and 300."""
    target = square(20, 10)
    loss = metriseg.BoundaryDoULoss(alpha=0.5, smooth=1.0, activation="identity")
    expected = (1 / (100 * 0.5 + 1) + 1 / (300 * 0.5 + 1)) / 2
    assert loss(one_hot(target, 2), target).item() == pytest.approx(expected)
    exact = metriseg.BoundaryDoULoss(smooth=0.0, activation="identity")
    assert exact(one_hot(target, 2), target) == 0


def test_absent_classes_are_left_out() -> None:
    """An absent class has 1 whatever is predicted: a constant that "all" takes into the mean."""
    logits, target = random_logits(4).requires_grad_(), random_labels(3)
    table = metriseg.BoundaryDoULoss(classes="all", reduction="none")(logits, target)
    assert torch.equal(table[:, 3], torch.ones(2, dtype=torch.float64))
    present = metriseg.BoundaryDoULoss()(logits, target)
    torch.testing.assert_close(present, table[:, :3].mean())
    (slope,) = torch.autograd.grad(table[:, 3].sum(), logits)
    torch.testing.assert_close(slope, torch.zeros_like(slope))


def test_a_compound_shares_its_statistics() -> None:
    logits, target = random_logits(4), random_labels(4, ignore=0.2)
    terms = [
        metriseg.DiceLoss(ignore_index=IGNORE),
        metriseg.BoundaryDoULoss(ignore_index=IGNORE),
        metriseg.ActiveContourLoss(ignore_index=IGNORE),
    ]
    compound = metriseg.CompoundLoss(terms)
    assert compound.moments == {1.0, 2.0}
    torch.testing.assert_close(
        compound(logits, target), torch.stack([term(logits, target) for term in terms]).sum()
    )


# ---------------------------------------------------------------------- boundary-aware


def bins_of(target: torch.Tensor, count: int, **arguments: Any) -> torch.Tensor:
    """Certain and right logits (N, count, *S) for the objects of a target."""
    return (one_hot(F.truncated_distance_map(target, count, **arguments), count) * 2 - 1) * 60


def test_bins_by_hand() -> None:
    """Distances of 1, sqrt 2, 2 … round up; K - 1 holds all that is farther; background is 0."""
    target = square(9, 5)
    found = F.truncated_distance_map(target, 3)[0, 2:7, 3:8]
    expected = torch.full((5, 5), 2)
    expected[0], expected[-1], expected[:, 0], expected[:, -1] = 1, 1, 1, 1
    assert torch.equal(found, expected)
    assert F.truncated_distance_map(target, 9)[0, 4, 5] == 3
    assert not F.truncated_distance_map(target, 9)[target == 0].any()
    # in the inner corner of an L the nearest background is diagonal: sqrt 2, so 2
    corner = torch.ones(1, 3, 3, dtype=torch.int64)
    corner[0, 0, 0] = 0
    assert F.truncated_distance_map(corner, 9)[0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_distances_that_are_whole_but_for_rounding() -> None:
    """Ten pixels of size 0.1 are a distance of 1, whatever single precision makes of it."""
    target = torch.tensor([[0] + [1] * 30])
    found = F.truncated_distance_map(target, 9, (0.1,))[0]
    assert found.tolist() == [0] + [1] * 10 + [2] * 10 + [3] * 10


def test_perfect_bins_cost_nothing() -> None:
    target = random_labels(3, ignore=0.2)
    valid = target != IGNORE
    logits = bins_of(torch.where(valid, target, 0), 5, valid=valid)
    loss = metriseg.BoundaryAwareLoss(ignore_index=IGNORE)
    assert loss(logits, target).item() == pytest.approx(0, abs=1e-12)


def test_the_loss_falls_toward_the_bins_of_the_truth() -> None:
    target, start = random_labels(2), random_logits(5)
    truth = bins_of(target, 5)
    loss = metriseg.BoundaryAwareLoss()
    values = [loss(torch.lerp(start, truth, a), target).item() for a in (0.0, 0.25, 0.5, 1.0)]
    assert values == sorted(values, reverse=True)


def test_instances_end_at_each_other() -> None:
    """Two touching objects of one label: given as instances, each ends where the other begins."""
    target = torch.tensor([[0, 1, 1, 1, 1, 1, 1, 0]])
    instances = torch.tensor([[0, 5, 5, 5, 900, 900, 900, 0]])
    logits = bins_of(instances, 5)
    loss = metriseg.BoundaryAwareLoss()
    given = {"instances": instances}
    assert loss(logits, target, maps=given).item() == pytest.approx(0, abs=1e-12)
    assert loss(logits, target) > 1
    with pytest.raises(ValueError, match=r"maps\['instances'\] must hold integers"):
        loss(logits, target, maps={"instances": instances.double()})


def test_an_object_without_an_end_is_farthest_from_it() -> None:
    """Nothing but the object (in a crop of a mask head, say): min(infinity, K - 1)."""
    assert (F.truncated_distance_map(torch.full((1, 4, 4), 3), 5) == 4).all()


def test_ignored_pixels_do_not_end_an_object() -> None:
    """0 1 1 ? 1 1 0 and 0 1 1 ? ?: distances go on behind what isn't known."""
    target = torch.tensor([[0, 1, 1, 9, 1, 1, 0], [0, 1, 1, 1, 1, 9, 9]])
    valid = target != 9
    found = F.truncated_distance_map(target, 9, valid=valid)
    assert found.tolist() == [[0, 1, 2, 0, 2, 1, 0], [0, 1, 2, 3, 4, 0, 0]]


@pytest.mark.parametrize("spacing", [None, (0.7,), (2.0,)])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_decoding_gives_the_objects_back(
    dimensions: int, spacing: tuple[float, ...] | None
) -> None:
    """The disk around a pixel in bin k reaches k - 1 < distance: never out of the object."""
    steps = None if spacing is None else spacing * dimensions
    for seed in range(5):
        target = (random_labels(4, dimensions, seed=seed) > 0).long()
        bins = bins_of(target, 5, spacing=steps)
        assert torch.equal(F.decode_truncated_distance(bins, steps), target > 0)


def test_decoding_covers_what_was_missed() -> None:
    """Of a square of 7, only the centre (distance 4) is found: its disk of radius 3 remains."""
    target = square(12, 7)
    bins = F.truncated_distance_map(target, 6)
    missed = torch.where(bins == 4, bins, 0)
    found = F.decode_truncated_distance(one_hot(missed, 6))
    # the pixels (x, y) with x^2 + y^2 <= 9
    assert found.sum() == 29
    assert (found <= (target > 0)).all()


def test_decoding_nothing_and_everything() -> None:
    for bin in (0, 4):
        bins = one_hot(torch.full((1, 4, 4), bin), 5)
        assert bool(F.decode_truncated_distance(bins).all()) == (bin > 0)
        assert bool(F.decode_truncated_distance(bins).any()) == (bin > 0)


def test_fewer_than_two_bins() -> None:
    with pytest.raises(ValueError, match="bins must be 2 or more, got 1"):
        F.truncated_distance_map(square(5, 2), 1)


# ---------------------------------------------------------------------- active contour


def test_length_of_a_straight_edge() -> None:
    """A half plane in an image of 6 x 8: one step a row, so 6 (and sqrt eps elsewhere)."""
    p = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    p[..., 3:] = 1
    assert F.contour_length(p, 1e-16).sum().item() == pytest.approx(6, abs=1e-6)
    # in 3-D a plane of 6 x 5 pixels
    p = p.unsqueeze(3).expand(-1, -1, -1, 5, -1)
    assert F.contour_length(p, 1e-16).sum().item() == pytest.approx(30, abs=1e-5)


def test_length_beside_ignored_pixels() -> None:
    """0 1 ? 0 1: the steps to and from ? are unknown; one step remains on each side."""
    p = torch.tensor([[[0.0, 1.0, 7.0, 0.0, 1.0]]]).double()
    valid = torch.tensor([[True, True, False, True, True]])
    length = F.contour_length(p, 1e-16, valid=valid)
    torch.testing.assert_close(
        length[0, 0], torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0]).double(), atol=1e-7, rtol=0
    )


def test_perfect_prediction_costs_its_contour() -> None:
    """4 sides of 5 pixels; two meet in a corner pixel, where sqrt 2 stands for 2 (eps left out).

    Forward differences: outside above and left of the square, inside below and right of it; only
    its last pixel has a step along both axes.
    """
    target = square(10, 5)
    loss = metriseg.ActiveContourLoss(eps=1e-16, activation="identity")
    value = loss(one_hot(target, 2), target)
    assert value.item() == pytest.approx((18 + math.sqrt(2)) / 100, abs=1e-6)


def test_regions_are_the_authors_squares() -> None:
    """p (t - 1)^2 and (1 - p) t^2 of hard labels, which the mean intensities 1 and 0 give."""
    p, target = random_logits(1).sigmoid(), random_labels(1)
    t = target.unsqueeze(1).double()
    authors = 0.3 * p * (t - 1) ** 2 + (1 - p) * t**2
    torch.testing.assert_close(F.false_mass(p, t, 0.3), authors)


def test_a_flat_prediction_has_a_finite_gradient() -> None:
    """The square root has slope 1 / sqrt(eps) at most, times a difference of 0."""
    logits = torch.zeros(1, 3, 6, 6, requires_grad=True)
    target = torch.zeros(1, 6, 6, dtype=torch.int64)
    metriseg.ActiveContourLoss(region_weight=0.0)(logits, target).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


# ---------------------------------------------------------------------- maps


def test_maps_are_made_of_distances() -> None:
    """The maps are those of the distance transform, class by class."""
    labels = random_labels(3)
    masks = one_hot(labels, 3) > 0
    d = distance_transform(masks)
    deepest = d.amax((2, 3), keepdim=True)
    torch.testing.assert_close(F.rectified_region_map(masks), torch.where(masks, -d / deepest, 1.0))
    torch.testing.assert_close(
        F.reversed_distance_map(masks, normalize=False), torch.where(masks, deepest - d, 0.0)
    )


def test_a_pixel_of_no_known_object_neither_belongs_to_one_nor_ends_it() -> None:
    """A negative number in the map of instances is a pixel of weight 0."""
    torch.manual_seed(0)
    logits, target = torch.randn(1, 4, 6, 6), torch.ones(1, 6, 6, dtype=torch.int64)
    names = torch.ones(1, 6, 6, dtype=torch.int64)
    names[:, :3] = 2
    unknown = torch.zeros(1, 6, 6, dtype=torch.bool)
    unknown[:, 2:4, :3] = True
    loss = metriseg.BoundaryAwareLoss()
    value = loss(logits, target, maps={"instances": torch.where(unknown, -1, names)})
    expected = loss(logits, target, weight=(~unknown).float(), maps={"instances": names})
    assert value.item() == pytest.approx(expected.item())
    assert value.item() != pytest.approx(loss(logits, target, maps={"instances": names}).item())
