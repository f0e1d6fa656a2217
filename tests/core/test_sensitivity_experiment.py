"""Losses as errors grow: the predictions and the words for curves by hand, and a short run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metriseg.catalogue import CATALOGUE
from metriseg.experiments import sensitivity
from metriseg.experiments.records import read
from metriseg.experiments.sensitivity import RADII, Plan, curve, figures, main, scene, shape, tables

GIVEN = ["--steps", "2", "--losses", "DiceLoss", "CrossEntropyLoss"]
PLAN = Plan(steps=10)


@pytest.mark.parametrize("size", RADII)
def test_errors_grow(size: str) -> None:
    """From none to as many as the object has pixels; each prediction has the errors of the last."""
    radius = RADII[size]
    outer = scene(radius, "false positives", PLAN)
    inner = scene(radius, "false negatives", PLAN)
    moved = scene(radius, "shifted", PLAN)
    pixels = outer.truth.sum()
    assert pixels == pytest.approx(np.pi * radius**2, rel=0.15)
    for one in (outer, inner, moved):
        assert np.array_equal(one.predictions[0], one.truth)
        assert not one.truth[[0, -1]].any()
        assert not one.truth[:, [0, -1]].any()
    for one, kind in ((outer, 1), (inner, 0)):
        wrong = [found != one.truth for found in one.predictions]
        assert all(
            (found == kind)[w].all() for found, w in zip(one.predictions, wrong, strict=True)
        )
        assert [w.sum() for w in wrong] == [round(k * pixels / 10) for k in range(11)]
        assert all((a <= b).all() for a, b in itertools.pairwise(wrong))
    shared = [(found & moved.truth).sum() for found in moved.predictions]
    assert all(found.sum() == pixels for found in moved.predictions)
    assert all(a > b for a, b in itertools.pairwise(shared))
    assert shared[-1] == 0


def test_no_prediction_is_there_twice() -> None:
    """A small disk has fewer places to be shifted to than there are steps."""
    assert len(scene(3.0, "shifted", Plan(steps=20)).predictions) == 7


def test_curves_by_hand() -> None:
    """Cross-entropy: -ln P of a right pixel, -ln (1 - P) of a wrong one. Negative mime: -P, P - 1.

    The latter has a third class: of the rest of the probability either of two has a half.
    """
    plan = Plan(steps=2)
    shown = scene(3.0, "false positives", plan)
    share = [float((found != shown.truth).mean()) for found in shown.predictions]
    right, wrong = -np.log(plan.probability), -np.log(1 - plan.probability)
    expected = [(1 - e) * right + e * wrong for e in share]
    assert curve(CATALOGUE["CrossEntropyLoss"], shown, plan) == pytest.approx(expected, rel=1e-9)
    expected = [-(1 - e) * plan.probability - e * (1 - plan.probability) / 2 for e in share]
    assert curve(CATALOGUE["NegativeMimeLoss"], shown, plan) == pytest.approx(expected, rel=1e-9)


def test_words() -> None:
    assert shape([0.0, 1.0, 2.0]) == "rises"
    assert shape([0.0, 1.0, 1.0]) == "never falls"
    assert shape([0.0, 1.0, 1.0 - 1e-12]) == "never falls"
    assert shape([0.0, 1.0, 0.5, 2.0, 1.0]) == "falls at 2 of 4"
    assert shape([3.0, 3.0]) == "constant"


def test_no_loss_is_left_out() -> None:
    """Each has curves of finite numbers, all but constant somewhere."""
    found = [sensitivity.measure(entry, Plan(steps=1)) for entry in CATALOGUE.values()]
    assert [one["loss"] for one in found] == list(CATALOGUE)
    for one in found:
        assert len(one["curves"]) == 6, one
        assert all(np.isfinite(values).all() for values in one["curves"].values()), one["loss"]
        assert any(values[0] != values[-1] for values in one["curves"].values()), one["loss"]


def test_miniature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run evaluates nothing again; rows are in the catalogue's order."""
    main([*GIVEN, "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    found = read(tmp_path / "results.json")
    made = tables(found)
    assert list(made) == ["monotone", "rise"]
    assert all(text in printed for text in made.values())
    rows = made["monotone"].splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["`CrossEntropyLoss`", "`DiceLoss`"]
    assert rows[1] == "| `DiceLoss` | region |" + " rises |" * 6 + "  |"
    assert (tmp_path / "figure_3.png").stat().st_size > 1000

    monkeypatch.setattr(sensitivity, "measure", None)
    main([*GIVEN, "--output", str(tmp_path)])
    assert capsys.readouterr().out == printed


def test_a_loss_without_curves_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> list[float]:
        raise ValueError("logits must have\nfour channels")

    monkeypatch.setattr(sensitivity, "curve", refuse)
    entry = sensitivity.measure(CATALOGUE["DiceLoss"], PLAN)
    results = {"settings": {}, "entries": [entry, {"loss": "NoLonger", "left out": ""}]}
    assert list(tables(results)) == ["left out"]
    assert tables(results)["left out"].splitlines()[2:] == [
        "| `DiceLoss` | logits must have four channels |"
    ]
    assert figures(results, tmp_path) == []


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", str(tmp_path)]
    for given, words in (
        (["--side", "50"], "--side must be at least 100, got 50"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--losses", "NoLoss"], "invalid choice: 'NoLoss'"),
    ):
        with pytest.raises(SystemExit):
            main([*given, *output])
        assert words in capsys.readouterr().err
    main([*GIVEN, *output])
    settings = json.loads((tmp_path / "results.json").read_text())["settings"]
    assert settings["radii"] == dict(RADII)
    with pytest.raises(SystemExit):
        main([*output])
    assert "steps 2 there, 20 now" in capsys.readouterr().err
