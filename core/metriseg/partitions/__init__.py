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
from metriseg.partitions.scores import (
    DEFAULT_SCORES,
    SCORES,
    PartitionScores,
    mean_scores,
    partition_scores,
)

__all__ = [
    "DEFAULT_SCORES",
    "MEASURES",
    "SCORES",
    "ContingencyTable",
    "Measure",
    "PartitionScores",
    "TableStack",
    "adapted_rand_error",
    "adjusted_rand_index",
    "contingency_table",
    "larsen_aone_dissimilarity",
    "mean_scores",
    "mirkin_distance",
    "partition_distance",
    "partition_scores",
    "rand_index",
    "split_and_merge",
    "van_dongen_distance",
    "variation_of_information",
]
