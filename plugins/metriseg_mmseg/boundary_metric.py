"""How well boundaries lie, as a metric of MMEngine's evaluators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray
from torch import Tensor

from metriseg import validation
from metriseg.distances import boundary_f_score
from metriseg_mmseg.registry import METRICS

__all__ = ["BoundaryFScore"]


@METRICS.register_module()
class BoundaryFScore(BaseMetric):
    r"""The F-score of the boundaries of the classes, found within a tolerance.

    ``val_evaluator=[dict(type='IoUMetric'), dict(type='metriseg_mmseg.BoundaryFScore')]``

    .. math:: F = \frac{2 P R}{P + R}

    with the share P of the pixels of a class's predicted boundary that are no further than the
    tolerance from its true boundary, and the share R of those of the true one that are no further
    from the predicted one: :func:`metriseg.distances.boundary_f_score`. ``boundary/f_score`` is the
    mean over images of the mean over the classes that have a boundary in the truth or the
    prediction; ``boundary/f_score_<class>`` that over the images where the class has one. Values
    lie in [0, 1], 1 at a perfect prediction; an image without any boundary is left out, and a mean
    of none is NaN.

    Args:
        tolerance: in pixels, >= 0; None for 0.75 % of an image's diagonal.
        ignore_index: pixels with this label in the truth don't count; None counts all.
        per_class: whether the classes' own means are among the results.
        collect_device: "cpu" or "gpu": where the results of the ranks meet.
        prefix: in place of "boundary".
        collect_dir: where they meet on the CPU; None takes a temporary folder.

    Raises:
        ValueError: for an argument outside its domain; when called, without the names of the
            classes from the data set, or for a prediction in another size than the labels.

    Source: Csurka, Larlus & Perronnin 2013, "What is a good evaluation measure for semantic
    segmentation?", doi:10.5244/C.27.32.
    """

    default_prefix = "boundary"

    def __init__(
        self,
        tolerance: float | None = None,
        ignore_index: int | None = 255,
        per_class: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.tolerance = validation.optional(validation.number, "tolerance", tolerance, low=0.0)
        self.ignore_index = validation.label("ignore_index", ignore_index)
        self.per_class = per_class

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Score every image of a batch."""
        # one entry an image: MMEngine cuts what it gathers to the length of the data set
        names = self._names()
        for sample in data_samples:
            found, truth = (_labels(sample, key) for key in ("pred_sem_seg", "gt_sem_seg"))
            scores = boundary_f_score(
                found,
                truth.to(found.device),
                len(names),
                tolerance=self.tolerance,
                ignore_index=self.ignore_index,
            )
            self.results.append(scores.cpu().numpy())

    def compute_metrics(self, results: list[NDArray[np.float64]]) -> dict[str, float]:
        """The means over the data set."""
        names = self._names()
        scores = np.array(results).reshape(-1, len(names))
        values = {"f_score": _mean([_mean(one) for one in scores])}
        if self.per_class:
            for name, column in zip(names, scores.T, strict=True):
                values[f"f_score_{name}"] = _mean(column)
        return values

    def _names(self) -> Sequence[str]:
        names: Sequence[str] | None = (self.dataset_meta or {}).get("classes")
        if not names:
            raise ValueError("BoundaryFScore needs the names of the classes in the data's metainfo")
        return names


def _mean(values: Any) -> float:
    """Of those that are numbers."""
    known = [one for one in values if not np.isnan(one)]
    return float(np.mean(known)) if known else float("nan")


def _labels(sample: Mapping[str, Any], key: str) -> Tensor:
    """``(H, W)`` int64; heads with one channel predict floating-point zeros and ones."""
    if key not in sample:
        raise ValueError(
            f"data_samples must hold {key} for BoundaryFScore, got {', '.join(sample)}"
        )
    labels: Tensor = sample[key]["data"].squeeze(0)
    return labels.to(torch.int64)
