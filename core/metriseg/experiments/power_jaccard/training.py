"""Digits, losses and one training of :mod:`metriseg.experiments.power_jaccard`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as nnf

from metriseg import CrossEntropyLoss, PowerJaccardLoss
from metriseg.data.digits import SPLITS, Split, load_digits, segmentation_masks
from metriseg.models import UNet

#: Of the outputs ``(N, K, H, W)`` of a network, before the sigmoid, and labels ``(N, H, W)``: 0
#: for background, k for channel k - 1.
Objective: TypeAlias = Callable[[Tensor, Tensor], Tensor]

#: Channels of the network by task: no channel is for the background.
CHANNELS: Mapping[str, int] = {"binary": 1, "ten classes": 10}
POWERS = (1.0, 1.25, 1.5, 1.75, 2.0)
#: A loss of ours, beside those of the paper: cross-entropy that the background has a class in.
WITH_BACKGROUND = "CE, background a class"
FILE = "t10k-images-idx3-ubyte.gz"


class Images(NamedTuple):
    """``(N, 1, 28, 28)`` from 0 to 1, and their labels ``(N, 28, 28)``, 0 for background."""

    images: Tensor
    labels: Tensor

    def of_task(self, task: str) -> Images:
        return self if task == "ten classes" else Images(self.images, (self.labels > 0).long())


class Plan(NamedTuple):
    """What all trainings share."""

    epochs: int = 100
    patience: int = 5
    rate: float = 1e-3
    smooth: float = 10.0
    images: int = 1000
    levels: int = 3


class Trial(NamedTuple):
    """What a training has of its own."""

    task: str
    filters: int
    batch: int
    loss: str
    repeat: int


def read_digits(limit: int) -> dict[Split, Images]:
    """The 1,400 digits in their three splits; of the training images so many.

    Raises:
        ValueError: where METRISEG_DATA names no folder, or one without them.
    """
    root = os.environ.get("METRISEG_DATA")
    if not root:
        raise ValueError(f"METRISEG_DATA must name the folder of mnist/{FILE}")
    if not (Path(root) / "mnist" / FILE).is_file():
        raise ValueError(f"METRISEG_DATA must name a folder with mnist/{FILE}, got {root}")
    found: dict[Split, Images] = {}
    for split in SPLITS:
        digits = load_digits(split, root)
        images = torch.from_numpy(digits.images).float()[:, None] / 255
        labels = torch.from_numpy(segmentation_masks(digits)).long()
        kept = slice(limit if split == "train" else None)
        found[split] = Images(images[kept], labels[kept])
    return found


def loss_names(task: str) -> list[str]:
    """The losses of the paper's tables; for ten classes one more."""
    names = ["CE", *(f"p = {power:g}" for power in POWERS)]
    return names if task == "binary" else [*names, WITH_BACKGROUND]


def objective(loss: str, task: str, smooth: float) -> Objective:
    """The loss of this name as the authors' code has it.

    The power Jaccard loss takes one intersection and one union over all classes and images of a
    batch, so that its classes are as good as pixels. Cross-entropy of ten classes is of the pixels
    of digits alone, for there is no background among the classes, and of the ten sigmoids divided
    by their sum.
    """
    if loss == WITH_BACKGROUND:
        every = CrossEntropyLoss()
        return lambda outputs, labels: _value(every, with_background(outputs), labels)
    if loss == "CE" and task == "binary":
        single = CrossEntropyLoss(activation="sigmoid")
        return lambda outputs, labels: _value(single, outputs, labels)
    if loss == "CE":
        of_digits = CrossEntropyLoss(ignore_index=-1)
        return lambda outputs, labels: _value(of_digits, nnf.logsigmoid(outputs), labels - 1)
    power = PowerJaccardLoss(
        float(loss.removeprefix("p = ")), activation="sigmoid", smooth=smooth, per_image=False
    )

    def jaccard(outputs: Tensor, labels: Tensor) -> Tensor:
        channels = torch.arange(1, outputs.shape[1] + 1).view(1, -1, 1, 1)
        own = (labels[:, None] == channels).long()
        return _value(power, outputs.flatten(1)[:, None], own.flatten(1))

    return jaccard


def with_background(outputs: Tensor) -> Tensor:
    """One channel more, the first, that is 0 everywhere: logits of classes with a background."""
    return torch.cat([torch.zeros_like(outputs[:, :1]), outputs], 1)


def predicted(outputs: Tensor) -> Tensor:
    """``(N, H, W)``: the channel with the largest sigmoid, plus 1, where that is above 1/2."""
    return with_background(outputs).argmax(1)


def intersections_over_unions(found: Tensor, labels: Tensor, classes: int) -> list[float]:
    """Of each class over all pixels of all images; 0 where it is in neither."""
    table = torch.bincount(labels.flatten() * classes + found.flatten(), minlength=classes**2)
    table = table.view(classes, classes).double()
    shared = table.diagonal()
    union = table.sum(0) + table.sum(1) - shared
    values: list[float] = (shared / union.clamp(min=1)).tolist()
    return values


def mean_iou(outputs: Tensor, labels: Tensor) -> float:
    """As the paper's tables have it: of digit and background, or of the ten digits alone."""
    channels = outputs.shape[1]
    values = intersections_over_unions(predicted(outputs), labels, channels + 1)
    counted = values if channels == 1 else values[1:]
    return sum(counted) / len(counted)


def train(digits: Mapping[Split, Images], trial: Trial, plan: Plan) -> dict[str, Any]:
    """The mean IoU of the test images, by the weights of the epoch of the least validation loss.

    Adam, and an end when that loss hasn't fallen for some epochs, as in the authors' code.
    """
    begun = time.perf_counter()
    torch.manual_seed(trial.repeat)
    own, known, fresh = (digits[split].of_task(trial.task) for split in SPLITS)
    network = UNet(
        1,
        CHANNELS[trial.task],
        width=trial.filters,
        depth=plan.levels,
        normalization="none",
    )
    loss = objective(trial.loss, trial.task, plan.smooth)
    optimizer = torch.optim.Adam(network.parameters(), plan.rate, fused=True)
    best, best_epoch, outputs, epoch = float("inf"), 0, predict(network, fresh.images), 0
    for epoch in range(1, plan.epochs + 1):
        for chosen in torch.split(torch.randperm(len(own.images)), trial.batch):
            value = loss(network(own.images[chosen]), own.labels[chosen])
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        pairs = zip(
            torch.split(predict(network, known.images), trial.batch),
            torch.split(known.labels, trial.batch),
            strict=True,
        )
        validated = float(torch.stack([loss(*pair) for pair in pairs]).mean())
        if validated < best:
            best, best_epoch, outputs = validated, epoch, predict(network, fresh.images)
        elif epoch - best_epoch >= plan.patience:
            break
    return {
        **trial._asdict(),
        "mean IoU": mean_iou(outputs, fresh.labels),
        "epochs": epoch,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def predict(network: UNet, images: Tensor) -> Tensor:
    """The outputs, before the sigmoid."""
    with torch.no_grad():
        return torch.cat([network(some) for some in torch.split(images, 50)])


def _value(loss: Callable[..., Any], outputs: Tensor, labels: Tensor) -> Tensor:
    value: Tensor = loss(outputs, labels)
    return value
