"""The ways to train a network on shapes: the published ones, the kernel's, and baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from metriseg.batch import Batch
from metriseg.components import connected_components
from metriseg.data.shapes import CLASSES, ShapesDataset
from metriseg.extraction import KNNSegments, group_embedding
from metriseg.losses import CrossEntropyLoss, DiceLoss, PartitionLoss

Labels = NDArray[np.int64]

#: Dimensions of the embedding that stands beside two logits.
EMBEDDING = 6
#: Segments of fewer pixels are no objects.
LEAST_PIXELS = 10
#: The published estimators. Of 4 and 8 centroids, 4 serve conv1x1 better and 8 soft masks.
PUBLISHED: Mapping[str, KNNSegments] = {
    "conv1x1": KNNSegments(k=4, estimator="conv1x1"),
    "gumbel": KNNSegments(k=8, estimator="gumbel"),
    "soft": KNNSegments(k=8, estimator="soft"),
}


class Images(NamedTuple):
    """Images ``(N, 3, H, W)``, and the class and the object of each pixel ``(N, H, W)``."""

    images: Tensor
    classes: Tensor
    instances: Tensor

    def chosen(self, which: Tensor) -> Images:
        return Images(*(one[which] for one in self))

    @property
    def foreground(self) -> Tensor:
        return (self.instances > 0).long()


def draw_images(count: int, seed: int, *, side: int = 100, least_gap: int = 0) -> Images:
    """So many images of that seed; 0 is the gap of shapes that may touch."""
    drawn = ShapesDataset(count, size=(side, side), least_gap=least_gap, seed=seed)
    return Images(*map(torch.stack, zip(*(drawn[k] for k in range(count)), strict=True)))


@dataclass(frozen=True)
class Method:
    """A way to train the network, and to read segments from its output.

    Attributes:
        channels: of the output.
        loss: of the output and the truth.
        segments: ``(N, H, W)`` from the output: 0 for the background, else the object.
        words: what the table says about it.
        knn: the extractor of the published method, where this is one.
    """

    channels: int
    loss: Callable[[Tensor, Images], Tensor]
    segments: Callable[[Tensor], Labels]
    words: str
    knn: KNNSegments | None = None


def _cross_entropy(output: Tensor, truth: Images) -> Tensor:
    loss: Tensor = CrossEntropyLoss()(output[:, :2], truth.foreground)
    return loss


def _classes_cross_entropy(output: Tensor, truth: Images) -> Tensor:
    loss: Tensor = CrossEntropyLoss()(output, truth.classes)
    return loss


def _dice(output: Tensor, truth: Images) -> Tensor:
    loss: Tensor = DiceLoss()(output, truth.foreground)
    return loss


def without_specks(labels: Labels, least: int = LEAST_PIXELS) -> Labels:
    """A label map whose small connected segments have gone to what is nearest."""
    _, index, sizes = np.unique(connected_components(labels), False, True, True)
    large = (sizes >= least)[index].reshape(labels.shape)
    if not large.any():
        return labels
    nearest = ndimage.distance_transform_edt(~large, return_distances=False, return_indices=True)
    cleaned: Labels = labels[tuple(nearest)]
    return cleaned


def class_components(output: Tensor) -> Labels:
    """The connected components of every predicted class but the background, without specks."""
    return _foreground_components(output.argmax(1).numpy())


def grouped_embedding(output: Tensor) -> Labels:
    """Two logits say what is foreground; the other channels part it. Specks are cleared."""
    groups = group_embedding(output[:, 2:], foreground=output[:, 1] > output[:, 0])
    return _foreground_components(groups.numpy())


def _foreground_components(labels: Labels) -> Labels:
    cleared = map(without_specks, labels)
    return np.stack([np.where(one > 0, 1 + connected_components(one), 0) for one in cleared])


def knn_segments(output: Tensor, extractor: KNNSegments) -> Labels:
    """The segments of one channel as they are; the largest is the background."""
    batch = Batch.from_tensors(output, output.new_zeros(output.shape), activation="sigmoid")
    labels = 1 + extractor.label_map(batch).numpy()
    for one in labels:
        one[one == np.bincount(one.ravel()).argmax()] = 0
    return labels


def _published(extractor: KNNSegments, words: str) -> Method:
    partition = PartitionLoss(extractor, activation="sigmoid")
    return Method(
        1,
        lambda output, truth: partition(
            output, truth.foreground, maps={"instances": truth.instances}
        ),
        lambda output: knn_segments(output, extractor),
        words,
        extractor,
    )


def _kernel() -> Method:
    partition = PartitionLoss("KernelSegments", include_background=False)

    def loss(output: Tensor, truth: Images) -> Tensor:
        logits, features = output[:, :2], output[:, 2:]
        pairs: Tensor = partition(
            logits, truth.foreground, maps={"instances": truth.instances}, features=features
        )
        return _cross_entropy(output, truth) + pairs

    words = "cross-entropy of the foreground + `PartitionLoss`, kernel of an embedding"
    return Method(2 + EMBEDDING, loss, grouped_embedding, words)


def _methods() -> dict[str, Method]:
    found = {
        "cross-entropy": Method(
            2, _cross_entropy, class_components, "cross-entropy of the foreground, components"
        ),
        "cross-entropy-classes": Method(
            len(CLASSES),
            _classes_cross_entropy,
            class_components,
            "cross-entropy of the six classes, components of each",
        ),
        "dice": Method(2, _dice, class_components, "Dice loss of the foreground, components"),
    }
    for name, extractor in PUBLISHED.items():
        words = f"`PartitionLoss` alone of one channel, {extractor.k} centroids, {name}"
        found[name] = _published(extractor, words)
    return {**found, "kernel": _kernel()}


#: Name -> what is compared.
METHODS: Mapping[str, Method] = _methods()
#: Those that know nothing of the partition metric.
BASELINES = ("cross-entropy", "cross-entropy-classes", "dice")
