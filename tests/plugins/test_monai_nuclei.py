"""The bundle of nuclei: MONAI's own command trains a U-Net to tell objects apart."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("ignite")
pytest.importorskip("fire")

from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from PIL import Image

from metriseg.configuration import config_path
from metriseg_monai.datasets import nuclei

NAME = "monai/nuclei_unet_partition"
CONFIGS = config_path(NAME) / "configs"
DATA = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "nuclei").is_dir()),
    reason="needs the images in $METRISEG_DATA/nuclei",
)
#: One epoch on one thread.
SHORT = {"max_epochs": 1, "num_threads": 1}
#: Rows and columns of the images that the fixture draws.
SIZE = (48, 72)
#: Numbers of their nuclei, one beyond 8 bits.
NUMBERS = (1, 2, 700)


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A folder laid out as the real one, of two images a split; two of the nuclei touch."""
    instances = np.zeros(SIZE, np.uint16)
    for number, columns in zip(NUMBERS, ((4, 16), (16, 28), (44, 68)), strict=True):
        instances[10:30, slice(*columns)] = number
    for split in ("train", "val"):
        for kind, pixels in (("images", 20 + 80 * (instances > 0)), ("instances", instances)):
            folder = tmp_path / "drawn" / "nuclei" / split / kind
            folder.mkdir(parents=True)
            for name in ("a.png", "b.png"):
                depth = np.uint8 if kind == "images" else np.uint16
                Image.fromarray(pixels.astype(depth)).save(folder / name)
    return tmp_path / "drawn"


@needs_data
@pytest.mark.training
def test_the_command_trains(tmp_path: Path) -> None:
    """The run of the bundle's README on two images: its log has both terms and the metrics."""
    bundle = shutil.copytree(config_path(NAME), tmp_path / "bundle")
    words = {"limit": 2, "max_epochs": 1, "val_interval": 1, "num_threads": 1}
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "monai.bundle", "run"),
            *("--config_file", "configs/train.json", "--meta_file", "configs/metadata.json"),
            *("--bundle_root", "."),
            *(word for name, value in words.items() for word in (f"--{name}", str(value))),
        ],
        cwd=bundle,
        capture_output=True,
        text=True,
        timeout=300,
    )
    log = finished.stdout + finished.stderr
    assert finished.returncode == 0, log
    for name in (
        *("loss_cross_entropy", "loss_partition"),
        *("val_variation_of_information", "val_partition_distance", "val_mean_dice"),
    ):
        (value,) = re.findall(rf"{name}: (\S+)", log)
        assert 0 <= float(value) < math.inf, log
    checkpoint = torch.load(bundle / "work_dirs" / NAME / "last.pt", weights_only=True)
    assert checkpoint


@needs_data
@pytest.mark.training
def test_both_terms_fall(workflow: Callable[..., ConfigWorkflow]) -> None:
    """Ten steps on crops of the same two images; the offsets too learn."""
    made = workflow(limit=2, batch_size=2, max_epochs=10, val_interval=99, patch_size=[96, 96])
    seen: list[dict[str, float]] = []
    made.trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: seen.append(dict(engine.state.metrics))
    )
    made.run()
    for term in ("loss_cross_entropy", "loss_partition"):
        values = [metrics[term] for metrics in seen]
        assert torch.tensor(values).isfinite().all()
        assert values[-1] < 0.8 * values[0], values


def test_classes_and_instances_are_those_of_the_files(
    drawn: Path, workflow: Callable[..., ConfigWorkflow]
) -> None:
    """Rows are rows, 16 bits are 16 bits, and the target has the classes before the objects."""
    made = workflow(dataset_dir=str(drawn), patch_size=list(SIZE))
    (item, _) = made.parser.get_parsed_content("validate#dataset")
    truth = np.asarray(Image.open(nuclei("val", str(drawn))[0]["instances"])).astype(np.int64)
    assert truth.shape == SIZE
    assert np.array_equal(item["instances"][0].numpy(), truth)
    assert np.array_equal(item["label"][0].numpy(), truth > 0)
    assert (float(item["image"].min()), float(item["image"].max())) == (0.0, 1.0)
    assert np.array_equal(item["image"][0].numpy() > 0.5, truth > 0)
    made = workflow(dataset_dir=str(drawn), patch_size=[40, 40])
    (batch,) = made.parser.get_parsed_content("train#dataloader")
    image, target = made.trainer.prepare_batch(batch, "cpu")
    assert image.shape == (2, 1, 40, 40)
    assert target.shape == (2, 2, 40, 40)
    assert torch.equal(target[:, 0], (target[:, 1] > 0).float())
    assert set(target[:, 1].unique().tolist()) <= {0.0, *NUMBERS}
    # turned and mirrored together: bright is where the objects are
    bright = image[:, 0] > image[:, 0].amax((1, 2), keepdim=True) / 2
    assert torch.equal(bright.as_tensor(), target[:, 1] > 0)


