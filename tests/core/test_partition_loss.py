"""The partition metric as a loss: measures, true segments, windows, edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metriseg import CompoundLoss, CrossEntropyLoss
from metriseg.batch import Batch
from metriseg.extraction import SEGMENTS, KernelSegments, SlotSegments
from metriseg.extraction.truth import segment_sizes, true_segments
from metriseg.losses import PartitionLoss
from metriseg.partitions import contingency_table, partition_distance
from metriseg.windows import random_windows
from reference import partitions as reference


def flood(labels: np.ndarray) -> np.ndarray:
    """Components of a 2-D map by filling from every pixel, four neighbours."""
    found = np.full(labels.shape, -1)
    number = 0
    for start in np.ndindex(labels.shape):
        if found[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            y, x = waiting.pop()
            if found[y, x] >= 0:
                continue
            found[y, x] = number
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= place[0] < labels.shape[0] and 0 <= place[1] < labels.shape[1]
                if inside and labels[place] == labels[y, x]:
                    waiting.append(place)
        number += 1
    return found


def pairs(
    p: np.ndarray, truth: np.ndarray, measure: np.ndarray, window: np.ndarray | None = None
) -> float:
    """sum_uv w_u w_v (p_u.p_v - [t_u = t_v])^2 / sum_uv w_u w_v, over the pairs of a window."""
    above = below = 0.0
    for u in range(len(p)):
        for v in range(len(p)):
            if window is None or window[u] == window[v]:
                weight = measure[u] * measure[v]
                above += weight * (p[u] @ p[v] - (truth[u] == truth[v])) ** 2
                below += weight
    return above / below


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(2, 3, 5, 6, dtype=torch.float64), torch.randint(3, (2, 5, 6))


@pytest.mark.parametrize("density", ["pixel", "segment", "root"])
@pytest.mark.parametrize("instances", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_is_the_sum_over_pairs(
    case: tuple[torch.Tensor, torch.Tensor], density: str, instances: bool, background: bool
) -> None:
    """With weights, ignored pixels, class weights, and either kind of true segments."""
    logits, target = case
    target[0, :2, :3] = 255
    weight = torch.rand(2, 5, 6, dtype=torch.float64) + 0.5
    names = torch.randint(4, (2, 5, 6)) * 10
    loss = PartitionLoss(
        "SlotSegments",
        density=density,
        ignore_index=255,
        class_weight=[0.5, 1.0, 2.0],
        include_background=background,
        reduction="none",
    )
    maps = {"instances": names} if instances else None
    value = loss(logits, target, weight=weight, maps=maps)
    for image in range(2):
        labels = target[image].numpy()
        truth = names[image].numpy() if instances else flood(labels)
        measure = weight[image].numpy() * (labels != 255)
        measure = (
            measure * np.array([0.5 * background, 1.0, 2.0])[np.where(labels == 255, 0, labels)]
        )
        if density != "pixel":
            sizes = np.array([((truth == t) & (measure > 0)).sum() for t in truth.flat])
            measure = measure / np.maximum(sizes, 1).reshape(5, 6) ** (
                1 if density == "segment" else 0.5
            )
        shares = logits[image].softmax(0).flatten(1).T.numpy()
        expected = pairs(shares, truth.ravel(), measure.ravel())
        assert value[image].item() == pytest.approx(expected, abs=1e-12)


def test_hard_predictions_have_the_metric(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Classes as segments of a hard prediction: partition_distance / N^2 of its components."""
    logits, target = case
    value = PartitionLoss("ClassSegments", reduction="none")(50 * logits, target)
    for image in range(2):
        predicted, truth = flood(logits[image].argmax(0).numpy()), flood(target[image].numpy())
        expected = reference.partition_distance(truth.ravel().tolist(), predicted.ravel().tolist())
        assert value[image].item() == pytest.approx(expected / 30**2, abs=1e-12)
        table = contingency_table(truth, predicted)
        assert value[image].item() == pytest.approx(partition_distance(table, normalized=True))


