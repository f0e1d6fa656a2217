"""The comparison on streets: the real runner on a few images, scores, and the losses' configs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mmseg")

from mmseg.utils import register_all_modules

from metriseg.experiments.records import read
from metriseg.experiments.which_loss import Bench
from metriseg_mmseg.registry import MODELS
from metriseg_mmseg.streets import Streets, main, training
from metriseg_mmseg.streets.bench import median_frequency_weights
from metriseg_mmseg.streets.candidates import CANDIDATES, Facts
from reference.metrics import mean_iou

DATA = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "camvid").is_dir()),
    reason="needs the streets in $METRISEG_DATA/camvid",
)
FACTS = Facts(steps=10, class_weight=tuple(0.5 + 0.25 * k for k in range(11)))
SETTINGS = [
    pytest.param(setting, id=f"{one.key}-{name}")
    for one in CANDIDATES
    for name, setting in one.settings.items()
]


@pytest.fixture(autouse=True)
def _scope() -> None:
    register_all_modules()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images for training, three for validation, two more, and a narrow network."""
    root = tmp_path / "data" / "camvid"
    for split, source, chosen in (
        ("train", "train", slice(0, None, 90)),
        ("val", "val", slice(0, None, 40)),
        ("fresh", "val", slice(20, 80, 40)),
    ):
        for kind in ("images", "labels"):
            (root / split / kind).mkdir(parents=True)
            for path in sorted((Path(str(DATA)) / "camvid" / source / kind).iterdir())[chosen]:
                shutil.copy(path, root / split / kind)
    monkeypatch.setenv("METRISEG_DATA", str(root.parent))
    monkeypatch.setattr(training, "CHANNELS", 4)
    monkeypatch.setattr(training, "CROP", (48, 64))
    median_frequency_weights.cache_clear()
    return root


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_loss_has_a_value_and_a_gradient(setting: Any) -> None:
    loss = MODELS.build(dict(setting(FACTS)))
    drawn = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 11, 24, 32, generator=drawn, requires_grad=True)
    labels = torch.randint(11, (2, 3, 4), generator=drawn)
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    labels[:, :2] = 255
    value = loss(logits, labels, ignore_index=255)
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
    assert not logits.grad[:, :, :2].any()


def test_the_first_is_cross_entropy_and_plans_name_candidates() -> None:
    bench: Bench = Streets()
    keys = [one.key for one in bench.candidates]
    assert keys[0] == "ce"
    assert len(set(keys)) == len(keys)
    assert set(bench.short.losses or ()) <= set(keys)
    assert set(bench.short.losses or ()) <= set(bench.full.losses or ()) < set(keys)


def test_median_frequencies(tmp_path: Path) -> None:
    """Class 0 has 6 of the 12 pixels that count in its images, class 1 2 of 8, class 2 4 of 8.

    The median of 1/2, 1/4, 1/2 is 1/2; class 3 is nowhere, and pixels of 255 don't count.
    """
    for name, labels in (("a", [0, 0, 1, 1, 2, 2, 2, 2, 255]), ("b", [0, 0, 0, 0, 255])):
        Image.fromarray(np.array([labels], np.uint8)).save(tmp_path / f"{name}.png")
    assert median_frequency_weights(tmp_path, 4) == (1.0, 2.0, 1.0, 1.0)


@needs_data
@pytest.mark.training
def test_losses_are_trained_scored_and_gone_on_with(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record's numbers are those of the pictures, counted by hand."""
    output = tmp_path / "output"
    given = ["--output", str(output), "--steps", "2", "--loss", "ce", "--loss", "boundary"]
    main(given)
    printed = capsys.readouterr().out
    assert "| cross-entropy | plain |" in printed

    entries = read(output / "results.json")["entries"]
    assert [one["loss"] for one in entries] == ["ce", "boundary"]
    bench = Streets()
    shown = bench.show(output / "networks" / "ce" / "plain" / "seed0", None, [0, 1, 2])
    truth, found = (np.stack([getattr(one, n) for one in shown]) for n in ("truth", "prediction"))
    found = np.where(truth == 255, 255, found)
    classes = naive_ious(found, truth)
    assert classes == pytest.approx(entries[0]["classes"], abs=1e-3, nan_ok=True)
    values = entries[0]["values"]
    assert values["mean IoU (%)"] == pytest.approx(np.nanmean(list(classes.values())), abs=0.006)
    counted = truth != 255
    accuracy = 100 * (truth == found)[counted].mean()
    assert values["pixel accuracy (%)"] == pytest.approx(accuracy, abs=0.006)
    for image in range(3):
        here = truth[image] != 255
        expected = mean_iou(found[image][here], truth[image][here], present=False)
        assert entries[0]["images"][image] == pytest.approx(100 * expected, abs=1e-3)
    first = np.asarray(Image.open(sorted((small / "val" / "images").iterdir())[0]))
    assert np.abs(shown[0].image.astype(int) - first).mean() < 3  # two decoders of JPEG

    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    main([*given, "--evaluate", str(small / "fresh")])
    fresh = read(output / "evaluated_fresh.json")["entries"]
    assert [len(one["images"]) for one in fresh] == [2, 2]
    assert (output / "differences_fresh.png").is_file()


@needs_data
@pytest.mark.training
def test_a_seed_gives_one_network(small: Path, tmp_path: Path) -> None:
    bench = Streets()
    networks = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        bench.train(
            bench.candidates[0].settings["plain"], seed=seed, steps=2, folder=tmp_path / name
        )
        state = torch.load(tmp_path / name / training.NETWORK, weights_only=False)["state_dict"]
        networks.append(state["decode_head.conv_seg.weight"])
    assert torch.equal(networks[0], networks[1])
    assert not torch.equal(networks[0], networks[2])


@needs_data
@pytest.mark.training
def test_a_training_that_diverges_says_so(small: Path, tmp_path: Path) -> None:
    """A loss above the largest number of single precision."""
    huge = {"type": "metriseg_mmseg.CrossEntropyLoss", "loss_weight": 3e38}
    with pytest.raises(FloatingPointError, match="the loss is inf at step 1"):
        Streets().train(lambda facts: huge, seed=0, steps=2, folder=tmp_path)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold images \(\.jpg, \.png\), got none"):
        training.image_suffix(tmp_path)


def naive_ious(found: np.ndarray, truth: np.ndarray) -> Mapping[str, float]:
    """In per cent; NaN for a class that is nowhere."""
    values = {}
    for number, name in enumerate(Streets().classes):
        either = ((found == number) | (truth == number)).sum()
        both = ((found == number) & (truth == number)).sum()
        values[name] = 100 * both / either if either else np.nan
    return values


def test_the_demo_without_its_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from metriseg_mmseg import demo

    monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    assert demo.main(["--data", "camvid"]) == 1
    assert "METRISEG_DATA must name the folder that it lies in" in capsys.readouterr().err
