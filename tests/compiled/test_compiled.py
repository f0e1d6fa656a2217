"""Every loss through torch.compile at the size of an image: ``make test-compile``, an hour.

``make test`` compiles two losses a level with inductor, on images of a few pixels; how a loop is
cut into vectors and threads, and so the code that comes out, depends on the size.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from metriseg.catalogue import CATALOGUE, Entry
from reference.batches import IGNORE

CLASSES = 4
SIDES = {1: (256,), 2: (64, 64), 3: (16, 16, 16)}


@pytest.fixture(params=CATALOGUE.values(), ids=lambda e: e.name)
def entry(request: pytest.FixtureRequest) -> Entry:
    torch._dynamo.reset()
    return request.param


def batch(size: tuple[int, ...], *, ignored: bool) -> tuple[Tensor, Tensor]:
    """Float32 logits and labels, a fifth of the pixels ignored if any."""
    generator = torch.Generator().manual_seed(sum(size))
    logits = torch.randn(2, CLASSES, *size, generator=generator) * 2
    labels = torch.randint(CLASSES, (2, *size), generator=generator)
    hidden = torch.rand(labels.shape, generator=generator) < 0.2
    return logits, torch.where(hidden, IGNORE, labels) if ignored else labels


def value_and_gradient(loss: nn.Module, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target)
    value.backward()
    return value.detach(), leaf.grad


def assert_same(compiled: nn.Module, loss: nn.Module, logits: Tensor, target: Tensor) -> None:
    """Sums of 4,096 float32 numbers in another order differ by some 1e-6 of their largest."""
    expected_value, expected_slope = value_and_gradient(loss, logits, target)
    value, slope = value_and_gradient(compiled, logits, target)
    torch.testing.assert_close(value, expected_value, rtol=1e-4, atol=1e-5)
    largest = expected_slope.abs().max().item()
    torch.testing.assert_close(slope, expected_slope, rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.parametrize("ignored", [False, True], ids=["all-count", "some-ignored"])
def test_inductor(entry: Entry, ignored: bool) -> None:
    """The code that inductor generates gives the eager value and gradient."""
    dimensions = 2 if 2 in entry.spatial_dimensions else min(entry.spatial_dimensions)
    logits, target = batch(SIDES[dimensions], ignored=ignored)
    loss = entry.build(ignore_index=IGNORE if ignored else None)
    compiled = torch.compile(loss, backend="inductor", fullgraph=not entry.graph_break)
    assert_same(compiled, loss, logits, target)


def test_dynamic_shapes(entry: Entry) -> None:
    """The whole loss is one graph for images of sizes unknown, and right at two of them."""
    dimensions = 2 if 2 in entry.spatial_dimensions else min(entry.spatial_dimensions)
    first = SIDES[dimensions]
    second = tuple(side // 2 + 8 * axis + 8 for axis, side in enumerate(first))
    loss = entry.build(ignore_index=IGNORE)
    # eager first: what is loaded at the first use is there then
    loss(*batch(first, ignored=True))
    whole = not entry.graph_break
    compiled = torch.compile(loss, backend="aot_eager", dynamic=True, fullgraph=whole)
    for size in (first, second):
        assert_same(compiled, loss, *batch(size, ignored=True))
