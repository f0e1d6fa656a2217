"""Options that losses share: declared once, and seen as if every loss spelled them out."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from pathlib import Path
from typing import Any, ClassVar, Unpack

import pytest
import torch
from torch import Tensor

import metriseg
import sphinx_markup
from metriseg.catalogue import Entry
from metriseg.composition import argument_types
from metriseg.losses.base import RegionLoss
from metriseg.options import (
    LossOptions,
    RegionOptions,
    SmoothOption,
    chosen_options,
    default_options,
)
from metriseg.statistics import RegionStatistics

ROOT = Path(__file__).parents[2]


class OchiaiLoss(RegionLoss):
    """Ochiai loss, as somebody else would write it.

    Args:
        smooth: nothing is added, whatever stands here.
        exponent: any number.

    Raises:
        ValueError: on Sundays.

    Source: nobody.

    >>> 1 + 1
    2
    """

    defaults: ClassVar[RegionOptions] = {"per_image": False}

    def __init__(self, exponent: float = 0.5, **options: Unpack[RegionOptions]) -> None:
        super().__init__(**options)
        self.exponent = exponent

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return 1 - s.overlap[1.0] / (s.predicted[1.0] * s.target[1.0]) ** self.exponent


class PlainOchiaiLoss(OchiaiLoss):
    defaults: ClassVar[RegionOptions] = {"reduction": "sum"}


class NarrowOptions(SmoothOption, LossOptions, total=False):
    """Without groups."""


class NarrowLoss(RegionLoss):
    """Takes fewer."""

    def __init__(self, **options: Unpack[NarrowOptions]) -> None:
        super().__init__(**options)

    def from_statistics(self, s: RegionStatistics) -> Tensor:
        return s.overlap[1.0]


def test_the_signature_is_composed() -> None:
    """Own parameters, then those of the typed dictionary, keyword-only, in its order."""
    words = inspect.signature(OchiaiLoss).parameters
    assert list(words) == [
        *("exponent", "smooth", "overlap", "classes", "per_image", "sync"),
        *("activation", "ignore_index", "class_weight", "include_background", "reduction"),
    ]
    assert words["exponent"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert words["sync"].kind is inspect.Parameter.KEYWORD_ONLY
    assert words["smooth"].annotation == "float | tuple[float, float]"
    assert (words["smooth"].default, words["per_image"].default) == (1e-5, False)


def test_defaults_are_those_of_the_nearest_class() -> None:
    loss = PlainOchiaiLoss()
    assert (loss.per_image, loss.reduction, loss.smooth) == (False, "sum", 1e-5)
    assert default_options(PlainOchiaiLoss)["reduction"] == "sum"
    assert PlainOchiaiLoss(reduction="mean").reduction == "mean"
    assert repr(PlainOchiaiLoss(reduction="mean")) == "PlainOchiaiLoss(reduction='mean')"


def test_a_loss_may_take_fewer() -> None:
    assert list(inspect.signature(NarrowLoss).parameters)[:2] == ["smooth", "activation"]
    with pytest.raises(metriseg.UnknownArgumentError, match="no argument 'classes'"):
        NarrowLoss(classes="present")


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(metriseg.UnknownArgumentError, match="did you mean 'per_image'"):
        OchiaiLoss(per_imag=True)


def test_a_subclass_that_swallows_words_is_refused() -> None:
    """``**kwargs`` hide the words from the check of the outside; the family checks them again."""

    class Careless(RegionLoss):
        def __init__(self, **kwargs: object) -> None:
            super().__init__(**kwargs)

        def from_statistics(self, s: RegionStatistics) -> Tensor:
            return s.overlap[1.0]

    assert Careless(smooth=1.0).smooth == 1.0
    with pytest.raises(metriseg.UnknownArgumentError, match="'smoth': did you mean 'smooth'"):
        Careless(smoth=1.0)


def test_options_without_a_type_are_those_of_the_base() -> None:
    """As a loss of one's own is written in haste."""

    class Hasty(metriseg.DiceLoss):
        def __init__(self, exponent: float = 0.5, **options: Any) -> None:
            super().__init__(**options)
            self.exponent = exponent

    loss = Hasty(2.0, reduction="sum")
    assert list(inspect.signature(Hasty).parameters)[:2] == ["exponent", "smooth"]
    assert loss.arguments()["reduction"] == "sum"
    assert "reduction='sum'" in repr(loss)


