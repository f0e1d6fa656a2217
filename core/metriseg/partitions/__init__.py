"""Comparing partitions: contingency tables, the metrics made of them, and search by them."""

from metriseg.partitions.axioms import (
    AxiomReport,
    WeightConditions,
    check_metric_axioms,
    satisfies_weight_conditions,
)
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
from metriseg.partitions.transport import (
    earth_movers_distance,
    microm_distance,
    signature_distance,
)

__all__ = [
    "MEASURES",
    "AxiomReport",
    "ContingencyTable",
    "Measure",
    "TableStack",
    "WeightConditions",
    "adapted_rand_error",
    "adjusted_rand_index",
    "check_metric_axioms",
    "contingency_table",
    "earth_movers_distance",
    "larsen_aone_dissimilarity",
    "microm_distance",
    "mirkin_distance",
    "partition_distance",
    "rand_index",
    "satisfies_weight_conditions",
    "signature_distance",
    "split_and_merge",
    "van_dongen_distance",
    "variation_of_information",
]
