"""The images on which losses differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metriseg.experiments.which_loss.bench import Bench, Shown
from metriseg.experiments.which_loss.comparison import network_folder
from metriseg.experiments.which_loss.report import Entry
from metriseg.viz import checked_path

#: Images, and predictions of each.
ROWS = 4


def save_picture(
    path: Path,
    bench: Bench,
    groups: Mapping[str, Sequence[Entry]],
    folder: Path,
    data: Path | None,
) -> None:
    """A row an image: image, truth, the first loss, and those that are worst and best there.

    Args:
        path: of the picture.
        bench: what was compared.
        groups: of the results on ``data``, see :func:`~.report.by_loss`.
        folder: of the networks.
        data: whose images; None for val.
    """
    checked_path(path)
    first_seed = {loss: members[0] for loss, members in groups.items() if members}
    if len(first_seed) < 2:
        return
    from matplotlib import pyplot

    losses = list(first_seed)
    values = np.array([first_seed[loss]["images"] for loss in losses], dtype=np.float64)
    chosen = np.argsort(-np.nan_to_num(np.ptp(values, axis=0)), kind="stable")[:ROWS]
    panels: list[list[int]] = []
    for image in chosen:
        order = np.argsort(np.nan_to_num(values[1:, image]), kind="stable") + 1
        panels.append([0, int(order[0]), int(order[-1])])
    shown: dict[str, dict[int, Shown]] = {}
    for number, loss in enumerate(losses):
        rows = [int(k) for k, one in zip(chosen, panels, strict=True) if number in one]
        if rows:
            found = bench.show(_folder(folder, first_seed[loss]), data, rows)
            shown[loss] = dict(zip(rows, found, strict=True))
    columns = ["image", "truth", "", "worst", "best"]
    height, width = next(iter(next(iter(shown.values())).values())).truth.shape
    figure, axes = pyplot.subplots(
        len(chosen),
        len(columns),
        figsize=(2.6 * len(columns), (2.6 * height / width + 0.3) * len(chosen) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    palette = np.asarray(bench.palette, dtype=np.uint8)
    for line, image, numbers in zip(axes, chosen, panels, strict=True):
        first = shown[losses[0]][int(image)]
        line[0].imshow(first.image, cmap="gray" if first.image.ndim == 2 else None)
        line[1].imshow(_painted(first.truth, palette), interpolation="nearest")
        for axis, number in zip(line[2:], numbers, strict=True):
            prediction = shown[losses[number]][int(image)].prediction
            axis.imshow(_painted(prediction, palette), interpolation="nearest")
            words = first_seed[losses[number]]["words"]
            axis.set_xlabel(f"{words}: {values[number, image]:.2f}", fontsize=8)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _folder(folder: Path, entry: Entry) -> Path:
    return network_folder(folder, entry["loss"], entry["setting"], entry["seed"])


def _painted(labels: NDArray[np.integer], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels outside the palette are black."""
    known = (labels >= 0) & (labels < len(palette))
    painted: NDArray[np.uint8] = palette[np.where(known, labels, 0)]
    painted[~known] = 0
    return painted
