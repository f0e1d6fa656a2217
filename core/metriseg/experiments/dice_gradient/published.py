"""What Kervadec & de Bruijne 2023 print: their table 1 and the ranges beside their figure 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """Test Dice in per cent: the mean over patients and structures, and its deviation."""

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.deviation:.1f}"


#: The heart's three structures (ACDC, ENet), by optimiser and loss.
HEART: Mapping[tuple[str, str], Figure] = {
    ("Adam", "cross-entropy"): Figure(83.7, 9.9),
    ("Adam", "Dice"): Figure(82.2, 11.4),
    ("Adam", "mime"): Figure(83.0, 10.3),
    ("Adam", "negative mime"): Figure(84.2, 10.3),
    ("SGD", "cross-entropy"): Figure(80.6, 12.8),
    ("SGD", "Dice"): Figure(81.6, 11.9),
    ("SGD", "mime"): Figure(81.6, 11.3),
    ("SGD", "negative mime"): Figure(82.1, 11.6),
}

#: The prostate (PROMISE12, a residual U-Net), of one structure, for which there's no negative mime.
PROSTATE: Mapping[tuple[str, str], Figure] = {
    ("Adam", "cross-entropy"): Figure(87.1, 5.0),
    ("Adam", "Dice"): Figure(83.8, 7.2),
    ("Adam", "mime"): Figure(83.4, 3.7),
    ("SGD", "cross-entropy"): Figure(84.9, 8.3),
    ("SGD", "Dice"): Figure(84.8, 5.6),
    ("SGD", "mime"): Figure(84.0, 3.9),
}

#: Dynamic range of the gradient in the paper's example, decibels.
DECIBELS: Mapping[str, float] = {"Dice": 1.5, "cross-entropy": 10.0}
