"""The heads of Detectron2's project DeepLab, with losses that the config chooses."""

from __future__ import annotations

from typing import Any

from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.projects.deeplab import DeepLabV3Head, DeepLabV3PlusHead

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
        DeepLabV3Head.__init__(self, cfg, input_shape)
        self.own(built_losses(cfg, "SEM_SEG_HEAD"), cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegDeepLabV3PlusHead(SemanticLosses, DeepLabV3PlusHead):
    """Detectron2's DeepLabV3+ head with the losses of ``MODEL.SEM_SEG_HEAD.LOSSES``.

    An empty list stands for ``loss_type``. Weights of the stock head fit. Its arguments are those
    of ``DeepLabV3PlusHead``, and ``losses``, losses of this plugin.
    """
