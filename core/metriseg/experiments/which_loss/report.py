"""The tables of a comparison, from its record alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metriseg.experiments.tables import mean_text
from metriseg.experiments.which_loss.comparison import chosen_setting

Entry = Mapping[str, Any]


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """Markdown by name: the losses, a class each, the settings tried, and what it comes to.

    Args:
        results: what :func:`metriseg.experiments.records.read` finds in a record.
    """
    columns: dict[str, int] = results["settings"]["columns"]
    groups = by_loss(results)
    found = {"losses": _losses(columns, results["entries"], groups)}
    if any(one["classes"] for members in groups.values() for one in members):
        found["classes"] = _classes(columns, groups)
    if settings := _settings(columns, results["entries"], groups):
        found["settings"] = settings
    found["differences"] = "\n".join(differences(columns, groups))
    return found


def by_loss(results: Mapping[str, Any]) -> dict[str, list[Entry]]:
    """The entries of each loss with its chosen setting, one a seed; none for what diverged."""
    groups: dict[str, list[Entry]] = {}
    entries = results["entries"]
    for loss in dict.fromkeys(one["loss"] for one in entries):
        setting = chosen_setting(results["settings"]["columns"], entries, loss)
        groups[loss] = [
            one
            for one in entries
            if one["loss"] == loss and one["setting"] == setting and one["values"] is not None
        ]
    return groups


def _losses(
    columns: Mapping[str, int], entries: Sequence[Entry], groups: Mapping[str, Sequence[Entry]]
) -> str:
    words = {one["loss"]: one["words"] for one in entries}
    lines = [
        f"| loss | chosen | {' | '.join(columns)} | s a training |",
        "| --- | --- |" + " ---: |" * (len(columns) + 1),
    ]
    for loss, members in groups.items():
        if not members:
            lines.append(f"| {words[loss]} | diverged |" + "  |" * (len(columns) + 1))
            continue
        cells = [
            mean_text([one["values"][name] for one in members], digits)
            for name, digits in columns.items()
        ]
        seconds = np.mean([one["seconds"] for one in members])
        setting = members[0]["setting"]
        lines.append(f"| {words[loss]} | {setting} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def _classes(columns: Mapping[str, int], groups: Mapping[str, Sequence[Entry]]) -> str:
    digits = next(iter(columns.values()))
    names = next(list(members[0]["classes"]) for members in groups.values() if members)
    lines = [f"| loss | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for members in groups.values():
        if members:
            cells = [
                f"{np.mean([one['classes'][name] for one in members]):.{digits}f}" for name in names
            ]
            lines.append(f"| {members[0]['words']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _settings(
    columns: Mapping[str, int], entries: Sequence[Entry], groups: Mapping[str, Sequence[Entry]]
) -> str:
    """What was tried with the first seed, of the losses that have something to set."""
    column, digits = next(iter(columns.items()))
    lines = [f"| loss | {column} by setting, first seed |", "| --- | --- |"]
    for loss in groups:
        tried = [one for one in entries if one["loss"] == loss and one["seed"] == 0]
        if len(tried) > 1:
            cells = [
                f"{one['setting']}: "
                + ("diverged" if one["values"] is None else f"{one['values'][column]:.{digits}f}")
                for one in tried
            ]
            lines.append(f"| {tried[0]['words']} | {'; '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def differences(columns: Mapping[str, int], groups: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Which losses can't be told from the best, and which can from the first; a list's lines.

    Two are level where their means differ by no more than the root of the sum of their squared
    standard deviations.
    """
    column, digits = next(iter(columns.items()))
    values = {
        members[0]["words"]: [one["values"][column] for one in members]
        for members in groups.values()
        if members
    }
    if not values or min(len(one) for one in values.values()) < 2:
        return ["* One training a loss: differences may be chance."]
    first = next(iter(values))
    best = max(values, key=lambda name: float(np.mean(values[name])))

    def lead(one: str, other: str) -> float:
        """In deviations; of equal ones 0."""
        difference = float(np.mean(values[one]) - np.mean(values[other]))
        if not difference:
            return 0.0
        deviation = float(np.hypot(*(np.std(values[name], ddof=1) for name in (one, other))))
        return difference / deviation if deviation else math.copysign(math.inf, difference)

    level = [name for name in values if name != best and lead(best, name) <= 1]
    ahead = [name for name in values if name != first and lead(name, first) > 1]
    behind = [name for name in values if name != first and lead(first, name) > 1]
    return [
        f"* Highest {column}: {best}, {mean_text(values[best], digits)}; within the deviation"
        f" of it: {_listed(level)}.",
        f"* Ahead of {first} by more than the deviation: {_listed(ahead)}.",
        f"* Behind {first} by more than the deviation: {_listed(behind)}.",
    ]


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names) if names else "none"
