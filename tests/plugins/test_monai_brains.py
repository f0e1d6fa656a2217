"""Losses compared on MRI volumes: MONAI trains and measures, what it measures is true."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("monai")
pytest.importorskip("ignite")
pytest.importorskip("nibabel")

import nibabel
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from metriseg.configuration import config_path
from metriseg.experiments.records import read
from metriseg.experiments.which_loss import Bench, main
from metriseg.experiments.which_loss.comparison import network_folder
from metriseg_monai import brains, demo, target_keys
from metriseg_monai.brains import CANDIDATES, Hippocampus
from metriseg_monai.datasets import hippocampus, volumes

DATA = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "hippocampus").is_dir()),
    reason="needs the volumes in $METRISEG_DATA/hippocampus",
)
#: Four volumes, two iterations an epoch, patches that fit the network.
SHORT: dict[str, Any] = {
    "limit": 4,
    "batch_size": 2,
    "patch_size": [16, 16, 16],
    "validate#inferer#roi_size": [48, 64, 48],
}
DICE = {key.key: key for key in CANDIDATES}["dice"].settings["a volume each"]
SETTINGS = [
    pytest.param(loss, id=f"{one.key}: {name}")
    for one in CANDIDATES
    for name, loss in one.settings.items()
]


@pytest.fixture(autouse=True)
def seeds_of_others() -> Iterator[None]:
    yield
    set_determinism(None)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder laid out as val, of its last two volumes."""
    for item in hippocampus("val")[-2:]:
        for kind, path in zip(("images", "labels"), item.values(), strict=True):
            place = tmp_path / "fresh" / kind / Path(path).name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return tmp_path / "fresh"


def naive_dice(prediction: np.ndarray, truth: np.ndarray, label: int) -> float:
    both = overlap = 0
    for found, true in zip(prediction.flat, truth.flat, strict=True):
        both += int(found == label) + int(true == label)
        overlap += int(found == label and true == label)
    return 2 * overlap / both


