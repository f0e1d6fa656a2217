"""From predictions to segments: values, gradients and what the edge cases give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from metriseg.batch import Batch
from metriseg.components import connected_components
from metriseg.extraction import (
    AssignedSegments,
    ClassSegments,
    KernelSegments,
    KNNSegments,
    Segments,
    SlotSegments,
    group_embedding,
    half_width,
)
from metriseg.extraction.persistence import hills
from metriseg.functional import SparseAssignment, soft_partition_distance
from reference import persistence as reference

FORMS = ("frobenius", "paper")
ESTIMATORS = ("soft", "gumbel", "conv1x1")
SPACES = {1: (19,), 2: (8, 9), 3: (4, 5, 3)}
EXTRACTORS: dict[str, Callable[[], Segments]] = {
    **{f"knn-{name}": lambda name=name: KNNSegments(estimator=name, seed=0) for name in ESTIMATORS},
    "classes": ClassSegments,
    "slots": SlotSegments,
    "kernel": lambda: KernelSegments(frequencies=16, seed=0),
}
STRAIGHT_THROUGH = [name for name in EXTRACTORS if name not in ("slots", "kernel")]


def batch_of(
    logits: torch.Tensor, activation: str | None = None, valid: torch.Tensor | None = None
) -> Batch:
    """A prediction; its target has no meaning here."""
    labels = torch.zeros(len(logits), *logits.shape[2:], dtype=torch.int64)
    kind = activation or ("sigmoid" if logits.shape[1] == 1 else "softmax")
    weight = None if valid is None else valid.to(logits.dtype)
    return Batch.from_tensors(logits, labels, activation=kind, weight=weight)


def noise(channels: int, dimensions: int = 2, images: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (images, channels, *SPACES[dimensions])
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def pieces(dimensions: int = 2, images: int = 2, seed: int = 1) -> torch.Tensor:
    """``(B, *S)``: a true partition of connected segments."""
    return torch.stack(
        [
            torch.from_numpy(connected_components(image.numpy()))
            for image in (noise(1, dimensions, images, seed)[:, 0] > 0.4).long()
        ]
    )


def same_partition(x: Any, y: Any) -> bool:
    """Equal up to the names of segments."""
    pairs = set(zip(np.ravel(x).tolist(), np.ravel(y).tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def assignment(extractor: AssignedSegments, logits: torch.Tensor, **arguments: Any) -> Any:
    return extractor.assign(batch_of(logits, **arguments))


# every way alike


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", EXTRACTORS)
def test_finite_values_and_gradients(name: str, dimensions: int, channels: int) -> None:
    extractor, truth = EXTRACTORS[name](), pieces(dimensions)
    logits = noise(channels, dimensions).requires_grad_()
    batch = batch_of(logits)
    found = extractor.distance(batch, truth, None)
    assert found.shape == (2,)
    assert found.isfinite().all()
    found.sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.any()
    labels = extractor.label_map(batch)
    assert labels.shape == truth.shape
    assert labels.dtype == torch.int64
    assert (labels.flatten(1).amin(1) == 0).all() or name == "slots"


def edge_cases() -> dict[str, torch.Tensor]:
    """Predictions (1, 1, 4, 5) without anything in them, with one segment, with twenty."""
    board = torch.tensor([[(i + j) % 2 for j in range(5)] for i in range(4)]).double()
    apart = torch.arange(20, dtype=torch.float64).view(4, 5) - 9.5
    return {
        "zeros": torch.zeros(4, 5).double(),
        "one segment": torch.full((4, 5), 3.0).double(),
        "checks": 8 * board - 4,
        "every pixel": 10 * apart,
        "tiny": 1e-30 * apart,
        "huge": 1e12 * apart,
    }


@pytest.mark.parametrize(
    ("name", "form"),
    [(name, form) for name in EXTRACTORS for form in FORMS if (name, form) != ("kernel", "paper")],
)
@pytest.mark.parametrize("case", edge_cases())
@pytest.mark.parametrize("ignored", ["none", "some", "all"])
def test_edge_cases(ignored: str, case: str, name: str, form: str) -> None:
    """Nothing found, one segment, every pixel its own, everything ignored: all finite."""
    logits = edge_cases()[case][None, None].clone()
    share = {"none": 1.1, "some": 0.6, "all": -1.0}[ignored]
    chosen = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(0)) < share
    if ignored != "none":
        logits = torch.where(chosen.unsqueeze(1), logits, torch.nan)
    logits.requires_grad_()
    valid = None if ignored == "none" else chosen
    batch = batch_of(logits, valid=valid)
    truth = torch.arange(4).view(1, 4, 1).expand(1, 4, 5)
    density = None if valid is None else valid.double()
    extractor = EXTRACTORS[name]()
    found = extractor.distance(batch, truth, density, form)
    found.sum().backward()
    assert found.isfinite().all()
    assert logits.grad.isfinite().all()
    assert extractor.label_map(batch).shape == (1, 4, 5)
    if ignored == "all":
        assert found == 0
        assert not logits.grad.any()
    if valid is not None:
        assert not logits.grad[~valid.unsqueeze(1)].any()


@pytest.mark.parametrize("name", EXTRACTORS)
def test_no_image(name: str) -> None:
    """As of a detector that proposes nothing."""
    logits, extractor = torch.zeros(0, 2, 4, 5, requires_grad=True), EXTRACTORS[name]()
    batch = batch_of(logits)
    found = extractor.distance(batch, torch.zeros(0, 4, 5).long(), None)
    found.sum().backward()
    assert found.shape == (0,)
    assert logits.grad.shape == logits.shape
    assert extractor.label_map(batch).shape == (0, 4, 5)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_images_are_their_own(name: str) -> None:
    """An image among others has the segments and the distance that it has alone."""
    logits, truth, extractor = noise(3), pieces(), EXTRACTORS[name]()
    if name == "knn-gumbel":
        extractor = KNNSegments(estimator="soft")
    batch = batch_of(logits)
    whole = extractor.distance(batch, truth, None), extractor.label_map(batch)
    for n in range(2):
        one = batch_of(logits[n : n + 1])
        torch.testing.assert_close(
            extractor.distance(one, truth[n : n + 1], None), whole[0][n : n + 1]
        )
        assert same_partition(extractor.label_map(one)[0], whole[1][n])


@pytest.mark.parametrize("name", EXTRACTORS)
def test_the_same_twice(name: str) -> None:
    found = []
    for _ in range(2):
        logits = noise(2).requires_grad_()
        value = EXTRACTORS[name]().distance(batch_of(logits), pieces(), None)
        value.sum().backward()
        found.append((value.detach(), logits.grad))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", EXTRACTORS)
def test_names_of_the_true_segments_are_nothing(name: str) -> None:
    truth = pieces()
    renamed = truth.max() - truth
    batch, extractor = batch_of(noise(2)), EXTRACTORS[name]()
    torch.testing.assert_close(
        extractor.distance(batch, renamed, None), extractor.distance(batch, truth, None)
    )


@pytest.mark.parametrize("name", STRAIGHT_THROUGH)
def test_the_value_is_that_of_the_label_map(name: str) -> None:
    """Straight-through: what counts forward are the hard segments."""
    batch, truth, extractor = batch_of(noise(2)), pieces(), EXTRACTORS[name]()
    hard = extractor.label_map(batch).flatten(1)
    for form in FORMS:
        expected = soft_partition_distance(
            torch.nn.functional.one_hot(hard).double(), truth.flatten(1), form=form
        )
        torch.testing.assert_close(extractor.distance(batch, truth, None, form), expected)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", STRAIGHT_THROUGH)
def test_candidates(name: str, dimensions: int) -> None:
    """Different ones a pixel, its own among them, as many as asked for, all within range."""
    p = EXTRACTORS[name]().assign(batch_of(noise(3, dimensions)))
    assert p.candidates.shape == p.value.shape
    assert p.candidates.shape[-1] <= 8
    ordered = p.candidates.sort(-1).values
    assert (ordered.diff(dim=-1) > 0).all()
    assert p.candidates.min() >= 0
    assert p.candidates.max() < p.segments
    assert (p.candidates == p.own.unsqueeze(-1)).any(-1).all()


@pytest.mark.parametrize("name", STRAIGHT_THROUGH)
def test_the_gradient_passes_by_the_value(name: str) -> None:
    """At the loss's slopes of the value: against central differences with frozen hard parts."""
    logits, truth = noise(2, images=1), pieces(images=1).flatten(1)
    extractor = EXTRACTORS[name]()
    p = assignment(extractor, logits)
    value = p.value.detach().clone().requires_grad_()
    soft_partition_distance(p._replace(value=value), truth, form="paper").sum().backward()
    moved = logits.clone().requires_grad_()
    extractor.distance(batch_of(moved), truth.view(1, 8, 9), None, "paper").sum().backward()
    frozen = surrogate(extractor, p, logits)
    places = [(0, c, i, j) for c in range(2) for i, j in ((0, 0), (3, 4), (7, 8), (2, 7))]
    for place in places:
        sides = []
        for step in (1e-6, -1e-6):
            near = logits.clone()
            near[place] += step
            sides.append((frozen(near) * value.grad).sum())
        expected = (sides[0] - sides[1]) / 2e-6
        assert moved.grad[place].item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-9)


