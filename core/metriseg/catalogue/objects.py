"""Losses in which every object counts, large or small."""

from __future__ import annotations

from metriseg.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = ()
