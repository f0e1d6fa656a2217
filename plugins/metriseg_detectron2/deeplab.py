"""The heads of Detectron2's project DeepLab, with losses that the config chooses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.projects.deeplab import DeepLabV3Head, DeepLabV3PlusHead

from metriseg import SegmentationLoss
from metriseg_detectron2.config import built_losses
from metriseg_detectron2.heads import SemanticLosses

__all__ = ["MetrisegDeepLabV3Head", "MetrisegDeepLabV3PlusHead"]


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegDeepLabV3Head(SemanticLosses, DeepLabV3Head):
    """Detectron2's DeepLabV3 head with the losses of ``MODEL.SEM_SEG_HEAD.LOSSES``.

    An empty list stands for ``LOSS_TYPE``. Weights of the stock head fit. Like that one it is built
    from a config of keys alone.

    Args:
        cfg: Detectron2's config.
        input_shape: of the features, by name.

    Raises:
        ValueError: for a loss that doesn't fit the number of classes.
    """

    def __init__(self, cfg: Any, input_shape: dict[str, ShapeSpec]) -> None:
        super().__init__(cfg, input_shape)
        self.own(built_losses(cfg, "SEM_SEG_HEAD"), cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegDeepLabV3PlusHead(SemanticLosses, DeepLabV3PlusHead):
    """Detectron2's DeepLabV3+ head with the losses of ``MODEL.SEM_SEG_HEAD.LOSSES``.

    An empty list stands for ``loss_type``. Weights of the stock head fit.

    Args:
        input_shape: of the features, by name.
        num_classes: C.
        losses: losses of this plugin.
        arguments: those of ``DeepLabV3PlusHead``.

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
