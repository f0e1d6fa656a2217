"""Comparing partitions: contingency tables, the metrics made of them, and search by them."""

from metriseg.partitions.axioms import AxiomReport, check_metric_axioms
from metriseg.partitions.conditions import WeightConditions, satisfies_weight_conditions
from metriseg.partitions.contingency import ContingencyTable, contingency_table
from metriseg.partitions.disagreement import disagreement_map
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
from metriseg.partitions.images import (
    color_bins,
    color_features,
    intensity_bins,
    intensity_features,
    texture_bins,
    texture_features,
)
from metriseg.partitions.registry import MEASURES, Measure
from metriseg.partitions.scores import (
    DEFAULT_SCORES,
    SCORES,
    PartitionScores,
    mean_scores,
    partition_scores,
)
from metriseg.partitions.search import PartitionIndex
from metriseg.partitions.sketch import partition_sketch
from metriseg.partitions.stack import TableStack
from metriseg.partitions.transport import earth_movers_distance, microm_distance, signature_distance
from metriseg.partitions.weights import (
    ArbitraryWeight,
    FeatureWeight,
    KernelWeight,
    PowerWeight,
    ProductMeasure,
    RegionPairs,
    RegionWeight,
    SizeWeight,
    UnionWeight,
    UnitWeight,
    weighted_partition_distance,
)

__all__ = [
    "DEFAULT_SCORES",
    "MEASURES",
    "SCORES",
    "ArbitraryWeight",
    "AxiomReport",
    "ContingencyTable",
    "FeatureWeight",
    "KernelWeight",
    "Measure",
    "PartitionIndex",
    "PartitionScores",
    "PowerWeight",
    "ProductMeasure",
    "RegionPairs",
    "RegionWeight",
    "SizeWeight",
    "TableStack",
    "UnionWeight",
    "UnitWeight",
    "WeightConditions",
    "adapted_rand_error",
    "adjusted_rand_index",
    "check_metric_axioms",
    "color_bins",
    "color_features",
    "contingency_table",
    "disagreement_map",
    "earth_movers_distance",
    "intensity_bins",
    "intensity_features",
    "larsen_aone_dissimilarity",
    "mean_scores",
    "microm_distance",
    "mirkin_distance",
    "partition_distance",
    "partition_scores",
    "partition_sketch",
    "rand_index",
    "satisfies_weight_conditions",
    "signature_distance",
    "split_and_merge",
    "texture_bins",
    "texture_features",
    "van_dongen_distance",
    "variation_of_information",
    "weighted_partition_distance",
]
