"""The binder: a real class out of a convention and a loss."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch

import metriseg
from metriseg.binding import Convention, binder, keyword
from reference.batches import random_labels, random_logits


class Loud(Convention):
    """A framework that says ``power_level`` for ``power`` and multiplies by ``volume``."""

    note = "In this framework: ``volume`` multiplies the loss."
    foreign_words: ClassVar[Mapping[str, str]] = {"loudness": "say 'volume'"}

    @classmethod
    def constructor_parameters(
        cls, core: Mapping[str, inspect.Parameter]
    ) -> dict[str, inspect.Parameter]:
        words = {name: p for name, p in core.items() if name != "ignore_index"}
        if "power" in words:
            words["power_level"] = words.pop("power").replace(name="power_level")
        return {**words, "volume": keyword("volume", 1.0, float)}

    @classmethod
    def translate(
        cls, arguments: dict[str, Any], core: Mapping[str, inspect.Parameter]
    ) -> dict[str, Any]:
        arguments.pop("volume")
        if "power_level" in arguments:
            arguments["power"] = arguments.pop("power_level")
        return arguments

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        self.volume = arguments["volume"]

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.volume * super().forward(logits, target)


PowerJaccardLoss = binder(Loud, __name__)(metriseg.PowerJaccardLoss)
LOGITS, TARGET = random_logits(4), random_labels(4)


def test_it_is_the_core_loss_in_other_words() -> None:
    loss = PowerJaccardLoss(power_level=2.0, volume=3.0)
    assert isinstance(loss, metriseg.PowerJaccardLoss)
    expected = 3 * metriseg.PowerJaccardLoss(power=2.0)(LOGITS, TARGET)
    torch.testing.assert_close(loss(LOGITS, TARGET), expected)
    assert loss.arguments()["power_level"] == 2.0


def test_signature_docstring_and_module() -> None:
    words = list(inspect.signature(PowerJaccardLoss).parameters)
    assert words[0] == "power_level"
    assert "ignore_index" not in words
    assert words[-1] == "volume"
    assert PowerJaccardLoss.__doc__.startswith(".. math") is False
    assert PowerJaccardLoss.__doc__.startswith("Power Jaccard loss")
    assert PowerJaccardLoss.__doc__.endswith(Loud.note)
    assert PowerJaccardLoss.__module__ == __name__
    assert PowerJaccardLoss.__qualname__ == "PowerJaccardLoss"


def test_unknown_arguments_name_the_nearest_word() -> None:
    with pytest.raises(ValueError, match="no argument 'power_levle': did you mean 'power_level'"):
        PowerJaccardLoss(power_levle=2.0)
    with pytest.raises(ValueError, match="no argument 'loudness': say 'volume'"):
        PowerJaccardLoss(loudness=2.0)
    with pytest.raises(ValueError, match="no argument 'ignore_index'"):
        PowerJaccardLoss(ignore_index=255)
    with pytest.raises(ValueError, match="too many positional arguments"):
        PowerJaccardLoss(1.5, 2.0, 3.0)


def test_pickle_and_deepcopy() -> None:
    loss = PowerJaccardLoss(power_level=2.0, volume=3.0)
    for copied in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(copied(LOGITS, TARGET), loss(LOGITS, TARGET))


def test_repr_shows_what_differs_from_the_default() -> None:
    assert repr(PowerJaccardLoss(volume=2.0)) == "PowerJaccardLoss(volume=2.0)"
