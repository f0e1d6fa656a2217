"""The tables of :mod:`metriseg.experiments.dice_gradient`, made of a record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from metriseg.calibration import Bins
from metriseg.experiments.dice_gradient.published import DECIBELS, HEART, PROSTATE, Figure
from metriseg.experiments.dice_gradient.training import LOSSES, NEAR, OPTIMIZERS
from metriseg.experiments.dice_gradient.volumes import CLASSES
from metriseg.experiments.tables import mean_text

Key: TypeAlias = tuple[str, str]
Entries: TypeAlias = Sequence[Mapping[str, Any]]
Groups: TypeAlias = Mapping[Key, Entries]


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """In Markdown, each where something of it was measured.

    ``figure 1``: the sizes of the gradient by the probabilities of one structure in one slice.
    ``table 1``: the Dice coefficient of test volumes in per cent, its deviation over seeds, that
    over volumes and structures, and how far each loss is below the best of its optimiser, here and
    in the paper. ``convergence``: epochs to 95 % of the best validation Dice, and trainings that
    failed. ``calibration``: the calibration error of each class, in per cent.

    Args:
        results: what :func:`metriseg.experiments.records.read` finds in ``results.json``.
    """
    entries = results["entries"]
    groups = grouped(entries)
    found = {
        "figure 1": _gradients([one for one in entries if "gradient" in one]),
        "table 1": _dice(groups),
        "convergence": _convergence(groups),
        "calibration": _calibration(groups),
    }
    return {name: text for name, text in found.items() if text}


def grouped(entries: Entries) -> dict[Key, list[Mapping[str, Any]]]:
    """Trainings by optimiser and loss, in the order of the paper's table."""
    found: dict[Key, list[Mapping[str, Any]]] = {}
    for key in ((one, other) for one in OPTIMIZERS for other in LOSSES):
        members = [one for one in entries if (one.get("optimizer"), one.get("loss")) == key]
        if members:
            found[key] = members
    return found


def bins_of(entry: Mapping[str, Any], name: str) -> Bins:
    """Of one class, as they were measured."""
    return Bins(*(np.array(entry["bins"][name][key]) for key in Bins._fields))


def _gradients(entries: Entries) -> str:
    rows = [
        [
            one["gradient"],
            one["structure"],
            str(one["values"]),
            str(one["zeros"]),
            f"{one['least']:.3g}",
            f"{one['largest']:.3g}",
            f"{one['decibels']:.1f}",
            f"{DECIBELS[one['gradient']]:.1f}",
        ]
        for one in entries
    ]
    headings = ["loss", "structure", "values", "zeros", "least", "largest", "dB", "paper's dB"]
    return _markdown(headings, rows, words=2)


def _dice(groups: Groups) -> str:
    means = {key: float(np.mean([_mean_dice(one) for one in some])) for key, some in groups.items()}
    rows = []
    for key, some in groups.items():
        cells = [*key, str(len(some))]
        for name in CLASSES[1:]:
            cells.append(mean_text([100 * float(np.mean(one["Dice"][name])) for one in some], 1))
        cells.append(mean_text([100 * _mean_dice(one) for one in some], 1))
        over = [100 * float(np.std([*one["Dice"].values()], ddof=1)) for one in some]
        cells += [f"{np.mean(over):.1f}", _below(100 * means[key], means, key, 100)]
        for published in (HEART, PROSTATE):
            figure = published.get(key)
            cells += ["", ""] if figure is None else [str(figure), _below_best(published, key)]
        rows.append(cells)
    headings = ["optimiser", "loss", "trainings", *CLASSES[1:], "all", "over volumes"]
    headings += ["below the best", "paper's heart", "below its best", "paper's prostate"]
    return _markdown([*headings, "below its best"], rows, words=2)


def _convergence(groups: Groups) -> str:
    rows = []
    for key, some in groups.items():
        epochs = [one["epochs to near the best"] for one in some]
        known = [float(one) for one in epochs if one is not None]
        cells = [*key, str(len(some)), mean_text(known, 1) if known else ""]
        cells += [str(sum(one[name] for one in some)) for name in ("diverged", "lost")]
        rows.append(cells)
    headings = ["optimiser", "loss", "trainings", f"epochs to {NEAR:.0%} of the best"]
    return _markdown([*headings, "diverged", "lost a structure"], rows, words=2)


def _calibration(groups: Groups) -> str:
    rows = []
    for key, some in groups.items():
        cells = [*key, str(len(some))]
        for name in CLASSES:
            cells.append(mean_text([100 * bins_of(one, name).error for one in some], 2))
        rows.append([*cells, mean_text([100 * one["calibration error"] for one in some], 2)])
    return _markdown(["optimiser", "loss", "trainings", *CLASSES, "mean"], rows, words=2)


def _mean_dice(entry: Mapping[str, Any]) -> float:
    return float(np.mean([*entry["Dice"].values()]))


def _below(value: float, others: Mapping[Key, float], key: Key, unit: float = 1.0) -> str:
    """How far a value is from the best of the same optimiser."""
    best = max(unit * one for other, one in others.items() if other[0] == key[0])
    return f"{best - value:.1f}"


def _below_best(published: Mapping[Key, Figure], key: Key) -> str:
    return _below(published[key].mean, {name: one.mean for name, one in published.items()}, key)


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """A table whose first columns are words, and the others numbers; nothing without rows."""
    if not rows:
        return ""
    rule = "|" + " --- |" * words + " ---: |" * (len(headings) - words)
    return "\n".join([f"| {' | '.join(headings)} |", rule, *(f"| {' | '.join(r)} |" for r in rows)])
