"""Real trainings: MMSegmentation's runner and its own script with our losses and our config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch

import metriseg

pytest.importorskip("mmseg")

import mmseg
from mmengine.config import Config
from mmengine.runner import Runner

from metriseg.configuration import config_path
from metriseg.data.digits import CLASSES, load_digits, segmentation_masks
from metriseg_mmseg.datasets import DigitsDataset
from metriseg_mmseg.losses import UNSUPPORTED

SIMPLE = sorted(metriseg.CATALOGUE.keys() - UNSUPPORTED.keys() - {"CompoundLoss"})
CONFIG = config_path("mmseg/mnist_unet_power-jaccard.py")
SCRIPT = Path(mmseg.__file__).parent / ".mim" / "tools" / "train.py"


def run(*command: str | Path) -> str:
    """A Python process with one thread, its output once it has ended well."""
    environment = {
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "default",
        # upstream's MMEngine saves more in a checkpoint than torch reads back without this
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    }
    finished = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-4000:]
    return finished.stdout + finished.stderr


def train(script: Path, work_dir: Path, *options: str, resume: bool = False) -> str:
    more = ["--resume"] if resume else []
    small = [
        "train_dataloader.batch_size=8",
        "train_dataloader.dataset.indices=16",
        "val_dataloader.dataset.indices=8",
        "model.backbone.base_channels=4",
        "model.decode_head.in_channels=4",
        "model.decode_head.channels=4",
        "default_hooks.logger.interval=1",
        "log_processor.window_size=1",
    ]
    return run(script, CONFIG, "--work-dir", work_dir, *more, "--cfg-options", *small, *options)


def scalars(work_dir: Path) -> list[dict[str, Any]]:
    """What MMEngine has logged of every training iteration, over all runs."""
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def small_config(loss_decode: dict[str, Any], work_dir: Path, iterations: int = 3) -> Config:
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.base_channels = 4
    cfg.model.decode_head.in_channels = cfg.model.decode_head.channels = 4
    cfg.model.decode_head.pop("loss_decode")
    cfg.model.decode_head.loss_decode = loss_decode
    cfg.train_dataloader.batch_size = 8
    cfg.train_dataloader.dataset.indices = 16
    cfg.val_dataloader.dataset.indices = 8
    cfg.train_cfg.max_iters = iterations
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    # MMEngine keeps one object of each name for the life of the process.
    cfg.experiment_name = cfg.visualizer.name = f"test-{uuid.uuid4()}"
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.training
def test_untouched_script_trains_resumes_and_changes_the_loss(tmp_path: Path) -> None:
    """Two iterations, then from the checkpoint to the fourth with a loss of the command line.

    The options are those that the config's first lines show; a loss has no state to be resumed.
    """
    if not SCRIPT.is_file():
        pytest.skip(f"this MMSegmentation comes without {SCRIPT.name}")
    assert "mIoU" in train(SCRIPT, tmp_path, "train_cfg.max_iters=2")
    train(
        SCRIPT,
        tmp_path,
        "train_cfg.max_iters=4",
        "model.decode_head.loss_decode._delete_=True",
        "model.decode_head.loss_decode.type=metriseg_mmseg.TverskyLoss",
        resume=True,
    )
    lines = scalars(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    for line, name in zip(lines, ["power_jaccard"] * 2 + ["tversky"] * 2, strict=True):
        assert line[f"decode.loss_{name}"] == line["loss"]


@pytest.mark.training
@pytest.mark.parametrize(
    "name", sorted(metriseg.CATALOGUE.keys() - UNSUPPORTED.keys() - {"CompoundLoss"})
)
def test_every_loss_trains(name: str, tmp_path: Path) -> None:
    """One line of the config is another; the weights move and stay finite."""
    loss = {"type": f"metriseg_mmseg.{name}"}
    runner = Runner.from_cfg(small_config(loss, tmp_path, iterations=2))
    before = runner.model.decode_head.conv_seg.weight.detach().clone()
    runner.train()
    after = runner.model.decode_head.conv_seg.weight
    assert torch.isfinite(after).all()
    assert not torch.equal(after, before)
    assert len(scalars(tmp_path)) == 2


@pytest.mark.training
def test_what_a_loss_learns_is_trained_and_saved(tmp_path: Path) -> None:
    """It is a part of the head, so the runner's optimiser moves it and the checkpoint has it."""
    cfg = small_config({"type": "metriseg_mmseg.RobustTLoss"}, tmp_path, iterations=2)
    runner = Runner.from_cfg(cfg)
    learnt = dict(runner.model.decode_head.loss_decode.named_parameters())
    before = {name: value.detach().clone() for name, value in learnt.items()}
    runner.train()
    saved = torch.load(tmp_path / "iter_2.pth", weights_only=False)["state_dict"]
    assert learnt
    for name, value in learnt.items():
        assert not torch.equal(value, before[name])
        assert torch.equal(saved[f"decode_head.loss_decode.{name}"], value)


@pytest.mark.training
def test_compound_loss_trains_and_logs_its_terms(tmp_path: Path) -> None:
    """Every term stands in the log and in none of the sums; the schedule follows the runner.

    The Dice term's weight is 0, 1/2 and 1 at the first three iterations, so the first logged is 0.
    """
    terms = [{"type": "metriseg_mmseg.DiceLoss"}, {"type": "metriseg_mmseg.CrossEntropyLoss"}]
    ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "steps": 2}
    loss = {"type": "metriseg_mmseg.CompoundLoss", "terms": terms, "weights": [ramp, 1.0]}
    Runner.from_cfg(small_config(loss, tmp_path)).train()
    lines = scalars(tmp_path)
    dice = [line["loss_compound_dice"] for line in lines]
    assert dice[0] == 0
    assert 0 < dice[1] < dice[2]
    for line in lines:
        both = line["loss_compound_dice"] + line["loss_compound_cross_entropy"]
        assert line["loss"] == line["decode.loss_compound"] == pytest.approx(both)
    (log,) = tmp_path.glob("*/*.log")
    assert "loss_compound_dice: 0.0000" in log.read_text()


@pytest.mark.training
def test_demo(tmp_path: Path) -> None:
    """A short training with a rising mean IoU, and a picture named in the last line."""
    picture = tmp_path / "digits.png"
    output = run(
        "-m", "metriseg_mmseg.demo", "--iterations", "40",
        "--work-dir", tmp_path / "work", "--picture", picture,
    )  # fmt: skip
    lines = output.splitlines()
    found = {key.strip(): value.strip() for key, _, value in (li.partition(":") for li in lines)}
    before, after = found["mean IoU before training"], found["mean IoU after training"]
    assert 0 <= float(before) < float(after) <= 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert any(line.endswith(str(picture)) for line in lines)


def test_dataset_holds_the_digits() -> None:
    """Images and masks of the split as they are, eleven classes, a colour each."""
    dataset = DigitsDataset("val", [{"type": "mmseg.LoadImageFromNDArray"}], indices=5)
    digits = load_digits("val")
    assert (len(dataset), dataset.source) == (5, digits.source)
    assert dataset.metainfo["classes"] == CLASSES
    assert len(dataset.metainfo["palette"]) == len(CLASSES) == 11
    for k, sample in enumerate(dataset):
        assert (sample["img"] == digits.images[k]).all()
        assert (sample["gt_seg_map"] == segmentation_masks(digits)[k]).all()


def test_dataset_refuses_an_unknown_split() -> None:
    with pytest.raises(ValueError, match="split must be one of 'train', 'val', 'test'"):
        DigitsDataset("trainval")
