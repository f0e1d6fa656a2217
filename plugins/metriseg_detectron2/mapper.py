"""How a record becomes an input: Detectron2's mapper, which drops crowds, and ours, which tells."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils

__all__ = ["CrowdDatasetMapper"]

#: The key under which an input says where crowds are.
CROWDS = "crowds"


class CrowdDatasetMapper(DatasetMapper):
    """Detectron2's mapper, which also says where crowds are.

    An input that has ``instances`` has ``crowds`` too: ``(H, W)`` bool. The evaluators leave these
    pixels out, and :class:`MetrisegEmbeddingSegmentor` leaves them out of what it learns of
    instances.

    Args:
        arguments: those of ``DatasetMapper``.
    """

    def _transform_annotations(
        self, dataset_dict: dict[str, Any], transforms: Any, image_shape: tuple[int, int]
    ) -> None:
        annotations = [
            utils.transform_instance_annotations(
                {key: value for key, value in one.items() if key != "keypoints"},
                transforms,
                image_shape,
            )
            for one in dataset_dict["annotations"]
            if one.get("iscrowd", 0) and "segmentation" in one
        ]
        covered = torch.zeros(image_shape, dtype=torch.bool)
        if annotations:
            found = utils.annotations_to_instances(annotations, image_shape, mask_format="bitmask")
            covered = found.gt_masks.tensor.any(0)
        dataset_dict[CROWDS] = covered
        super()._transform_annotations(dataset_dict, transforms, image_shape)