def test_options_of_another_family_are_refused() -> None:
    with pytest.raises(metriseg.UnknownArgumentError, match="PixelLoss has no argument 'smooth'"):
        chosen_options(metriseg.PixelLoss, {"smooth": 1.0})


def test_the_docstring_is_composed() -> None:
    """Own words stand for the family's; reasons are added to the family's; the rest stays."""
    text = OchiaiLoss.__doc__
    order = [
        "exponent:",
        "smooth:",
        "classes:",
        "reduction:",
        "Shape:",
        "Raises:",
        "Source:",
        ">>>",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "smooth: nothing is added" in text
    assert "epsilon" not in text
    assert "of the wrong shape, type or range" in " ".join(text.split())
    assert "range; on Sundays." in " ".join(text.split())
    assert text.startswith("Ochiai loss, as somebody else would write it.\n\nArgs:\n")


def test_types_are_evaluated() -> None:
    types = argument_types(OchiaiLoss)
    assert list(types) == list(inspect.signature(OchiaiLoss).parameters)
    assert types["exponent"] is float
    assert types["smooth"] == float | tuple[float, float]


def described(loss: type) -> dict[str, str]:
    """What the docstring in the source says of each argument."""
    (definition,) = ast.parse(inspect.getsource(loss)).body
    _, sections = sphinx_markup.sections(ast.get_docstring(definition) or "")
    return sphinx_markup.items(sections.get("Args", "")) if "Args" in sections else {}


def test_every_argument_is_described_once(entry: Entry) -> None:
    """No loss repeats, word for word, what a base says of an option."""
    bases = [b for b in entry.loss.__mro__[1:] if b.__module__.startswith("metriseg.losses")]
    for word, meaning in described(entry.loss).items():
        of_bases = [described(base)[word] for base in bases if word in described(base)]
        assert of_bases[:1] != [meaning], word


def test_no_constructor_is_only_passed_on(entry: Entry) -> None:
    """A class with nothing of its own has no ``__init__``."""
    init = vars(entry.loss).get("__init__")
    if init is None:
        return
    words = inspect.signature(init).parameters.values()
    own = [w for w in words if w.kind is not inspect.Parameter.VAR_KEYWORD and w.name != "self"]
    assert own, f"{entry.name} needs no __init__"


def test_type_checkers_know_every_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is right passes; a misspelt word, a wrong value, another family's word don't."""
    api = pytest.importorskip("mypy.api", reason="mypy is not installed")
    calls = {
        "TverskyLoss(fn_weight=0.7, per_image=False)": "",
        "TverskyLoss(fn_weight=0.7, per_imag=False)": 'keyword argument "per_imag"',
        'DiceLoss(reduction="maen")': "expected \"Literal['mean', 'sum', 'none']\"",
        "FocalLoss(smooth=1.0)": 'keyword argument "smooth"',
    }
    program = "\n".join(["import metriseg", *(f"metriseg.{call}" for call in calls)])
    monkeypatch.setenv("MYPYPATH", str(ROOT / "core"))
    cache = str(ROOT / ".mypy_cache")
    arguments = ["--config-file=", "--strict", "--no-error-summary", "--cache-dir", cache]
    found, errors, status = api.run([*arguments, "-c", program])
    assert (errors, status) == ("", 1)
    lines = dict(re.findall(r"^<string>:(\d+): error: (.*)$", found, re.MULTILINE))
    expected = {str(n): message for n, message in enumerate(calls.values(), start=2) if message}
    assert lines.keys() == expected.keys(), found
    assert all(message in lines[n] for n, message in expected.items()), found


def test_numbers_keep_their_digits() -> None:
    """A third is 0.333… to 16 digits in float64, also where it is kept in float32."""
    loss = metriseg.DiceLoss(class_weight=[1 / 3, 2 / 3])
    assert loss.class_weight.dtype == torch.float32
    assert loss.numbers("class_weight", torch.zeros(1, dtype=torch.float64)).tolist() == [
        1 / 3,
        2 / 3,
    ]
    assert loss.arguments()["class_weight"] == [1 / 3, 2 / 3]
    assert not loss.state_dict()
    assert typing.get_type_hints(metriseg.DiceLoss.keep_numbers)["return"] is type(None)
