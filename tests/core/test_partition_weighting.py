"""The weighted partition metric as a loss, and embeddings that start at a pixel's place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import one_hot

from metriseg.batch import Batch
from metriseg.components import connected_components
from metriseg.extraction import KernelSegments, landing_points
from metriseg.functional import (
    SparseAssignment,
    gaussian_frequencies,
    pairwise_kernel_partition_distance,
    weighted_kernel_partition_distance,
    weighted_soft_partition_distance,
)
from metriseg.functional.partition import blocks, pairs, weighted
from metriseg.losses import PartitionLoss
from metriseg.partitions import (
    DiceWeight,
    UnionWeight,
    contingency_table,
    partition_distance,
    weighted_partition_distance,
)
from reference import partition_loss as reference

WEIGHTINGS = ("union", "sum")
METRIC = {"union": UnionWeight(), "sum": DiceWeight()}
SPACES = {2: (5, 6), 3: (3, 4, 3)}
#: Ways whose value at hard segments is exact, each of a prediction with that many channels.
SURE: dict[str, Any] = {
    "classes": "ClassSegments",
    "slots": "SlotSegments",
    "knn": {"type": "KNNSegments", "k": 3},
    "pairs": {"type": "KernelSegments", "samples": 1000},
}
WAYS: dict[str, Any] = {**SURE, "features": {"type": "KernelSegments", "seed": 0}}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def names(high: int, *shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(high, shape, generator=rng(seed))


def metric(weighting: str, x: Any, y: Any, mass: Any) -> float:
    table = contingency_table(np.asarray(x), np.asarray(y), weight=np.asarray(mass))
    return weighted_partition_distance(table, METRIC[weighting], normalized=True)


def hard(way: str, labels: torch.Tensor) -> tuple[torch.Tensor, list[Any]]:
    """A prediction that says so without doubt, and the segments that it means."""
    logits = 200.0 * one_hot(labels, 3).movedim(-1, 1).double()
    if way in ("classes", "knn"):
        return logits, [connected_components(one.numpy()) for one in labels]
    return logits, [one.numpy() for one in labels]


@pytest.mark.parametrize("dimensions", SPACES)
@pytest.mark.parametrize("density", ["pixel", "segment", "root"])
@pytest.mark.parametrize("way", SURE)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_hard_predictions_have_the_metric(
    weighting: str, way: str, density: str, dimensions: int
) -> None:
    """weighted_partition_distance / N, with ignored pixels, weights, and densities as measure."""
    space = SPACES[dimensions]
    labels = names(3, 3, *space)
    truth = names(4, 3, *space, seed=2)
    weight = torch.rand(3, *space, generator=rng(3), dtype=torch.float64) * 3
    weight[torch.rand(3, *space, generator=rng(4)) < 0.2] = 0
    logits, meant = hard(way, labels)
    loss = PartitionLoss(SURE[way], weighting=weighting, density=density, reduction="none")
    value = loss(logits, torch.zeros_like(labels), weight=weight, maps={"instances": truth})
    for image in range(3):
        mass, here = weight[image].numpy(), truth[image].numpy()
        if way in ("classes", "knn"):
            # pixels that don't count part segments
            meant[image] = connected_components(labels[image].numpy(), valid=mass > 0)
        sizes = np.array([((here == t) & (mass > 0)).sum() for t in here.flat]).reshape(space)
        power = {"pixel": 0.0, "segment": 1.0, "root": 0.5}[density]
        counts = mass / np.maximum(sizes, 1) ** power
        kept = counts > 0
        expected = metric(weighting, meant[image][kept], here[kept], counts[kept])
        assert value[image].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_by_hand(weighting: str) -> None:
    """Prediction aab|b, truth aa|bb of a b c d as 111|2 and 11|22.

    Jaccard distances 1/3, 1/3, 1 - 1/4, 1/2: 23/48 on average. Dice's 1/5, 1/5, 3/5, 1/3: 1/3.
    """
    p = one_hot(torch.tensor([[0, 0, 0, 1]])).double()
    labels = torch.tensor([[0, 0, 1, 1]])
    expected = {"union": 23 / 48, "sum": 1 / 3}[weighting]
    for form in ("frobenius", "paper"):
        found = weighted_soft_partition_distance(p, labels, weighting=weighting, form=form)
        assert found.item() == pytest.approx(expected)


# ---------------------------------------------------------------------- slopes


@pytest.mark.parametrize(
    ("way", "form"),
    [("slots", "frobenius"), ("slots", "paper"), ("pairs", None), ("features", None)],
)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_gradcheck(weighting: str, way: str, form: Any) -> None:
    logits = noise(2, 3, 3, 4).requires_grad_()
    weight = torch.rand(2, 3, 4, generator=rng(3), dtype=torch.float64)
    weight[:, 0, :2] = 0
    loss = PartitionLoss(
        WAYS[way], form=form, weighting=weighting, density="root", reduction="none"
    )
    truth = {"instances": names(3, 2, 3, 4)}
    target = torch.zeros(2, 3, 4, dtype=torch.int64)
    assert gradcheck(lambda z: loss(z, target, weight=weight, maps=truth), logits)


def test_gradcheck_of_all_pairs_without_weighting() -> None:
    f, y = noise(2, 7, 3).requires_grad_(), names(3, 2, 7)
    w = torch.rand(2, 7, generator=rng(), dtype=torch.float64)
    assert gradcheck(lambda v: pairwise_kernel_partition_distance(v, y, density=w), f)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_straight_through_slopes_are_those_of_hard_shares(weighting: str) -> None:
    """At the candidates, the slope of the paper's form at a one-hot P."""
    own, labels = names(4, 2, 9), names(3, 2, 9, seed=5)
    w = torch.rand(2, 9, generator=rng(), dtype=torch.float64)
    dense = one_hot(own, 4).double().requires_grad_()
    expected = weighted_soft_partition_distance(
        dense, labels, weighting=weighting, density=w, form="paper"
    )
    expected.sum().backward()
    mixed = noise(2, 9, 4, seed=7).scatter(2, own.unsqueeze(2), -9.0)
    candidates = torch.argsort(mixed, -1)[..., :3]
    value = torch.rand(2, 9, 3, generator=rng(), dtype=torch.float64).requires_grad_()
    sparse = SparseAssignment(candidates, value, 4, own)
    found = weighted_soft_partition_distance(
        sparse, labels, weighting=weighting, density=w, form="paper"
    )
    found.sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(value.grad, dense.grad.gather(2, candidates))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_slope_is_what_moving_a_pixel_costs(weighting: str) -> None:
    """A pixel of measure 1e-6 that moves: the metric's change over the measure, up to O(1e-6)."""
    own, labels = names(3, 1, 12), names(3, 1, 12, seed=5)
    w = torch.ones(1, 12, dtype=torch.float64)
    w[0, 4] = 1e-6
    p = one_hot(own, 3).double().requires_grad_()
    value = weighted_soft_partition_distance(
        p, labels, weighting=weighting, density=w, form="paper"
    )
    value.sum().backward()
    for other in range(3):
        moved = own.clone()
        moved[0, 4] = other
        change = metric(weighting, moved[0], labels[0], w[0]) - metric(
            weighting, own[0], labels[0], w[0]
        )
        slope = p.grad[0, 4, other] - p.grad[0, 4, own[0, 4]]
        assert slope.item() == pytest.approx(change, abs=1e-10)


