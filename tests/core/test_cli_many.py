"""``metriseg compare`` of many pairs: what is paired, what they come to, and what fails."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from metriseg.partitions import MEASURES, contingency_table

pytest.importorskip("typer", reason="typer is not installed")
pytest.importorskip("rich", reason="rich is not installed")

from rich.console import Console
from typer.testing import CliRunner

from metriseg import __main__ as programme
from metriseg.cli import app, printing
from metriseg.cli.comparison import Row
from metriseg.cli.files import Pair
from metriseg.cli.many import Outcome, Summary, summaries, write_csv
from metriseg.cli.pairing import listed, paired

RANDOM = np.random.default_rng(5)
MAPS = [np.kron(RANDOM.integers(0, 4, (3, 5)), np.ones((4, 3), int)) for _ in range(4)]
VI = "variation_of_information"


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    """What it prints to stdout and to stderr."""
    result = CliRunner().invoke(app, ["compare", *arguments], prog_name="metriseg")
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.stdout, result.stderr


def moved(labels: NDArray[Any], by: int) -> NDArray[Any]:
    return np.roll(labels, by, axis=1)


def save(path: str, labels: NDArray[Any]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.save(path, labels)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs that are moved by 0, 1 and 2 pixels, one of them a folder below."""
    monkeypatch.chdir(tmp_path)
    for name, (labels, by) in {"1": (MAPS[0], 0), "2": (MAPS[1], 1), "in/3": (MAPS[2], 2)}.items():
        save(f"truth/{name}.npy", labels)
        save(f"found/{name}.npy", moved(labels, by))


def information(index: int) -> float:
    table = contingency_table(MAPS[index], moved(MAPS[index], index))
    return float(MEASURES[VI](table))


# ---------------------------------------------------------------------- what they come to


def test_a_line_a_score() -> None:
    """Mean, standard deviation of three, and the worst, as the values of each pair say."""
    values = [information(index) for index in range(3)]
    assert values[0] == 0 < min(values[1:])
    (line, normalized) = json.loads(run("truth", "found", "--metric", VI, "--json")[0])["summary"]
    mean = sum(values) / 3
    assert (line["metric"], line["family"], line["unit"], line["pairs"]) == (VI, "", "nats", 3)
    assert line["mean"] == pytest.approx(mean)
    spread = math.sqrt(sum((one - mean) ** 2 for one in values) / 3)
    assert line["deviation"] == pytest.approx(spread)
    assert line["worst"] == max(values)
    assert line["worst_pair"] == ("2", "in/3")[values[2] > values[1]]
    assert (normalized["metric"], normalized["unit"]) == (f"normalized_{VI}", "")


def row(value: float, normalized: float | None = None, best: float = 0.0) -> Row:
    return Row("m", "", value, normalized, "nats", True, best)


def outcome(name: str, *rows: Row) -> Outcome:
    return Outcome(Pair(name, "a", "b"), (2, 3), 4, rows)


def test_summaries_by_hand() -> None:
    """1, 3 and 8: mean 4, mean square of -3, -1, 4 is 26 / 3. Without value: in none of them."""
    found = [outcome(name, row(one)) for name, one in zip("abc", (1, 3, 8), strict=True)]
    found += [outcome("d", row(math.nan)), Outcome(Pair("e", "a", "b"), error="broken")]
    assert summaries(found) == [Summary("m", "", 3, 4.0, math.sqrt(26 / 3), 8.0, "c", "nats")]
    (alone,) = summaries([outcome("a", row(math.nan))])
    assert alone.pairs == 0
    assert math.isnan(alone.mean)
    assert alone.worst_pair == ""
    assert summaries([Outcome(Pair("e", "a", "b"), error="broken")]) == []


def test_the_worst_is_far_from_the_best() -> None:
    """Of an index whose best value is 1 the lowest; among equals the first."""
    found = [
        outcome(name, row(one, best=1.0)) for name, one in zip("abc", (1, -0.5, -0.5), strict=True)
    ]
    (line,) = summaries(found)
    assert (line.worst, line.worst_pair) == (-0.5, "b")


