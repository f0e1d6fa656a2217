"""What the value and the gradient of a loss keep when its input is changed.

Each relation takes a loss of the catalogue and a source of chance, draws a case and asserts.
``tests/core/test_metamorphic.py`` tries a few cases of each, ``make fuzz`` thousands. The reasons
why a relation says nothing about some losses stand in tables here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor

from metriseg.batch import Batch
from metriseg.catalogue import Entry
from metriseg.losses import DiceLoss, RegionLoss
from metriseg.statistics import RegionStatistics, region_statistics
from reference.batches import IGNORE
from reference.cases import Case, NotApplicableError, Wanted, chance, draw, taken

Relation = Callable[[Entry, Random], None]

#: What class 0 means to a loss in which classes aren't alike.
FIRST_CLASS_IS_SPECIAL = {
    "BoundaryAwareLoss": "its channels are bins of distances, its target's label 0 is background",
}
#: Arguments without which class 0 is special, and the form without them has no such symmetry.
ALL_CLASSES_ALIKE: dict[str, dict[str, Any]] = {
    # the agreement of the label `background` earns nothing
    "GeneralizedWassersteinDiceLoss": {"weighting": "GDL", "background": 0},
    # alpha weighs the foreground, 1 - alpha class 0
    "FocalLoss": {"alpha": None},
    "PolyFocalLoss": {"alpha": None},
    "DiceFocalLoss": {"alpha": None},
    "GeneralizedDiceFocalLoss": {"alpha": None},
    # delta weighs the foreground, 1 - delta class 0; the asymmetric form fades class 0 alone
    "UnifiedFocalLoss": {"form": "symmetric", "delta": 0.5},
}
NOT_TRANSPOSED = {
    "ActiveBoundaryLoss": "among equal directions the first of down, up, left, right is taken",
    "InverseFormLoss": "its network was trained, and has no symmetry",
    "SkeletonRecallLoss": "thinning takes pixels from one side before the other",
    "ConnectedComponentLoss": "among objects as near that of the first pixel is taken",
}
NOT_FLIPPED = NOT_TRANSPOSED | {
    "ActiveContourLoss": "the slopes along two axes meet under a root, each to the next pixel",
}
#: Arguments without which a mirror changes something.
FLIPPED_ARGUMENTS: dict[str, dict[str, Any]] = {
    # the blocks of average pooling begin at the first pixel
    "RegionMutualInformationLoss": {"downsample": None},
}
#: Of the nearest among equals one is taken: the value is symmetric, the gradient then isn't.
GRADIENT_CHOOSES = {
    "PartitionLoss": "a pixel would join the nearest component of a class, one of those as near",
}
NO_EXTRA_AXIS = {
    "HausdorffErosionLoss": "beyond the image is no error: two more neighbours erode a flat volume",
    "HausdorffConvolutionLoss": "balls reach beyond the image, where all is background",
    "CenterlineBoundaryDiceLoss": "how thickness weighs depends on the number of axes",
    "SkeletonRecallLoss": "images and volumes are thinned in two ways",
    "NeighborAwareCalibrationLoss": "windows reach beyond the image, where no class is",
}
#: Arguments without which a flat volume has another shape.
EXTRA_AXIS_ARGUMENTS: dict[str, dict[str, Any]] = {
    # beyond the image is outside: every pixel of a flat volume is boundary
    "BoundaryDoULoss": {"alpha": 0.4},
    # it holds no window of two pixels, and no block
    "RegionMutualInformationLoss": {"radius": 1, "downsample": None},
}
NOT_SEPARATE = {
    "MimeLoss": "it is the sum over classes",
    "NegativeMimeLoss": "it is the sum over classes, and asks for three",
    "TopKLoss": "pixels are ranked by what all their questions cost",
    "GeneralizedDiceLoss": "it is a ratio of sums over classes",
    "PenaltyGeneralizedDiceLoss": "it is a function of a ratio of sums over classes",
    "GeneralizedDiceFocalLoss": "its Dice part is a ratio of sums over classes",
    "LogHausdorffDistanceTransformLoss": "it is the logarithm of the mean over all classes",
    "RobustTLoss": "one distribution holds the residuals of all classes",
    "BoundaryAwareLoss": "its channels are bins of one distance",
    "InverseFormLoss": "an edge is the largest step of any channel",
    "TripletLoss": "it compares embeddings, of all channels",
    "BoundaryTripletLoss": "it compares embeddings, of all channels",
    "CenterLoss": "it compares embeddings, of all channels",
    "PartitionLoss": "the segments are made of all channels",
    "BlobLoss": "a class without objects leaves the mean over classes",
}
NOT_SUMMED = {
    "LogHausdorffDistanceTransformLoss": "the logarithm is taken of what is reduced",
}
NOT_SCALED = {
    "TopKLoss": "it keeps a whole number of pixels, rounded down",
    "RobustTLoss": "weights are how often a residual counts, a value is of the order of their sum",
    "RegionMutualInformationLoss": "covariances are unnormalised: epsilon is in their unit",
}
#: What makes a formula a ratio of sums, the same at any unit of weight.
SCALED_ARGUMENTS: dict[str, dict[str, Any]] = {
    # the other form divides by a volume plus one
    "GeneralizedWassersteinDiceLoss": {"weighting": "default"},
    # the loss within smooths its ratio
    "BlobLoss": {"loss": DiceLoss(smooth=0.0)},
    "ConnectedComponentLoss": {"loss": DiceLoss(smooth=0.0)},
    # what a bin must hold is in pixels
    "AverageCalibrationLoss": {"least_mass": 0.0},
}
#: Where single precision ends: a value that counts pixels on one side of a threshold.
ROUNDED_CHOICES = {
    "AverageCalibrationLoss": "which bin holds a probability may change with the last digit",
    "ActiveBoundaryLoss": "which pixels exceed the threshold may change with the last digit",
    "CenterlineBoundaryDiceLoss": "which pixels are of a mask or skeleton may change with it, too",
    **dict.fromkeys(
        ("CenterlineDiceLoss", "DiceCenterlineDiceLoss"),
        "of a nearly constant image the skeleton is what the last digits leave",
    ),
}
#: The loss's own scale, where it isn't the value at a prediction that knows nothing.
SCALES = {
    # the distance from the identity map, of what a network sees: numbers of the size of 1
    "InverseFormLoss": 1.0,
    # sums of both signs, of distances in pixels or of shares of the largest
    "BoundaryLoss": 1.0,
    "RegionWiseLoss": 1.0,
    # what two shares of all pairs of pixels differ by, each at most 1
    "PartitionLoss": 1.0,
}


def assert_same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], case: Case) -> None:
    """Value and gradient are equal, to what float64 loses in other orders of summation.

    Losses that take powers below 1, or roots, of differences lose some digits more than the 1e-16
    of a number, so 1e-7 of it is asked for, and of gradients 1e-7 of the largest. Distances are
    measured in single precision: 1e-7 of them, and of their differences and powers 1e-5.
    """
    rtol = 1e-5 if taken(case.entry, spacing=None) else 1e-7
    for name, ours, theirs in zip(("value", "gradient"), found, expected, strict=True):
        largest = theirs.abs().max().item() if theirs.numel() else 0.0
        torch.testing.assert_close(
            ours,
            theirs,
            rtol=rtol,
            atol=max(1e-10, rtol * largest),
            msg=lambda text, name=name: f"{name} of {case}: {text}",
        )


def assert_same_place(
    found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], case: Case
) -> None:
    """As :func:`assert_same`, of an image whose pixels now have another order."""
    if case.entry.name in GRADIENT_CHOOSES:
        found, expected = (found[0], found[0]), (expected[0], expected[0])
    assert_same(found, expected, case)


def excluded(entry: Entry, table: dict[str, str]) -> None:
    if entry.name in table:
        raise NotApplicableError(table[entry.name])


# ---------------------------------------------------------------------- a measure of pixels


def a_pixel_twice_is_weight_two(entry: Entry, rng: Random) -> None:
    """A loss blind to places is a function of the measure of pixels: k equal ones weigh k."""
    if entry.spatial:
        raise NotApplicableError("where a pixel stands matters")
    case = draw(entry, rng, Wanted(dimensions=(1,)))
    pixels = case.logits.shape[2]
    times = torch.tensor([rng.choice([0, 1, 1, 2, 3]) for _ in range(pixels)])
    times[rng.randrange(pixels)] = rng.randint(1, 3)
    weight = torch.ones_like(case.logits[:, 0]) if case.weight is None else case.weight
    repeated = case.changed(
        target=case.target.repeat_interleave(times, -1),
        weight=None if case.weight is None else case.weight.repeat_interleave(times, -1),
    )
    assert_same(
        case.changed(weight=weight * times).run(),
        repeated.run(lambda z: z.repeat_interleave(times, 2)),
        case,
    )


def an_ignored_pixel_is_none(entry: Entry, rng: Random) -> None:
    """Ignored, or of weight 0, or not there at all: the same value, the same gradient elsewhere."""
    if entry.spatial:
        raise NotApplicableError("where a pixel stands matters")
    case = draw(entry, rng, Wanted(dimensions=(1,), ignored=False))
    keep = torch.tensor([rng.random() < 0.6 for _ in range(case.logits.shape[2])])
    keep[rng.randrange(len(keep))] = True
    weight = torch.ones_like(case.logits[:, 0]) if case.weight is None else case.weight
    hidden = case.changed(weight=torch.where(keep, weight, 0.0))
    if not case.target.is_floating_point() and rng.random() < 0.5:
        hidden = case.changed(target=torch.where(keep, case.target, IGNORE))
        hidden = hidden.with_arguments(ignore_index=IGNORE)
    removed = case.changed(
        target=case.target[..., keep], weight=None if case.weight is None else weight[..., keep]
    )
    assert_same(hidden.run(), removed.run(lambda z: z[..., keep]), case)


def weights_have_no_unit(entry: Entry, rng: Random) -> None:
    """A weighted mean divides by the sum of the weights, so their unit cancels."""
    excluded(entry, NOT_SCALED)
    fixed = {"smooth": 0.0, "reduction": "mean"} | SCALED_ARGUMENTS.get(entry.name, {})
    case = draw(entry, rng, Wanted(weighted=True, arguments=fixed))
    factor = 2.0 ** rng.choice([-6, -2, 3, 7])
    assert case.weight is not None
    assert_same(case.changed(weight=case.weight * factor).run(), case.run(), case)


def what_lies_under_ignored_pixels(entry: Entry, rng: Random) -> None:
    """NaN and infinities where nothing counts change nothing, and have a gradient of 0."""
    weighted = rng.random() < 0.5
    case = draw(
        entry,
        rng,
        Wanted(weighted=weighted, ignored=not weighted, soft=None if weighted else False),
    )
    ignored = case.ignored.unsqueeze(1)
    bad = rng.choice([math.nan, math.inf, -math.inf])
    spoilt = case.changed(logits=torch.where(ignored, bad, case.logits))
    found, expected = spoilt.run(), case.run()
    assert_same(found, expected, case)
    assert bool((found[1][ignored.expand_as(found[1])] == 0).all()), f"gradient at ignored: {case}"


# ---------------------------------------------------------------------- symmetries


def images_have_no_order(entry: Entry, rng: Random) -> None:
    """A loss is a mean over images, or of sums over the batch."""
    case = draw(entry, rng, Wanted(images=rng.randint(2, 3)))
    order = torch.tensor(rng.sample(range(len(case.logits)), len(case.logits)))
    other = case.changed(
        target=case.target[order], weight=None if case.weight is None else case.weight[order]
    )
    assert_same(other.run(lambda z: z[order]), case.run(), case)


def classes_have_no_order(entry: Entry, rng: Random) -> None:
    """Channels, labels and class weights renamed together."""
    excluded(entry, FIRST_CLASS_IS_SPECIAL)
    fixed = {"include_background": True} | ALL_CLASSES_ALIKE.get(entry.name, {})
    case = draw(entry, rng, Wanted(least_classes=2, arguments=fixed))
    classes = case.logits.shape[1]
    order = torch.tensor(rng.sample(range(classes), classes))
    if case.target.is_floating_point():
        target = case.target[:, order]
    else:
        new_name = torch.arange(IGNORE + 1)
        new_name[order] = torch.arange(classes)
        target = new_name[case.target]
    other = case.changed(target=target)
    if "class_weight" in case.arguments:
        other = other.with_arguments(
            class_weight=[case.arguments["class_weight"][c] for c in order.tolist()]
        )
    assert_same(other.run(lambda z: z[:, order]), case.run(), case)


def _moved(case: Case, view: Callable[[Tensor], Tensor]) -> Case:
    """The case with target and weight seen another way; ``view`` is told by the last axes."""
    return case.changed(
        target=view(case.target), weight=None if case.weight is None else view(case.weight)
    )


def axes_have_no_order(entry: Entry, rng: Random) -> None:
    """Rows and columns exchanged (with the sizes of a pixel along them)."""
    excluded(entry, NOT_TRANSPOSED)
    case = draw(entry, rng, Wanted(dimensions=(2, 3)))
    dimensions = case.logits.ndim - 2
    order = rng.sample(range(dimensions), dimensions)

    def view(x: Tensor) -> Tensor:
        first = x.ndim - dimensions
        return x.permute(*range(first), *(first + axis for axis in order))

    other = _moved(case, view)
    if case.arguments.get("spacing"):
        other = other.with_arguments(spacing=[case.arguments["spacing"][axis] for axis in order])
    assert_same_place(other.run(view), case.run(), case)


def axes_have_no_direction(entry: Entry, rng: Random) -> None:
    """The image seen in a mirror."""
    excluded(entry, NOT_FLIPPED)
    case = draw(entry, rng, Wanted(arguments=FLIPPED_ARGUMENTS.get(entry.name, {})))
    dimensions = case.logits.ndim - 2
    axes = [-1 - axis for axis in range(dimensions) if rng.random() < 0.6] or [-1]

    def view(x: Tensor) -> Tensor:
        return x.flip(axes)

    assert_same_place(_moved(case, view).run(view), case.run(), case)


def a_flat_volume_is_an_image(entry: Entry, rng: Random) -> None:
    """An axis of one pixel holds no neighbour, so it adds nothing."""
    excluded(entry, NO_EXTRA_AXIS)
    lower = tuple(d for d in entry.spatial_dimensions if d + 1 in entry.spatial_dimensions)
    fixed = EXTRA_AXIS_ARGUMENTS.get(entry.name, {})
    case = draw(entry, rng, Wanted(dimensions=lower, arguments=fixed))
    dimensions = case.logits.ndim - 2
    place = rng.randint(0, dimensions)

    def view(x: Tensor) -> Tensor:
        return x.unsqueeze(x.ndim - dimensions + place)

    other = _moved(case, view)
    if case.arguments.get("spacing"):
        sizes = list(case.arguments["spacing"])
        # a size between the others: the smallest is a unit of some losses
        other = other.with_arguments(spacing=[*sizes[:place], max(sizes), *sizes[place:]])
    assert_same(other.run(view), case.run(), case)


def channels_are_questions(entry: Entry, rng: Random) -> None:
    """With sigmoid probabilities, the mean over the channels of what each costs by itself."""
    excluded(entry, NOT_SEPARATE)
    fixed = {
        "include_background": True,
        "class_weight": None,
        "classes": "all",
        "reduction": "mean",
        "ignore_index": None,
    }
    wanted = Wanted(activations=("sigmoid",), least_classes=2, ignored=False, arguments=fixed)
    case = draw(entry, rng, wanted)
    target = torch.rand(case.logits.shape, generator=chance(rng), dtype=torch.float64)
    case = case.changed(target=target if entry.soft_targets else target.round())
    channels = range(case.logits.shape[1])
    singles = [case.changed(target=case.target[:, c : c + 1]) for c in channels]
    found = [
        one.run(lambda z, c=c: z[:, c : c + 1]) for c, one in zip(channels, singles, strict=True)
    ]
    values, slopes = zip(*found, strict=True)
    expected = torch.stack(values).mean(), torch.stack(slopes).mean(0)
    assert_same(case.run(), expected, case)


# ---------------------------------------------------------------------- sums


def statistics_add(entry: Entry, rng: Random) -> None:
    """The sums of two parts, of the images or of every image's pixels, are those of the whole."""
    if not issubclass(entry.loss, RegionLoss):
        raise NotApplicableError("it isn't made of region statistics")
    by_images = rng.random() < 0.5
    fixed = {"per_image": False} if by_images else {}
    case = draw(entry, rng, Wanted(images=rng.randint(2, 3), least_side=2, arguments=fixed))
    axis, size = (0, len(case.logits)) if by_images else (-1, case.logits.shape[-1])
    cut = rng.randint(1, size - 1)
    loss = case.loss()

    def batch(part: slice | None) -> Batch:
        given = (case.logits, case.target, case.weight)
        if part is not None:
            given = tuple(x if x is None else _slice(x, axis, part) for x in given)
        logits, target, weight = given
        return Batch.from_tensors(
            logits,
            target,
            weight=weight,
            activation=loss.activation,
            ignore_index=loss.ignore_index,
        )

    parts = [
        region_statistics(batch(part), loss.moments, per_image=not by_images, overlap=loss.overlap)
        for part in (slice(0, cut), slice(cut, None))
    ]
    added = parts[0] + parts[1]
    whole = region_statistics(
        batch(None), loss.moments, per_image=not by_images, overlap=loss.overlap
    )
    for ours, theirs in zip(_entries(added), _entries(whole), strict=True):
        torch.testing.assert_close(ours, theirs, msg=lambda text: f"sums of {case}: {text}")
    value = loss.value(batch(None), statistics=added)
    torch.testing.assert_close(value, case.run()[0], msg=lambda text: f"value of {case}: {text}")