def test_class_gradient_fills_a_hole() -> None:
    """A pixel of class 0 within an object of class 1: the slope raises class 1 there."""
    target = torch.ones(1, 5, 5, dtype=torch.int64)
    target[0, :, 0] = 0
    predicted = target.clone()
    predicted[0, 2, 2] = 0
    logits = (4.0 * one_hot(predicted, 2).movedim(-1, 1)).requires_grad_()
    for weighting in WEIGHTINGS:
        loss = PartitionLoss("ClassSegments", weighting=weighting)(logits, target)
        (slope,) = torch.autograd.grad(loss, logits)
        assert slope[0, 1, 2, 2] < 0 < slope[0, 0, 2, 2]


@pytest.mark.parametrize("way", ["classes", "slots"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_perfect_prediction_is_at_rest(weighting: str, way: str) -> None:
    target = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, 1]]])
    logits = (60.0 * one_hot(target, 3).movedim(-1, 1)).requires_grad_()
    value = PartitionLoss(WAYS[way], weighting=weighting)(logits, target)
    (slope,) = torch.autograd.grad(value, logits)
    assert value.abs() < 1e-7
    assert slope.abs().max() < 1e-7


# ---------------------------------------------------------------------- edges


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("density", ["pixel", "segment"])
@pytest.mark.parametrize("weighting", [None, *WEIGHTINGS])
def test_extremes(weighting: Any, density: str, way: str) -> None:
    """One segment, every pixel its own, ignored, weights of 1e30 and 1e-30: finite slopes."""
    loss = PartitionLoss(WAYS[way], weighting=weighting, density=density, ignore_index=9)
    apart = torch.arange(30).view(1, 5, 6)
    weights = [None, torch.full((1, 5, 6), 1e30), torch.full((1, 5, 6), 1e-30)]
    mixed = torch.ones(1, 5, 6)
    mixed[0, 0], mixed[0, 1], mixed[0, 2] = 1e30, 1e-30, 0
    faint = torch.ones(1, 5, 6)
    faint[0, 3] = 1e-39
    for truth in (torch.zeros_like(apart), apart, apart % 3):
        for weight in (*weights, mixed, faint, torch.zeros(1, 5, 6)):
            for fill in (torch.zeros(1, 3, 5, 6), 1e4 * noise(1, 3, 5, 6).float()):
                logits = fill.clone().requires_grad_()
                target = torch.zeros_like(truth)
                value = loss(logits, target, weight=weight, maps={"instances": truth})
                (slope,) = torch.autograd.grad(value, logits)
                assert value.isfinite()
                assert slope.isfinite().all()
    logits = noise(1, 3, 5, 6).requires_grad_()
    value = loss(logits, torch.full((1, 5, 6), 9))
    (slope,) = torch.autograd.grad(value, logits)
    assert value == 0
    assert not slope.any()
    nothing = torch.zeros(0, 3, 5, 6, requires_grad=True)
    loss(nothing, torch.zeros(0, 5, 6, dtype=torch.int64)).backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("way", SURE)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_precisions(weighting: str, way: str, dtype: torch.dtype) -> None:
    """What the rounded numbers give in double precision."""
    logits = noise(2, 3, 20, 25).to(dtype)
    truth = names(5, 2, 20, 25)
    loss = PartitionLoss({**_type(WAYS[way]), **_seeded(way)}, weighting=weighting)
    found = []
    for given in (logits, logits.double()):
        given = given.clone().requires_grad_()
        value = loss(given, torch.zeros_like(truth), maps={"instances": truth})
        (slope,) = torch.autograd.grad(1000 * value, given)
        assert slope.dtype == given.dtype
        found.append((value.double(), slope.double()))
    assert found[0][0].item() == pytest.approx(found[1][0].item(), abs=1e-6)
    rough = torch.finfo(dtype).eps if dtype != torch.float32 else 1e-4
    assert (found[0][1] - found[1][1]).abs().max() <= 4 * rough * found[1][1].abs().max() + 1e-5


