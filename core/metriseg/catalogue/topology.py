"""Losses that look at connections: thin structures, components and holes."""

from __future__ import annotations

from metriseg.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = ()