def test_true_segments_are_components_or_instances() -> None:
    """1 1 0 1 has three components; instances 5 5 0 9 name three segments."""
    batch = Batch.from_tensors(torch.zeros(1, 2, 4), torch.tensor([[1, 1, 0, 1]]))
    assert true_segments(batch).tolist() == [[0, 0, 1, 2]]
    named = Batch.from_tensors(
        torch.zeros(1, 2, 4),
        torch.tensor([[1, 1, 0, 1]]),
        maps={"instances": torch.tensor([[5, 5, 0, 9]])},
    )
    assert true_segments(named).tolist() == [[1, 1, 0, 2]]


def test_ignored_pixels_part_true_segments() -> None:
    """The two ends of 1 x 1 touch only over an ignored pixel: two segments."""
    batch = Batch.from_tensors(torch.zeros(1, 2, 3), torch.tensor([[1, 255, 1]]), ignore_index=255)
    found = true_segments(batch)[0].tolist()
    assert len({found[0], found[1], found[2]}) == 3


def test_sizes_count_the_pixels_that_count() -> None:
    truth, measure = torch.tensor([[0, 0, 0, 1]]), torch.tensor([[1.0, 0.0, 2.0, 1.0]])
    assert segment_sizes(truth, measure, root=False).tolist() == [[2, 2, 2, 1]]
    assert segment_sizes(truth, measure, root=True)[0, 0].item() == pytest.approx(2**0.5)


