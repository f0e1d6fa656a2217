"""Touching objects: the ways to label maps by hand, and the experiment in miniature."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from metriseg.data.shapes import ShapesDataset
from metriseg.experiments.objects import finished, three_classes
from metriseg.experiments.touching import comparison, main, methods
from metriseg.experiments.touching.picture import BACKGROUND, COLORS, embedding_colors, painted
from metriseg.losses import PartitionLoss
from metriseg.models import UNet
from metriseg.partitions import contingency_table, partition_distance

#: Two rectangles of 12 x 10 that share a side, and one by itself.
TRUTH = np.zeros((32, 48), np.int64)
TRUTH[4:16, 4:14] = 1
TRUTH[4:16, 14:24] = 2
TRUTH[20:30, 30:44] = 3


def certain(classes: np.ndarray, channels: int) -> torch.Tensor:
    """``(K, H, W)``: logits that leave no doubt about the classes."""
    logits = torch.nn.functional.one_hot(torch.from_numpy(classes), channels)
    return 20.0 * logits.movedim(-1, 0).float()


def perfect(method: methods.Method) -> torch.Tensor:
    """The output that the method's loss asks for."""
    if method.channels == 3:
        classes = three_classes(torch.from_numpy(TRUTH)[None])[0]
        return certain(classes.numpy(), 3)
    foreground = certain((TRUTH > 0).astype(np.int64), 2)
    if method.channels == 2:
        return foreground
    return torch.cat([foreground, certain(TRUTH, method.channels - 2)])


def test_three_classes() -> None:
    """Of 4 x 5 pixels within 6 x 7 the inner 2 x 3 are the inside; an image's border is no edge."""
    truth = torch.zeros(1, 6, 7, dtype=torch.int64)
    truth[0, 1:5, 1:6] = 1
    found = three_classes(truth)
    assert found[0, 2:4, 2:5].eq(1).all()
    assert [int((found == k).sum()) for k in range(3)] == [42 - 20, 6, 14]
    assert three_classes(torch.ones(1, 3, 3, dtype=torch.int64)).eq(1).all()


@pytest.mark.parametrize("method", methods.methods(), ids=lambda one: one.name)
def test_a_perfect_output_gives_the_truth(method: methods.Method) -> None:
    """But for what classes alone can't say: components of the foreground join what touches.

    Two objects of 120 pixels in 1,536 that become one: 2 * 120 * 120 ordered pairs of 1,536² are
    joined. The distance transform of the two rectangles has one ridge of height 6 all along, so
    that its watershed joins them as well; so does that of the probability, which is 1 everywhere.
    """
    joined = 2 * 120 * 120 / TRUTH.size**2
    for name, ways in method.ways.items():
        for way in ways:
            found = way(perfect(method))
            table = contingency_table(TRUTH, found)
            expected = joined if method.name == "cross-entropy" else 0.0
            value = partition_distance(table, normalized=True)
            assert value == pytest.approx(expected), (name, way.keywords)
            assert np.array_equal(found > 0, TRUTH > 0)


def test_tiny_pieces_join_what_they_touch() -> None:
    """Three pixels within an object are its own; three by themselves are background."""
    found = TRUTH.copy()
    found[8, 8:11] = 7
    found[0, 40:43] = 8
    joined = finished(found, True, 10)
    assert partition_distance(contingency_table(TRUTH, joined)) == 0
    kept = finished(found, True, 1)
    assert partition_distance(contingency_table(found, kept)) == 0


@pytest.mark.parametrize("height", [0.5, 2.0])
def test_two_discs_are_parted_by_the_distance(height: float) -> None:
    """Discs of radius 8, 14 apart: the neck is half as wide as they are."""
    rows, columns = np.mgrid[:24, :40]
    discs = [(rows - 12) ** 2 + (columns - c) ** 2 <= 64 for c in (12, 26)]
    output = certain((discs[0] | discs[1]).astype(np.int64), 2)
    found = methods._flooded_distance(output, height=height)
    assert len(np.unique(found)) == 3
    assert found[12, 8] != found[12, 30]


def test_errors_by_hand() -> None:
    """Joining two of three objects: one too few, and nothing wrong with the background."""
    assert comparison.errors(TRUTH, TRUTH) == (0, 0, 0, 0, 0)
    found = np.where(TRUTH == 2, 1, TRUTH)
    distance, _, error, of_objects, number = comparison.errors(found, TRUTH)
    assert distance == pytest.approx(2 * 120 * 120 / TRUTH.size**2)
    assert number == 1
    assert of_objects > error > 0