@needs_data
@pytest.mark.training
def test_losses_are_trained_once_and_scored(
    tmp_path: Path,
    fresh: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With and without maps; a second run only scores other volumes."""
    bench = Hippocampus(**SHORT)
    checked: Bench = bench
    chosen = ["--loss", "cross_entropy", "--loss", "boundary", "--steps", "1"]
    given = [*chosen, "--output", str(tmp_path / "found")]
    main(checked, "Volumes.", given)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(bench, "train", refuse)
    main(bench, "Volumes.", [*given, "--evaluate", str(fresh)])
    assert "| boundary, with Dice and cross-entropy | weight 0 to 1 |" in capsys.readouterr().out
    results, others = (
        read(tmp_path / "found" / f"{name}.json") for name in ("results", "evaluated_fresh")
    )
    for record, images in ((results, 4), (others, 2)):
        assert [one["loss"] for one in record["entries"]] == ["cross_entropy", "boundary"]
        for one in record["entries"]:
            assert list(one["values"]) == list(bench.columns)
            assert set(one["classes"]) == {"anterior", "posterior"}
            assert len(one["images"]) == images
            mean = one["values"]["mean Dice"]
            assert np.mean(one["images"]) == pytest.approx(mean, abs=1e-4)
            assert np.mean(list(one["classes"].values())) == pytest.approx(mean, abs=1e-4)
    assert results["settings"]["patch_size"] == [16, 16, 16]
    for name in ("differences", "differences_fresh"):
        assert (tmp_path / "found" / f"{name}.png").stat().st_size > 1000


@needs_data
@pytest.mark.training
def test_a_seed_gives_one_result_and_dice_is_what_it_should_be(tmp_path: Path, fresh: Path) -> None:
    """The second training finds its volumes in memory. Truth is that of the files."""
    bench = Hippocampus(**SHORT, learning_rate=0.02)
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        (tmp_path / name).mkdir()
        bench.train(DICE, seed=seed, steps=5, folder=tmp_path / name)
    first, second, other = (
        bench.score(tmp_path / name, None) for name in ("first", "second", "other")
    )
    assert first == second
    assert first.values["mean Dice"] != other.values["mean Dice"]

    _, items = bench.evaluated(tmp_path / "first", None, [2, 0])
    paths = hippocampus("val", limit=4)
    for item, number in zip(items, (2, 0), strict=True):
        prediction, truth = (item[key].argmax(0).numpy() for key in ("pred", "label"))
        written = np.asarray(nibabel.load(paths[number]["label"]).dataobj)
        assert np.array_equal(np.bincount(written.astype(int).flat), np.bincount(truth.flat))
        each = [naive_dice(prediction, truth, label) for label in (1, 2)]
        assert max(each) > 0.02
        assert np.mean(each) == pytest.approx(first.images[number], abs=1e-5)
    shown = bench.show(tmp_path / "first", None, [2, 0])
    for one, item in zip(shown, items, strict=True):
        assert one.image.dtype == np.uint8
        assert one.image.shape == one.truth.shape == one.prediction.shape
        assert one.image.shape == item["image"].shape[2:0:-1]
        assert int((one.truth > 0).sum()) == int((item["label"].argmax(0) > 0).sum((0, 1)).max())


@needs_data
@pytest.mark.training
def test_what_is_not_found_at_all(tmp_path: Path) -> None:
    """Of equal logits all is background, and every class has a probability of 1/3.

    Distances are then the volume's diagonal; all voxels are in one bin, whose error is that of 1/3
    to the share of the class.
    """
    bench = Hippocampus(**SHORT)
    bench.train(DICE, seed=0, steps=1, folder=tmp_path)
    checkpoint = torch.load(tmp_path / "last.pt", weights_only=True)
    for value in checkpoint["network"].values():
        value.zero_()
    torch.save(checkpoint, tmp_path / "last.pt")
    labels = [
        np.asarray(nibabel.load(item["label"]).dataobj) for item in hippocampus("val", limit=4)
    ]
    diagonal = np.mean([math.hypot(*label.shape) for label in labels])
    errors = [abs(1 / 3 - (label == k).mean()) for label in labels for k in (1, 2)]
    score = bench.score(tmp_path, None)
    assert score.images == [0.0] * 4
    assert score.values == pytest.approx(
        {
            "mean Dice": 0.0,
            "Hausdorff distance, 95 %, mm": diagonal,
            "surface distance, mm": diagonal,
            "calibration error": np.mean(errors),
        },
        abs=1e-4,
    )


@needs_data
@pytest.mark.training
def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    bench = Hippocampus(**SHORT, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="the loss is nan in step 2"):
        bench.train(DICE, seed=0, steps=1, folder=tmp_path)


@pytest.mark.parametrize("loss", SETTINGS)
def test_every_loss_is_built_of_its_config(loss: dict[str, Any]) -> None:
    """And is finite; what it reads behind the labels is written by the bundle's loader."""
    built = ConfigParser({"loss": loss, "max_epochs": 5}).get_parsed_content("loss")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 9, 7, generator=generator, requires_grad=True)
    label = torch.randint(3, (2, 1, 8, 9, 7), generator=generator).float()
    maps = torch.rand(2, sum(loss.get("channels", {}).values()), 8, 9, 7, generator=generator)
    value = built(logits, torch.cat([label, maps], 1))
    value.mean().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.any()
    written = (config_path(brains.BUNDLE) / "configs" / "train.json").read_text()
    for key in target_keys(built)[1:]:
        assert f"'{key}' not in @target_keys" in written


def test_every_network_has_its_own_folder() -> None:
    """Of each setting; no two losses are the same."""
    places = [
        network_folder(Path("found"), one.key, name, 0)
        for one in CANDIDATES
        for name in one.settings
    ]
    assert len(set(places)) == len(places)
    configs = [loss for one in CANDIDATES for loss in one.settings.values()]
    assert not any(one == other for one, other in itertools.combinations(configs, 2))
    known = {one.key for one in CANDIDATES}
    assert len(known) == len(CANDIDATES)
    assert set(Hippocampus.short.losses or ()) <= known


def test_a_folder_without_volumes_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="must hold images and labels"):
        volumes(tmp_path)


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        brains.main(["--help"])
    assert "losses compared on MRI volumes" in capsys.readouterr().out


@needs_data
def test_the_demo_draws_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a training of one epoch; without the volumes it says what they need."""
    shipped, shown = demo._workflow, tmp_path / "demo" / "monai_hippocampus.png"
    monkeypatch.setattr(
        demo,
        "_workflow",
        lambda name, **changes: shipped(name, **changes, **SHORT, max_epochs=1),
    )
    monkeypatch.chdir(tmp_path)
    assert demo.main(["--data", "hippocampus"]) in (0, 1)
    assert shown.read_bytes().startswith(b"\x89PNG")
    assert "mean Dice before training: 0." in capsys.readouterr().out
    monkeypatch.delenv("METRISEG_DATA")
    assert demo.main(["--data", "hippocampus"]) == 1
    assert "METRISEG_DATA" in capsys.readouterr().err
