"""Losses, optimisers and one training of :mod:`metriseg.experiments.dice_gradient`."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from metriseg import CrossEntropyLoss, DiceLoss, MimeLoss, NegativeMimeLoss, SegmentationLoss
from metriseg.calibration import classwise_bins
from metriseg.experiments.dice_gradient.volumes import BEYOND, CLASSES, Volume, together
from metriseg.models import UNet

#: By the names that the tables have.
LOSSES: Mapping[str, Callable[[], SegmentationLoss]] = {
    "cross-entropy": lambda: CrossEntropyLoss(ignore_index=BEYOND),
    "Dice": lambda: DiceLoss(ignore_index=BEYOND),
    "mime": lambda: MimeLoss(a=1.9, b=0.1, ignore_index=BEYOND),
    "negative mime": lambda: NegativeMimeLoss(ignore_index=BEYOND),
}
#: With the paper's settings, but for its learning rates' own halving, which is in :func:`train`.
OPTIMIZERS: Mapping[str, Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]] = {
    "Adam": lambda values: torch.optim.Adam(values, 5e-4, betas=(0.99, 0.999), fused=True),
    "SGD": lambda values: torch.optim.SGD(values, 1e-2, momentum=0.9, weight_decay=5e-4),
}
#: Of the best validation Dice, what an epoch must reach to be near it.
NEAR = 0.95
#: A structure whose test Dice is below this is lost.
LOST = 0.01


class Plan(NamedTuple):
    """What all trainings share."""

    volumes: int = 40
    validation: int = 10
    test: int = 40
    epochs: int = 18
    batch: int = 4
    width: int = 8
    levels: int = 3
    patience: int = 20


class Trial(NamedTuple):
    """What a training has of its own."""

    optimizer: str
    loss: str
    seed: int


class Data(NamedTuple):
    """To learn from, to choose an epoch by, and to measure with."""

    train: Volume
    validation: list[Volume]
    test: list[Volume]


def new_network(plan: Plan, seed: int) -> UNet:
    """With the weights of a seed, which is that of whatever is drawn next, too."""
    torch.manual_seed(seed)
    network = UNet(1, len(CLASSES), width=plan.width, depth=plan.levels)
    return network.to(memory_format=torch.channels_last)


def train(data: Data, trial: Trial, plan: Plan) -> dict[str, Any]:
    """Scores of the test volumes, by the weights of the epoch of the best validation Dice.

    The learning rate is halved when that hasn't risen for some epochs. A loss that isn't finite
    ends the training.
    """
    begun = time.perf_counter()
    network, loss = new_network(plan, trial.seed), LOSSES[trial.loss]()
    optimizer = OPTIMIZERS[trial.optimizer](network.parameters())
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", factor=0.5, patience=plan.patience
    )
    course: list[float] = []
    kept, diverged = copy.deepcopy(network.state_dict()), False
    for _ in range(plan.epochs):
        last = run_epoch(network, loss, optimizer, data.train, plan.batch)
        if not math.isfinite(last):
            diverged = True
            break
        value = float(np.mean([dice(one, predict(network, one)) for one in data.validation]))
        if not course or value > max(course):
            kept = copy.deepcopy(network.state_dict())
        course.append(value)
        schedule.step(value)
    network.load_state_dict(kept)
    return {
        **trial._asdict(),
        **scores(network, data.test),
        "validation": [round(value, 5) for value in course],
        "epochs to near the best": epochs_to_near(course),
        "diverged": diverged,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def run_epoch(
    network: UNet,
    loss: SegmentationLoss,
    optimizer: torch.optim.Optimizer,
    slices: Volume,
    batch: int,
) -> float:
    """Every slice once; the last loss, or the first that isn't finite."""
    network.train()
    last = math.nan
    for chosen in torch.split(torch.randperm(len(slices.images)), batch):
        images = slices.images[chosen].contiguous(memory_format=torch.channels_last)
        value = loss(network(images), slices.labels[chosen])
        last = value.item()
        if not math.isfinite(last):
            break
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return last


def predict(network: UNet, volume: Volume) -> Tensor:
    """``(D, K, H, W)``: probabilities."""
    network.eval()
    with torch.no_grad():
        outputs = [network(some) for some in torch.split(volume.images, 32)]
    return torch.cat(outputs).softmax(1)


def dice(volume: Volume, p: Tensor) -> list[float]:
    """The Dice coefficient of each structure in the whole volume; 1 where there is none at all."""
    found = p.argmax(1)[volume.labels != BEYOND]
    true = volume.labels[volume.labels != BEYOND]
    values = []
    for k in range(1, len(CLASSES)):
        shared = int(((found == k) & (true == k)).sum())
        both = int((found == k).sum() + (true == k).sum())
        values.append(2 * shared / both if both else 1.0)
    return values


def scores(network: UNet, volumes: Sequence[Volume]) -> dict[str, Any]:
    """Of each volume the Dice coefficients; of all voxels together the calibration."""
    predictions = [predict(network, one) for one in volumes]
    pairs = list(zip(volumes, predictions, strict=True))
    values = np.array([dice(*pair) for pair in pairs])
    inside = [one.labels != BEYOND for one in volumes]
    p = torch.cat(
        [q.movedim(1, 0)[:, mask] for q, mask in zip(predictions, inside, strict=True)], 1
    )
    target = torch.cat([one.labels[mask] for one, mask in zip(volumes, inside, strict=True)])
    bins = classwise_bins(p, target)
    return {
        "Dice": dict(zip(CLASSES[1:], np.round(values.T, 5).tolist(), strict=True)),
        "lost": bool((values.mean(0) < LOST).any()),
        "calibration error": float(np.mean([one.error for one in bins])),
        "bins": {
            name: {key: np.round(part, 6).tolist() for key, part in one._asdict().items()}
            for name, one in zip(CLASSES, bins, strict=True)
        },
    }


def epochs_to_near(course: Sequence[float]) -> int | None:
    """The first epoch, from 1, whose value is near the best of all; None where all are 0."""
    best = max(course, default=0.0)
    if best <= 0:
        return None
    return next(epoch for epoch, value in enumerate(course, 1) if value >= NEAR * best)


def split(known: Sequence[Volume], test: Sequence[Volume], plan: Plan) -> Data:
    """The last of the known ones for validation, the others to learn from."""
    return Data(together(known[: plan.volumes]), list(known[plan.volumes :]), list(test))
