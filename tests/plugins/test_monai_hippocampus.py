"""The bundle of 3-D volumes: MONAI's own command trains it with any loss, and resumes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("ignite")
pytest.importorskip("fire")
pytest.importorskip("nibabel")

from ignite.engine import Engine, Events
from monai.bundle import ConfigParser, ConfigWorkflow

import metriseg_monai as m
from metriseg.configuration import config_path
from metriseg.losses.schedules import schedule
from metriseg_monai.datasets import hippocampus

NAME = "monai/hippocampus_unet_dice-ce"
CONFIGS = config_path(NAME) / "configs"
LOSSES = json.loads((CONFIGS / "losses.json").read_text())
DATA = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "hippocampus").is_dir()),
    reason="needs the volumes in $METRISEG_DATA/hippocampus",
)

#: Four volumes, two iterations an epoch, patches that fit the network.
SHORT = {
    "limit": 4,
    "max_epochs": 1,
    "batch_size": 2,
    "patch_size": [16, 16, 16],
    "num_threads": 1,
    "val_interval": 9,
}
METRICS = (
    "val_mean_dice",
    "val_hausdorff_95",
    "val_surface_distance",
    "val_calibration_error",
)
BOUNDARY = f"%{CONFIGS / 'losses.json'}::boundary"
#: A second config file: where the compound loss stands, after every iteration.
NOTE = {
    "imports": [
        "$import os",
        "$import torch",
        "$import metriseg_monai",
        "$from ignite.engine import Events",
        "$from metriseg.losses.schedules import schedule",
    ],
    "compound": "$@loss_function.loss",
    "note": "$lambda engine: print('step', @compound.step, 'weight',"
    " schedule(@compound.weights[1])(@compound.step))",
    "run": [
        "$@train#trainer.add_event_handler(Events.ITERATION_COMPLETED, @note)",
        "$@train#trainer.run()",
    ],
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(config_path(NAME), tmp_path / "bundle"))


MODULE = (sys.executable, "-m", "monai.bundle", "run")
#: Two processes on this machine.
TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
    *("-m", "monai.bundle", "run"),
)


def run(
    bundle: Path,
    config: str = "configs/train.json",
    command: tuple[str, ...] = MODULE,
    **overrides: Any,
) -> str:
    """The run of the bundle's README, shortened, with changes: its log."""
    words = {
        "config_file": config,
        "meta_file": "configs/metadata.json",
        "bundle_root": ".",
        **SHORT,
        **overrides,
    }
    options = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    finished = subprocess.run(
        [*command, *options],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=300,
    )
    log = finished.stdout + finished.stderr
    assert finished.returncode == 0, log
    return log


def noted_here(made: ConfigWorkflow) -> list[tuple[int, float]]:
    """Run, and the step of the compound loss and the weight of its schedule at every iteration."""
    notes: list[tuple[int, float]] = []

    def note(engine: Engine) -> None:
        compound = engine.loss_function.loss
        notes.append((compound.step, schedule(compound.weights[1])(compound.step)))

    made.trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    made.run()
    return notes


# ---------------------------------------------------------------------- the command


@needs_data
@pytest.mark.training
def test_the_command_trains(bundle: Path) -> None:
    """MONAI's log has the metrics; the checkpoint has the trainer, whatever the loss learns."""
    log = run(bundle, val_interval=1, limit=2, **{"validate#inferer#roi_size": [32, 48, 32]})
    for metric in METRICS:
        assert re.search(rf"{metric}: \d+\.\d+", log), log
    assert "nan" not in log
    checkpoint = torch.load(bundle / "work_dirs" / NAME / "last.pt", weights_only=True)
    assert set(checkpoint) == {"network", "loss", "optimizer", "trainer"}
    assert checkpoint["trainer"]["iteration"] == 1
    assert checkpoint["network"]
    assert not checkpoint["loss"]


@needs_data
@pytest.mark.training
def test_one_option_makes_it_another_loss(bundle: Path) -> None:
    """The distances come with the loss: the loader writes what it names. Its terms are logged."""
    log = run(bundle, loss="%configs/losses.json::hausdorff")
    assert re.search(r"Metrics -- loss_dice_ce: \d.* loss_hausdorff_distance_transform: \d", log), (
        log
    )
    assert "nan" not in log
    assert (bundle / "work_dirs" / NAME / "last.pt").exists()


