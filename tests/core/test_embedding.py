"""What is special about triplets and centres: mining, sampling, state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metriseg import BoundaryTripletLoss, CenterLoss, TripletLoss
from metriseg import functional as F
from reference import oracle
from reference.batches import IGNORE, random_labels, random_logits, random_weight
from reference.embedding import triplet

MINING = ["semihard", "hard", "all"]


def random_features(dimensions: int = 6, *, seed: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, dimensions, 5, 4, generator=generator, dtype=torch.float64)


def as_vectors(features: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Valid pixels in one row, and their labels."""
    valid = target != IGNORE
    return features.movedim(1, -1)[valid], target[valid]


# ---------------------------------------------------------------------- triplets


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("normalize", [True, False])
def test_features_equal_the_oracle(mining: str, normalize: bool) -> None:
    """Features in place of logits, with weights of pixels and classes."""
    target, weight, features = random_labels(4, ignore=0.2), random_weight(), random_features()
    arguments: dict[str, Any] = {
        "mining": mining,
        "normalize": normalize,
        "margin": 1.0,
        "class_weight": [1.0, 0.5, 0.0, 2.0],
    }
    loss = TripletLoss(**arguments, ignore_index=IGNORE)
    found = loss(random_logits(4), target, weight=weight, features=features)
    one_hot = oracle.one_hot(target.numpy().reshape(2, -1), 4, IGNORE).reshape(2, 4, 5, 4)
    w = torch.where(target == IGNORE, 0.0, weight).numpy()
    expected = triplet(one_hot, one_hot, w, z=features.numpy(), exclusive=True, **arguments)
    assert found.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("mining", MINING)
def test_derivatives(mining: str) -> None:
    """Of the features, first and second; the logits have none."""
    target = random_labels(3, ignore=0.2)
    logits = random_logits(3).requires_grad_()
    features = random_features(3).requires_grad_()
    loss = TripletLoss(mining=mining, ignore_index=IGNORE)
    assert torch.autograd.gradcheck(lambda x: loss(logits, target, features=x), features)
    assert torch.autograd.gradgradcheck(
        lambda x: loss(logits, target, features=x), features, fast_mode=True
    )
    assert torch.autograd.grad(
        loss(logits, target, features=features), logits, allow_unused=True
    ) == (None,)


