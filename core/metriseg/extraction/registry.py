"""The ways from a prediction to segments by name, for configs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from metriseg.extraction.base import Segments
from metriseg.extraction.classes import ClassSegments
from metriseg.extraction.kernel import KernelSegments
from metriseg.extraction.knn import KNNSegments
from metriseg.extraction.slots import SlotSegments

__all__ = ["SEGMENTS", "make_segments"]

#: Name -> way.
SEGMENTS: Mapping[str, type[Segments]] = MappingProxyType(
    {one.__name__: one for one in (ClassSegments, KernelSegments, KNNSegments, SlotSegments)}
)


def make_segments(given: str | Mapping[str, Any] | Segments) -> Segments:
    """The way from a prediction to segments that a config names.

    Args:
        given: one ready made, its name, or a mapping of its name (``type``) and its arguments.

    Raises:
        ValueError: for another name, a mapping without ``type``, or anything else.

    >>> make_segments({"type": "KernelSegments", "frequencies": 32})
    KernelSegments(frequencies=32, bandwidth=1.0, seed=None, samples=None, pixels_per_unit=None)
    """
    if isinstance(given, Segments):
        return given
    settings = {"type": given} if isinstance(given, str) else given
    if not isinstance(settings, Mapping) or "type" not in settings:
        raise ValueError(
            "segments must be a Segments, its name, or a mapping with its name as 'type',"
            f" got {given!r}"
        )
    name = settings["type"]
    if name not in SEGMENTS:
        near = difflib.get_close_matches(str(name), SEGMENTS, n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"segments must be one of {', '.join(SEGMENTS)}, got {name!r}{hint}")
    return SEGMENTS[name](**{key: value for key, value in settings.items() if key != "type"})
