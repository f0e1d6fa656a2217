"""From the target of a batch to its segments."""

from __future__ import annotations

import torch
from torch import Tensor

from metriseg.batch import Batch
from metriseg.components import connected_components


def true_segments(batch: Batch, connectivity: int = 1) -> Tensor:
    """``(N, *S)`` int64: the true segments of each image, numbered from 0.

    They are what ``maps["instances"]`` names, or the connected components of the target's classes.
    Ignored pixels are segments of their own; they have no measure.
    """
    names = batch.instances()
    labels = batch.labels if names is None else names
    if batch.valid is not None:
        labels = torch.where(batch.valid, labels, labels.min() - 1)
    on_host = labels.cpu()
    if names is None:
        found = [connected_components(one, connectivity=connectivity) for one in on_host]
    else:
        found = [one.unique(return_inverse=True)[1].numpy() for one in on_host]
    if not found:
        return labels
    return torch.stack([torch.from_numpy(one) for one in found]).to(labels.device)


def segment_sizes(truth: Tensor, measure: Tensor, *, root: bool) -> Tensor:
    """``(N, *S)``: the number of counted pixels of each pixel's segment, or its root; >= 1."""
    flat = truth.flatten(1)
    counted = (measure.flatten(1) > 0).to(measure.dtype)
    number = int(flat.max()) + 1 if flat.numel() else 1
    sizes = counted.new_zeros(len(flat), number).scatter_add(1, flat, counted).clamp(min=1)
    sizes = sizes.gather(1, flat).view_as(measure)
    return sizes.sqrt() if root else sizes
