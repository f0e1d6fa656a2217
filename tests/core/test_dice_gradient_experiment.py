"""The experiment on the gradient of the Dice loss: its measures by hand, and it in miniature."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metriseg.calibration import binned, classwise_bins, classwise_calibration_error
from metriseg.experiments.dice_gradient import command, figures, main, tables, training, volumes
from metriseg.experiments.dice_gradient.gradients import gradient, shown_losses, spread
from metriseg.experiments.dice_gradient.published import DECIBELS, HEART, PROSTATE
from metriseg.experiments.records import read
from reference import metrics

nibabel = pytest.importorskip("nibabel")

GIVEN = ["--volumes", "2", "--validation", "1", "--test", "2", "--epochs", "2", "--width", "2"]
GIVEN += ["--losses", "Dice", "mime", "--seeds", "2", "--optimizers", "SGD"]


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Volumes of 11 to 13 x 15 x 4 with a bright box of label 1 beside a brighter one of 2."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for number in range(3):
            labels = np.zeros((11 + number, 15, 4), np.uint8)
            labels[3:7, 4:9, 1:] = 1
            labels[3:7, 9:12, 1:] = 2
            image = (40 * labels + random.integers(0, 20, labels.shape)).astype(np.uint8)
            place = tmp_path / "hippocampus" / part
            save(place / "images" / f"hippocampus_{number}.nii.gz", image)
            save(place / "labels" / f"hippocampus_{number}.nii.gz", labels)
    monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    return tmp_path


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities ``(3, 5, 6)`` and labels ``(5, 6)``."""
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(3, 5, 6, generator=generator, dtype=torch.float64).softmax(0)
    return p, torch.randint(0, 3, (5, 6), generator=generator)


def test_the_dice_gradient_has_the_papers_two_values() -> None:
    """Equation 6, over the number of classes: -2 (U - I) / U^2 in the class, 2 I / U^2 outside."""
    p, labels = example()
    found = gradient(shown_losses()["Dice"], p, labels)
    for k in range(3):
        own = labels.numpy() == k
        intersection, union = p[k].numpy()[own].sum(), p[k].sum().item() + own.sum()
        inside, outside = (
            -2 * (union - intersection) / union**2 / 3,
            2 * intersection / union**2 / 3,
        )
        np.testing.assert_allclose(found[k], np.where(own, inside, outside), rtol=1e-12)
        measured = spread(found[k])
        assert measured.values == 2
        assert measured.zeros == 0
        ratio = max((union - intersection) / intersection, intersection / (union - intersection))
        assert measured.decibels == pytest.approx(10 * np.log10(ratio), rel=1e-9)


def test_the_gradient_of_cross_entropy_is_one_over_the_probability() -> None:
    """-1 / (p N) in the class and 0 outside, so that its range is that of the probabilities."""
    p, labels = example()
    found = gradient(shown_losses()["cross-entropy"], p, labels)
    for k in range(3):
        own = labels.numpy() == k
        expected = np.where(own, -1 / (p[k].numpy() * own.size), 0)
        np.testing.assert_allclose(found[k], expected, rtol=1e-12)
        inside = p[k].numpy()[own]
        measured = spread(found[k])
        assert (measured.values, measured.zeros) == (own.sum(), (~own).sum())
        assert measured.decibels == pytest.approx(10 * math.log10(inside.max() / inside.min()))


def test_dynamic_range_by_hand() -> None:
    """Sizes 0.002, 0.02 and 0.2: 100 to 1 is 20 dB; equal sizes are 0 dB."""
    measured = spread(np.array([[0.0, -0.2], [0.02, 0.002], [0.02, 0.0]]))
    assert (measured.values, measured.zeros) == (3, 2)
    assert (measured.least, measured.largest) == (0.002, 0.2)
    assert measured.decibels == pytest.approx(20)
    assert spread(np.array([-3.0, 3.0, 3.0])).decibels == 0
    with pytest.raises(ValueError, match="values must not all be 0"):
        spread(np.zeros(3))


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_calibration_error_is_the_oracles(bins: int) -> None:
    """Also where probabilities lie on an edge, and at 0 and 1."""
    random = np.random.default_rng(bins)
    p = random.dirichlet(np.ones(3), 200).T
    p[:, :20] = np.round(p[:, :20] * bins) / bins
    p[:, 20:23] = np.eye(3)
    target = random.integers(0, 3, 200)
    found = classwise_calibration_error(p, target, bins)
    assert found == pytest.approx(metrics.classwise_calibration_error(p, target, bins), rel=1e-12)
    for one in classwise_bins(p, target, bins):
        assert one.share.sum() == pytest.approx(1)


