"""Event handlers for MONAI's trainers and evaluators."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import IgniteMetricHandler
from monai.utils import MetricReduction
from torch import Tensor, nn

from metriseg.partitions.scores import Segments
from metriseg_monai.losses import CompoundLoss
from metriseg_monai.metrics import PartitionMetric


class CompoundLossHandler:
    """Moves the schedules of compound losses on and shows the values of their terms.

    At the start of an iteration every compound loss inside ``loss`` learns how many steps are
    done, which is where its schedules are read. In the course of an epoch
    ``engine.state.metrics`` holds for every term of the outermost one ``loss_<term>``: its
    weighted value, averaged over the epoch so far. ``StatsHandler`` and
    ``TensorBoardStatsHandler`` show it. A loss without a compound loss in it is left alone, so
    the handler may stay in a config whatever its loss.

    Args:
        loss: the trainer's loss: a ``CompoundLoss``, or a module around one such as
            ``DeepSupervisionLoss``.
        epoch_level: whether schedules count epochs, or iterations.

    Raises:
        ValueError: when ``loss`` is no module.
    """

    def __init__(self, loss: nn.Module, epoch_level: bool = False) -> None:
        if not isinstance(loss, nn.Module):
            raise ValueError(f"loss must be a torch.nn.Module, got {type(loss).__name__}")
        self.loss = loss
        self.epoch_level = epoch_level
        self._totals: dict[str, Tensor | float] = defaultdict(float)
        self._calls: dict[str, int] = defaultdict(int)

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        if self._compounds():
            engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
            engine.add_event_handler(Events.ITERATION_STARTED, self._before_iteration)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_iteration)

    def _compounds(self) -> list[CompoundLoss]:
        return [module for module in self.loss.modules() if isinstance(module, CompoundLoss)]

    def _forget(self, engine: Engine) -> None:
        self._totals.clear()
        self._calls.clear()

    def _before_iteration(self, engine: Engine) -> None:
        state = engine.state
        done = (state.epoch if self.epoch_level else state.iteration) - 1
        compounds = self._compounds()
        for compound in compounds:
            compound.step = done
        if self._observe not in compounds[0].observers:
            compounds[0].observers.append(self._observe)

    def _after_iteration(self, engine: Engine) -> None:
        # Between iterations others may compute the loss, a validation for one.
        self._compounds()[0].observers.remove(self._observe)
        for name, total in self._totals.items():
            engine.state.metrics[f"loss_{name}"] = float(total) / self._calls[name]

    def _observe(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._totals[name] += value.detach().mean()
            self._calls[name] += 1


class PartitionMetricHandler(IgniteMetricHandler):
    """Puts the scores of :class:`~metriseg_monai.PartitionMetric` into ``engine.state.metrics``.

    Under the name that it is attached by stands the first score, a number, so that it may be the
    key metric; of several, each stands also under ``<name>_<score>``. The default is 0 at best:
    as a key metric it needs ``metric_cmp_fn`` of the evaluator to prefer lower values.

    Args:
        metric_names: one or several of :data:`metriseg.partitions.SCORES`.
        segments: "components" of each class, or the "labels" themselves.
        connectivity: of the components.
        ignore_index: voxels with this label in the truth are left out.
        reduction: "mean_batch" or "sum_batch".
        output_transform: from the engine's output to ``(y_pred, y)``.
        save_details: whether ``engine.state.metric_details[name]`` gets the scores of every image,
            ``(images, scores)``.

    Raises:
        ValueError: for an unknown name, with the nearest one, or another bad argument.
    """

    def __init__(
        self,
        metric_names: str | Sequence[str] = "variation_of_information",
        segments: Segments = "components",
        connectivity: int = 1,
        ignore_index: int | None = None,
        reduction: MetricReduction | str = MetricReduction.MEAN_BATCH,
        output_transform: Callable[[Any], Any] = lambda output: output,
        save_details: bool = True,
    ) -> None:
        allowed = (MetricReduction.MEAN_BATCH, MetricReduction.SUM_BATCH)
        if reduction not in allowed:
            raise ValueError(f"reduction must be 'mean_batch' or 'sum_batch', got {reduction!r}")
        metric = PartitionMetric(metric_names, segments, connectivity, ignore_index, reduction)
        self.metric_names = metric.metric_names
        super().__init__(
            metric_fn=metric, output_transform=output_transform, save_details=save_details
        )

    def completed(self, engine: Engine, name: str) -> None:
        """Called by Ignite at the end of an epoch."""
        values = torch.as_tensor(self.compute()).reshape(-1).tolist()
        engine.state.metrics[name] = values[0]
        if len(values) > 1:
            for score, value in zip(self.metric_names, values, strict=True):
                engine.state.metrics[f"{name}_{score}"] = value
