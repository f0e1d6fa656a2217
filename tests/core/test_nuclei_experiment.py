"""Nuclei: the scores and the ways to label maps by hand, and the experiment in miniature."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metriseg.components import connected_components
from metriseg.data.shapes import ShapesDataset
from metriseg.experiments.nuclei import comparison, images, main, methods
from metriseg.experiments.nuclei.drawn import draw_samples
from metriseg.experiments.nuclei.images import Sample
from metriseg.experiments.objects import three_classes
from metriseg.extraction import KNNSegments
from metriseg.partitions import contingency_table, partition_distance

#: Two rectangles of 12 x 10 that share a side, and one by itself of 10 x 14.
TRUTH = np.zeros((32, 48), np.int64)
TRUTH[4:16, 4:14] = 1
TRUTH[4:16, 14:24] = 2
TRUTH[20:30, 30:44] = 3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images each to train on and to choose by, of 50 x 60."""
    drawn = ShapesDataset(3, size=(50, 60), seed=0)
    for part in ("train", "val"):
        for number in range(3):
            one = drawn[number]
            for kind, values, dtype in (
                ("images", 200 * one.image.mean(0).numpy(), np.uint8),
                ("instances", one.instances.numpy(), np.uint16),
            ):
                place = tmp_path / "nuclei" / part / kind
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(dtype)).save(place / f"{number}.png")
    monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    return tmp_path


def test_scores_by_hand() -> None:
    """Of three objects one is found as it is, one lost, one at IoU 72 / 120 = 0.6; one invented.

    At 0.5 and 0.55 there are two matches among 3 + 3 objects, above that one: F1 is 4 / 6 twice and
    2 / 6 eight times.
    """
    found = np.where(TRUTH == 3, 9, 0)
    found[4:16, 4:10] = 5
    found[0:2, 40:46] = 7
    values = comparison.scores(TRUTH, found)
    assert values["F1 at 0.5"] == pytest.approx(4 / 6)
    assert values["mean F1"] == pytest.approx((2 * 4 / 6 + 8 * 2 / 6) / 10)
    assert values["AP at 0.5"] == pytest.approx(2 / 4)
    assert values["error in the number"] == 0
    table = contingency_table(TRUTH, found)
    assert values["partition distance"] == partition_distance(table, normalized=True)


def test_scores_of_nothing() -> None:
    nothing = np.zeros_like(TRUTH)
    assert comparison.scores(nothing, nothing)["mean F1"] == 1
    assert comparison.scores(nothing, TRUTH)["mean F1"] == 0
    assert comparison.scores(TRUTH, nothing)["AP at 0.5"] == 0


def certain(classes: np.ndarray, channels: int) -> torch.Tensor:
    """``(K, H, W)``: logits that leave no doubt about the classes."""
    logits = torch.nn.functional.one_hot(torch.from_numpy(classes), channels)
    return 20.0 * logits.movedim(-1, 0).float()


def perfect(method: methods.Method) -> torch.Tensor:
    """The output that the method's loss asks for."""
    if method.channels == 1:
        return TRUTH_AS_VALUES
    if method.channels == 3:
        return certain(three_classes(torch.from_numpy(TRUTH)[None])[0].numpy(), 3)
    foreground = certain((TRUTH > 0).astype(np.int64), 2)
    if method.channels == 2:
        return foreground
    places = np.stack(np.meshgrid(*map(np.arange, TRUTH.shape), indexing="ij"))
    offsets = np.zeros((2, *TRUTH.shape), np.float32)
    for number in (1, 2, 3):
        here = number == TRUTH
        offsets[:, here] = (places[:, here].mean(1, keepdims=True) - places[:, here]) / 8
    return torch.cat([foreground, torch.from_numpy(offsets)])


#: One channel: values of the objects, apart by more than its centroids blur.
TRUTH_AS_VALUES = torch.from_numpy(np.array([-9.0, -3.0, 3.0, 9.0])[TRUTH][None]).float()


@pytest.mark.parametrize("method", methods.methods(), ids=lambda one: one.key)
def test_a_perfect_output_gives_the_truth(method: methods.Method) -> None:
    """But for components and distances of the foreground, which join what touches."""
    for name, way in method.ways.items():
        settings = {name: values[0] for name, values in way.values.items()}
        found = way.label(perfect(method), **settings)
        expected = np.where(TRUTH == 2, 1, TRUTH) if name == "components" else TRUTH
        distance = partition_distance(contingency_table(expected, found))
        if name != "watershed of the distance":
            assert distance == 0, (name, settings)
        assert np.array_equal(found > 0, TRUTH > 0)


