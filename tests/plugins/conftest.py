"""What the tests of plugins share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

DATA = os.environ.get("METRISEG_DATA")


@pytest.fixture
def workflow(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """A shipped bundle of MONAI with changes, in this process.

    The module of the test names it, ``NAME``, and how it is shortened, ``SHORT``.
    """
    from monai.bundle import ConfigWorkflow
    from monai.utils import set_determinism

    from metriseg.configuration import config_path

    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    configs = config_path(request.module.NAME) / "configs"

    def make(**changes: Any) -> ConfigWorkflow:
        made = ConfigWorkflow(
            config_file=str(configs / "train.json"),
            meta_file=str(configs / "metadata.json"),
            workflow_type="train",
            **{**request.module.SHORT, **changes},
        )
        made.initialize()
        return made

    yield make
    set_determinism(None)
    torch.set_num_threads(threads)


@pytest.fixture
def few_nuclei(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a folder of the test: three images of nuclei to learn, two to measure, one more.

    ``METRISEG_DATA`` and the working directory are that folder; the last is in ``fresh``.
    """
    if not (DATA and (Path(DATA) / "nuclei").is_dir()):
        pytest.skip("needs the images in $METRISEG_DATA/nuclei")
    source = Path(DATA) / "nuclei" / "val"
    for place, numbers in (
        ("nuclei/train", slice(0, 3)),
        ("nuclei/val", slice(3, 5)),
        ("fresh", slice(5, 6)),
    ):
        for kind in ("images", "instances"):
            (tmp_path / place / kind).mkdir(parents=True)
            for picture in sorted((source / kind).iterdir())[numbers]:
                (tmp_path / place / kind / picture.name).write_bytes(picture.read_bytes())
    monkeypatch.setenv("METRISEG_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path