def surrogate(
    extractor: AssignedSegments, p: SparseAssignment, logits: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The value as a function of the logits, with segments and centroids as they were."""
    if isinstance(extractor, ClassSegments):
        chosen = logits.softmax(1).flatten(2).topk(p.value.shape[-1], dim=1).indices
        return lambda near: near.softmax(1).flatten(2).gather(1, chosen).transpose(1, 2)
    assert isinstance(extractor, KNNSegments)
    means, places, where = naive_centroids(logits, p.own)
    c, y = (torch.from_numpy(part)[p.candidates[0]] for part in (means, places))
    x = torch.from_numpy(where)
    gumbel = extractor._noise(p.value)[0] if extractor.estimator == "gumbel" else 0.0

    def value(near: torch.Tensor) -> torch.Tensor:
        f = near.flatten(2)[0].T.unsqueeze(1)
        if extractor.estimator == "conv1x1":
            score = 2 * (f * c).sum(-1) - c.square().sum(-1)
            return score - score.mean(-1, keepdim=True)
        score = -(f - c).square().sum(-1) - (x.unsqueeze(1) - y).square().sum(-1)
        return (score / extractor.temperature + gumbel).softmax(-1)

    return value


def naive_centroids(
    logits: torch.Tensor, own: torch.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one image: mean value and place of each segment, and each pixel's place."""
    values = logits.flatten(2)[0].T.numpy()
    sides = logits.shape[2:]
    where = np.array(list(itertools.product(*(range(n) for n in sides)))) / max(sides)
    number = int(own.max()) + 1
    means = [values[own[0].numpy() == k].mean(0) for k in range(number)]
    places = [where[own[0].numpy() == k].mean(0) for k in range(number)]
    return np.array(means), np.array(places), where


def test_ignored_pixels_hold_nothing() -> None:
    """NaN where ignored changes nothing, nor does any other value."""
    valid = torch.ones(2, 8, 9, dtype=torch.bool)
    valid[:, 2:4] = False
    for name, make in EXTRACTORS.items():
        found = []
        for filler in (0.0, 5.0, torch.nan):
            logits = torch.where(valid.unsqueeze(1), noise(2), filler).requires_grad_()
            batch, extractor = batch_of(logits, valid=valid), make()
            value = extractor.distance(batch, pieces(), valid.double())
            value.sum().backward()
            found.append((value.detach(), logits.grad, extractor.label_map(batch)))
        for other in found[1:]:
            for one, two in zip(found[0], other, strict=True):
                assert torch.equal(one, two), name


def test_features_come_before_logits() -> None:
    logits, features = noise(2), noise(3, seed=9).float()
    labels = torch.zeros(2, 8, 9, dtype=torch.int64)
    batch = Batch.from_tensors(logits, labels, features=features)
    assert batch.embedding.dtype == torch.float64
    for make in (lambda: KNNSegments(), lambda: KernelSegments(seed=0)):
        found = make().distance(batch, pieces(), None)
        expected = make().distance(batch_of(features.double()), pieces(), None)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["knn-soft", "knn-conv1x1", "classes", "slots"])
