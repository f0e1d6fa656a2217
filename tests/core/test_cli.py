"""``python -m metriseg``: what it prints is what the library computes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import metriseg
import metriseg.partitions
from metriseg.components import connected_components
from metriseg.partitions import MEASURES, contingency_table, partition_distance, partition_scores

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
pytest.importorskip("typer", reason="typer is not installed")
pytest.importorskip("rich", reason="rich is not installed")

from rich.console import Console  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from metriseg import __main__ as programme  # noqa: E402
from metriseg.cli import app, printing  # noqa: E402
from metriseg.cli.commands import EXPERIMENTS, experiment_module  # noqa: E402
from metriseg.cli.comparison import (  # noqa: E402
    Comparison,
    brightness,
    families,
    within_unit,
)
from metriseg.cli.printing import _number, print_table  # noqa: E402

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
RANDOM = np.random.default_rng(11)
X = np.kron(RANDOM.integers(0, 5, (6, 8)), np.ones((4, 4), int)).astype(np.uint8)
Y = np.roll(X, 1, axis=1) + (X > 3).astype(np.uint8)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """X and Y in files of the working folder."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(X).save("x.png")
    np.save("y.npy", Y)
    return "x.png", "y.npy"


def run(*arguments: str, code: int = 0) -> str:
    """What it prints: to stdout, or to stderr where it fails."""
    result = CliRunner().invoke(app, [*arguments], prog_name="python -m metriseg")
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.stdout if code == 0 else result.stderr


def of_json(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("compare", *arguments, "--json"))
    return found


def test_every_measure_that_needs_no_image(files: tuple[str, str]) -> None:
    table = contingency_table(X, Y)
    found = of_json(*files)
    assert found["a"] == {"path": "x.png", "regions": len(np.unique(X))}
    assert found["b"] == {"path": "y.npy", "regions": len(np.unique(Y))}
    assert found["pixels"] == X.size
    expected = [measure for measure in MEASURES.values() if measure.is_plain]
    assert [row["metric"] for row in found["metrics"]] == [measure.name for measure in expected]
    for row, measure in zip(found["metrics"], expected, strict=True):
        normalized = measure.normalized and measure.normalized(table)
        assert (row["value"], row["normalized"]) == (measure(table), normalized)
        assert (row["unit"], row["is_metric"]) == (measure.unit, measure.is_metric)
        assert (row["best"], row["family"]) == (measure.best, "")


