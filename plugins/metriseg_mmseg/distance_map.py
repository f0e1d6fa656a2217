"""The maps that losses would make of every label, made once in the pipeline."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.distances import distance_field, signed_distance_map
from metriseg_mmseg.carried import DENSE_MAPS, MAP_KEYS, PIXEL_WEIGHT
from metriseg_mmseg.registry import TRANSFORMS
from metriseg_mmseg.transforms import labels_key

__all__ = ["DistanceMap", "SkeletonMap"]

#: Map -> its kinds, as the losses that read it have them; the first is their default.
KINDS: dict[str, tuple[str, ...]] = {
    "signed_distance": (),
    "region": ("rectified", "boundary"),
    "penalty": ("normalized", "raw"),
    "target_distance": (),
}


class _LossMap(BaseTransform):
    """Computes a map of the labels as a loss sees them, and notes which labels these were."""

    map: str

    def __init__(self, num_classes: int, ignore_index: int | None) -> None:
        self.num_classes = validation.whole_number("num_classes", num_classes, low=1)
        self.ignore_index = validation.label("ignore_index", ignore_index)

    @abc.abstractmethod
    def made(self, batch: Batch) -> Tensor:
        """``(1, C, H, W)``, or ``(1, 1, H, W)`` of a map without classes."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Adds ``gt_<map>_map``, ``(H, W, C)`` float32, or ``(H, W)`` of a penalty."""
        key = MAP_KEYS[self.map]
        labels = results.get("gt_seg_map")
        if not isinstance(labels, np.ndarray) or labels.ndim != 2:
            shape = "none" if labels is None else f"shape {np.shape(labels)}"
            raise ValueError(
                f"gt_seg_map must be labels (H, W) for {type(self).__name__}, got {shape}: place it"
                " behind LoadAnnotations"
            )
        made = self.made(self._batch(labels, results.get(PIXEL_WEIGHT)))[0]
        values = made.movedim(0, -1) if self.map in DENSE_MAPS else made[0]
        # transforms may change an array in place
        return {**results, key: values.numpy(), labels_key(key): labels.copy()}

    def _batch(self, labels: Any, weight: Any) -> Batch:
        # nothing is read of the logits but their shape
        logits = torch.zeros(()).expand(1, self.num_classes, *labels.shape)
        if weight is not None:
            weight = torch.from_numpy(np.ascontiguousarray(weight)).unsqueeze(0)
        return Batch.from_tensors(
            logits,
            torch.from_numpy(labels.astype(np.int64)).unsqueeze(0),
            activation="sigmoid",
            ignore_index=self.ignore_index,
            weight=weight,
        )


@TRANSFORMS.register_module()
class DistanceMap(_LossMap):
    """Computes of ``gt_seg_map`` a map that a loss would else compute in the training step.

    It stands behind all transforms that change the labels (flips, crops, sizes, rotations): a map
    is value for value what the loss would compute of the same labels, so it can't be transformed
    with them. ``metriseg_mmseg.PackSegInputs`` packs it, and refuses one whose labels have changed
    since; ``metriseg_mmseg.EncoderDecoder`` brings it to the losses.

    Pixels of weight 0 in ``gt_pixel_weight``, if it is loaded before, don't count, as in a loss.
    With a sampler that leaves pixels out, a loss would compute distances among those that are left;
    this map knows all.

    Args:
        map: "signed_distance" for ``BoundaryLoss``; "region" for ``RegionWiseLoss``; "penalty" for
            ``DistanceMapCrossEntropyLoss``; "target_distance" for
            ``HausdorffDistanceTransformLoss``.
        num_classes: C >= 1, the channels of the head's output; 1 for a binary one.
        spacing: the size of a pixel along both axes, each > 0; None for ones. Give the loss the
            same, unless it always gets the map.
        ignore_index: the label of the pixels that don't count, neither inside nor outside a class;
            None counts all.
        kind: the loss's argument ``map``: of a region "rectified" or "boundary", of a penalty
            "normalized" or "raw"; None for its default.

    Raises:
        ValueError: for an argument outside its domain; when called, for labels that are missing,
            have another shape than ``(H, W)``, or of no such class.
    """

    def __init__(
        self,
        map: str,
        num_classes: int,
        spacing: Sequence[float] | None = None,
        ignore_index: int | None = 255,
        kind: str | None = None,
    ) -> None:
        validation.one_of("map", map, tuple(KINDS))
        validation.one_of("kind", kind, (None, *KINDS[map]))
        super().__init__(num_classes, ignore_index)
        self.map = map
        self.spacing = validation.spacing(spacing)
        self.kind = kind or next(iter(KINDS[map]), None)

    def made(self, batch: Batch) -> Tensor:
        make = self._maker()
        return make(batch.masks, self.spacing, valid=batch.valid, dtype=torch.float32)

    def _maker(self) -> Callable[..., Tensor]:
        if self.map == "target_distance":
            return distance_field
        if self.map == "penalty":
            return self._penalty
        return F.rectified_region_map if self.kind == "rectified" else signed_distance_map

    def _penalty(self, masks: Tensor, spacing: Any, **more: Any) -> Tensor:
        return F.distance_penalty(
            masks,
            spacing,
            exclusive=self.num_classes > 1,
            normalize=self.kind == "normalized",
            **more,
        )

    def __repr__(self) -> str:
        return (
            f"DistanceMap(map={self.map!r}, num_classes={self.num_classes},"
            f" spacing={self.spacing}, ignore_index={self.ignore_index}, kind={self.kind!r})"
        )


@TRANSFORMS.register_module()
class SkeletonMap(_LossMap):
    """Computes of ``gt_seg_map`` the tubes that ``SkeletonRecallLoss`` would else compute itself.

    It adds ``gt_skeleton_map``: 1 in the tube around the skeleton of each class, 0 elsewhere. Where
    it stands, what is packed, and which pixels don't count is as with :class:`DistanceMap`.

    Args:
        num_classes: C >= 1, the channels of the head's output; 1 for a binary one.
        tube: steps from the skeleton, >= 0, as in the loss.
        ignore_index: the label of the pixels that don't count, background to skeletons; None counts
            all.

    Raises:
        ValueError: as of :class:`DistanceMap`.
        ImportError: when called, without scikit-image (``pip install 'metriseg[skeleton]'``).
    """

    map = "skeleton"

    def __init__(self, num_classes: int, tube: int = 2, ignore_index: int | None = 255) -> None:
        super().__init__(num_classes, ignore_index)
        self.tube = validation.whole_number("tube", tube, low=0)

    def made(self, batch: Batch) -> Tensor:
        return F.tubed_skeleton(batch.masks, self.tube).float()

    def __repr__(self) -> str:
        return (
            f"SkeletonMap(num_classes={self.num_classes}, tube={self.tube},"
            f" ignore_index={self.ignore_index})"
        )
