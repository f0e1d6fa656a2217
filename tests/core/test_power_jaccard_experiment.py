"""The experiment on power Jaccard losses: its scores and losses by hand, and it in miniature."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.experiments.power_jaccard import command, figures, main, tables, training
from metriseg.experiments.power_jaccard.pictures import (
    compared_losses,
    of_one_pixel,
    power_jaccard_of_one_pixel,
)
from metriseg.experiments.power_jaccard.published import BINARY, TEN_CLASSES
from metriseg.experiments.records import read

GIVEN = ["--filters", "2", "--batches", "50", "--repeats", "2", "--epochs", "1", "--images", "50"]
GIVEN += ["--losses", "CE", "p = 2"]


def idx(values: np.ndarray) -> bytes:
    """A file of MNIST's format."""
    sizes = np.array(values.shape, ">u4").tobytes()
    return gzip.compress(bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """150 images each of ten "digits", the k-th a bright square of k + 3 pixels' side."""
    labels = np.repeat(np.arange(10, dtype=np.uint8), 150)
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[5 : 8 + label, 5 : 8 + label] = 250
    place = tmp_path / "mnist"
    place.mkdir()
    (place / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images))
    (place / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    return tmp_path


def test_mean_iou_by_hand() -> None:
    """Binary: digit 1 of 3 pixels shared, background 1 of 3. Ten classes: one digit at 1 / 2."""
    outputs = torch.tensor([[[[1.0, 1.0], [-1.0, -1.0]]]])
    labels = torch.tensor([[[1, 0], [1, 0]]])
    assert training.mean_iou(outputs, labels) == pytest.approx((1 / 3 + 1 / 3) / 2)
    outputs = torch.full((1, 10, 2, 2), -1.0)
    outputs[0, 3, 0] = 2.0
    outputs[0, 5, 0] = 1.0
    assert training.mean_iou(outputs, torch.tensor([[[4, 0], [0, 0]]])) == pytest.approx(0.05)
    nothing = torch.full((1, 1, 2, 2), -1.0)
    assert training.mean_iou(nothing, labels) == pytest.approx(0.25)


@pytest.mark.parametrize("task", training.CHANNELS)
@pytest.mark.parametrize("power", training.POWERS)
def test_power_jaccard_is_the_papers(task: str, power: float) -> None:
    """Equation 3 with one sum over all pixels and channels of the batch, smoothed by 10."""
    channels = training.CHANNELS[task]
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, channels, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, channels + 1, (3, 4, 5), generator=generator)
    shared = ofpower = true = 0.0
    for n, k, i, j in np.ndindex(*outputs.shape):
        p = 1 / (1 + np.exp(-outputs[n, k, i, j].item()))
        own = float(labels[n, i, j] == k + 1)
        shared, ofpower, true = shared + p * own, ofpower + p**power, true + own
    expected = 1 - (shared + 10) / (true + ofpower - shared + 10)
    found = training.objective(f"p = {power:g}", task, 10.0)(outputs, labels)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropies_by_loops() -> None:
    """Binary: of every pixel. Ten classes: ten sigmoids over their sum, pixels of digits alone.

    With the background as a class its logit is 0, and every pixel counts.
    """
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(2, 10, 3, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 11, (2, 3, 3), generator=generator)
    labels[0, 0] = 0
    z, y = outputs.numpy(), labels.numpy()
    sigmoid, exponential = 1 / (1 + np.exp(-z)), np.exp(z)
    of_digits, of_all, binary = [], [], []
    for n, i, j in np.ndindex(*y.shape):
        k = y[n, i, j]
        own = 1.0 if k == 0 else exponential[n, k - 1, i, j]
        of_all.append(-np.log(own / (1 + exponential[n, :, i, j].sum())))
        first = sigmoid[n, 0, i, j]
        binary.append(-np.log(first if k > 0 else 1 - first))
        if k > 0:
            of_digits.append(-np.log(sigmoid[n, k - 1, i, j] / sigmoid[n, :, i, j].sum()))
    for name, task, expected in (
        ("CE", "ten classes", of_digits),
        (training.WITH_BACKGROUND, "ten classes", of_all),
        ("CE", "binary", binary),
    ):
        given = outputs if task == "ten classes" else outputs[:, :1]
        true = labels if task == "ten classes" else (labels > 0).long()
        found = training.objective(name, task, 10.0)(given, true)
        assert found.item() == pytest.approx(np.mean(expected), rel=1e-12), name


