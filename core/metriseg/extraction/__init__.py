"""From a prediction to segments: the ways to the distance of a predicted partition."""

from metriseg.extraction.base import AssignedSegments, Segments
from metriseg.extraction.classes import ClassSegments
from metriseg.extraction.grouping import group_embedding
from metriseg.extraction.kernel import KernelSegments
from metriseg.extraction.knn import KNNSegments
from metriseg.extraction.registry import SEGMENTS, make_segments
from metriseg.extraction.slots import SlotSegments

__all__ = [
    "SEGMENTS",
    "AssignedSegments",
    "ClassSegments",
    "KNNSegments",
    "KernelSegments",
    "Segments",
    "SlotSegments",
    "group_embedding",
    "make_segments",
]
