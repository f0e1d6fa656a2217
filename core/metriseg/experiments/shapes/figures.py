"""Figures 1 to 4 of the published experiment, and one of every method's segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metriseg.batch import Batch
from metriseg.components import connected_components
from metriseg.experiments.shapes.methods import METHODS, Images, Labels

#: The background, the objects of the truth in their order, and what matches none of them.
BACKGROUND = (236, 236, 236)
OBJECTS = ((82, 138, 205), (240, 150, 70), (106, 180, 100), (214, 96, 96), (150, 115, 195))
OTHERS = ((120, 90, 70), (235, 150, 205), (220, 205, 80), (90, 200, 205), (90, 90, 90))
#: Colours of gradients: blue where a higher output is better.
DIVERGING = "RdBu_r"

#: What a panel shows, how, and the line above it.
Panel = tuple[str, NDArray[Any], str]


def save_figures(
    folder: Path, shown: Images, looks: Mapping[str, Mapping[int, Tensor]]
) -> list[Path]:
    """Write ``figure_1.png`` … ``figure_5.png``; the first four need a published method.

    Args:
        folder: where to.
        shown: the images.
        looks: outputs for them, by method and step.

    Returns:
        The files.
    """
    published = [name for name in looks if METHODS[name].knn is not None]
    written = []
    if published:
        written += [
            save_grid(folder / "figure_1.png", *extraction_steps(shown, looks, published[0])),
            save_grid(folder / "figure_2.png", *estimators(shown, looks, published)),
            save_grid(folder / "figure_3.png", *over_training(shown, looks, published)),
            save_grid(folder / "figure_4.png", *gradients(shown, looks, published)),
        ]
    written.append(save_grid(folder / "figure_5.png", *all_segments(shown, looks)))
    return written


def extraction_steps(
    shown: Images, looks: Mapping[str, Mapping[int, Tensor]], name: str
) -> tuple[str, list[tuple[str, list[Panel]]]]:
    """Figure 1: input, output, its nearest centroids, connected segments."""
    extractor, truth = METHODS[name].knn, shown.instances[0].numpy()
    assert extractor is not None
    rows = []
    for step in (min(looks[name]), max(looks[name])):
        output = looks[name][step][:1]
        codes = extractor.quantised(_one_channel(output))[0]
        value = torch.zeros_like(output[0, 0])
        for code in range(extractor.k):
            if (codes == code).any():
                value[codes == code] = output[0, 0][codes == code].mean()
        panels: list[Panel] = [
            _image(shown, 0),
            _values(output[0, 0], "output"),
            _values(value, f"nearest of {extractor.k} centroids"),
            _segments(METHODS[name].segments(output)[0], truth, "connected segments"),
            _segments(truth, truth, "truth"),
        ]
        rows.append((f"step {step}", panels))
    return f"From an image to segments ({name})", rows


def estimators(
    shown: Images, looks: Mapping[str, Mapping[int, Tensor]], names: Sequence[str]
) -> tuple[str, list[tuple[str, list[Panel]]]]:
    """Figure 2: outputs and segments of each estimator after training."""
    rows = []
    for k in range(len(shown.images)):
        truth = shown.instances[k].numpy()
        panels = [_image(shown, k), _segments(truth, truth, "truth")]
        for name in names:
            output = looks[name][max(looks[name])][k : k + 1]
            panels.append(_values(output[0, 0], f"{name}: output"))
            panels.append(_segments(METHODS[name].segments(output)[0], truth, "segments"))
        rows.append(("", panels))
    return "Estimators compared, after training", rows


def over_training(
    shown: Images, looks: Mapping[str, Mapping[int, Tensor]], names: Sequence[str]
) -> tuple[str, list[tuple[str, list[Panel]]]]:
    """Figure 3: outputs above, segments below, as the training goes on."""
    truth = shown.instances[0].numpy()
    rows = []
    for name in names:
        above, below = [_image(shown, 0)], [_segments(truth, truth, "truth")]
        for step, output in sorted(looks[name].items()):
            above.append(_values(output[0, 0], f"step {step}"))
            below.append(_segments(METHODS[name].segments(output[:1])[0], truth, "segments"))
        rows += [(name, above), ("", below)]
    return "Outputs and segments over training", rows


def gradients(
    shown: Images, looks: Mapping[str, Mapping[int, Tensor]], names: Sequence[str]
) -> tuple[str, list[tuple[str, list[Panel]]]]:
    """Figure 4: the loss's gradient at a few outputs, before any training."""
    which = _undivided(shown)
    chosen = shown.chosen(torch.tensor([which]))
    truth = chosen.instances[0].numpy()
    given = {
        "untrained network": None,
        "the image itself": chosen.images.mean(1, keepdim=True),
        "a perfect output": chosen.instances.unsqueeze(1).float(),
    }
    rows = []
    for words, value in given.items():
        panels: list[Panel] = []
        for name in names:
            output = looks[name][0][which : which + 1] if value is None else value
            if not panels:
                found = METHODS[name].segments(output)[0]
                panels = [
                    _values(output[0, 0], "output"),
                    _segments(found, truth, f"segments of {name}"),
                ]
            panels.append(_gradient(name, output, chosen))
        rows.append((words, [*panels, _segments(truth, truth, "truth")]))
    return "Gradient of the loss at the output", rows