def _slice(x: Tensor, axis: int, part: slice) -> Tensor:
    return x[part] if axis == 0 else x[..., part]


def _entries(s: RegionStatistics) -> list[Tensor]:
    return [*s.overlap.values(), *s.predicted.values(), *s.target.values(), s.count]


def unreduced_values_add(entry: Entry, rng: Random) -> None:
    """``reduction="sum"`` is the sum of what ``"none"`` gives."""
    if entry.level == "compound":
        raise NotApplicableError("its terms have different shapes")
    excluded(entry, NOT_SUMMED)
    case = draw(entry, rng)
    summed = case.with_arguments(reduction="sum").run()
    assert_same(case.with_arguments(reduction="none").run(), summed, case)


# ---------------------------------------------------------------------- precision and edges


def _certain(case: Case, rng: Random) -> Case:
    """Logits that are right by a margin of 5 to 40, here and there by less."""
    classes = case.logits.shape[1]
    margin = rng.uniform(5.0, 40.0)
    if case.target.is_floating_point():
        own = case.target > 0.5
    else:
        labels = torch.where(case.target == IGNORE, 0, case.target).unsqueeze(1)
        own = labels == (
            torch.arange(classes).view(-1, *(1,) * (case.logits.ndim - 2)) + (classes == 1)
        )
    # exclusive classes are as certain as the difference of two logits, a question as one logit
    against = 0.0 if case.arguments["activation"] == "softmax" else -margin
    return case.changed(logits=torch.where(own, margin, against) + case.logits * 0.1)