def test_all_equals_pytorch_metric_learning() -> None:
    """The mean over every triplet, those that cost nothing included."""
    learning = pytest.importorskip("pytorch_metric_learning", reason="an optional extra")
    from pytorch_metric_learning import distances, losses, reducers

    assert learning
    target, features = random_labels(3, ignore=0.2), random_features()
    theirs = losses.TripletMarginLoss(
        margin=0.2,
        distance=distances.LpDistance(power=2, normalize_embeddings=True),
        reducer=reducers.MeanReducer(),
    )(*as_vectors(features, target))
    ours = TripletLoss(mining="all", ignore_index=IGNORE)(
        random_logits(3), target, features=features
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_hard_equals_pytorch_metric_learning() -> None:
    """Each anchor's farthest positive with its closest negative."""
    pytest.importorskip("pytorch_metric_learning", reason="an optional extra")
    from pytorch_metric_learning import distances, losses, miners, reducers

    target, features = random_labels(3), random_features()
    vectors, labels = as_vectors(features, target)
    distance = distances.LpDistance(power=2, normalize_embeddings=True)
    theirs = losses.TripletMarginLoss(
        margin=0.2, distance=distance, reducer=reducers.MeanReducer()
    )(vectors, labels, miners.BatchHardMiner(distance=distance)(vectors, labels))
    ours = TripletLoss(mining="hard")(random_logits(3), target, features=features)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_semihard_negatives_are_those_of_pytorch_metric_learning() -> None:
    """Its miner of semi-hard triplets names all negatives beyond the positive and inside a margin.

    The closest of them is the one that we take; costs beyond the margin are zero.
    """
    pytest.importorskip("pytorch_metric_learning", reason="an optional extra")
    from pytorch_metric_learning import distances, miners

    vectors, labels = as_vectors(random_features(), random_labels(3))
    distance = distances.LpDistance(power=2, normalize_embeddings=True)
    miner = miners.TripletMarginMiner(0.5, type_of_triplets="semihard", distance=distance)
    squares = F.squared_distances(F.unit_vectors(vectors))
    costs: dict[tuple[int, int], float] = {}
    for a, p, n in zip(*(index.tolist() for index in miner(vectors, labels)), strict=True):
        cost = (squares[a, p] - squares[a, n]).item() + 0.5
        costs[a, p] = max(costs.get((a, p), 0.0), cost)
    assert costs
    # a pair without a negative beyond it costs more than the margin: the miner passes it over
    expected, valid = torch.zeros(len(labels)).double(), torch.ones_like(labels, dtype=torch.bool)
    for a in range(len(labels)):
        negatives = squares[a][labels != labels[a]]
        for p in range(len(labels)):
            if p == a or labels[p] != labels[a]:
                continue
            last_resort = (squares[a, p] - negatives.max()).item() + 0.5
            beyond = bool((negatives > squares[a, p]).any())
            expected[a] += costs.get((a, p), 0.0) if beyond else last_resort
    sums, _ = F.mined_triplets(squares, labels, valid, 0.5)
    torch.testing.assert_close(sums, expected)


def test_a_negative_at_the_same_distance_is_not_beyond() -> None:
    """On a line at 0, 1 (positive), 1 and 2 (negatives): 1 - 4 + 3.5, not 1 - 1 + 3.5."""
    x = torch.tensor([0.0, 1.0, -1.0, 2.0]).double()
    distances = (x[:, None] - x).square()
    sums, numbers = F.mined_triplets(
        distances, torch.tensor([0, 0, 1, 1]), torch.ones(4, dtype=torch.bool), 3.5
    )
    assert sums[0].item() == 0.5
    assert numbers[0].item() == 1


def test_one_class_has_no_triplets() -> None:
    for mining in MINING:
        logits = random_logits(3).requires_grad_()
        value = TripletLoss(mining=mining)(logits, torch.ones(2, 5, 4, dtype=torch.int64))
        value.backward()
        assert value.item() == 0.0
        assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_samples_are_evenly_spaced_and_as_many_of_each_class() -> None:
    """Of 6 slots 3 are class 1's and 3 class 3's; the three absent classes take none."""
    labels = torch.tensor([1, 1, 1, 1, 3, 1, 1, 3, 1, 2])
    valid = labels != 2
    found = F.evenly_spaced_by_class(labels, valid, classes=5, most=6)
    # class 1 stands at 0 1 2 3 5 6 8, of which 0, 7 // 3 = 2 and 14 // 3 = 4; class 3 has two
    assert found.tolist() == [0, 2, 5, 4, 7, -1]


def test_small_batches_are_taken_whole() -> None:
    labels = random_labels(4, ignore=0.3).flatten()
    valid = labels != IGNORE
    found = F.evenly_spaced_by_class(torch.where(valid, labels, 0), valid, classes=4, most=1024)
    chosen = found[found >= 0]
    assert sorted(chosen.tolist()) == valid.nonzero().flatten().tolist()


def test_fewer_samples_than_classes() -> None:
    found = F.evenly_spaced_by_class(torch.arange(9), torch.ones(9, dtype=torch.bool), 9, most=4)
    assert found.tolist() == [0, 1, 2, 3]


def test_large_images_cost_what_the_samples_do() -> None:
    """A gradient reaches the pixels that were looked at, 2 classes x 8 of them, alone."""
    target = torch.zeros(1, 256, 256, dtype=torch.int64)
    target[..., 128:] = 1
    logits = torch.randn(1, 2, 256, 256, generator=torch.Generator().manual_seed(0))
    TripletLoss(margin=4.0, samples=16)(logits.requires_grad_(), target).backward()
    assert (logits.grad != 0).any(1).sum() == 16


def test_zero_vectors_have_no_direction() -> None:
    features = torch.zeros(2, 6, 5, 4, requires_grad=True)
    value = TripletLoss()(random_logits(3), random_labels(3), features=features)
    value.backward()
    assert value.item() == pytest.approx(0.2)
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_triplets_at_a_boundary() -> None:
    """Labels 0 0 0 1 1 1 at 5, 1, 0 | 2, 3, 9: two pixels on each side are looked at, 1, 0 | 2, 3.

    Hardest triplets, margin 5: anchor 1, 1 - 1 + 5; 0, 1 - 4 + 5; 2, 1 - 1 + 5; 3, 1 - 4 + 5.
    """
    x = torch.tensor([[[5.0, 1, 0, 2, 3, 9]]], requires_grad=True)
    target = torch.tensor([[0, 0, 0, 1, 1, 1]])
    words = {"margin": 5.0, "mining": "hard", "normalize": False, "activation": "sigmoid"}
    unreduced = BoundaryTripletLoss(reduction="none", **words)(x, target)
    assert unreduced.tolist() == [[0.0, 5.0, 2.0, 5.0, 2.0, 0.0]]
    value = BoundaryTripletLoss(**words)(x, target)
    value.backward()
    assert value.item() == 3.5
    assert x.grad[0, 0, [0, 5]].tolist() == [0.0, 0.0]
    # with one pixel on each side none has a positive, and a wide band is the whole image
    assert BoundaryTripletLoss(boundary_width=1, **words)(x, target).item() == 0.0
    wide = BoundaryTripletLoss(boundary_width=9, **words)(x, target)
    assert wide.item() == TripletLoss(**words)(x, target).item() != 3.5


def test_an_ignored_pixel_is_no_boundary() -> None:
    """What is beyond it is two pixels away."""
    target = torch.tensor([[0, 0, IGNORE, 1, 1]])
    loss = BoundaryTripletLoss(boundary_width=1, ignore_index=IGNORE)
    logits = random_logits(2, 1)[:1, :, :5].requires_grad_()
    loss(logits, target).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("mining", MINING)
def test_triplets_compile_with_features(mining: str) -> None:
    torch._dynamo.reset()
    target, logits, features = random_labels(3), random_logits(3), random_features()
    loss = TripletLoss(mining=mining, samples=16)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        compiled(logits, target, features=features), loss(logits, target, features=features)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"margin": -0.1}, r"margin must be a finite number in \[0, inf\], got -0.1"),
        ({"mining": "easy"}, "mining must be one of 'semihard', 'hard', 'all', got 'easy'"),
        ({"samples": 1}, "samples must be a whole number >= 2, got 1"),
    ],
)
def test_refused_triplets(arguments: dict[str, Any], words: str) -> None:
    for loss in (TripletLoss, BoundaryTripletLoss):
        with pytest.raises(ValueError, match=words):
            loss(**arguments)


