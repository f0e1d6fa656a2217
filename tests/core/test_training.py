"""Every loss of the catalogue trains a network: thirty steps on eight handwritten digits."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from metriseg import CrossEntropyLoss
from metriseg.catalogue import Entry
from metriseg.data import digits
from metriseg.losses import SegmentationLoss
from reference.batches import accepted

STEPS = 30
WIDTH = 12
#: Pixels that a loss of sampled embeddings looks at.
SAMPLES = 128
#: Losses that have no slope where a class isn't predicted at all, or whose distances leap with the
#: first pixels that are.
BLIND_TO_WHAT_IS_NOT_FOUND = ("CenterlineBoundaryDiceLoss", "LogHausdorffDistanceTransformLoss")
#: The digits stand in the middle of their images, in a frame of 4 dark pixels.
MIDDLE = slice(4, 24)


class Problem(NamedTuple):
    """Images ``(N, 1, H, W)`` and labels ``(N, H, W)``: 0, or 1 more than the digit."""

    images: Tensor
    labels: Tensor


class Network(nn.Module):
    """Two convolutions, and a linear map of their features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Conv2d(WIDTH, channels, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the features that they are made of."""
        features = self.body(images)
        return self.head(features), features


@pytest.fixture(scope="module")
def problem() -> Problem:
    chosen = digits.load_digits("train")
    images = torch.from_numpy(chosen.images[:8, MIDDLE, MIDDLE]).float() / 255
    labels = torch.from_numpy(digits.segmentation_masks(chosen)[:8, MIDDLE, MIDDLE]).long()
    return Problem(images.unsqueeze(1), labels)


def suited(problem: Problem, entry: Entry) -> tuple[Problem, str, int]:
    """The problem as the loss can take it, with the activation and the number of channels.

    A softmax over background and digits if there may be one; else a digit's mask is a yes-or-no
    question, or each digit's mask is, where one channel is too few. Losses of embeddings compare
    pixels in pairs or triplets and get an eighth of them.
    """
    images, labels = problem
    if entry.features:
        images, labels = images[::2, :, ::2, ::2], labels[::2, ::2, ::2]
    if "softmax" in entry.loss.activations:
        return Problem(images, labels), "softmax", len(digits.CLASSES)
    if entry.min_classes > 1:
        return Problem(images, labels), "sigmoid", len(digits.CLASSES)
    return Problem(images, (labels > 0).long()), "sigmoid", 1


def train(network: Network, loss: SegmentationLoss, problem: Problem, entry: Entry) -> list[float]:
    """The loss of the batch before every step, and after the last.

    A loss of detached terms without a value at the truth chooses the pixels that it looks at by
    the prediction: it says where to go, not how far it is; one of segments knows no classes; one of
    predicted masks sees nothing before there are some. They are trained as they are used, beside
    the cross-entropy, and the sum must fall.
    """
    beside, chooses = None, entry.perfect is None or entry.level == "partition"
    if (entry.stop_gradient and chooses) or entry.name in BLIND_TO_WHAT_IS_NOT_FOUND:
        beside = CrossEntropyLoss(activation=loss.activation)
    learnt = [p for p in (*network.parameters(), *loss.parameters()) if p.requires_grad]
    optimizer = torch.optim.Adam(learnt, lr=0.01)
    values = []
    for step in range(STEPS + 1):
        logits, features = network(problem.images)
        value = loss(logits, problem.labels, features=features if entry.features else None)
        if beside is not None:
            value = value + beside(logits, problem.labels)
        values.append(value.item())
        if step < STEPS:
            optimizer.zero_grad()
            value.backward()
            grads = [p.grad for p in learnt if p.grad is not None]
            assert all(torch.isfinite(grad).all() for grad in grads), f"step {step}"
            assert step > 0 or any((grad != 0).any() for grad in grads)
            optimizer.step()
    return values


def test_training_lowers_the_loss(entry: Entry, problem: Problem) -> None:
    """Of a fixed batch: at the end against the start, and the last five steps against the first."""
    own, activation, channels = suited(problem, entry)
    fewer = accepted(entry, samples=SAMPLES) if entry.features else {}
    loss = entry.build(activation=activation, **fewer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(channels)
        values = train(network, loss, own, entry)
    assert values[-1] < values[0], values
    assert sum(values[-5:]) < sum(values[:5]), values
