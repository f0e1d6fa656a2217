"""How well masks are predicted: in general, and on boxes that are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import annotations_to_instances
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["GivenBoxes", "MaskIoUEvaluator"]


class MaskIoUEvaluator(DatasetEvaluator):
    """Mean over the true instances of the best IoU that a predicted mask has with each.

    An instance that no mask overlaps counts 0. Crowds are no instances; where a mask reaches into
    one, it is as wrong as on the background, as in COCO's average precision. The result is
    ``{"mask": {"mIoU": 0 … 1}}``, or 0 for a data set without instances.

    Args:
        dataset_name: a data set with masks in Detectron2's catalogue.
    """

    def __init__(self, dataset_name: str) -> None:
        self._records = records_by_file([dataset_name])
        self.reset()

    def reset(self) -> None:
        self._best: list[float] = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        for given, found in zip(inputs, outputs, strict=True):
            truth = true_instances(self._records[given["file_name"]])
            if len(truth) > 0:
                predicted = found["instances"].pred_masks.to("cpu")
                self._best += _best_iou(truth.gt_masks.tensor, predicted).tolist()

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        gathered = comm.gather(self._best)
        if not comm.is_main_process():
            return None
        best = [iou for of_rank in gathered for iou in of_rank]
        return {"mask": {"mIoU": sum(best) / max(len(best), 1)}}


class GivenBoxes(nn.Module):
    """A Mask R-CNN that is told where the objects are, and which: it only predicts their masks.

    Args:
        model: a ``GeneralizedRCNN`` with a mask head.
        dataset_names: data sets in Detectron2's catalogue, in which the boxes are looked up.

    Raises:
        ValueError: for another kind of model.
    """

    def __init__(self, model: nn.Module, dataset_names: Iterable[str]) -> None:
        super().__init__()
        self.model = model.module if isinstance(model, DistributedDataParallel) else model
        if not isinstance(self.model, GeneralizedRCNN):
            raise ValueError(f"model must be a GeneralizedRCNN, got {type(self.model).__name__}")
        self._records = records_by_file(dataset_names)
        self.training = self.model.training

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        given = [self._boxes(one) for one in batched_inputs]
        return GeneralizedRCNN.inference(self.model, batched_inputs, detected_instances=given)

    def _boxes(self, one: Mapping[str, Any]) -> Instances:
        """In the pixels of the network's input."""
        truth = true_instances(self._records[one["file_name"]])
        height, width = one["image"].shape[-2:]
        boxes = truth.gt_boxes
        boxes.scale(width / truth.image_size[1], height / truth.image_size[0])
        return Instances((height, width), pred_boxes=boxes, pred_classes=truth.gt_classes)


def masks_on_true_boxes(model: nn.Module, loader: Any, dataset_name: str) -> dict[str, Any]:
    """What :class:`MaskIoUEvaluator` says of a model that is told the true boxes.

    Args:
        model: as of :class:`GivenBoxes`.
        loader: of the data set's images.
        dataset_name: in Detectron2's catalogue.
    """
    told = GivenBoxes(model, [dataset_name])
    found: dict[str, Any] = inference_on_dataset(told, loader, MaskIoUEvaluator(dataset_name))
    return found


def true_instances(record: Mapping[str, Any]) -> Instances:
    """The annotations of a record in Detectron2's format, without crowds, masks as bitmaps."""
    annotations = [one for one in record["annotations"] if not one.get("iscrowd", 0)]
    size = (record["height"], record["width"])
    return annotations_to_instances(annotations, size, mask_format="bitmask")


def records_by_file(dataset_names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The records of data sets in Detectron2's catalogue by their file_name."""
    return {
        record["file_name"]: record for name in dataset_names for record in DatasetCatalog.get(name)
    }


def _best_iou(truth: Tensor, predicted: Tensor) -> Tensor:
    """(T,): of T true masks (T, H, W) with P predicted ones (P, H, W)."""
    if len(predicted) == 0:
        return torch.zeros(len(truth))
    t, p = truth.flatten(1).float(), predicted.flatten(1).float()
    overlap = t @ p.T
    union = t.sum(1, keepdim=True) + p.sum(1) - overlap
    return (overlap / union.clamp(min=1)).amax(1)