def test_the_table(files: tuple[str, str]) -> None:
    """A line a metric, in the order asked for; names of files are printed as they are."""
    Path(files[0]).rename("[red]x.png")
    printed = run("compare", "[red]x.png", files[1], "--metric", "rand_index", "--metric", "split")
    lines = [line.split() for line in printed.splitlines()]
    assert lines[0] == ["A", "[red]x.png:", "5", "regions"]
    assert lines[1][:2] == ["B", "y.npy:"]
    assert lines[2] == ["768", "pixels", "compared"]
    assert lines[3] == ["metric", "value", "normalized", "unit", "metric?", "best"]
    table = contingency_table(X, Y)
    assert lines[5] == ["rand_index", f"{MEASURES['rand_index'](table):.6g}", "no", "1"]
    assert lines[6] == ["split", f"{MEASURES['split'](table):.6g}", "nats", "no", "0"]
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (1652524856.0, "1,652,524,856"),
        (0.4708421, "0.470842"),
        (123456.78, "123,456.8"),
        (-0.25, "-0.25"),
        (float("inf"), "inf"),
        (1e-9, "1e-09"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert _number(value) == text


def test_ignored_labels(files: tuple[str, str]) -> None:
    found = of_json(*files, "--ignore", "0", "--ignore", "2")
    table = contingency_table(X, Y, ignore=[0, 2])
    assert found["pixels"] == table.total < X.size
    assert found["metrics"][0]["value"] == partition_distance(table)


def test_components(files: tuple[str, str]) -> None:
    """Those of label 0 are left out in either map, those of others are told apart."""
    found = of_json(*files, "--components", "--ignore", "0")
    x, y = connected_components(X), connected_components(Y)
    kept = (X > 0) & (Y > 0)
    table = contingency_table(x[kept], y[kept])
    assert (found["a"]["regions"], found["b"]["regions"]) == table.shape
    assert table.shape[0] > len(np.unique(X))
    assert found["metrics"][0]["value"] == partition_distance(table)
    assert found["pixels"] == kept.sum()


def test_objects_by_name(files: tuple[str, str]) -> None:
    """Of labels, and of components but those of label 0; not among what is printed unasked."""
    names = [name for name, one in MEASURES.items() if one.needs == "objects"]
    ask = [word for name in names for word in ("--metric", name)]
    found = of_json(*files, *ask)["metrics"]
    table = contingency_table(X, Y)
    assert {row["metric"]: row["value"] for row in found} == {
        name: MEASURES[name](table) for name in names
    }
    found = of_json(*files, *ask, "--components")["metrics"]
    assert {row["metric"]: row["value"] for row in found} == partition_scores(X, Y, metrics=names)
    assert not set(names) & {row["metric"] for row in of_json(*files)["metrics"]}


@pytest.mark.parametrize("options", [[], ["--components", "--ignore", "1"]])
def test_figure(files: tuple[str, str], options: list[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    printed = run("compare", *files, "--figure", "new/f.png", *options)
    assert printed.splitlines()[-1] == "new/f.png"
    assert Image.open("new/f.png").width > 1000
    of_json(*files, "--figure", "g.png")
    assert Path("g.png").exists()


def test_other_files(files: tuple[str, str]) -> None:
    """A segmentation of a BSDS file against a Zarr array, which are the same."""
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    from scipy.io import savemat

    truths = np.empty((1, 2), object)
    truths[0, 0], truths[0, 1] = {"Segmentation": X}, {"Segmentation": Y}
    savemat("t.mat", {"groundTruth": truths})
    zarr.create_array("y.zarr", data=Y, chunks=(8, 8))
    found = of_json("t.mat:1", "y.zarr")
    assert all(row["value"] == row["best"] for row in found["metrics"])


# ---------------------------------------------------------------------- weights


PHOTO = RANDOM.integers(0, 256, (*X.shape, 3)).astype(np.uint8)
LUMA = PHOTO / 255 @ [0.299, 0.587, 0.114]


def weighted(name: str) -> tuple[float, float | None]:
    """The distance of a family under PHOTO, and its normalized form."""
    from metriseg import partitions
    from metriseg.partitions import weighted_partition_distance as distance

    if name == "union":
        table, weight = contingency_table(X, Y), partitions.UnionWeight()
        return distance(table, weight), distance(table, weight, normalized=True)
    kind, _, form = name.partition("-")
    seen = PHOTO if kind == "color" else LUMA
    if form == "features":
        planes = getattr(partitions, f"{kind}_features")(seen)
        table = contingency_table(X, Y, features=planes)
        scale = X.size / (100 if kind == "color" else 1)
        return distance(table, partitions.FeatureWeight(scale)), None
    table = contingency_table(X, Y, weight=getattr(partitions, f"{kind}_bins")(seen))
    value = distance(table, partitions.KernelWeight())
    assert value == pytest.approx(partition_distance(table), rel=1e-12)
    return value, distance(table, partitions.KernelWeight(), normalized=True)


def test_weights_of_an_image(files: tuple[str, str]) -> None:
    """All families, each a metric, after the measures that weigh nothing."""
    Image.fromarray(PHOTO).save("photo.png")
    found = of_json(*files, "--weights", "photo.png")
    rows = [row for row in found["metrics"] if row["family"]]
    assert [row["family"] for row in rows] == list(families())
    assert rows == found["metrics"][-len(rows) :]
    for row in rows:
        value, normalized = weighted(row["family"])
        assert row["metric"] == "weighted_partition_distance"
        assert row["value"] == pytest.approx(value, rel=1e-6)
        assert row["normalized"] == (normalized and pytest.approx(normalized, rel=1e-6))
        assert row["is_metric"] is True
        assert row["best"] == 0 < row["value"]
    assert "weighted: color-kernel" in run("compare", *files, "--weights", "photo.png")


def test_weights_of_a_gray_image(files: tuple[str, str]) -> None:
    np.save("gray.npy", PHOTO[..., 0])
    found = of_json(*files, "--weights", "gray.npy", "--metric", "split")
    assert [row["family"] for row in found["metrics"]] == [
        "",
        *(name for name in families() if not name.startswith("color")),
    ]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), [0, 0.2, 1]),
        (np.array([0, 65535], np.uint16), [0, 1]),
        (np.array([False, True]), [0, 1]),
        (np.array([0.25, 0.5]), [0.25, 0.5]),
        (np.array([-1000, 0, 3000], np.int16), [0, 0.25, 1]),
        (np.array([2.0, 4.0, 3.0]), [0, 1, 0.5]),
        (np.array([7, 7]), [0, 0]),
    ],
)
def test_images_of_any_type(image: NDArray[Any], expected: list[float]) -> None:
    np.testing.assert_allclose(within_unit(image), expected)
    np.testing.assert_allclose(brightness(image, 1), expected)


