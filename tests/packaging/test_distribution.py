"""Wheel and sdist, and the wheel at work where there is no checkout."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = PROJECT["tool"]["hatch"]["build"]["targets"]
SMOKE = Path(__file__).with_name("smoke.py")
FRAMEWORKS = [name for name in ("mmseg", "monai", "detectron2") if importlib.util.find_spec(name)]


def run(*command: object, cwd: Path) -> str:
    """Run without the checkout in sight."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    finished = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
    return finished.stdout


def build(source: Path, out: Path, kind: str) -> Path:
    """A wheel or sdist of a source tree, by the build tools that are installed."""
    run(
        *(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source),
        cwd=out.parent,
    )
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("built") / "wheel", "wheel")


def names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as opened:
        return set(opened.namelist())


def files_below(folder: str, root: Path = ROOT) -> set[str]:
    """Of a source tree, without what Python and tools leave behind."""
    return {
        path.relative_to(root).as_posix()
        for path in (root / folder).rglob("*")
        if path.is_file() and not {"__pycache__", ".hypothesis"} & set(path.parts)
    }


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Each file of the packages, the configs below metriseg, the licence: no tests, no docs."""
    expected = {
        name.removeprefix("core/").removeprefix("plugins/")
        for package in TARGETS["wheel"]["packages"]
        for name in files_below(package)
    }
    for source, target in TARGETS["wheel"]["force-include"].items():
        expected |= {name.replace(source, target, 1) for name in files_below(source)}
    found = names(wheel)
    information = {name for name in found if ".dist-info/" in name}
    assert found - information == expected
    assert "metriseg/py.typed" in found
    assert any(name.endswith("/LICENSE") for name in information)


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """All that pyproject.toml includes is in the sdist, and a wheel built from it is the wheel."""
    sdist = build(ROOT, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    for pattern in TARGETS["sdist"]["include"]:
        for path in ROOT.glob(pattern.removeprefix("/")):
            name = path.relative_to(ROOT)
            if path.is_dir():
                assert files_below(str(name), source) == files_below(str(name))
            else:
                assert (source / name).read_bytes() == path.read_bytes()
    assert names(build(source, tmp_path / "again", "wheel")) == names(wheel)


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """In a new environment that sees this one's packages, but not the checkout they stand beside.

    A ``.pth`` line names the folder of the packages; ``.pth`` files in that folder, by which an
    editable installation reaches the checkout, are not read. smoke.py looks where it imports from.
    """
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    ours = run(
        python, "-I", "-c", "import sysconfig as s; print(s.get_path('purelib'))", cwd=tmp_path
    )
    theirs = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    Path(ours.strip(), "test_environment.pth").write_text("\n".join(theirs))
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--ignore-installed", wheel, cwd=tmp_path)
    (tmp_path / "files").mkdir()
    printed = run(python, "-I", SMOKE, tmp_path / "files", *FRAMEWORKS, cwd=tmp_path)
    assert "variation" in printed.lower()
