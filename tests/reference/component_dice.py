"""The Dice of every component, as plain loops over pixels and components."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reference.partitions import flood_fill


def component_dice(
    truth: np.ndarray, prediction: np.ndarray, reach: int, spacing: Sequence[float]
) -> list[float]:
    """In the order of the components' first pixels; a tie goes to the first of them."""
    filled = flood_fill(truth.astype(int), reach)
    components: dict[int, list[tuple[int, ...]]] = {}
    for place in np.ndindex(truth.shape):
        if truth[place]:
            components.setdefault(int(filled[place]), []).append(place)

    def squared(one: tuple[int, ...], other: tuple[int, ...]) -> float:
        return sum(((a - b) * s) ** 2 for a, b, s in zip(one, other, spacing, strict=True))

    regions: list[list[tuple[int, ...]]] = [[] for _ in components]
    for place in np.ndindex(truth.shape):
        if components:
            apart = [min(squared(place, one) for one in part) for part in components.values()]
            regions[apart.index(min(apart))].append(place)
    scores = []
    for region in regions:
        both = sum(bool(truth[place] and prediction[place]) for place in region)
        each = sum(int(truth[place]) + int(prediction[place]) for place in region)
        scores.append(2 * both / each)
    return scores