def test_brightness_of_colors() -> None:
    """White is 1; pure red, green and blue add up to it."""
    primaries = np.eye(3) * 255
    colors = np.vstack([primaries, primaries.sum(0)]).astype(np.uint8)
    np.testing.assert_allclose(brightness(colors, 1), [0.299, 0.587, 0.114, 1])


def test_metrics_of_region_features(files: tuple[str, str]) -> None:
    """Colours describe the regions of a photograph, brightness those of a grey image."""
    np.save("photo.npy", PHOTO)
    np.save("gray.npy", LUMA)
    for measure in MEASURES.values():
        if measure.needs != "features":
            continue
        ask = ["--metric", measure.name, "--family", "union"]
        assert "need an image: --weights" in run("compare", *files, *ask, code=2)
        for image in ("photo", "gray"):
            row = of_json(*files, *ask, "--weights", f"{image}.npy")["metrics"][0]
            features = (
                metriseg.partitions.color_features(PHOTO)
                if image == "photo"
                else metriseg.partitions.intensity_features(LUMA)
            )
            expected = measure(contingency_table(X, Y, features=features))
            assert row["value"] == pytest.approx(expected, rel=1e-6)


def test_one_family(files: tuple[str, str]) -> None:
    """1 / |x united with y| needs no image."""
    (row,) = of_json(*files, "--metric", "split", "--family", "union")["metrics"][1:]
    assert row["value"] == weighted("union")[0]
    line = run("compare", *files, "--family", "color-kernel", code=2)
    assert line == "metriseg: --family color-kernel needs an image: --weights image.png\n"
    line = run("compare", *files, "--family", "colour-kernel", code=2)
    assert "'colour-kernel' is unknown: nearest are color-kernel" in line


def test_equal_maps_are_at_zero_under_every_family(files: tuple[str, str]) -> None:
    Image.fromarray(PHOTO).save("photo.png")
    found = of_json(files[0], files[0], "--weights", "photo.png")
    assert all(row["value"] == row["best"] for row in found["metrics"])


def test_the_page_has_every_family() -> None:
    table = PAGE.partition("## Weighted by an image")[2]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(families())


# ---------------------------------------------------------------------- what is refused