def _nearly_empty(case: Case, rng: Random) -> Case:
    """One class everywhere in truth and prediction but for one pixel."""
    classes = case.logits.shape[1]
    common, rare = (0, 1) if classes == 1 else rng.sample(range(classes), 2)
    target = torch.full(case.logits[:, 0].shape, common)
    target.view(-1)[rng.randrange(target.numel())] = rare
    logits = case.logits * 0.1 - rng.uniform(2.0, 20.0)
    if classes > 1:
        logits[:, common] = -logits[:, common]
    return case.changed(logits=logits, target=target)


def _one_pixel(case: Case, rng: Random) -> Case:
    first = (..., *(slice(0, 1),) * (case.logits.ndim - 2))
    return case.changed(
        logits=case.logits[first],
        target=case.target[first],
        weight=None if case.weight is None else case.weight[first],
    )


REGIMES: tuple[Callable[[Case, Random], Case], ...] = (
    lambda case, rng: case,
    _certain,
    _nearly_empty,
    _one_pixel,
)


def single_precision_suffices(entry: Entry, rng: Random) -> None:
    """Float32 gives the float64 value of the same numbers, random, near perfect or near empty.

    Sums of some 100 terms in [0, 1] are exact to about 1e-6 of the loss's own scale, which is its
    value at a prediction that knows nothing (logits of 0) or at this one, whichever is larger; ten
    times that is allowed. Value and gradient are finite, the gradient 0 where a pixel is ignored.
    """
    case = draw(entry, rng)
    for regime in REGIMES:
        _assert_single_precision_suffices(regime(case, rng))


