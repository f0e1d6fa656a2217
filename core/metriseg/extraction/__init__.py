"""From a prediction to segments: the ways to the distance of a predicted partition."""

from metriseg.extraction.base import Segments
from metriseg.extraction.kernel import KernelSegments

__all__ = ["KernelSegments", "Segments"]
