"""The maps that losses would make of every target, made once by the loader."""

from __future__ import annotations

import abc
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor

from metriseg import functional as F
from metriseg import validation
from metriseg.batch import Batch
from metriseg.distances import distance_field, signed_distance_map
from metriseg_monai import inputs

__all__ = [
    "DistancePenaltyMapd",
    "RegionMapd",
    "SignedDistanceMapd",
    "SkeletonMapd",
    "TargetDistanceMapd",
]

Spacing = Sequence[float] | Literal["affine"] | None


class LossMapd(MapTransform):
    """What the transforms have in common; :class:`SignedDistanceMapd` says it all."""

    map_name: ClassVar[str]

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        spacing: Spacing = None,
        ignore_index: int | None = None,
        mask_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_classes = validation.whole_number("num_classes", num_classes, low=1)
        self.from_affine = isinstance(spacing, str)
        if self.from_affine:
            validation.one_of("spacing", spacing, ("affine",))
        self.spacing = None if isinstance(spacing, str) else validation.spacing(spacing)
        self.ignore_index = validation.label("ignore_index", ignore_index)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        found = dict(data)
        for key in self.key_iterator(found):
            try:
                made = self._map_of(found[key], found)
            except ValueError as problem:
                raise ValueError(f"{key}: {problem}") from None
            made = convert_to_dst_type(made[0], found[key], torch.float32)[0]
            found[f"{key}_{self.map_name}"] = made
        return found

    def _map_of(self, label: Any, item: Mapping[Hashable, Any]) -> Tensor:
        """``(1, C, *S)`` or ``(1, 1, *S)``, of the target that the loss would see."""
        target = convert_to_tensor(label, track_meta=False)
        if target.ndim < 2 or target.shape[0] not in (1, self.num_classes):
            raise ValueError(
                f"must have shape (1, *S), or (C, *S) with {self.num_classes} classes,"
                f" got {tuple(target.shape)}"
            )
        space = target.shape[1:]
        # nothing is read of the logits but their shape
        logits = torch.zeros((), device=target.device).expand(1, self.num_classes, *space)
        target, weight = target[None], self._weight(item, logits)
        if target.shape[1] < self.num_classes:
            target, weight = inputs.class_indices(logits, target, weight, self.ignore_index)
        elif self.ignore_index is not None:
            target, weight = inputs.without_ignored(target, weight, self.ignore_index)
        batch = Batch.from_tensors(logits, target, activation="sigmoid", weight=weight)
        return self.make(batch.masks, self._voxel_size(label, len(space)), batch.valid)

    def _weight(self, item: Mapping[Hashable, Any], logits: Tensor) -> Tensor | None:
        if self.mask_key is None:
            return None
        if self.mask_key not in item:
            raise ValueError(f"mask_key: the item has no {self.mask_key!r}")
        mask = convert_to_tensor(item[self.mask_key], track_meta=False)
        return inputs.voxel_weight(mask[None], logits)

    def _voxel_size(self, label: Any, dimensions: int) -> tuple[float, ...] | None:
        if not self.from_affine:
            return self.spacing
        if not isinstance(label, MetaTensor):
            raise ValueError(
                "spacing='affine' needs a MetaTensor, as LoadImaged gives it, got"
                f" {type(label).__name__}"
            )
        return tuple(float(size) for size in affine_to_spacing(label.affine, dimensions))

    @abc.abstractmethod
    def make(
        self, masks: Tensor, spacing: tuple[float, ...] | None, valid: Tensor | None
    ) -> Tensor:
        """The map of masks ``(1, C, *S)`` where ``valid``, ``(1, *S)``, is true."""


class SignedDistanceMapd(LossMapd):
    """Writes ``<key>_signed_distance``, ``(C, *S)``, for :class:`metriseg_monai.BoundaryLoss`.

    An item's ``key`` is a label ``(1, *S)`` of class indices of any dtype, or one-hot ``(C, *S)``,
    or with one class a mask ``(1, *S)``. The map is float32, has the label's metadata, and is value
    for value what the loss computes of that target. :class:`TargetChannels` brings it to the loss.

    A transform that changes the geometry (rotation, scaling, deformation, resampling) comes before
    this one, of image and label: of a map it would make no map. A crop or a flip may also come
    behind, of the map too; the distances then are those of the whole image.

    Args:
        keys: of the labels.
        num_classes: C >= 1, the channels of the network's output.
        spacing: the size of a voxel along every axis, each > 0, in whatever unit; None for all
            ones; "affine" for the sizes in the label's ``affine``, millimetres in NIfTI. Give the
            loss the same, unless it always gets the map.
        ignore_index: label of the voxels that don't count, neither inside nor outside a class.
        mask_key: of voxel weights ``(1, *S)``, of which those of weight 0 don't count; None for
            none.
        allow_missing_keys: whether items may lack a key.

    Raises:
        ValueError: for an argument outside its domain; when called, for a label of another shape,
            of no such class, or without the affine that is asked for, naming its key.

    >>> import torch
    >>> made = SignedDistanceMapd("label", num_classes=2)({"label": torch.tensor([[0, 0, 1, 1]])})
    >>> made["label_signed_distance"]
    tensor([[-1.,  0.,  1.,  2.],
            [ 2.,  1.,  0., -1.]])
    """

    map_name = "signed_distance"

    def make(
        self, masks: Tensor, spacing: tuple[float, ...] | None, valid: Tensor | None
    ) -> Tensor:
        return signed_distance_map(masks, spacing, valid=valid, dtype=torch.float32)


