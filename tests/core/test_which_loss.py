"""Comparisons of losses: settings chosen, runs that go on, tables from the record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import metriseg
from metriseg.experiments.records import read
from metriseg.experiments.which_loss import Bench, Candidate, Plan, Score, Shown, comparison, main
from metriseg.experiments.which_loss.report import by_loss, tables

SIDE = 8


def pictures(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bright squares on noise, and where they are."""
    drawn = torch.Generator().manual_seed(seed)
    truth = torch.zeros(count, SIDE, SIDE, dtype=torch.long)
    for one in truth:
        top, left = torch.randint(SIDE - 3, (2,), generator=drawn).tolist()
        one[top : top + 3, left : left + 3] = 1
    noise = torch.randn(count, 1, SIDE, SIDE, generator=drawn)
    return truth[:, None] + 0.3 * noise, truth


class Squares:
    """A pixel classifier of two numbers, trained in plain PyTorch."""

    name = "squares"
    title = "a threshold on squares"
    columns: Mapping[str, int] = {"IoU": 3, "accuracy": 2}
    candidates: Sequence[Candidate] = (
        Candidate("ce", "cross-entropy", {"plain": metriseg.CrossEntropyLoss()}),
        Candidate(
            "dice", "Dice", {"all": metriseg.DiceLoss(), "none": metriseg.DiceLoss(smooth=1e6)}
        ),
        Candidate("broken", "broken", {"plain": None}),
    )
    short = Plan(steps=30, seeds=1, losses=("ce", "dice"), search=False)
    full = Plan(steps=30, seeds=2, losses=None, search=True)
    palette = ((0, 0, 0), (255, 255, 255))
    settings: Mapping[str, Any] = {"side": SIDE}

    def __init__(self) -> None:
        self.trained = 0
        self.prepared: list[tuple[int, Path]] = []
        self.clock = 0.0

    def prepare(self, *, seed: int, folder: Path) -> None:
        self.prepared.append((seed, folder))
        self.clock += 100

    def train(self, loss: Any, *, seed: int, steps: int, folder: Path) -> None:
        if loss is None:
            raise FloatingPointError("diverged")
        self.trained += 1
        self.clock += 7
        torch.manual_seed(seed)
        network = torch.nn.Conv2d(1, 2, 1)
        optimizer = torch.optim.Adam(network.parameters(), 0.1)
        images, truth = pictures(8, seed)
        for _ in range(steps):
            optimizer.zero_grad()
            loss(network(images), truth).backward()
            optimizer.step()
        torch.save(network.state_dict(), folder / "network.pt")

    def found(self, folder: Path, data: Path | None) -> tuple[torch.Tensor, ...]:
        network = torch.nn.Conv2d(1, 2, 1)
        network.load_state_dict(torch.load(folder / "network.pt"))
        images, truth = pictures(5, 77 if data is None else 78)
        with torch.no_grad():
            return images, truth, network(images).argmax(1)

    def score(self, folder: Path, data: Path | None) -> Score:
        _, truth, found = self.found(folder, data)
        overlap, either = (truth & found).sum((1, 2)), (truth | found).sum((1, 2))
        each = (overlap / either).tolist()
        values = {"IoU": float(np.mean(each)), "accuracy": float((truth == found).float().mean())}
        return Score(values, {"square": values["IoU"]}, each)

    def show(self, folder: Path, data: Path | None, images: Sequence[int]) -> list[Shown]:
        seen, truth, found = self.found(folder, data)
        return [
            Shown((255 * seen[k, 0].clamp(0, 1)).byte().numpy(), truth[k].numpy(), found[k].numpy())
            for k in images
        ]


def test_settings_are_chosen_and_runs_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Squares()
    checked: Bench = bench
    main(checked, "Squares.", ["--full", "--output", str(tmp_path), "--loss", "ce"])
    assert bench.trained == 2
    main(checked, "Squares.", ["--full", "--output", str(tmp_path)])
    assert bench.trained == 2 + 3  # both settings of Dice with one seed, the better with another
    main(checked, "Squares.", ["--full", "--output", str(tmp_path)])
    assert bench.trained == 5
    printed = capsys.readouterr().out

    results = read(tmp_path / "results.json")
    groups = by_loss(results)
    tried = {
        one["setting"]: one["values"]["IoU"]
        for one in results["entries"]
        if one["loss"] == "dice" and one["seed"] == 0
    }
    assert tried["all"] > tried["none"]
    assert [one["setting"] for one in groups["dice"]] == ["all", "all"]
    assert groups["broken"] == []
    mean = np.mean([one["values"]["IoU"] for one in groups["dice"]])
    deviation = np.std([one["values"]["IoU"] for one in groups["dice"]], ddof=1)
    row = f"| Dice | all | {mean:.3f} ± {deviation:.3f} |"
    assert row in tables(results)["losses"]
    assert row in printed
    assert "| broken | diverged |" in printed
    assert (tmp_path / "differences.png").stat().st_size > 1000
    assert row in (tmp_path / "report.md").read_text()


