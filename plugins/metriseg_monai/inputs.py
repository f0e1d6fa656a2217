"""What MONAI's trainers hand to a loss, brought into the core's form."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from torch import Tensor

from metriseg import validation


def plain(name: str, tensor: Tensor) -> Tensor:
    """The tensor without MONAI's metadata, which would cling to every result."""
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def check_prediction(input: Tensor) -> None:
    """It has channels, somewhere to put them, and a floating dtype."""
    if input.ndim < 3 or input.shape[1] < 1:
        raise ValueError(
            "input must have shape (B, C, *S) with at least one channel and one spatial dimension,"
            f" got {tuple(input.shape)}"
        )
    if not input.is_floating_point():
        raise ValueError(f"input must be floating point, got {input.dtype}")


def voxel_weight(mask: Tensor, input: Tensor) -> Tensor:
    """``(B, *S)`` from a mask that may have a channel and may serve the whole batch.

    A mask of classes, ``(B, C, *S)`` or ``(B, C)`` with two or more, becomes ``(B, C, *S)``.
    """
    mask = plain("mask", mask)
    batch, *spatial = (input.shape[0], *input.shape[2:])
    allowed = ((batch, 1, *spatial), (1, 1, *spatial), (batch, *spatial))
    if tuple(mask.shape) not in allowed:
        if tuple(mask.shape) in (tuple(input.shape), tuple(input.shape[:2])):
            return validation.of_pixels_or_classes(mask, input, name="mask")
        raise ValueError(
            f"mask must have shape (B, 1, *S) = {allowed[0]}, (1, 1, *S) or (B, *S), or that of"
            f" classes, (B, C, *S) or (B, C), got {tuple(mask.shape)}"
        )
    weight = mask.reshape(-1, *spatial).expand(batch, *spatial)
    validation.pixel_weight(weight, input, name="mask")
    return weight


def counting_voxels(weight: Tensor, input: Tensor) -> Tensor:
    """``(B, *S)`` bool: where anything counts."""
    return weight > 0 if weight.ndim < input.ndim else (weight > 0).any(1)


def check_channels(input: Tensor, target: Tensor) -> None:
    """The target has the prediction's shape: one-hot or soft."""
    if target.shape == input.shape:
        return
    single = (input.shape[0], 1, *input.shape[2:])
    hint = ": class indices need to_onehot_y=True" if tuple(target.shape) == single else ""
    raise ValueError(
        f"target must have the shape of input, (B, C, *S) = {tuple(input.shape)},"
        f" got {tuple(target.shape)}{hint}"
    )


def without_ignored(
    target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """A target of the prediction's shape, and the weight without what it says is ignored.

    As in MONAI: with one channel the voxels of that number; else as much of a voxel as is of the
    label's channel, or of a label without one those that have no channel.
    """
    channels = target.shape[1]
    if channels == 1:
        counts = target[:, 0] != ignore_index
        target = torch.where(counts.unsqueeze(1), target, 0)
    elif 0 <= ignore_index < channels:
        counts = 1 - target[:, ignore_index].to(torch.get_default_dtype())
    else:
        counts = (target != 0).any(1)
    ones = torch.ones((), device=target.device)
    if weight is not None and weight.ndim == target.ndim:
        counts = counts.unsqueeze(1)
    return target, counts * (ones if weight is None else weight)


def class_indices(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int | None
) -> tuple[Tensor, Tensor | None]:
    """Labels ``(B, *S)``, int64, and the weight with zeros where they are ``ignore_index``.

    Loaders deliver labels as floats, so whole numbers of any dtype will do.
    """
    expected = (input.shape[0], 1, *input.shape[2:])
    if tuple(target.shape) != expected:
        hint = ": a one-hot target needs to_onehot_y=False" if target.shape == input.shape else ""
        raise ValueError(
            f"target must hold class indices in shape (B, 1, *S) = {expected},"
            f" got {tuple(target.shape)}{hint}"
        )
    target = target.squeeze(1)
    labels = target.long()
    if target.is_floating_point() and validation.values_are_checked(target):
        seen = target if weight is None else torch.where(counting_voxels(weight, input), target, 0)
        if not torch.equal(seen, seen.round()):
            raise ValueError("target must hold class indices, got numbers that are not whole")
    if ignore_index is not None:
        counted = labels != ignore_index
        if weight is not None and weight.ndim == input.ndim:
            counted = counted.unsqueeze(1)
        weight = torch.where(counted, 1.0 if weight is None else weight, 0.0)
    return labels, weight
