"""Pictures of segmentations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metriseg.arrays import as_labels, place_in
from metriseg.partitions import (
    ContingencyTable,
    contingency_table,
    disagreement_map,
    partition_distance,
)
from metriseg.partitions.disagreement import cells_of_pixels

Color = tuple[int, int, int]

#: Of regions; grey is for what is left out.
COLORS: tuple[Color, ...] = (
    (102, 166, 224), (245, 166, 91), (126, 196, 122), (226, 120, 120), (170, 139, 211),
    (188, 144, 116), (236, 160, 208), (222, 213, 96), (98, 205, 205), (72, 110, 170),
    (60, 130, 90), (160, 70, 90),
)  # fmt: skip
#: Toward what, and how far, a colour is shaded for the pieces of a region.
SHADES = ((1.0, 0.5), (0.0, 0.35), (1.0, 0.75), (0.0, 0.6), (1.0, 0.25))
#: The longest side that is drawn, in pixels.
DRAWN = 1200


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
        ValueError: for an ending that stands for no format of pictures.
    """
    path = checked_path(path)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def save_partition_comparison(
    path: str | Path,
    x: Any,
    y: Any,
    *,
    image: Any = None,
    names: tuple[str, str] = ("x", "y"),
    table: ContingencyTable | None = None,
    mask: Any = None,
) -> Path:
    r"""Write a picture of two partitions in matching colours, and of where they disagree.

    The colours are those of :func:`matching_colors`, so that agreement is seen at a glance. The
    last panel shows what every pixel adds to the partition distance, by
    :func:`~metriseg.partitions.disagreement_map`. Pixels that the table leaves out are grey.

    Of a volume the middle slice of the first axis is shown (of every axis but the last two), with
    what its pixels add to the distance of the whole volumes. Of large maps every k-th pixel is
    drawn, and very long ones are squeezed.

    Args:
        path: where to write; the ending chooses the format: ``.png``, ``.pdf``, ``.svg`` …
        x: integer label map ``(*S)``: NumPy array, tensor, Zarr array.
        y: label map of the same shape.
        image: ``(*S)`` grey or ``(*S, 3)`` colours, to be shown beside them.
        names: what stands above x and y.
        table: of x and y, where it is at hand or leaves labels out; None counts all pixels.
        mask: ``(*S)`` bool, the pixels that count; the others are grey. None counts all.

    Raises:
        ImportError: without matplotlib (``pip install 'metriseg[viz]'``).
        ValueError: for what :func:`~metriseg.partitions.contingency_table` refuses, an image of
            another shape, an unknown format.
    """
    path = checked_path(path)
    counted = contingency_table(x, y, mask=mask) if table is None else table
    shape = tuple(np.shape(x))
    if image is not None and np.shape(image) not in (shape, (*shape, 3)):
        raise ValueError(f"image must have shape {shape} or {(*shape, 3)}, got {np.shape(image)}")
    ours, theirs = as_labels(_plane(x, len(shape))), as_labels(_plane(y, len(shape)))
    left_out = cells_of_pixels(counted, ours, theirs) < 0
    if mask is not None:
        left_out |= ~_plane(mask, len(shape))
    colors = matching_colors(ours, theirs, left_out)
    added = np.where(left_out, np.nan, disagreement_map(counted, ours, theirs))

    figure, axes = _panels(3 if image is None else 4, ours.shape)
    if image is not None:
        axes[0].imshow(_displayable(_plane(image, len(shape))), cmap="gray")
        _title(axes[0], "image")
    regions = counted.shape
    indices = place_in(counted.x_labels, ours)[0], place_in(counted.y_labels, theirs)[0]
    for axis, index, colored, name, number in zip(
        axes[-3:-1], indices, colors, names, regions, strict=True
    ):
        axis.imshow(colored, interpolation="nearest")
        _draw_boundaries(axis, np.where(left_out, -1, index))
        _title(axis, f"{_shortened(name)}: {number:,} region{'s' * (number > 1)}")
    _draw_disagreement(figure, axes[-1], added, partition_distance(counted), counted.is_count)
    if _ratio(ours.shape) != ours.shape[0] / ours.shape[1]:
        for axis in axes:
            axis.set_aspect("auto")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    return path


