"""What is special about the conditional boundary loss: who counts as a neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from metriseg import ConditionalBoundaryLoss
from metriseg import functional as F
from reference import oracle
from reference.batches import IGNORE, random_labels, random_logits, random_weight
from reference.embedding import conditional_boundary

#: Each of the three terms alone.
CENTER = {"pair_weight": 0.0, "classification_weight": 0.0}
PAIRS = {"center_weight": 0.0, "classification_weight": 0.0}
CLASSES = {"center_weight": 0.0, "pair_weight": 0.0}


def random_features(dimensions: int = 3, *, seed: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, dimensions, 5, 4, generator=generator, dtype=torch.float64)


def nearly_right(target: torch.Tensor, classes: int = 4) -> torch.Tensor:
    """Logits that classify most pixels rightly."""
    own = torch.nn.functional.one_hot(torch.where(target == IGNORE, 0, target), classes)
    return random_logits(classes, images=len(target), scale=1.0) + 2 * own.movedim(-1, 1)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_features_equal_the_oracle(reduction: str) -> None:
    target, weight = random_labels(4, ignore=0.2), random_weight()
    logits, features = nearly_right(target), random_features()
    found = ConditionalBoundaryLoss(window=3, ignore_index=IGNORE, reduction=reduction)(
        logits, target, weight=weight, features=features
    )
    flat = logits.numpy().reshape(2, 4, -1)
    w = torch.where(target == IGNORE, 0.0, weight).numpy()
    one_hot = oracle.one_hot(target.numpy().reshape(2, -1), 4, IGNORE)
    expected = conditional_boundary(
        oracle.softmax(flat).reshape(logits.shape),
        one_hot.reshape(logits.shape),
        w,
        z=logits.numpy(),
        exclusive=True,
        window=3,
        reduction=reduction,
        features=features.numpy(),
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("terms", [PAIRS, CLASSES])
def test_gradients_of_what_is_not_detached(terms: dict[str, float]) -> None:
    """Pairs and scores carry their gradient whole; who is right doesn't change in between."""
    target = random_labels(3, ignore=0.2)[:1]
    logits = nearly_right(target, 3).requires_grad_()
    features = random_features(2)[:1].requires_grad_()
    loss = ConditionalBoundaryLoss(window=3, **terms, ignore_index=IGNORE)

    def value(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return loss(z, target, features=x)

    assert torch.autograd.gradcheck(value, (logits, features))
    assert torch.autograd.gradgradcheck(value, (logits, features), fast_mode=True)


def test_gradient_with_the_centers_frozen() -> None:
    """A pixel is drawn to its neighbours' mean, and the mean isn't drawn to the pixel."""
    target = random_labels(3)
    logits, features = nearly_right(target, 3), random_features().requires_grad_()
    right = logits.argmax(1) == target
    centers, witnesses = F.local_class_mean(features.detach(), target, right, radius=2)
    every = torch.ones_like(right)
    anchors = right & (witnesses > 0) & F.label_boundary(target, every, width=1)

    def frozen(x: torch.Tensor) -> torch.Tensor:
        distances = (x - centers).square().mean(1)
        means = [distances[anchors & (target == c)].mean() for c in range(3)]
        return 2 * torch.stack(means).mean()

    loss = ConditionalBoundaryLoss(pair_weight=0.0, classification_weight=0.0)
    value = loss(logits, target, features=features)
    torch.testing.assert_close(value, frozen(features))
    assert torch.autograd.gradcheck(frozen, features)
    (found,) = torch.autograd.grad(value, features)
    (expected,) = torch.autograd.grad(frozen(features), features)
    torch.testing.assert_close(found, expected)


def test_the_boundary_by_brute_force() -> None:
    """Another valid label within a square window; ignored pixels are no other label."""
    labels = random_labels(3, seed=4)
    valid = random_labels(1, seed=5, ignore=0.5) != IGNORE
    for width in (1, 2, 7):
        found = F.label_boundary(labels, valid, width)
        for n, a, b in np.ndindex(2, 5, 4):
            near = (
                slice(max(a - width, 0), a + width + 1),
                slice(max(b - width, 0), b + width + 1),
            )
            others = labels[n][near][valid[n][near]]
            expected = bool(valid[n, a, b]) and bool((others != labels[n, a, b]).any())
            assert bool(found[n, a, b]) == expected


def test_the_boundary_is_two_percent_of_the_diagonal() -> None:
    """300 x 400 pixels have a diagonal of 500: 10 pixels on either side of the edge."""
    target = torch.zeros(1, 300, 400, dtype=torch.int64)
    target[..., 200:] = 1
    values = ConditionalBoundaryLoss(reduction="none")(torch.rand(1, 2, 300, 400), target)
    columns = (values[0] > 0).any(0).nonzero().flatten()
    assert columns.tolist() == list(range(190, 210))


def test_no_boundary_no_loss() -> None:
    """One label, or one label beside ignored pixels: 0 with a zero gradient."""
    target = torch.ones(2, 5, 4, dtype=torch.int64)
    for _ in range(2):
        logits = random_logits(3).requires_grad_()
        value = ConditionalBoundaryLoss(ignore_index=IGNORE)(logits, target)
        value.backward()
        assert value.item() == 0.0
        assert torch.equal(logits.grad, torch.zeros_like(logits))
        target[:, 2] = IGNORE


def test_class_zero_counts() -> None:
    """Authors' code multiplies the boundary by the label and so drops class 0; here it stays."""
    target = torch.tensor([[[0, 0, 1, 1]]])
    values = ConditionalBoundaryLoss(reduction="none")(nearly_right_row(target), target)
    assert (values[target == 0] > 0).any()


def nearly_right_row(target: torch.Tensor) -> torch.Tensor:
    own = torch.nn.functional.one_hot(target, 2).movedim(-1, 1).double()
    return own * 3 + torch.rand(own.shape, generator=torch.Generator().manual_seed(0))


def test_only_right_neighbours_make_pairs() -> None:
    """The wrong one's features don't matter to the others' pairs (the authors' code has them)."""
    target = torch.tensor([[[0, 0, 1, 1]]])
    logits = nearly_right_row(target)
    logits[..., 1] = torch.tensor([[[0.0], [9.0]]])
    loss = ConditionalBoundaryLoss(window=3, boundary_width=9, reduction="none", **PAIRS)
    features = torch.rand(1, 3, 1, 4, generator=torch.Generator().manual_seed(1))
    other = features.clone()
    other[..., 1] = -features[..., 1]
    before, after = (loss(logits, target, features=x)[0, 0] for x in (features, other))
    # pixel 0 has the wrong pixel as its only neighbour; pixel 1 itself is an anchor still
    assert before[0] == after[0] == 0
    assert torch.equal(before[2:], after[2:])
    assert before[1] != after[1]


def test_perfect_and_orthogonal_is_zero() -> None:
    """Embeddings that are one-hot, sure and right: nothing left but the scores' cross-entropy."""
    target = random_labels(3)
    logits = torch.nn.functional.one_hot(target, 3).movedim(-1, 1).double() * 60
    assert ConditionalBoundaryLoss(classification_weight=0.0)(logits, target).item() == 0.0
    assert ConditionalBoundaryLoss()(logits, target).item() < 1e-9


def test_zero_features_have_no_direction() -> None:
    """After a ReLU whole vectors are zero: finite values and gradients."""
    target = random_labels(3)
    features = torch.zeros(2, 6, 5, 4).requires_grad_()
    value = ConditionalBoundaryLoss()(nearly_right(target, 3), target, features=features)
    value.backward()
    assert torch.isfinite(value)
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_features_may_hold_anything_where_ignored() -> None:
    target = random_labels(3, ignore=0.3)
    logits, features = nearly_right(target, 3), random_features()
    spoilt = torch.where((target == IGNORE).unsqueeze(1), torch.nan, features).requires_grad_()
    loss = ConditionalBoundaryLoss(ignore_index=IGNORE)
    value = loss(logits, target, features=spoilt)
    value.backward()
    torch.testing.assert_close(value, loss(logits, target, features=features))
    assert torch.isfinite(spoilt.grad).all()


def test_compiles_with_features() -> None:
    torch._dynamo.reset()
    target = random_labels(3)
    logits, features = nearly_right(target, 3), random_features()
    loss = ConditionalBoundaryLoss(window=3)
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        compiled(logits, target, features=features), loss(logits, target, features=features)
    )