def test_refused_boundaries() -> None:
    with pytest.raises(ValueError, match="boundary_width must be a whole number >= 1, got 0"):
        BoundaryTripletLoss(boundary_width=0)


# ---------------------------------------------------------------------- centres


def test_the_batch_s_centers_need_no_gradient() -> None:
    """The residuals of a class add to zero, so that moving its mean changes nothing.

    So first derivatives equal finite differences although the centres are detached.
    """
    target, weight = random_labels(3, ignore=0.2), random_weight()
    loss = CenterLoss(ignore_index=IGNORE, class_weight=[1.0, 0.5, 2.0])
    assert torch.autograd.gradcheck(
        lambda z: loss(z, target, weight=weight), random_logits(3).requires_grad_()
    )


def with_centers(*, dimensions: int = 6, **arguments: Any) -> CenterLoss:
    loss = CenterLoss(3, dimensions, **arguments).double()
    assert loss.centers is not None
    generator = torch.Generator().manual_seed(3)
    loss.centers.copy_(torch.randn(3, dimensions, generator=generator, dtype=torch.float64))
    return loss


def test_kept_centers_have_whole_derivatives() -> None:
    target, features = random_labels(3, ignore=0.2), random_features().requires_grad_()
    loss, logits = with_centers(ignore_index=IGNORE), random_logits(3)
    assert torch.autograd.gradcheck(lambda x: loss(logits, target, features=x), features)
    assert torch.autograd.gradgradcheck(lambda x: loss(logits, target, features=x), features)


