"""The tables of :mod:`metriseg.experiments.power_jaccard`, made of a record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metriseg.experiments.power_jaccard.published import BINARY, TEN_CLASSES, Figure
from metriseg.experiments.power_jaccard.training import loss_names
from metriseg.experiments.tables import mean_text

_HEADINGS = (
    "loss",
    "trainings",
    "mean IoU",
    "best",
    "paper's mean IoU",
    "paper's best",
    "ahead by",
)


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """``table 1`` and ``table 2`` in Markdown, each where something of it was measured.

    Beside the mean and the best of our trainings stand those of the paper, and how far our mean is
    above its mean: below it where that is negative.

    Args:
        results: what :func:`metriseg.experiments.records.read` finds in ``results.json``.
    """
    entries = results["entries"]
    found = {
        "table 1": _table(entries, "binary", "filters", BINARY),
        "table 2": _table(entries, "ten classes", "batch", TEN_CLASSES),
    }
    return {name: text for name, text in found.items() if text}


def _table(
    entries: Sequence[Mapping[str, Any]],
    task: str,
    column: str,
    published: Mapping[tuple[int, str], Figure],
) -> str:
    groups: dict[tuple[int, str], list[float]] = {}
    for one in entries:
        if one["task"] == task:
            groups.setdefault((one[column], one["loss"]), []).append(one["mean IoU"])
    if not groups:
        return ""
    lines = [
        f"| {' | '.join([column, *_HEADINGS])} |",
        "| ---: | --- |" + " ---: |" * (len(_HEADINGS) - 1),
    ]
    order = loss_names(task)
    for key in sorted(groups, key=lambda key: (key[0], order.index(key[1]))):
        values, figure = groups[key], published.get(key)
        cells = [str(key[0]), key[1], str(len(values)), mean_text(values, 4), f"{max(values):.4f}"]
        if figure is None:
            cells += ["", "", ""]
        else:
            ahead = sum(values) / len(values) - figure.mean
            cells += [f"{figure.mean:.4f} ± {figure.deviation:.4f}", f"{figure.best:.4f}"]
            cells += [f"{ahead:+.4f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