def test_every_pair_in_json() -> None:
    """As one by one."""
    written = json.loads(run("truth", "found", "--json")[0])
    assert [one["name"] for one in written["pairs"]] == ["1", "2", "in/3"]
    for one in written["pairs"]:
        alone = json.loads(run(one["a"]["path"], one["b"]["path"], "--json")[0])
        assert {key: one[key] for key in alone} == alone
    assert written["failed"] == []
    assert written["without_partner"] == {"a": [], "b": []}


def test_the_table() -> None:
    printed, errors = run("truth", "found", "--metric", "rand_index", "--metric", "split")
    assert errors == ""
    lines = [line.split() for line in printed.splitlines()]
    assert " ".join(lines[0]) == "3 pairs compared, 540 pixels"
    assert lines[1] == ["metric", "mean", "std", "worst", "of", "pair", "unit"]
    assert lines[3][0] == "rand_index"
    assert lines[3][-1] in ("2", "in/3")
    assert (lines[4][0], lines[4][-1]) == ("split", "nats")
    assert len(lines) == 5


def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "_terminal", lambda: Console(width=40))
    lines = run("truth", "found", "--metric", "split")[0].splitlines()
    assert lines[1] == "split"
    assert lines[2].startswith("  mean ")
    assert lines[3].startswith("  worst ")
    assert lines[3].endswith((", of 2", ", of in/3"))