def test_calibration_of_the_certain_by_hand() -> None:
    """A probability of 1 that is right 3 times in 4 is 1/4 off, and so is the other class's 0."""
    p = np.array([[1.0] * 4, [0.0] * 4])
    first, second = classwise_bins(p, np.array([0, 0, 0, 1]))
    assert classwise_calibration_error(p, np.array([0, 0, 0, 1])) == pytest.approx(0.25)
    assert (first.share[-1], first.frequency[-1], first.confidence[-1]) == (1, 0.75, 1)
    assert (second.share[0], second.frequency[0], second.confidence[0]) == (1, 0.25, 0)
    assert binned(np.zeros(0), np.zeros(0, np.bool_)).error == 0


def test_dice_by_hand() -> None:
    """Structure 1: of 2 pixels 1 is found, so 2 / 3; structure 2 is found beyond alone."""
    labels = torch.tensor([[[1, 1, 0, volumes.BEYOND]]])
    p = torch.zeros(1, 3, 1, 4)
    p[0, [1, 0, 0, 2], 0, [0, 1, 2, 3]] = 1
    volume = volumes.Volume(torch.zeros(1, 1, 1, 4), labels)
    assert training.dice(volume, p) == pytest.approx([2 / 3, 1.0])


def test_epochs_to_near_the_best() -> None:
    """95 % of 0.8 is 0.76."""
    assert training.epochs_to_near([0.1, 0.75, 0.77, 0.8, 0.7]) == 3
    assert training.epochs_to_near([0.0, 0.0]) is None
    assert training.epochs_to_near([]) is None


def test_mime_is_twice_the_negative_mime() -> None:
    """Where probabilities sum to 1: -a p_t + b (1 - p_t) = b - (a + b) p_t, and a + b = 2."""
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 4, 5))
    mime, negative = (training.LOSSES[name]()(logits, labels) for name in ("mime", "negative mime"))
    assert mime.item() == pytest.approx(0.1 + 2 * negative.item(), rel=1e-12)


def test_volumes_of_other_sizes(folder: Path) -> None:
    """Slices are along the third axis; labels beyond a volume say so, and its own are kept."""
    found = volumes.read_volumes("train")
    assert {tuple(one.images.shape) for one in found} == {(4, 1, 16, 16)}
    first = found[0]
    inside = first.labels != volumes.BEYOND
    assert inside[0].sum() == 11 * 15
    assert (first.labels == 1).sum() == 4 * 5 * 3
    values = first.images[:, 0][inside]
    assert values.mean().item() == pytest.approx(0, abs=1e-5)
    assert values.std().item() == pytest.approx(1, abs=1e-2)
    assert volumes.together(found).labels.shape == (12, 16, 16)


def test_a_loss_that_is_not_finite_ends_a_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training.split(volumes.read_volumes("train"), volumes.read_volumes("val"), plan())
    monkeypatch.setattr(training, "run_epoch", lambda *given: math.nan)
    one = training.train(data, training.Trial("SGD", "Dice", 0), plan())
    assert one["diverged"]
    assert one["validation"] == []
    assert one["epochs to near the best"] is None
    text = tables({"entries": [one]})["convergence"]
    assert text.splitlines()[-1].startswith("| SGD | Dice | 1 |  | 1 |")


def plan() -> training.Plan:
    return training.Plan(volumes=2, validation=1, test=2, epochs=2, width=2)