def _assert_single_precision_suffices(case: Case) -> None:
    single = case.changed(
        logits=case.logits.float(), weight=None if case.weight is None else case.weight.float()
    )
    exact = single.changed(
        logits=single.logits.double(),
        weight=None if single.weight is None else single.weight.double(),
    )
    if case.target.is_floating_point():
        single = single.changed(target=single.target.float())
        exact = exact.changed(target=single.target.double())
    value, slope = single.run()
    expected, expected_slope = exact.run()
    assert value.dtype == torch.float32
    assert bool(torch.isfinite(value)), f"value {value.item()} of {case}"
    assert bool(torch.isfinite(slope).all()), f"gradient of {case}"
    hidden = single.ignored.unsqueeze(1).expand_as(slope)
    assert bool((slope[hidden] == 0).all()), f"gradient at ignored pixels of {case}"
    assert bool(torch.isfinite(expected_slope).all()), f"gradient in float64 of {case}"
    if case.entry.name in ROUNDED_CHOICES:
        return
    ignorant = exact.changed(logits=torch.zeros_like(exact.logits)).run()[0]
    scale = max(abs(expected.item()), abs(ignorant.item()), SCALES.get(case.entry.name, 0.0))
    off = abs(value.item() - expected.item())
    assert off <= 1e-5 * scale + 1e-9, (
        f"{value.item()!r} in float32, {expected.item()!r} in float64, scale {scale:g}: {case}"
    )