def test_what_is_shared_is_no_time_of_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each training, in the folder of the networks; not again for what is in the record."""
    bench = Squares()
    monkeypatch.setattr(comparison, "time", SimpleNamespace(perf_counter=lambda: bench.clock))
    for _ in range(2):
        main(bench, "Squares.", ["--output", str(tmp_path), "--seeds", "2"])
    assert bench.prepared == [(seed, tmp_path / "networks") for seed in (0, 1, 0, 1)]
    entries = read(tmp_path / "results.json")["entries"]
    assert [one["seconds"] for one in entries] == [7.0] * 4


def test_other_images_are_scored_without_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Squares()
    given = ["--output", str(tmp_path), "--seeds", "2"]
    main(bench, "Squares.", given)
    other = tmp_path / "fresh"
    other.mkdir()
    before = bench.trained
    main(bench, "Squares.", [*given, "--evaluate", str(other)])
    assert bench.trained == before
    fresh, known = (read(tmp_path / f"{n}.json") for n in ("evaluated_fresh", "results"))
    assert len(fresh["entries"]) == len(known["entries"]) == 4
    place = tmp_path / "networks" / "ce" / "plain" / "seed0"
    expected = bench.score(place, other).values["IoU"]
    assert fresh["entries"][0]["values"]["IoU"] == pytest.approx(expected, abs=1e-6)
    assert known["entries"][0]["values"]["IoU"] != pytest.approx(expected, abs=1e-6)
    assert f"{other}:" in capsys.readouterr().out
    assert (tmp_path / "differences_fresh.png").is_file()


def results_of(values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """A record of losses with one setting, by their scores."""
    entries = [
        {
            "loss": name,
            "words": name,
            "setting": "default",
            "seed": seed,
            "seconds": 1.0,
            "values": {"IoU": value},
            "classes": {},
            "images": [],
        }
        for name, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    return {"settings": {"columns": {"IoU": 2}}, "entries": entries}


def test_what_is_level_and_what_is_not() -> None:
    """Deviations 0.1: of a difference sqrt(0.02) = 0.1414."""
    results = results_of(
        {
            "ce": [0.4, 0.5, 0.6],
            "near": [0.54, 0.64, 0.74],
            "best": [0.6, 0.7, 0.8],
            "worse": [0.1, 0.2, 0.3],
        }
    )
    assert tables(results)["differences"].splitlines() == [
        "* Highest IoU: best, 0.70 ± 0.10; within the deviation of it: near.",
        "* Ahead of ce by more than the deviation: best.",
        "* Behind ce by more than the deviation: worse.",
    ]


def test_one_seed_says_nothing() -> None:
    found = tables(results_of({"ce": [0.4], "dice": [0.6]}))["differences"]
    assert found == "* One training a loss: differences may be chance."


def test_settings_that_share_a_folder_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Squares()
    loss = metriseg.DiceLoss()
    bench.candidates = [Candidate("dice", "Dice", {"1 / size": loss, "1 : size": loss})]
    with pytest.raises(SystemExit):
        main(bench, "Squares.", ["--output", str(tmp_path), "--loss", "dice"])
    assert "settings of dice must differ in letters and digits" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--seeds", "--steps"])
def test_numbers_are_checked(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(Squares(), "Squares.", [option, "0", "--output", str(tmp_path)])
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err


def test_other_steps_need_another_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(Squares(), "Squares.", ["--output", str(tmp_path), "--loss", "ce"])
    with pytest.raises(SystemExit):
        main(Squares(), "Squares.", ["--output", str(tmp_path), "--steps", "31"])
    assert "steps 30 there, 31 now" in capsys.readouterr().err
