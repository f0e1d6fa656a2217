"""The networks of :mod:`metriseg.experiments.photographs`, and how they are taught.

All are the same small U-Net, from scratch, and see the same crops of the same photographs in the
same order, with a human segmentation drawn anew each time. They differ in what they predict and in
the loss.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metriseg.data.bsds500 import Photograph
from metriseg.extraction import KernelSegments
from metriseg.functional.partition import Weighting
from metriseg.losses import CompoundLoss, CrossEntropyLoss, PartitionLoss
from metriseg.losses.partition import Density
from metriseg.models.places import with_places
from metriseg.models.unet import UNet

#: Pixels of a crop that the weighted metric compares.
SAMPLES = 800
#: Resolution is halved: of 321 x 481 pixels, 160 x 240 are looked at.
SCALE = 2

Labels = NDArray[np.int64]


class Halved(NamedTuple):
    """A photograph at half resolution and what people saw in it.

    Attributes:
        name: the photograph's.
        image: ``(3, h, w)`` within -1 … 1: means of 2 x 2 pixels.
        people: ``(P, h, w)`` int64, segments.
        whole: label maps at full resolution.
    """

    name: str
    image: Tensor
    people: Tensor
    whole: list[Labels]


class Recipe(NamedTuple):
    """What a network predicts, and its loss of ``(prediction, segments)``.

    Attributes:
        name: of the loss.
        boundary: whether the first channel is a boundary's logit.
        dim: of the embedding in the other channels, 0 for none.
        loss: of ``(N, K, h, w)`` and ``(N, h, w)``.
    """

    name: str
    boundary: bool
    dim: int
    loss: Callable[[Tensor, Tensor], Tensor]


class Training(NamedTuple):
    """How long, and on what."""

    steps: int = 450
    images: int = 6
    crop: int = 96
    rate: float = 3e-3
    width: int = 16
    depth: int = 4


def halved(photograph: Photograph) -> Halved:
    """Read a photograph and its segmentations."""
    image = torch.from_numpy(photograph.image().astype(np.float32)).permute(2, 0, 1)
    pooled = torch.nn.functional.avg_pool2d(image, SCALE) / 127.5 - 1
    height, width = pooled.shape[1:]
    whole = photograph.segmentations()
    people = np.stack([one[::SCALE, ::SCALE][:height, :width] for one in whole])
    return Halved(photograph.name, pooled, torch.from_numpy(people), whole)


def enlarged(labels: Labels, shape: tuple[int, ...]) -> Labels:
    """A label map at half resolution at the size of the photograph."""
    large = labels.repeat(SCALE, 0).repeat(SCALE, 1)[: shape[0], : shape[1]]
    return np.pad(large, [(0, n - m) for n, m in zip(shape, large.shape, strict=True)], "edge")


def partition_recipe(
    dim: int = 8,
    windows: Sequence[int | None] = (None,),
    frequencies: int = 64,
    density: Density = "pixel",
    weighting: Weighting | None = None,
) -> Recipe:
    """Ours: pixels of near embeddings belong together; pairs within windows are compared.

    Of every 2 x 2 pixels one is compared, at random the same in all: its neighbours tell little
    else, and frequencies are better worth the time. A window of 16 is one of 32 pixels. With a
    ``weighting`` all pairs of some pixels are compared instead.
    """
    segments = KernelSegments(frequencies, samples=None if weighting is None else SAMPLES)
    loss = CompoundLoss(
        [PartitionLoss(segments, None, density, window, weighting=weighting) for window in windows]
    )

    def value(embedding: Tensor, truth: Tensor) -> Tensor:
        top, left = torch.randint(2, (2,)).tolist()
        near, seen = embedding[..., top::2, left::2], truth[..., top::2, left::2]
        result: Tensor = loss(near, torch.zeros_like(seen), maps={"instances": seen})
        return result / len(windows)

    name = "partition distance" + ("" if weighting is None else f", {weighting}")
    return Recipe(name, False, dim, value)


def boundary_recipe() -> Recipe:
    """The baseline: cross-entropy on human boundaries, balanced image by image."""
    loss = CrossEntropyLoss(activation="sigmoid", balance="image")

    def value(logits: Tensor, truth: Tensor) -> Tensor:
        result: Tensor = loss(logits, boundaries(truth).long())
        return result

    return Recipe("boundary cross-entropy", True, 0, value)


def joint_recipe(ours: Recipe, boundary: Recipe) -> Recipe:
    """Both from one network: the boundary's channel first, then the embedding."""

    def value(prediction: Tensor, truth: Tensor) -> Tensor:
        return boundary.loss(prediction[:, :1], truth) + ours.loss(prediction[:, 1:], truth)

    return Recipe(f"{ours.name} + {boundary.name}", True, ours.dim, value)


def boundaries(labels: Tensor) -> Tensor:
    """``(N, H, W)`` bool: pixels with a neighbour of another segment, above, below or beside."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (1, 2):
        n = labels.shape[axis] - 1
        differ = labels.narrow(axis, 0, n) != labels.narrow(axis, 1, n)
        found.narrow(axis, 0, n).logical_or_(differ)
        found.narrow(axis, 1, n).logical_or_(differ)
    return found


def draw(
    photographs: Sequence[Halved], setting: Training, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Crops ``(B, 5, s, s)``, mirrored or not, and segments ``(B, s, s)`` that one human saw."""

    def integer(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    images, segments = [], []
    for _ in range(setting.images):
        one = photographs[integer(len(photographs))]
        truth = one.people[integer(len(one.people))]
        image = one.image
        if integer(2):
            image, truth = image.flip(-1), truth.flip(-1)
        top, left = (integer(max(size - setting.crop, 0) + 1) for size in truth.shape)
        rows, columns = slice(top, top + setting.crop), slice(left, left + setting.crop)
        images.append(with_places(image[None])[0, :, rows, columns])
        segments.append(truth[rows, columns])
    return torch.stack(images), torch.stack(segments)


def train(
    photographs: Sequence[Halved], recipe: Recipe, setting: Training, seed: int = 0
) -> tuple[UNet, float]:
    """A network, and the seconds that it took."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = UNet(5, recipe.boundary + recipe.dim, width=setting.width, depth=setting.depth)
    optimizer = torch.optim.Adam(network.parameters(), setting.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, setting.rate, total_steps=setting.steps, pct_start=0.1
    )
    start, mean = time.perf_counter(), 0.0
    for step in range(setting.steps):
        images, segments = draw(photographs, setting, generator)
        value = recipe.loss(network(images), segments)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        mean += (float(value.detach()) - mean) / min(step + 1, 50)
        if (step + 1) % max(setting.steps // 10, 1) == 0:
            seconds = time.perf_counter() - start
            print(
                f"{recipe.name}: step {step + 1} of {setting.steps}, {seconds:.0f} s,"
                f" loss {mean:.4f}",
                file=sys.stderr,
                flush=True,
            )
    return network.eval(), time.perf_counter() - start


def predict(network: UNet, one: Halved) -> Tensor:
    """``(K, h, w)``."""
    with torch.no_grad():
        prediction: Tensor = network(with_places(one.image[None]))[0]
    return prediction