def test_single_precision(name: str) -> None:
    """Those without random numbers, which differ by precision."""
    found = []
    for dtype in (torch.float32, torch.float64):
        logits = noise(2).float().to(dtype).requires_grad_()
        value = EXTRACTORS[name]().distance(batch_of(logits), pieces(), None)
        assert value.dtype == dtype
        value.sum().backward()
        found.append((value.detach().double(), logits.grad.double()))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


# KNNSegments


def test_few_values_are_found_exactly() -> None:
    """Up to k different values: the components of these, small ones beside a large background."""
    values = torch.zeros(1, 1, 20, 20)
    values[..., 3, 3], values[..., 9:11, 9:11], values[..., 15:, 15:] = 1.0, 2.0, -7.0
    values[..., 3, 10] = 1.0
    found = KNNSegments(k=4).label_map(batch_of(values))
    codes = (10 * values[0, 0]).long()
    assert np.array_equal(found[0], connected_components(codes))
    assert found.max() == 4


def test_embeddings_are_quantised_too() -> None:
    kinds = torch.randint(5, (1, 12, 13), generator=torch.Generator().manual_seed(3))
    codes = torch.randn(5, 4, generator=torch.Generator().manual_seed(4))
    found = KNNSegments(k=5).label_map(batch_of(codes[kinds].movedim(-1, 1)))
    assert np.array_equal(found[0], connected_components(kinds[0]))


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_quantisation_is_lloyds(offset: float) -> None:
    """After the last step every value has its nearest centroid, also far from 0."""
    values = noise(1, images=1).float() + offset
    labels = KNNSegments(k=3, iterations=50).label_map(batch_of(values))
    flat = values.flatten().numpy().astype(float)
    means = naive_lloyd(flat, 3)
    codes = np.abs(flat[:, None] - means).argmin(1).reshape(8, 9)
    assert same_partition(labels[0], connected_components(codes))


def naive_lloyd(values: np.ndarray, k: int) -> np.ndarray:
    """From the value nearest the mean, then ever the farthest; 50 steps."""
    means = [values[np.abs(values - values.mean()).argmin()]]
    while len(means) < k:
        distance = [min(abs(v - m) for m in means) for v in values]
        means.append(values[int(np.argmax(distance))])
    for _ in range(50):
        codes = np.array([int(np.argmin([abs(v - m) for m in means])) for v in values])
        means = [values[codes == j].mean() for j in range(k)]
    return np.array(means)


@pytest.mark.parametrize(("connectivity", "expected"), [(1, 4), (2, 2)])
def test_connectivity(connectivity: int, expected: int) -> None:
    """Two diagonals of a square: four pieces, or two."""
    values = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    found = KNNSegments(k=2, connectivity=connectivity).label_map(batch_of(values))
    assert found.max() + 1 == expected
    found = ClassSegments(connectivity=connectivity).label_map(batch_of(10 * values - 5))
    assert found.max() + 1 == expected


@pytest.mark.parametrize("place", [0.0, 1.0, 4.0])
def test_candidates_are_the_nearest(place: float) -> None:
    """In value and place, by all distances; the own one stands last where it isn't among them."""
    logits = noise(2, images=1)
    p = assignment(KNNSegments(k=4, candidates=3, place=place), logits)
    means, places, where = naive_centroids(logits, p.own)
    values = logits.flatten(2)[0].T.numpy()
    for u, (value, spot) in enumerate(zip(values, where, strict=True)):
        squares = ((value - means) ** 2).sum(1) + place**2 * ((spot - places) ** 2).sum(1)
        nearest = np.argsort(squares, kind="stable")[:3].tolist()
        own = int(p.own[0, u])
        expected = set(nearest) if own in nearest else {*nearest[:2], own}
        assert set(p.candidates[0, u].tolist()) == expected


