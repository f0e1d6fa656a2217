"""Region statistics: exact, additive, and frugal."""

from __future__ import annotations

import pytest
import torch

from metriseg import Batch, RegionStatistics, region_statistics, statistics
from reference.batches import (
    IGNORE,
    random_labels,
    random_logits,
    random_soft_labels,
    random_weight,
)

MOMENTS = (0.5, 1.0, 1.5, 1.75, 2.0, 3.0)


def assert_same(a: RegionStatistics, b: RegionStatistics) -> None:
    for left, right in zip(a[:3], b[:3], strict=True):
        assert left.keys() == right.keys()
        for q in left:
            torch.testing.assert_close(left[q], right[q])
    torch.testing.assert_close(a.count, b.count)


def by_matrix_product(batch: Batch, moments: tuple[float, ...]) -> RegionStatistics:
    """The diagonal and the margins of the soft contingency table (P^q)^T T, image by image."""
    n, c = batch.logits.shape[:2]
    p = batch.probabilities.reshape(n, c, -1)
    if batch.has_labels:
        t = torch.nn.functional.one_hot(batch.target, c).movedim(-1, 1).reshape(n, c, -1).to(p)
    else:
        t = batch.target.reshape(n, c, -1)
    w = torch.ones_like(p[:, :1]) if batch.weight is None else batch.weight.reshape(n, 1, -1)
    table = {q: (p**q * w) @ t.transpose(1, 2) for q in moments}
    return RegionStatistics(
        {q: table[q].diagonal(dim1=1, dim2=2) for q in moments},
        {q: (p**q @ w.transpose(1, 2)).squeeze(2) for q in moments},
        {q: (t**q @ w.transpose(1, 2)).squeeze(2) for q in moments},
        w.sum(2).expand(n, c),
    )


@pytest.fixture(params=["softmax", "sigmoid", "identity"])
def activation(request: pytest.FixtureRequest) -> str:
    return request.param


def make_batch(activation: str, *, soft: bool, weighted: bool, images: int = 3) -> Batch:
    logits = random_logits(4, images=images)
    return Batch.from_tensors(
        logits.softmax(1) if activation == "identity" else logits,
        random_soft_labels(4, images=images) if soft else random_labels(4, images=images),
        weight=random_weight(images=images) if weighted else None,
        activation=activation,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("tile", [4, 12, 36, 1 << 17])
def test_equals_the_contingency_table(
    monkeypatch: pytest.MonkeyPatch, activation: str, soft: bool, weighted: bool, tile: int
) -> None:
    """Whatever the tiles: part of an image, one image, several."""
    monkeypatch.setattr(statistics, "TILE_VALUES", tile * 4)
    batch = make_batch(activation, soft=soft, weighted=weighted)
    assert_same(region_statistics(batch, MOMENTS), by_matrix_product(batch, MOMENTS))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("tile", [4, 36, 1 << 17])
def test_gradient_of_every_moment(
    monkeypatch: pytest.MonkeyPatch, activation: str, soft: bool, tile: int
) -> None:
    """A random linear function of all entries has the gradient of the matrix product."""
    monkeypatch.setattr(statistics, "TILE_VALUES", tile * 4)
    batch = make_batch(activation, soft=soft, weighted=True)
    leaf = batch.logits.requires_grad_()
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(len(MOMENTS), 2, 3, 4, generator=generator, dtype=torch.float64)

    def function(s: RegionStatistics) -> torch.Tensor:
        return sum(
            (f[0] * s.overlap[q] + f[1] * s.predicted[q]).sum()
            for f, q in zip(factors, MOMENTS, strict=True)
        )

    (ours,) = torch.autograd.grad(function(region_statistics(batch, MOMENTS)), leaf)
    (theirs,) = torch.autograd.grad(function(by_matrix_product(batch, MOMENTS)), leaf)
    torch.testing.assert_close(ours, theirs)


def test_additive() -> None:
    """Two halves of the pixels add up to the whole; images pool into the batch."""
    logits, target = random_logits(4), random_labels(4, ignore=0.2)

    def of(columns: slice) -> RegionStatistics:
        batch = Batch.from_tensors(logits[..., columns], target[..., columns], ignore_index=IGNORE)
        return region_statistics(batch, MOMENTS)

    whole = of(slice(None))
    assert_same(of(slice(0, 1)) + of(slice(1, None)), whole)
    pooled = whole.pooled()
    torch.testing.assert_close(pooled.overlap[1.0], whole.overlap[1.0].sum(0, keepdim=True))
    batch = Batch.from_tensors(logits, target, ignore_index=IGNORE)
    assert_same(region_statistics(batch, MOMENTS, per_image=False), pooled)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_saved_state_is_the_inputs(activation: str) -> None:
    """Autograd keeps logits, target and weight, by reference: no one-hot, no probabilities."""
    logits = random_logits(4).requires_grad_()
    batch = Batch.from_tensors(
        logits, random_labels(4), weight=random_weight(), activation=activation
    )
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        region_statistics(batch, (1.0, 1.5))
    inputs = {tensor.data_ptr() for tensor in (batch.logits, batch.target, batch.weight)}
    assert {tensor.data_ptr() for tensor in kept} == inputs


def test_given_probabilities_have_a_guarded_slope_at_zero() -> None:
    """d sum(p^0.5) / dp is infinite at 0: it stops at 0.5 (1e-6)^-0.5 = 500."""
    p = torch.tensor([[[0.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    batch = Batch.from_tensors(p, torch.zeros(1, 2), activation="identity")
    region_statistics(batch, (0.5,)).predicted[0.5].sum().backward()
    torch.testing.assert_close(p.grad, torch.tensor([[[500.0, 0.5]]], dtype=torch.float64))


def test_float32_sums_are_accurate() -> None:
    """2^18 pixels in float32 agree with float64 to a few parts in a million."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 512, 512, generator=generator)
    target = torch.randint(3, (1, 512, 512), generator=generator)
    single = region_statistics(Batch.from_tensors(logits, target))
    double = region_statistics(Batch.from_tensors(logits.double(), target))
    for name in ("overlap", "predicted", "target"):
        a, b = getattr(single, name)[1.0], getattr(double, name)[1.0]
        torch.testing.assert_close(a.double(), b, rtol=5e-6, atol=0)


@pytest.mark.parametrize("moments", [(), (0.0,), (-1.0, 1.0)])
def test_bad_moments(moments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="moments must be exponents above zero"):
        region_statistics(make_batch("softmax", soft=False, weighted=False), moments)