def test_what_touches_is_counted() -> None:
    """The rectangles share a side of 12 pixels."""
    assert comparison.contact(TRUTH) == 12


def test_colors_follow_the_truth() -> None:
    """A joined object takes one true colour; one that matches nothing comes from the other end."""
    found = np.where(TRUTH == 2, 1, TRUTH)
    found[0, 40:44] = 9
    panel = painted(found, TRUTH)
    assert np.allclose(panel[5, 5], COLORS[0])
    assert np.allclose(panel[5, 20], COLORS[0])
    assert np.allclose(panel[25, 35], COLORS[2])
    assert np.allclose(panel[0, 40], COLORS[-1])
    assert np.allclose(panel[0, 0], BACKGROUND)


@pytest.mark.parametrize("dimension", [1, 2, 6])
def test_embedding_colors(dimension: int) -> None:
    embedding = np.random.default_rng(0).normal(size=(dimension, *TRUTH.shape))
    panel = embedding_colors(embedding, TRUTH > 0)
    assert panel.shape == (*TRUTH.shape, 3)
    assert (panel >= 0).all()
    assert (panel <= 1).all()
    assert np.allclose(panel[0, 0], BACKGROUND)


def test_all_settings_train() -> None:
    """Every variation's loss has a finite gradient."""
    scenes = comparison.draw_scenes(2, 0)
    for method in comparison.variations():
        network = UNet(3, method.channels, width=2, coordinates=True)
        method.objective(network(scenes.images), scenes.instances).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two steps of a narrow network: the files are there, and hold a row a way and seed."""
    sizes = ["--seeds", "2", "--steps", "2", "--width", "2", "--validation", "1", "--test", "1"]
    main(["--output", str(tmp_path), *sizes])
    printed = capsys.readouterr().out
    with (tmp_path / "touching.csv").open() as file:
        rows = list(csv.DictReader(file))
    ways = [(one.name, way) for one in methods.methods() for way in one.ways]
    assert {(row["method"], row["way"], row["seed"]) for row in rows} == {
        (*names, seed) for names in ways for seed in "01"
    }
    assert printed.count("±") == len(ways) * len(comparison.COLUMNS)
    assert (tmp_path / "touching.md").read_text() == printed
    assert (tmp_path / "touching.png").stat().st_size > 1000


def test_the_same_seed_trains_the_same() -> None:
    scenes, (method, *_) = comparison.draw_scenes(16, 0), methods.methods()
    first, second = (comparison.train(method, scenes, seed=3, width=2) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_volumes() -> None:
    """The kernel's loss of a small 3-D network falls to less than a third in forty steps."""
    torch.manual_seed(0)
    volumes, instances = two_boxes(4, side=12)
    network = UNet(1, 2 + 4, width=4, depth=1, dimensions=3, coordinates=True)
    partition = PartitionLoss("KernelSegments", include_background=False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    values = []
    for _ in range(40):
        outputs = network(volumes)
        loss = partition(
            outputs[:, :2],
            (instances > 0).long(),
            features=outputs[:, 2:],
            maps={"instances": instances},
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert np.mean(values[-5:]) < np.mean(values[:5]) / 3


def two_boxes(count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``(N, 1, S, S, S)`` and ``(N, S, S, S)``: two touching boxes each, side by side."""
    draw = np.random.default_rng(0)
    instances = np.zeros((count, side, side, side), np.int64)
    for volume in instances:
        cut, low = draw.integers(5, side - 4), draw.integers(1, 4)
        volume[low : side - 2, 2 : side - low, 1:cut] = 1
        volume[low : side - 2, 2 : side - low, cut : side - 1] = 2
    images = (instances > 0) + draw.normal(0, 0.05, instances.shape)
    return torch.from_numpy(images).float()[:, None], torch.from_numpy(instances)


def test_the_data_need_it() -> None:
    """Objects of one colour touch in most images: components of the true classes join some."""
    data = ShapesDataset(20, size=comparison.SIZE, seed=comparison.TEST_SEED)
    assert sum(comparison.contact(one.instances.numpy()) > 0 for one in data) > 10