def test_soft_shares_by_hand() -> None:
    """Values 0, 0, 2, 2 in a row without place: s = 0 and -4, so the shares are those of e^(4/tau).

    tau = 2: 1 / (1 + e^-2) of the own segment.
    """
    logits = torch.tensor([[[0.0, 0.0, 2.0, 2.0]]], dtype=torch.float64)
    p = assignment(KNNSegments(k=2, temperature=2.0, place=0.0), logits)
    own = (p.candidates == p.own.unsqueeze(-1)).double()
    expected = torch.full((1, 4), 1 / (1 + math.exp(-2)), dtype=torch.float64)
    torch.testing.assert_close((own * p.value).sum(-1), expected)
    torch.testing.assert_close(p.value.sum(-1), torch.ones(1, 4, dtype=torch.float64))
    linear = assignment(KNNSegments(k=2, estimator="conv1x1", place=0.0), logits)
    # 2 c f - c²: 0 and -4 at f = 0, 0 and 4 at f = 2; less the mean of both
    own = linear.candidates == linear.own.unsqueeze(-1)
    torch.testing.assert_close(linear.value, torch.where(own, 2.0, -2.0).double())


def test_gumbel_shares_are_those_of_the_noise() -> None:
    """The hardest share is as frequent as the soft share says (Gumbel-max), at temperature 1."""
    logits = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(2000).view(1, 1, -1)
    settings: dict[str, Any] = {"k": 2, "temperature": 1.0, "place": 0.0}
    soft = assignment(KNNSegments(**settings), logits)
    torch.manual_seed(0)
    extractor = KNNSegments(estimator="gumbel", **settings)
    drawn = assignment(extractor, logits)
    assert not torch.equal(drawn.value, assignment(extractor, logits).value)
    torch.testing.assert_close(drawn.value.sum(-1), torch.ones(1, 4000).double())
    assert torch.equal(drawn.candidates, soft.candidates)
    hardest = (drawn.value.argmax(-1) == 0).double().view(2, 2000).mean(1)
    np.testing.assert_allclose(hardest, soft.value[0, ::2000, 0], atol=0.04)


def test_a_seed_draws_the_same() -> None:
    fixed = KNNSegments(estimator="gumbel", seed=3)
    first, second = (assignment(fixed, noise(1)).value for _ in range(2))
    assert torch.equal(first, second)
    other = assignment(KNNSegments(estimator="gumbel", seed=4), noise(1)).value
    assert not torch.equal(first, other)


def test_the_search_is_bounded() -> None:
    """Every pixel its own segment: candidates are the own one and the largest ones searched."""
    values = torch.arange(40.0).view(1, 1, 40) * 3
    values[..., 30:] = 200.0
    p = assignment(KNNSegments(k=40, candidates=3, searched=3), values)
    assert p.segments == 31
    # the large one is number 30; the two others are the first of all that have one pixel
    for u in range(40):
        assert set(p.candidates[0, u].tolist()) - {int(p.own[0, u])} <= {0, 1, 30}
    assert p.value.shape == (1, 40, 3)


def test_fewer_segments_than_candidates() -> None:
    """Another image has more: what is missing are empty segments, of no share and no gradient."""
    values = torch.zeros(2, 1, 10, dtype=torch.float64)
    values[0, 0] = torch.arange(10.0)
    values.requires_grad_()
    for estimator in ESTIMATORS:
        p = assignment(KNNSegments(k=10, estimator=estimator), values)
        assert p.segments == 10
        assert p.candidates.shape == (2, 10, 8)
        assert (p.value[1, :, 1:] == 0).all()
        (slope,) = torch.autograd.grad(p.value.square().sum(), values)
        assert slope.isfinite().all()
        assert not slope[1].any()


def test_soft_gradient_joins_what_belongs_together() -> None:
    """A true segment split in two values: a step down moves its pixels towards each other."""
    values = torch.tensor([[[0.0, 0.0, 0.0, 1.0, 1.0, 5.0, 5.0]]], requires_grad=True)
    truth = torch.tensor([[0, 0, 0, 0, 0, 1, 1]])
    extractor = KNNSegments(k=3, temperature=1.0, place=0.0)
    extractor.distance(batch_of(values), truth, None, "paper").sum().backward()
    # the two pixels of the smaller part go to the larger
    assert (values.grad[0, 0, 3:5] > 0).all()


# ClassSegments


def test_class_candidates_are_the_nearest_components() -> None:
    """By all pairs of pixels: for each class that of its components nearest to the pixel."""
    logits = noise(3, images=1)
    p = assignment(ClassSegments(candidates=3), logits)
    codes = logits[0].argmax(0)
    own = connected_components(codes)
    assert np.array_equal(p.own[0].view(8, 9), own)
    order = logits.softmax(1).flatten(2)[0].argsort(0, descending=True)
    where = list(itertools.product(range(8), range(9)))
    for u, (i, j) in enumerate(where):
        for rank in range(3):
            kind = int(order[rank, u])
            near = {v: (v[0] - i) ** 2 + (v[1] - j) ** 2 for v in where if codes[v] == kind}
            best = {own[v] for v, square in near.items() if square == min(near.values())}
            assert int(p.candidates[0, u, rank]) in best
    torch.testing.assert_close(p.value, logits.softmax(1).flatten(2).sort(1, True)[0].mT)


