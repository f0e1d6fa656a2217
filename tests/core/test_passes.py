"""Functions of logits and labels whose gradient is written by hand, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metriseg import Batch, passes
from metriseg.statistics import label_log_probabilities, region_statistics
from reference.batches import IGNORE, random_labels, random_logits


def batch_of(activation: str, *, ignored: float = 0.0) -> Batch:
    labels = random_labels(4, ignore=ignored)
    return Batch.from_tensors(
        random_logits(4).requires_grad_(),
        labels,
        activation=activation,
        ignore_index=IGNORE if ignored else None,
    )


def columns(batch: Batch) -> list[tuple[tuple[int, ...], NDArray[np.float64], int, float]]:
    """Every pixel's place, logits, label and weight."""
    logits, target = batch.logits.detach().numpy(), batch.target.numpy()
    weight = np.ones(target.shape) if batch.weight is None else batch.weight.numpy()
    return [
        (place, logits[(place[0], slice(None), *place[1:])], int(target[place]), weight[place])
        for place in np.ndindex(target.shape)
    ]


@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_label_log_probabilities(ignored: float) -> None:
    batch = batch_of("softmax", ignored=ignored)
    found = label_log_probabilities(batch)
    for place, z, label, weight in columns(batch):
        if weight:
            expected = z[label] - np.log(np.exp(z).sum())
            np.testing.assert_allclose(found[place].item(), expected, rtol=1e-12)
    torch.autograd.gradcheck(lambda z: _logs(z, batch), batch.logits)
    torch.autograd.gradgradcheck(lambda z: _logs(z, batch), batch.logits)


def _logs(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return label_log_probabilities(Batch(logits, batch.target, batch.weight))


@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("moments", [(1.0,), (1.0, 1.5), (2.0,)])
def test_logarithms_that_ride_along(ignored: float, moments: tuple[float, ...]) -> None:
    """Sums and logarithms of one pass, and the gradient of a function of both."""
    batch = batch_of("softmax", ignored=ignored)
    s = region_statistics(batch, moments, overlap_moments=(1.0,), label_logs=True)
    alone = Batch(batch.logits, batch.target, batch.weight)
    plain = region_statistics(alone, moments, overlap_moments=(1.0,))
    torch.testing.assert_close(label_log_probabilities(batch), label_log_probabilities(alone))

    def both(s: object, logs: torch.Tensor) -> torch.Tensor:
        parts = (s.overlap[1.0], *s.predicted.values())
        return (
            sum((k + 2) * part.square().sum() for k, part in enumerate(parts))
            + (logs * torch.arange(logs.numel(), dtype=logs.dtype).view(logs.shape)).sum()
        )

    (together,) = torch.autograd.grad(both(s, label_log_probabilities(batch)), batch.logits)
    (apart,) = torch.autograd.grad(both(plain, label_log_probabilities(alone)), batch.logits)
    torch.testing.assert_close(together, apart)


def test_a_gradient_where_the_label_has_no_probability() -> None:
    """exp(-200) is 0 in single precision: the slope of its logarithm is p - t all the same."""
    logits = torch.tensor([[[0.0], [200.0]]], requires_grad=True)
    batch = Batch.from_tensors(logits, torch.tensor([[0]]))
    s = region_statistics(batch, label_logs=True)
    logs = label_log_probabilities(batch)
    assert logs.item() == -200
    (logs.sum() + 0 * s.overlap[1.0].sum()).backward()
    assert logits.grad.flatten().tolist() == [1.0, -1.0]


@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_label_errors(ignored: float) -> None:
    batch = batch_of("softmax", ignored=ignored)
    found = passes.label_errors(batch)
    for place, z, label, weight in columns(batch):
        if weight:
            p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
            expected = np.abs((np.arange(4) == label) - p)
            given = found.detach().numpy()[(place[0], slice(None), *place[1:])]
            np.testing.assert_allclose(given, expected, rtol=1e-12)
    torch.autograd.gradcheck(
        lambda z: passes.label_errors(Batch(z, batch.target, batch.weight)), batch.logits
    )
    torch.autograd.gradgradcheck(
        lambda z: passes.label_errors(Batch(z, batch.target, batch.weight)), batch.logits
    )


@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_question_entropies(ignored: float) -> None:
    batch = batch_of("sigmoid", ignored=ignored)
    expected = np.zeros((len(batch.logits), 4))
    for place, z, label, weight in columns(batch):
        for c in range(4):
            p = 1 / (1 + np.exp(-z[c]))
            expected[place[0], c] -= weight * np.log(p if c == label else 1 - p)
    np.testing.assert_allclose(
        passes.question_entropies(batch).detach().numpy(), expected, rtol=1e-10
    )

    def again(z: torch.Tensor) -> torch.Tensor:
        return passes.question_entropies(Batch(z, batch.target, batch.weight, activation="sigmoid"))

    torch.autograd.gradcheck(again, batch.logits)
    torch.autograd.gradgradcheck(again, batch.logits)


def test_entropies_keep_their_digits() -> None:
    """softplus(-20) = 2.06e-9 at a label whose logit is 20, and -(1 - p) its slope."""
    logits = torch.tensor([[[20.0], [-20.0]]], requires_grad=True)
    batch = Batch.from_tensors(logits, torch.tensor([[0]]), activation="sigmoid")
    found = passes.question_entropies(batch)
    expected = np.log1p(np.exp(-20.0))
    np.testing.assert_allclose(found.detach().numpy(), [[expected, expected]], rtol=1e-6)
    found.sum().backward()
    slope = 1 / (1 + np.exp(20.0))
    np.testing.assert_allclose(logits.grad.flatten().numpy(), [-slope, slope], rtol=1e-6)
