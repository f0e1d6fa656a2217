"""The heads of Detectron2's project PointRend, with losses that the config chooses."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import (
    ROI_HEADS_REGISTRY,
    ROI_MASK_HEAD_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
)
from detectron2.projects.point_rend import (
    ImplicitPointRendMaskHead,
    PointRendMaskHead,
    PointRendSemSegHead,
)
from detectron2.projects.point_rend.point_features import (
    get_uncertain_point_coords_with_randomness,
    point_sample,
)
from detectron2.projects.point_rend.point_head import roi_mask_point_loss
from detectron2.projects.point_rend.roi_heads import PointRendROIHeads
from detectron2.projects.point_rend.semantic_seg import calculate_uncertainty
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage, has_event_storage
from torch import Tensor

from metriseg_detectron2.config import built_losses
from metriseg_detectron2.convention import CATEGORY, Seen
from metriseg_detectron2.heads import losses_of_masks, of_categories
from metriseg_detectron2.loss_modules import LossModules

__all__ = [
    "MetrisegImplicitPointRendMaskHead",
    "MetrisegPointRendMaskHead",
    "MetrisegPointRendROIHeads",
    "MetrisegPointRendSemSegHead",
]


@ROI_HEADS_REGISTRY.register()
class MetrisegPointRendROIHeads(PointRendROIHeads):
    """PointRend's regions for mask heads of any name; the stock ones know but one.

    Weights of the stock heads fit, those of older versions too.
    """

    @classmethod
    def _init_mask_head(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        # past PointRendROIHeads, which asks for the mask head's name
        initialized: dict[str, Any] = super(PointRendROIHeads, cls)._init_mask_head(
            cfg, input_shape
        )
        return initialized


@ROI_MASK_HEAD_REGISTRY.register()
class MetrisegPointRendMaskHead(PointRendMaskHead):
    """PointRend's mask head with losses for the coarse masks and for the points.

    ``MODEL.ROI_MASK_HEAD.LOSSES`` compare the coarse masks as in Mask R-CNN, and ``POINT_LOSSES``
    of the same node the sampled points of each region, whose targets lie in [0, 1]. An empty list
    stands for the stock loss. Weights of the stock head fit. ``ROI_HEADS.NAME`` must be
    ``MetrisegPointRendROIHeads``.

    Args:
        cfg: Detectron2's config.
        input_shape: of the features, by name.

    Raises:
        ValueError: for a loss that can't be the loss of one channel, for one that looks at
            neighbours among those of points, and for ``POINT_LOSSES`` without points.
    """

    #: What it reads of its node in a config.
    loss_keys: ClassVar[tuple[str, ...]] = ("LOSSES", "POINT_LOSSES")

    def __init__(self, cfg: Any, input_shape: dict[str, ShapeSpec]) -> None:
        super().__init__(cfg, input_shape)
        number = cfg.MODEL.ROI_HEADS.NUM_CLASSES
        of_masks = built_losses(cfg, "ROI_MASK_HEAD")
        of_points = built_losses(cfg, "ROI_MASK_HEAD", "POINT_LOSSES")
        if of_points and not self.mask_point_on:
            raise ValueError(
                "MODEL.ROI_MASK_HEAD.POINT_LOSSES needs points: say POINT_HEAD_ON: True"
            )
        self.loss_modules = LossModules(of_masks, Seen.of_regions("loss_mask", number))
        self.point_loss_modules = LossModules(
            of_points, Seen.of_regions("loss_mask_point", number, points=True)
        )

    def forward(self, features: Any, instances: list[Instances]) -> Any:
        """In training the losses; at inference the instances with their masks."""
        if not self.training:
            return super().forward(features, instances)
        boxes = [found.proposal_boxes for found in instances]
        coarse = self.coarse_head(self._roi_pooler(features, boxes))
        losses = losses_of_masks(self.loss_modules, coarse, instances)
        if self.mask_point_on:
            points, labels = self._sample_train_points(coarse, instances)
            fine = self._point_pooler(features, boxes, points)
            logits = self._get_point_logits(fine, points, coarse)
            losses |= losses_of_points(self.point_loss_modules, logits, instances, labels)
        return losses


@ROI_MASK_HEAD_REGISTRY.register()
class MetrisegImplicitPointRendMaskHead(ImplicitPointRendMaskHead):
    """Implicit PointRend's mask head with the losses of ``MODEL.ROI_MASK_HEAD.POINT_LOSSES``.

    It has no coarse masks, and so no ``LOSSES``. An empty list stands for the stock loss. Weights
    of the stock head fit.

    Args:
        cfg: Detectron2's config.
        input_shape: of the features, by name.

    Raises:
        ValueError: for a loss that can't be the loss of one channel, and for one that looks at
            neighbours.
    """

    #: What it reads of its node in a config.
    loss_keys: ClassVar[tuple[str, ...]] = ("POINT_LOSSES",)

    def __init__(self, cfg: Any, input_shape: dict[str, ShapeSpec]) -> None:
        super().__init__(cfg, input_shape)
        self.point_loss_modules = LossModules(
            built_losses(cfg, "ROI_MASK_HEAD", "POINT_LOSSES"),
            Seen.of_regions("loss_mask_point", cfg.MODEL.ROI_HEADS.NUM_CLASSES, points=True),
        )

    def forward(self, features: Any, instances: list[Instances]) -> Any:
        """In training the losses; at inference the instances with their masks."""
        if not self.training:
            return super().forward(features, instances)
        boxes = [found.proposal_boxes for found in instances]
        parameters = self.parameter_head(self._roi_pooler(features, boxes))
        points, labels = self._uniform_sample_train_points(instances)
        fine = self._point_pooler(features, boxes, points)
        logits = self._get_point_logits(fine, points, parameters)
        return {
            "loss_l2": self.regularizer * parameters.square().mean(),
            **losses_of_points(self.point_loss_modules, logits, instances, labels),
        }


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegPointRendSemSegHead(PointRendSemSegHead):
    """PointRend's semantic head with the losses of ``MODEL.SEM_SEG_HEAD.POINT_LOSSES``.

    ``LOSSES`` of the same node are read by the coarse head, which
    ``MODEL.POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME`` chooses: ``MetrisegSemSegFPNHead``. An empty list
    stands for the stock loss. Weights of the stock head fit.

    Args:
        cfg: Detectron2's config.
        input_shape: of the features, by name.

    Raises:
        ValueError: for a loss that doesn't fit the number of classes, and for one that looks at
            neighbours.
    """

    #: What it reads of its node in a config.
    loss_keys: ClassVar[tuple[str, ...]] = ("POINT_LOSSES",)

    def __init__(self, cfg: Any, input_shape: dict[str, ShapeSpec]) -> None:
        super().__init__(cfg, input_shape)
        self.point_loss_modules = LossModules(
            built_losses(cfg, "SEM_SEG_HEAD", "POINT_LOSSES"),
            Seen.of_classes("loss_sem_seg_point", cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, points=True),
        )

    def forward(self, features: Any, targets: Tensor | None = None) -> Any:
        """In training the losses; at inference the logits ``(N, C, H, W)``."""
        if not self.training or len(self.point_loss_modules) == 0:
            return super().forward(features, targets)
        coarse = self.coarse_sem_seg_head.layers(features)
        losses = self.coarse_sem_seg_head.losses(coarse, targets)
        with torch.no_grad():
            points = get_uncertain_point_coords_with_randomness(
                coarse,
                calculate_uncertainty,
                self.train_num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
            )
            labels = point_sample(
                targets.unsqueeze(1).float(), points, mode="nearest", align_corners=False
            )
        fine = [
            point_sample(features[name], points, align_corners=False) for name in self.in_features
        ]
        logits = self.point_head(
            torch.cat(fine, dim=1), point_sample(coarse, points, align_corners=False)
        )
        losses |= self.point_loss_modules(
            logits.float(), labels.squeeze(1).long(), ignore_index=self.ignore_value
        )
        return None, losses


def losses_of_points(
    losses: LossModules, logits: Tensor, instances: list[Instances], labels: Tensor
) -> dict[str, Tensor]:
    """The losses of ``(R, C or 1, P)`` logits against ``(R, P)`` in [0, 1]; -1 doesn't count."""
    if len(losses) == 0:
        return {"loss_mask_point": roi_mask_point_loss(logits, instances, labels)}
    chosen, categories = of_categories(logits, instances)
    known = labels > -0.5
    if has_event_storage() and chosen.numel() > 0:
        right = ((chosen.detach() > 0) == (labels >= 1)) & known
        get_event_storage().put_scalar("point/accuracy", right.sum() / known.sum().clamp(min=1))
    return losses(
        chosen.unsqueeze(1),
        labels.clamp(0, 1).unsqueeze(1),
        weight=known.to(chosen.dtype),
        maps={CATEGORY: categories},
    )
