"""The experiment on photographs: its parts by hand, and a miniature of the whole."""

from __future__ import annotations

import csv
import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import io

from metriseg.data.bsds500 import BSDS500
from metriseg.experiments.photographs import command, comparison, main, methods, networks, regions
from metriseg.partitions import contingency_table

ROOT = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (ROOT and (Path(ROOT) / "bsds500").is_dir()),
    reason="needs the photographs in $METRISEG_DATA/bsds500",
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Ten photographs of 49 x 65 in two halves of other colours, each seen by two people."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for number in range(10):
        truth = np.ones((49, 65), np.uint16)
        truth[:, draw.integers(20, 45) :] = 2
        colours = draw.integers(0, 256, (3, 3))
        image = colours[truth] + draw.normal(0, 5, (49, 65, 3))
        people = np.empty((1, 2), object)
        for person in range(2):
            people[0, person] = {"Segmentation": np.roll(truth, person, 1)}
        for folder in ("images", "groundTruth"):
            (tmp_path / "bsds500" / folder).mkdir(parents=True, exist_ok=True)
        io.savemat(tmp_path / "bsds500" / "groundTruth" / f"{number}.mat", {"groundTruth": people})
        pixels = Image.fromarray(image.clip(0, 255).astype(np.uint8))
        pixels.save(tmp_path / "bsds500" / "images" / f"{number}.jpg")
    return tmp_path


def row_of_pieces() -> np.ndarray:
    """Three pieces side by side, of 4, 8 and 4 pixels in two rows."""
    return np.repeat([[0, 0, 1, 1, 1, 1, 2, 2]], 2, 0)


def test_half_resolution_and_back(small: Path) -> None:
    """A colour is the mean of 2 x 2 pixels; 24 x 32 labels fill 49 x 65 pixels again.

    Each label covers 2 x 2 pixels; the last row and column, which have no pair, repeat.
    """
    photograph = BSDS500(small)[0]
    one = networks.halved(photograph)
    assert one.image.shape == (3, 24, 32)
    assert one.people.shape == (2, 24, 32)
    mean = photograph.image()[2:4, 6:8].reshape(-1, 3).mean(0)
    np.testing.assert_allclose((one.image[:, 1, 3].numpy() + 1) * 127.5, mean, rtol=1e-5)
    labels = np.arange(24 * 32).reshape(24, 32)
    large = networks.enlarged(labels, (49, 65))
    assert large.shape == (49, 65)
    assert (large[2:4, 6:8] == labels[1, 3]).all()
    np.testing.assert_array_equal(large[-1], large[-2])
    np.testing.assert_array_equal(large[:, -1], large[:, -2])


def test_boundaries_lie_on_both_sides() -> None:
    labels = torch.tensor([[[0, 0, 1], [0, 0, 1], [0, 0, 0]]])
    expected = torch.tensor([[[0, 1, 1], [0, 1, 1], [0, 0, 1]]]).bool()
    assert torch.equal(networks.boundaries(labels), expected)


def test_crops(small: Path) -> None:
    """Colours, places and segments are cut, and mirrored, at the same pixels.

    The place along the rows is a channel of its own: a crop of 16 of 24 rows spans 15/23 of the
    way from -1 to 1.
    """
    photographs = [networks.halved(one) for one in BSDS500(small)[:3]]
    setting = networks.Training(images=5, crop=16)
    images, segments = networks.draw(photographs, setting, torch.Generator().manual_seed(0))
    assert images.shape == (5, 5, 16, 16)
    assert segments.shape == (5, 16, 16)
    rows = images[:, 3, :, 0]
    torch.testing.assert_close(rows[:, -1] - rows[:, 0], torch.full((5,), 2 * 15 / 23))
    for image, truth in zip(images, segments, strict=True):
        borders = (truth[0, 1:] != truth[0, :-1]).nonzero()
        steps = (image[:3, :, 1:] - image[:3, :, :-1]).abs().sum((0, 1))
        for border in borders.flatten():
            assert abs(int(steps.argmax()) - int(border)) <= 1


def test_kernel_edges() -> None:
    """Two values 2 apart: 1 - exp(-2² / 2) within the reach of their border, elsewhere 0."""
    embedding = np.zeros((1, 9, 20))
    embedding[..., 10:] = 2.0
    edges = regions.kernel_edges(embedding, 3)
    expected = np.zeros((9, 20))
    expected[:, 7:13] = 1 - np.exp(-2.0)
    np.testing.assert_allclose(edges, expected)


