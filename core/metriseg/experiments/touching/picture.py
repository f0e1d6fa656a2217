"""The picture of :mod:`metriseg.experiments.touching`: what each method makes of some images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Labels = NDArray[np.int64]
Values = NDArray[np.float64]

#: Colours of the true objects, and, from the other end, of those that match none.
COLORS = np.array(
    [
        (0.90, 0.62, 0.00), (0.34, 0.71, 0.91), (0.00, 0.62, 0.45), (0.94, 0.89, 0.26),
        (0.84, 0.37, 0.00), (0.80, 0.47, 0.65), (0.00, 0.45, 0.70), (0.60, 0.60, 0.60),
    ]
)  # fmt: skip
BACKGROUND = (0.12, 0.12, 0.14)
#: Share of the embedding's values that its colours leave out at either end.
TAIL = 0.01


class Row(NamedTuple):
    """An image ``(3, H, W)``, its objects, those found, and the embedding ``(D, H, W)``."""

    image: Values
    truth: Labels
    found: dict[str, Labels]
    embedding: Values


def draw_rows(path: Path, rows: list[Row]) -> None:
    """Write a panel each for the image, the truth, every method and the embedding."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("a picture needs matplotlib: pip install 'metriseg[viz]'") from error
    titles = ["image", "truth", *rows[0].found, "its embedding"]
    figure, axes = pyplot.subplots(
        len(rows),
        len(titles),
        figsize=(1.75 * len(titles), 1.8 * len(rows) + 0.35),
        squeeze=False,
        layout="constrained",
    )
    for row, line in zip(rows, axes, strict=True):
        panels = [np.moveaxis(row.image, 0, -1), painted(row.truth, row.truth)]
        panels += [painted(labels, row.truth) for labels in row.found.values()]
        panels.append(embedding_colors(row.embedding, row.truth > 0))
        for axis, panel in zip(line, panels, strict=True):
            axis.imshow(panel, interpolation="nearest")
            axis.set_axis_off()
        for axis, labels in zip(line[2:], row.found.values(), strict=False):
            _mark_number(axis, labels, row.truth)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def painted(labels: Labels, truth: Labels) -> Values:
    """``(H, W, 3)``: an object has the colour of the true one that it shares most with."""
    names = [int(name) for name in np.unique(labels) if name]
    true_names = [int(name) for name in np.unique(truth) if name]
    shared = np.array([[((labels == a) & (truth == b)).sum() for b in true_names] for a in names])
    match = {}
    if shared.size:
        rows, columns = linear_sum_assignment(-shared)
        match = {names[a]: int(b) for a, b in zip(rows, columns, strict=True) if shared[a, b] > 0}
    others = [name for name in names if name not in match]
    match |= {name: -1 - place for place, name in enumerate(others)}
    panel = np.empty((*labels.shape, 3))
    panel[:] = BACKGROUND
    for name, place in match.items():
        panel[labels == name] = COLORS[place % len(COLORS)]
    return panel


def embedding_colors(embedding: Values, foreground: NDArray[np.bool_]) -> Values:
    """``(H, W, 3)``: the three main axes of the objects' values as red, green and blue."""
    values = np.moveaxis(embedding, 0, -1).astype(np.float64)
    of_objects = values[foreground]
    middle = of_objects.mean(0)
    _, _, axes = np.linalg.svd(of_objects - middle, full_matrices=False)
    turned = (values - middle) @ axes[:3].T
    if turned.shape[-1] < 3:
        turned = np.concatenate([turned, np.zeros((*turned.shape[:2], 3 - turned.shape[-1]))], -1)
    low, high = np.quantile(turned[foreground], [TAIL, 1 - TAIL], axis=0)
    span = np.where(high > low, high - low, 1.0)
    panel: Values = np.clip((turned - low) / span, 0, 1) * 0.85 + 0.15
    panel[~foreground] = BACKGROUND
    return panel


def _mark_number(axis: object, labels: Labels, truth: Labels) -> None:
    """How many objects there are, where that is wrong."""
    found, true = len(np.setdiff1d(labels, 0)), len(np.setdiff1d(truth, 0))
    if found != true:
        axis.text(  # type: ignore[attr-defined]
            0.03, 0.03, f"{found} of {true}", transform=axis.transAxes, color="white", fontsize=8,  # type: ignore[attr-defined]
        )  # fmt: skip
