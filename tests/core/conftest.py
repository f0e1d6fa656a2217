"""Parameters of the generic tests: every loss of the catalogue."""

from __future__ import annotations

import pytest

from metriseg.catalogue import CATALOGUE


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument ``entry`` runs for every loss; ``region_entry``, ``pixel_entry`` …"""
    if "entry" in metafunc.fixturenames:
        metafunc.parametrize("entry", CATALOGUE.values(), ids=lambda e: e.name)
    for level in ("region", "pixel"):
        if f"{level}_entry" in metafunc.fixturenames:
            chosen = [entry for entry in CATALOGUE.values() if entry.level == level]
            metafunc.parametrize(f"{level}_entry", chosen, ids=lambda e: e.name)
