"""Detectron2's heads, with losses that the config chooses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Dict, List  # noqa: UP035  # what TorchScript reads

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.modeling.roi_heads.mask_head import (
    MaskRCNNConvUpsampleHead,
    mask_rcnn_inference,
    mask_rcnn_loss,
)
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage, has_event_storage
from torch import Tensor, nn
from torch.nn import functional as nnf

from metriseg import SegmentationLoss
from metriseg_detectron2.config import build_losses
from metriseg_detectron2.convention import CATEGORY
from metriseg_detectron2.loss_modules import LossModules

__all__ = ["MetrisegMaskRCNNConvUpsampleHead", "MetrisegSemSegFPNHead"]


@ROI_MASK_HEAD_REGISTRY.register()
class MetrisegMaskRCNNConvUpsampleHead(MaskRCNNConvUpsampleHead):
    """Detectron2's mask head with the losses of ``MODEL.ROI_MASK_HEAD.LOSSES``.

    Every foreground region is a problem of its own: the channel of its category against its mask.
    An empty list stands for Detectron2's own loss. Weights of the stock head fit, and the head
    still scripts.

    Args:
        input_shape: of the region features.
        losses: losses of this plugin.
        arguments: those of ``MaskRCNNConvUpsampleHead``.

    Raises:
        ValueError: for a loss that can't be the loss of one channel.
    """

    __jit_ignored_attributes__ = ["loss_modules"]  # noqa: RUF012

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        losses: Iterable[SegmentationLoss] = (),
        **arguments: Any,
    ) -> None:
        # input_shape by its name: a config in the first place would be taken for the whole one
        super().__init__(input_shape=input_shape, num_classes=num_classes, **arguments)
        self.loss_modules = LossModules(
            losses,
            stem="loss_mask",
            num_channels=1,
            activation="sigmoid",
            smooth=1.0,
            num_categories=num_classes,
        )

    @classmethod
    def from_config(cls, cfg: Any, input_shape: ShapeSpec) -> dict[str, Any]:
        losses = cfg.MODEL.ROI_MASK_HEAD.get("LOSSES", [])
        return {
            **super().from_config(cfg, input_shape),
            "losses": build_losses(losses, "MODEL.ROI_MASK_HEAD.LOSSES"),
        }

    def __iter__(self) -> Iterator[nn.Module]:
        # the stock head runs all that it iterates over, one after the other
        return (layer for name, layer in self.named_children() if name != "loss_modules")

    def forward(self, x, instances: List[Instances]):  # noqa: UP006
        x = self.layers(x)
        if self.training:
            return self.mask_losses(x, instances)
        mask_rcnn_inference(x, instances)
        return instances

    @torch.jit.unused
    def mask_losses(self, logits: Tensor, instances: List[Instances]) -> Dict[str, Tensor]:  # noqa: UP006
        """The losses of ``(R, C or 1, M, M)`` logits, R foreground regions of all images."""
        if len(self.loss_modules) == 0:
            values = {"loss_mask": mask_rcnn_loss(logits, instances, self.vis_period)}
        else:
            logits, masks, categories = _matched(logits, instances)
            _log_masks(logits, masks, self.vis_period)
            values = self.loss_modules(
                logits.unsqueeze(1), masks.unsqueeze(1), maps={CATEGORY: categories}
            )
        return {key: value * self.loss_weight for key, value in values.items()}


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegSemSegFPNHead(SemSegFPNHead):
    """Detectron2's semantic FPN head with the losses of ``MODEL.SEM_SEG_HEAD.LOSSES``.

    An empty list stands for Detectron2's own loss. Weights of the stock head fit.

    Args:
        input_shape: of the features, by name.
        losses: losses of this plugin.
        arguments: those of ``SemSegFPNHead``.

    Raises:
        ValueError: for a loss that doesn't fit the number of classes.
    """

    __jit_ignored_attributes__ = ["loss_modules"]  # noqa: RUF012

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
        self.loss_modules = LossModules(
            losses,
            stem="loss_sem_seg",
            num_channels=num_classes,
            activation="softmax",
            smooth=None,
        )

    @classmethod
    def from_config(cls, cfg: Any, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        losses = cfg.MODEL.SEM_SEG_HEAD.get("LOSSES", [])
        return {
            **super().from_config(cfg, input_shape),
            "losses": build_losses(losses, "MODEL.SEM_SEG_HEAD.LOSSES"),
        }

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The losses of logits at ``common_stride`` against labels at full size."""
        if len(self.loss_modules) == 0:
            return super().losses(predictions, targets)
        logits = nnf.interpolate(
            predictions.float(),
            scale_factor=self.common_stride,
            mode="bilinear",
            align_corners=False,
        )
        values = self.loss_modules(logits, targets, ignore_index=self.ignore_value)
        return {key: value * self.loss_weight for key, value in values.items()}


def _matched(logits: Tensor, instances: list[Instances]) -> tuple[Tensor, Tensor, Tensor]:
    """Each region's logits in the channel of its category, its mask (both (R, M, M)), and that."""
    side = logits.shape[-1]
    occupied = [found for found in instances if len(found) > 0]
    if not occupied:
        return logits[:, 0], logits.new_zeros(0, side, side), logits.new_zeros(0).long()
    masks = torch.cat([f.gt_masks.crop_and_resize(f.proposal_boxes.tensor, side) for f in occupied])
    if logits.shape[1] == 1:
        channels = torch.zeros(len(masks), dtype=torch.int64, device=logits.device)
    else:
        channels = torch.cat([found.gt_classes for found in occupied]).long()
    regions = torch.arange(len(channels), device=logits.device)
    return logits[regions, channels], masks.to(logits.device), channels


def _log_masks(logits: Tensor, masks: Tensor, vis_period: int) -> None:
    """The scalars and pictures that Detectron2's own mask loss leaves in the event storage."""
    if len(logits) == 0 or not has_event_storage():
        return
    storage = get_event_storage()
    truth, found = masks > 0.5, logits.detach() > 0
    positive, false = truth.sum(), found != truth
    negative = truth.numel() - positive
    storage.put_scalar("mask_rcnn/accuracy", 1 - false.float().mean())
    storage.put_scalar("mask_rcnn/false_positive", (false & ~truth).sum() / negative.clamp(min=1))
    storage.put_scalar("mask_rcnn/false_negative", (false & truth).sum() / positive.clamp(min=1))
    if vis_period > 0 and storage.iter % vis_period == 0:
        pairs = torch.cat([logits.detach().float().sigmoid(), masks.float()], dim=2)
        for position, pair in enumerate(pairs):
            storage.put_image(
                f"Left: mask prediction;   Right: mask GT ({position})", pair.expand(3, -1, -1)
            )