def test_merging_by_features() -> None:
    """Means 0, 1 and 5: the first two merge at a cost of 1, to (4 x 0 + 8 x 1) / 12 = 2/3.

    From there to 5 it is 13/3.
    """
    pieces = row_of_pieces()
    features = np.array([0.0, 1.0, 5.0])[pieces][None]
    found = regions.Merging(pieces, features=features).cuts([0.9, 1.1, 4.3, 4.4])
    assert [len(np.unique(one)) for one in found] == [3, 2, 2, 1]
    assert found[1][0] == found[1][1] != found[1][2]


def test_merging_by_borders() -> None:
    """A border's strength is the mean over the pixels on both of its sides.

    0.2 between the first two pieces, 0.4 between the others; with the power 1 both cost four times
    as much, the smaller one's pixels, and the second still four times when the first is gone.
    """
    pieces = row_of_pieces()
    edges = np.zeros(pieces.shape)
    edges[:, 1:3], edges[:, 5:7] = 0.2, 0.4
    counts = [len(np.unique(one)) for one in regions.Merging(pieces, edges=edges).cuts([0.3, 0.5])]
    assert counts == [2, 1]
    merging = regions.Merging(pieces, edges=edges, small=1.0)
    assert [len(np.unique(one)) for one in merging.cuts([0.79, 0.81, 1.59, 1.61])] == [3, 2, 2, 1]


def test_tables_of_merged_pieces() -> None:
    """Merging the pieces of a table gives the table of the merged label map."""
    draw = np.random.default_rng(0)
    pieces = np.unique(draw.integers(0, 12, (10, 14)), return_inverse=True)[1].reshape(10, 14)
    people = [draw.integers(1, 4, (10, 14)) for _ in range(2)]
    merged = draw.integers(0, 3, int(pieces.max()) + 1)
    for table, human in zip(regions.Counted(pieces, people).tables_of(merged), people, strict=True):
        expected = contingency_table(merged[pieces], human)
        for aim in comparison.AIMS.values():
            assert aim(table) == pytest.approx(aim(expected))


def test_miniature(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command on ten photographs: every method twice, every network trained, all written.

    One segment splits nothing and single pixels merge nothing; two humans who differ by a roll of
    one column are nearer than either.
    """
    monkeypatch.setattr(command, "SHOWN", (0, 2))
    monkeypatch.setattr(methods, "SMALL", (0.05,))
    monkeypatch.setattr(methods, "SHARE", (0.4,))
    output = tmp_path / "tables"
    steps = ["--steps", "4", "--boundary-steps", "4", "--alone"]
    main(["--data", str(small), "--output", str(output), *steps])
    assert capsys.readouterr().out == (output / "photographs.md").read_text()
    with (output / "photographs.csv").open() as file:
        rows = list(csv.DictReader(file))
    tuned = [row["method"] for row in rows if row["tuned_for"]]
    assert len(tuned) == 18
    assert len(set(tuned)) == 9
    assert sum(float(row["seconds"]) > 0 for row in rows) == 14
    by_name = {row["method"]: row for row in rows}
    assert float(by_name["one segment"]["split"]) == 0
    assert float(by_name["each pixel its own"]["merge"]) == 0
    nearest = min(rows, key=lambda row: float(row["variation_of_information"]))
    assert nearest["method"] in {"another human", "SLIC, merged by colour", "Felzenszwalb"}
    assert (output / "photographs.png").stat().st_size > 1000


@pytest.mark.parametrize("weighting", [None, "union"])
def test_training_teaches(small: Path, weighting: Any) -> None:
    """The partition distance of the same crops falls."""
    photographs = [networks.halved(one) for one in BSDS500(small)]
    recipe = networks.partition_recipe(dim=4, windows=(None,), weighting=weighting)
    setting = networks.Training(steps=30, images=2, crop=32, width=4, depth=2)
    crops, truth = networks.draw(photographs, setting, torch.Generator().manual_seed(9))

    def value(steps: int) -> float:
        network, _ = networks.train(photographs, recipe, setting._replace(steps=steps))
        torch.manual_seed(0)
        with torch.no_grad():
            return float(recipe.loss(network.train()(crops), truth))

    assert value(30) < value(2)


def test_missing_scikit_image_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"scikit-image.*metriseg\[demo\]"):
        regions.scikit_image("graph")


@needs_data
def test_split_of_the_photographs() -> None:
    """70 to train on, 30 to test, none in both."""
    chosen = comparison.split(BSDS500())
    assert (len(chosen.train), len(chosen.test)) == (70, 30)
    assert not {one.name for one in chosen.train} & {one.name for one in chosen.test}
    one = networks.halved(chosen.test[0])
    assert one.people.shape[1:] == one.image.shape[1:]
    assert sorted(one.image.shape[1:]) == [160, 240]
