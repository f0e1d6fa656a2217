"""Calibration in bins as plain loops in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference.oracle import Array, table_loss


def average_calibration(
    p: Array,
    t: Array,
    w: Array,
    *,
    binning: str = "soft",
    bins: int = 20,
    least_mass: float = 0.01,
    exclusive: bool = True,
    **policy: Any,
) -> float | Array:
    def members(x: float) -> list[tuple[int, float]]:
        """The bins that a probability is in, and how much."""
        if binning == "hard":
            return [(max(b for b in range(bins) if x > b / bins or b == 0), 1.0)]
        centres = [(b + 0.5) / bins for b in range(bins)]
        if x <= centres[0]:
            return [(0, 1.0)]
        if x >= centres[-1]:
            return [(bins - 1, 1.0)]
        hats = [max(0.0, 1 - abs(x - centre) * bins) for centre in centres]
        return [(b, hat) for b, hat in enumerate(hats) if hat > 0]

    def value(p_c: Array, t_c: Array, weights: Array) -> float:
        held = [[0.0, 0.0, 0.0] for _ in range(bins)]
        for x, y, weight in zip(p_c, t_c, weights, strict=True):
            for b, share in members(x) if weight > 0 else []:
                for k, part in enumerate((1.0, x, y)):
                    held[b][k] += weight * share * part
        errors = [
            abs(confidence / mass - frequency / mass)
            for mass, confidence, frequency in held
            if mass >= least_mass and mass > 0
        ]
        return sum(errors) / len(errors) if errors else 0.0

    return table_loss(value, p, t, w, **policy)


#: Name of the loss -> its oracle.
ORACLES: dict[str, Callable[..., Any]] = {"AverageCalibrationLoss": average_calibration}
