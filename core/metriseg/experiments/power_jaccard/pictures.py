"""Figures 1 and 2 of the paper, drawn of the library's losses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metriseg import (
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    JaccardLoss,
    PowerJaccardLoss,
    SegmentationLoss,
)
from metriseg import functional as F
from metriseg.statistics import RegionStatistics
from metriseg.viz import checked_path

#: Powers of the second figure; the loss itself refuses those above 2.
SHOWN_POWERS = (1.0, 1.5, 2.0, 2.5, 3.0)


def figures(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """``figure_1.png`` and ``figure_2.png``, for which nothing need be measured.

    Args:
        results: not looked at.
        folder: where to write.
    """
    del results
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw_losses(folder / "figure_1.png"), _draw_powers(folder / "figure_2.png")]


def of_one_pixel(loss: SegmentationLoss, p: Tensor) -> Tensor:
    """``(N,)``: the loss of a pixel of the foreground, predicted with each of these probabilities.

    The loss must be made with ``activation="identity"`` and ``reduction="none"``.
    """
    values: Tensor = loss(p[:, None, None], torch.ones(len(p), 1, dtype=torch.long))
    return values.flatten()


def power_jaccard_of_one_pixel(power: float, p: Tensor) -> Tensor:
    """``(N,)``: that of any power, by the formula."""
    one = torch.ones_like(p)[:, None]
    p = p[:, None]
    s = RegionStatistics({1.0: p}, {1.0: p, power: p**power}, {1.0: one, power: one}, one)
    return 1 - F.power_jaccard_index(s, power).flatten()


def compared_losses() -> dict[str, SegmentationLoss]:
    """Those of figure 1, by what stands beside their lines."""
    region: dict[str, Any] = {
        "activation": "identity", "reduction": "none", "per_image": True, "smooth": 0.0,
    }  # fmt: skip
    return {
        "cross-entropy": CrossEntropyLoss(activation="identity", reduction="none"),
        "focal, gamma 2": FocalLoss(gamma=2.0, activation="identity", reduction="none"),
        "Dice": DiceLoss(**region),
        "Jaccard": JaccardLoss(**region),
        "power Jaccard, p = 1.5": PowerJaccardLoss(1.5, **region),
        "power Jaccard, p = 2": PowerJaccardLoss(2.0, **region),
    }


def _draw_losses(path: Path) -> Path:
    p = torch.linspace(0.01, 1, 397, dtype=torch.float64)
    lines = {name: of_one_pixel(loss, p) for name, loss in compared_losses().items()}
    return _draw(path, p, lines, dotted=[name for name in lines if "power" not in name])


def _draw_powers(path: Path) -> Path:
    p = torch.linspace(0, 1.2, 481, dtype=torch.float64)
    lines = {f"p = {q:g}": power_jaccard_of_one_pixel(q, p) for q in SHOWN_POWERS}
    return _draw(path, p, lines, dotted=[f"p = {q:g}" for q in SHOWN_POWERS if q > 2])


def _draw(path: Path, p: Tensor, lines: Mapping[str, Tensor], *, dotted: list[str]) -> Path:
    checked_path(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, values in lines.items():
        axis.plot(p.numpy(), values.numpy(), ":" if name in dotted else "-", label=name)
    axis.axvline(1, color="tab:red", linewidth=0.8)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set(xlabel="predicted probability of a foreground pixel", ylabel="loss")
    axis.set_ylim(top=2)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    return path
