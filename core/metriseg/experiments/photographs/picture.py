"""The picture: photographs, and the borders that people and methods draw on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metriseg.experiments.photographs.methods import Labels, picture
from metriseg.experiments.photographs.networks import Halved
from metriseg.experiments.scikit_image import scikit_image


def save_picture(
    path: Path, photographs: Sequence[Halved], columns: Mapping[str, Sequence[Labels]]
) -> None:
    """A row a photograph: itself, then the borders of each column's partition on it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    segmentation = scikit_image("segmentation")
    names = ["photograph", *columns]
    figure = Figure(figsize=(3 * len(names), 2.2 * len(photographs)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(photographs), len(names), squeeze=False)
    for number, one in enumerate(photographs):
        image = picture(one).repeat(2, 0).repeat(2, 1)
        height, width = image.shape[:2]
        drawn = [image]
        for maps in columns.values():
            labels = maps[number][:height, :width]
            drawn.append(segmentation.mark_boundaries(image, labels, (1, 1, 0), mode="thick"))
        for axis, name, pixels in zip(axes[number], names, drawn, strict=True):
            axis.imshow(pixels)
            axis.set_axis_off()
            if number == 0:
                axis.set_title(name.replace(" + ", " +\n"))
    figure.savefig(path, dpi=90)
