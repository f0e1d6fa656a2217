"""Images on which methods differ, and those on which ours is worst and best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metriseg.experiments.nuclei.images import Sample
from metriseg.experiments.objects import Labels
from metriseg.viz import checked_path, matching_colors

#: Pixels of a side that are shown, from the middle.
SHOWN = 256


def save_picture(
    path: Path,
    samples: Sequence[Sample],
    found: Mapping[str, Sequence[Labels]],
    values: Mapping[str, Sequence[float]],
    titles: Sequence[str],
) -> None:
    """A row an image: the image, its objects, those of each method with what they score."""
    checked_path(path)
    from matplotlib import pyplot

    columns = ["image", "truth", *found]
    figure, axes = pyplot.subplots(
        len(samples),
        len(columns),
        figsize=(2.3 * len(columns), 2.35 * len(samples) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    for number, (one, line) in enumerate(zip(samples, axes, strict=True)):
        rows, across = (
            slice(max(0, (side - SHOWN) // 2), max(0, (side - SHOWN) // 2) + SHOWN)
            for side in one.objects.shape
        )
        # the tail of the brightest would leave the others dark
        line[0].imshow(one.image[rows, across], cmap="gray", vmin=0, vmax=1)
        line[0].set_ylabel(titles[number], fontsize=8)
        nothing = np.zeros(one.objects.shape, np.bool_)
        truth = matching_colors(one.objects, one.objects, nothing)[0]
        panels = [(truth, one.objects, "")]
        for name, maps in found.items():
            _, painted = matching_colors(one.objects, maps[number], nothing)
            panels.append((painted, maps[number], f"mean F1 {values[name][number]:.2f}"))
        for axis, (painted, labels, text) in zip(line[1:], panels, strict=True):
            painted[labels == 0] = 0
            axis.imshow(painted[rows, across], interpolation="nearest")
            axis.set_xlabel(text, fontsize=8)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