def test_comma_separated_values() -> None:
    """A line a pair, as many decimals as there are."""
    run("truth", "found", "--csv", "scores.csv", "--family", "union")
    with open("scores.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["1", "2", "in/3"]
    for index, line in enumerate(lines):
        table = contingency_table(MAPS[index], moved(MAPS[index], index))
        assert float(line[VI]) == MEASURES[VI](table)
        assert int(line["pixels"]) == table.total
        assert (int(line["regions_a"]), int(line["regions_b"])) == table.shape
        assert float(line["normalized_van_dongen_distance"]) <= 1
        assert float(line["weighted_partition_distance:union"]) >= 0
        assert line["error"] == ""
    assert (lines[1]["a"], lines[1]["b"]) == ("truth/2.npy", "found/2.npy")


def test_one_pair_has_a_line_too() -> None:
    run("truth/2.npy", "found/2.npy", "--csv", "one.csv", "--metric", VI)
    lines = Path("one.csv").read_text().splitlines()
    assert lines[0] == f"name,a,b,pixels,regions_a,regions_b,{VI},normalized_{VI},error"
    assert float(lines[1].split(",")[6]) == information(1)
    assert len(lines) == 2


def test_names_with_commas(tmp_path: Path) -> None:
    write_csv("c.csv", [Outcome(Pair('a,"b"\n', "x", "y"), error="no, it can't")])
    with open("c.csv", newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["name"], line["error"]) == ('a,"b"\n', "no, it can't")


def test_options_hold_for_every_pair() -> None:
    options = ["--metric", VI, "--ignore-a", "0", "--ignore-b", "1", "--bits", "--json"]
    for one, index in zip(
        json.loads(run("truth", "found", *options)[0])["pairs"], range(3), strict=True
    ):
        table = contingency_table(MAPS[index], moved(MAPS[index], index), ignore={"x": 0, "y": 1})
        assert one["pixels"] == table.total
        assert one["metrics"][0]["value"] == pytest.approx(MEASURES[VI](table) / math.log(2))
        assert one["metrics"][0]["unit"] == "bits"


# ---------------------------------------------------------------------- what fails


def test_one_fails_and_others_go_on() -> None:
    """A line names it, in the JSON and the CSV too; means are of the others."""
    save("found/2.npy", MAPS[1][:, 1:])
    printed, errors = run("truth", "found", "--metric", VI, "--json", "--csv", "s.csv", code=1)
    assert errors == "metriseg: 2: B must have the shape of A, (12, 15), got (12, 14)\n"
    written = json.loads(printed)
    assert [one["name"] for one in written["pairs"]] == ["1", "in/3"]
    (failed,) = written["failed"]
    assert failed["name"] == "2"
    assert failed["error"].startswith("B must have the shape of A")
    assert written["summary"][0]["mean"] == pytest.approx(information(2) / 2)
    with open("s.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert (lines[1][VI], lines[1]["error"]) == ("", failed["error"])
    assert "2 of 3 pairs compared" in run("truth", "found", "--metric", VI, code=1)[0]


def test_all_fail() -> None:
    for name in ("1", "2", "in/3"):
        Path(f"found/{name}.npy").write_bytes(b"none")
    printed, errors = run("truth", "found", code=1)
    assert printed.strip() == "0 of 3 pairs compared, 0 pixels"
    assert errors.count("\n") == errors.count("can't be read") == 3


def test_missing_partners_are_named() -> None:
    save("truth/more.npy", MAPS[3])
    Path("found/in/3.npy").unlink()
    printed, errors = run("truth", "found", "--json", code=1)
    assert errors.splitlines() == [
        "metriseg: truth/in/3.npy has no partner in B",
        "metriseg: truth/more.npy has no partner in B",
    ]
    written = json.loads(printed)
    assert [one["name"] for one in written["pairs"]] == ["1", "2"]
    assert written["without_partner"] == {"a": ["truth/in/3.npy", "truth/more.npy"], "b": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["truth", "found/1.npy"], "must both be one label map or many, got many, truth, and"),
        (["found/1.npy", "found/*"], "must both be one label map or many, got many, found/*, and"),
        (["truth", "found", "--figure", "f.png"], "--figure is for one pair, and there are many"),
        (["truth", "found", "--mask", "m.npy"], "--mask is for one pair, and there are many; name"),
        (["truth", "found", "--weights", "w.npy"], "--weights is for one pair"),
        (["truth", "found", "--family", "color-kernel"], "needs an image: --weights"),
        (["truth", "found", "--metric", "split", "--metric", "none"], "'none' is unknown"),
        (["truth", "found", "--stack"], "--stack is for folders of TIFF slices, and there are"),
        (["truth/1.npy", "found/1.npy", "--stack"], "--stack is for folders of TIFF slices"),
        (["truth", "found", "--pairs", "p.csv"], "--pairs takes the place of A and B"),
        (["--pairs", "p.csv", "--stack"], "--pairs takes the place of A and B"),
        (["truth"], "Missing argument B, or --pairs"),
        (["truth", "found", "--jobs", "0"], "--jobs"),
        (["truth", "found", "found"], "unexpected extra argument"),
    ],
)
def test_misuse(arguments: list[str], words: str) -> None:
    Path("p.csv").write_text("a,b\nx,y\n")
    printed, errors = run(*arguments, code=2)
    assert printed == ""
    assert words in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["truth", "empty"], "B must hold label maps, got none in empty"),
        (["truth/*.png", "found"], "A must hold label maps, got none in truth/*.png"),
        (["truth", "other"], "of the same names, got 3 and 1, such as '1' and 'z'"),
        (["twice", "found"], "A must hold one label map of a name, got twice/1.np"),
        (["truth", "found", "--csv", "none/s.csv"], "--csv must be a file in a folder that exists"),
        (["--pairs", "none.csv"], "none.csv"),
        (["--pairs", "c.csv"], "c.csv must have the columns a and b, and may have name, weights"),
        (["--pairs", "e.csv"], "e.csv must list pairs, got none"),
        (["--pairs", "l.csv"], "must name a and b in every line, and line 3 doesn't"),
        (["--pairs", "m.csv"], "must name a and b in every line, and line 2 doesn't"),
    ],
)
def test_what_cant_be_paired(arguments: list[str], words: str) -> None:
    Path("empty").mkdir()
    Path("empty/notes.txt").write_text("")
    save("other/z.npy", MAPS[0])
    save("twice/1.npy", MAPS[0])
    np.savez("twice/1.npz", MAPS[0])
    Path("c.csv").write_text("a,c\nx,y\n")
    Path("e.csv").write_text("a,b\n")
    Path("l.csv").write_text("a,b\nx,y\nx\n")
    Path("m.csv").write_text("a,b\nx,y,z\n")
    printed, errors = run(*arguments, code=1)
    assert printed == ""
    assert words in errors
    assert errors.count("\n") == 1