def test_an_unknown_metric(files: tuple[str, str]) -> None:
    """The nearest names come first, then all."""
    line = run("compare", *files, "--metric", "mirkin", code=2)
    assert line.startswith("metriseg: --metric 'mirkin' is unknown: nearest are mirkin_distance")
    assert line.strip().endswith(", ".join(MEASURES))
    assert "nearest" not in run("compare", *files, "--metric", "0000", code=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.png", "y.npy"], "A must be a file that exists, got none.png"),
        (["x.png", "in/none.png"], "B must be a file that exists, got in/none.png"),
        (["x.png", "y.xyz"], "B must end in .png, "),
        (["", "y.npy"], "A must end in .png, "),
        (["x.png", "flat.npy"], "B must have the shape of A, (24, 32), got (768,)"),
        (["x.png", "in/float.npy"], "must all be whole, within int64, got 0.5 at (0, 3)"),
        (["in/broken.npy", "x.png"], "A in/broken.npy can't be read: "),
        (
            ["x.png", "archive.npy"],
            "B archive.npy can't be read: it is an archive of arrays (.npz)",
        ),
        (["in/signed.npy", "y.npy"], "A in/signed.npy must hold labels that are not negative"),
        (["x.png", "in/signed.npy"], "B in/signed.npy must hold labels that are not negative"),
        (["x.png", "y.npy", f"--ignore={2**64}"], "--ignore must hold labels within int64"),
        (
            ["x.png", "y.npy", "--components", f"--ignore={2**64}"],
            "--ignore must hold labels within",
        ),
        (["x.png", "x.png", *[f"--ignore={label}" for label in range(6)]], "table is empty"),
        (["x.png", "y.npy", "--weights", "flat.npy"], "--weights must be an image of shape"),
        (["x.png", "y.npy", "--weights", "none.jpg"], "--weights must be a file that exists"),
        (["x.png", "y.npy", "--weights", "nan.npy"], "--weights nan.npy must be finite"),
        (["x.png", "y.npy", "--figure", "f.xyz"], "--figure must end in .avif, .eps, "),
        (["x.png", "y.npy", "--figure", "f"], "--figure must end in .avif, .eps, "),
        (["x.png", "y.npy", "--figure", ""], "--figure must end in .avif, .eps, "),
        (["x.png", "y.npy", "--figure", "."], "--figure must end in .avif, .eps, "),
        (["x.png", "y.npy", "--figure", "in/x.png/f.png"], "--figure must lie in a folder, got"),
        (
            ["x.png", "y.npy", "--figure", "in/folder.png"],
            "--figure must be a file, got the folder",
        ),
    ],
)
def test_refusals_are_one_line(files: tuple[str, str], arguments: list[str], words: str) -> None:
    Path("y.xyz").write_bytes(b"")
    np.save("flat.npy", Y.reshape(-1))
    Path("in/folder.png").mkdir(parents=True)
    Path("in/x.png").write_bytes(Path("x.png").read_bytes())
    Path("in/broken.npy").write_bytes(b"")
    fractions = Y.astype(np.float64)
    fractions[0, 3], fractions[2, 1] = 0.5, 0.25
    np.save("in/float.npy", fractions)
    np.save("in/signed.npy", Y.astype(np.int64) - 1)
    np.savez("archive.npz", Y)
    Path("archive.npz").rename("archive.npy")
    np.save("nan.npy", np.full(X.shape, np.nan))
    if "--weights" in arguments:
        arguments = [*arguments, "--metric", "split"]
    before = sorted(Path().rglob("*"))
    line = run("compare", *arguments, code=1)
    assert sorted(Path().rglob("*")) == before
    assert line.startswith("metriseg: ")
    assert line.count("\n") == 1
    assert words in line


