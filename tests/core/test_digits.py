"""Single precision loses nothing that matters; half precision never gets in."""

from __future__ import annotations

import pytest
import torch

import metriseg
from metriseg.batch import Batch
from metriseg.catalogue import Entry
from metriseg.statistics import region_statistics
from reference.batches import random_labels, random_logits, random_weight

TARGET = random_labels(4)
OWN = torch.nn.functional.one_hot(TARGET, 4).movedim(-1, 1).double()


def near_truth(margin: float) -> torch.Tensor:
    """Logits in float32 that are right by about twice the margin."""
    return ((OWN * 2 - 1) * margin + 0.1 * random_logits(4)).float()


@pytest.mark.parametrize("margin", [2, 8, 16, 24, 40])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("soft", [False, True])
def test_float32_near_the_truth(entry: Entry, margin: float, activation: str, soft: bool) -> None:
    """The same logits in float64 give the same value, up to the rounding of a value of its size."""
    if activation not in entry.loss.activations or (soft and not entry.soft_targets):
        return
    loss, logits = entry.build(activation=activation), near_truth(margin)
    found, exact = (
        value_of(loss, z, OWN.to(z.dtype) if soft else TARGET) for z in (logits, logits.double())
    )
    assert found == pytest.approx(exact, rel=2e-5, abs=2e-6)


def value_of(loss: torch.nn.Module, logits: torch.Tensor, target: torch.Tensor) -> float:
    torch.manual_seed(0)
    return loss(logits, target).item()


@pytest.mark.parametrize(
    "loss",
    [
        metriseg.UnifiedFocalLoss(gamma=0.95),
        metriseg.UnifiedFocalLoss(gamma=0.95, form="symmetric", smooth=0.0),
        metriseg.UnifiedFocalLoss(gamma=0.95, activation="sigmoid"),
        metriseg.FocalTverskyLoss(gamma=3.0),
        metriseg.FocalTverskyLoss(gamma=3.0, activation="sigmoid", per_image=False),
        metriseg.ExponentialLogarithmicLoss(gamma_dice=0.1, gamma_ce=0.1),
        metriseg.CompoundLoss([metriseg.DiceLoss(), metriseg.FocalTverskyLoss(gamma=3.0)]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("margin", [10, 20, 40])
def test_powers_of_small_errors(loss: torch.nn.Module, margin: float) -> None:
    """An error of e^-80 = 1.8e-35 to the power 1/20 is 0.018, not the 0 of 1 - index.

    1 - p of a probability that rounds to 1 is the sum of the other classes' probabilities, which
    single precision holds down to 1e-45.
    """
    logits = near_truth(margin)
    found, exact = loss(logits, TARGET).item(), loss(logits.double(), TARGET).item()
    assert exact > 0
    assert found == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("soft", [False, True])
def test_errors_are_the_sums_of_differences(activation: str, soft: bool) -> None:
    """missed, claimed, rejected = sum w t (1 - p), w (1 - t) p, w (1 - t)(1 - p); additive."""
    logits, weight = random_logits(4), random_weight()
    logits = logits.softmax(1) if activation == "identity" else logits
    target = OWN * 0.8 + 0.05 if soft else TARGET

    def statistics(z: torch.Tensor, errors: bool) -> metriseg.RegionStatistics:
        batch = Batch.from_tensors(z, target, activation=activation, weight=weight)
        return region_statistics(batch, {1.0, 1.5}, errors=errors)

    s = statistics(logits, True)
    p = {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid(), "identity": logits}[activation]
    t = target if soft else OWN
    w = weight.unsqueeze(1)
    torch.testing.assert_close(s.missed, (w * t * (1 - p)).flatten(2).sum(2))
    torch.testing.assert_close(s.claimed, (w * (1 - t) * p).flatten(2).sum(2))
    torch.testing.assert_close(s.rejected, (w * (1 - t) * (1 - p)).flatten(2).sum(2))
    plain = statistics(logits, False)
    assert plain.missed is None
    torch.testing.assert_close(plain.errors, s.errors)
    torch.testing.assert_close((s + s).missed, 2 * s.missed)
    assert (s + plain).missed is None
    torch.testing.assert_close(s.pooled().claimed, s.claimed.sum(0, keepdim=True))
    assert torch.autograd.gradcheck(
        lambda z: statistics(z, True)[4:], logits.clone().requires_grad_()
    )
    assert torch.autograd.gradgradcheck(
        lambda z: statistics(z, True)[4:], logits.clone().requires_grad_(), fast_mode=True
    )


def test_errors_need_moment_one() -> None:
    batch = Batch.from_tensors(random_logits(4), TARGET)
    with pytest.raises(ValueError, match="moments must have 1 among them with errors=True"):
        region_statistics(batch, {2.0}, errors=True)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_backward_under_autocast(entry: Entry, activation: str) -> None:
    """Whoever calls backward() within autocast gets the same gradient, to the last bit."""
    if activation not in entry.loss.activations:
        return
    losses = [entry.build(activation=activation)]
    if entry.name == "PartitionLoss":
        names = ("KernelSegments", "SlotSegments", "KNNSegments", "ClassSegments")
        losses = [metriseg.PartitionLoss(name, activation=activation) for name in names]
    for loss in losses:
        gradients = []
        for enabled in (False, True):
            logits = random_logits(4).float().requires_grad_()
            torch.manual_seed(0)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                loss(logits, TARGET).backward()
            gradients.append(logits.grad)
        assert torch.equal(*gradients), loss


@pytest.mark.parametrize("segments", ["KernelSegments", "SlotSegments", "KNNSegments"])
@pytest.mark.parametrize("density", ["pixel", "root"])
def test_a_partition_of_heavy_pixels(segments: str, density: str) -> None:
    """Weights that sum to 4e30 have a square beyond float32; the measure is their shares."""
    loss = metriseg.PartitionLoss(segments, density=density)
    logits = random_logits(4).float()
    values = []
    for weight in (torch.ones(2, 5, 4), torch.full((2, 5, 4), 1e29)):
        torch.manual_seed(0)
        values.append(loss(logits, TARGET, weight=weight))
    torch.testing.assert_close(*values)