def test_a_class_that_is_nowhere_is_a_new_segment() -> None:
    logits = torch.tensor([[[5.0, 5.0, 0.0], [0.0, 0.0, 5.0], [1.0, 1.0, 1.0]]])
    p = assignment(ClassSegments(), logits)
    assert p.segments == 2 + 3 + 1
    assert p.candidates[0].tolist() == [[0, 5, 1], [0, 5, 1], [1, 5, 0]]


def test_class_gradient_fills_a_hole() -> None:
    """A true segment with a hole in it, predicted: the hole's pixel shall become its class."""
    logits = torch.full((1, 1, 7, 7), 1.0)
    logits[..., 3, 3] = -1.0
    logits.requires_grad_()
    truth = torch.zeros(1, 7, 7, dtype=torch.int64)
    ClassSegments().distance(batch_of(logits), truth, None, "paper").sum().backward()
    assert logits.grad[0, 0, 3, 3] < 0


def test_yes_or_no_classes() -> None:
    """Where none of the channels reaches one half, none of them is what the pixel has."""
    logits = torch.tensor([[[3.0, -3.0, -1.0, -2.0], [-1.0, -3.0, 2.0, 1.0]]])
    found = ClassSegments().label_map(batch_of(logits, "sigmoid"))
    assert found.tolist() == [[0, 1, 2, 2]]
    one = ClassSegments().label_map(batch_of(torch.tensor([[[0.1, 0.6, 0.9, 0.2]]]), "identity"))
    assert one.tolist() == [[0, 1, 1, 2]]


def test_equal_probabilities() -> None:
    """argmax and topk need not agree: the own segment is a candidate all the same."""
    logits = torch.zeros(1, 6, 4, 4)
    p = assignment(ClassSegments(candidates=2), logits)
    assert (p.candidates == p.own.unsqueeze(-1)).any(-1).all()
    assert (p.candidates.sort(-1).values.diff(dim=-1) > 0).all()


# SlotSegments


def test_slots() -> None:
    """Softmax; a sigmoid's channels by their sum; one channel is two slots."""
    logits = noise(3)
    rows = logits.flatten(2).transpose(1, 2)
    torch.testing.assert_close(assignment(SlotSegments(), logits), rows.softmax(-1))
    share = rows.sigmoid() / rows.sigmoid().sum(-1, keepdim=True)
    torch.testing.assert_close(assignment(SlotSegments(), logits, activation="sigmoid"), share)
    p = logits.softmax(1)
    found = assignment(SlotSegments(), p, activation="identity")
    torch.testing.assert_close(found, p.flatten(2).transpose(1, 2))
    single = assignment(SlotSegments(), logits[:, :1])
    p = logits[:, 0].sigmoid().flatten(1)
    torch.testing.assert_close(single, torch.stack([1 - p, p], -1))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
def test_slot_gradient(activation: str) -> None:
    """All soft, so exact: gradcheck of the whole way from the logits."""
    logits = noise(3).softmax(1) * 0.9 if activation == "identity" else noise(3)
    truth = pieces()[:, :3, :3]

    def value(given: torch.Tensor) -> torch.Tensor:
        return SlotSegments().distance(batch_of(given, activation), truth, None)

    assert torch.autograd.gradcheck(value, logits[..., :3, :3].contiguous().requires_grad_())


# group_embedding


def clusters(
    dim: int = 4, groups: int = 6, spread: float = 0.1, space: tuple[int, ...] = (40, 44)
) -> tuple[torch.Tensor, np.ndarray]:
    """An embedding ``(1, D, *S)`` of blobs, four bandwidths apart or more, and the blobs."""
    drawn = np.random.default_rng(dim)
    smooth = ndimage.gaussian_filter(drawn.normal(size=(groups, *space)), (0, *(3.0,) * len(space)))
    labels = smooth.argmax(0)
    centres = np.zeros((groups, dim))
    for k in range(1, groups):
        while True:
            centres[k] = drawn.uniform(-3 * groups, 3 * groups, dim)
            if np.linalg.norm(centres[:k] - centres[k], axis=1).min() > 4:
                break
    values = centres[labels] + spread * drawn.normal(size=(*space, dim))
    return torch.from_numpy(np.moveaxis(values, -1, 0))[None], labels


@pytest.mark.parametrize("method", ["modes", "persistence", "mean_shift", "hdbscan"])
@pytest.mark.parametrize("space", [(300,), (40, 44), (12, 11, 13)])
def test_separate_clusters_are_found(space: tuple[int, ...], method: str) -> None:
    embedding, labels = clusters(2 if method == "persistence" else 4, space=space)
    found = group_embedding(embedding, method=method)
    assert found.shape == (1, *space)
    assert same_partition(found[0], labels)


