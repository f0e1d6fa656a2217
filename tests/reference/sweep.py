"""Regions that edges of a graph merge, by walking along them."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def merged(
    labels: Sequence[int],
    edges: Sequence[tuple[int, int]],
    merges: Sequence[bool],
) -> list[int]:
    """Each label's region, named by its smallest label, along the edges that merge."""

    def region(start: int) -> int:
        seen, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for (a, b), does in zip(edges, merges, strict=True):
                if does and here in (a, b):
                    for there in (a, b):
                        if there not in seen:
                            seen.add(there)
                            waiting.append(there)
        return min(seen)

    return [region(label) for label in labels]


def best(
    thresholds: Sequence[float], curve: Sequence[float], better: Callable[..., float]
) -> tuple[float, float, int]:
    score = better(one for one in curve if one == one)
    place = list(curve).index(score)
    return thresholds[place], score, place