class RegionMapd(LossMapd):
    """Writes ``<key>_region``, ``(C, *S)``, for :class:`metriseg_monai.RegionWiseLoss`.

    Labels, maps, arguments and errors are those of :class:`SignedDistanceMapd`.

    Args:
        map: "rectified" or "boundary", as in the loss.
    """

    map_name = "region"

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        spacing: Spacing = None,
        ignore_index: int | None = None,
        mask_key: str | None = None,
        allow_missing_keys: bool = False,
        map: Literal["rectified", "boundary"] = "rectified",
    ) -> None:
        super().__init__(keys, num_classes, spacing, ignore_index, mask_key, allow_missing_keys)
        validation.one_of("map", map, ("rectified", "boundary"))
        self.map = map

    def make(
        self, masks: Tensor, spacing: tuple[float, ...] | None, valid: Tensor | None
    ) -> Tensor:
        region = F.rectified_region_map if self.map == "rectified" else signed_distance_map
        return region(masks, spacing, valid=valid, dtype=torch.float32)


class DistancePenaltyMapd(LossMapd):
    """Writes ``<key>_penalty``, for :class:`metriseg_monai.DistanceMapCrossEntropyLoss`.

    ``(1, *S)``, the map of exclusive classes (``softmax=True``), or of one class. With
    ``sigmoid=True`` and several channels the loss makes itself a map a channel: not this one.
    Labels, arguments and errors are those of :class:`SignedDistanceMapd`.

    Args:
        map: "normalized" or "raw", as in the loss.
    """

    map_name = "penalty"

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        spacing: Spacing = None,
        ignore_index: int | None = None,
        mask_key: str | None = None,
        allow_missing_keys: bool = False,
        map: Literal["normalized", "raw"] = "normalized",
    ) -> None:
        super().__init__(keys, num_classes, spacing, ignore_index, mask_key, allow_missing_keys)
        validation.one_of("map", map, ("normalized", "raw"))
        self.map = map

    def make(
        self, masks: Tensor, spacing: tuple[float, ...] | None, valid: Tensor | None
    ) -> Tensor:
        return F.distance_penalty(
            masks,
            spacing,
            exclusive=self.num_classes > 1,
            normalize=self.map == "normalized",
            valid=valid,
            dtype=torch.float32,
        )


class TargetDistanceMapd(LossMapd):
    """Writes ``<key>_target_distance``, for :class:`metriseg_monai.HausdorffDistanceTransformLoss`.

    ``(C, *S)`` distances to the other side of each class's edge, whatever the loss's ``alpha``: it
    takes their power itself. Labels, arguments and errors are those of :class:`SignedDistanceMapd`.
    """

    map_name = "target_distance"

    def make(
        self, masks: Tensor, spacing: tuple[float, ...] | None, valid: Tensor | None
    ) -> Tensor:
        return distance_field(masks, spacing, valid=valid, dtype=torch.float32)


class SkeletonMapd(LossMapd):
    """Writes ``<key>_skeleton``, ``(C, *S)``, for :class:`metriseg_monai.SkeletonRecallLoss`.

    1 in the tube around the skeleton of each class, 0 elsewhere, of images and volumes. Labels and
    the other arguments and errors are those of :class:`SignedDistanceMapd`; sizes of voxels are of
    no account.

    Args:
        tube: steps from the skeleton, >= 0, as in the loss.

    Raises:
        ImportError: when called, without scikit-image (``pip install 'metriseg[skeleton]'``).
    """

    map_name = "skeleton"

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        ignore_index: int | None = None,
        mask_key: str | None = None,
        allow_missing_keys: bool = False,
        tube: int = 2,
    ) -> None:
        super().__init__(keys, num_classes, None, ignore_index, mask_key, allow_missing_keys)
        self.tube = validation.whole_number("tube", tube, low=0)

    def make(
        self, masks: Tensor, spacing: tuple[float, ...] | None, valid: Tensor | None
    ) -> Tensor:
        return F.tubed_skeleton(masks, self.tube).float()
