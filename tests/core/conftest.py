"""Parameters of the generic tests: every loss of the catalogue."""

from __future__ import annotations

import pytest

from metriseg.catalogue import CATALOGUE
from metriseg.losses import PixelLoss, RegionLoss

FAMILIES = {"region": RegionLoss, "pixel": PixelLoss}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument ``entry`` runs for every loss; ``region_entry``, ``pixel_entry`` …"""
    given = {
        name for mark in metafunc.definition.iter_markers("parametrize") for name in mark.args[:1]
    }
    if "entry" in metafunc.fixturenames and "entry" not in given:
        metafunc.parametrize("entry", CATALOGUE.values(), ids=lambda e: e.name)
    for family, base in FAMILIES.items():
        if f"{family}_entry" in metafunc.fixturenames:
            chosen = [entry for entry in CATALOGUE.values() if issubclass(entry.loss, base)]
            metafunc.parametrize(f"{family}_entry", chosen, ids=lambda e: e.name)