def test_two_files_of_one_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored backwards along an axis, with an affine that says so, it is the same volume.

    Moved by a voxel it isn't: the message names both files.
    """
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    monkeypatch.chdir(tmp_path)
    labels = np.kron(RANDOM.integers(0, 5, (3, 4, 2)), np.ones((3, 2, 4), int)).astype(np.int16)
    back = np.diag([-1.0, 1, 1, 1])
    back[0, 3] = len(labels) - 1
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels[::-1], back), "b.nii.gz")
    found = of_json("a.nii.gz", "b.nii.gz")
    assert all(row["value"] == row["best"] for row in found["metrics"])
    back[0, 3] += 1
    nibabel.save(nibabel.Nifti1Image(labels[::-1], back), "b.nii.gz")
    line = run("compare", "a.nii.gz", "b.nii.gz", code=1)
    assert "A a.nii.gz and B b.nii.gz must be of the same voxels in space" in line
    assert "place a corner 1 apart, where a voxel is 1 wide" in line
    np.save("b.npy", labels)
    nibabel.save(nibabel.Nifti1Image(labels.astype(float), np.diag([2.0, 1, 1, 1])), "w.nii")
    line = run("compare", "a.nii.gz", "b.npy", "--weights", "w.nii", code=1)
    assert "A a.nii.gz and --weights w.nii must be of the same voxels" in line


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64, np.int8])
def test_components_in_any_type(tmp_path: Path, monkeypatch: Any, dtype: type) -> None:
    """The pixel of 0 parts the two others of the truth, which is what the prediction says."""
    monkeypatch.chdir(tmp_path)
    top = np.iinfo(dtype).max
    np.save("a.npy", np.array([[top, 0, top]], dtype))
    np.save("b.npy", np.array([[1, 1, 2]], dtype))
    found = of_json("a.npy", "b.npy", "--components", "--ignore", "0")
    assert found["pixels"] == 2
    assert all(row["value"] == row["best"] for row in found["metrics"])
    # neighbours among numbers that floating point doesn't tell apart
    if dtype is np.uint64:
        np.save("a.npy", np.array([[top, top - 1, 0]], dtype))
        found = of_json("a.npy", "b.npy", "--components", "--ignore", str(top))
        assert found["pixels"] == 2


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_what_fails_on_the_way(
    files: tuple[str, str], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A solver that finds no optimum, and a table that finds no room."""

    def fails(*_: Any, **__: Any) -> None:
        raise error("no cheapest flow was found between 3 and 4 regions: infeasible")

    monkeypatch.setattr(Comparison, "row", fails)
    line = run("compare", *files, code=1)
    assert line.startswith("metriseg: ")
    assert line.endswith("no cheapest flow was found between 3 and 4 regions: infeasible\n")
    assert line.count("\n") == 1