@pytest.mark.parametrize("method", methods.methods(), ids=lambda one: one.key)
def test_objectives_teach(method: methods.Method) -> None:
    """The gradient is finite and somewhere not 0, also for a crop without objects."""
    outputs = torch.randn(2, method.channels, 32, 48, generator=torch.Generator().manual_seed(0))
    outputs.requires_grad_()
    objects = torch.from_numpy(np.stack([TRUTH, np.zeros_like(TRUTH)]))
    value = method.objective(outputs, objects)
    value.backward()
    assert outputs.grad.isfinite().all()
    assert outputs.grad[0].abs().max() > 0


def test_tuning_takes_the_best() -> None:
    """A way that is right for one pair of settings alone, and better the nearer they come."""
    sample = Sample("one", np.zeros(TRUTH.shape, np.float32), TRUTH)

    def label(output: torch.Tensor, *, first: int, second: int) -> np.ndarray:
        found = TRUTH.copy()
        found[:, : 4 + abs(first - 1) + 2 * abs(second - 7)] = 0
        return found

    way = methods.Way(label, first=(5, 3, 1), second=(4, 7, 9, 8))
    assert comparison.tune(way, [torch.zeros(1)], [sample]) == {"first": 1, "second": 7}


def test_crops_keep_image_and_objects_together(folder: Path) -> None:
    """Wherever an object of the crop is, the crop's image is that of the object, times a gain."""
    samples = images.read_folder(folder / "nuclei" / "train")
    marked = [one._replace(image=one.objects.astype(np.float32)) for one in samples]
    crops, objects = images.draw_crops(marked, 20, 32, np.random.default_rng(0))
    gains = crops.flatten(1).amax(1) / objects.flatten(1).amax(1).clamp(min=1)
    torch.testing.assert_close(crops[:, 0], objects.float() * gains.view(-1, 1, 1))
    low, high = images.GAINS
    shown = gains[gains > 0]
    assert shown.min() >= low
    assert shown.max() <= high
    assert shown.std() > 0.05


def test_drawn_objects_touch_and_are_whole() -> None:
    """Each object is in one piece; where two meet, both sides are objects."""
    samples = draw_samples(6, 0)
    for one, other in zip(samples, draw_samples(6, 0), strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.objects, other.objects)
        pieces = connected_components(one.objects, connectivity=2)
        for number in range(1, one.objects.max() + 1):
            assert len(np.unique(pieces[one.objects == number])) == 1
    right = [one.objects[:, 1:] for one in samples]
    left = [one.objects[:, :-1] for one in samples]
    meeting = [((a != b) & (a > 0) & (b > 0)).sum() for a, b in zip(left, right, strict=True)]
    assert np.mean(meeting) > 5


def test_miniature(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Networks are trained once and kept; every image has a line; another folder is scored too."""
    output = folder / "out"
    given = ["--steps", "2", "--seeds", "1", "--width", "2", "--images", "2", "--side", "32"]
    given += ["--method", "ce", "--method", "union", "--output", str(output)]
    main(given)
    first = capsys.readouterr().out
    assert first.count("\n") == 5
    assert (output / "nuclei.md").read_text() == first
    with (output / "nuclei.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3 * 2
    assert (output / "nuclei.png").stat().st_size > 1000

    def no_training(*arguments: Any) -> None:
        raise AssertionError("the networks lie there")

    monkeypatch.setattr(comparison, "train", no_training)
    main([*given, "--evaluate", str(folder / "nuclei" / "val")])
    again = capsys.readouterr().out
    assert again.startswith(first)
    assert again.endswith(first)


@pytest.mark.parametrize("missing", ["images/1.png", "instances/1.png"])
def test_bad_folders(folder: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder / "nuclei" / "val"
    if missing.startswith("images"):
        for file in (place / "images").iterdir():
            file.unlink()
        message = "folder must hold images"
    else:
        (place / missing).unlink()
        message = "folder must hold instances/1.png beside images/1.png"
    with pytest.raises(SystemExit):
        main(["--steps", "2"])
    assert message in capsys.readouterr().err


def test_another_shape_is_refused(folder: Path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(folder / "nuclei/val/images/1.png")
    with pytest.raises(ValueError, match=r"images/1.png must have the shape .* \(50, 60\)"):
        images.read_folder(folder / "nuclei" / "val")


def test_data_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for root, message in (("", "METRISEG_DATA must name the folder"), (str(tmp_path), "with nucl")):
        monkeypatch.setenv("METRISEG_DATA", root)
        with pytest.raises(SystemExit):
            main([])
        assert message in capsys.readouterr().err


def test_published_segments_are_there() -> None:
    keys = [one.key for one in methods.methods()]
    assert len(set(keys)) == len(keys)
    assert {*methods.OURS, *methods.COMPARED} <= {*keys}
    ways = {one.key: one.ways for one in methods.methods()}
    assert isinstance(ways["knn"]["centroids"].values["extractor"][0], KNNSegments)
