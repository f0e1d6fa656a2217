"""What a model's training images go through, where Detectron2's default mapper isn't it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor

from metriseg_detectron2.mapper import CrowdDatasetMapper
from metriseg_detectron2.segmentor import MetrisegEmbeddingSegmentor


def build_train_mapper(cfg: CfgNode) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """The mapper of training images; None stands for Detectron2's default.

    Panoptic-DeepLab has its own, and ``MetrisegEmbeddingSegmentor`` is told where crowds are. A
    semantic network whose config is one of DeepLab or PointRend
    (``INPUT.CROP.SINGLE_CATEGORY_MAX_AREA``) is given crops of the resized image, in which no class
    takes more than that share, with PointRend's colours where ``INPUT.COLOR_AUG_SSD`` says so.
    """
    found = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    architecture = found if isinstance(found, type) else type(None)
    if architecture.__name__ == "PanopticDeepLab":
        from detectron2.projects.panoptic_deeplab import PanopticDeeplabDatasetMapper

        return PanopticDeeplabDatasetMapper(cfg)
    has_embedding = issubclass(architecture, MetrisegEmbeddingSegmentor)
    kind = CrowdDatasetMapper if has_embedding else DatasetMapper
    is_semantic = issubclass(architecture, SemanticSegmentor)
    if is_semantic and "SINGLE_CATEGORY_MAX_AREA" in cfg.INPUT.CROP:
        return kind(cfg, is_train=True, augmentations=_of_semantic_projects(cfg))
    return kind(cfg, is_train=True) if has_embedding else None


def _of_semantic_projects(cfg: CfgNode) -> list[Any]:
    given, crop = cfg.INPUT, cfg.INPUT.CROP
    augmentations: list[Any] = [
        T.ResizeShortestEdge(
            given.MIN_SIZE_TRAIN, given.MAX_SIZE_TRAIN, given.MIN_SIZE_TRAIN_SAMPLING
        )
    ]
    if crop.ENABLED:
        share, ignored = crop.SINGLE_CATEGORY_MAX_AREA, cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
        augmentations.append(
            T.RandomCrop_CategoryAreaConstraint(crop.TYPE, crop.SIZE, share, ignored)
        )
    if given.get("COLOR_AUG_SSD", False):
        from detectron2.projects.point_rend import ColorAugSSDTransform

        augmentations.append(ColorAugSSDTransform(img_format=given.FORMAT))
    if given.RANDOM_FLIP != "none":
        vertical = given.RANDOM_FLIP == "vertical"
        augmentations.append(T.RandomFlip(horizontal=not vertical, vertical=vertical))
    return augmentations
