"""What the processes of a test run: importable by its name wherever Python starts."""

from __future__ import annotations

import pickle

import torch
from torch import Tensor

from metriseg.catalogue import CATALOGUE, Entry
from metriseg.losses import SegmentationLoss
from reference.batches import random_labels, random_logits

Answer = tuple[Tensor, Tensor]


def batch(entry: Entry, seed: int) -> tuple[Tensor, Tensor]:
    dimensions = min(entry.spatial_dimensions)
    labels = random_labels(4, dimensions, seed=seed + 100, ignore=0.2)
    return random_logits(4, dimensions, seed=seed), labels


def answer(loss: SegmentationLoss, logits: Tensor, target: Tensor) -> Answer:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, target)
    value.backward()
    return value.detach(), leaf.grad


def answers_elsewhere(pickled: bytes) -> list[tuple[str, float, list[float], bool]]:
    """In a worker: every loss, as it came and pickled once more, on a batch made there."""
    torch.set_num_threads(1)
    losses: dict[str, SegmentationLoss] = pickle.loads(pickled)
    answers = []
    for name, loss in losses.items():
        one = batch(CATALOGUE[name], seed=0)
        value, slope = answer(loss, *one)
        again, _ = answer(pickle.loads(pickle.dumps(loss)), *one)
        answers.append((name, value.item(), slope.flatten().tolist(), torch.equal(value, again)))
    return answers