# ---------------------------------------------------------------------- what is paired


def names(a: str, b: str, **options: bool) -> dict[str, tuple[str, str]]:
    found = paired(a, b, **options)
    assert found is not None
    return {one.name: (one.a, one.b) for one in found.pairs}


def test_folders_by_path_and_stem() -> None:
    """Of whatever kind; hidden files and others are left alone, Zarr arrays are one map."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    Path("found/1.npy").unlink()
    np.savez("found/1.npz", MAPS[0])
    Path("found/notes.txt").write_text("")
    save("found/.2.npy", MAPS[0])
    save("truth/z.npy", MAPS[3])
    zarr.create_array("found/z.zarr", data=MAPS[3], chunks=(2, 2))
    assert names("truth", "found") == {
        "1": ("truth/1.npy", "found/1.npz"),
        "2": ("truth/2.npy", "found/2.npy"),
        "in/3": ("truth/in/3.npy", "found/in/3.npy"),
        "z": ("truth/z.npy", "found/z.zarr"),
    }
    assert paired("truth/z.npy", "found/z.zarr") is None
    assert run("truth/", "found/")[0].startswith("4 pairs compared")


def test_patterns_by_what_wildcards_stand_for() -> None:
    for name in ("7", "8"):
        save(f"p/{name}_truth.npy", MAPS[0])
        save(f"p/{name}_found.npy", MAPS[0])
        save(f"q/{name}/labels.npy", MAPS[0])
    assert names("p/*_truth.*", "p/*_found.npy") == {
        name: (f"p/{name}_truth.npy", f"p/{name}_found.npy") for name in ("7", "8")
    }
    assert list(names("p/?_truth.*", "q/*/labels.npy")) == ["7", "8"]
    assert list(names("p/[7]_truth.npy", "q/*/labels.npy")) == ["7"]
    assert list(names("p/[!7]_truth.npy", "q/[78]/labels.npy")) == ["8"]
    assert names("truth/**/*.npy", "found") == names("truth", "found")
    assert list(names("truth/*", "found/*")) == ["1", "2"]
    assert run("truth/**/*.npy", "found/**/*.npy")[0].startswith("3 pairs compared")


def test_a_file_whose_name_is_a_pattern() -> None:
    """Is that file."""
    save("x[1].npy", MAPS[0])
    assert paired("x[1].npy", "truth/1.npy") is None


def test_patterns_of_files_that_hold_several() -> None:
    for index in (1, 2):
        np.savez(f"t{index}.npz", image=MAPS[0] / 7, labels=MAPS[index])
        np.savez(f"f{index}.npz", cells=MAPS[index])
    assert names("t*.npz:labels", "f*.npz:cells") == {
        name: (f"t{name}.npz:labels", f"f{name}.npz:cells") for name in ("1", "2")
    }
    written = json.loads(run("t*.npz:labels", "f*.npz", "--metric", VI, "--json")[0])
    assert written["summary"][0]["worst"] == 0


def slices(folder: str, labels: NDArray[Any]) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    Path(folder).mkdir(parents=True)
    for index, one in enumerate(labels):
        tifffile.imwrite(f"{folder}/{index}.tif", one.astype(np.uint8), photometric="minisblack")


def test_folders_of_slices() -> None:
    """Pairs of their own unless said otherwise; beside one map they can only be a volume."""
    volume = np.stack(MAPS)
    slices("sa", volume)
    slices("sb", moved(volume, 1))
    save("volume.npy", moved(volume, 1))
    assert run("sa", "sb")[0].startswith("4 pairs compared, 720 pixels")
    table = contingency_table(volume, moved(volume, 1))
    for arguments in (["sa", "sb", "--stack"], ["sa", "volume.npy"]):
        found = json.loads(run(*arguments, "--metric", VI, "--json")[0])
        assert found["metrics"][0]["value"] == MEASURES[VI](table)
    slices("va/first", volume)
    slices("vb/first", moved(volume, 1))
    assert list(names("va", "vb")) == ["first/0", "first/1", "first/2", "first/3"]
    assert list(names("va", "vb", stack=True)) == ["first"]
    assert run("va", "vb", "--stack")[0].startswith("1 pair compared, 720 pixels")


def test_a_list_of_pairs() -> None:
    """Relative to its folder; names are those of the files unless given."""
    Path("lists").mkdir()
    save("lists/mask.npy", MAPS[1] > 0)
    Path("lists/p.csv").write_text(
        "\ufeffb, name,a,mask\n../found/2.npy,second,../truth/2.npy,mask.npy\n"
        "../found/1.npy,,../truth/1.npy,\n"
    )
    found = listed("lists/p.csv").pairs
    assert found[0] == Pair(
        "second", "lists/../truth/2.npy", "lists/../found/2.npy", None, "lists/mask.npy"
    )
    assert (found[1].name, found[1].mask) == ("../truth/1.npy ../found/1.npy", None)
    written = json.loads(run("--pairs", "lists/p.csv", "--metric", VI, "--json")[0])
    table = contingency_table(MAPS[1], moved(MAPS[1], 1), mask=MAPS[1] > 0)
    assert written["pairs"][0]["metrics"][0]["value"] == MEASURES[VI](table)
    assert written["pairs"][1]["metrics"][0]["value"] == 0


def test_images_of_a_list() -> None:
    save("gray.npy", np.arange(180).reshape(12, 15) / 180)
    Path("p.csv").write_text("a,b,weights\ntruth/2.npy,found/2.npy,gray.npy\n")
    options = ["--metric", "split", "--family", "intensity-kernel", "--json"]
    many = json.loads(run("--pairs", "p.csv", *options)[0])["pairs"][0]["metrics"]
    one = json.loads(run("truth/2.npy", "found/2.npy", "--weights", "gray.npy", *options)[0])
    assert many == one["metrics"]


def test_axes_of_length_1() -> None:
    """Are left out with a word, where nothing else differs."""
    save("deep.npy", MAPS[0][None, :, None])
    printed, errors = run("deep.npy", "truth/1.npy", "--metric", VI, "--json")
    assert json.loads(printed)["metrics"][0]["value"] == 0
    assert errors == (
        "metriseg: A of shape (1, 12, 1, 15) is taken as (12, 15), without its axes of length 1\n"
    )
    assert run("deep.npy", "deep.npy", "--metric", VI)[1] == ""
    save("deep/1.npy", MAPS[0][None])
    save("deep/2.npy", MAPS[1][None])
    save("deep/in/3.npy", MAPS[2])
    errors = run("deep", "truth", "--metric", VI)[1]
    assert errors == (
        "metriseg: 1: A of shape (1, 12, 15) is taken as (12, 15), without its axes of length 1"
        " (and so in 2 pairs)\n"
    )
    save("column.npy", MAPS[0].reshape(-1, 1))
    errors = run("column.npy", "truth/1.npy", code=1)[1]
    assert "B must have the shape of A, (180, 1), got (12, 15)" in errors


def test_volumes_of_five_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time and channel of OME-Zarr are left out; the mask is read by parts, too."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    monkeypatch.setattr("metriseg.partitions.counting.chunked.READ", 40)
    volume, counted = np.stack(MAPS), RANDOM.random((4, 12, 15)) < 0.6
    with h5py.File("truth.h5", "w") as file:
        file.create_dataset("labels", data=volume, chunks=(2, 5, 7))
    zarr.create_array("v.zarr", data=moved(volume, 1)[None, None], chunks=(1, 1, 3, 4, 5))
    zarr.create_array("m.zarr", data=counted[None], chunks=(1, 1, 12, 15))
    options = ["--metric", VI, "--mask", "m.zarr", "--json"]
    printed, errors = run("truth.h5", "v.zarr", *options)
    found = json.loads(printed)
    assert errors.startswith("metriseg: B of shape (1, 1, 4, 12, 15) is taken as (4, 12, 15), ")
    table = contingency_table(volume, moved(volume, 1), mask=counted)
    assert (found["pixels"], found["metrics"][0]["value"]) == (table.total, MEASURES[VI](table))
    parts = json.loads(run("truth.h5", "v.zarr", "--components", *options)[0])
    assert parts["pixels"] == table.total
    errors = run("truth.h5", "v.zarr", "--mask", "truth/1.npy", code=1)[1]
    assert "--mask must have the shape of A, (4, 12, 15), got (12, 15)" in errors


# ---------------------------------------------------------------------- the programme


def test_processes() -> None:
    """Give what one gives, in the same order; failures and the misuse of options, too."""
    for index in range(20):
        save(f"truth/more/{index}.npy", MAPS[index % 4])
        save(f"found/more/{index}.npy", moved(MAPS[index % 4], index % 3))
    save("found/more/7.npy", MAPS[0][1:])
    command = [sys.executable, "-m", "metriseg", "compare", "truth", "found"]
    done = [
        subprocess.run([*command, "--json", *jobs], capture_output=True, text=True, timeout=300)
        for jobs in ([], ["--jobs", "2"])
    ]
    assert [one.returncode for one in done] == [1, 1]
    assert done[0].stdout == done[1].stdout
    assert done[0].stderr == done[1].stderr
    assert done[1].stderr.startswith("metriseg: more/7: B must have the shape of A")
    misused = [*command, "--family", "color-kernel", "--jobs", "2"]
    done_wrong = subprocess.run(misused, capture_output=True, text=True, timeout=300)
    assert done_wrong.returncode == 2
    assert done_wrong.stderr.startswith("metriseg: --family color-kernel needs an image")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error alone, and gone at the end; what fails is printed above it."""
    save("found/2.npy", MAPS[1][:, 1:])
    console = Console

    def terminal(**options: Any) -> Console:
        return console(**options, force_terminal=True, width=80)

    plain = run("truth", "found", "--metric", VI, code=1)
    assert "comparing" not in plain[1]
    monkeypatch.setattr(
        printing, "Console", lambda **o: terminal(**o) if "stderr" in o else console(**o)
    )
    printed, errors = run("truth", "found", "--metric", VI, code=1)
    assert printed == plain[0]
    assert "comparing" in errors
    assert "metriseg: 2: B must have the shape of A" in errors


