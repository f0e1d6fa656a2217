"""Weights that change while a network trains.

A schedule maps a step (an iteration or an epoch: whatever the training loop counts) to a weight.
It is a pure function of the step, so a resumed training goes on where it stopped.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from metriseg import validation


class Schedule(Protocol):
    """A weight for every step."""

    def __call__(self, step: int) -> float: ...


@dataclass(frozen=True)
class ConstantSchedule:
    """The same weight at every step."""

    weight: float

    def __post_init__(self) -> None:
        validation.number("weight", self.weight, low=0.0)

    def __call__(self, step: int) -> float:
        return float(self.weight)


@dataclass(frozen=True)
class LinearSchedule:
    """From ``start`` to ``end`` in equal parts over ``steps`` steps, then ``end``.

    The rebalancing of the boundary loss (Kervadec et al. 2019, arXiv:1812.07032) is a pair of
    these counting epochs: the region term from 1 to 0.1 while the boundary term goes from 0.01
    to 0.91, both in 90 steps.

    >>> [round(LinearSchedule(0.0, 1.0, steps=4)(step), 2) for step in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check_ramp(self.start, self.end, self.steps)

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(step / self.steps, 1.0)


@dataclass(frozen=True)
class CosineSchedule:
    """From ``start`` to ``end`` along half a cosine over ``steps`` steps, then ``end``.

    >>> [round(CosineSchedule(1.0, 0.0, steps=4)(step), 2) for step in (0, 1, 2, 4)]
    [1.0, 0.85, 0.5, 0.0]
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check_ramp(self.start, self.end, self.steps)

    def __call__(self, step: int) -> float:
        progress = (1 - math.cos(math.pi * min(step / self.steps, 1.0))) / 2
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True)
class StepSchedule:
    """``weights[k]`` from the k-th of the ``milestones`` on, ``weights[0]`` before the first.

    >>> [StepSchedule([1.0, 0.5], milestones=[10])(step) for step in (0, 9, 10)]
    [1.0, 1.0, 0.5]
    """

    weights: Sequence[float]
    milestones: Sequence[int]

    def __post_init__(self) -> None:
        for weight in self.weights:
            validation.number("weights", weight, low=0.0)
        if len(self.weights) != len(self.milestones) + 1:
            raise ValueError(
                "weights must have one number more than milestones,"
                f" got {len(self.weights)} and {len(self.milestones)}"
            )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must increase, got {list(self.milestones)}")

    def __call__(self, step: int) -> float:
        return float(self.weights[bisect.bisect_right(self.milestones, step)])


KINDS: Mapping[str, type] = {
    "constant": ConstantSchedule,
    "linear": LinearSchedule,
    "cosine": CosineSchedule,
    "step": StepSchedule,
}


def schedule(value: Any) -> Schedule:
    """A schedule from a number, a schedule, or a mapping as config files write it.

    >>> schedule({"schedule": "linear", "start": 1.0, "end": 0.1, "steps": 90})
    LinearSchedule(start=1.0, end=0.1, steps=90)
    """
    if callable(value):
        return value  # type: ignore[no-any-return]
    if not isinstance(value, Mapping):
        return ConstantSchedule(validation.number("weights", value, low=0.0))
    arguments = {str(k).lower(): v for k, v in value.items()}
    kind = arguments.pop("schedule", None)
    validation.one_of("weights: schedule", kind, tuple(KINDS))
    assert isinstance(kind, str)
    validation.refuse_unknown(KINDS[kind], arguments)
    try:
        return KINDS[kind](**arguments)  # type: ignore[no-any-return]
    except TypeError as missing:
        raise ValueError(f"weights: the schedule '{kind}' is incomplete: {missing}") from None


def _check_ramp(start: float, end: float, steps: int) -> None:
    validation.number("start", start, low=0.0)
    validation.number("end", end, low=0.0)
    validation.number("steps", steps, low=1)
