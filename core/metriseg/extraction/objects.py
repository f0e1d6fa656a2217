"""From the target of a batch to its objects, class by class."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from metriseg.batch import Batch
from metriseg.extraction.regions import regions


def true_objects(batch: Batch, connectivity: int = 1) -> tuple[Tensor, int]:
    """The object that every pixel is in, and how many numbers there are.

    Objects are the connected components of a class, or the parts of it to which
    ``maps["instances"]`` gives one number. They are numbered throughout the batch, -1 where a pixel
    doesn't count or is of no class; pixels of different classes have different numbers.

    Args:
        batch: with labels, one-hot or multi-label targets.
        connectivity: in how many axes neighbours may differ.

    Returns:
        ``(N, D, P)`` int64 on the device of the batch, D being 1 for labels and else the number of
        classes, and the number of numbers.
    """
    images, pixels = len(batch.logits), batch.logits[:1, :1].numel()
    valid = batch.valid
    if batch.has_labels:
        codes, counted, maps = batch.target, valid, 1
    else:
        masks = batch.masks
        codes = masks.flatten(0, 1).to(torch.uint8)
        counted = (masks if valid is None else masks & valid.unsqueeze(1)).flatten(0, 1)
        maps = masks.shape[1]
    names = batch.instances()
    if names is None:
        own, numbers = regions(codes, counted, connectivity)
    else:
        own, numbers = _named(codes, counted, names.repeat_interleave(maps, 0))
    number = own.new_tensor(numbers).unsqueeze(1)
    first = own.new_tensor([0, *itertools.accumulate(numbers)][: len(numbers)]).unsqueeze(1)
    own = torch.where(own < number, own + first, -1)
    return own.view(images, maps, pixels), sum(numbers)


def _named(codes: Tensor, counted: Tensor | None, names: Tensor) -> tuple[Tensor, list[int]]:
    """As :func:`~metriseg.extraction.regions.regions`, of pixels with the same code and name."""
    found, numbers = torch.full_like(names.flatten(1), -1), []
    for row, (code, name) in enumerate(zip(codes.flatten(1), names.flatten(1), strict=True)):
        here = (
            torch.ones_like(code, dtype=torch.bool) if counted is None else counted[row].flatten()
        )
        pairs = torch.stack([code[here].to(name.dtype), name[here]])
        different, own = torch.unique(pairs, dim=1, return_inverse=True)
        numbers.append(different.shape[1])
        found[row] = numbers[-1]
        found[row, here] = own
    return found, numbers
