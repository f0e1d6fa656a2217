"""Scores of two label maps as plain loops over pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from reference import partitions


def components(labels: np.ndarray, valid: np.ndarray, connectivity: int) -> list[int]:
    """Of the valid pixels in order: the number of the component, by filling."""
    steps = [
        step
        for step in itertools.product((-1, 0, 1), repeat=labels.ndim)
        if 0 < sum(map(abs, step)) <= connectivity
    ]
    found: dict[tuple[int, ...], int] = {}
    for number, start in enumerate(np.ndindex(labels.shape)):
        waiting = [start] if valid[start] and start not in found else []
        while waiting:
            here = waiting.pop()
            found[here] = number
            for step in steps:
                there = tuple(p + s for p, s in zip(here, step, strict=True))
                inside = all(0 <= p < n for p, n in zip(there, labels.shape, strict=True))
                if inside and valid[there] and there not in found and labels[there] == labels[here]:
                    waiting.append(there)
    return [found[place] for place in np.ndindex(labels.shape) if valid[place]]


def joint_entropy(x: Sequence[int], y: Sequence[int]) -> float:
    pairs = list(zip(x, y, strict=True))
    names = sorted(set(pairs))
    return partitions.entropy([names.index(pair) for pair in pairs])


def split(truth: Sequence[int], prediction: Sequence[int]) -> float:
    return joint_entropy(truth, prediction) - partitions.entropy(truth)


def merge(truth: Sequence[int], prediction: Sequence[int]) -> float:
    return joint_entropy(truth, prediction) - partitions.entropy(prediction)


def adapted_rand_error(truth: Sequence[int], prediction: Sequence[int]) -> float:
    """One minus the F-measure of the joined pairs; 0 where none are joined."""
    pairs = [(u, v) for u in range(len(truth)) for v in range(u)]
    in_truth = {(u, v) for u, v in pairs if truth[u] == truth[v]}
    in_prediction = {(u, v) for u, v in pairs if prediction[u] == prediction[v]}
    joined = len(in_truth) + len(in_prediction)
    return 1 - 2 * len(in_truth & in_prediction) / joined if joined else 0.0


def scores(truth: Sequence[int], prediction: Sequence[int]) -> dict[str, float]:
    """Of flat label lists."""
    return {
        "variation_of_information": partitions.variation_of_information(truth, prediction),
        "split": split(truth, prediction),
        "merge": merge(truth, prediction),
        "adapted_rand_error": adapted_rand_error(truth, prediction),
        "normalized_partition_distance": partitions.partition_distance(truth, prediction)
        / len(truth) ** 2,
    }
