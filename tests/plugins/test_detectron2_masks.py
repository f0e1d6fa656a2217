"""Mask losses compared on nuclei: a common start, scores, other images."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="Detectron2 is installed by its own installation page")

import torch

from metriseg.experiments.records import read
from metriseg.experiments.which_loss import Bench, main
from metriseg_detectron2.config import build_losses
from metriseg_detectron2.convention import Seen
from metriseg_detectron2.loss_modules import LossModules
from metriseg_detectron2.masks import CANDIDATES, Masks

#: Small images, few boxes.
TINY = (
    *("INPUT.CROP.SIZE", [64, 64], "INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MIN_SIZE_TEST", 96),
    *("TEST.DETECTIONS_PER_IMAGE", 10, "MODEL.RPN.POST_NMS_TOPK_TEST", 20),
)
SETTINGS = [
    pytest.param(one.settings[name], id=f"{one.key}-{name}")
    for one in CANDIDATES
    for name in one.settings
]


@pytest.mark.parametrize("losses", SETTINGS)
def test_every_setting_is_a_mask_loss(losses):
    """Of 3 regions of 8x8 pixels: a number, and a gradient."""
    torch.manual_seed(0)
    found = LossModules(build_losses(losses), Seen.of_regions("loss_mask", 1))
    logits = torch.randn(3, 1, 8, 8, requires_grad=True)
    truth = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    truth[:, :, 2:6, 1:7] = True
    values = found(logits, truth, maps={"category": torch.zeros(3, dtype=torch.long)})
    if not losses:
        assert not values
        return
    sum(values.values()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0


def test_keys_and_settings_are_told_apart():
    keys = [one.key for one in CANDIDATES]
    assert len(set(keys)) == len(keys) >= 9
    assert CANDIDATES[0].settings[next(iter(CANDIDATES[0].settings))] == []
    assert set(Masks.short.losses) <= set(keys)


@pytest.mark.training
def test_losses_are_compared_and_the_comparison_goes_on(few_nuclei, capsys):
    """Two iterations with two losses; then nothing is trained again, and new images are scored."""
    bench: Bench = Masks(start=2, overrides=TINY)
    given = [
        "--output",
        str(few_nuclei / "out"),
        "--steps",
        "2",
        "--loss",
        "stock",
        "--loss",
        "dice_ce",
    ]
    main(bench, "Masks.", given)
    printed = capsys.readouterr().out
    results = read(few_nuclei / "out" / "results.json")
    stock, dice = results["entries"]
    assert [stock["loss"], dice["loss"]] == ["stock", "dice_ce"]
    for one in (stock, dice):
        assert list(one["values"]) == list(bench.columns)
        assert 0 < one["values"]["mask IoU"] < 1
        assert len(one["images"]) == 2
        assert all(0 <= iou <= 1 for iou in one["images"])
    assert "| stock | weight 1 |" in printed
    assert (few_nuclei / "out" / "differences.png").stat().st_size > 1000

    trained = {path: path.stat().st_mtime_ns for path in (few_nuclei / "out").glob("**/*.pth")}
    assert len(trained) == 3
    main(bench, "Masks.", [*given, "--evaluate", str(few_nuclei / "fresh")])
    assert {
        path: path.stat().st_mtime_ns for path in (few_nuclei / "out").glob("**/*.pth")
    } == trained
    fresh = read(few_nuclei / "out" / "evaluated_fresh.json")
    assert [len(one["images"]) for one in fresh["entries"]] == [1, 1]
    assert fresh["entries"][0]["values"] != stock["values"]


@pytest.mark.training
def test_the_same_seed_gives_the_same_network(few_nuclei):
    bench = Masks(start=2, overrides=TINY)
    networks = []
    for run in ("first", "second"):
        folder = few_nuclei / run / "networks" / "dice" / "weight-1" / "seed0"
        folder.mkdir(parents=True)
        bench.train([{"NAME": "DiceLoss"}], seed=0, steps=2, folder=folder)
        networks.append(torch.load(folder / "network.pth", weights_only=True))
        if run == "first":
            # from a start that is there already, too
            again = folder.parents[1] / "again" / "seed0"
            again.mkdir(parents=True)
            bench.train([{"NAME": "DiceLoss"}], seed=0, steps=2, folder=again)
            networks.append(torch.load(again / "network.pth", weights_only=True))
    first, *others = networks
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.training
def test_nuclei_are_shown_in_the_colours_of_their_numbers(few_nuclei):
    bench = Masks(start=1, overrides=TINY)
    folder = few_nuclei / "out" / "networks" / "stock" / "weight-1" / "seed0"
    folder.mkdir(parents=True)
    bench.train([], seed=0, steps=1, folder=folder)
    (shown,) = bench.show(folder, None, [1])
    assert shown.image.dtype == np.uint8
    assert shown.image.shape[:2] == shown.truth.shape == shown.prediction.shape
    assert 0 < shown.truth.max() < len(bench.palette)
    assert shown.prediction.max() < len(bench.palette)


def test_a_folder_without_images_is_refused(few_nuclei, capsys):
    bench = Masks(start=1, overrides=TINY)
    given = ["--output", str(few_nuclei / "out"), "--steps", "1", "--loss", "stock"]
    with pytest.raises(SystemExit):
        main(bench, "Masks.", [*given, "--evaluate", str(few_nuclei / "nowhere")])
    assert "no images (.png)" in capsys.readouterr().err


@pytest.mark.training
def test_the_common_start_is_made_once_and_before(few_nuclei):
    """In the folder in which the trainings look for it."""
    bench = Masks(start=1, overrides=TINY)
    folder = few_nuclei / "networks"
    for _ in range(2):
        bench.prepare(seed=3, folder=folder)
        (start,) = folder.iterdir()
        made = start.stat().st_mtime_ns
    place = folder / "stock" / "weight-1" / "seed3"
    place.mkdir(parents=True)
    bench.train([], seed=3, steps=1, folder=place)
    assert start.stat().st_mtime_ns == made
    assert [path.name for path in folder.glob("*.pth")] == ["start1_seed3.pth"]
