"""Comparing partitions: contingency tables, the metrics made of them, and search by them."""

from metriseg.partitions.contingency import ContingencyTable, TableStack, contingency_table
from metriseg.partitions.distances import (
    adapted_rand_error,
    adjusted_rand_index,
    larsen_aone_dissimilarity,
    mirkin_distance,
    partition_distance,
    rand_index,
    split_and_merge,
    van_dongen_distance,
    variation_of_information,
)
from metriseg.partitions.registry import MEASURES, Measure
from metriseg.partitions.search import PartitionIndex
from metriseg.partitions.sketch import partition_sketch

__all__ = [
    "MEASURES",
    "ContingencyTable",
    "Measure",
    "PartitionIndex",
    "TableStack",
    "adapted_rand_error",
    "adjusted_rand_index",
    "contingency_table",
    "larsen_aone_dissimilarity",
    "mirkin_distance",
    "partition_distance",
    "partition_sketch",
    "rand_index",
    "split_and_merge",
    "van_dongen_distance",
    "variation_of_information",
]
