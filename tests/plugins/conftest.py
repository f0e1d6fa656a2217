"""What the tests of plugins share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch


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
