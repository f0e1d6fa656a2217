"""What a pipeline of MMSegmentation needs to carry more than classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs as StockPackSegInputs
from numpy.typing import NDArray

from metriseg_mmseg.carried import INSTANCE_MAP, MAP_KEYS, PIXEL_WEIGHT
from metriseg_mmseg.registry import TRANSFORMS

__all__ = ["InstancesToLabels", "PackInstanceInputs", "PackSegInputs"]

#: The label that MMSegmentation's heads ignore unless told otherwise.
IGNORED = 255


def scale_key(key: str) -> str:
    """Where a loader of distances notes the scale of the image."""
    return f"{key}_scale"


def labels_key(key: str) -> str:
    """Where ``DistanceMap`` and ``SkeletonMap`` note the labels that they have seen."""
    return f"{key}_labels"


@TRANSFORMS.register_module()
class InstancesToLabels(BaseTransform):
    """Makes labels of two classes, ``gt_seg_map`` ``(H, W)`` uint8, of the numbers of the objects.

    A pixel is of class 1 where ``gt_instance_map`` says that an object is, and of class 0 where it
    is 0; where the number is negative, an object that isn't known, the label is 255, which
    MMSegmentation ignores. It stands behind ``metriseg_mmseg.LoadInstanceMap`` in place of
    ``LoadAnnotations``, where the numbers of the objects are all that is known of an image;
    transforms treat the labels as those that are loaded.

    Raises:
        ValueError: when called, for results without ``gt_instance_map``, and for results that have
            labels already.

    >>> found = InstancesToLabels()({"gt_instance_map": np.array([[0, 7], [256, -1]])})
    >>> found["gt_seg_map"]
    array([[  0,   1],
           [  1, 255]], dtype=uint8)
    >>> found["seg_fields"]
    ['gt_seg_map']
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Adds the labels."""
        if INSTANCE_MAP not in results:
            raise ValueError(
                f"InstancesToLabels makes labels of {INSTANCE_MAP}, and the results have none:"
                " place it behind metriseg_mmseg.LoadInstanceMap"
            )
        if "gt_seg_map" in results:
            raise ValueError(
                "InstancesToLabels makes gt_seg_map, and the results have it already: leave one of"
                " InstancesToLabels and LoadAnnotations out"
            )
        numbers = results[INSTANCE_MAP]
        labels = np.where(numbers < 0, IGNORED, numbers > 0).astype(np.uint8)
        fields = [*results.get("seg_fields", []), "gt_seg_map"]
        return {**results, "gt_seg_map": labels, "seg_fields": fields}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@TRANSFORMS.register_module()
class PackSegInputs(StockPackSegInputs):
    """MMSegmentation's ``PackSegInputs``, which packs what losses read as well.

    Of the results each that is there becomes a ``PixelData`` of the data sample, under its own key,
    as MMSegmentation does it with edges and depths: ``gt_instance_map``, ``(1, H, W)`` int64;
    ``gt_pixel_weight`` and ``gt_penalty_map``, ``(1, H, W)`` float32; ``gt_signed_distance_map``,
    ``gt_region_map``, ``gt_target_distance_map`` and ``gt_skeleton_map``, ``(C, H, W)`` float32.
    Among the results they are ``(H, W)``, or ``(H, W, C)`` with the channels last.

    Args:
        meta_keys: as in MMSegmentation.

    Raises:
        ValueError: for distances of labels that have changed since, and for ones that were resized.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        packed: dict[str, Any] = super().transform(results)
        for key in (*MAP_KEYS.values(), PIXEL_WEIGHT):
            if key in results:
                _refuse_outdated(key, results)
                dtype = np.int64 if key == INSTANCE_MAP else np.float32
                field = PixelData(data=_channels_first(results[key].astype(dtype)))
                packed["data_samples"].set_data({key: field})
        return packed


@TRANSFORMS.register_module()
class PackInstanceInputs(PackSegInputs):
    """``metriseg_mmseg.PackSegInputs`` under the name that it has where instances are learnt.

    Args:
        meta_keys: as in MMSegmentation.
    """


def _channels_first(values: NDArray[Any]) -> torch.Tensor:
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(values))


def _refuse_outdated(key: str, results: dict[str, Any]) -> None:
    seen = results.get(labels_key(key))
    if seen is not None and not np.array_equal(seen, results["gt_seg_map"]):
        raise ValueError(
            f"{key}: the labels have changed since DistanceMap or SkeletonMap saw them: place it"
            " behind all transforms that change labels"
        )
    if scale_key(key) in results:
        scale = results.get("scale_factor")
        same = np.array_equal(_numbers(scale), _numbers(results[scale_key(key)]))
        if not (same or np.allclose(_numbers(scale), 1)):
            raise ValueError(
                f"{key}: distances must not be resized, and the image was, by {scale}: compute them"
                " behind it, with metriseg_mmseg.DistanceMap (a skeleton with SkeletonMap)"
            )


def _numbers(scale: Any) -> NDArray[np.float64]:
    """Of a scale that nobody has set, ones."""
    return np.broadcast_to(np.asarray(1.0 if scale is None else scale, np.float64).ravel()[:2], 2)
