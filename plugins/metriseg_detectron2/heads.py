"""Detectron2's heads, with losses that the config chooses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Dict, List  # noqa: UP035  # what TorchScript reads

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
from metriseg_detectron2.config import built_losses
from metriseg_detectron2.convention import CATEGORY, Seen
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
        num_categories: how many there are, for losses with ``class_weight``; None for
            ``num_classes``. Class-agnostic masks, ``num_classes=1``, don't tell.
        arguments: those of ``MaskRCNNConvUpsampleHead``.

    Raises:
        ValueError: for a loss that can't be the loss of one channel.
    """

    #: What it reads of its node in a config.
    loss_keys: ClassVar[tuple[str, ...]] = ("LOSSES",)
    __jit_ignored_attributes__ = ["loss_modules", "loss_keys"]  # noqa: RUF012

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        losses: Iterable[SegmentationLoss] = (),
        num_categories: int | None = None,
        **arguments: Any,
    ) -> None:
        # input_shape by its name: a config in the first place would be taken for the whole one
        super().__init__(input_shape=input_shape, num_classes=num_classes, **arguments)
        if num_categories is None and num_classes > 1:
            num_categories = num_classes
        self.loss_modules = LossModules(losses, Seen.of_regions("loss_mask", num_categories))

    @classmethod
    def from_config(cls, cfg: Any, input_shape: ShapeSpec) -> dict[str, Any]:
        return {
            **super().from_config(cfg, input_shape),
            "losses": built_losses(cfg, "ROI_MASK_HEAD"),
            "num_categories": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
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
        values = losses_of_masks(self.loss_modules, logits, instances, self.vis_period)
        return {key: value * self.loss_weight for key, value in values.items()}


class SemanticLosses(nn.Module):
    """What turns a semantic head of Detectron2 into one with losses of ours.

    It stands before the head among the bases, and the class calls :meth:`own` at the end of its
    constructor. An empty list stands for Detectron2's own loss.
    """

    #: What it reads of its node in a config.
    loss_keys: ClassVar[tuple[str, ...]] = ("LOSSES",)
    __jit_ignored_attributes__: ClassVar[list[str]] = ["loss_modules", "loss_keys"]

    common_stride: int
    ignore_value: int
    loss_weight: float

    def own(self, losses: Iterable[SegmentationLoss], num_classes: int) -> None:
        """Take the losses.

        Raises:
            ValueError: for a loss that doesn't fit the number of classes.
        """
        self.loss_modules = LossModules(losses, Seen.of_classes("loss_sem_seg", num_classes))

    def losses(self, predictions: Tensor, targets: Tensor, *weights: Any) -> dict[str, Tensor]:
        """The losses of logits at ``common_stride`` against labels at full size.

        Args:
            predictions: ``(N, C, h, w)`` logits.
            targets: ``(N, H, W)`` labels.
            weights: one ``(N, H, W)`` for the pixels, from architectures that hand it over.
        """
        if len(self.loss_modules) == 0:
            stock: dict[str, Tensor] = super().losses(predictions, targets, *weights)
            return stock
        (weight,) = weights or (None,)
        values = self.loss_modules(
            self.enlarged(predictions.float()),
            targets,
            ignore_index=self.ignore_value,
            weight=weight,
        )
        return {key: value * self.loss_weight for key, value in values.items()}

    def enlarged(self, values: Tensor) -> Tensor:
        """From ``common_stride`` to full size."""
        return nnf.interpolate(
            values, scale_factor=self.common_stride, mode="bilinear", align_corners=False
        )


@SEM_SEG_HEADS_REGISTRY.register()
class MetrisegSemSegFPNHead(SemanticLosses, SemSegFPNHead):
    """Detectron2's semantic FPN head with the losses of ``MODEL.SEM_SEG_HEAD.LOSSES``.

    An empty list stands for Detectron2's own loss. Weights of the stock head fit.

    Args:
        input_shape: of the features, by name.
        losses: losses of this plugin.
        arguments: those of ``SemSegFPNHead``.

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


def losses_of_masks(
    losses: LossModules, logits: Tensor, instances: list[Instances], vis_period: int = 0
) -> dict[str, Tensor]:
    """The losses of ``(R, C or 1, M, M)`` logits against the masks in their boxes."""
    if len(losses) == 0:
        return {"loss_mask": mask_rcnn_loss(logits, instances, vis_period)}
    side = logits.shape[-1]
    occupied = [found for found in instances if len(found) > 0]
    masks = [
        found.gt_masks.crop_and_resize(found.proposal_boxes.tensor, side) for found in occupied
    ]
    none = torch.zeros(0, side, side, dtype=torch.bool)
    truth = torch.cat(masks or [none]).to(logits.device)
    chosen, categories = of_categories(logits, instances)
    _log_masks(chosen, truth, vis_period)
    return losses(chosen.unsqueeze(1), truth.unsqueeze(1), maps={CATEGORY: categories})


def of_categories(logits: Tensor, instances: list[Instances]) -> tuple[Tensor, Tensor]:
    """Of ``(R, C or 1, *S)`` each region's logits in the channel of its category, and that."""
    found = [one.gt_classes for one in instances if len(one) > 0]
    empty = torch.zeros(0, dtype=torch.int64, device=logits.device)
    categories = torch.cat([empty, *found]).long()
    if logits.shape[1] == 1:
        return logits[:, 0], categories
    return logits[torch.arange(len(categories), device=logits.device), categories], categories


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
