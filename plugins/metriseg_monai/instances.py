"""Instances from a semantic network: what the loss makes of channels beyond the classes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from metriseg import validation
from metriseg_monai import inputs
from metriseg_monai.channels import TargetChannels
from metriseg_monai.convention import MonaiConvention

__all__ = ["SplitChannels"]


class SplitChannels(nn.Module):
    """A loss for a network whose first channels are classes and whose others are an embedding.

    Called as ``loss(input, target, mask=None)`` with ``input`` ``(B, C + D, *S)``. Losses of this
    package get the C channels as logits and the D others as features; one of MONAI's own gets the
    logits alone. The target may have one channel more than the loss wants: numbers of objects, 0
    where there is none. So a target of class indices ``(B, 1, *S)``, which ``ConcatItemsd`` has
    joined to ``(B, 2, *S)``, says which instances there are; without it, they are the connected
    components of the classes. A :class:`TargetChannels` as the loss says itself what follows the
    classes in the target, ``"instances"`` and more. It works within ``DeepSupervisionLoss`` too.

    Args:
        loss: of this package, or another called as ``loss(input, target)``.
        num_classes: C >= 1.

    Raises:
        ValueError: for another loss or number of classes, and, when called, for an input without
            an embedding or a target of another number of channels.

    >>> import torch
    >>> from metriseg_monai import PartitionLoss
    >>> loss = SplitChannels(PartitionLoss("SlotSegments", softmax=True, to_onehot_y=True), 2)
    >>> halves = torch.tensor([[[9., 9., -9., -9.], [-9., -9., 9., 9.], [0., 0., 0., 0.]]])
    >>> classes, objects = torch.tensor([[[1, 1, 1, 1]]]), torch.tensor([[[1, 1, 2, 2]]])
    >>> print(f"{loss(halves, torch.cat([classes, objects], 1)):.4f}")
    0.0000
    >>> print(f"{loss(halves, classes):.4f}")
    0.5000
    """

    def __init__(self, loss: nn.Module, num_classes: int) -> None:
        super().__init__()
        if not isinstance(loss, nn.Module):
            raise ValueError(f"loss must be a torch.nn.Module, got {type(loss).__name__}")
        self.loss = loss
        self.num_classes = validation.whole_number("num_classes", num_classes, low=1)

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """The loss as a trainer of MONAI asks for it."""
        input, target = inputs.plain("input", input), inputs.plain("target", target)
        inputs.check_prediction(input)
        if input.shape[1] <= self.num_classes:
            raise ValueError(
                f"input must have more channels than the {self.num_classes} of the classes,"
                f" got {input.shape[1]}"
            )
        logits, embedding = input.tensor_split([self.num_classes], dim=1)
        if isinstance(self.loss, TargetChannels):
            return self.loss(logits, target, mask, features=embedding)
        target, instances = self._told_apart(target)
        given: tuple[Any, ...] = (logits, target) if mask is None else (logits, target, mask)
        if not isinstance(self.loss, MonaiConvention):
            return self.loss(*given)
        maps = None if instances is None else {"instances": instances.long()}
        return self.loss(*given, maps=maps, features=embedding)

    def _told_apart(self, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The target of the classes, and ``(B, *S)`` numbers of objects, or None."""
        indices = self.num_classes == 1 or getattr(self.loss, "to_onehot_y", False)
        classes = 1 if indices else self.num_classes
        channels = target.shape[1] if target.ndim > 2 else 0
        if channels not in (classes, classes + 1):
            raise ValueError(
                f"target must have {classes} channels, or {classes + 1} with the numbers of the"
                f" objects, got shape {tuple(target.shape)}"
            )
        return target[:, :classes], None if channels == classes else target[:, classes]
