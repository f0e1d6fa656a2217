"""Metrics of hard segmentations as plain loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def confusion(prediction: np.ndarray, target: np.ndarray) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives, true negatives."""
    pairs = [(bool(p), bool(t)) for p, t in zip(prediction.ravel(), target.ravel(), strict=True)]
    return tuple(pairs.count(pair) for pair in ((1, 1), (1, 0), (0, 1), (0, 0)))


def sensitivity(prediction: np.ndarray, target: np.ndarray) -> float:
    tp, _, fn, _ = confusion(prediction, target)
    return tp / (tp + fn)


def specificity(prediction: np.ndarray, target: np.ndarray) -> float:
    _, fp, _, tn = confusion(prediction, target)
    return tn / (tn + fp)


def precision(prediction: np.ndarray, target: np.ndarray) -> float:
    tp, fp, _, _ = confusion(prediction, target)
    return tp / (tp + fp)


def accuracy(prediction: np.ndarray, target: np.ndarray) -> float:
    tp, fp, fn, tn = confusion(prediction, target)
    return (tp + tn) / (tp + fp + fn + tn)


def mean_iou(prediction: np.ndarray, target: np.ndarray, *, present: bool) -> float:
    """Over the classes of the target (``present``), or of target or prediction."""
    classes = set(target.ravel()) | (set() if present else set(prediction.ravel()))
    values = []
    for c in classes:
        tp, fp, fn, _ = confusion(prediction == c, target == c)
        values.append(tp / (tp + fp + fn))
    return sum(values) / len(values)


def classwise_calibration_error(p: np.ndarray, target: np.ndarray, bins: int) -> float:
    """Mean over classes of the binned |frequency - confidence|; bins (lo, hi], the first closed."""
    errors = []
    for c in range(p.shape[0]):
        confidence, hit = p[c].ravel(), (target == c).ravel()
        total = 0.0
        for b in range(bins):
            inside = [
                u
                for u, q in enumerate(confidence)
                if b / bins < q <= (b + 1) / bins or (b == 0 and q == 0)
            ]
            if inside:
                gap = np.mean([hit[u] for u in inside]) - np.mean([confidence[u] for u in inside])
                total += len(inside) / len(confidence) * abs(gap)
        errors.append(total)
    return sum(errors) / len(errors)


def boundary(mask: np.ndarray) -> set[tuple[int, int]]:
    """The mask without its 3 x 3 erosion; beyond the image is outside."""
    found = set()
    for i, j in zip(*np.nonzero(mask), strict=True):
        square = [(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
        inside = [
            0 <= a < mask.shape[0] and 0 <= b < mask.shape[1] and mask[a, b] for a, b in square
        ]
        if not all(inside):
            found.add((int(i), int(j)))
    return found


def boundary_iou(prediction: np.ndarray, target: np.ndarray) -> float:
    a, b = boundary(prediction), boundary(target)
    return len(a & b) / len(a | b)


def directed_hausdorff(source: np.ndarray, goal: np.ndarray) -> float:
    """The largest distance of a pixel of one mask to the other mask."""
    places: Sequence[tuple[int, int]] = list(zip(*np.nonzero(goal), strict=True))
    return max(min(math.dist(u, v) for v in places) for u in zip(*np.nonzero(source), strict=True))


def boundary_f_scores(
    prediction: np.ndarray,
    target: np.ndarray,
    num_classes: int,
    tolerance: float,
    ignored: int | None = None,
) -> list[float]:
    """Of every class, in one image; NaN without a boundary on either side."""
    height, width = target.shape

    def counts(row: int, column: int) -> bool:
        inside = 0 <= row < height and 0 <= column < width
        return inside and (ignored is None or target[row, column] != ignored)

    def boundary(labels: np.ndarray, c: int) -> list[tuple[int, int]]:
        return [
            (i, j)
            for i in range(height)
            for j in range(width)
            if labels[i, j] == c
            and counts(i, j)
            and any(
                counts(i + di, j + dj) and labels[i + di, j + dj] != c
                for di, dj in ((0, 1), (1, 0), (0, -1), (-1, 0))
            )
        ]

    def share(ours: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> float:
        near = [any(math.hypot(i - k, j - m) <= tolerance for k, m in theirs) for i, j in ours]
        return sum(near) / len(near)

    scores = []
    for c in range(num_classes):
        found, true = boundary(prediction, c), boundary(target, c)
        if not found and not true:
            scores.append(math.nan)
        elif not found or not true:
            scores.append(0.0)
        else:
            precision, recall = share(found, true), share(true, found)
            both = precision + recall
            scores.append(2 * precision * recall / both if both else 0.0)
    return scores
