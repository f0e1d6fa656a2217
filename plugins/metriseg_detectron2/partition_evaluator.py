"""How well segments are found: by semantic heads, by instance heads, and by both together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.data.detection_utils import annotations_to_instances
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.sem_seg_evaluation import load_image_into_numpy_array
from detectron2.utils import comm
from numpy.typing import NDArray
from torch import Tensor

from metriseg import validation
from metriseg.partitions import DEFAULT_SCORES, PartitionScores, mean_scores
from metriseg_detectron2.evaluator import records_by_file, true_instances

__all__ = ["PartitionEvaluator"]

Kind = Literal["semantic", "instances", "panoptic", "instance_map"]
Labels = NDArray[np.int64]

#: The label of what is left out of instances and panoptic segments.
_VOID = -1


class PartitionEvaluator(DatasetEvaluator):
    """How far predicted segments are from the true ones, averaged over images.

    The result is ``{"partition": {score: mean}}``, nats or pure numbers as
    :data:`metriseg.partitions.SCORES` says, not per cent; on other ranks than the first it is
    None. An image without a pixel that counts is left out of the means; a mean of none is NaN.

    Of ``kind`` "semantic", ``sem_seg`` of the outputs is compared with the image
    ``sem_seg_file_name`` of the record, connected component by connected component. Of
    "instances", both sides are painted into label maps of background and instances: the predicted
    ones with the best score on top, the true ones, and predictions without scores, with the
    smallest on top; pixels of crowds are left out, and those that ``sem_seg_file_name``, where a
    record has one, says to ignore. Of "instance_map", ``instance_map`` of the outputs is compared
    with the same truth. Of "panoptic", the segments of
    ``panoptic_seg`` are compared with those in ``pan_seg_file_name``; void and crowds are left
    out.

    Args:
        dataset_name: in Detectron2's catalogue.
        kind: "semantic", "instances", "instance_map" or "panoptic".
        metrics: names of :data:`metriseg.partitions.SCORES`.
        connectivity: of the components of "semantic": 1 is four neighbours, 2 is eight.
        ignore_label: of the true classes, but not of "panoptic": pixels with it are left out; None
            takes the ``ignore_label`` of the data set's metadata, where it has one.
        task: the key of the result; a second evaluator needs another.

    Raises:
        ValueError: for an unknown kind or name, with the nearest one, or records without what the
            kind needs.
    """

    def __init__(
        self,
        dataset_name: str,
        kind: Kind = "semantic",
        *,
        metrics: str | Sequence[str] = DEFAULT_SCORES,
        connectivity: int = 1,
        ignore_label: int | None = None,
        task: str = "partition",
    ) -> None:
        validation.one_of("kind", kind, get_args(Kind))
        if ignore_label is not None and kind == "panoptic":
            raise ValueError("ignore_label is of the other kinds, got it with 'panoptic'")
        self._reading = _READINGS[kind]
        self._records = records_by_file([dataset_name])
        for file_name, record in self._records.items():
            if self._reading.needs not in record:
                raise ValueError(
                    f"kind {kind!r} needs {self._reading.needs} in every record of"
                    f" {dataset_name!r}, and that of {file_name} has none"
                )
        if kind != "panoptic" and ignore_label is None:
            ignore_label = MetadataCatalog.get(dataset_name).get("ignore_label", None)
        self._ignored = ignore_label if kind in ("instances", "instance_map") else None
        self._scores = PartitionScores(
            metrics,
            "components" if kind == "semantic" else "labels",
            connectivity,
            ignore_label if kind == "semantic" else _VOID,
        )
        self._task = task
        self.reset()

    def reset(self) -> None:
        self._found: list[dict[str, float]] = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        for given, output in zip(inputs, outputs, strict=True):
            record = self._records[given["file_name"]]
            truth, prediction = self._reading.truth(record), self._reading.prediction(output)
            if self._ignored is not None and "sem_seg_file_name" in record:
                truth[_true_classes(record) == self._ignored] = _VOID
            self._found.append(self._scores(truth, prediction))

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        gathered = comm.gather(self._found)
        if not comm.is_main_process():
            return None
        found = [scores for of_rank in gathered for scores in of_rank]
        return {self._task: mean_scores(found, self._scores.names)}


def _painted(masks: Tensor, size: tuple[int, int], rank: Tensor) -> Labels:
    """0 for background, k + 1 for mask k of ``(K, H, W)``; the highest rank is on top."""
    labels: Labels = np.zeros(size, np.int64)
    drawn = masks.cpu().numpy().astype(bool)
    for k in reversed(rank.argsort(descending=True, stable=True).tolist()):
        labels[drawn[k]] = k + 1
    return labels


def _smallness(masks: Tensor) -> Tensor:
    return -masks.flatten(1).sum(1)


def _true_classes(record: Mapping[str, Any]) -> Labels:
    return load_image_into_numpy_array(record["sem_seg_file_name"], dtype=int)


def _predicted_classes(output: Mapping[str, Any]) -> Labels:
    classes: Labels = output["sem_seg"].argmax(0).cpu().numpy()
    return classes


def _true_instances(record: Mapping[str, Any]) -> Labels:
    size = (record["height"], record["width"])
    instances = true_instances(record)
    labels: Labels = np.zeros(size, np.int64)
    if len(instances) > 0:
        masks = instances.gt_masks.tensor
        labels = _painted(masks, size, _smallness(masks))
    crowds = [one for one in record["annotations"] if one.get("iscrowd", 0)]
    if crowds:
        covered = annotations_to_instances(crowds, size, mask_format="bitmask").gt_masks.tensor
        labels[covered.any(0).numpy() & (labels == 0)] = _VOID
    return labels


def _predicted_instances(output: Mapping[str, Any]) -> Labels:
    instances = output["instances"]
    masks = instances.pred_masks
    rank = instances.scores if instances.has("scores") else _smallness(masks)
    return _painted(masks, instances.image_size, rank)


def _predicted_map(output: Mapping[str, Any]) -> Labels:
    numbers: Labels = output["instance_map"].cpu().numpy()
    return numbers


def _true_panoptic(record: Mapping[str, Any]) -> Labels:
    """COCO's coding: the number of a segment is red + 256 green + 256² blue, and 0 is void."""
    coded = load_image_into_numpy_array(record["pan_seg_file_name"], dtype=int)
    labels = coded if coded.ndim == 2 else coded[..., :3] @ np.array([1, 256, 256**2])
    left_out = [0, *(one["id"] for one in record["segments_info"] if one.get("iscrowd", 0))]
    return np.where(np.isin(labels, left_out), _VOID, labels)


def _predicted_panoptic(output: Mapping[str, Any]) -> Labels:
    """Void is a segment of its own, 0: of models that give no segments_info it is -1."""
    labels, segments = output["panoptic_seg"]
    numbers: Labels = labels.cpu().numpy().astype(np.int64)
    return numbers + 1 if segments is None else numbers


class _Reading(NamedTuple):
    """How a kind of segments is read."""

    needs: str
    truth: Callable[[Mapping[str, Any]], Labels]
    prediction: Callable[[Mapping[str, Any]], Labels]


_READINGS: dict[str, _Reading] = {
    "semantic": _Reading("sem_seg_file_name", _true_classes, _predicted_classes),
    "instances": _Reading("annotations", _true_instances, _predicted_instances),
    "instance_map": _Reading("annotations", _true_instances, _predicted_map),
    "panoptic": _Reading("pan_seg_file_name", _true_panoptic, _predicted_panoptic),
}
