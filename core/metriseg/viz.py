"""Pictures of segmentations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]


def save_comparison(
    path: str | Path,
    images: Sequence[NDArray[np.uint8]],
    truths: Sequence[NDArray[np.integer]],
    predictions: Sequence[NDArray[np.integer]],
    palette: Sequence[Color],
    *,
    title: str = "",
) -> Path:
    """Write a PNG with a row an image: the image, its truth and the prediction.

    Args:
        path: where to write.
        images: ``(H, W)`` grey or ``(H, W, 3)`` RGB, uint8.
        truths: label maps ``(H, W)``.
        predictions: label maps ``(H, W)``.
        palette: an RGB colour for every label.
        title: a line above.

    Raises:
        ImportError: without matplotlib (``pip install 'metriseg[viz]'``).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'metriseg[viz]'") from None
    colors = np.asarray(palette, np.uint8)
    rows = len(images)
    figure = Figure(figsize=(6.3, 2.05 * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 3, squeeze=False)
    for row, panels in zip(axes, zip(images, truths, predictions, strict=True), strict=True):
        shown = (panels[0], colors[panels[1]], colors[panels[2]])
        for axis, panel in zip(row, shown, strict=True):
            axis.imshow(panel, cmap="gray", interpolation="nearest")
            axis.set_axis_off()
    for axis, name in zip(axes[0], ("image", "truth", "prediction"), strict=True):
        axis.set_title(name)
    if title:
        figure.suptitle(title)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
