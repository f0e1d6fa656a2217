"""Every loss of the library, with what it promises.

The generic tests, the three frameworks' manifests and the tables of the documentation are driven
by this list: a new loss gets all of them by standing in the module of its level.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metriseg import losses
from metriseg.catalogue import (
    boundary,
    compound,
    embedding,
    objects,
    partition,
    pixel,
    region,
    topology,
)
from metriseg.catalogue.entry import Entry
from metriseg.losses import SegmentationLoss

__all__ = ["CATALOGUE", "Entry"]

_LEVELS = (pixel, region, boundary, topology, objects, compound, embedding, partition)

CATALOGUE: dict[str, Entry] = {entry.name: entry for level in _LEVELS for entry in level.ENTRIES}


def parts_of(loss: SegmentationLoss) -> list[tuple[SegmentationLoss, Entry | None]]:
    """The losses that one is a sum of, each with its entry, or None where it has none.

    A loss that a plugin derived from one of the catalogue has the entry of that one. What isn't a
    :class:`~metriseg.CompoundLoss` is its own only part.
    """
    if isinstance(loss, losses.CompoundLoss):
        terms: Iterable[Any] = loss.terms
        return [part for term in terms for part in parts_of(term)]
    names = (kind.__name__ for kind in type(loss).__mro__)
    return [(loss, next((CATALOGUE[name] for name in names if name in CATALOGUE), None))]
