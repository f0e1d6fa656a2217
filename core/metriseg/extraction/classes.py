"""Segments as the connected components of predicted classes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from metriseg import validation
from metriseg.batch import Batch
from metriseg.extraction.base import AssignedSegments, check_finite
from metriseg.extraction.regions import regions
from metriseg.functional.partition import Form, SparseAssignment

__all__ = ["ClassSegments"]


class ClassSegments(AssignedSegments):
    r"""The connected components of each predicted class; its probability carries the gradient.

    Forward, hard: a pixel belongs to its most probable class (with one channel, to the foreground
    from a probability of one half; with several yes-or-no channels, to none of them where all are
    below one half), and every connected component of a class is a segment.

    Backward, a pixel's candidates answer the question to which segment it would belong if its class
    were another: for each of its most probable classes c the component of c that is nearest to the
    pixel, with the probability of c as its share. So the gradient raises the class of that
    segment with which the pixel shares most of its true segment: that fills holes and closes gaps,
    and parts what touches by the classes that stand beside it. A class that is predicted nowhere
    stands for a new segment. Merely lowering the probability of the own component, as a pixel
    with no other candidate would, doesn't say what to become.

    It learns with ``form="paper"``: at hard segments the Frobenius form's gradient leads astray,
    see :func:`~metriseg.functional.soft_partition_distance`. With a ``weighting`` of the loss it is
    the only form; its slope is what moving a pixel does to the weighted metric, by the change of
    both segments' sizes too: see :func:`~metriseg.functional.weighted_soft_partition_distance`.

    Args:
        connectivity: in how many axes neighbours may differ.
        candidates: how many of a pixel's most probable classes are considered, >= 1; memory is
            O(pixels x candidates), and one distance transform is taken for every class that is
            predicted somewhere.

    Raises:
        ValueError: for an argument outside its domain.

    >>> import torch
    >>> logits = torch.tensor([[[3.0, -3.0, 3.0, 3.0]]])
    >>> batch = Batch.from_tensors(logits, torch.zeros(1, 4).long(), activation="sigmoid")
    >>> ClassSegments().label_map(batch)
    tensor([[0, 1, 2, 2]])
    """

    form: ClassVar[Form] = "paper"

    def __init__(self, connectivity: int = 1, candidates: int = 4) -> None:
        self.connectivity = validation.whole_number("connectivity", connectivity, low=1)
        self.candidates = validation.whole_number("candidates", candidates, low=1)

    def assign(self, batch: Batch) -> SparseAssignment:
        shares = exclusive_shares(batch)
        own, numbers, codes = self._segments(batch, shares.detach())
        classes = shares.shape[1]
        value, chosen = shares.flatten(2).topk(min(self.candidates, classes), dim=1)
        nearest = own.new_empty(len(own), classes, own.shape[1])
        for image, number in enumerate(numbers):
            nearest[image] = _nearest_component(
                codes[image], own[image].view_as(codes[image]), number, classes
            )
        candidates = nearest.gather(1, chosen)
        # ties of probability: topk and argmax need not agree
        missing = ~(candidates == own.unsqueeze(1)).any(1)
        candidates[:, -1] = torch.where(missing, own, candidates[:, -1])
        segments = max(numbers, default=0) + classes + 1
        return SparseAssignment(candidates.transpose(1, 2), value.transpose(1, 2), segments, own)

    def label_map(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            check_finite(batch, features=False)
            own, _, codes = self._segments(batch, exclusive_shares(batch))
        return own.view_as(codes)

    def _segments(self, batch: Batch, shares: Tensor) -> tuple[Tensor, list[int], Tensor]:
        codes = shares.argmax(1)
        own, numbers = regions(codes, batch.valid, self.connectivity)
        if batch.valid is not None:
            codes = torch.where(batch.valid, codes, -1)
        return own, numbers, codes


def exclusive_shares(batch: Batch) -> Tensor:
    """``(B, C, *S)``: probabilities of classes of which a pixel has one.

    With one channel these are background and foreground; with several yes-or-no channels a first
    one is added, none of them, of the probability that the likeliest lacks.
    """
    p = batch.probabilities
    if not batch.one_vs_rest:
        return p
    return torch.cat([1 - p.amax(1, keepdim=True), p], 1)


def _nearest_component(codes: Tensor, own: Tensor, number: int, classes: int) -> Tensor:
    """``(classes, N)``: an image's component of each class that is nearest to every pixel."""
    coded, segment = codes.cpu().numpy(), own.cpu().numpy()
    found = np.empty((classes, coded.size), np.int64)
    for index in range(classes):
        here = coded == index
        if not here.any():
            found[index] = number + 1 + index
            continue
        place = ndimage.distance_transform_edt(~here, return_distances=False, return_indices=True)
        found[index] = segment[tuple(place)].ravel()
    return torch.from_numpy(found).to(codes.device)
