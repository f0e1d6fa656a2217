"""The scores of partitions as a metric of torchmetrics, for whoever trains with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from metriseg.arrays import LARGEST
from metriseg.partitions.scores import DEFAULT_SCORES, SCORES, PartitionScores, Segments
from metriseg.partitions.table import Unit

try:
    from torchmetrics import Metric
except ImportError:
    raise ImportError(
        "metriseg.partitions.torchmetrics needs torchmetrics: pip install 'metriseg[torchmetrics]'"
    ) from None


class PartitionMetric(Metric):
    r"""How far predicted segments are from the true ones, averaged over images.

    .. math:: \frac1{|V|} \sum_{i \in V} d(X_i, Y_i), \qquad
        V = \{i : \text{image } i \text{ has a pixel that counts}\}

    for every score d of :func:`~metriseg.partitions.partition_scores`. Its state is sums and
    counts, so any number of processes with any shares of the images give the same means.

    Shapes: ``update(preds, target)`` takes labels ``(N, *S)`` as target, and as preds labels of
    the same shape or floating-point scores ``(N, C, *S)``, of which the largest counts.

    Args:
        metrics: names of :data:`~metriseg.partitions.SCORES`.
        segments: "components" of each label, or the "labels" themselves.
        connectivity: of the components.
        ignore_index: pixels with this label in the target are left out.
        unit: of information: "nats" or "bits".
        kwargs: of ``torchmetrics.Metric``, such as ``sync_on_compute``.

    Returns:
        ``compute()`` gives ``{name: mean}``, scalars: in the unit, or pure numbers as in
        :data:`~metriseg.partitions.SCORES`, NaN while no image has a pixel that counts.

    Raises:
        ValueError: for an unknown name or another bad argument, or shapes that don't fit.

    >>> metric = PartitionMetric(["split", "merge"])
    >>> metric.update(torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[1, 1, 1, 1]]]))
    >>> metric.compute()
    {'split': tensor(0.6931), 'merge': tensor(0.)}
    """

    is_differentiable = False
    full_state_update = False

    def __init__(
        self,
        metrics: str | Sequence[str] = DEFAULT_SCORES,
        segments: Segments = "components",
        connectivity: int = 1,
        ignore_index: int | None = None,
        unit: Unit = "nats",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scores = PartitionScores(metrics, segments, connectivity, ignore_index, unit)
        for name in self.scores.names:
            self.add_state(f"{name}_sum", torch.zeros(()), dist_reduce_fx="sum")
            self.add_state(f"{name}_count", torch.zeros(()), dist_reduce_fx="sum")
        # a collection lets metrics of equal states share one update: these must not look equal
        self.add_state("settings", _as_numbers(self.scores), dist_reduce_fx="max")

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """What holds of all scores; None where they differ."""
        directions = {SCORES[name].better == "higher" for name in self.scores.names}
        return directions.pop() if len(directions) == 1 else None

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add the images of a batch."""
        if preds.is_floating_point() and preds.ndim == target.ndim + 1:
            preds = preds.argmax(1)
        if preds.shape != target.shape or target.ndim < 2:
            raise ValueError(
                "preds must have the shape of target, (N, *S), or be floating-point scores"
                f" (N, C, *S): got {tuple(preds.shape)} for a target of {tuple(target.shape)}"
            )
        for truth, prediction in zip(target.cpu(), preds.cpu(), strict=True):
            for name, value in self.scores(truth, prediction).items():
                if value == value:
                    self._add(f"{name}_sum", value)
                    self._add(f"{name}_count", 1.0)

    def compute(self) -> dict[str, Tensor]:
        """The means."""
        return {
            name: getattr(self, f"{name}_sum") / getattr(self, f"{name}_count")
            for name in self.scores.names
        }

    def _add(self, state: str, value: float) -> None:
        setattr(self, state, getattr(self, state) + value)


def _as_numbers(scores: PartitionScores) -> Tensor:
    kind = get_args(Segments).index(scores.segments)
    ignored, large = scores.ignore_index or 0, 0
    if ignored > LARGEST:
        # more than a tensor's int64 holds
        ignored, large = ignored - LARGEST - 1, 1
    given = int(scores.ignore_index is not None) + large
    unit = get_args(Unit).index(scores.unit)
    return torch.tensor([kind, scores.connectivity, given, ignored, unit])
