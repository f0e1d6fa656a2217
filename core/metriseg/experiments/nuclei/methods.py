"""The ways to tell nuclei apart that :mod:`metriseg.experiments.nuclei` compares.

A :class:`Method` is what a network is trained with; its ways make label maps of an output, each
with settings of which the best on validation images are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from metriseg import CompoundLoss, CrossEntropyLoss
from metriseg.batch import Batch
from metriseg.experiments.objects import (
    Labels,
    components,
    distance_inside,
    finished,
    flood,
    large,
    probabilities,
    three_classes,
)
from metriseg.experiments.scikit_image import scikit_image
from metriseg.extraction import KNNSegments, group_embedding, landing_points
from metriseg.functional.partition import Weighting
from metriseg.losses import PartitionLoss

#: Of the outputs ``(N, K, H, W)`` of a network, and the true objects ``(N, H, W)``.
Objective: TypeAlias = Callable[[Tensor, Tensor], Tensor]
#: Keys of ours; the first is the one to choose.
OURS = ("union", "sum", "plain")
#: Keys of the methods that are trained unless others are asked for.
COMPARED = ("ce", "boundary", "union")
#: Probabilities of the foreground above which a pixel is of an object.
ABOVE = (0.5, 0.55, 0.6, 0.65, 0.7)
#: Pixels below which a piece is no object.
LEAST = (12, 20, 30, 40, 60)


class Way:
    """From one output ``(K, H, W)`` to the objects, 0 for background.

    Args:
        label: the function.
        values: of each of its settings those to choose from; the middle one is where tuning begins.
    """

    def __init__(self, label: Callable[..., Labels], **values: Sequence[Any]) -> None:
        self.label, self.values = label, values


class Method(NamedTuple):
    """What is trained: channels of the network, its loss, and the ways to label maps by name."""

    key: str
    name: str
    channels: int
    objective: Objective
    ways: Mapping[str, Way]


def methods() -> list[Method]:
    """Two baselines, and ours."""
    return [
        cross_entropy(),
        boundary_classes(),
        places("union", "cross-entropy + places, union", weighting="union"),
        places("sum", "cross-entropy + places, sum", weighting="sum"),
        places("plain", "cross-entropy + places, no weights", density="root"),
        published("union"),
        published(None),
    ]


def cross_entropy() -> Method:
    """Foreground alone, and two ways to part it into objects."""
    loss = CrossEntropyLoss()
    return Method(
        "ce",
        "cross-entropy",
        2,
        lambda outputs, objects: loss(outputs, (objects > 0).long()),
        {
            "components": Way(found_components, above=ABOVE, least=LEAST),
            "watershed of the distance": Way(
                flooded_distance, above=ABOVE, blur=(1.0, 2.0), apart=(4, 6), least=LEAST
            ),
        },
    )


def boundary_classes() -> Method:
    """Background, inside and boundary; the insides are seeds that grow over the boundaries."""
    loss = CrossEntropyLoss()
    return Method(
        "boundary",
        "cross-entropy with a boundary class",
        3,
        lambda outputs, objects: loss(outputs, three_classes(objects)),
        {"watershed": Way(flooded_insides, above=ABOVE, inside=(0.4, 0.5, 0.6, 0.7), least=LEAST)},
    )


def places(
    key: str,
    name: str,
    *,
    unit: float = 8.0,
    samples: int = 800,
    weight: float = 0.5,
    **settings: Any,
) -> Method:
    """Cross-entropy, and the partition metric of places plus predicted offsets."""
    segments = {"type": "KernelSegments", "samples": samples, "pixels_per_unit": unit}
    partition = PartitionLoss(segments, include_background=False, **settings)
    loss = CompoundLoss([CrossEntropyLoss(), partition], [1.0, weight])

    def objective(outputs: Tensor, objects: Tensor) -> Tensor:
        value: Tensor = loss(
            outputs[:, :2],
            (objects > 0).long(),
            features=outputs[:, 2:],
            maps={"instances": objects},
        )
        return value

    way = Way(
        landed,
        unit=(unit,),
        above=ABOVE,
        bandwidth=(0.4, 0.7, 1.4),
        valley=(0.4, 0.6, 0.8),
        least=LEAST,
    )
    return Method(key, name, 4, objective, {"places": way})


def published(weighting: Weighting | None, k: int = 8) -> Method:
    """The paper's own: one channel, k centroids, and nothing but the partition metric."""
    extractor = KNNSegments(k)
    partition = PartitionLoss(extractor, activation="sigmoid", weighting=weighting)

    def objective(outputs: Tensor, objects: Tensor) -> Tensor:
        value: Tensor = partition(outputs, (objects > 0).long(), maps={"instances": objects})
        return value

    words = "" if weighting is None else f", {weighting}"
    return Method(
        f"knn{'' if weighting is None else f'_{weighting}'}",
        f"{k} centroids{words}",
        1,
        objective,
        {"centroids": Way(central, extractor=(extractor,), least=LEAST)},
    )


def found_components(output: Tensor, *, above: float, least: int) -> Labels:
    """Connected foreground."""
    return large(components(probabilities(output[:2])[1] > above), least)


def flooded_distance(
    output: Tensor, *, above: float, blur: float, apart: int, least: int
) -> Labels:
    """Seeds are the peaks, some pixels apart, of the blurred distance to the background."""
    foreground = probabilities(output[:2])[1] > above
    distance = ndimage.gaussian_filter(distance_inside(foreground), blur)
    tops = scikit_image("feature").peak_local_max(
        distance, min_distance=apart, labels=components(foreground), exclude_border=False
    )
    seeds = np.zeros(foreground.shape, np.int64)
    seeds[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    return large(flood(-distance, seeds, foreground), least)


def flooded_insides(output: Tensor, *, above: float, inside: float, least: int) -> Labels:
    """Seeds are where the inside is likely."""
    p = probabilities(output)
    seeds = large(components(p[1] > inside), 5)
    return large(flood(-p[1], seeds, 1 - p[0] > above), least)


def landed(
    output: Tensor, *, unit: float, above: float, bandwidth: float, valley: float, least: int
) -> Labels:
    """Hills of the landing points' density; pieces of an object that lie apart are objects."""
    foreground = output[:2].softmax(0)[1] > above
    found = group_embedding(
        landing_points(output[None, 2:], unit),
        foreground=foreground[None],
        bandwidth=bandwidth,
        method="persistence",
        valley=valley,
        min_size=1,
    )
    return finished(found[0].numpy(), True, least)


def central(output: Tensor, *, extractor: KNNSegments, least: int) -> Labels:
    """The published segments; the largest is the background."""
    batch = Batch.from_tensors(output[None], torch.zeros_like(output)[None], activation="sigmoid")
    found = extractor.label_map(batch)[0].numpy()
    return large(np.where(found == np.bincount(found.ravel()).argmax(), 0, found + 1), least)