def _type(way: Any) -> dict[str, Any]:
    return {"type": way} if isinstance(way, str) else way


def _seeded(way: str) -> dict[str, Any]:
    return {"samples": 5000} if way == "pairs" else {}


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_random_features_in_single_precision(weighting: str) -> None:
    f, y, w = blobs()
    waves = gaussian_frequencies(2, 32, generator=rng(), like=f)
    found = []
    for dtype in (torch.float32, torch.float64):
        given = f.to(dtype).requires_grad_()
        value = weighted_kernel_partition_distance(
            given, y, waves.to(dtype), weighting=weighting, density=w
        )
        value.sum().backward()
        assert value.dtype == given.grad.dtype == dtype
        found.append((value.detach().double(), given.grad.double()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- windows


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_windows_are_partitions_of_their_own(weighting: str) -> None:
    """Segments cut by windows: the mean over pixels, each in its window."""
    logits, truth = noise(1, 3, 5, 6), names(3, 1, 5, 6)
    weight = torch.rand(1, 5, 6, generator=rng(3), dtype=torch.float64) + 0.1
    loss = PartitionLoss("SlotSegments", window=3, weighting=weighting)
    torch.manual_seed(5)
    target, maps = torch.zeros_like(truth), {"instances": truth}
    value = loss(logits, target, weight=weight, maps=maps)
    torch.manual_seed(5)
    shifts = [int(torch.randint(3, ())) for _ in range(2)]
    shares = logits[0].softmax(0)
    total = 0.0
    windows: dict[Any, list[Any]] = {}
    for u in np.ndindex(5, 6):
        window = tuple((x + shift) // 3 for x, shift in zip(u, shifts, strict=True))
        windows.setdefault(window, []).append(u)
    for places in windows.values():
        mass = [float(weight[0][u]) for u in places]
        total += sum(mass) * reference.weighted_by_pixels(
            weighting,
            places,
            [m / sum(mass) for m in mass],
            {u: int(truth[0][u]) for u in places},
            lambda u, v: float(shares[(slice(None), *u)] @ shares[(slice(None), *v)]),
        )
    assert value.item() == pytest.approx(total / float(weight.sum()), abs=1e-12)


# ---------------------------------------------------------------------- samples


def blobs(pixels: int = 400, objects: int = 6) -> tuple[torch.Tensor, ...]:
    """An embedding whose objects overlap, their numbers, and a density that differs."""
    y = names(objects, 1, pixels)
    f = 1.5 * noise(objects, 2, seed=8)[y] + 0.5 * noise(1, pixels, 2, seed=9)
    return f, y, torch.rand(1, pixels, generator=rng(3), dtype=torch.float64) + 0.05


def draws(count: int, samples: int, weighting: Any) -> torch.Tensor:
    f, y, w = blobs()
    many = (f.expand(count, -1, -1), y.expand(count, -1))
    return pairwise_kernel_partition_distance(
        *many,
        samples=samples,
        weighting=weighting,
        density=w.expand(count, -1),
        generator=rng(4),
    )


def test_sampled_measures_are_unbiased() -> None:
    """Given a drawn pixel, the estimate of a_u is right on average, within 4 standard errors."""
    f, _, w = blobs(pixels=12)
    share = w / w.sum()
    kernel = (torch.cdist(f, f).square() / -2).exp()[0]
    drawn = pairs._draw(share.expand(40000, -1), 5, rng())
    looked = kernel[drawn.place.unsqueeze(2), drawn.place.unsqueeze(1)]
    looked[:, range(5), range(5)] = 0
    size = (looked * drawn.mass.unsqueeze(1)).sum(2) + drawn.own
    assert torch.allclose(drawn.part.sum(1), torch.ones(40000, dtype=torch.float64))
    for u in range(12):
        often = drawn.part * ((drawn.place == u) & (drawn.part > 0))
        # a pixel that was drawn twice counts twice
        off = (often * (size - kernel[u] @ share[0])).sum(1)
        assert abs(off.mean()) < 4 * off.std() / 200
        assert abs(often.sum(1).mean() - share[0, u]) < 4 * often.sum(1).std() / 200


@pytest.mark.parametrize("weighting", [None, *WEIGHTINGS])
def test_samples_agree_with_all_pairs(weighting: Any) -> None:
    """Unbiased without weighting; with one the bias is below 1 / n; the deviation 1 / sqrt(n)."""
    f, y, w = blobs()
    exact = pairwise_kernel_partition_distance(f, y, weighting=weighting, density=w).item()
    for samples in (40, 160):
        found = draws(400, samples, weighting)
        error = found.std().item() / 400**0.5
        allowed = 4 * error + (0.0 if weighting is None else 1 / samples)
        assert abs(found.mean().item() - exact) < allowed
        assert found.std().item() < 1 / samples**0.5
        assert (found > 0).all()


@pytest.mark.parametrize("weighting", [None, *WEIGHTINGS])
def test_no_more_pixels_than_samples_are_all(weighting: Any) -> None:
    """Image by image: one has ten pixels of measure, the other all."""
    f, y, w = blobs(30)
    w = torch.cat([torch.where(torch.arange(30) % 3 == 0, w, 0.0), w])
    both = (f.expand(2, -1, -1), y.expand(2, -1))
    exact = pairwise_kernel_partition_distance(*both, weighting=weighting, density=w)
    found = pairwise_kernel_partition_distance(
        *both, samples=10, weighting=weighting, density=w, generator=rng()
    )
    torch.testing.assert_close(found[0], exact[0])
    assert (found[1] - exact[1]).abs() > 1e-6
    all_of_both = pairwise_kernel_partition_distance(
        *both, samples=30, weighting=weighting, density=w
    )
    torch.testing.assert_close(all_of_both, exact)


def test_all_pairs_are_the_unweighted_metric() -> None:
    y, x = names(4, 1, 30), names(3, 1, 30, seed=7)
    f = 50.0 * x.double().unsqueeze(-1)
    expected = partition_distance(contingency_table(x[0].numpy(), y[0].numpy()), normalized=True)
    assert pairwise_kernel_partition_distance(f, y).item() == pytest.approx(expected)


@pytest.mark.parametrize("weighting", [None, *WEIGHTINGS])
def test_blocks_of_pairs_give_the_whole(weighting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def both() -> tuple[torch.Tensor, torch.Tensor]:
        f, y, w = blobs(20)
        f = f.requires_grad_()
        value = pairwise_kernel_partition_distance(f, y, weighting=weighting, density=w)
        value.sum().backward()
        return value.detach(), f.grad

    whole = both()
    monkeypatch.setattr(blocks, "NEAR", 20 * 7)
    torch.testing.assert_close(both(), whole)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_blocks_of_rows_give_the_whole(weighting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waves = gaussian_frequencies(2, 5, generator=rng(), like=noise(1))

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        f, y, w = blobs(20)
        f = f.requires_grad_()
        value = weighted_kernel_partition_distance(f, y, waves, weighting=weighting, density=w)
        value.sum().backward()
        return value.detach(), f.grad

    whole = both()
    monkeypatch.setattr(blocks, "NEAR", 20 * 7)
    assert len(list(weighted._blocks(blobs(20)[0], torch.cat(list(waves), 1)))) == 3
    torch.testing.assert_close(both(), whole)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_random_features_agree_with_all_pairs(weighting: Any) -> None:
    """Of six segments 256 frequencies are within 0.02 on average, and sixteen times as many nearer.

    A single value deviates by less than 1 / sqrt(R).
    """
    f, y, w = blobs()
    exact = pairwise_kernel_partition_distance(f, y, weighting=weighting, density=w).item()
    biases = []
    for number in (16, 256):
        found = torch.stack(
            [
                weighted_kernel_partition_distance(
                    f,
                    y,
                    gaussian_frequencies(2, number, generator=rng(seed), like=f),
                    weighting=weighting,
                    density=w,
                )
                for seed in range(100)
            ]
        )
        assert found.std() < number**-0.5
        biases.append(abs(found.mean().item() - exact))
    assert biases[1] < 0.02
    assert biases[1] < biases[0]


# ---------------------------------------------------------------------- places


@pytest.mark.parametrize("space", [(9,), (7, 8), (4, 5, 6)])
def test_landing_points(space: tuple[int, ...]) -> None:
    """Offset + coordinate / unit along each axis; further channels as they are."""
    given = noise(2, 5, *space)
    units = [2.0, 4.0, 0.5][: len(space)]
    found = landing_points(given, units)
    for place in np.ndindex(space):
        for channel in range(5):
            here = (slice(None), channel, *place)
            start = place[channel] / units[channel] if channel < len(space) else 0.0
            assert torch.allclose(found[here], given[here] + start)
    torch.testing.assert_close(landing_points(given, [3.0]), landing_points(given, 3.0))


@pytest.mark.parametrize("dimensions", SPACES)
@pytest.mark.parametrize("weighting", [None, *WEIGHTINGS])
@pytest.mark.parametrize("segments", [{"samples": 1000}, {"frequencies": 8, "seed": 0}])
def test_a_crop_has_the_places_of_the_image(
    segments: dict[str, Any], weighting: Any, dimensions: int
) -> None:
    """The rest of the image without measure, or cut away: the same value and slope."""
    space = (6, 7, 5)[:dimensions]
    inside = tuple(slice(2, side - 1) for side in space)
    crop = (slice(None), slice(None), *inside)
    logits, truth = noise(1, 4, *space), names(3, 1, *space)
    weight = torch.zeros(1, *space)
    weight[(slice(None), *inside)] = 1
    loss = PartitionLoss(
        {"type": "KernelSegments", "pixels_per_unit": 2.0, **segments}, weighting=weighting
    )
    found = []
    for z, y, w in (
        (logits, truth, weight),
        (logits[crop], truth[crop[1:]], weight[crop[1:]]),
    ):
        z = z.clone().requires_grad_()
        value = loss(z, torch.zeros_like(y), weight=w, maps={"instances": y})
        (slope,) = torch.autograd.grad(value, z)
        found.append((value.detach(), slope[crop] if z.shape == logits.shape else slope))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("space", [(12, 30), (8, 10, 30)])
def test_places_are_grouped(space: tuple[int, ...]) -> None:
    """Offsets that lead to the middle of one's own box of ten: three boxes, in any crop."""
    middles = [(side - 1) / 2 for side in space[:-1]]
    grid = torch.meshgrid(*(torch.arange(side).double() for side in space), indexing="ij")
    box = (grid[-1] // 10).long()
    offsets = [middle - axis for middle, axis in zip(middles, grid, strict=False)]
    offsets.append(10 * box + 4.5 - grid[-1])
    logits = (torch.stack(offsets) / 4.0).unsqueeze(0)
    way = KernelSegments(pixels_per_unit=4.0)

    def found(z: torch.Tensor) -> torch.Tensor:
        return way.label_map(Batch.from_tensors(z, torch.zeros(1, *z.shape[2:]).long()))

    assert torch.equal(found(logits)[0], box)
    assert torch.equal(found(logits[..., 5:])[0], box[..., 5:])


def test_a_unit_is_so_many_pixels() -> None:
    """Offsets of zero: the kernel of two neighbours 3 pixels a unit apart, exp(-1 / 18)."""
    logits = torch.zeros(1, 1, 2, dtype=torch.float64)
    loss = PartitionLoss(
        {"type": "KernelSegments", "samples": 2, "pixels_per_unit": 3.0}, activation="sigmoid"
    )
    value = loss(logits, torch.tensor([[0, 1]]))
    assert value.item() == pytest.approx(2 / 4 * np.exp(-1 / 18) ** 2)


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PartitionLoss(weighting="jaccard"), "weighting must be one of None, 'union'"),
        (lambda: KernelSegments(samples=1), "samples must be a whole number >= 2, got 1"),
        (lambda: KernelSegments(pixels_per_unit=0), "pixels_per_unit must be a finite number"),
        (lambda: KernelSegments(pixels_per_unit=[]), "pixels_per_unit must hold a number"),
        (lambda: landing_points(torch.zeros(1, 2, 3), [1.0, 2.0]), "one for each of 1 axes"),
        (lambda: landing_points(torch.zeros(1, 1, 3, 4), 1.0), "at least 2 channels, the offsets"),
        (lambda: landing_points(torch.zeros(3), 1.0), "embedding must be a torch.Tensor of shape"),
        (
            lambda: pairwise_kernel_partition_distance(noise(1, 3, 2), names(2, 1, 4)),
            r"labels must be integers of shape \(B, N\) = \(1, 3\)",
        ),
        (
            lambda: pairwise_kernel_partition_distance(noise(3, 2), names(2, 1, 3)),
            r"embedding must have shape \(B, N, D\)",
        ),
        (
            lambda: weighted_soft_partition_distance(
                noise(1, 3, 2), names(2, 1, 3), weighting="size"
            ),
            "weighting must be one of 'union', 'sum', got 'size'",
        ),
        (
            lambda: weighted_soft_partition_distance(
                noise(1, 3, 2), names(2, 1, 3) - 1, weighting="sum"
            ),
            "labels must lie in 0",
        ),
        (
            lambda: weighted_kernel_partition_distance(
                noise(1, 3, 2), names(2, 1, 3), torch.zeros(2, 3, 4), weighting="sum"
            ),
            r"frequencies must have shape \(2, D, R\) with D = 2",
        ),
        (
            lambda: weighted_soft_partition_distance(
                SparseAssignment(names(2, 1, 3, 1), noise(1, 3, 1), 2),
                names(2, 1, 3),
                weighting="sum",
            ),
            "form must be 'paper' with a sparse assignment",
        ),
    ],
)
def test_bad_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("way", ["classes", "knn"])
def test_hard_segments_take_the_papers_form(way: str) -> None:
    loss = PartitionLoss(WAYS[way], weighting="union", form="frobenius")
    with pytest.raises(ValueError, match=r"form must be 'paper' with \w+ and a weighting"):
        loss(noise(1, 3, 4, 5), names(3, 1, 4, 5))
    with pytest.raises(ValueError, match="form must be 'frobenius' with KernelSegments"):
        PartitionLoss("KernelSegments", weighting="union", form="paper")(
            noise(1, 3, 4, 5), names(3, 1, 4, 5)
        )


# ---------------------------------------------------------------------- learning


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_offsets_learn_what_touches(weighting: str) -> None:
    """Nine squares of ten pixels without a gap: 60 steps of free offsets find all of them."""
    torch.manual_seed(0)
    line = torch.arange(30) // 10
    truth = (3 * line[:, None] + line)[None]
    offsets = torch.zeros(1, 2, 30, 30, requires_grad=True)
    way = KernelSegments(samples=300, pixels_per_unit=5.0, bandwidth=0.7)
    loss = PartitionLoss(way, weighting=weighting)
    optimizer = torch.optim.Adam([offsets], 0.1)
    maps = {"instances": truth}
    before = loss(offsets, torch.zeros_like(truth), maps=maps).item()
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(offsets, torch.zeros_like(truth), maps=maps)
        value.backward()
        optimizer.step()
    assert value.item() < before / 4
    found = way.label_map(Batch.from_tensors(offsets, torch.zeros_like(truth)))
    assert metric(weighting, found[0], truth[0], np.ones((30, 30))) < 0.05