@pytest.mark.parametrize("dim", [1, 2, 8, 16])
@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_any_number_of_dimensions(dim: int, spread: float) -> None:
    embedding, labels = clusters(dim, spread=spread)
    assert same_partition(group_embedding(embedding)[0], labels)
    assert same_partition(group_embedding(embedding.float() + 500)[0], labels)


def test_the_bandwidth_is_a_scale() -> None:
    embedding, labels = clusters()
    for scale in (1e-3, 10.0):
        found = group_embedding(scale * embedding, bandwidth=scale)
        assert same_partition(found[0], labels)
    assert group_embedding(embedding, bandwidth=100.0).max() == 0


def test_what_the_kernel_joins() -> None:
    """Two values belong together below sqrt(2 ln 2) = 1.177 bandwidths, where K > 1/2."""
    for distance, groups in ((1.0, 1), (2.6, 2)):
        embedding = torch.tensor([0.0, distance]).repeat_interleave(50).view(1, 1, 100)
        assert group_embedding(embedding).max() + 1 == groups


def test_groups_are_numbered_by_their_first_pixels() -> None:
    embedding = torch.tensor([[[9.0, 9.0, 1.0, 5.0, 1.0, 9.0]]])
    assert group_embedding(embedding, min_size=1).tolist() == [[0, 0, 1, 2, 1, 0]]


def test_small_groups_join_the_nearest() -> None:
    values = torch.tensor([0.0] * 20 + [10.0] * 20 + [7.0] * 2 + [10.0] * 2)
    found = group_embedding(values.view(1, 1, -1), min_size=3)
    assert found.tolist() == [[0] * 20 + [1] * 24]
    found = group_embedding(values.view(1, 1, -1), min_size=1)
    assert found.max() == 2
    # where none is large enough, all stay
    assert group_embedding(values.view(1, 1, -1), min_size=50).max() == 2


def test_edges_are_no_groups() -> None:
    """From one segment to the next by way of two values between: they join either."""
    row = torch.tensor([0.0] * 20 + [3.0, 6.0] + [9.0] * 20)
    embedding = row.expand(1, 1, 30, 42)
    found = group_embedding(embedding)
    assert found.max() == 1
    assert found[0, 0].tolist() == [0] * 21 + [1] * 21


def test_a_line_is_a_group_where_it_isnt_between() -> None:
    """One pixel wide, but beside values on one side only."""
    row = torch.tensor([0.0] * 20 + [5.0] + [0.0] * 20)
    found = group_embedding(row.expand(1, 1, 30, 41))
    assert found[0, 0].tolist() == [0] * 20 + [1] + [0] * 20


def test_every_pixel_its_own_group() -> None:
    """Up and down in turn, so that none lies between its neighbours."""
    values = torch.tensor([(-1) ** i * 10.0 * i for i in range(30)])
    assert group_embedding(values.view(1, 1, 30), min_size=1).tolist() == [list(range(30))]


def test_a_large_neighbour_draws_no_small_group() -> None:
    """20 pixels three bandwidths from 10,000: exp(-9 / 2) 10,000 is more than 20, and far off."""
    values = torch.zeros(1, 1, 100, 100)
    values[..., 40:45, 40:44] = 3.0
    found = group_embedding(values)
    assert torch.equal(found, (values[:, 0] > 0).long())


def test_foreground() -> None:
    """Others are 0, their values don't matter, and one group goes through two parts."""
    embedding, labels = clusters()
    mask = torch.from_numpy(labels != 2)[None]
    found = group_embedding(torch.where(mask.unsqueeze(1), embedding, torch.nan), foreground=mask)
    assert same_partition(found[0], np.where(labels == 2, 99, labels))
    assert (found[~mask] == 0).all()
    assert set(found[mask].tolist()) == {1, 2, 3, 4, 5}
    nothing = group_embedding(embedding, foreground=torch.zeros_like(mask))
    assert not nothing.any()


def test_pictures_of_a_batch_are_their_own() -> None:
    one, two = clusters(4)[0], clusters(4, groups=3)[0]
    found = group_embedding(torch.cat([one, two]))
    assert torch.equal(found, torch.cat([group_embedding(one), group_embedding(two)]))


def test_noise_is_grouped_somehow() -> None:
    """Deterministic, numbered without a gap, no group below the least size."""
    embedding = torch.randn(1, 6, 64, 64, generator=torch.Generator().manual_seed(0)) * 2
    found = group_embedding(embedding)
    assert torch.equal(found, group_embedding(embedding))
    counts = torch.bincount(found.flatten())
    assert (counts >= 10).all()


def test_more_clusters_than_cells() -> None:
    """Pixels that were not among the fullest cells are found in the rounds after."""
    values = 8.0 * torch.arange(1500.0).repeat_interleave(3)
    found = group_embedding(values.view(1, 1, -1), min_size=1)
    assert found.max() + 1 == 1500


def blocks(groups: int, side: int, dim: int) -> tuple[torch.Tensor, np.ndarray]:
    """Blocks of a picture, each somewhere on a grid of six bandwidths, and their numbers."""
    drawn = np.random.default_rng(groups)
    rows = np.arange(side) * math.isqrt(groups) // side
    numbers = drawn.permutation(rows[-1] ** 2 + 2 * rows[-1] + 1)
    labels = numbers[rows[:, None] * (rows[-1] + 1) + rows]
    ends = np.unravel_index(labels, (math.ceil(len(numbers) ** (1 / dim)),) * dim)
    values = 6.0 * np.stack(ends) + 0.1 * drawn.normal(size=(dim, side, side))
    return torch.from_numpy(values)[None], labels


