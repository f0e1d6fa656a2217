"""What a loss does to an image, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.viz import COLORS, Color, matching_colors

#: Of pixels that don't count.
LEFT_OUT = 0.75
#: The share of pixels within the range of colours; single ones would take it all.
SHOWN = 0.995


@dataclass(frozen=True)
class LossPicture:
    """An image with what a network makes of it, and what a loss makes of that.

    Attributes:
        image: ``(H, W)`` or RGB ``(H, W, 3)``.
        truth: labels ``(H, W)``.
        prediction: labels ``(H, W)``.
        push: ``(H, W)``: how hard the loss pushes the logits toward the truth, below 0 away from
            it; NaN where nothing counts.
        strength: ``(H, W)``: how hard it pushes at all, over all classes; NaN likewise.
        instances: true and predicted object numbers ``(H, W)``, of which any may be None.
        title: a line above.
    """

    image: NDArray[Any]
    truth: NDArray[Any]
    prediction: NDArray[Any]
    push: NDArray[Any]
    strength: NDArray[Any]
    instances: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None)
    title: str = ""


def render(
    picture: LossPicture,
    palette: Sequence[Color] | None = None,
    classes: Sequence[str] | None = None,
) -> NDArray[np.uint8]:
    """RGB ``(h, w, 3)``.

    Args:
        picture: what to draw.
        palette: an RGB colour for every class; None for colours of our own.
        classes: names of the classes; None numbers them.

    Raises:
        ImportError: without matplotlib (``pip install 'metriseg[viz]'``).
    """
    figure, canvas = _figure(picture)
    axes = list(figure.axes)
    colors = np.asarray(COLORS if palette is None else palette, np.float64) / 255
    left_out = np.isnan(picture.push)
    _show(axes[0], "image", picture.image, cmap="gray")
    _show(axes[1], "truth", _colored(picture.truth, colors, left_out))
    _show(axes[2], "prediction", _colored(picture.prediction, colors))
    _draw_values(figure, axes[3], "push toward the truth", picture.push, "RdBu")
    _draw_values(figure, axes[4], "strength of the push", picture.strength, "magma")
    _draw_legend(axes[5], picture, colors, classes, left_out)
    for axis, (name, drawn) in zip(axes[6:], _objects(picture), strict=False):
        _show(axis, name, drawn)
    figure.suptitle(picture.title, fontsize=11)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def matplotlib_figure() -> tuple[Any, Any]:
    """``Figure`` and ``FigureCanvasAgg``.

    Raises:
        ImportError: without matplotlib (``pip install 'metriseg[viz]'``).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'metriseg[viz]'") from None
    return Figure, FigureCanvasAgg


def _figure(picture: LossPicture) -> tuple[Any, Any]:
    figure_type, canvas_type = matplotlib_figure()
    rows = 2 + bool(_objects(picture))
    height, width = picture.truth.shape
    ratio = min(max(height / width, 0.3), 2.0)
    figure = figure_type(figsize=(11.4, rows * (3.5 * ratio + 0.35) + 0.4), layout="compressed")
    canvas = canvas_type(figure)
    for axis in figure.subplots(rows, 3, squeeze=False).flat:
        axis.set_axis_off()
    return figure, canvas


def _show(axis: Any, name: str, values: NDArray[Any], **words: Any) -> Any:
    axis.set_title(name, fontsize=10)
    return axis.imshow(values, interpolation="nearest", **words)


def _colored(
    labels: NDArray[Any], colors: NDArray[Any], left_out: NDArray[Any] | None = None
) -> NDArray[Any]:
    known = labels.astype(np.int64) % len(colors)
    drawn = colors[known]
    if left_out is not None:
        drawn = np.where(left_out[..., None], LEFT_OUT, drawn)
    return drawn


def _draw_values(figure: Any, axis: Any, name: str, values: NDArray[Any], colors: str) -> None:
    from matplotlib import colormaps

    known = np.abs(values[~np.isnan(values)])
    most = float(np.quantile(known, SHOWN)) if known.size else 0.0
    most = most or float(known.max(initial=0.0)) or 1.0
    low = -most if colors == "RdBu" else 0.0
    cmap = colormaps[colors].with_extremes(bad=str(LEFT_OUT))
    drawn = _show(axis, name, values, cmap=cmap, vmin=low, vmax=most)
    bar = figure.colorbar(
        drawn, ax=axis, shrink=0.85, pad=0.02, extend="max" if not low else "both"
    )
    bar.ax.tick_params(labelsize=8)


def _draw_legend(
    axis: Any,
    picture: LossPicture,
    colors: NDArray[Any],
    classes: Sequence[str] | None,
    left_out: NDArray[Any],
) -> None:
    from matplotlib.patches import Patch

    there = set(np.unique(picture.truth[~left_out])) | set(np.unique(picture.prediction))
    handles = [
        Patch(
            color=tuple(colors[label % len(colors)]),
            label=classes[label] if classes is not None and label < len(classes) else str(label),
        )
        for label in sorted(int(one) for one in there)
    ]
    if left_out.any():
        handles.append(Patch(color=(LEFT_OUT,) * 3, label="doesn't count"))
    columns = 1 + len(handles) // 9
    axis.legend(handles=handles, loc="center", ncols=columns, fontsize=9, frameon=False)


def _objects(picture: LossPicture) -> list[tuple[str, NDArray[Any]]]:
    """Object numbers in colours, that match where both are there."""
    truth, prediction = picture.instances
    there = [one for one in (truth, prediction) if one is not None]
    names = [
        name
        for name, one in (("true objects", truth), ("predicted objects", prediction))
        if one is not None
    ]
    if not there:
        return []
    if len(there) == 2 and there[0].shape != there[1].shape:
        drawn = [matching_colors(one, one, one == 0)[0] for one in there]
    else:
        first, last = there[0], there[-1]
        drawn = list(matching_colors(first, last, (first == 0) & (last == 0)))
        drawn = [
            np.where((one == 0)[..., None], LEFT_OUT, colored)
            for one, colored in zip(there, drawn, strict=False)
        ]
    return list(zip(names, drawn, strict=True))