def test_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script that is installed says how it was called."""
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"metriseg": f"{programme.__name__}:{programme.main.__name__}"}
    for called, said in (("/usr/bin/metriseg", "metriseg"), ("__main__.py", "python -m metriseg")):
        monkeypatch.setattr(sys, "argv", [called, "--help"])
        with pytest.raises(SystemExit) as left:
            programme.main()
        assert left.value.code == 0
        assert f"Usage: {said} " in capsys.readouterr().out


def test_a_file_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between pairing and reading."""
    shutil.rmtree("found/in")
    Path("found/in").mkdir()
    Path("found/in/3.npy").symlink_to("nowhere.npy")
    errors = run("truth", "found", code=1)[1]
    assert errors == "metriseg: in/3: B must be a file that exists, got found/in/3.npy\n"


# ---------------------------------------------------------------------- the page of volumes


def test_the_page_of_volumes(capsys: pytest.CaptureFixture[str]) -> None:
    """Its script, its commands and its list of the worst, of what the script wrote."""
    pytest.importorskip("h5py", reason="h5py is not installed")
    pytest.importorskip("zarr", reason="zarr is not installed")
    page = (Path(__file__).parents[2] / "docs" / "volumes.md").read_text()
    script, worst = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(script, {})
    sessions = re.findall(r"```console\n\$ metriseg compare (.*?)\n(.*?)```", page, re.DOTALL)
    assert len(sessions) == 2
    for command, expected in sessions:
        printed, errors = run(*command.split())
        assert [line.rstrip() for line in printed.splitlines()] == expected.splitlines()
        assert errors == ""
    capsys.readouterr()
    exec(worst, {})
    (expected,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert capsys.readouterr().out == expected