def all_segments(
    shown: Images, looks: Mapping[str, Mapping[int, Tensor]]
) -> tuple[str, list[tuple[str, list[Panel]]]]:
    """Figure 5: what every method finds."""
    rows = []
    for k in range(len(shown.images)):
        truth = shown.instances[k].numpy()
        panels = [_image(shown, k), _segments(truth, truth, "truth")]
        for name, outputs in looks.items():
            found = METHODS[name].segments(outputs[max(outputs)][k : k + 1])[0]
            panels.append(_segments(found, truth, name))
        rows.append(("", panels))
    return "Segments of every method, after training", rows


def colored(labels: Labels, truth: Labels) -> NDArray[np.uint8]:
    """``(H, W, 3)``: a segment has the colour of the true object that it covers best.

    The larger segment has the first choice; what is left over takes other colours in turn.
    """
    found = np.empty((*labels.shape, 3), np.uint8)
    found[labels == 0] = BACKGROUND
    taken: set[int] = set()
    names, sizes = np.unique(labels[labels > 0], return_counts=True)
    for number, name in enumerate(names[np.argsort(-sizes, kind="stable")]):
        here = labels == name
        true = int(np.bincount(truth[here]).argmax())
        matched = true > 0 and true not in taken
        taken.add(true)
        palette, place = (OBJECTS, true - 1) if matched else (OTHERS, number)
        found[here] = palette[place % len(palette)]
    return found


def save_grid(path: Path, title: str, rows: Sequence[tuple[str, Sequence[Panel]]]) -> Path:
    """Write rows of panels, each with its name.

    Raises:
        ImportError: without matplotlib (``pip install 'metriseg[viz]'``).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("figures need matplotlib: pip install 'metriseg[viz]'") from None
    columns = max(len(panels) for _, panels in rows)
    figure = Figure(figsize=(1.75 * columns + 0.3, 1.98 * len(rows) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, panels) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_linewidth(0.5)
        for axis, (kind, values, words) in zip(line, panels, strict=False):
            _draw(axis, kind, values)
            axis.set_title(words, fontsize=9)
        for axis in line[len(panels) :]:
            axis.set_axis_off()
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _draw(axis: Any, kind: str, values: NDArray[Any]) -> None:
    if kind == "picture":
        axis.imshow(values, interpolation="nearest")
    elif kind == "values":
        low, high = np.percentile(values, (0.5, 99.5))
        axis.imshow(values, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    else:
        # a few pixels pull very hard: the rest is to be seen as well
        most = np.percentile(np.abs(values), 99) or np.abs(values).max() or 1.0
        axis.imshow(values, cmap=DIVERGING, vmin=-most, vmax=most, interpolation="nearest")


def _image(shown: Images, k: int) -> Panel:
    return ("picture", shown.images[k].permute(1, 2, 0).numpy(), "image")


def _values(values: Tensor, words: str) -> Panel:
    return ("values", values.numpy(), words)


def _segments(labels: Labels, truth: Labels, words: str) -> Panel:
    number = len(np.unique(connected_components(labels)))
    return ("picture", colored(labels, truth), f"{words}: {number}")


def _gradient(name: str, output: Tensor, truth: Images) -> Panel:
    given = output.clone().requires_grad_()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = METHODS[name].loss(given, truth)
    (slope,) = torch.autograd.grad(loss, given)
    most = slope.abs().max()
    words = f"at most {most:.0e}" if most > 0 else "zero"
    return ("gradient", slope[0, 0].numpy(), f"{name}: {words}")


def _one_channel(output: Tensor) -> Batch:
    return Batch.from_tensors(output, torch.zeros_like(output), activation="sigmoid")


def _undivided(shown: Images) -> int:
    """The first image whose background is one segment, so that a perfect output exists."""
    for k, truth in enumerate(shown.instances):
        pieces = connected_components(truth.numpy())[truth.numpy() == 0]
        if len(np.unique(pieces)) == 1:
            return k
    return 0
