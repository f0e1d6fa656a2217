"""Every loss as false positives and false negatives grow, for a large and a small object.

``python -m metriseg reproduce sensitivity`` draws a disk, predicts it with more and more wrong
pixels, and evaluates every loss of :data:`metriseg.catalogue.CATALOGUE`: what figure 3 of the
survey (Azad et al. 2023, arXiv:2312.05391) does for some. False positives grow around the disk from
its rim, false negatives into it, until there are as many of them as the disk has pixels; or the
prediction is shifted, which makes both, until it touches the disk no more. A predicted class has
the same probability everywhere, right or wrong.

Losses that compare embeddings look at the logits, where the catalogue says so; those of three
classes and more get classes that are nowhere.

``--output`` gets ``results.json`` with all values, and ``figure_3.png``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metriseg.catalogue import CATALOGUE, Entry
from metriseg.experiments.records import Record
from metriseg.experiments.tables import progress
from metriseg.viz import checked_path

Mask = NDArray[np.bool_]

#: Radii of the disks, pixels.
RADII: Mapping[str, float] = {"large": 20.0, "small": 3.0}
ERRORS = ("false positives", "false negatives", "shifted")
#: Those that the survey says rise for a small object as for a large one.
SURVEY = ("ComboLoss", "FocalLoss")
#: Of a curve's range, what counts as no change.
FLAT = 1e-9
COLUMNS = 6


class Plan(NamedTuple):
    """What all curves share: the image's side, how many predictions, and how sure they are."""

    side: int = 104
    steps: int = 20
    probability: float = 0.999


class Scene(NamedTuple):
    """A truth ``(H, W)`` and predictions of it, each with more wrong pixels than the one before."""

    truth: Mask
    predictions: list[Mask]


def scene(radius: float, errors: str, plan: Plan) -> Scene:
    """A disk, and wrong pixels in the order of their distance to its rim, or it by whole pixels."""
    places = np.arange(plan.side) - (plan.side - 1) / 2
    distance = np.hypot(places[:, None], places[None] + radius)
    truth = distance < radius
    if errors == "shifted":
        return Scene(truth, [np.roll(truth, shift, 1) for shift in _steps(2 * radius, plan.steps)])
    outwards = errors == "false positives"
    order = np.argsort(distance if outwards else -distance, axis=None, kind="stable")
    order = order[(~truth if outwards else truth).ravel()[order]]
    predictions = []
    for number in _steps(int(truth.sum()), plan.steps):
        found = truth.copy()
        found.flat[order[:number]] = outwards
        predictions.append(found)
    return Scene(truth, predictions)


def curve(entry: Entry, shown: Scene, plan: Plan) -> list[float]:
    """The loss of each prediction.

    Raises:
        ValueError: where the loss refuses such a prediction.
    """
    classes = max(2, entry.min_classes)
    exclusive = "softmax" in entry.loss.activations
    loss = entry.build(activation="softmax" if exclusive else "sigmoid")
    margin = math.log(plan.probability / (1 - plan.probability))
    # the difference of two logits is the margin, or each of them is
    low, high = (0.0, margin + math.log(classes - 1)) if exclusive else (-margin, margin)
    target = torch.from_numpy(shown.truth).long()[None]
    values = []
    for found in shown.predictions:
        own = torch.from_numpy(np.stack([~found, found, *(classes - 2) * [np.zeros_like(found)]]))
        logits = (low + (high - low) * own.double())[None]
        with torch.no_grad():
            values.append(float(loss(logits, target)))
    return values


def measure(entry: Entry, plan: Plan) -> dict[str, Any]:
    """The curves of a loss by name, or why it has none."""
    try:
        curves = {
            f"{errors}, {size}": curve(entry, scene(radius, errors, plan), plan)
            for errors, (size, radius) in _pairs()
        }
    except (ValueError, ImportError) as error:
        return {"loss": entry.name, "left out": " ".join(str(error).split())}
    return {"loss": entry.name, "curves": curves}


