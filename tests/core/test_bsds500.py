"""BSDS500: the loader, and the experiment on a few photographs."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import io

from metriseg.data.bsds500 import BSDS500, read_segmentations
from metriseg.experiments import bsds500 as experiment
from metriseg.partitions import MEASURES

ROOT = os.environ.get("METRISEG_DATA")
needs_data = pytest.mark.skipif(
    not (ROOT and (Path(ROOT) / "bsds500").is_dir()),
    reason="needs the photographs in $METRISEG_DATA/bsds500",
)


def write_segmentations(path: Path, maps: list[np.ndarray]) -> None:
    """As the data set's own files: cells of structs, each of one element."""
    people = np.empty((1, len(maps)), object)
    for number, labels in enumerate(maps):
        people[0, number] = {"Segmentation": labels, "Boundaries": labels > 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, {"groundTruth": people})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Six photographs of 12 x 16, each seen by three people who differ in a few pixels."""
    draw = np.random.default_rng(0)
    for number in range(6):
        rows, columns = np.sort(draw.integers(2, 10, 2)), np.sort(draw.integers(2, 14, 2))
        row, column = (
            np.searchsorted(cuts, np.arange(side)) for cuts, side in ((rows, 12), (columns, 16))
        )
        truth = (1 + 3 * row[:, None] + column).astype(np.uint16)
        maps = []
        for _ in range(3):
            seen = truth.copy()
            seen.flat[draw.integers(0, seen.size, 3)] = 1
            maps.append(seen)
        write_segmentations(
            tmp_path / "bsds500" / "groundTruth" / "val" / f"{number}.mat",
            [seen.T for seen in maps] if number == 5 else maps,
        )
    return tmp_path


def test_loader(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    photographs = BSDS500(small)
    assert [one.name for one in photographs] == ["0", "1", "2", "3", "4", "5"]
    assert [one.name for one in photographs[1:3]] == ["1", "2"]
    maps = photographs[0].segmentations()
    assert [(one.shape, one.dtype) for one in maps] == [((12, 16), np.int64)] * 3
    assert min(int(one.min()) for one in maps) == 1
    file = small / "bsds500" / "images" / "val" / "0.jpg"
    assert photographs[0].image_file == file
    file.parent.mkdir(parents=True)
    Image.new("RGB", (16, 12), (255, 255, 255)).save(file)
    image = photographs[0].image()
    assert (image.shape, image.dtype) == ((12, 16, 3), np.uint8)
    assert (image == 255).all()
    monkeypatch.setenv("METRISEG_DATA", str(small))
    assert len(BSDS500()) == 6


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no segmentations.*METRISEG_DATA"):
        BSDS500(tmp_path)
    monkeypatch.delenv("METRISEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="environment variable METRISEG_DATA"):
        BSDS500()
    io.savemat(tmp_path / "other.mat", {"other": np.zeros(3)})
    with pytest.raises(ValueError, match="groundTruth"):
        read_segmentations(tmp_path / "other.mat")
    (tmp_path / "text.mat").write_text("no such file")
    with pytest.raises(ValueError, match="path must be a MATLAB file"):
        read_segmentations(tmp_path / "text.mat")


def test_experiment(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "tables"
    experiment.main(["--data", str(small), "--output", str(output)])
    printed = capsys.readouterr().out
    assert (output / "bsds500.md").read_text() == printed
    assert "15 of 12 x 16, 3 of 16 x 12" in printed
    with (output / "bsds500_pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))
    plain = [name for name, one in MEASURES.items() if one.is_plain]
    assert [row["measure"] for row in pairs] == plain
    assert all(row["closer"] == "True" for row in pairs)
    with (output / "bsds500_search.csv").open() as file:
        searches = list(csv.DictReader(file))
    assert [row["metric"] for row in searches] == [
        name for name in plain if MEASURES[name].is_metric
    ]
    assert all(row["brute_force"] == "14" for row in searches)
    assert all(float(row["as_brute_force"]) == 1 for row in searches)


def test_pairs_count_in_both_orders(small: Path) -> None:
    """The split of (x, y) is the merge of (y, x), so their means agree, half of the VI's."""
    groups = experiment.by_size(BSDS500(small))
    measures = experiment.plain_measures()
    matrices = [experiment.all_pairs(group, measures) for group in groups]
    rows = {row.measure: row for row in experiment.pair_rows(groups, matrices, measures)}
    for kind in ("same", "different"):
        whole = getattr(rows["variation_of_information"], kind)
        assert getattr(rows["split"], kind) == pytest.approx(whole / 2)
        assert getattr(rows["merge"], kind) == pytest.approx(whole / 2)


@needs_data
def test_photographs() -> None:
    """100 photographs, 4 to 9 people each, labels from 1, of the photograph's size."""
    photographs = BSDS500()
    assert len(photographs) == 100
    for photograph in photographs[::25]:
        maps = photograph.segmentations()
        assert 4 <= len(maps) <= 9
        assert all(one.shape == photograph.image().shape[:2] for one in maps)
        assert all(one.min() == 1 for one in maps)


@needs_data
def test_acceptance_on_some_photographs() -> None:
    """Same photographs are nearer by every distance; the index agrees and saves distances."""
    groups, pairs, searches = experiment.run(BSDS500()[:10])
    assert sorted(group.name for group in groups) == ["321 x 481", "481 x 321"]
    assert all(pair.closer for pair in pairs)
    for row in searches:
        assert row.as_brute_force == 1
        assert row.evaluations < row.brute_force / 3
        assert row.same_photograph >= 0.95
