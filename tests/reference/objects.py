"""Objects of two label maps as plain loops over pixels and labels; 0 is the background."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

Labels = Sequence[int]
Pair = tuple[int, int]


def objects(labels: Labels, background: Sequence[int] = (0,)) -> dict[int, set[int]]:
    """Label -> its pixels."""
    found: dict[int, set[int]] = {}
    for u, label in enumerate(labels):
        if label not in background:
            found.setdefault(label, set()).add(u)
    return dict(sorted(found.items()))


def ious(x: Labels, y: Labels, background: Sequence[int] = (0,)) -> dict[Pair, float]:
    """Of every two objects that meet."""
    return {
        (k, l): len(one & other) / len(one | other)
        for k, one in objects(x, background).items()
        for l, other in objects(y, background).items()  # noqa: E741
        if one & other
    }


def greedy(overlaps: dict[Pair, float], threshold: float) -> list[Pair]:
    chosen: list[Pair] = []
    for pair in sorted(overlaps, key=lambda pair: (-overlaps[pair], pair)):
        free = all(pair[0] != k and pair[1] != l for k, l in chosen)  # noqa: E741
        if overlaps[pair] > threshold and free:
            chosen.append(pair)
    return sorted(chosen)


def best_matching(overlaps: dict[Pair, float], threshold: float) -> tuple[int, float]:
    """Pairs, and the sum of their IoUs: of all ways to choose pairs the best one."""
    pairs = [pair for pair in overlaps if overlaps[pair] > threshold]
    best = (0, 0.0)
    for count in range(len(pairs) + 1):
        for chosen in itertools.combinations(pairs, count):
            if len({k for k, _ in chosen}) == len({l for _, l in chosen}) == count:  # noqa: E741
                best = max(best, (count, math.fsum(overlaps[pair] for pair in chosen)))
    return best


def rates(x: Labels, y: Labels, threshold: float) -> dict[str, float]:
    """Above 0.5."""
    matches = greedy(ious(x, y), threshold)
    true, found = len(objects(x)), len(objects(y))
    if true + found == 0:
        return dict.fromkeys(("precision", "recall", "f1", "average_precision"), 1.0)
    hits = len(matches)
    return {
        "precision": hits / found if found else 0.0,
        "recall": hits / true if true else 0.0,
        "f1": 2 * hits / (true + found),
        "average_precision": hits / (true + found - hits),
    }


def panoptic_quality(x: Labels, y: Labels) -> float:
    """sum IoU / (TP + FP/2 + FN/2)."""
    overlaps = ious(x, y)
    matches = greedy(overlaps, 0.5)
    regions = len(objects(x)) + len(objects(y))
    if regions == 0:
        return 1.0
    unmatched = regions - 2 * len(matches)
    return sum(overlaps[pair] for pair in matches) / (len(matches) + unmatched / 2)


def errors(x: Labels, y: Labels) -> dict[str, int]:
    """Hoover's instances, for a tolerance of more than one half."""
    true, found = objects(x), objects(y)

    def pieces(whole: set[int], parts: dict[int, set[int]]) -> set[int]:
        """Names of the two or more parts that lie in it by more than half, and cover it so."""
        inside = {name for name, part in parts.items() if 2 * len(part & whole) > len(part)}
        covered = sum(len(parts[name] & whole) for name in inside)
        return inside if len(inside) >= 2 and 2 * covered > len(whole) else set()

    split = {k: pieces(pixels, found) for k, pixels in true.items()}
    merged = {l: pieces(pixels, true) for l, pixels in found.items()}  # noqa: E741
    matches = greedy(ious(x, y), 0.5)
    of_pieces, of_merged = set().union(*split.values()), set().union(*merged.values())
    return {
        "split": sum(map(bool, split.values())),
        "merged": sum(map(bool, merged.values())),
        "missed": sum(
            not split[k] and k not in of_merged and all(k != pair[0] for pair in matches)
            for k in true
        ),
        "invented": sum(
            not merged[l] and l not in of_pieces and all(l != pair[1] for pair in matches)
            for l in found  # noqa: E741
        ),
    }


def terms(x: Labels, y: Labels) -> dict[int, dict[str, Any]]:
    """Label of x -> what its pixels add to split and merge, pixel by pixel."""
    found = {k: {"size": 0, "split": 0.0, "merge": 0.0, "iou": 0.0} for k in sorted(set(x))}
    for k, l in zip(x, y, strict=True):  # noqa: E741
        shared = sum(pair == (k, l) for pair in zip(x, y, strict=True))
        found[k]["size"] += 1
        found[k]["split"] -= math.log(shared / list(x).count(k)) / len(x)
        found[k]["merge"] -= math.log(shared / list(y).count(l)) / len(x)
    for (k, _), iou in ious(x, y).items():
        found[k]["iou"] = max(found[k]["iou"], iou)
    return found
