"""The semantic head of Detectron2's project Panoptic-DeepLab, with losses of the config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.projects.panoptic_deeplab import PanopticDeepLabSemSegHead

from metriseg import SegmentationLoss
from metriseg_detectron2.config import built_losses
from metriseg_detectron2.heads import SemanticLosses

__all__ = ["MetrisegPanopticDeepLabSemSegHead"]


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegPanopticDeepLabSemSegHead(SemanticLosses, PanopticDeepLabSemSegHead):
    """Panoptic-DeepLab's semantic head with the losses of ``MODEL.SEM_SEG_HEAD.LOSSES``.

    ``sem_seg_weights`` of the loader weigh the pixels. An empty list stands for ``loss_type``.
    Weights of the stock head fit.

    Args:
        input_shape: of the features, by name.
        num_classes: C.
        losses: losses of this plugin.
        arguments: those of ``PanopticDeepLabSemSegHead``.

    Raises:
        ValueError: for a loss that doesn't fit the number of classes.
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        num_classes: int,
        losses: Iterable[SegmentationLoss] = (),
        **arguments: Any,
    ) -> None:
        super().__init__(input_shape=input_shape, num_classes=num_classes, **arguments)
        self.own(losses, num_classes)

    @classmethod
    def from_config(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        return {
            **super().from_config(cfg, input_shape),
            "losses": built_losses(cfg, "SEM_SEG_HEAD"),
        }