def checked_path(path: str | Path) -> Path:
    """Where a picture may be written, told before it is drawn.

    Raises:
        ImportError: without matplotlib (``pip install 'metriseg[viz]'``).
        ValueError: for an ending that stands for no format of pictures, a folder, or a place where
            there can be none.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'metriseg[viz]'") from None
    given, path = str(path), Path(path)
    known = sorted(f".{ending}" for ending in FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower() not in known:
        raise ValueError(f"path must end in {', '.join(known)}, got {given!r}")
    if path.is_dir():
        raise ValueError(f"path must be a file, got the folder {given!r}")
    above = next((folder for folder in path.parents if folder.exists()), None)
    if above is not None and not above.is_dir():
        raise ValueError(f"path must lie in a folder, got {given!r}, and {str(above)!r} is a file")
    return path


def matching_colors(
    x: NDArray[np.integer], y: NDArray[np.integer], left_out: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two label maps as pictures in which regions that match have one colour.

    Touching regions of x differ. Regions are matched one to one, the largest overlap first. A
    region of y without a match has a shade of the region of x that it shares most pixels with.

    Args:
        x: ``(H, W)``.
        y: ``(H, W)``.
        left_out: ``(H, W)``: pixels to be grey.

    Returns:
        Two pictures ``(H, W, 3)``, 0 … 1.
    """
    shown = [np.full((*x.shape, 3), 0.75), np.full((*x.shape, 3), 0.75)]
    here = ~left_out
    if here.any():
        table = contingency_table(x[here], y[here])
        x_index = place_in(table.x_labels, as_labels(x))[0]
        touching = _touching(np.where(left_out, -1, x_index))
        x_colors = _spread_colors(touching, table.x_sizes)
        shown[0][here] = x_colors[x_index[here]]
        y_index = place_in(table.y_labels, as_labels(y[here]))[0]
        shown[1][here] = _matched_colors(table, x_colors)[y_index]
    return shown[0], shown[1]


def _matched_colors(table: ContingencyTable, x_colors: NDArray[Any]) -> NDArray[np.float64]:
    """``(n, 3)``: the colours of y's regions."""
    colors = np.empty((table.shape[1], 3))
    taken, colored = np.zeros(table.shape[0], int), np.zeros(table.shape[1], bool)
    unmatched = []
    by_overlap = np.argsort(-table.values, kind="stable")
    for k, m in zip(table.x_index[by_overlap], table.y_index[by_overlap], strict=True):
        if not taken[k] and not colored[m]:
            colors[m], colored[m], taken[k] = x_colors[k], True, 1
        else:
            unmatched.append((k, m))
    for k, m in unmatched:
        if not colored[m]:
            toward, share = SHADES[(taken[k] - 1) % len(SHADES)]
            colors[m] = (1 - share) * x_colors[k] + share * toward
            colored[m] = True
            taken[k] += 1
    return colors


def _touching(index: NDArray[np.integer]) -> dict[int, set[int]]:
    """The neighbours of each region of a map ``(H, W)``; -1 is none."""
    neighbours: dict[int, set[int]] = {}
    for a, b in ((index[1:], index[:-1]), (index[:, 1:], index[:, :-1])):
        meeting = (a != b) & (a >= 0) & (b >= 0)
        for one, other in np.unique(np.stack([a[meeting], b[meeting]], 1), axis=0).tolist():
            neighbours.setdefault(one, set()).add(other)
            neighbours.setdefault(other, set()).add(one)
    return neighbours


