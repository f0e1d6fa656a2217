"""Distances of soft partitions: of assignments to segments, and of an embedding by a kernel."""

from metriseg.functional.partition.distance import (
    Form,
    SparseAssignment,
    soft_partition_distance,
)
from metriseg.functional.partition.kernel import gaussian_frequencies, kernel_partition_distance

__all__ = [
    "Form",
    "SparseAssignment",
    "gaussian_frequencies",
    "kernel_partition_distance",
    "soft_partition_distance",
]