@needs_data
@pytest.mark.training
def test_a_resumed_training_goes_on_where_it_stopped(
    bundle: Path, workflow: Callable[..., ConfigWorkflow]
) -> None:
    """One epoch and, by the command in another process, the second: as in an unbroken run.

    The schedule counts epochs, from a weight of 0 in the first to 0.1 in the second.
    """
    unbroken, first = (
        noted_here(workflow(loss=BOUNDARY, max_epochs=epochs, output_dir=str(bundle / name)))
        for epochs, name in ((2, "unbroken"), (1, "resumed"))
    )
    assert [step for step, _ in unbroken] == [0, 0, 1, 1]
    assert first == unbroken[:2]
    saved = torch.load(bundle / "resumed" / "last.pt", weights_only=True)

    (bundle / "configs" / "note.json").write_text(json.dumps(NOTE))
    log = run(
        bundle,
        "['configs/train.json','configs/note.json']",
        loss="%configs/losses.json::boundary",
        output_dir="resumed",
        max_epochs=2,
        resume=True,
    )
    second = re.findall(r"^step (\d+) weight (\S+)$", log, re.MULTILINE)
    assert second == [("1", "0.1"), ("1", "0.1")]
    assert [weight for _, weight in unbroken] == [0.0, 0.0, 0.1, 0.1]
    again = torch.load(bundle / "resumed" / "last.pt", weights_only=True)
    for checkpoint, iterations in ((saved, 2), (again, 4)):
        assert checkpoint["trainer"]["iteration"] == iterations
        assert checkpoint["optimizer"]["state"][0]["step"] == iterations


@pytest.mark.slow
@needs_data
@pytest.mark.training
def test_two_processes_and_voxel_weights(bundle: Path) -> None:
    """Each has half of the volumes; one saves, under the names of a network that isn't wrapped."""
    loss = "%configs/losses.json::weighted"
    config = "['configs/train.json','configs/multi.json']"
    roi = {"validate#inferer#roi_size": [32, 48, 32]}
    log = run(bundle, config, TORCHRUN, loss=loss, batch_size=1, val_interval=1, **roi)
    assert "nan" not in log
    dice = re.findall(r"Metrics -- .*val_mean_dice: (\S+)", log)
    assert len(dice) == 2
    assert dice[0] == dice[1]
    folder = bundle / "work_dirs" / NAME
    assert {path.name for path in folder.iterdir()} == {
        "last.pt",
        "best.pt",
        "checkpoint_epoch=1.pt",
    }
    checkpoint = torch.load(folder / "last.pt", weights_only=True)
    assert checkpoint["trainer"]["iteration"] == 2
    network = ConfigParser.load_config_file(bundle / "configs" / "train.json")["network_def"]
    network = ConfigParser({"network": network, "num_classes": 3}).get_parsed_content("network")
    network.load_state_dict(checkpoint["network"])
    network.load_state_dict(torch.load(folder / "best.pt", weights_only=True))


# ---------------------------------------------------------------------- in this process


@needs_data
@pytest.mark.parametrize("name", LOSSES)
def test_the_alternatives_train(name: str, workflow: Callable[..., ConfigWorkflow]) -> None:
    """The batch has what the loss names, in patches, and the trainer takes it."""
    made = workflow(
        loss=f"%{CONFIGS / 'losses.json'}::{name}", **{"train#dataloader#shuffle": False}
    )
    assert made.check_properties() == []
    parser = made.parser
    loss = parser.get_parsed_content("loss")
    (batch, *_) = parser.get_parsed_content("train#dataloader")
    image, target = made.trainer.prepare_batch(batch, "cpu")
    named = getattr(loss, "channels", {})
    assert target.shape[:2] == (2, 1 + sum(named.values()))
    assert image.shape[2:] == target.shape[2:] == (16, 16, 16)
    with torch.no_grad():
        value = loss(made.network_def(image), target)
    assert value.isfinite()
    made.run()
    assert made.trainer.state.iteration == 2