@pytest.mark.parametrize("groups", [3025, 8100])
def test_thousands_of_groups(groups: int) -> None:
    """512 x 512 pixels in 55 x 55 and 90 x 90 blocks: none is lost, and none is cut."""
    embedding, labels = blocks(groups, 512, 3)
    found = group_embedding(embedding)[0].numpy()
    assert len(np.unique(labels)) == groups
    assert found.max() + 1 == groups
    assert same_partition(found, labels)


def test_groups_hidden_among_single_pixels() -> None:
    """Those of pixels that are alone come first among equally full cells, and end nothing.

    Two thousand pixels, each far from all others, and a group of twenty whose cells hold one each.
    """
    drawn = np.random.default_rng(0)
    alone = 50.0 * np.arange(2000)
    group = 200_000 + drawn.uniform(-0.4, 0.4, (2, 20))
    values = np.concatenate([np.stack([alone, alone]), group], 1)
    order = drawn.permutation(2020)
    found = group_embedding(torch.from_numpy(values[:, order])[None], min_size=10)[0].numpy()
    assert (found == 0).all()
    twice = np.concatenate([values, group + 1000], 1)
    order = drawn.permutation(2040)
    found = group_embedding(torch.from_numpy(twice[:, order])[None], min_size=10)[0].numpy()
    back = np.empty(2040, int)
    back[order] = found
    assert len(np.unique(back[2000:2020])) == len(np.unique(back[2020:])) == 1
    assert back[2000] != back[2020]


