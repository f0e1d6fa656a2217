"""Segments as slots that pixels choose from."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as nnf

from metriseg.batch import Batch
from metriseg.extraction.base import AssignedSegments

__all__ = ["SlotSegments"]


class SlotSegments(AssignedSegments):
    r"""Each of m channels is a segment, a slot; a pixel belongs to them in shares.

    .. math:: P_{uk} = \frac{\exp z_{uk}}{\sum_j \exp z_{uj}}

    Under ``activation="softmax"``; probabilities (``"identity"``) are taken as they are, yes-or-no
    channels (``"sigmoid"``) are divided by their sum, and one channel stands for two slots, of
    shares 1 - p and p. Nothing is hard and nothing is cut into components, so the gradient is
    exact, but there are never more segments than slots, and which slot takes which segment is
    arbitrary: a uniform P is a stationary point, so the last layer must start from random numbers.

    >>> import torch
    >>> logits = torch.tensor([[[2.0, -1.0], [0.0, 0.5], [-3.0, 0.0]]])
    >>> batch = Batch.from_tensors(logits, torch.zeros(1, 2).long())
    >>> SlotSegments().label_map(batch)
    tensor([[0, 1]])
    """

    def __init__(self) -> None:
        """Nothing to set; without it, whatever is given would be ignored."""

    def assign(self, batch: Batch) -> Tensor:
        if batch.num_classes == 1:
            p = batch.probabilities.flatten(2).transpose(1, 2)
            return nnf.pad(p, (1, 0)) + nnf.pad(1 - p, (0, 1))
        if batch.activation == "sigmoid":
            # by the logarithms: all of the shares may be tiny
            return batch.log_probabilities.flatten(2).transpose(1, 2).softmax(-1)
        return batch.probabilities.flatten(2).transpose(1, 2)
