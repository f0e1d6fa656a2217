"""Operators of PyTorch, so that compiled losses need not look inside: on whatever device."""

from __future__ import annotations

import torch
from torch import Tensor

from metriseg.distances import host
from metriseg.distances.envelopes import squared_distances, squared_label_distances


@torch.library.custom_op(
    "metriseg::distances",
    mutates_args=(),
    schema="(Tensor mask, float[] steps, ScalarType dtype) -> Tensor",
)
def distances(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    return _of_masks(mask, steps, dtype)


@distances.register_fake
def _(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    return mask.new_empty(mask.shape, dtype=dtype)


@torch.library.custom_op(
    "metriseg::inside_distances",
    mutates_args=(),
    schema="(Tensor mask, Tensor valid, float[] steps, ScalarType dtype) -> Tensor",
)
def inside_distances(mask: Tensor, valid: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    counted = valid.unsqueeze(1)
    own = mask & counted
    if own.device.type == "cpu":
        found = host.of_labels(own, valid, steps, dtype)
        if found is not None:
            return found
    # an empty mask has no pixel to measure from: without a false pixel it costs nothing
    some = own.flatten(2).any(2).view(*own.shape[:2], *(1,) * (own.ndim - 2))
    distances = _of_masks(~(counted & ~mask & some), steps, dtype)
    return torch.where(own, distances, 0.0)


@inside_distances.register_fake
def _(mask: Tensor, valid: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    return mask.new_empty(mask.shape, dtype=dtype)


@torch.library.custom_op(
    "metriseg::distance_fields",
    mutates_args=(),
    schema="(Tensor mask, float[] steps, float exponent, ScalarType dtype) -> Tensor",
)
def fields(mask: Tensor, steps: list[float], exponent: float, dtype: torch.dtype) -> Tensor:
    if mask.device.type != "cpu":
        squared = squared_distances(mask, steps).add_(squared_distances(~mask, steps))
    else:
        squared = host.squared_fields(mask, steps, host.root_dtype(dtype))
    return (squared if exponent == 2 else squared.pow_(exponent / 2)).to(dtype)


@fields.register_fake
def _(mask: Tensor, steps: list[float], exponent: float, dtype: torch.dtype) -> Tensor:
    return mask.new_empty(mask.shape, dtype=dtype)


@torch.library.custom_op(
    "metriseg::label_distances",
    mutates_args=(),
    schema="(Tensor labels, Tensor? valid, float[] steps, ScalarType dtype) -> Tensor",
)
def label_distances(
    labels: Tensor, valid: Tensor | None, steps: list[float], dtype: torch.dtype
) -> Tensor:
    if labels.device.type == "cpu" or labels.numel() == 0:
        return host.within_labels(labels, valid, steps).to(dtype)
    if valid is None:
        return squared_label_distances(labels, steps).sqrt_().to(dtype)
    found, numbered = torch.unique(labels, return_inverse=True)
    numbers = torch.arange(len(found), device=labels.device)
    own = numbered.unsqueeze(1) == numbers.view(-1, *(1,) * (labels.ndim - 1))
    squared = torch.where(own, squared_distances(own | ~valid.unsqueeze(1), steps), 0.0).sum(1)
    return torch.where(valid, squared, 0.0).sqrt_().to(dtype)


@label_distances.register_fake
def _(labels: Tensor, valid: Tensor | None, steps: list[float], dtype: torch.dtype) -> Tensor:
    return labels.new_empty(labels.shape, dtype=dtype)


def _of_masks(mask: Tensor, steps: list[float], dtype: torch.dtype) -> Tensor:
    if mask.numel() == 0:
        return mask.new_zeros(mask.shape, dtype=dtype)
    if mask.device.type != "cpu":
        return squared_distances(mask, steps).sqrt_().to(dtype)
    return host.of_masks(mask, steps, dtype)
