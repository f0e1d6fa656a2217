"""Packages show what their modules declare, each name listed once."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import metriseg
from metriseg import functional, losses


def test_a_name_is_found_where_it_is_declared() -> None:
    assert metriseg.DiceLoss is losses.DiceLoss is losses.region.DiceLoss
    assert functional.dice_index is functional.region.dice_index
    assert metriseg.distances is importlib.import_module("metriseg.distances")


def test_star_imports_bring_what_is_public() -> None:
    names: dict[str, object] = {}
    exec("from metriseg import *", names)
    assert set(metriseg.__all__) <= set(names)
    assert {"DiceLoss", "CATALOGUE", "debug", "functional"} <= set(names)
    assert "Tensor" not in names
    assert "Tensor" not in vars(losses)


def test_dir_lists_them() -> None:
    assert set(metriseg.__all__) <= set(dir(metriseg))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'metriseg' has no attribute 'DiceLos'"):
        metriseg.DiceLos  # noqa: B018
    assert not hasattr(metriseg, "__wrapped__")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, metriseg; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
