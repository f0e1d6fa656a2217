"""Expected run lengths as plain loops over skeletons, segments and edges."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def expected_run_length(
    skeletons: Sequence[int],
    segments: Sequence[int],
    edges: Sequence[tuple[int, int]],
    lengths: Sequence[float],
    background: Collection[int] = (0,),
    merged: str = "segment",
) -> tuple[float, dict[int, float], dict[str, float]]:
    """Of all, of each skeleton, and the lengths of the kinds of edges."""
    touching: dict[int, set[int]] = {}
    for skeleton, segment in zip(skeletons, segments, strict=True):
        if segment not in background:
            touching.setdefault(segment, set()).add(skeleton)
    mergers = {segment for segment, those in touching.items() if len(those) > 1}
    spoilt = {k for segment in mergers for k in touching[segment]}
    kinds = dict.fromkeys(("correct", "split", "merged", "omitted"), 0.0)
    run_lengths, expected = {}, 0.0
    whole = sum(lengths)
    for skeleton in set(skeletons):
        runs: dict[int, float] = {}
        length = 0.0
        for (u, v), step in zip(edges, lengths, strict=True):
            if skeletons[u] != skeleton:
                continue
            length += step
            a, b = segments[u], segments[v]
            if merged == "skeleton" and skeleton in spoilt:
                kind = "merged"
            elif a in background or b in background:
                kind = "omitted"
            elif a != b:
                kind = "split"
            elif merged == "segment" and a in mergers:
                kind = "merged"
            else:
                kind = "correct"
                runs[a] = runs.get(a, 0.0) + step
            kinds[kind] += step
        # a point is in a run with the probability of its share, and then sees its length
        run_lengths[skeleton] = sum(run / length * run for run in runs.values()) if length else 0.0
        expected += length / whole * run_lengths[skeleton]
    return expected, run_lengths, kinds
