"""The ways to tell touching objects apart that :mod:`metriseg.experiments.touching` compares.

A :class:`Method` is what a network is trained with; a :class:`Way` is how label maps are made of
its output, with settings of which the best on validation images is taken. A method may have
several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from metriseg import CompoundLoss, CrossEntropyLoss
from metriseg.components import connected_components
from metriseg.experiments.scikit_image import scikit_image
from metriseg.extraction import group_embedding
from metriseg.losses import PartitionLoss

Labels = NDArray[np.int64]
Values = NDArray[np.float64]
#: Of the outputs ``(N, K, H, W)`` of a network, and the true objects ``(N, H, W)``.
Objective: TypeAlias = Callable[[Tensor, Tensor], Tensor]
#: From one output ``(K, H, W)`` to the objects, 0 for background, with settings.
Way: TypeAlias = partial[Labels]

#: Of the partition distance beside cross-entropy: with more, the foreground is learnt later.
WEIGHT = 0.3
#: Pieces of fewer pixels are no objects; the smallest true ones have more.
TINY = (1, 10, 30)


class Method(NamedTuple):
    """What is trained: channels of the network, its loss, and the ways to label maps by name."""

    name: str
    channels: int
    objective: Objective
    ways: Mapping[str, Sequence[Way]]


def methods() -> list[Method]:
    """Three baselines, and ours."""
    return [cross_entropy(), boundary_classes(), slots(), kernel()]


def cross_entropy() -> Method:
    """Foreground alone, and three ways to part it into objects."""
    loss = CrossEntropyLoss()
    return Method(
        "cross-entropy",
        2,
        lambda outputs, instances: loss(outputs, (instances > 0).long()),
        {
            "components": [partial(_components, least=n) for n in TINY],
            "watershed of the probability": [
                partial(_flooded_probability, above=p, least=n)
                for p in (0.6, 0.75, 0.9, 0.97)
                for n in TINY
            ],
            "watershed of the distance": [
                partial(_flooded_distance, height=h) for h in (0.5, 0.75, 1.0, 1.5, 2.0)
            ],
        },
    )


def boundary_classes() -> Method:
    """Background, inside and boundary; the insides are seeds that grow over the boundaries."""
    loss = CrossEntropyLoss()
    return Method(
        "cross-entropy with a boundary class",
        3,
        lambda outputs, instances: loss(outputs, three_classes(instances)),
        {
            "watershed": [
                partial(_flooded_insides, above=p, least=n)
                for p in (0.3, 0.5, 0.7, 0.9)
                for n in (1, 4, 10)
            ]
        },
    )


def slots(number: int = 8) -> Method:
    """Cross-entropy, and the partition distance of slots that objects choose from."""
    classes = CrossEntropyLoss()
    partition = PartitionLoss("SlotSegments", include_background=False)

    def objective(outputs: Tensor, instances: Tensor) -> Tensor:
        truth = (instances > 0).long()
        maps = {"instances": instances}
        value: Tensor = classes(outputs[:, :2], truth)
        value = value + WEIGHT * partition(outputs[:, 2:], truth, maps=maps)
        return value

    ways = [partial(_fullest_slots, whole=whole, least=n) for whole in (False, True) for n in TINY]
    return Method("cross-entropy + slots", 2 + number, objective, {"fullest slot": ways})


def kernel(
    name: str = "cross-entropy + kernel",
    *,
    dimension: int = 6,
    frequencies: int = 64,
    bandwidth: float = 1.0,
    seed: int | None = None,
    include_background: bool = False,
    weight: float = WEIGHT,
    **settings: Any,
) -> Method:
    """Cross-entropy, and the partition distance of an embedding by a Gaussian kernel."""
    segments = {
        "type": "KernelSegments",
        "frequencies": frequencies,
        "bandwidth": bandwidth,
        "seed": seed,
    }
    partition = PartitionLoss(segments, include_background=include_background, **settings)
    loss = CompoundLoss([CrossEntropyLoss(), partition], [1.0, weight])

    def objective(outputs: Tensor, instances: Tensor) -> Tensor:
        value: Tensor = loss(
            outputs[:, :2],
            (instances > 0).long(),
            features=outputs[:, 2:],
            maps={"instances": instances},
        )
        return value

    ways = [
        partial(_grouped, bandwidth=bandwidth, whole=whole, least=n)
        for whole in (False, True)
        for n in TINY
    ]
    return Method(name, 2 + dimension, objective, {"grouping": ways})


def three_classes(instances: Tensor) -> Tensor:
    """``(N, H, W)``: 0 background, 1 inside, 2 for pixels of an object beside anything else."""
    padded = nn.functional.pad(instances, (1, 1, 1, 1), value=-1)
    inside = torch.ones_like(instances, dtype=torch.bool)
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        height, width = instances.shape[1:]
        beside = padded[:, row : row + height, column : column + width]
        inside &= (beside == instances) | (beside < 0)
    return torch.where(instances > 0, torch.where(inside, 1, 2), 0)


def _probabilities(logits: Tensor) -> Values:
    values: Values = logits.double().softmax(0).numpy()
    return values


def _components(output: Tensor, *, least: int) -> Labels:
    foreground = (output[1] > output[0]).numpy()
    return _large(_numbered(foreground, foreground.astype(np.int64)), least)


def _flooded_probability(output: Tensor, *, above: float, least: int) -> Labels:
    p = _probabilities(output[:2])[1]
    return _flooded(-p, _large(_seeds(p > above), least), p > 0.5)


def _flooded_distance(output: Tensor, *, height: float) -> Labels:
    """Seeds are the hilltops of the distance to the background that rise by ``height``."""
    foreground = (output[1] > output[0]).numpy()
    distance = ndimage.distance_transform_edt(np.pad(foreground, 1))[1:-1, 1:-1]
    tops = scikit_image("morphology").h_maxima(distance, height) > 0
    return _flooded(-distance, _seeds(tops & foreground), foreground)


def _flooded_insides(output: Tensor, *, above: float, least: int) -> Labels:
    background, inside, _ = p = _probabilities(output)
    return _flooded(-inside, _large(_seeds(inside > above), least), background < p[1:].sum(0))


def _flooded(landscape: Values, seeds: Labels, foreground: NDArray[np.bool_]) -> Labels:
    """Watershed from the seeds; what none reaches is an object of its own if it is not tiny."""
    flooded = _flood(landscape, seeds, foreground)
    rest = foreground & (flooded == 0)
    others = _large(_numbered(rest, rest.astype(np.int64)), TINY[-1])
    return np.where(others > 0, others + flooded.max(), flooded)


def _flood(landscape: Values, seeds: Labels, foreground: NDArray[np.bool_]) -> Labels:
    flooded: NDArray[Any] = scikit_image("segmentation").watershed(
        landscape, seeds, mask=foreground
    )
    return flooded.astype(np.int64)


def _fullest_slots(output: Tensor, *, whole: bool, least: int) -> Labels:
    foreground = (output[1] > output[0]).numpy()
    chosen: Labels = output[2:].argmax(0).numpy() + 1
    return _finished(np.where(foreground, chosen, 0), whole, least)


def _grouped(output: Tensor, *, bandwidth: float, whole: bool, least: int) -> Labels:
    foreground = output[1] > output[0]
    found = group_embedding(output[None, 2:], foreground=foreground[None], bandwidth=bandwidth)
    return _finished(found[0].numpy(), whole, least)


def _finished(labels: Labels, whole: bool, least: int) -> Labels:
    """Where ``whole``, an object is connected; tiny ones join what they touch, or vanish."""
    pieces = _numbered(labels > 0, labels) if whole else labels
    large = _large(pieces, least)
    return _flood(np.zeros(labels.shape), large, labels > 0)


def _seeds(where: NDArray[np.bool_]) -> Labels:
    return _numbered(where, where.astype(np.int64))


def _numbered(foreground: NDArray[np.bool_], labels: Labels) -> Labels:
    """The connected components of the labels within the foreground, from 1; 0 elsewhere."""
    return np.where(foreground, connected_components(np.where(foreground, labels, 0)) + 1, 0)


def _large(labels: Labels, least: int) -> Labels:
    sizes = np.bincount(labels.ravel())
    return np.where(sizes[labels] < least, 0, labels)