def test_half_width_by_hand() -> None:
    """Cubes of side 2, 4 and 6 in two volumes; what is unknown doesn't count."""
    one, other = np.zeros((9, 9, 9), np.int64), np.zeros((9, 9, 9), np.uint16)
    one[:2, :2, :2], one[3:7, 3:7, 3:7], one[8] = 5, 2, -1
    other[:6, :6, :6] = 2**16 - 1
    for quantile, expected in ((0.0, 1.0), (0.5, 2.0), (1.0, 3.0)):
        assert half_width([one, other], quantile) == pytest.approx(expected)
    assert half_width(iter([torch.from_numpy(one)]), 1) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("maps", "quantile", "message"),
    [
        ([np.ones((2, 2))], 0.5, "instances must be integer label maps .* got float64"),
        ([np.ones(3, int), np.ones((2, 2), int)], 0.5, "must all have 1 axes, got one of 2"),
        ([np.zeros((2, 2), int)], 0.5, "instances must hold an object"),
        ([], 0.5, "instances must hold an object"),
        ([np.ones(3, int)], 1.5, "quantile must be"),
    ],
)
def test_bad_maps_of_widths(maps: list[np.ndarray], quantile: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        half_width(maps, quantile)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("valley", [0.0, 0.3, 0.7, 1.0])
def test_persistence_is_its_naive_sweep(dim: int, valley: float) -> None:
    for seed in range(4):
        drawn = np.random.default_rng(seed)
        centres = drawn.uniform(0, 9, (6, dim))
        points = centres[drawn.integers(6, size=150)] + drawn.normal(0, 1.2, (150, dim))
        assert same_partition(hills(points, valley), reference.hills(points, valley))


def ridge(dip: float) -> torch.Tensor:
    """Points on a line: two hills, and between them a share ``dip`` of as many points."""
    drawn = np.random.default_rng(0)
    middle = round(2000 * dip)
    along = [
        drawn.uniform(0, 2, 2000),
        drawn.uniform(2, 3, middle // 2),
        drawn.uniform(3, 5, 2000),
    ]
    return torch.from_numpy(np.concatenate(along))[None, None]


@pytest.mark.parametrize("dip", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("valley", [0.1, 0.45, 0.8])
def test_hills_are_parted_by_deep_valleys(dip: float, valley: float) -> None:
    """Of a density that falls to the share ``dip`` of the lower summit, by construction."""
    found = group_embedding(ridge(dip), method="persistence", valley=valley)
    assert found.max() + 1 == (1 if dip > valley else 2)


def test_a_hill_of_any_form_is_one_group() -> None:
    """A ring in the plane of the embedding, and a disc within it: their means are the same."""
    drawn = np.random.default_rng(1)
    angle, radius = drawn.uniform(0, 2 * np.pi, 4000), np.full(4000, 4.0)
    radius[3000:] = np.sqrt(drawn.uniform(0, 1, 1000))
    points = radius * np.stack([np.cos(angle), np.sin(angle)])
    found = group_embedding(torch.from_numpy(points)[None], method="persistence")[0].numpy()
    assert same_partition(found, radius == 4.0)


def test_steps_up_the_hill_lead_to_its_own_summit() -> None:
    """A long hill beside a small one: its far end is nearer to the small one's summit."""
    drawn = np.random.default_rng(2)
    long = np.stack([4 * drawn.uniform(0, 1, 9000) ** 2, drawn.uniform(0, 0.3, 9000)])
    small = np.stack([drawn.uniform(4.2, 4.5, 900), drawn.uniform(1.2, 1.5, 900)])
    points = torch.from_numpy(np.concatenate([long, small], 1))[None]
    found = group_embedding(points, method="persistence", valley=0.05)[0].numpy()
    assert same_partition(found, np.arange(9900) >= 9000)


@pytest.mark.parametrize("name", EXTRACTORS)
@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_segments_of_no_number_are_refused(name: str, odd: float) -> None:
    """The message says what was given: the features where they are looked at, else the logits."""
    extractor = EXTRACTORS[name]()
    logits = noise(2)
    logits[0, 0, 1, 2] = odd
    calls = [extractor.label_map]
    if isinstance(extractor, KNNSegments):
        truth = torch.zeros(2, *SPACES[2]).long()
        calls += [lambda batch: extractor.distance(batch, truth, None), extractor.quantised]
    for call in calls:
        with pytest.raises(ValueError, match="logits must be finite where segments are looked for"):
            call(batch_of(logits))
        hidden = torch.ones(2, *SPACES[2]).bool()
        hidden[0, 1, 2] = False
        call(batch_of(logits, valid=hidden))
        if name in ("classes", "slots"):
            continue
        labels = torch.zeros(2, *SPACES[2]).long()
        features = Batch.from_tensors(noise(2), labels, features=logits)
        with pytest.raises(ValueError, match="features must be finite where segments are"):
            call(features)


def test_kernel_segments_are_grouped() -> None:
    embedding, labels = clusters()
    found = KernelSegments(bandwidth=1.0).label_map(batch_of(embedding))
    assert same_partition(found[0], labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedding": torch.zeros(3, 4)}, r"embedding must be .* got \(3, 4\)"),
        ({"embedding": np.zeros((1, 2, 4))}, "embedding must be a torch.Tensor, got ndarray"),
        ({"foreground": [True]}, "foreground must be a torch.Tensor, got list"),
        ({"embedding": torch.zeros(1, 2, 4).long()}, "embedding must be floating point"),
        ({"embedding": torch.full((1, 2, 4), torch.nan)}, "embedding must be finite"),
        ({"embedding": torch.full((1, 2, 4), torch.inf)}, "embedding must be finite"),
        ({"foreground": torch.ones(1, 5).bool()}, r"foreground must .* = \(1, 4\), got \(1, 5\)"),
        ({"foreground": torch.ones(1, 4)}, "foreground must be bool .* of torch.float32"),
        ({"bandwidth": 0.0}, "bandwidth must be a finite number"),
        ({"method": "kmeans"}, "method must be one of 'modes', 'persistence', 'mean_shift'"),
        ({"valley": 1.5}, "valley must be"),
        ({"min_size": 0}, "min_size must be a whole number >= 1"),
    ],
)
def test_bad_grouping(arguments: dict[str, Any], message: str) -> None:
    given = {"embedding": torch.zeros(1, 2, 4), **arguments}
    with pytest.raises(ValueError, match=message):
        group_embedding(given.pop("embedding"), **given)


@pytest.mark.parametrize("method", ["mean_shift", "hdbscan"])
def test_a_missing_package_is_named(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.cluster", None)
    with pytest.raises(ImportError, match=rf"{method}.*metriseg\[embedding\]"):
        group_embedding(torch.zeros(1, 2, 4), method=method)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KNNSegments(k=0), "k must be a whole number >= 1, got 0"),
        (lambda: KNNSegments(connectivity=0), "connectivity must be a whole number >= 1"),
        (lambda: KNNSegments(estimator="ste"), "estimator must be one of 'soft', 'gumbel'"),
        (lambda: KNNSegments(candidates=0), "candidates must be a whole number >= 1"),
        (lambda: KNNSegments(temperature=0.0), "temperature must be a finite number"),
        (lambda: KNNSegments(place=-1.0), "place must be a finite number"),
        (lambda: KNNSegments(iterations=-1), "iterations must be a whole number >= 0"),
        (lambda: KNNSegments(candidates=9, searched=8), "searched must be a whole number >= 9"),
        (lambda: KNNSegments(seed=0.5), "seed must be an integer or None"),
        (lambda: KNNSegments(tau=1.0), "KNNSegments has no argument 'tau'"),
        (lambda: ClassSegments(connectivity=1.5), "connectivity must be a whole number"),
        (lambda: ClassSegments(candidates=0), "candidates must be a whole number >= 1"),
        (lambda: SlotSegments(slots=3), "SlotSegments has no argument 'slots'"),
        (lambda: KernelSegments(frequencies=0), "frequencies must be a whole number >= 1"),
        (lambda: KernelSegments(bandwidth=-1.0), "bandwidth must be a finite number"),
    ],
)
def test_bad_settings(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [KNNSegments, ClassSegments])
def test_too_much_connectivity(make: Callable[..., Segments]) -> None:
    with pytest.raises(ValueError, match="connectivity must be in 1 … 2, got 3"):
        make(connectivity=3).label_map(batch_of(noise(2)))


def test_the_kernel_has_one_form() -> None:
    with pytest.raises(ValueError, match="form must be 'frobenius' with KernelSegments"):
        KernelSegments().distance(batch_of(noise(2)), pieces(), None, "paper")


def test_settings_are_shown() -> None:
    assert repr(ClassSegments(2)) == "ClassSegments(connectivity=2, candidates=4)"
