"""A decode head whose one channel is a partition, not a class."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.models.decode_heads import FCNHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from metriseg import SegmentationLoss
from metriseg_mmseg.carried import INSTANCE_MAP, carrying, with_carried
from metriseg_mmseg.registry import MODELS


@MODELS.register_module()
class SegmentHead(FCNHead):
    """MMSegmentation's ``FCNHead`` with one output channel, whose segments are the objects.

    ``loss_decode=dict(type='metriseg_mmseg.PartitionLoss', segments=dict(type='KNNSegments'))``

    What a loss is told besides the logits are the objects of the data samples' ``gt_instance_map``
    (see ``metriseg_mmseg.PackInstanceInputs``) and, if there is one, their ``gt_pixel_weight``, and
    as labels the foreground, all classes but 0.
    The channel's values have no meaning but that segments differ: in place of ``pred_sem_seg``,
    which is where their sigmoid exceeds ``threshold``, look at the segments that
    ``metriseg_mmseg.SegmentMetric`` compares. The last layer starts from random numbers of the size
    that He et al. 2015 say: smaller ones make values too alike for their segments to have any pull.

    Args:
        arguments: those of ``FCNHead``, but for ``num_classes``, ``out_channels`` and
            ``threshold``.

    Raises:
        ValueError: for a loss that is not metriseg's; in training, for data samples without
            ``gt_instance_map``.
    """

    def __init__(self, **arguments: Any) -> None:
        arguments.setdefault(
            "init_cfg", {"type": "Kaiming", "mode": "fan_in", "override": {"name": "conv_seg"}}
        )
        super().__init__(num_classes=2, out_channels=1, threshold=0.5, **arguments)
        for loss in self._losses():
            if not isinstance(loss, SegmentationLoss):
                raise ValueError(
                    "loss_decode must be losses of metriseg_mmseg with SegmentHead,"
                    f" got {type(loss).__name__}"
                )

    def _losses(self) -> list[Any]:
        losses = self.loss_decode
        return list(losses) if isinstance(losses, nn.ModuleList) else [losses]

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list[Any]) -> dict[str, Tensor]:
        """The losses by their names; several of one name are added."""
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        if not any(INSTANCE_MAP in sample for sample in batch_data_samples):
            raise ValueError(
                f"data_samples must hold {INSTANCE_MAP} for SegmentHead: let the pipeline end with"
                " metriseg_mmseg.PackInstanceInputs"
            )
        logits = resize(
            seg_logits, size=labels.shape[1:], mode="bilinear", align_corners=self.align_corners
        )
        foreground = torch.where(labels == self.ignore_index, labels, (labels > 0).long())
        found: dict[str, Tensor] = {}
        for loss in self._losses():
            with carrying(batch_data_samples):
                weight, maps = with_carried(loss, logits, None, None)
            value = loss.compute(
                logits,
                foreground,
                activation="sigmoid",
                ignore_index=self.ignore_index,
                weight=weight,
                maps=maps,
            )
            found[loss.loss_name] = found.get(loss.loss_name, 0) + value
        return found
