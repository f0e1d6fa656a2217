"""Sums of losses in MONAI, its own losses among the terms."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from metriseg import Batch, RegionStatistics, SegmentationLoss
from metriseg.losses.base import name_in_log
from metriseg.options import Reduction
from metriseg.reduction import nothing_of
from metriseg_monai.convention import CALL, MonaiConvention, is_one_number


class OtherLoss(MonaiConvention, SegmentationLoss):
    """A loss that isn't of this package, as a term: called as ``module(input, target)``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    @property
    def name(self) -> str:
        return name_in_log(type(self.module))

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        name = type(self.module).__name__
        if batch.logits.numel() == 0:
            return nothing_of(batch.logits)
        if batch.weight is not None:
            raise ValueError(
                f"terms: {name} of another package can't leave voxels out or weigh them (mask,"
                " ignore_index): take the loss of metriseg_monai"
            )
        target = batch.target
        if batch.has_labels:
            target = target.unsqueeze(1).to(batch.logits.dtype)
        try:
            return self.module(batch.logits, target)
        except (AssertionError, ValueError) as problem:
            raise ValueError(
                f"terms: {name} of another package refuses the input or target, which it gets as"
                f" they come: {problem}"
            ) from problem

    def evaluate(self, batch: Batch) -> Tensor:
        return self.value(batch)

    def reduced(
        self, batch: Batch, reduction: Reduction, statistics: RegionStatistics | None
    ) -> Tensor:
        return self.value(batch)


class CompoundConvention(MonaiConvention):
    """The words are those of the terms; whoever wants to see the terms' values observes."""

    note = f"""\
In MONAI
--------
{CALL}

``terms`` are losses of this package, ``[{{"_target_": "metriseg_monai.DiceLoss", …}}, …]``, each
with its own words, and its own activation; they must agree about ``to_onehot_y``, ``ignore_index``
and ``other_act``. Beside at least one of these, losses of MONAI itself may be terms, or any that
are called as ``loss(input, target)``: they see input and target as they come, and can't leave
voxels out. :class:`metriseg_monai.handlers.CompoundLossHandler` moves the schedules on and shows
the terms' values in the log; without it the weights stay where they begin, which is warned of.
"""

    #: Called with the weighted value of every term, by name, whenever the loss is computed.
    observers: list[Callable[[Mapping[str, Tensor]], None]]

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> Mapping[str, inspect.Parameter]:
        return core

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        terms = arguments["terms"]
        if not isinstance(terms, (list, tuple)):
            raise ValueError(f"terms must be a list of losses, got {terms!r}")
        own = [term for term in terms if isinstance(term, MonaiConvention)]
        for term in terms:
            ours = type(term).__module__.partition(".")[0] in ("metriseg", "metriseg_monai")
            if not isinstance(term, nn.Module) or (ours and not isinstance(term, MonaiConvention)):
                raise ValueError(
                    "terms must be losses of metriseg_monai, or of MONAI beside them, got"
                    f" {type(term).__module__}.{type(term).__name__} (TargetChannels and"
                    " SplitChannels go around a CompoundLoss)"
                )
        if terms and not own:
            raise ValueError(
                "terms must have a loss of metriseg_monai among them: it says how the target is"
                " read"
            )
        for word in ("to_onehot_y", "other_act"):
            found = [getattr(term, word) for term in own]
            if any(value != found[0] for value in found):
                raise ValueError(f"terms must agree about {word}, got {found}")
        if len(own) < len(terms) and own[0].other_act is not None:
            raise ValueError(
                "terms: other_act makes probabilities of the input, and a loss of another package"
                " must get the input itself: leave out one of the two"
            )
        return {**arguments, "terms": [cls._as_term(term, own) for term in terms]}

    @staticmethod
    def _as_term(term: nn.Module, own: list[Any]) -> nn.Module:
        if isinstance(term, MonaiConvention):
            return term
        other = OtherLoss(term)
        other.to_onehot_y, other.other_act = own[0].to_onehot_y, None
        other.ignore_index, other.activation = own[0].ignore_index, own[0].activation
        return other

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        first = self.terms[0]
        self.to_onehot_y, self.other_act = first.to_onehot_y, first.other_act
        self.observers = []
        moving = any(not is_one_number(weight) for weight in self.weights)
        self._stands_still: bool | None = False if moving else None

    @property
    def step(self) -> int:
        """Where the training stands, for weights that are schedules; of compound terms too."""
        return self._step

    @step.setter
    def step(self, step: int) -> None:
        self._step = step
        # from here on somebody moves the schedules
        self._stands_still = None
        for term in self._modules.get("terms") or ():
            if isinstance(term, CompoundConvention):
                term.step = step

    def value(
        self,
        batch: Batch,
        *,
        reduction: Reduction | None = None,
        statistics: RegionStatistics | None = None,
    ) -> Tensor:
        if self._stands_still:
            warnings.warn(
                "weights have schedules, and nobody says at which step the training is: attach"
                " metriseg_monai.handlers.CompoundLossHandler to the trainer, or set 'step' of the"
                " loss",
                stacklevel=2,
            )
            self._stands_still = None
        value = super().value(batch, reduction=reduction, statistics=statistics)
        if self._stands_still is False and value.requires_grad:
            value.register_hook(self._passed_backward)
        return value

    def _passed_backward(self, _: Tensor) -> None:
        """The next value is that of a second step."""
        if self._stands_still is False:
            self._stands_still = True

    def report(self, values: Mapping[str, Tensor]) -> None:
        for observe in self.observers:
            observe(values)