@pytest.mark.parametrize("shape", [(7,), (5, 9), (3, 4, 5)])
def test_windows_cover_every_pixel_once(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    truth = torch.randint(3, (2, *shape))
    place = torch.arange(truth.numel(), dtype=torch.float64).view(2, 1, *shape)
    batch = Batch.from_tensors(place, torch.zeros_like(truth), activation="sigmoid")
    measure = torch.ones(truth.shape, dtype=torch.float64)
    windows, segments, measures = random_windows(batch, truth, measure, 3)
    assert windows.logits.shape[2:] == (3,) * len(shape)
    seen = windows.logits[:, 0][measures > 0].long()
    assert sorted(seen.tolist()) == list(range(truth.numel()))
    for one, of_window, counted in zip(windows.logits[:, 0], segments, measures, strict=True):
        inside = counted > 0
        names, numbers = truth.flatten()[one[inside].long()], of_window[inside]
        assert ((names[:, None] == names) == (numbers[:, None] == numbers)).all()
        coordinates = torch.stack(torch.unravel_index(one[inside].long(), (2, *shape)))
        assert (coordinates.amax(1) - coordinates.amin(1) < 3).all()


def test_windows_compare_pairs_within_them(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The sum over the pairs that lie in one window of the grid that was laid."""
    logits, target = case
    loss = PartitionLoss("SlotSegments", window=3, reduction="none")
    torch.manual_seed(5)
    value = loss(logits, target)
    torch.manual_seed(5)
    place = torch.arange(60.0, dtype=torch.float64).view(2, 1, 5, 6)
    batch = Batch.from_tensors(place, torch.zeros(2, 5, 6, dtype=torch.long), activation="sigmoid")
    windows, _, measures = random_windows(batch, target, torch.ones(2, 5, 6), 3)
    owner = np.zeros(60)
    for number, (one, counted) in enumerate(zip(windows.logits[:, 0], measures, strict=True)):
        owner[one[counted > 0].long()] = number
    for image in range(2):
        shares = logits[image].softmax(0).flatten(1).T.numpy()
        truth = flood(target[image].numpy()).ravel()
        expected = pairs(shares, truth, np.ones(30), owner.reshape(2, 30)[image])
        assert value[image].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("segments", [SlotSegments(), KernelSegments(16, seed=0)])
def test_a_window_beyond_the_image_is_none(
    case: tuple[torch.Tensor, torch.Tensor], segments: Any
) -> None:
    logits, target = case
    expected = PartitionLoss(segments)(logits, target)
    torch.testing.assert_close(PartitionLoss(segments, window=8)(logits, target), expected)


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("form", [None, "frobenius", "paper"])
def test_extremes(name: str, form: Any) -> None:
    """One segment, every pixel its own, all ignored, one pixel: finite, with finite slopes."""
    if name == "KernelSegments" and form == "paper":
        with pytest.raises(ValueError, match="form must be 'frobenius' with KernelSegments"):
            PartitionLoss(name, form=form)(torch.zeros(1, 2, 4), torch.zeros(1, 4).long())
        return
    loss = PartitionLoss(name, form=form, ignore_index=9)
    checkers = torch.arange(30).view(5, 6).sum(0) % 2 + torch.arange(5)[:, None] % 2
    targets = [torch.zeros(1, 5, 6), checkers[None] % 2, torch.full((1, 5, 6), 9)]
    for target in targets:
        for fill in (
            torch.zeros(1, 2, 5, 6),
            torch.randn(1, 2, 5, 6),
            1e4 * torch.randn(1, 2, 5, 6),
        ):
            logits = fill.clone().requires_grad_()
            value = loss(logits, target.long())
            (slope,) = torch.autograd.grad(value, logits)
            assert value.isfinite()
            assert slope.isfinite().all()
            if (target == 9).all():
                assert value == 0
                assert not slope.any()


def test_a_perfect_prediction_is_at_rest() -> None:
    """Components of the right classes: value and slope are 0."""
    target = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, 1]]])
    logits = (60.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1) - 30).requires_grad_()
    value = PartitionLoss("ClassSegments")(logits, target)
    (slope,) = torch.autograd.grad(value, logits)
    assert value == 0
    assert not slope.any()


def test_composes(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    """With a warm-up: nothing of it at first, half of it halfway."""
    logits, target = case
    classes, partition = CrossEntropyLoss(), PartitionLoss("SlotSegments")
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 10}
    both = CompoundLoss([classes, partition], weights=[1.0, ramp])
    torch.testing.assert_close(both(logits, target), classes(logits, target))
    both.step = 5
    expected = classes(logits, target) + 0.5 * partition(logits, target)
    torch.testing.assert_close(both(logits, target), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"segments": "Kernel"}, "segments must be one of .* did you mean"),
        ({"segments": 3}, "segments must be a Segments, its name, or a mapping"),
        ({"segments": {"frequencies": 3}}, "segments must be a Segments, its name, or a mapping"),
        ({"segments": {"type": "KernelSegments", "frequency": 3}}, "no argument 'frequency'"),
        ({"form": "euclid"}, "form must be one of"),
        ({"density": "area"}, "density must be one of"),
        ({"window": 1}, "window must be a whole number >= 2"),
        ({"connectivity": 0}, "connectivity must be a whole number >= 1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PartitionLoss(**arguments)


def test_instances_must_fit(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, target = case
    with pytest.raises(ValueError, match="must hold integers"):
        PartitionLoss()(logits, target, maps={"instances": target.double()})
    with pytest.raises(ValueError, match=r"must have shape \(N, \*S\)"):
        PartitionLoss()(logits, target, maps={"instances": target[:, :2]})
    with pytest.raises(ValueError, match="soft labels"):
        PartitionLoss()(logits, logits.softmax(1))


@pytest.mark.parametrize("segments", ["ClassSegments", "SlotSegments", "KernelSegments"])
def test_pixels_of_no_known_object_do_not_count(
    case: tuple[torch.Tensor, torch.Tensor], segments: str
) -> None:
    """A negative number, two crowds with one or with two, is a pixel of weight 0."""
    logits, target = case
    names = torch.randint(4, (2, 5, 6))
    unknown = torch.zeros(2, 5, 6, dtype=torch.bool)
    unknown[0, :2, :2] = unknown[0, 3:, 4:] = True
    loss = PartitionLoss({"type": segments, **({"seed": 0} if segments[0] == "K" else {})})
    expected = loss(logits, target, weight=(~unknown).double(), maps={"instances": names})
    merged = torch.where(unknown, -1, names)
    apart = merged.clone()
    apart[0, 3:, 4:] = -7
    for given in (merged, apart):
        value = loss(logits, target, maps={"instances": given})
        assert value.item() == pytest.approx(expected.item(), abs=1e-12)
    weight = torch.rand(2, 5, 6, dtype=torch.float64)
    value = loss(logits, target, weight=weight, maps={"instances": merged})
    expected = loss(logits, target, weight=weight * ~unknown, maps={"instances": names})
    assert value.item() == pytest.approx(expected.item(), abs=1e-12)
