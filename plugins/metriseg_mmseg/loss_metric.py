"""The loss on validation images, as a metric of MMEngine's evaluators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from metriseg import validation
from metriseg.batch import PROBABILITY_MARGIN
from metriseg_mmseg.carried import MAP_KEYS, PIXEL_WEIGHT, carrying
from metriseg_mmseg.convention import MMSegConvention
from metriseg_mmseg.registry import METRICS, MODELS

__all__ = ["LossMetric"]


@METRICS.register_module()
class LossMetric(BaseMetric):
    """The mean over images of a loss of ``seg_logits`` against ``gt_sem_seg``.

    ``val_evaluator=[dict(type='IoUMetric'), dict(type='metriseg_mmseg.LossMetric',
    loss=dict(type='metriseg_mmseg.DiceLoss'))]``

    The result stands under ``loss/<name>``, with ``<name>`` that of the loss without ``loss_``, so
    ``save_best='loss/dice'`` takes the smallest by itself. Every image is a batch of its own, in
    its original size, and counts alike: for a loss of regions that is not the mean over batches
    that the training logs. Of one output channel MMSegmentation keeps probabilities; they are
    turned into the logits again, between those of 1e-7 and 1 - 1e-7. What the data samples carry
    for losses is read as in training (``metriseg_mmseg.EncoderDecoder``), schedules too stand
    where the training does. An image without a pixel that counts is left out; a mean of none is
    NaN.

    Args:
        loss: of metriseg_mmseg, or its config; its ``loss_weight`` counts.
        ignore_index: pixels with this label don't count; None counts all.
        collect_device: "cpu" or "gpu": where the results of the ranks meet.
        prefix: in place of "loss".
        collect_dir: where they meet on the CPU; None takes a temporary folder.

    Raises:
        ValueError: for another loss, or one with ``reduction="none"``; when called, for logits in
            another size than the labels.
    """

    default_prefix = "loss"

    def __init__(
        self,
        loss: Any,
        ignore_index: int | None = 255,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        built = MODELS.build(loss) if isinstance(loss, Mapping) else loss
        if not isinstance(built, MMSegConvention):
            raise ValueError(
                f"loss must be a loss of metriseg_mmseg, or its config, got {type(built).__name__}"
            )
        if built.reduction == "none":
            raise ValueError("loss must have reduction='mean' or 'sum': a number an image")
        # a compound loss logs its terms in training alone
        self.loss = built.eval()
        self.ignore_index = validation.label("ignore_index", ignore_index)

    @torch.no_grad()
    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Compute the loss of every image of a batch."""
        # one entry an image: MMEngine cuts what it gathers to the length of the data set
        self.results.extend(self._value(sample) for sample in data_samples)

    def _value(self, sample: Mapping[str, Any]) -> float | None:
        """None where no pixel counts."""
        for key in ("seg_logits", "gt_sem_seg"):
            if key not in sample:
                raise ValueError(
                    f"data_samples must hold {key} for LossMetric, got {', '.join(sample)}"
                )
        logits = raw_logits(sample["seg_logits"]["data"]).unsqueeze(0)
        labels = sample["gt_sem_seg"]["data"].long().to(logits.device)
        if logits.shape[2:] != labels.shape[1:]:
            raise ValueError(
                f"seg_logits must have the size of gt_sem_seg, {tuple(labels.shape[1:])}, got"
                f" {tuple(logits.shape[2:])}: in validation LoadAnnotations stands behind the"
                " transforms that resize"
            )
        counted = torch.ones_like(labels, dtype=torch.bool)
        if self.ignore_index is not None:
            counted = labels != self.ignore_index
        if PIXEL_WEIGHT in sample:
            counted = counted & (sample[PIXEL_WEIGHT]["data"].to(labels.device) > 0)
        if not counted.any():
            return None
        with carrying([_carrier(sample)]):
            value: Tensor = self.loss.to(logits.device)(
                logits, labels, ignore_index=self.ignore_index
            )
        return value.item()

    def compute_metrics(self, results: list[float | None]) -> dict[str, float]:
        """The mean over the data set."""
        values = [value for value in results if value is not None]
        mean = math.fsum(values) / len(values) if values else math.nan
        return {self.loss.loss_name.removeprefix("loss_"): mean}


def raw_logits(kept: Tensor) -> Tensor:
    """Of the ``seg_logits`` ``(C, H, W)`` of a data sample."""
    if len(kept) > 1:
        return kept
    # MMSegmentation has taken the sigmoid of the one channel
    return kept.float().logit(eps=PROBABILITY_MARGIN)


def _carrier(sample: Mapping[str, Any]) -> SegDataSample:
    """The evaluator gives dictionaries."""
    fields = ("gt_sem_seg", PIXEL_WEIGHT, *MAP_KEYS.values())
    found = SegDataSample()
    found.set_data({key: PixelData(**sample[key]) for key in fields if key in sample})
    return found