def nothing_costs_nothing(entry: Entry, rng: Random) -> None:
    """Without a pixel that counts: exactly 0, with a gradient of exactly 0."""
    case = draw(entry, rng)
    labels = torch.full(case.logits[:, 0].shape, IGNORE)
    empty = {
        "weights of 0": case.changed(weight=torch.zeros_like(case.logits[:, 0])),
        "all ignored": case.changed(target=labels).with_arguments(ignore_index=IGNORE),
        "no image": _narrowed(case, 0),
    }
    for axis in range(1, case.logits.ndim - 1):
        empty[f"no pixel along axis -{axis}"] = _narrowed(case, -axis)
    for kind, one in empty.items():
        value, slope = one.run()
        assert value.item() == 0.0, f"{kind}: {value.item()} for {one}"
        assert bool((slope == 0).all()), f"{kind}: gradient of {one}"


def _narrowed(case: Case, axis: int) -> Case:
    return case.changed(
        logits=case.logits.narrow(axis, 0, 0),
        target=case.target.narrow(axis, 0, 0),
        weight=None if case.weight is None else case.weight.narrow(axis, 0, 0),
    )


RELATIONS: tuple[Relation, ...] = (
    a_pixel_twice_is_weight_two,
    an_ignored_pixel_is_none,
    weights_have_no_unit,
    what_lies_under_ignored_pixels,
    images_have_no_order,
    classes_have_no_order,
    axes_have_no_order,
    axes_have_no_direction,
    a_flat_volume_is_an_image,
    channels_are_questions,
    statistics_add,
    unreduced_values_add,
    single_precision_suffices,
    nothing_costs_nothing,
)