def test_kept_centers_by_loops() -> None:
    target, features = random_labels(3, ignore=0.2), random_features()
    loss = with_centers(ignore_index=IGNORE, reduction="none")
    values = loss(random_logits(3), target, features=features)
    for n, a, b in np.ndindex(2, 5, 4):
        label = int(target[n, a, b])
        expected = 0.0
        if label != IGNORE:
            expected = float(((features[n, :, a, b] - loss.centers[label]) ** 2).sum()) / 2
        assert values[n, a, b].item() == pytest.approx(expected)


def test_update_moves_by_the_mean_of_n_plus_one() -> None:
    """c - rate sum (c - x) / (1 + n) by loops; a class that is absent stays; weights are counts."""
    target, features, weight = random_labels(2, ignore=0.2), random_features(), random_weight()
    loss = with_centers(ignore_index=IGNORE, update_rate=0.3)
    before = loss.centers.clone()
    loss.update(random_logits(3), target, features=features, weight=weight)
    for c in range(3):
        pull, mass = torch.zeros(6).double(), 0.0
        for n, a, b in np.ndindex(2, 5, 4):
            if target[n, a, b] == c:
                pull += weight[n, a, b] * (before[c] - features[n, :, a, b])
                mass += weight[n, a, b]
        torch.testing.assert_close(loss.centers[c], before[c] - 0.3 * pull / (1 + mass))
    assert torch.equal(loss.centers[2], before[2])


def test_only_update_changes_the_state() -> None:
    loss = with_centers()
    before = loss.centers.clone()
    loss(random_logits(3), random_labels(3), features=random_features())
    assert torch.equal(loss.centers, before)


def test_updates_find_the_means() -> None:
    """Repeated, the centres go where the classes are."""
    target, features = random_labels(3), random_features()
    loss = with_centers()
    for _ in range(60):
        loss.update(random_logits(3), target, features=features)
    kept = loss(random_logits(3), target, features=features)
    torch.testing.assert_close(kept, CenterLoss()(random_logits(3), target, features=features))


def test_kept_centers_are_saved() -> None:
    """They are learnt, so they stand in the checkpoint; centres of the batch are no state."""
    loss = with_centers()
    again = CenterLoss(**loss.arguments()).double()
    assert list(loss.state_dict()) == ["centers"]
    assert not CenterLoss().state_dict()
    again.load_state_dict(loss.state_dict())
    assert torch.equal(again.centers, loss.centers)


def test_one_channel_has_two_centers() -> None:
    """Logits 1, 3 of background and 10 of foreground: centres 2 and 10, (1 + 1 + 0) / 2 / 3."""
    logits = torch.tensor([[[1.0, 3.0, 10.0]]])
    target = torch.tensor([[0, 0, 1]])
    value = CenterLoss(activation="sigmoid")(logits, target)
    assert value.item() == pytest.approx(1 / 3)
    loss = CenterLoss(2, 1, activation="sigmoid")
    loss.update(logits, target)
    # 0 + (4 - 2 * 0) / 3 / 2 and 0 + 10 / 2 / 2
    torch.testing.assert_close(loss.centers, torch.tensor([[2 / 3], [2.5]]))


def test_nan_where_ignored_reaches_no_center() -> None:
    target = random_labels(3, ignore=0.3)
    features = random_features()
    spoilt = torch.where((target == IGNORE).unsqueeze(1), torch.nan, features)
    one, two = with_centers(ignore_index=IGNORE), with_centers(ignore_index=IGNORE)
    one.update(random_logits(3), target, features=features)
    two.update(random_logits(3), target, features=spoilt)
    assert torch.equal(one.centers, two.centers)


def test_refused_centers() -> None:
    with pytest.raises(ValueError, match="num_classes and dimensions belong together"):
        CenterLoss(num_classes=3)
    with pytest.raises(ValueError, match=r"update_rate must be a finite number in \[0, 1\]"):
        CenterLoss(update_rate=1.5)
    with pytest.raises(ValueError, match="there is nothing to update"):
        CenterLoss().update(random_logits(3), random_labels(3))
    with pytest.raises(ValueError, match=r"= \(3, 6\), got logits and features with \(4, 6\)"):
        with_centers()(random_logits(4), random_labels(4), features=random_features())
    with pytest.raises(ValueError, match="features must have the spatial shape of the logits"):
        CenterLoss()(random_logits(3), random_labels(3), features=torch.zeros(2, 8, 3, 3))