@needs_data
def test_maps_are_those_of_the_whole_image(workflow: Callable[..., ConfigWorkflow]) -> None:
    """Of uncropped volumes the loss is what it computes of them itself, with spacing 1 mm."""
    made = workflow(loss=BOUNDARY, patch_size=[48, 64, 48], batch_size=1, limit=1)
    loss = made.parser.get_parsed_content("loss")
    loss.loss.step = 10
    (batch,) = made.parser.get_parsed_content("train#dataloader")
    image, target = made.trainer.prepare_batch(batch, "cpu")
    assert torch.equal(batch["label"].unique().as_tensor(), torch.tensor([0.0, 1.0, 2.0]))
    with torch.no_grad():
        output = made.network_def(image)
        alone = loss.loss(output, batch["label"])
        words = {"include_background": False, "softmax": True, "to_onehot_y": True}
        boundary = m.BoundaryLoss(**words)(output, batch["label"])
        torch.testing.assert_close(loss(output, target), alone)
        torch.testing.assert_close(
            loss(output, target) - loss.loss.terms[0](output, batch["label"]),
            boundary,
            rtol=1e-4,
            atol=1e-5,
        )


@needs_data
def test_weights_grow_toward_the_boundary(workflow: Callable[..., ConfigWorkflow]) -> None:
    """2 beside the edge of a class, 1 where it is deepest."""
    made = workflow(
        loss=f"%{CONFIGS / 'losses.json'}::weighted", patch_size=[48, 64, 48], batch_size=1, limit=1
    )
    (batch,) = made.parser.get_parsed_content("train#dataloader")
    label, weight = batch["label"].as_tensor(), batch["label_mask"].as_tensor()
    assert weight.shape == label.shape
    assert (float(weight.min()), float(weight.max())) == (1.0, 2.0)
    edge = label[0, 0, 1:] != label[0, 0, :-1]
    assert edge.any()
    assert torch.equal(weight[0, 0, 1:][edge], torch.full((int(edge.sum()),), 2.0))


@needs_data
def test_the_volumes_are_what_the_metadata_says(workflow: Callable[..., ConfigWorkflow]) -> None:
    """150 and 40 pairs; a channel, three labels; the padded size holds them all."""
    formats = json.loads((CONFIGS / "metadata.json").read_text())["network_data_format"]
    for split, number in (("train", 150), ("val", 40)):
        items = hippocampus(split)
        assert len(items) == number
        assert all(Path(path).exists() for item in items for path in item.values())
        assert len({item["image"] for item in items}) == number
    made = workflow()
    (batch, *_) = made.parser.get_parsed_content("validate#dataloader")
    assert batch["image"].shape[1] == formats["inputs"]["image"]["num_channels"]
    assert batch["label"].unique().numel() == formats["outputs"]["pred"]["num_channels"]
    assert abs(float(batch["image"].mean())) < 1e-4
    train = json.loads((CONFIGS / "train.json").read_text())
    assert train["patch_size"] == formats["inputs"]["image"]["spatial_shape"]


def test_where_the_volumes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, an image and its label; what is missing is said, with the variable."""
    monkeypatch.delenv("METRISEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="environment variable METRISEG_DATA"):
        hippocampus("train")
    with pytest.raises(FileNotFoundError, match=r"no images.*METRISEG_DATA must be"):
        hippocampus("train", str(tmp_path))
    for kind in ("images", "labels"):
        folder = tmp_path / "hippocampus" / "val" / kind
        folder.mkdir(parents=True)
        for name in ("b", "a"):
            (folder / f"{name}.nii.gz").touch()
    monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    found = hippocampus("val")
    assert [Path(item["image"]).name for item in found] == ["a.nii.gz", "b.nii.gz"]
    assert [Path(item["label"]).parent.name for item in found] == ["labels", "labels"]
    assert hippocampus("val", limit=1) == found[:1]
    (tmp_path / "hippocampus" / "val" / "labels" / "a.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no label .*a\.nii\.gz"):
        hippocampus("val")
    with pytest.raises(ValueError, match="split must be one of 'train', 'val', got 'test'"):
        hippocampus("test")
    with pytest.raises(ValueError, match="limit must be a whole number >= 1"):
        hippocampus("val", limit=0)


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_need_no_data(name: str) -> None:
    """Each is built, and its target's channels have transforms in the bundle that write them."""
    loss = ConfigParser({"loss": LOSSES[name]}).get_parsed_content("loss")
    written = (CONFIGS / "train.json").read_text()
    for key in m.target_keys(loss)[1:]:
        assert f"'{key}' not in @target_keys" in written
