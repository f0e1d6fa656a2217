"""The kernels of the GPU in Triton's interpreter, against the pass through PyTorch's operators.

Triton reads TRITON_INTERPRET as it is imported, so ``test_fused.py`` runs this in a process of its
own: ``TRITON_INTERPRET=1 python -m pytest tests/interpreted``.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor

import metriseg
from metriseg import Batch, fused, region_statistics
from metriseg.fused import launch
from metriseg.statistics import label_log_probabilities

assert os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The kernels are taken on the CPU."""

    def fits(logits: Tensor, target: Tensor, activation: str, *, errors: bool, least: bool) -> bool:
        soft = target.is_floating_point()
        return activation != "identity" and not least and not (soft and errors)

    monkeypatch.setattr(fused, "fits", fits)
    return monkeypatch


def inputs(
    shape: tuple[int, ...], *, soft: bool = False, weighted: bool = False, scale: float = 3.0
) -> tuple[Tensor, Tensor, Tensor | None]:
    drawn = torch.Generator().manual_seed(sum(shape))
    images, classes, *space = shape
    logits = torch.randn(shape, generator=drawn) * scale
    if soft:
        target = torch.rand(shape, generator=drawn)
    else:
        target = torch.randint(max(classes, 2), (images, *space), generator=drawn)
    if not weighted:
        return logits, target, None
    weight = torch.rand(images, *space, generator=drawn)
    weight = torch.where(weight < 0.3, 0.0, weight)
    # what doesn't count may hold anything
    return torch.where((weight > 0).unsqueeze(1), logits, torch.nan), target, weight


def everything(
    logits: Tensor, target: Tensor, weight: Tensor | None, activation: str, moments: Any
) -> list[Tensor]:
    """All sums, the logarithms, and the gradient of a function of all of them."""
    leaf = logits.clone().requires_grad_()
    batch = Batch.from_tensors(leaf, target, weight=weight, activation=activation)
    s = region_statistics(
        batch, moments, errors=batch.has_labels and 1.0 in moments, label_logs=True
    )
    parts = [*s.overlap.values(), *s.predicted.values()]
    parts += [] if s.missed is None else list(s.errors)
    if batch.has_labels and activation == "softmax":
        logs = label_log_probabilities(batch)
        parts.append(logs if weight is None else torch.where(weight > 0, logs, 0.0))
    drawn = torch.Generator().manual_seed(7)
    value = sum((one * torch.randn(one.shape, generator=drawn)).sum() for one in parts)
    (gradient,) = torch.autograd.grad(value, leaf)
    return [*(one.detach() for one in parts), *s.target.values(), s.count, gradient]


SHAPES = [(2, 5, 37, 29), (1, 19, 11), (3, 1, 20), (1, 33, 5, 4, 3)]


@pytest.mark.parametrize("weighted", [False, True], ids=["all-count", "weighted"])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equal_to_the_operators(
    interpreted: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    activation: str,
    soft: bool,
    weighted: bool,
) -> None:
    if shape[1] == 1 and activation == "softmax":
        pytest.skip("one class has no softmax")
    given = inputs(shape, soft=soft or shape[1] == 1, weighted=weighted)
    found = everything(*given, activation, (0.5, 1.0, 1.5))
    interpreted.setattr(fused, "fits", lambda *_, **__: False)
    expected = everything(*given, activation, (0.5, 1.0, 1.5))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 40.0, 300.0])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_extreme_logits(interpreted: pytest.MonkeyPatch, activation: str, scale: float) -> None:
    given = inputs((2, 5, 9, 7), scale=scale)
    found = everything(*given, activation, (1.0, 1.75, 2.0))
    assert all(one.isfinite().all() for one in found)
    interpreted.setattr(fused, "fits", lambda *_, **__: False)
    expected = everything(*given, activation, (1.0, 1.75, 2.0))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_programs_add_up(interpreted: pytest.MonkeyPatch, steps: int) -> None:
    """However many blocks a program has, and the last one not full."""
    interpreted.setattr(launch, "STEPS", steps)
    interpreted.setattr(launch, "PROGRAM_VALUES", 128)
    given = inputs((2, 5, 23, 17), weighted=True)
    found = everything(*given, "softmax", (1.0,))
    interpreted.setattr(fused, "fits", lambda *_, **__: False)
    for one, other in zip(found, everything(*given, "softmax", (1.0,)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        metriseg.CrossEntropyLoss(),
        metriseg.DiceCELoss(),
        metriseg.UnifiedFocalLoss(),
        metriseg.PowerJaccardLoss(),
        metriseg.CompoundLoss([metriseg.DiceLoss(), metriseg.FocalLoss()]),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_losses(interpreted: pytest.MonkeyPatch, loss: torch.nn.Module) -> None:
    """A channels-last batch, as networks make them, with second derivatives through PyTorch."""
    logits, target, _ = inputs((2, 4, 9, 8))
    values = []
    for _ in range(2):
        leaf = logits.to(memory_format=torch.channels_last).requires_grad_()
        value = loss(leaf, target)
        (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
        (plain,) = torch.autograd.grad(loss(leaf, target), leaf)
        (second,) = torch.autograd.grad(slope.square().sum(), leaf)
        values.append((value.detach(), slope.detach(), plain, second))
        interpreted.setattr(fused, "fits", lambda *_, **__: False)
    for one, other in zip(*values, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
