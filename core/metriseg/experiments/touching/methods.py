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
from torch import Tensor

from metriseg import CompoundLoss, CrossEntropyLoss
from metriseg.experiments.objects import (
    Labels,
    components,
    distance_inside,
    finished,
    flooded,
    large,
    probabilities,
    three_classes,
)
from metriseg.experiments.scikit_image import scikit_image
from metriseg.extraction import group_embedding
from metriseg.losses import PartitionLoss

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


def _components(output: Tensor, *, least: int) -> Labels:
    foreground = (output[1] > output[0]).numpy()
    return large(components(foreground), least)


def _flooded_probability(output: Tensor, *, above: float, least: int) -> Labels:
    p = probabilities(output[:2])[1]
    return flooded(-p, large(components(p > above), least), p > 0.5)


def _flooded_distance(output: Tensor, *, height: float) -> Labels:
    """Seeds are the hilltops of the distance to the background that rise by ``height``."""
    foreground = (output[1] > output[0]).numpy()
    distance = distance_inside(foreground)
    tops = scikit_image("morphology").h_maxima(distance, height) > 0
    return flooded(-distance, components(tops & foreground), foreground)


def _flooded_insides(output: Tensor, *, above: float, least: int) -> Labels:
    background, inside, _ = p = probabilities(output)
    return flooded(-inside, large(components(inside > above), least), background < p[1:].sum(0))


def _fullest_slots(output: Tensor, *, whole: bool, least: int) -> Labels:
    foreground = (output[1] > output[0]).numpy()
    chosen: Labels = output[2:].argmax(0).numpy() + 1
    return finished(np.where(foreground, chosen, 0), whole, least)


def _grouped(output: Tensor, *, bandwidth: float, whole: bool, least: int) -> Labels:
    foreground = output[1] > output[0]
    found = group_embedding(output[None, 2:], foreground=foreground[None], bandwidth=bandwidth)
    return finished(found[0].numpy(), whole, least)
