"""What all tests share."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

#: Source folder -> the framework whose absence makes its modules unimportable.
FRAMEWORKS = {
    "metriseg_mmseg": "mmseg",
    "metriseg_monai": "monai",
    "metriseg_detectron2": "detectron2",
}
#: Module -> the optional package whose absence makes it unimportable.
OPTIONAL = {
    "partitions/torchmetrics.py": "torchmetrics",
    "fused/kernels.py": "triton",
    "metriseg_detectron2/panoptic_deeplab.py": "panopticapi",
    "metriseg_detectron2/point_rend.py": "cv2",
}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Doctests are collected where the framework or package that they need is installed."""
    framework = FRAMEWORKS.get(collection_path.name) or OPTIONAL.get(
        "/".join(collection_path.parts[-2:])
    )
    if framework is not None and importlib.util.find_spec(framework) is None:
        return True
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which plugins were not tested at all, and why."""
    for plugin, framework in FRAMEWORKS.items():
        if importlib.util.find_spec(framework) is None:
            terminalreporter.write_line(f"{plugin}: skipped, {framework} is not installed")
