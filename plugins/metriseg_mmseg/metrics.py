"""How well the segments are found, as a metric of MMEngine's evaluators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from metriseg.partitions import DEFAULT_SCORES, PartitionScores, mean_scores
from metriseg.partitions.scores import Segments
from metriseg_mmseg.registry import METRICS

__all__ = ["PartitionMetric"]

#: The label of pixels that are left out of instances.
_IGNORED = -1
#: Who makes what a sample lacks.
HINTS = {
    "gt_instance_map": ": let the pipeline end with metriseg_mmseg.PackInstanceInputs, of a result"
    " of that name",
    "pred_instance_map": ": metriseg_mmseg.EmbeddingEncoderDecoder predicts it",
}


@METRICS.register_module()
class PartitionMetric(BaseMetric):
    """How far predicted segments are from the true ones, averaged over images.

    ``val_evaluator=[dict(type='IoUMetric'), dict(type='metriseg_mmseg.PartitionMetric')]``

    The results stand under ``partition/<score>``: nats or pure numbers, as
    :data:`metriseg.partitions.SCORES` says, and not per cent. The scores of
    :data:`metriseg.partitions.DEFAULT_SCORES` are 0 at best, so
    ``save_best='partition/adapted_rand_error'`` needs ``rule='less'``. An image whose pixels are
    all ignored is left out of the means; a mean of none is NaN.

    Args:
        metrics: names of :data:`metriseg.partitions.SCORES`.
        segments: "components": the connected components of each class; "labels": the classes;
            "instances": ``pred_instance_map`` against ``gt_instance_map``, see
            :class:`metriseg_mmseg.EmbeddingEncoderDecoder`.
        connectivity: of the components: 1 is four neighbours, 2 is eight.
        ignore_index: pixels with this label in the truth are left out; None for none.
        collect_device: "cpu" or "gpu": where the results of the ranks meet.
        prefix: in place of "partition".
        collect_dir: where they meet on the CPU; None takes a temporary folder.

    Raises:
        ValueError: for an unknown name, with the nearest one, or another bad argument.
    """

    default_prefix = "partition"

    def __init__(
        self,
        metrics: str | Sequence[str] = DEFAULT_SCORES,
        segments: Segments | Literal["instances"] = "components",
        connectivity: int = 1,
        ignore_index: int | None = 255,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self._of_instances, self._ignored_class = segments == "instances", ignore_index
        if segments == "instances":
            segments, ignore_index = "labels", _IGNORED
        self.scores = PartitionScores(metrics, segments, connectivity, ignore_index)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Score every image of a batch."""
        # one entry an image: MMEngine cuts what it gathers to the length of the data set
        for sample in data_samples:
            self.results.append(self.scores(*self._pair(sample)))

    def _pair(self, sample: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """The truth and the prediction."""
        classes = _labels(sample, "gt_sem_seg")
        if not self._of_instances:
            return classes, _labels(sample, "pred_sem_seg")
        truth = _labels(sample, "gt_instance_map")
        if self._ignored_class is not None:
            truth = torch.where(classes == self._ignored_class, _IGNORED, truth)
        return truth, _labels(sample, "pred_instance_map")

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """The means over the data set."""
        return mean_scores(results, self.scores.names)


def _labels(sample: Mapping[str, Any], key: str) -> Tensor:
    """``(H, W)`` int64: loaders pack bytes, which hold no -1, and heads with one channel predict
    floating-point zeros and ones.
    """
    if key not in sample:
        hint = HINTS.get(key, "")
        raise ValueError(
            f"data_samples must hold {key} for PartitionMetric, got {', '.join(sample)}{hint}"
        )
    labels: Tensor = sample[key]["data"].squeeze(0)
    return labels.long()
