"""Losses for a head of a LazyConfig, in one line."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.utils.registry import locate

import metriseg_detectron2

__all__ = ["with_losses"]

#: Our heads that a LazyConfig can build.
HEADS = (
    "MetrisegMaskRCNNConvUpsampleHead",
    "MetrisegSemSegFPNHead",
    "MetrisegDeepLabV3PlusHead",
    "MetrisegPanopticDeepLabSemSegHead",
)


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
    ours = kind if hasattr(kind, "loss_keys") else _in_place_of(kind, name)
    if ours is None:
        stock = ", ".join(one.removeprefix("Metriseg") for one in HEADS)
        raise ValueError(
            f"head must be one of Detectron2's {stock}, or ours in its place, got {target}, which"
            " ignores losses"
        )
    if isinstance(losses, Mapping):
        raise ValueError(f"losses must be a list of losses, got {losses!r}")
    found = copy.deepcopy(head)
    found["_target_"] = ours
    found["losses"] = list(losses)
    return found


def _in_place_of(kind: Any, name: str) -> Any:
    """Our head for a stock one; None for another, of the same name too."""
    if f"Metriseg{name}" not in HEADS:
        return None
    ours = getattr(metriseg_detectron2, f"Metriseg{name}")
    return ours if kind in ours.__mro__ else None
