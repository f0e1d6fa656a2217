"""Losses for a head of a LazyConfig, in one line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from detectron2.utils.registry import locate

import metriseg_detectron2

__all__ = ["with_losses"]

#: Stock heads that a LazyConfig can build -> ours.
HEADS = {
    "MaskRCNNConvUpsampleHead": "MetrisegMaskRCNNConvUpsampleHead",
    "SemSegFPNHead": "MetrisegSemSegFPNHead",
    "DeepLabV3PlusHead": "MetrisegDeepLabV3PlusHead",
    "PanopticDeepLabSemSegHead": "MetrisegPanopticDeepLabSemSegHead",
}


def with_losses(head: Any, losses: Sequence[Any]) -> Any:
    """A head of a LazyConfig with losses: ours in the stock one's place, all else as it was.

    Args:
        head: such as ``model.roi_heads.mask_head`` or ``model.sem_seg_head``; it stays as it is.
        losses: lazy calls of losses of this plugin, or the losses; none is the stock loss.

    Raises:
        ValueError: for a head that has no counterpart with losses, naming those that have.

    >>> from detectron2.config import LazyCall as L
    >>> from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead
    >>> from metriseg_detectron2 import TverskyLoss
    >>> head = L(MaskRCNNConvUpsampleHead)(num_classes=80, conv_dims=[256, 256])
    >>> head = with_losses(head, [L(TverskyLoss)(fn_weight=0.7)])
    >>> head._target_.__name__, head.num_classes
    ('MetrisegMaskRCNNConvUpsampleHead', 80)
    """
    target = head.get("_target_")
    kind = locate(target) if isinstance(target, str) else target
    name = getattr(kind, "__name__", repr(target))
    if name not in HEADS and not hasattr(kind, "loss_keys"):
        raise ValueError(
            f"head must be one of {', '.join(HEADS)}, or ours in its place, got {name}, which"
            " ignores losses"
        )
    found = copy.deepcopy(head)
    if name in HEADS:
        found["_target_"] = getattr(metriseg_detectron2, HEADS[name])
    found["losses"] = list(losses)
    return found
