"""The bundle of digits: MONAI's own command trains it, and one line changes the loss."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("ignite")
pytest.importorskip("fire")

from monai.bundle import ConfigWorkflow

import metriseg_monai
from metriseg.configuration import config_path
from metriseg_monai import demo
from metriseg_monai.datasets import digits

NAME = "monai/mnist_unet_power-jaccard"
SHORT = {"max_epochs": 1, "train#trainer#epoch_length": 2, "validate#evaluator#epoch_length": 1}
COMMON = {"softmax": True, "to_onehot_y": True}
#: Losses of objects, of topology and of boundaries, one with a loss of its own within.
BESIDE_PIXELS: dict[str, dict[str, Any]] = {
    "BlobLoss": {"loss": {"_target_": "metriseg_monai.TverskyLoss", "beta": 0.7}},
    "ConnectedComponentLoss": {},
    "TopologicalLoss": {"dimensions": [1]},
    "TopologyAwareFocalLoss": {},
    "BoundaryTripletLoss": {},
}
#: The run of the bundle's README.
COMMAND = (
    *(sys.executable, "-m", "monai.bundle", "run"),
    *("--config_file", "configs/train.json", "--meta_file", "configs/metadata.json"),
    *("--bundle_root", "."),
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(config_path(NAME), tmp_path / "bundle"))


def run(bundle: Path, *overrides: str) -> str:
    short = [word for name, value in SHORT.items() for word in (f"--{name}", str(value))]
    finished = subprocess.run(
        [*COMMAND, *short, "--train#handlers#3#iteration_log", "True", *overrides],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=300,
    )
    log = finished.stdout + finished.stderr
    assert finished.returncode == 0, log
    return log


@pytest.mark.training
def test_the_command_trains(bundle: Path) -> None:
    """MONAI's log has the losses and the metrics; the checkpoint has nothing of the loss."""
    log = run(bundle)
    assert "Epoch: 1/1, Iter: 2/2 -- loss: " in log
    assert "nan" not in log
    checkpoint = torch.load(bundle / "work_dirs" / NAME / "final.pt", weights_only=True)
    assert checkpoint["network"]
    assert not checkpoint["loss"]


@pytest.mark.training
def test_a_training_goes_on_where_it_stopped(bundle: Path) -> None:
    """Epoch 2 of 2, with the schedule that a run of two epochs has there: 1 - 2 / 4 = 0.5."""
    loss = {
        "_target_": "metriseg_monai.CompoundLoss",
        "terms": [{"_target_": "metriseg_monai.DiceLoss", "softmax": True, "to_onehot_y": True}],
        "weights": [{"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}],
    }
    run(bundle, "--loss", str(loss))
    log = run(bundle, "--loss", str(loss), "--resume", "True", "--max_epochs", "2")
    assert "Epoch: 2/2, Iter: 2/2 -- loss: 0." in log
    assert "Epoch: 1/2" not in log
    # steps 2 and 3 of a Dice loss of about 0.9 weigh 1/2 and 1/4
    (second,) = re.findall(r"Epoch: 2/2, Iter: 1/2 -- loss: (\S+)", log)
    assert 0.35 < float(second) < 0.5


@pytest.mark.training
def test_one_option_makes_it_another_loss(bundle: Path) -> None:
    """A compound loss from the bundle's alternatives, its terms in the log."""
    log = run(bundle, "--loss", "%configs/losses.json::compound", "--val_interval", "1")
    assert "loss_power_jaccard: 0." in log
    assert "loss_cross_entropy: " in log
    assert "val_mean_iou: 0." in log


@pytest.mark.training
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, metriseg_monai.PowerJaccardLoss),
        ({"loss#power": 1.75}, metriseg_monai.PowerJaccardLoss),
        (
            {"loss": {"_target_": "metriseg_monai.MimeLoss", "softmax": True, "to_onehot_y": True}},
            metriseg_monai.MimeLoss,
        ),
        *(
            ({"loss": {"_target_": f"metriseg_monai.{name}", **COMMON, **words}}, kind)
            for name, words in BESIDE_PIXELS.items()
            for kind in (getattr(metriseg_monai, name),)
        ),
    ],
    ids=["shipped", "power", "mime", *BESIDE_PIXELS],
)
def test_changes_reach_the_trainer(
    workflow: Callable[..., ConfigWorkflow], changes: dict[str, Any], expected: type
) -> None:
    made = workflow(**changes)
    assert made.check_properties() == []
    before = [p.clone() for p in made.network_def.parameters()]
    made.run()
    loss = made.trainer.loss_function
    assert type(loss) is expected
    assert getattr(loss, "power", 1.5) == changes.get("loss#power", 1.5)
    after = list(made.network_def.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_what_a_loss_learns_is_trained_and_saved(
    workflow: Callable[..., ConfigWorkflow],
) -> None:
    """The bundle's optimiser and its saver list the loss beside the network."""
    loss = {"_target_": "metriseg_monai.RobustTLoss", "softmax": True, "to_onehot_y": True}
    made = workflow(loss=loss)
    learnt = dict(made.trainer.loss_function.named_parameters())
    before = {name: value.detach().clone() for name, value in learnt.items()}
    made.run()
    checkpoint = torch.load(next(Path.cwd().glob("**/final.pt")), weights_only=True)
    assert learnt
    for name, value in learnt.items():
        assert not torch.equal(value, before[name])
        assert torch.equal(checkpoint["loss"][name], value)


@pytest.mark.parametrize(
    "name", json.loads((config_path(NAME) / "configs/losses.json").read_text())
)
def test_the_alternatives_give_a_loss(name: str, workflow: Callable[..., ConfigWorkflow]) -> None:
    path = config_path(NAME) / "configs" / "losses.json"
    loss = workflow(loss=f"%{path}::{name}").parser.get_parsed_content("loss")
    target = torch.randint(0, 11, (2, 1, 8, 8))
    assert loss(torch.randn(2, 11, 8, 8), target).isfinite()


def test_the_digits_are_what_the_metadata_says() -> None:
    """Grey images and eleven labels, 28 x 28, one digit each."""
    metadata = json.loads((config_path(NAME) / "configs" / "metadata.json").read_text())
    formats = metadata["network_data_format"]
    items = digits("val")
    assert len(items) == 200
    for item in items[:20]:
        assert list(item["image"].shape[1:]) == formats["inputs"]["image"]["spatial_shape"]
        assert item["image"].dtype == item["label"].dtype == np.uint8
        assert len(np.unique(item["label"])) == 2
    labels = np.unique(np.stack([item["label"] for item in items]))
    assert len(labels) == formats["outputs"]["pred"]["num_channels"]
    with pytest.raises(ValueError, match="split must be one of"):
        digits("all")


def test_the_demo_measures_and_draws(workflow: Callable[..., ConfigWorkflow]) -> None:
    """An untrained network guesses among eleven classes."""
    made = workflow()
    assert 0 <= demo.mean_iou(made.evaluator) < 0.3
    assert demo.draw(made).read_bytes().startswith(b"\x89PNG")