@pytest.mark.parametrize("width", [30, 40, 60])
def test_a_narrow_terminal(
    files: tuple[str, str], width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name is cut, and no number; no line is longer than the longest name."""
    table = contingency_table(X, Y)
    comparison = Comparison(X, Y, None, [])
    rows = [comparison.row(one) for one in MEASURES.values() if one.is_plain]
    rows.append(comparison.weighted_row("texture-features", families()["union"]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", str(width))
        patched.setattr(printing, "_terminal", lambda: Console(width=width, force_terminal=True))
        print_table(*files, table, rows)
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    for measure in MEASURES.values():
        if measure.is_plain:
            assert measure.name in lines
    assert "weighted: texture-features" in lines
    assert f"  {_number(partition_distance(table))} pixels²" in lines
    assert max(map(len, lines)) <= max(width, 26, *map(len, MEASURES))


def test_missing_arguments() -> None:
    assert "Missing argument" in run("compare", code=2)
    assert "--banana" in run("compare", "a", "b", "--banana", code=2)


# ---------------------------------------------------------------------- the programme


def test_help_and_version() -> None:
    assert "compare" in run("--help")
    assert run("--version") == f"metriseg {metriseg.__version__}\n"
    text = run("compare", "--help")
    options = re.findall(r"^\| `(--[a-z]+)", PAGE, re.MULTILINE)
    assert len(options) == 14
    assert all(option in text for option in options)


def test_python_m_metriseg(files: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "metriseg", "compare", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("compare", *files)


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What sys.exit is given as text goes to stderr, and the code is 1."""
    for name in [name for name in sys.modules if name.startswith("metriseg.cli")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as left:
        programme.main()
    assert left.value.code == (
        "python -m metriseg needs typer and rich: pip install 'metriseg[cli]'"
    )


def test_the_page_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the arrays that its example makes."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], names)
    Image.fromarray(names["truth"]).save("truth.png")
    Image.fromarray(names["prediction"]).save("prediction.png")
    (session,) = re.findall(r"```console\n\$ python -m metriseg (.*?)```", PAGE, re.DOTALL)
    command, _, expected = session.partition("\n")
    printed = run(*command.split())
    assert [line.rstrip() for line in printed.splitlines()] == expected.splitlines()


def test_reproduce_lists_experiments() -> None:
    result = CliRunner().invoke(app, ["reproduce"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(EXPERIMENTS)
    for name, one in EXPERIMENTS.items():
        if not one.extra:
            assert callable(experiment_module(name).main)


def test_reproduce_passes_options_on() -> None:
    """The experiment's own help, not that of the command."""
    result = CliRunner().invoke(app, ["reproduce", "bsds500", "--help"])
    assert result.exit_code == 0
    assert "--output" in result.stdout


def test_reproduce_takes_dashes_for_underscores(tmp_path: Path) -> None:
    given = ["--losses", "DiceLoss", "--steps", "1", "--output", str(tmp_path)]
    result = CliRunner().invoke(app, ["reproduce", "sensitivity", *given])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["reproduce", "power-jaccard", "--help"])
    assert "metriseg.experiments.power_jaccard" in result.stdout


def test_an_unknown_experiment() -> None:
    result = CliRunner().invoke(app, ["reproduce", "bsds50"])
    assert result.exit_code == 2
    assert "did you mean bsds500?" in result.stderr


def test_labels_of_one_map_and_a_mask(files: tuple[str, str], tmp_path: Path) -> None:
    """As the library counts; with components they are walls, of a mask in both maps."""
    counted = RANDOM.random(X.shape) < 0.8
    np.save("mask.npy", counted)
    Image.fromarray(counted.astype(np.uint8) * 255).save("mask.png")
    rand = "adjusted_rand_index"
    for mask in ("mask.npy", "mask.png"):
        table = contingency_table(X, Y, mask=counted, ignore={"x": [1, 2], "y": [1, 3]})
        found = of_json(
            *files, "--mask", mask, "--ignore=1", "--ignore-a=2", "--ignore-b=3", "--metric", rand
        )
        assert found["pixels"] == table.total
        assert found["metrics"][0]["value"] == MEASURES[rand](table)
    found = of_json(*files, "--mask", "mask.npy", "--ignore-a=2", "--components", "--metric", rand)
    parts = [
        connected_components(X, valid=counted & (X != 2)),
        connected_components(Y, valid=counted),
    ]
    table = contingency_table(*parts, ignore=-1)
    assert found["metrics"][0]["value"] == MEASURES[rand](table)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mask", "none.npy"], "--mask must be a file that exists"),
        (["--mask", "flat.npy"], "--mask must have the shape of A, (24, 32), got (768,)"),
        (["--ignore-a", str(2**64)], "--ignore-a must hold labels within int64 or uint64"),
        (["--ignore-b", str(2**64)], "--ignore-b must hold labels within int64 or uint64"),
    ],
)
def test_masks_that_are_refused(files: tuple[str, str], options: list[str], words: str) -> None:
    np.save("flat.npy", X.ravel())
    assert words in run("compare", *files, *options, code=1)


def test_information_in_bits(files: tuple[str, str]) -> None:
    nats, bits = (of_json(*files, *option)["metrics"] for option in ([], ["--bits"]))
    for one, other in zip(nats, bits, strict=True):
        is_information = one["unit"] == "nats"
        assert other["unit"] == ("bits" if is_information else one["unit"])
        factor = np.log2(np.e) if is_information else 1
        assert other["value"] == pytest.approx(one["value"] * factor, rel=1e-14)
        assert other["normalized"] == one["normalized"]
