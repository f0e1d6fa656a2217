"""Tables that are renamed, saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metriseg.partitions import ContingencyTable, contingency_table


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(9, size=(5, 8)), generator.integers(6, size=(5, 8))


# Renamed


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("options", ["counts", "weights", "measures"])
def test_as_if_the_maps_were_relabelled(seed: int, options: str) -> None:
    """By arrays and by mappings, that join regions and exchange names."""
    x, y = maps(seed)
    generator = np.random.default_rng(seed)
    given: dict[str, Any] = {
        "counts": {},
        "weights": {"weight": generator.integers(1, 9, x.shape).astype(float)},
        "measures": {
            "weight": generator.integers(1, 9, (3, *x.shape)).astype(float),
            "features": generator.integers(1, 9, (2, *x.shape)).astype(float),
        },
    }[options]
    table = contingency_table(x, y, **given)
    before = contingency_table(x, y, **given)
    lookup = generator.integers(0, 2**40, 12)
    lookup[generator.integers(12, size=4)] = 3
    expected = contingency_table(lookup[x], y, **given)
    assert table.relabel(lookup) == expected
    assert table.relabel(x=dict(enumerate(lookup.tolist()))) == expected
    swapped = np.array([0, 2, 1, 3, 4, 4])
    both = contingency_table(lookup[x], swapped[y], **given)
    assert table.relabel(lookup, {1: 2, 2: 1, 5: 4, 77: 0}) == both
    assert table.relabel() == table == before
    assert table.relabel({}, {}) == table


def test_one_region() -> None:
    x, y = maps(0)
    table = contingency_table(x, y).relabel(np.zeros(9, int), np.full(6, 2**63 - 1, np.uint64))
    assert (table.shape, table.total) == ((1, 1), 40)
    assert table.y_labels.tolist() == [2**63 - 1]


def test_an_empty_table_is_renamed_to_nothing() -> None:
    assert ContingencyTable().relabel({1: 2}, [5]).is_empty
    with pytest.raises(ValueError, match="y must hold integer labels"):
        ContingencyTable().relabel(y={1: 0.5})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([0, 1], r"x must be a mapping, or an array \(labels,\) .* up to 2, got shape \(2,\)"),
        ([[0, 1, 2]], r"x must be a mapping, or an array"),
        ([0.5, 1.0, 2.0], "x must hold integer labels, got dtype float64"),
        ([0, 1, -2], "x must hold labels that are not negative"),
        ({0: -1}, "x must hold labels that are not negative"),
        ({0: 2**64}, "x must hold integer labels, got dtype object"),
        ({0.5: 1}, "x must hold integer labels"),
        ({"a": 1}, "x must hold integer labels"),
        ("abc", "x must hold integer labels"),
        ({0: [1, 2]}, "x must map labels to labels"),
    ],
)
def test_names_that_are_refused(names: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        contingency_table([0, 1, 2], [0, 0, 0]).relabel(names)


# Saved and loaded

WHOLE = contingency_table(*maps(1))
TABLES = {
    "counts": WHOLE,
    "weights": contingency_table(*maps(1), weight=np.random.default_rng(0).random((5, 8))),
    "measures": contingency_table(
        *maps(1), weight=np.ones((2, 5, 8)), features=np.random.default_rng(0).random((3, 5, 8))
    ),
    "empty": ContingencyTable(),
    "ignored": contingency_table([1, 1], [2, 3], ignore=1),
}


@pytest.mark.parametrize("name", list(TABLES))
def test_a_table_comes_back(tmp_path: Path, name: str) -> None:
    """Equal, and as able to grow: the first part may be of any kind where nothing was counted."""
    path = tmp_path / "table.npz"
    TABLES[name].save(path)
    again = ContingencyTable.load(path)
    assert again == TABLES[name]
    assert list(tmp_path.iterdir()) == [path]
    if name == "empty":
        assert again.update([0], [0], weight=[0.5]).total == 0.5
    elif name != "ignored":
        assert again + again == TABLES[name] + TABLES[name]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.npz"
    WHOLE.save(path)
    before = path.read_bytes()

    def full(file: Any, **kept: Any) -> None:
        file.write(b"some of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        TABLES["weights"].save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def refused_or_the_same(path: Path) -> bool:
    """True where it was refused; what is read must be the table."""
    try:
        found = ContingencyTable.load(path)
    except ValueError:
        with pytest.raises(ValueError, match="path must be a"):
            ContingencyTable.load(path)
        return True
    assert found == WHOLE
    return False


def test_files_cut_short_and_flipped_bytes(tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    WHOLE.save(path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 23), *range(len(whole) - 30, len(whole))]:
        path.write_bytes(whole[:length])
        assert refused_or_the_same(path), length
    refused = 0
    places = range(0, len(whole), 7)
    for place in places:
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]
        )
        refused += refused_or_the_same(path)
    assert refused > len(places) / 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": None}, "it has no x"),
        ({"values": None}, "it has no values"),
        ({"table_version": None}, "a table of version 1, got .* of none"),
        ({"table_version": 2}, "a table of version 1, got .* of 2"),
        ({"table_version": np.ones(2)}, "a table of version 1"),
        ({"x": np.zeros(3)}, "its x are of dtype float64"),
        ({"values": np.ones(3, np.float32)}, "its values are of dtype float32"),
        ({"values": np.ones(2)}, "its entries have shapes"),
        ({"features": np.ones(3)}, "its entries have shapes"),
        ({"features": np.full((3, 1), np.inf)}, "its features are not finite"),
        ({"x": np.array([0, -1, 2])}, "it holds negative labels"),
        ({"x": np.array([0, 2, 1])}, "its entries are not in order"),
        ({"x": np.array([0, 0, 1]), "y": np.array([4, 4, 4])}, "its entries are not in order"),
        ({"values": np.array([1.0, np.nan, 1.0])}, "its values hold what is no measure"),
        ({"values": np.array([1, -1, 1])}, "its values hold what is no measure"),
        ({"values": np.array([1, 0, 1])}, "it holds entries of no measure"),
        ({"values": np.full(3, 2**61)}, "counts that add up to less"),
        ({"x": np.array([None] * 3)}, "allow_pickle"),
    ],
)
def test_arrays_that_are_no_table(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "table.npz"
    contingency_table([0, 1, 2], [4, 4, 4]).save(path)
    kept = {**np.load(path), **change}
    np.savez(path, **{name: values for name, values in kept.items() if values is not None})
    with pytest.raises(ValueError, match=rf"path must be .*{words}"):
        ContingencyTable.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ContingencyTable.load(tmp_path / "none.npz")