def test_instances_have_the_size_of_the_image(
    drawn: Path, workflow: Callable[..., ConfigWorkflow]
) -> None:
    """In windows, of a network that has learnt nothing; and of the true offsets, whole."""
    made = workflow(dataset_dir=str(drawn), window_size=[32, 32])
    assert made.check_properties() == []
    evaluator = made.evaluator
    evaluator.run()
    (item,) = evaluator.state.output
    assert item["pred"].shape == item["label"].shape == (2, *SIZE)
    assert item["pred_instances"].shape == item["label_instances"].shape == (1, *SIZE)
    truth = evaluator.data_loader.dataset[0]["instances"][0].as_tensor()
    unit = made.parser["pixels_per_unit"]
    pred = torch.zeros(4, *SIZE)
    pred[0], pred[1] = 9.0 * (truth == 0), 9.0 * (truth > 0)
    for number in NUMBERS:
        here = torch.nonzero(truth == number).float()
        pred[2:, truth == number] = ((here.mean(0) - here) / unit).T
    evaluator.inferer = lambda inputs, network: pred[None]
    evaluator.run()
    (item,) = evaluator.state.output
    numbers = torch.searchsorted(torch.tensor([0, *NUMBERS]), truth.long())
    assert torch.equal(torch.as_tensor(item["pred_instances"][0]), numbers)
    assert evaluator.state.metrics == {
        "val_variation_of_information": 0.0,
        "val_partition_distance": 0.0,
        "val_mean_dice": 1.0,
    }


@needs_data
def test_the_images_are_what_the_metadata_says(workflow: Callable[..., ConfigWorkflow]) -> None:
    """240 and 50 pairs; a channel in, two classes and two offsets out."""
    formats = json.loads((CONFIGS / "metadata.json").read_text())["network_data_format"]
    for split, number in (("train", 240), ("val", 50)):
        items = nuclei(split)
        assert len({item["image"] for item in items}) == number
        assert all(Path(path).exists() for item in items for path in item.values())
    made = workflow(limit=1)
    (batch,) = made.parser.get_parsed_content("train#dataloader")
    assert list(batch["image"].shape[2:]) == formats["inputs"]["image"]["spatial_shape"]
    assert batch["image"].shape[1] == formats["inputs"]["image"]["num_channels"]
    made.network_def.eval()
    with torch.no_grad():
        output = made.network_def(batch["image"].as_tensor())
    assert list(output.shape[2:]) == formats["outputs"]["pred"]["spatial_shape"]
    assert output.shape[1] == formats["outputs"]["pred"]["num_channels"]


def test_where_the_images_are(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, an image and its instances; what is missing is said, with the argument."""
    monkeypatch.delenv("METRISEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"nuclei needs dataset_dir or .* METRISEG_DATA"):
        nuclei("train")
    with pytest.raises(FileNotFoundError, match=r"no images \(\.png\) in .*: dataset_dir or"):
        nuclei("test", str(drawn))
    monkeypatch.setenv("METRISEG_DATA", str(drawn))
    found = nuclei("val")
    assert [Path(item["image"]).name for item in found] == ["a.png", "b.png"]
    assert [Path(item["instances"]).parent.name for item in found] == ["instances", "instances"]
    assert nuclei("val", limit=1) == found[:1]
    Path(found[0]["instances"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"nuclei found no instances .*a\.png"):
        nuclei("val")
    with pytest.raises(ValueError, match="split must be one of 'train', 'val', 'test', got 'all'"):
        nuclei("all")
    with pytest.raises(ValueError, match="limit must be a whole number >= 1"):
        nuclei("val", limit=0)
