"""Event handlers for MONAI's trainers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from ignite.engine import Engine, Events
from torch import Tensor, nn

from metriseg_monai.losses import CompoundLoss


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
