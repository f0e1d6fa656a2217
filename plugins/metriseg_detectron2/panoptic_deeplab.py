"""The semantic head of Detectron2's project Panoptic-DeepLab, with losses of the config."""

from __future__ import annotations

from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.projects.panoptic_deeplab import PanopticDeepLabSemSegHead

from metriseg_detectron2.heads import SemanticLosses

__all__ = ["MetrisegPanopticDeepLabSemSegHead"]


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegPanopticDeepLabSemSegHead(SemanticLosses, PanopticDeepLabSemSegHead):
    """Panoptic-DeepLab's semantic head with the losses of ``MODEL.SEM_SEG_HEAD.LOSSES``.

    ``sem_seg_weights`` of the loader multiply what the pixels cost. An empty list stands for
    ``loss_type``. Weights of the stock head fit. Its arguments are those of
    ``PanopticDeepLabSemSegHead``, and ``losses``, losses of this plugin.
    """