def test_miniature(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training is in the record; a broken run goes on, a whole one trains nothing again."""
    output = folder / "out"
    main([*GIVEN, "--output", str(output)])
    printed = capsys.readouterr().out
    found = read(output / "results.json")
    assert len(found["entries"]) == 2 + 2 * 2
    assert all(len(one["validation"]) == 2 for one in found["entries"][2:])
    made = tables(found)
    assert list(made) == ["figure 1", "table 1", "convergence", "calibration"]
    assert all(text in printed for text in made.values())
    assert {one.name for one in output.iterdir()} == {
        "results.json", "figure_1.png", "figure_2.png", "figure_3.png",
    }  # fmt: skip

    last = found["entries"].pop()
    (output / "results.json").write_text(json.dumps(found))
    trained = []

    def train(data: Any, trial: training.Trial, plan: Any) -> dict[str, Any]:
        trained.append(trial)
        return last

    monkeypatch.setattr(command, "train", train)
    monkeypatch.setattr(command, "run_epoch", None)
    for _ in range(2):
        main([*GIVEN, "--output", str(output)])
        assert capsys.readouterr().out == printed
    assert trained == [training.Trial("SGD", "mime", 1)]


def entry(optimizer: str, loss: str, values: tuple[float, float]) -> dict[str, Any]:
    """A training with two test volumes of these Dice coefficients in both structures."""
    empty = {"share": [1.0], "confidence": [0.2], "frequency": [0.3]}
    return {
        "optimizer": optimizer,
        "loss": loss,
        "seed": 0,
        "Dice": {name: list(values) for name in volumes.CLASSES[1:]},
        "calibration error": 0.1,
        "bins": dict.fromkeys(volumes.CLASSES, empty),
        "validation": [0.5, 0.6],
        "epochs to near the best": 2,
        "diverged": False,
        "lost": False,
    }


def test_tables_of_given_entries(tmp_path: Path) -> None:
    """0.8 and 0.9 are 85.0 on average, 5.0 below 90.0; the heart's 82.2 is 2.0 below 84.2."""
    entries = [entry("Adam", "Dice", (0.8, 0.9)), entry("Adam", "mime", (0.9, 0.9))]
    made = tables({"settings": {}, "entries": entries})
    assert list(made) == ["table 1", "convergence", "calibration"]
    cells = [cell.strip() for cell in made["table 1"].splitlines()[2].split("|")[1:-1]]
    assert cells == [
        "Adam", "Dice", "1", "85.0", "85.0", "85.0", "5.8", "5.0", "82.2 ± 11.4", "2.0",
        "83.8 ± 7.2", "3.3",
    ]  # fmt: skip
    assert made["calibration"].splitlines()[2].endswith("| 10.00 | 10.00 | 10.00 | 10.00 |")
    assert all(path.is_file() for path in figures({"entries": entries}, tmp_path))
    assert figures({"entries": []}, tmp_path) == []


def test_published_figures_are_all_there() -> None:
    assert set(HEART) == {(one, other) for one in training.OPTIMIZERS for other in training.LOSSES}
    assert set(PROSTATE) == {key for key in HEART if key[1] != "negative mime"}
    assert set(DECIBELS) == set(shown_losses())


def test_bad_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels that are missing, of another shape or unknown, no volumes, no folder."""
    place = folder / "hippocampus" / "val" / "labels" / "hippocampus_1.nii.gz"
    told = []
    for change in (
        lambda: save(place, np.zeros((5, 5, 5), np.uint8)),
        lambda: save(place, np.full((12, 15, 4), 7, np.uint8)),
        place.unlink,
        lambda: monkeypatch.setenv("METRISEG_DATA", str(place.parent)),
        lambda: monkeypatch.setenv("METRISEG_DATA", ""),
    ):
        change()
        with pytest.raises(SystemExit):
            main([*GIVEN, "--output", str(folder / "out")])
        told.append(" ".join(capsys.readouterr().err.split()))
    for words, message in zip(
        (
            "images/hippocampus_1.nii.gz must have the shape of its labels, (5, 5, 5)",
            "labels/hippocampus_1.nii.gz must be 0, 1 or 2, got [7]",
            "must have labels/hippocampus_1.nii.gz beside images/hippocampus_1.nii.gz",
            "METRISEG_DATA must name a folder with hippocampus/train/images",
            "METRISEG_DATA must name the folder of hippocampus/train",
        ),
        told,
        strict=True,
    ):
        assert words in message
    assert not (folder / "out").exists()


def test_nothing_left_for_validation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--volumes", "3", "--output", str(folder / "out")])
    assert "--volumes must leave some of 3, got 3" in capsys.readouterr().err