def shape(values: Sequence[float]) -> str:
    """In words, whether a curve rises at every step, never falls, or falls, and how often."""
    steps = np.diff(np.asarray(values, np.float64))
    least = FLAT * (max(values) - min(values))
    falls = int((steps < -least).sum())
    if falls:
        return f"falls at {falls} of {len(steps)}"
    if not (steps > least).any():
        return "constant"
    return "rises" if (steps > least).all() else "never falls"


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """In Markdown, a row for every loss.

    ``monotone``: whether each of its curves rises. ``rise``: by how much, from a prediction that is
    right to the last one. ``left out``: losses without curves, and why.

    Args:
        results: what :func:`metriseg.experiments.records.read` finds in ``results.json``.
    """
    names = [f"{errors}, {size}" for errors, (size, _) in _pairs()]
    shapes, rises, others = [], [], []
    for one in _ordered(results):
        loss = f"`{one['loss']}`"
        if "curves" not in one:
            others.append([loss, one["left out"]])
            continue
        curves = [one["curves"][name] for name in names]
        survey = "rises" if one["loss"] in SURVEY else ""
        shapes.append([loss, CATALOGUE[one["loss"]].level, *map(shape, curves), survey])
        rises.append([loss, *(f"{values[-1] - values[0]:.3g}" for values in curves)])
    found = {
        "monotone": _markdown(["loss", "level", *names, "the survey, small"], shapes),
        "rise": _markdown(["loss", *names], rises),
        "left out": _markdown(["loss", "why"], others),
    }
    return {name: text for name, text in found.items() if text}


def figures(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """``figure_3.png``: a panel for every loss with its curves, each over its own range.

    Args:
        results: what :func:`metriseg.experiments.records.read` finds in ``results.json``.
        folder: where to write.
    """
    path = checked_path(folder / "figure_3.png")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [one for one in _ordered(results) if "curves" in one]
    if not shown:
        return []
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(1.9 * COLUMNS, 1.5 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flat
    styles = {"false positives": "tab:orange", "false negatives": "tab:blue", "shifted": "0.4"}
    for axis, one in zip(axes, shown, strict=False):
        for errors, (size, _) in _pairs():
            name = f"{errors}, {size}"
            values = np.asarray(one["curves"][name])
            share = np.linspace(0, 1, len(values))
            values = (values - values.min()) / (np.ptp(values) or 1.0)
            line = "-" if size == "large" else "--"
            axis.plot(share, values, line, color=styles[errors], label=name, linewidth=1.2)
        axis.set_title(one["loss"].removesuffix("Loss"), fontsize=8)
        axis.set(xticks=[], yticks=[])
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return [path]


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate what the record doesn't have, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(
        prog="python -m metriseg.experiments.sensitivity",
        description=__doc__.partition("\n\n")[0],
    )
    plan = Plan()
    parser.add_argument("--output", type=Path, default=Path("work_dirs/sensitivity"))
    parser.add_argument("--losses", nargs="+", choices=CATALOGUE, metavar="LOSS", help="only these")
    parser.add_argument("--side", type=int, default=plan.side, help="of the image, pixels")
    parser.add_argument("--steps", type=int, default=plan.steps, help="from right to wrong")
    given = parser.parse_args(arguments)
    # as many false positives as the disk has pixels must find room around it
    least = math.ceil(5 * max(RADII.values()))
    if given.side < least:
        parser.error(f"--side must be at least {least}, got {given.side}")
    if given.steps < 1:
        parser.error(f"--steps must be at least 1, got {given.steps}")
    plan = plan._replace(side=given.side, steps=given.steps)
    try:
        record = Record(given.output / "results.json", {**plan._asdict(), "radii": dict(RADII)})
    except ValueError as error:
        parser.error(str(error))
    names = given.losses or list(CATALOGUE)
    for number, name in enumerate(names, 1):
        if record.find(loss=name) is None:
            record.add(measure(CATALOGUE[name], plan))
            progress(f"{number} of {len(names)}: {name}")
    results = record.results
    print("\n\n".join(f"{name}\n\n{text}" for name, text in tables(results).items()))
    for path in figures(results, given.output):
        progress(str(path))


def _steps(most: float, steps: int) -> list[int]:
    """From 0 to the most in as many steps, or in fewer where some would be of nothing."""
    return sorted({round(step * most / steps) for step in range(steps + 1)})


def _pairs() -> Iterator[tuple[str, tuple[str, float]]]:
    """In the order of the table's columns."""
    return ((errors, one) for one in RADII.items() for errors in ERRORS)


def _ordered(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Entries in the order of the catalogue; those of losses that it no longer has are left out."""
    order = list(CATALOGUE)
    known = [one for one in results["entries"] if one["loss"] in order]
    return sorted(known, key=lambda one: order.index(one["loss"]))


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