def _spread_colors(neighbours: Mapping[int, set[int]], sizes: NDArray[Any]) -> NDArray[np.float64]:
    """``(m, 3)``: large regions choose first, a colour that no neighbour has, rare so far."""
    choice = np.full(len(sizes), -1)
    used = np.zeros(len(COLORS))
    for region in np.argsort(-sizes, kind="stable").tolist():
        around = {int(choice[other]) for other in neighbours.get(region, ())}
        free = [c for c in range(len(COLORS)) if c not in around] or list(range(len(COLORS)))
        choice[region] = min(free, key=lambda c: (used[c], c))
        used[choice[region]] += 1
    chosen: NDArray[np.float64] = np.asarray(COLORS)[choice] / 255
    return chosen


def _plane(values: Any, dimensions: int) -> NDArray[Any]:
    """The middle plane of a map or image of so many dimensions, ``(H, W, …)``, thinned."""
    values = values if hasattr(values, "shape") else np.asarray(values)
    if dimensions > 2:
        values = values[tuple(size // 2 for size in np.shape(values)[: dimensions - 2])]
    plane = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if dimensions < 2:
        plane = plane[None] if dimensions else plane[None, None]
    step = -(-max(plane.shape[:2]) // DRAWN)
    return plane[::step, ::step]


def _displayable(image: NDArray[Any]) -> NDArray[Any]:
    """Colours of any type within 0 … 1; grey is scaled by who draws it."""
    if image.ndim == 2 or image.dtype == np.uint8:
        return image
    values = image.astype(np.float64)
    low, high = np.nanmin(values), np.nanmax(values)
    scaled: NDArray[Any] = (values - low) / ((high - low) or 1)
    return scaled


def _panels(count: int, shape: tuple[int, ...]) -> tuple[Any, list[Any]]:
    """A figure of panels of maps ``shape``: three in a row, four in a square."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'metriseg[viz]'") from None
    rows, columns = (1, 3) if count == 3 else (2, 2)
    ratio = _ratio(shape)
    width = 4.4 if ratio <= 1 else max(4.4 / ratio, 3.2)
    size = (columns * width + 0.7, rows * (width * ratio + 0.4) + 0.1)
    figure = Figure(figsize=size, layout="compressed")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_linewidth(0.5)
    return figure, axes


def _ratio(shape: tuple[int, ...]) -> float:
    """Height to width of a panel."""
    return min(max(shape[0] / shape[1], 0.2), 2.5)


def _draw_boundaries(axis: Any, labels: NDArray[Any]) -> None:
    """Lines between pixels of different labels, drawn run by run."""
    from matplotlib.collections import LineCollection

    lines = []
    for turned in (False, True):
        rows = labels.T if turned else labels
        edge = np.pad(rows[1:] != rows[:-1], ((0, 0), (1, 1))).astype(np.int8)
        change = np.diff(edge, axis=1)
        row, start = np.nonzero(change > 0)
        _, end = np.nonzero(change < 0)
        across = np.stack([row + 0.5, row + 0.5], 1)
        along = np.stack([start, end], 1) - 0.5
        lines.append(np.stack([across, along] if turned else [along, across], 2))
    axis.add_collection(
        LineCollection(list(np.concatenate(lines)), colors="black", linewidths=0.8), autolim=False
    )


def _draw_disagreement(
    figure: Any, axis: Any, added: NDArray[Any], distance: float, of_pixels: bool
) -> None:
    from matplotlib import colormaps

    colors = colormaps["gist_heat_r"].with_extremes(bad="0.75")
    most = np.nanmax(added, initial=0.0)
    drawn = axis.imshow(added, cmap=colors, vmin=0, vmax=most or 1, interpolation="nearest")
    _title(axis, f"disagreement: {distance:.4g}{' pixels²' * of_pixels}")
    bar = figure.colorbar(drawn, cax=axis.inset_axes((1.02, 0, 0.045, 1)), format="{x:,.6g}")
    bar.set_label(r"$|x(u)\,\triangle\,y(u)|$ of every pixel $u$", fontsize=9)
    bar.ax.tick_params(labelsize=9)


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, fontsize=10, parse_math=False)


def _shortened(name: str, longest: int = 24) -> str:
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"
