"""The derivatives of losses by probabilities, and how far their sizes lie apart."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metriseg import CrossEntropyLoss, DiceLoss, SegmentationLoss

Float = NDArray[np.float64]

#: Of two sizes that count as one: their ratio less 1.
ALIKE = 1e-9


class Spread(NamedTuple):
    """Of the derivatives that aren't 0: how many values there are, the least and the largest size.

    Zeros are left out of the least, for no ratio could be taken with them.
    """

    values: int
    zeros: int
    least: float
    largest: float

    @property
    def decibels(self) -> float:
        """The dynamic range: ten times the decimal logarithm of the largest over the least."""
        return 10 * math.log10(self.largest / self.least)


def shown_losses() -> dict[str, SegmentationLoss]:
    """The two of the paper's figure 1, of probabilities."""
    return {
        "Dice": DiceLoss(smooth=0.0, activation="identity"),
        "cross-entropy": CrossEntropyLoss(activation="identity"),
    }


def gradient(loss: SegmentationLoss, p: Tensor, labels: Tensor) -> Float:
    """``(K, H, W)`` float64: the derivative of the loss by each probability.

    Args:
        loss: made with ``activation="identity"``.
        p: ``(K, H, W)``.
        labels: ``(H, W)``.
    """
    leaf = p.detach().double()[None].requires_grad_()
    value: Any = loss(leaf, labels[None])
    value.backward()
    found: Tensor | None = leaf.grad
    assert found is not None
    return found[0].numpy()


def spread(values: Float) -> Spread:
    """Of the derivatives by the probabilities of one class.

    Raises:
        ValueError: where all are 0.
    """
    others = np.sort(values[values != 0])
    if not len(others):
        raise ValueError("values must not all be 0")
    sizes = np.abs(others)
    apart = np.diff(others) > ALIKE * sizes[1:]
    zeros = int((values == 0).sum())
    return Spread(int(apart.sum()) + 1, zeros, float(sizes.min()), float(sizes.max()))