def test_published_figures_are_all_there() -> None:
    """18 each; a best is never below its mean."""
    for figures_of, varied in ((BINARY, (2, 4, 8)), (TEN_CLASSES, (1, 10, 50))):
        names = training.loss_names("binary")
        assert set(figures_of) == {(number, name) for number in varied for name in names}
        assert all(one.best >= one.mean for one in figures_of.values())


def test_full_is_what_the_paper_has() -> None:
    trials = list(command.FULL.trials(list(training.CHANNELS)))
    assert len(trials) == len(set(trials)) == 5 * (3 * 6 + 3 * 7)
    assert {one.batch for one in trials if one.task == "binary"} == {1}
    assert set(command.Extent().trials(["binary"])) < set(trials)


def test_curves_of_one_pixel() -> None:
    """At p = 1/2: ln 2, a quarter of it, 1 - 1/1.5, 1/2, and 1 - 0.5 / (0.5 + 0.5^q)."""
    p = torch.tensor([0.5, 1.0], dtype=torch.float64)
    expected = [np.log(2), np.log(2) / 4, 1 / 3, 1 / 2]
    expected += [1 - 0.5 / (0.5 + 0.5**q) for q in (1.5, 2.0)]
    found = {name: of_one_pixel(loss, p) for name, loss in compared_losses().items()}
    np.testing.assert_allclose([one[0].item() for one in found.values()], expected, rtol=1e-6)
    np.testing.assert_allclose([one[1].item() for one in found.values()], 0, atol=1e-6)
    np.testing.assert_allclose(
        power_jaccard_of_one_pixel(1.5, p), found["power Jaccard, p = 1.5"], rtol=1e-12
    )
    inside = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert power_jaccard_of_one_pixel(3.0, inside).argmin() < 1000
    assert power_jaccard_of_one_pixel(3.0, inside).min() < 0
    assert power_jaccard_of_one_pixel(2.0, inside).argmin() == 1000


def test_miniature(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training is in the record; a broken run goes on, a whole one trains nothing again."""
    output = folder / "out"
    main([*GIVEN, "--output", str(output)])
    printed = capsys.readouterr().out
    found = read(output / "results.json")
    assert len(found["entries"]) == 2 * 2 * 2
    made = tables(found)
    assert list(made) == ["table 1", "table 2"]
    assert all(text in printed for text in made.values())
    row = next(line for line in made["table 1"].splitlines() if "| p = 2 |" in line)
    assert row.startswith("| 2 | p = 2 | 2 |")
    assert "| 0.7679 ± 0.2797 | 0.9975 |" in row
    assert {one.name for one in output.iterdir()} == {
        "results.json",
        "figure_1.png",
        "figure_2.png",
    }

    last = found["entries"].pop()
    (output / "results.json").write_text(json.dumps(found))
    trained = []

    def train(digits: Any, trial: training.Trial, plan: Any) -> dict[str, Any]:
        trained.append(trial)
        return last

    monkeypatch.setattr(command, "train", train)
    for _ in range(2):
        main([*GIVEN, "--output", str(output)])
        assert capsys.readouterr().out == printed
    assert len(trained) == 1


def test_an_empty_table_is_left_out() -> None:
    entry = {"task": "ten classes", "filters": 8, "batch": 10, "repeat": 0, "mean IoU": 0.9}
    made = tables({"settings": {}, "entries": [{**entry, "loss": "p = 2"}]})
    assert list(made) == ["table 2"]
    assert made["table 2"].splitlines()[-1].endswith("| 0.7953 ± 0.0499 | 0.8856 | +0.1047 |")
    alone = tables({"settings": {}, "entries": [{**entry, "loss": training.WITH_BACKGROUND}]})
    assert alone["table 2"].splitlines()[-1].endswith("| 0.9000 |  |  |  |")


def test_figures_need_no_results(tmp_path: Path) -> None:
    assert all(path.stat().st_size > 1000 for path in figures({}, tmp_path / "new"))


def test_other_settings_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder / "out"
    output.mkdir()
    settings = training.Plan(epochs=7)._asdict()
    (output / "results.json").write_text(json.dumps({"settings": settings, "entries": []}))
    with pytest.raises(SystemExit):
        main([*GIVEN, "--output", str(output)])
    assert "epochs 7 there, 1 now" in capsys.readouterr().err


def test_data_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for root, message in (
        ("", "METRISEG_DATA must name the folder of mnist/"),
        (str(tmp_path), f"a folder with mnist/{training.FILE}, got {tmp_path}"),
    ):
        monkeypatch.setenv("METRISEG_DATA", root)
        with pytest.raises(SystemExit):
            main(["--output", str(tmp_path / "out")])
        assert message in " ".join(capsys.readouterr().err.split())