def test_windows_larger_than_the_image() -> None:
    target = torch.tensor([[0, 1]])
    loss = ConditionalBoundaryLoss(window=9)
    assert torch.isfinite(loss(torch.eye(2)[None], target))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"window": 4}, "window must be odd"),
        ({"window": 1}, "window must be a whole number >= 3, got 1"),
        ({"boundary_width": 0}, "boundary_width must be a whole number >= 1, got 0"),
        ({"pair_weight": -1.0}, r"pair_weight must be a finite number in \[0, inf\]"),
        ({"activation": "sigmoid"}, "activation must be one of 'softmax', 'identity'"),
    ],
)
def test_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ConditionalBoundaryLoss(**arguments)


def test_features_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="features must have the spatial shape of the logits"):
        ConditionalBoundaryLoss()(
            random_logits(3), random_labels(3), features=torch.zeros(2, 8, 3, 3)
        )


def test_derivatives_of_sums_over_neighbours() -> None:
    """First and second ones, against finite differences; some pixels serve no neighbour."""
    labels = random_labels(3)[:, :4, :4]
    chosen = torch.rand(labels.shape, generator=torch.Generator().manual_seed(3)) > 0.3
    x = random_features()[:, :, :4].requires_grad_()

    def similarity(x: torch.Tensor) -> torch.Tensor:
        return F.neighbour_similarity(x, labels, chosen, 1)[0]

    def centers(x: torch.Tensor) -> torch.Tensor:
        return F.local_class_mean(x, labels, chosen, 1)[0]

    for function in (similarity, centers):
        assert torch.autograd.gradcheck(function, (x,), fast_mode=True)
        assert torch.autograd.gradgradcheck(function, (x,), fast_mode=True)
