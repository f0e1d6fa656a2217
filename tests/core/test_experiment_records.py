"""A record of an experiment goes on where it was broken off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metriseg.experiments.records import Record, read


def test_entries_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    record = Record(path, {"steps": 3, "sizes": (1, 2)})
    assert not path.exists()
    assert record.add({"loss": "dice", "seed": 0, "scores": {"IoU": 0.25}})["seed"] == 0
    record.add({"loss": "dice", "seed": 1, "scores": {"IoU": 0.5}})

    again = Record(path, {"steps": 3, "sizes": [1, 2]})
    assert again.find(loss="dice", seed=1) == {"loss": "dice", "seed": 1, "scores": {"IoU": 0.5}}
    assert again.find(loss="dice", seed=2) is None
    again.add({"loss": "dice", "seed": 2, "scores": {"IoU": 0.75}})
    assert [one["seed"] for one in read(path)["entries"]] == [0, 1, 2]
    assert read(path)["settings"] == {"steps": 3, "sizes": [1, 2]}
    assert [one.name for one in path.parent.iterdir()] == ["results.json"]


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Record(path, {"steps": 3}).add({"seed": 0})
    with pytest.raises(ValueError, match=r"results\.json .*steps 3 there, 4 now"):
        Record(path, {"steps": 4})
    assert len(read(path)["entries"]) == 1


@pytest.mark.parametrize("text", ["", "[1]", json.dumps({"entries": []})])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"results\.json"):
        Record(path, {})
