"""How well the segments are found, as a cumulative metric of MONAI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction, evenly_divisible_all_gather
from torch import Tensor

from metriseg.partitions import DEFAULT_SCORES, PartitionScores
from metriseg.partitions.scores import Segments
from metriseg_monai.inputs import plain

__all__ = ["PartitionMetric"]

#: Reductions that leave every score its own column.
_COLUMNS = (MetricReduction.NONE, MetricReduction.MEAN_BATCH, MetricReduction.SUM_BATCH)
_MEANS = (MetricReduction.MEAN, MetricReduction.MEAN_BATCH, MetricReduction.MEAN_CHANNEL)


class PartitionMetric(CumulativeIterationMetric):
    """How far predicted segments are from the true ones, averaged over images.

    Its columns are scores, where those of MONAI's metrics are classes: a call gives ``(B, M)``,
    ``aggregate()`` ``(M,)``, in the order of ``metric_names``. Values are nats or pure numbers, as
    :data:`metriseg.partitions.SCORES` says. An image without a voxel that counts is NaN and leaves
    the means; a mean of none is NaN too, since 0 would be perfect.

    Shapes: ``y_pred`` and ``y`` are, each by itself, one-hot ``(B, C, *S)`` or labels
    ``(B, 1, *S)`` of any dtype, or lists of such without the batch; the trainers' logits become
    that by ``AsDiscreted(argmax=True)``. A voxel of no class is a class of its own.

    Args:
        metric_names: one or several of :data:`metriseg.partitions.SCORES`.
        segments: "components": the connected components of each class; "labels": the labels
            themselves, as in maps of instances.
        connectivity: of the components, 1 … spatial dimensions: in 3-D 1 is six neighbours.
        ignore_index: voxels with this label in ``y`` are left out. One-hot, where no channel has
            it, it stands for the voxels of no class, as in MONAI's metrics.
        reduction: "mean_batch", "sum_batch" or "none"; of one score any of MONAI's.
        get_not_nans: whether ``aggregate()`` gives (value, images that count).

    Raises:
        ValueError: for an unknown name, with the nearest one, a reduction that would mix scores,
            or another bad argument; for logits and probabilities.
    """

    def __init__(
        self,
        metric_names: str | Sequence[str] = DEFAULT_SCORES,
        segments: Segments = "components",
        connectivity: int = 1,
        ignore_index: int | None = None,
        reduction: MetricReduction | str = MetricReduction.MEAN_BATCH,
        get_not_nans: bool = False,
    ) -> None:
        super().__init__()
        self.scores = PartitionScores(metric_names, segments, connectivity, ignore_index)
        self.reduction = self._checked(reduction)
        self.get_not_nans = get_not_nans

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The scores, in the order of the columns."""
        return self.scores.names

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        if kwargs:
            raise ValueError(f"PartitionMetric takes y_pred and y alone, got {', '.join(kwargs)}")
        if y is None:
            raise ValueError("y must be the true labels, got None")
        predictions = _label_maps("y_pred", y_pred, None)
        truths = _label_maps("y", y, self.scores.ignore_index)
        if len(predictions) != len(truths):
            raise ValueError(f"y must have the batch of y_pred, {len(y_pred)}, got {len(y)}")
        rows = [
            list(self.scores(truth, prediction).values())
            for truth, prediction in zip(truths, predictions, strict=True)
        ]
        return torch.tensor(rows, dtype=torch.float32, device=y_pred.device)

    def aggregate(
        self, reduction: MetricReduction | str | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The scores of all ranks, reduced.

        Args:
            reduction: in place of the constructor's.

        Raises:
            ValueError: when no rank had an image; for a reduction that would mix scores.
        """
        chosen = self.reduction if reduction is None else self._checked(reduction)
        data = self.get_buffer()
        if not isinstance(data, Tensor) or len(data) == 0:
            raise ValueError("PartitionMetric has nothing to aggregate: it was given no image")
        value, not_nans = do_metric_reduction(data, chosen)
        if chosen in _MEANS:
            value = torch.where(not_nans > 0, value, torch.nan)
        return (value, not_nans) if self.get_not_nans else value

    def _sync(self) -> None:
        """MONAI's own leaves a rank without images out of the gathering, and the others wait."""
        if self._buffers is None and not self._synced:
            rows = torch.zeros(0, len(self.metric_names))
            self._synced_tensors = [evenly_divisible_all_gather(rows, concat=True)]
            self._synced = True
        super()._sync()

    def _checked(self, reduction: MetricReduction | str) -> MetricReduction:
        allowed = list(MetricReduction) if len(self.metric_names) == 1 else list(_COLUMNS)
        if reduction not in [one.value for one in allowed]:
            words = ", ".join(repr(one.value) for one in allowed)
            hint = " (others would mix scores of different units)" if len(allowed) == 3 else ""
            raise ValueError(f"reduction must be one of {words}{hint}, got {str(reduction)!r}")
        return MetricReduction(reduction)


def _label_maps(name: str, tensor: Tensor, ignore_index: int | None) -> Tensor:
    """``(B, *S)``, int64, on the CPU, which finds the components."""
    tensor = plain(name, tensor).detach().cpu()
    if tensor.ndim < 3:
        raise ValueError(
            f"{name} must have shape (B, C, *S) or (B, 1, *S), got {tuple(tensor.shape)}"
        )
    labels = tensor.long()
    if not torch.equal(labels.to(tensor.dtype), tensor):
        raise ValueError(
            f"{name} must be one-hot or hold labels, got numbers that are not whole: make labels"
            " of the network's output by AsDiscreted(argmax=True)"
        )
    if labels.shape[1] == 1:
        return labels.squeeze(1)
    return _classes(name, labels, ignore_index)


def _classes(name: str, one_hot: Tensor, ignore_index: int | None) -> Tensor:
    channels = one_hot.shape[1]
    per_voxel = one_hot.sum(1)
    if not bool(((one_hot == 0) | (one_hot == 1)).all()) or bool((per_voxel > 1).any()):
        raise ValueError(f"{name} must give every voxel at most one of its {channels} channels")
    has_channel = ignore_index is not None and 0 <= ignore_index < channels
    none = channels if ignore_index is None or has_channel else ignore_index
    return torch.where(per_voxel == 0, none, one_hot.argmax(1))
