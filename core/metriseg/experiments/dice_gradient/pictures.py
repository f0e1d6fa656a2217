"""Figures of :mod:`metriseg.experiments.dice_gradient`, numbered as in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.experiments.dice_gradient.report import bins_of, grouped
from metriseg.experiments.dice_gradient.training import LOSSES, OPTIMIZERS
from metriseg.experiments.dice_gradient.volumes import CLASSES
from metriseg.viz import checked_path


def figures(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """``figure_2.png``, the validation Dice by epoch, and ``figure_3.png``, the calibration.

    Args:
        results: what :func:`metriseg.experiments.records.read` finds in ``results.json``.
        folder: where to write.
    """
    groups = grouped(results["entries"])
    if not groups:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    shown = [name for name in OPTIMIZERS if any(name == key[0] for key in groups)]
    figure, axes = _panels(1, len(shown), (4.4, 3.4))
    for axis, optimizer in zip(axes[0], shown, strict=True):
        for (color, loss), some in _lines(groups, optimizer):
            for number, one in enumerate(some):
                course = one["validation"]
                label = loss if number == 0 else None
                axis.plot(range(1, len(course) + 1), course, color=color, label=label, lw=1)
        axis.set(title=optimizer, xlabel="epoch", ylabel="validation Dice", ylim=(0, 1))
        axis.legend(fontsize=8)
    paths = [_saved(figure, folder / "figure_2.png")]
    figure, axes = _panels(len(shown), len(CLASSES) - 1, (3.4, 3.2))
    for line, optimizer in zip(axes, shown, strict=True):
        for axis, name in zip(line, CLASSES[1:], strict=True):
            axis.plot([0, 1], [0, 1], color="0.7", lw=0.8)
            for (color, loss), some in _lines(groups, optimizer):
                for number, one in enumerate(some):
                    bins = bins_of(one, name)
                    here = bins.share > 0
                    label = loss if number == 0 else None
                    axis.plot(
                        bins.confidence[here], bins.frequency[here], ".-", color=color, label=label,
                        lw=0.8,
                    )  # fmt: skip
            axis.set(title=f"{name}, {optimizer}", xlabel="probability", ylabel="frequency")
    axes[0, 0].legend(fontsize=7)
    return [*paths, _saved(figure, folder / "figure_3.png")]


def draw_gradients(
    path: Path,
    structure: str,
    truth: NDArray[np.bool_],
    p: NDArray[np.float64],
    gradients: Mapping[str, NDArray[np.float64]],
    decibels: Mapping[str, float],
) -> None:
    """The truth of a structure, its probability, and the gradient of each loss by that."""
    figure, axes = _panels(1, 2 + len(gradients), (2.7, 2.9))
    axes[0, 0].imshow(truth, cmap="gray", interpolation="nearest")
    axes[0, 0].set_title(f"truth: {structure}", fontsize=9)
    drawn = axes[0, 1].imshow(p, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes[0, 1].set_title("probability", fontsize=9)
    figure.colorbar(drawn, ax=axes[0, 1], orientation="horizontal", shrink=0.8)
    for axis, (name, values) in zip(axes[0, 2:], gradients.items(), strict=True):
        most = float(np.abs(values).max())
        drawn = axis.imshow(values, cmap="coolwarm", vmin=-most, vmax=most, interpolation="nearest")
        axis.set_title(f"gradient of {name}: {decibels[name]:.1f} dB", fontsize=9)
        figure.colorbar(drawn, ax=axis, orientation="horizontal", shrink=0.8, format="%.1g")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    _saved(figure, path)


def _lines(
    groups: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]], optimizer: str
) -> list[tuple[tuple[str, str], Sequence[Mapping[str, Any]]]]:
    """A colour and a name for each loss that was trained with the optimiser."""
    return [
        ((f"C{number}", loss), groups[optimizer, loss])
        for number, loss in enumerate(LOSSES)
        if (optimizer, loss) in groups
    ]


def _panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    checked_path("panels.png")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path
